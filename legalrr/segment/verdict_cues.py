"""Sentences that tell the outcome of the matter in hand, whatever their role.

Hiding the ruling role does not hide the verdict: annotators put "The appeal must therefore fail." under Facts or None,
and a law reporter's closing line follows most Supreme Court judgments. The patterns below look for the fate of the
present matter. What a court below did is told in the past ("was dismissed", "dismissed the suit") and matches none of
them; what is asked, argued or prayed for is told by the words before it (`_ASKED`, `_REPORTED`). They aim at finding
every verdict, at the price of hiding now and then a sentence that is none.
"""

import re


def _pattern(*alternatives: str) -> re.Pattern[str]:
    return re.compile("|".join(f"(?:{a})" for a in alternatives), re.IGNORECASE)


# ---------------------------------------------------------------- words

_GAP = r"[^;:?\"“]"
_MATTER = (
    r"(?:(?:criminal |civil |crl\.? ?|writ |special |second |first |cross[- ]|letters patent |revision |bail |review )*"
    r"(?:appeals?|petitions?|revisions?|applications?|suits?|objections?|references?|writs?|rules?|claims?|cases?"
    r"|s\.?l\.?ps?\.?|w\.?ps?\.?))"
)
_ORDER = (
    r"(?:orders?|judge?ments?|decrees?|awards?|convictions?|sentences?|punishments?|acquittals?|notices?|proceedings?"
    r"|findings?|demands?|assessments?|f\.?i\.?r\.?|complaint|detention|notifications?)"
)
_PARTY = (
    r"(?:appellants?|petitioners?|accused(?: persons?)?|applicants?|respondents?|assessees?|revenue|department"
    r"|plaintiffs?|defendants?|prosecution|state|detenus?|convicts?|he|she|they)"
)
_LOWER_COURT = (
    r"(?:high court|tribunal|courts? below|trial court|judge|magistrate|authorit(?:y|ies)|commissioner|appellate court)"
)
# Between "is" and "allowed": "is, for the reasons given above, hereby allowed". At most four: unbounded
# repeats of what can be read in two ways take exponential time.
_SO = (
    r"(?:,? ?\b(?:hereby|accordingly|therefore|thus|hence|consequently|also|only|partly|partially|in part|finally|both"
    r"|however|wholly|in consequence|as a result|liable to be|to be|allowed and|dismissed and"
    r"|for (?:the|these) [\w ]{3,40}?)\b){0,4},?"
)
_IS = rf"(?:is|are|stands?|shall stand){_SO}"
_WILL = (
    r"(?:is|are|(?<!came to )(?<!ordered to )be|stands?|shall|will|must|should|has to|have to|deserves?|needs?|ought to"
    rf"|cannot but){_SO} ?(?:be|stand)?{_SO}"
)
_REVERSED = r"(?:set[- ]aside|quashed|reversed|vacated|annulled|modified|altered|reduced)"
_KEPT = r"(?:affirmed|upheld|confirmed|maintained|sustained|restored)"
_FATE = (
    r"(?:allowed|dismissed|accepted|granted|rejected|decreed|remanded|remitted|discharged|made absolute|disposed"
    rf"|answered|maintainable|interfered with|{_REVERSED}|{_KEPT})"
)
_BOUND = r"(?:tamper|threaten|hold out|indulge|mark|leave|appear|co-?operate|execute|furnish|surrender|deposit|undergo)"

# ---------------------------------------------------------------- the court decides

