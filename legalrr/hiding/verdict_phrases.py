"""Phrases by which a court decides a matter, or from which its outcome follows.

Regular expressions, built from the vocabulary of outcomes: matters, orders, parties, decisions.
"""

import re

from legalrr.hiding.phrases import Phrases


def pattern(*alternatives: str) -> re.Pattern[str]:
    """Compile a case-insensitive pattern that matches any of the alternatives."""
    return re.compile("|".join(f"(?:{a})" for a in alternatives), re.IGNORECASE)


# Characters allowed between two words of one statement.
GAP = r"(?:(?!\b(?:that|whether|if|unless)\b)[^;:?\"“])"
# The matter that the court decides.
MATTER = (
    r"(?:(?:criminal |civil |crl\.? ?|writ |special |second |first |cross[- ]|letters patent |revision |bail |review )*"
    r"(?:appeals?|petitions?|revisions?|applications?|suits?|objections?|references?|writs?|rules?(?! ?\d)|claims?"
    r"|(?<!in )cases?(?! (?:of|where|provided|in which|nos?\.?)\b)"
    r"|complaints?|prayers?|s\.?l\.?ps?\.?|w\.?ps?\.?))"
)
# A decision of a lower court or authority.
ORDER = (
    r"(?:orders?|judge?ments?|decisions?|decrees?|awards?|convictions?|sentences?|punishments?|acquittals?|notices?"
    r"|proceedings?|findings?|demands?|assessments?|f\.?i\.?r\.?|complaint|detention|notifications?)"
)
# A party; "he" is often the appellant.
PARTY = (
    r"(?:appellants?|petitioners?|accused(?: persons?)?|applicants?|respondents?|assessees?|revenue|department"
    r"|plaintiffs?|defendants?|prosecution|state|detenus?|convicts?|he|she|they)"
)
# A court or authority whose decision is under review.
LOWER_COURT = (
    r"(?:high court|(?:appellate )?tribunal|courts? below|(?:trial|sessions|family|appellate) court|(?:trial )?judge"
    r"|magistrate|arbitrator|authorit(?:y|ies)|commissioner|collector|assessing officer|board|commission|ao|itat|cestat"
    r"|cegat|cit ?\(a\))"
)
# Any other decision maker: a lower court or authority, another court, "he".
BODY = (
    r"(?:(?<!this )courts?|high court|tribunal|judges?|bench|(?:accountant |judicial )?members?|magistrate"
    r"|commissioner|collector|officer|authorit(?:y|ies)"
    r"|board|munsif|arbitrators?|government|lordships?|privy council|(?:judicial )?committee|commission|registrar"
    r"|controller|custodian|jury|minister|corporation|council|department|jj?\.|he|she|they|it)"
)
# What such a decision maker did.
ACTED = (
    r"(?:allowed|dismissed|quashed|set aside|convicted|acquitted|remanded|remitted|confirmed|maintained|rejected"
    r"|granted"
    r"|decreed|sentenced|restored|modified|altered|reduced|disallowed|annulled|cancelled|vacated|discharged|awarded"
    r"|passed"
    r"|accepted)"
)
# Between "is" and "allowed": "is, for the reasons given above, hereby allowed". At most four, because unbounded
# repetition of ambiguous alternatives takes exponential time.
SO = (
    r"(?:,? ?\b(?:hereby|accordingly|therefore|thus|hence|consequently|also|only|partly|partially|in part|finally|both"
    r"|however|wholly|clearly|being|in consequence|as a result|liable to be|to be|allowed and|dismissed and"
    r"|for (?:the|these) [\w ]{3,40}?)\b){0,4},?"
)
IS = rf"(?:is|are|stands?|shall stand){SO}"
WILL = (
    r"(?:is|are|stands?|shall|will|must|should|would|has to|have to|deserves?|needs?|ought to"
    rf"|required to|cannot but){SO} ?(?:be|stand)?{SO}"
)
REVERSED = r"(?:set[- ]aside|quashed|reversed|vacated|annulled|cancelled|modified|altered|reduced)"
KEPT = r"(?:affirmed|upheld|confirmed|maintained|sustained|restored)"
# The outcome of a matter or an order.
FATE = (
    r"(?:allowed(?! (?:refund|an?|the|only|credit|deduction|rebate|as)\b)|dismissed|accepted|granted|rejected"
    r"|decreed|remanded|remitted|discharged|made absolute"
    rf"|disposed(?! of (?:by|together|in a common|in the|along|on the))|answered|interfered with|{REVERSED}|{KEPT})"
)
# A finding about an order.
SOUND = (
    r"(?:(?:un)?sustainable|un(?:assailable|exceptionable)|(?:in)?correct|(?:im)?proper|(?:un)?justified|(?:il)?legal"
    r"|(?:in)?valid|void|bad in law|erroneous|perverse|vitiated|misplaced|misconceived|without jurisdiction|justifiable"
    r"|in accordance with|according to|supported|safe)"
)
# An action of a court.
DECIDE = (
    r"(?:allow|dismiss|quash|acquit|set aside|remit|remand|send back|reverse|affirm|uphold|confirm|convict|restore"
    r"|modify|reduce|maintain|discharge|grant(?! (?:special )?leave)|enlarge|release|sustain|interfere|condone"
    r"|give the benefit)"
)
# An announcement of that action.
INCLINED = (
    r"(?:inclined|constrained|unable|disposed|fit|proper|just|appropriate|necessary|suffices|better|hesitation|reason"
    r"|ground|case)"
)
# A condition of bail.
BOUND = (
    r"(?:tamper|threaten|hold out|indulge|mark|leave|appear|attend|report|co-?operate|execute"
    r"|furnish(?=.{0,40}(?:bond|suret|security|undertaking|address))|surrender|deposit"
    r"|make (?:himself|herself|themselves) available|(?:directly or indirectly )?make any inducement)"
)
# An answer to a question.
ANSWER = r"\bin (?:the )?\W?(?:affirmative|negative)\b"
BENEFIT = r"benefit of (?:the )?(?:reasonable )?doubts?\b"


