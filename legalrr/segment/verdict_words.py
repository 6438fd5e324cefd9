"""Words of a judgment's outcome, as parts of regular expressions: matter, order, parties, fate."""

import re


def pattern(*alternatives: str) -> re.Pattern[str]:
    """A pattern that matches any of the alternatives, in capitals or not."""
    return re.compile("|".join(f"(?:{a})" for a in alternatives), re.IGNORECASE)


# What may stand between two words of one statement.
GAP = r"(?:(?!\b(?:(?:ground|held|holding|contention|view|reason|effect|recommendation|direction|condition|order|contend\w*|submit\w*|observ\w*|find\w*|stat\w+) that|whether|if|unless)\b)[^;:?\"“])"
# What the court decides on.
MATTER = (
    r"(?:(?:criminal |civil |crl\.? ?|writ |special |second |first |cross[- ]|letters patent |revision |bail |review )*"
    r"(?:appeals?|petitions?|revisions?|applications?|suits?|objections?|references?|writs?|rules?(?! ?\d)|claims?|cases?(?! (?:of|where|provided|in which|nos?\.?)\b)"
    r"|complaints?|prayers?|s\.?l\.?ps?\.?|w\.?ps?\.?))"
)
# What a court or authority below has made.
ORDER = (
    r"(?:orders?|judge?ments?|decisions?|decrees?|awards?|convictions?|sentences?|punishments?|acquittals?|notices?"
    r"|proceedings?|findings?|demands?|assessments?|f\.?i\.?r\.?|complaint|detention|notifications?)"
)
# Whose case it is; "he" is often the appellant.
PARTY = (
    r"(?:appellants?|petitioners?|accused(?: persons?)?|applicants?|respondents?|assessees?|revenue|department"
    r"|plaintiffs?|defendants?|prosecution|state|detenus?|convicts?|he|she|they)"
)
# Whose decision is looked at.
LOWER_COURT = (
    r"(?:high court|(?:appellate )?tribunal|courts? below|(?:trial|sessions|family|appellate) court|(?:trial )?judge"
    r"|magistrate|arbitrator|authorit(?:y|ies)|commissioner|collector|assessing officer|board|commission|ao|itat|cestat"
    r"|cegat|cit ?\(a\))"
)
# Who else decides or finds: a court or authority below, another court, "he".
BODY = (
    r"(?:(?<!this )courts?|high court|tribunal|judges?|bench|(?:accountant |judicial )?members?|magistrate|commissioner|collector|officer|authorit(?:y|ies)"
    r"|board|munsif|arbitrators?|government|lordships?|privy council|(?:judicial )?committee|commission|registrar"
    r"|controller|custodian|jury|minister|corporation|council|department|jj?\.|he|she|they|it)"
)
ACTED = (
    r"(?:allowed|dismissed|quashed|set aside|convicted|acquitted|remanded|remitted|confirmed|maintained|rejected|granted"
    r"|decreed|sentenced|restored|modified|altered|reduced|disallowed|annulled|cancelled|vacated|discharged|awarded|passed"
    r"|accepted)"
)
# Between "is" and "allowed": "is, for the reasons given above, hereby allowed". At most four: unbounded
# repeats of what can be read in two ways take exponential time.
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
# What becomes of a matter or an order.
FATE = (
    r"(?:allowed(?! (?:refund|an?|the|only|credit|deduction|rebate|as)\b)|dismissed|accepted|granted|rejected|decreed|remanded|remitted|discharged|made absolute"
    rf"|disposed(?! of (?:by|together|in a common|in the|along|on the))|answered|interfered with|{REVERSED}|{KEPT})"
)
# What an order may be found to be.
SOUND = (
    r"(?:(?:un)?sustainable|un(?:assailable|exceptionable)|(?:in)?correct|(?:im)?proper|(?:un)?justified|(?:il)?legal"
    r"|(?:in)?valid|void|bad in law|erroneous|perverse|vitiated|misplaced|misconceived|without jurisdiction|justifiable"
    r"|in accordance with|according to|supported|safe)"
)
# What a court does.
DECIDE = (
    r"(?:allow|dismiss|quash|acquit|set aside|remit|remand|send back|reverse|affirm|uphold|confirm|convict|restore"
    r"|modify|reduce|maintain|discharge|grant(?! (?:special )?leave)|enlarge|release|sustain|interfere|condone|give the benefit)"
)
# How it announces that.
INCLINED = (
    r"(?:inclined|constrained|unable|disposed|fit|proper|just|appropriate|necessary|suffices|better|hesitation|reason"
    r"|ground|case)"
)
# What a person on bail has to do or leave.
BOUND = (
    r"(?:tamper|threaten|hold out|indulge|mark|leave|appear|attend|report|co-?operate|execute|furnish|surrender|deposit"
    r"|undergo|make (?:himself|herself|themselves) available|(?:directly or indirectly )?make any inducement)"
)
# How a question is answered.
ANSWER = r"\bin (?:the )?\W?(?:affirmative|negative)\b"
BENEFIT = r"benefit of (?:the )?(?:reasonable )?doubts?\b"