_DECIDED = _pattern(
    # "We therefore dismiss this petition with costs."
    r"\b(?:we|i)\b(?:(?! (?:not(?! guilty)|had|was|were|that)\b)[^;:?\"“.]){0,160}?"
    r"\b(?:allow|dismiss|quash|acquit|set aside|remit|remand|reverse|affirm|uphold|confirm|convict|sentence|restore"
    r"|modify|reduce|maintain|discharge|grant|make the rule)\b(?! that)",
    # "This Court sets aside the conviction."
    r"\bthis court\b.{0,40}\b(?:allows|dismisses|quashes|sets aside|acquits|convicts|affirms|upholds|confirms)\b",
    # "Allowing the appeals, the Court held ...", "HELD: ...", as headnotes say
    rf"\A\W*(?:allowing|dismissing|quashing|disposing of)\b.{{0,30}}\b{_MATTER}\b|\A\W*held\b",
    # "The petition stands disposed of." "The appeal is accordingly dismissed with costs."
    rf"\b{_MATTER}\b{_GAP}{{0,240}}?\b{_IS} ?{_FATE}\b",
    # "The rule is made absolute." "Rule discharged."
    r"\brule\b.{0,30}\b(?:made absolute|discharged)\b",
    # "We answer it in favour of the assessee." "The question is answered in the negative."
    rf"\b(?:we|i|{_IS}|be|must|accordingly)\b(?! not\b)[^;.\"“]{{0,80}}?"
    r"\b(?:answer(?:ed)?|decided?|hold|held|determined?)\b.{0,120}?"
    r"\b(?:in (?:the )?(?:affirmative|negative)|in favou?r of|against the)\b",
    # "The impugned order is set aside." "His conviction and sentence are confirmed."
    rf"\b{_ORDER}\b{_GAP}{{0,160}}?\b{_IS} ?(?:{_REVERSED}|{_KEPT}|unsustainable|bad in law)\b",
    # "The appellant is acquitted of the charge." "The accused is held guilty and convicted."
    rf"\b{_PARTY}\b{_GAP}{{0,80}}?\b{_IS} ?(?:acquitted|convicted|sentenced|released|set at liberty"
    r"|(?:found |held )?(?:not )?guilty|ordered to|directed to"
    r"|entitled (?:to|for) (?:succeed|acquittal|the benefit of doubt|(?:(?:its|his|her|their|the) )?costs))\b",
    # "Let him be set at liberty forthwith." "The bail bonds are cancelled." "... with one surety for the like sum."
    r"\b(?:released?|set (?:\w+ ){0,3}(?:at liberty|free)|surrender)\b.{0,60}\b(?:forthwith|unless|if not|at once)\b",
    r"\bbail[- ]?bonds?\b.{0,60}\b(?:cancelled|discharged|stands?)\b",
    r"\bsuret(?:y|ies)\b.{0,60}\b(?:discharged|like ?sum)\b",
    # "Appeal No. 5 of 1970 allowed with costs." as a whole sentence
    rf"\A\W*(?:[A-Z]\.? ?){{0,4}}(?:{_MATTER}|orders?|(?:crl|cr|c)\.? ?a\.?)(?: nos?\b[\d\W]{{1,60}}(?:of \d+)?)?,?"
    rf"(?: are| is)?(?: (?:partly|hereby|accordingly|in part))* (?:{_FATE}|accordingly)(?: of)?"
    r"(?:(?: in part| partly|,? with(?:out)?| and|,? no)\b.{0,60})?\W*\Z",
    r"\A\W*(?:dismissed|allowed|no costs|ordered accordingly|draw .{0,20}accordingly)\b",
    # "There shall be no order as to costs." "The parties will bear their own costs."
    r"\bno orders?(?: is made)? (?:as to|regarding|for) costs\b",
    r"\bbear (?:his|her|its|their|the)(?: own| respective)* costs\b",
    rf"\b{_PARTY} (?:will|shall|must|to) (?:pay|get|have|be entitled to)\b.{{0,40}}\bcosts\b",
)

# ---------------------------------------------------------------- the outcome follows

_FOLLOWS = _pattern(
    # "The appeal must be allowed." "This petition deserves to be dismissed." "It is liable to be rejected."
    rf"\b{_MATTER}\b{_GAP}{{0,120}}?\b{_WILL} ?{_FATE}\b",
    rf"\b(?:it|they|the same)\b,? {_WILL} ?(?:allowed|dismissed|rejected|quashed|set[- ]aside)\b",
    # "The appeal fails." "The petition must succeed."
    rf"\b{_MATTER}\b{_GAP}{{0,60}}?\b(?:fails|succeeds"
    r"|(?:must|should|shall|will|does|has to|have to|cannot|can not)\b.{0,30}?\b(?:fail|succeed))\b",
    rf"\b{_MATTER}\b,? (?:also |therefore |accordingly |must )?(?:fail|succeed)\b",
    # "There is no merit in this appeal." "The petition is devoid of substance."
    r"\b(?:no|any|without|devoid of|lacks?|little) (?:any )?(?:merits?|substance|force|infirmity|ground)\b.{0,40}"
    rf"\b(?:in|of|for) (?:the|this|these|both) (?:present |instant |aforesaid )?{_MATTER}\b",
    rf"\b{_MATTER}\b.{{0,60}}\b(?:has no (?:merits?|substance|force)|lacks? (?:merits?|substance)|(?:is|are){_SO} ?"
    r"(?:without|devoid of|bereft of|barred|incompetent|infructuous|not maintainable|misconceived))\b",
    r"\bno substantial questions? of law\b.{0,40}\b(?:arises?|involved|made out|for)\b",
    # "The order of the High Court cannot be sustained." "The conviction deserves to be set aside."
    rf"\b{_ORDER}\b{_GAP}{{0,160}}?\b(?:{_WILL}|cannot(?: be)?) ?(?:{_REVERSED}|{_KEPT}|interfered with"
    r"|allowed to stand|stand|fail)\b",
    # "We see no reason to interfere with the order of acquittal."
    r"\b(?:no|any|not|nor|declin\w+|without)\b.{0,50}\b(?:interfere|interference)\b",
    # "The appellant deserves to be acquitted." "He is entitled to the benefit of doubt."
    rf"\b{_PARTY}\b{_GAP}{{0,60}}?\b{_WILL} ?(?:acquitted|released|enlarged|admitted to bail|set at liberty|convicted"
    r"|discharged)\b",
    r"\b(?:entitled to|given|give|extend(?:ed)?|granted) (?:the )?benefit of (?:the )?(?:reasonable )?doubt\b",
    # "The plaintiff is entitled to a decree."
    rf"\b{_PARTY}\b.{{0,20}}\b(?:is|are){_SO} ?(?:not )?entitled (?:to|for) (?:\w+ ){{0,2}}"
    r"(?:reliefs?|possession|decree|succeed)\b",
    # "Let a writ of mandamus issue."
    r"\blet (?:a|the) (?:writ|decree|rule|order)\b",
    r"\b(?:writ|direction|decree|rule)\b.{0,60}\b(?:shall|will|do|must) (?:accordingly )?(?:issue|follow)\b",
    # "The petitioner shall not tamper with the evidence." (terms of a bail that is thereby granted)
    rf"\b{_PARTY}\b.{{0,30}}\bshall (?:also |regularly |not |further )*{_BOUND}\b",
    # "The matter is remanded to the Tribunal for a fresh decision."
    rf"\b(?:matter|case|issue|cause|proceedings?)\b.{{0,60}}\b{_WILL} ?(?:remanded|remitted|sent back|restored)\b",
)