# ---------------------------------------------------------------- the court decides

DECIDED = Phrases(
    # "We ordered that the appeal be allowed, for reasons to follow."
    rf"\bwe (?:have |had |then )?(?:\w+ )?(?:ordered|directed)\b.{{0,80}}\bbe {FATE}\b",
    # "We therefore dismiss this petition with costs."
    r"\b(?:we|i)\b(?:(?! (?:not(?! guilty)|had|was|were|that)\b)[^;:?\"“.]){0,160}?"
    r"\b(?:allow|dismiss|quash|acquit|set(?:ting)? aside|remit(?:ting)?|remand(?:ing)?|reverse|affirm|uphold|confirm"
    r"|convict|sentence(?= (?:him|her|them|the (?:accused|appellant)|each|accused))|restore|modify|reduce|maintain"
    r"|discharge|grant|enlarge|reserve liberty|make the rule"
    r"|direct(?! (?:evidence|tax)))\b(?!(?<!direct) that (?:the|it|an?|there|he|she|this|in)\b)",
    # "We are inclined to allow the appeal." "It suffices to set aside the order." "We see no ground for granting it."
    rf"\b(?:we|i|it|us|(?:this"
    rf"|the) court)\b[^;:?\"“]{{0,80}}(?<!common )\b{INCLINED}\b(?:(?!\bthat\b)[^;:?\"“]){{0,60}}"
    rf"\b(?:to,? {DECIDE}|(?:in|for) (?:setting aside|quashing|granting leave))\b",
    rf"\bfor us to {DECIDE}\b|\bcourse\b.{{0,30}}\b(?:is|would be|will be) to {DECIDE}\b",
    # "I find him guilty of the offence."
    r"\b(?:we|i)\b[^;:?\"“]{0,60}\b(?:find|hold)\b.{0,80}\bguilty\b",
    # "This Court sets aside the conviction."
    r"\bthis court\b.{0,40}\b(?:allows|dismisses|quashes|sets aside|acquits|convicts|affirms|upholds|confirms)\b",
    # "Allowing the appeals, the Court held ...", "HELD: ...", as in headnotes
    rf"\A\W*(?:partly )?(?:allowing|dismissing|quashing|disposing of)\b.{{0,30}}\b(?:{MATTER}"
    rf"|special leave)\b(?!.{{0,80}}\b(?:it was|he|they|high"
    r" court|tribunal|judge)\b)",
    r"\A\W*held\b\W+(?:\(?[\di]+[.)\d]*\s)?(?=.*[a-z]{3})",
    # "The petition stands disposed of." "The appeal is accordingly dismissed with costs."
    rf"\b{MATTER}\b{GAP}{{0,240}}?\b{IS} ?{FATE}\b",
    rf"\bhereby (?!granted (?:by|to|and)\b){FATE}\b",
    # "The rule is made absolute." "Rule discharged."
    r"\brule\b(?: nisi)?(?: (?:is|stands|be|must be|accordingly|therefore|hereby))* (?:made absolute|discharged)\b",
    # "We answer it in favour of the assessee." "The question is answered in the negative."
    rf"\b(?:we|i|{IS}|be|must|accordingly)\b(?! not\b)[^;.\"“]{{0,80}}?"
    r"\b(?:answer(?:ed)?|decided?|hold|held|determined?)\b.{0,120}?"
    r"\b(?:in (?:the )?(?:affirmative|negative)|in favou?r of|against the)\b",
    # "Point No. 1: In the affirmative." "We answer question No. 1 accordingly."
    rf"\b(?:points?|issues?|questions?|answers?)\b(?:(?!\b(?:was|were|had been|has been"
    rf"|have been)\b)[^;?\"“]){{0,120}}?{ANSWER}"
    rf"|\A\W*(?:partly )?{ANSWER}\W*\Z|\bno\.? ?[\d ]+:? ?{ANSWER}",
    r"\banswers?\b.{0,80}\bin favou?r\b|\b(?:we|i)\b.{0,20}\b(?:give|issue) th(?:is|ese|e following) directions?\b",
    r"\b(?:we|i)\b[^;:?\"“]{0,40}\banswer\b.{0,40}\b(?:points?|issues?|questions?|reference)\b",
    # "The impugned order is set aside." "His conviction and sentence are confirmed."
    rf"\b{ORDER}\b{GAP}{{0,160}}?\b{IS} ?(?:{REVERSED}|{KEPT})\b",
    # "The appellant is acquitted of the charge." "The accused is held guilty and convicted."
    rf"\b{PARTY}\b{GAP}{{0,80}}?\b{IS} ?(?:acquitted|(?<=hereby )convicted|(?<=accordingly )convicted"
    rf"|(?<=and )convicted|(?<=hereby )sentenced|(?<=accordingly )sentenced|released|set at liberty"
    r"|(?:found |held )?(?:not )?guilty|ordered to|directed to"
    r"|entitled (?:to|for) (?:succeed|acquittal|the benefit of doubt|(?:(?:its|his|her|their|the) )?costs))\b",
    # "Let him be set at liberty forthwith." "The bail bonds are cancelled." "... with one surety for the like sum."
    r"\b(?:released?|set (?:\w+ ){0,3}(?:at liberty|free)|remain at liberty|surrender)\b.{0,60}"
    r"\b(?:forthwith|unless|if not|at once)\b",
    r"\bbail[- ]?bonds?\b.{0,60}\b(?:cancelled|discharged|stands?)\b",
    r"\bsuret(?:y|ies)\b.{0,60}\blike ?sum\b|\b(?:bail|bonds?|bound).{0,60}\bsuret(?:y|ies)\b.{0,60}\bdischarged\b",
    r"\bsentences?\b.{0,40}\bshall run concurrently\b",
    # "Appeal No. 5 of 1970 allowed with costs." as a whole sentence
    rf"\A\W*(?:[A-Z]\.? ?){{0,4}}(?:{MATTER}|orders?|(?:crl|cr|c)\.? ?a\.?)(?: nos?\b[\d\W]{{1,60}}(?:of \d+)?)?,?"
    rf"(?: are| is)?(?: (?:partly|hereby|accordingly|in part))* (?:{FATE}|accordingly)(?: of)?"
    r"(?:(?: in part| partly|,? with(?:out)?| and|,? no)\b.{0,60})?\W*\Z",
    r"\A\W*(?:dismissed|allowed|no costs|ordered accordingly|draw .{0,20}accordingly)\b",
    # "In the result ...", "For the foregoing reasons ..."
    r"\A\W*(?:\d+\W{1,3})?(?:in the result|resultantly|for (?:all )?(?:the )?(?:these|foregoing|aforesaid|afore-?stated"
    r"|aforementioned|above|above-?mentioned|above-?stated) reasons?)\b"
    rf"(?=.*\b(?:we|i|is|are|must|fails?|succeeds?|stands?|shall|will|would|should|cannot|does|has to|have to)\b)"
    rf"(?!.{{0,200}}\b(?:was|were|he|she|they|{LOWER_COURT}|company|(?<!this )court) (?:\w+ ){{0,3}}?(?:{ACTED}|held"
    rf"|declared|restrained|declined"
    r"|reduced|awarded|directed|ordered))",
    # "There shall be no order as to costs." "The parties will bear their own costs."
    r"\bno orders?(?: is made)? (?:as to|regarding|for) costs\b",
    r"\bbear (?:his|her|its|their|the)(?: own| respective)* costs\b",
    rf"\b{PARTY} (?:will|shall|must|to) (?:pay|get|have|be entitled to)\b.{{0,40}}\bcosts\b",
)