# ---------------------------------------------------------------- near the end, views that leave one outcome

_NEAR_END = 0.85
_VIEW = _pattern(
    # "The High Court was right in dismissing the suit." "The Tribunal erred."
    rf"\b{_LOWER_COURT}\b.{{0,80}}\b(?:erred|rightly|wrongly|correctly|committed"
    r"|(?:was|were|is|are|has|have) (?:\w+ ){0,3}(?:right|wrong|justified|correct|error|unjustified))\b",
    r"\b(?:rightly|wrongly|correctly|erroneously) (?:\w+ )?(?:held|convicted|dismissed|allowed|rejected|set aside"
    r"|decided|quashed|acquitted|refused|granted|decreed|disallowed)\b",
    # "... in favour of the assessee and against the Revenue."
    rf"\bin favou?r of the {_PARTY}\b",
    # "There is no merit in the contention."
    r"\b(?:no|any|without|devoid of|lacks?|considerable|great|much) (?:merits?|substance|force)\b",
    # "The judgment cannot stand."
    r"\b(?:cannot|can not|could not) be (?:sustained|upheld|supported|maintained|allowed to stand|faulted)\b",
    r"\bcannot stand\b|\b(?:un)?sustainable\b",
)

# ---------------------------------------------------------------- what takes it back

# Words before the match, in its clause, by which it is asked or supposed ...
_ASKED = _pattern(
    r"\b(?:whether|if|unless|until|till|when|where|in case|in the event|provided that|even though|suppos\w+|assum\w+)\b"
)
# ... or argued, prayed for, thought or told of others.
_REPORTED = _pattern(
    r"\b(?:pray(?:s|ed|er|ing)?|seek(?:s|ing)?|sought|request\w*|pleas?|according to|suggest\w*|insist\w*|alleg\w+)\b",
    r"\b(?:submi(?:t|ts|tted|ssions?)|conten(?:d|ds|ded|ding|tions?)|argu(?:e|es|ed|ments?)|urg(?:e|es|ed)|pleaded"
    r"|claim(?:s|ed))\b",
    r"\b(?:court|tribunal|judge|bench|magistrate|commissioner|authority|officer|lordships?|he|she|they|it was)"
    r" (?:\w+ ){0,3}(?:held|observed|ordered|directed|found|concluded|said|stated|thought|considered|noted)\b",
    r"\b(?:was|were|had)\b.{0,40}\b(?:held|view|opinion|found|observed|ordered|directed|conclusion)\b",
    r"\b(?:may|might|could|can)\b[^,]{0,25}\Z",
)
# The same within the match: "a petition praying that the notice be quashed".
_REPORTED_WITHIN = _pattern(
    r"\b(?:pray|contend|submitt|urg|argu|seek|claim)(?:ed|ing|s)\b(?=.*\bbe\b)|\b(?:came|ordered) to be\b"
    r"|\b(?:it was|court|tribunal|judge) (?:held|observed|found|said)\b",
)
# A clause that begins like this is the court's own again.
_TURN = _pattern(r"[;:]", r",? \b(?:but|however|therefore|accordingly|hence|consequently|so)\b", r", and\b")
_FIRST_PERSON = _pattern(r"(?:we|i)\b")

# Under these roles "the appeal is dismissed" tells of another decision unless it says "this" or "we".
_OF_OTHERS = frozenset({"RLC", "PRE", "PRE_RELIED", "PRE_NOT_RELIED"})
_PRESENT = _pattern(
    rf"\b(?:this|these|the present|the instant|both)(?: \w+){{0,2}} {_MATTER}\b",
    r"\b(?:we|our|us)\b",
    rf"\b(?:following|applying|in view of|in the light of|for) (?:that|this|these|the)\b.*\b{_MATTER}\b",
)
_ARGUED = frozenset({"ARG", "ARG_PETITIONER", "ARG_RESPONDENT"})
# No more of a sentence is looked at.
_LONGEST = 3000
# "dis- missed", as a line break left it.
_HYPHENATED = re.compile(r"([a-z])- ([a-z])")

# ---------------------------------------------------------------- the closing line

_LONGEST_CLOSING = 300
_CLOSING = re.compile(
    r"""
    (?:\A|(?<=[\s.;:'")\]}]))
    (?P<line>(?=\S)
        (?:[A-Z]{1,2}\.?\s?){0,5}(?:/-?|[-,])?\s{0,40}                        # the reporter's initials
        (?:\b(?:Civil|Criminal|Writ|Special|Leave|Review|Transfer|Cross|Both|All|S\.?L\.?P\.?|W\.?P\.?)[ -]){0,4}
        (?:Appeals?|Petitions?|Applications?|Suits?|Rules?|References?|Cases?|Matters?|Revisions?|Objections?|Orders?)
        (?:\ and\ [A-Z]\w+)?
        (?:\ Nos?\.?[^a-z]{1,60}?(?:\ (?:of|and|to|in)\ [^a-z]{1,40}?){0,4})?
        ,?\s{1,3}(?:(?:partly|in|part|accordingly|made|stands?)\s){0,3}
        (?i:allowed|dis-?\s?miss(?:ed|es)|discharged|remanded|remitted|absolute|disposed|answered|rejected|decreed
          |granted|accordingly|quashed|set\ aside|modified|withdrawn)\b
        [^.]{0,80}\.?["')\]]{0,2}
        (?:\s[^a-z]{0,120})?                                               # a page number, citations of a footnote
    )
    \Z
    """,
    re.VERBOSE,
)


def is_verdict(sentence: str, *, role: str = "", position: float = 1.0) -> bool:
    """Whether a sentence tells the fate of the present matter.

    Args:
        sentence: one sentence; its first 3,000 characters are looked at.
        role: its rhetorical role, "" where unknown. What stands under a lower court's ruling or a precedent is a
            verdict only where it speaks of this matter, what stands under an argument only where the court decides.
        position: where it starts, as a share of the judgment's length (0 = beginning, 1 = end). In the last 15 %,
            and in a preamble, which may hold a headnote, a view of the decision below ("The High Court erred.") counts.

    Returns:
        True for "The appeal must be allowed.", "We dismiss this petition with costs."; False for "The High Court
        dismissed the first appeal.", "It is prayed that the appeal be allowed.", "Should the appeal be allowed?".
    """
    words = _HYPHENATED.sub(r"\1\2", " ".join(sentence[:_LONGEST].split()))
    if role in _OF_OTHERS and not _PRESENT.search(words):
        return False
    kinds = [_DECIDED]
    if role not in _ARGUED:
        kinds.append(_FOLLOWS)
    if role not in _ARGUED and (position >= _NEAR_END or role == "PREAMBLE"):
        kinds.append(_VIEW)
    return any(_decides(words, match) for kind in kinds for match in kind.finditer(words))


def _decides(words: str, match: re.Match[str]) -> bool:
    """Whether nothing in the clause of the match says that it is asked, argued, prayed for or told of others."""
    clause = _TURN.split(words[: match.start()])[-1]
    if _ASKED.search(clause) or _REPORTED_WITHIN.search(match.group()):
        return False
    return _FIRST_PERSON.match(match.group()) is not None or _REPORTED.search(clause) is None


def closing_line(text: str) -> tuple[int, int] | None:
    """Offsets of the law reporter's closing line at the very end of a judgment, from the reporter's initials on.

    Args:
        text: the whole judgment.

    Returns:
        Half-open offsets of "V.P.S. Appeal dismissed." or "Rule discharged.", with the page number or footnotes that
        may follow it; None where the judgment does not end with such a line.
    """
    end = len(text.rstrip())
    found = _CLOSING.search(text, max(0, end - _LONGEST_CLOSING), end)
    return found.span("line") if found else None