# ---------------------------------------------------------------- the outcome follows

IMPLIED_OUTCOME = Phrases(
    # "The appeal must be allowed." "This petition deserves to be dismissed." "It is liable to be rejected."
    rf"\b{MATTER}\b{GAP}{{0,120}}?\b{WILL} ?{FATE}\b",
    rf"\b{MATTER}\b{GAP}{{0,40}}?\b(?:cannot|can not)(?: \w+)? be (?:granted|allowed|entertained|accepted)\b",
    rf"\b(?:it|they|the same)\b,? {WILL} ?(?:allowed|dismissed|rejected|quashed|set[- ]aside)\b",
    # "It ought to have been rejected." "The High Court should not have interfered."
    r"\b(?:ought|should|could)(?: not)?(?: to)? have (?:been )?(?:rejected|dismissed|acquitted|convicted|interfered"
    r"|reversed|set aside|granted|quashed|decreed|upheld|disturbed|based|allowed(?! to))\b",
    # "The appeal fails." "The petition must succeed."
    rf"\b{MATTER}\b{GAP}{{0,60}}?(?<!which )(?<!that )\b(?:fails|succeeds"
    r"|(?:must|should|shall|will|does|has to|have to|cannot|can not)\b.{0,30}?\b(?:fail|succeed))\b",
    rf"\b{MATTER}\b,? (?:also |therefore |accordingly |must )?(?:fail|succeed)\b",
    # "There is no merit in this appeal." "The petition is devoid of substance."
    r"\b(?:no|any|without|devoid of|lacks?|little) (?:any )?(?:merits?|substance|force|infirmity|ground)\b.{0,40}"
    rf"\b(?:in|of|for) (?:the|this|these|both)(?: \w+)? ?{MATTER}\b",
    rf"\b(?:the|this|these|present|both|said|instant) {MATTER}\b{GAP}{{0,60}}\b(?:is"
    rf"|are){SO} ?(?:not )?maintainable\b(?! only)",
    rf"\b{MATTER}\b{GAP}{{0,60}}\b(?:has no (?:merits?|substance|force)|lacks? (?:merits?|substance)|(?:is|are){SO} ?"
    r"(?:without|devoid of|bereft of|barred|incompetent|infructuous|not maintainable|misconceived))\b",
    r"\bno substantial questions? of law\b.{0,40}\b(?:arises?|involved|made out|for)\b",
    # "The order of the High Court cannot be sustained." "The conviction deserves to be set aside."
    rf"\b{ORDER}\b{GAP}{{0,160}}?\b(?:{WILL}|cannot\b[ ,]{{0,2}}(?:(?:therefore|thus|hence|also|accordingly)"
    rf"[ ,]{{1,2}})?(?:be)?) ?(?:{REVERSED}|{KEPT}|interfered with|allowed to stand|stand|fail)\b",
    # "The conviction is unassailable." "There is no infirmity in the order."
    rf"(?<!\ban )(?<!\bany )\b{ORDER}\b{GAP}{{0,160}}?\b{IS} ?(?:not )?{SOUND}\b",
    r"\bnot suffer from any\b",
    r"(?<!for )\b(?:no|not find any|without any)\b.{0,20}\b(?:fault|infirmity|illegality|irregularity|perversity"
    r"|error)\b"
    rf".{{0,60}}\b(?:{ORDER}|{LOWER_COURT})\b",
    # "We see no reason to interfere with the order of acquittal."
    r"\b(?:no|any|not|cannot|nor|declin\w+|without|unable)\b.{0,60}\b(?:reasons?|grounds?|justif\w+|occasion|scope"
    r"|warrant\w*|case|cause|need"
    r"|call(?:s|ed)?|propose|inclined|persuaded|proper|fit|right|possible|open|necessary|unable|cannot|declin\w+"
    r"|like|think|hesitat\w+|merit|infirmity)\b"
    r".{0,60}\b(?:interfer\w+|disturb(?:ed|ing)?)\b|\b(?:cannot|can not|should not|ought not to|need not"
    r"|could not) (?:be )?(?:interfere\w*|disturb\w*)\b"
    r"|\bno interference\b|\b(?:not|no|cannot|declin\w+)\b.{0,60}\binterfer\w+\b.{0,60}\b(?:findings?|orders?"
    r"|judge?ments?|decrees?|conclusions?|conviction"
    r"|acquittal|decisions?|sentence|award|discretion)\b|\bdisturb(?:ed"
    r"|ing)?\b(?! public)(?:(?!\bpublic\b).){0,40}\b(?:findings?|orders?"
    r"|judge?ment|decree|conviction|acquittal)\b",
    # "The appellant deserves to be acquitted." "He is entitled to the benefit of doubt." "He can be held guilty."
    rf"\b{PARTY}\b{GAP}{{0,60}}?\b{WILL} ?(?:acquitted|released|enlarged|admitted to bail|set at liberty"
    rf"|(?<=be )convicted"
    r"|(?<=be )punished|discharged)\b",
    rf"\b{PARTY}\b{GAP}{{0,60}}?\b(?:is|are|be)\b.{{0,20}}\b(?:given|granted|enlarged|released|liable for)\b.{{0,30}}"
    r"\b(?:bail|conviction)\b",
    rf"(?<!were )(?<!was )\b(?:entitled to|given|give|get|extend(?:ed)?|granted?) (?:an?y? |the )?{BENEFIT}"
    rf"|\b{BENEFIT}.{{0,40}}\b(?:given|extended|granted|goes|enures?)\b",
    rf"\b{PARTY}\b{GAP}{{0,60}}?\bcan ?not\b.{{0,20}}\bbe (?:convicted|granted any)\b",
    r"\b(?:can(?:not)?|could|has to|is to|are to)\b,?(?: \w+,?){0,3}? be (?:held|found) (?:not )?guilty\b",
    rf"\bgrant of bail to the {PARTY}\b",
    # "No case is made out for bail." "It is not a fit case for probation."
    r"\b(?:case|grounds?)\b.{0,40}\b(?:is|are|been|not) made out\b|\b(?:not|no|has"
    r"|have)\b.{0,20}\bmade out\b.{0,30}\b(?:case|grounds?)\b"
    r"|\b(?:not|no|a) (?:a )?fit (?:case|one)\b(?! for appeal| to be)|\bgrounds?\b.{0,20}\b(?:for granting|to grant"
    r"|for grant of)\b",
    # "The prosecution has failed to prove the charge." "It would be unsafe to convict him."
    r"\bprosecution (?:has|could|was)(?! (?:also |not )*to\b) (?:\w+ ){0,4}"
    r"(?:proved?|establish(?:ed)?|br(?:ing|ought) home)\b",
    r"\bprosecution\b.{0,60}\bfail(?:s|ed)\b.{0,60}\b(?:prove|establish|bring|meet|elevate|discharge)\b",
    rf"\b(?:evidence|materials?)\b{GAP}{{0,90}}\b(?:not sufficient|insufficient|not enough)\b",
    r"\b(?:complainant|plaintiffs?|defendants?|petitioners?|appellants?|applicants?)\b.{0,60}"
    r"\b(?:has|have) (?:\w+ )?failed to (?:prove|establish|make out|show)\b",
    r"\b(?:lack|absence|want) of evidence\b.{0,40}\b(?:guilt|charges?|convict\w*)\b",
    r"\b(?:unsafe|not safe|hazardous|risky|difficult|inappropriate)\b.{0,60}\b(?:convict|uphold|sustain|maintain)",
    # "The plaintiff is entitled to a decree." "The assessee is not entitled to any deduction."
    rf"\b{PARTY}\b{GAP}{{0,60}}?\b(?:is|are){SO} ?(?:not )?entitled(?: to| for)?(?: be)? (?:\w+ ){{0,3}}"
    r"(?:reliefs?|possession|decree|succeed|share|partition|injunction|declaration|compensation|refund|bail|deduction"
    r"|acquittal|exemption|benefit)\b",
    # "There is no room for a reduction of the sentence." "We are not inclined to differ."
    r"\bno (?:room|scope|justification|reason|grounds?|warrant)\b.{0,40}\b(?:differ|reduc|modif|enhanc|grant)"
    r"|\bno hesitation (?:in|to)\b|\bnot (?:inclined|convinced|persuaded)\b",
    # "Let a writ of mandamus issue."
    r"\blet (?:a|the) (?:writ|decree|rule|order)\b",
    r"\b(?:writ|direction|decree|rule)\b.{0,60}\b(?:shall|should|will|do|must) (?:accordingly )?(?:issue|follow)\b",
    # "The ends of justice would be met if ..."
    r"\bends of justice\b.{0,10}\b(?:would|will|shall|should|are)\b.{0,20}\b(?:met|served)\b|\b(?:would|will"
    r"|shall)\b.{0,20}\bmeet the ends of justice\b",
    # "The petitioner shall not tamper with the evidence." (conditions of bail imply that it is granted)
    rf"\b{PARTY}\b.{{0,30}}\bshall (?:also |regularly |not |further )*{BOUND}\b",
    # "The matter is remanded to the Tribunal for a fresh decision."
    r"\b(?:matter|case|issue|cause|proceedings?)\b.{0,60}"
    rf"\b{WILL} ?(?:remanded|remitted|sent back|restored|reconsidered)\b",
    r"\b(?:we|shall|is|are|be|necessary|require[ds]?|direct\w*|request\w*)\b.{0,100}"
    r"\b(?:consider(?:ed)?|consideration|decided?|heard?|examined?|adjudicated?)\b.{0,60}\b(?:afresh|de ?novo|anew)\b",
    r"\b(?:shall|would|will) be (?:considered|heard|decided|disposed of)\b.{0,30}\bby the\b",
    r"\bfor (?:a )?fresh (?:decision|disposal|consideration|adjudication|determination|hearing|trial)\b",
)
