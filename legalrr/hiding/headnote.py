"""Find what the law reporter adds to a judgment: the headnote before it and the closing line after it.

The law reporter's line after a Supreme Court judgment: "V.P.S. Appeal dismissed."

The law reporter's headnote before a judgment: catch-words, summary and holding, which tell the outcome.

Reports print it between the names of the parties and the judgment; in BUILD it is part of the PREAMBLE. It is found by
its own headings, in text without roles too:

    ACT: / CATCHWORDS: / CASE NOTE: / HEADNOTE:       begins it
    JUDGMENT: / CIVIL APPELLATE JURISDICTION / "The Judgment of the Court was delivered by"       ends it

Where no heading stands, a paragraph that begins with "Held" or carries page marks ("[520A-D]") before the judgment
begins it. Detection looks at a plain copy (`legalrr.hiding.plain_text`); offsets are those of the text.
"""

import re

from legalrr.hiding.plain_text import normalised, plain

_LONGEST = 300
_WITH_MARKUP = 3 * _LONGEST
"""Characters at the end that are looked at; a plain copy of them may be far shorter."""
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


def closing_line(text: str) -> tuple[int, int] | None:
    """Offsets of the law reporter's closing line at the very end of a judgment, from the reporter's initials on.

    Args:
        text: the whole judgment.

    Returns:
        Half-open offsets of "V.P.S. Appeal dismissed." or "Rule discharged.", with the page number or footnotes that
        may follow it; None where the judgment does not end with such a line.
    """
    before = max(0, len(text.rstrip()) - _WITH_MARKUP)
    copy = normalised(text[before:].rstrip())
    end = len(copy.text.rstrip())
    found = _CLOSING.search(copy.text, max(0, end - _LONGEST), end)
    if found is None:
        return None
    start, stop = copy.span(*found.span("line"))
    return before + start, before + stop


_LATEST = 0.6
"""Where no heading says so, a judgment that begins beyond this share of the text is no sign of a headnote before it."""
_EARLY = 0.3
"""Page marks beyond this share of a text without headings belong to no headnote."""
_CATCHWORDS_ABOVE = 8000
"""Characters above HEADNOTE in which its catch-words (ACT:) are looked for."""
_PARAGRAPH = 1500
"""Characters in which a blank line above is looked for."""

_BLANK = re.compile(r"\n[ \t\r]*\n")
_END_OF_LINE = r"[ \t]*(?:[:.\-\u2013\u2014\u2020*][ \t]*)*$"
_HEADING = re.compile(
    r"^[ \t]*(?:(?:H ?E ?A ?D ?[- ]?N ?O ?T ?E ?S?|CASE[ \t]NOTES?|CATCH[- ]?WORDS?|RATIO[ \t]DECIDENDI)(?:[ \t]*:|"
    + _END_OF_LINE
    + r")|(?i:head[- ]?notes?|case[ \t]notes?|catch[- ]?words?|ratio[ \t]decidendi)(?:[ \t]*:|"
    + _END_OF_LINE
    + r"))",
    re.MULTILINE,
)
_ACT = re.compile(r"^[ \t]*ACTS?[ \t]*:", re.MULTILINE)
_JUDGMENT = re.compile(
    # "JUDGMENT:", "J U D G M E N T", "COMMON JUDGMENT AND ORDER", "Judgment" on a line of its own
    r"^[ \t]*(?:(?:ORAL|COMMON|FINAL|INTERIM)[ \t]+)?(?:J ?U ?D ?G ?E? ?M ?E ?N ?T ?S?|O ?R ?D ?E ?R)"
    r"(?:[ \t]*(?:&|AND|/)[ \t]*(?:ORDER|JUDGE?MENT))?(?:[ \t]*\(ORAL\))?(?:[ \t]*:|" + _END_OF_LINE + r")"
    r"|^[ \t]*(?:Judge?ment|Order)(?:[ \t]*:|" + _END_OF_LINE + r")"
    # "CIVIL APPELLATE JURISDICTION: Civil Appeal No. 980 of 1971."
    r"|\b(?:(?:CIVIL|CRIMINAL|EXTRA[- ]?ORDINARY|ADVISORY|INHERENT)[A-Z \t/&.]{1,40}|ORIGINAL )JURISDICTION\b"
    r"|^[ \t]*(?:Civil|Criminal|Original)[ \t]+(?:Appellate[ \t]+|Original[ \t]+)?Jurisdiction\b"
    # "The Judgment of the Court was delivered by"
    r"|\bThe[ \t]+(?:following[ \t]+)?(?:Judge?ments?|Orders?)(?:[ \t]+of[ \t]+the[ \t]+Court)?[ \t]+(?:was|were)"
    r"[ \t]+(?:delivered|pronounced)\b",
    re.MULTILINE,
)
_HELD = re.compile(
    r"^[ \t]*(?:\(?[\divxIVX]{1,4}[).]?[ \t]+)?(?:HELD\b|Held\b(?=[ \t]*(?:[:,;.\-\u2013]|that\b|further\b|also\b"
    r"|by\b|\()))",
    re.MULTILINE,
)
# Signs that the parties are named.
_PARTIES = re.compile(
    r"(?i:\b(?:v|vs|versus)\b)|^[ \t]*(?:PETITIONER|APPELLANT|RESPONDENT|BETWEEN)|\.{2,}\s*(?i:petitioner|appellant)",
    re.MULTILINE,
)
# "[520A-D]", "[647G-648A]", "[117B; A]", "[717 G-H, 718 A-B]": pages of the reports with the letters at their edge; OCR
# takes the bracket for an I.
_PAGE_MARK = re.compile(r"\[\d{1,4} ?[A-H](?:[ \t]?[-,;& \u2013][ \t\n]?(?:\d{1,4} ?)?[A-H]?){0,6}(?:\]|I\b)")


def headnote(text: str) -> tuple[int, int] | None:
    """Offsets of the reporter's headnote, from its catch-words or heading to where the judgment begins.

    Args:
        text: the whole judgment.

    Returns:
        Half-open offsets; None where there is no headnote. Where the judgment has no heading of its own, the headnote
        ends with its last paragraph that begins with "Held" or carries page marks, else with its first paragraph.
    """
    copy = plain(text)
    found = _headed(copy.text) or _unheaded(copy.text)
    return copy.span(*found) if found else None


def _headed(text: str) -> tuple[int, int] | None:
    heading = _HEADING.search(text)
    if heading is None:
        return None
    act = _ACT.search(text, max(0, heading.start() - _CATCHWORDS_ABOVE), heading.start())
    start = act.start() if act else heading.start()
    judgment = _JUDGMENT.search(text, heading.end())
    if judgment:
        return start, judgment.start()
    last = max((end for end in _evidence(text, heading.end(), len(text))), default=None)
    return start, last or _paragraph_end(text, heading.end())


def _unheaded(text: str) -> tuple[int, int] | None:
    judgment = _JUDGMENT.search(text)
    if judgment is None or not 0 < judgment.start() < _LATEST * len(text):
        marks = list(_PAGE_MARK.finditer(text, 0, int(_EARLY * len(text))))
        return (_start(text, marks[0].start()), marks[-1].end()) if marks else None
    starts = [
        _start(text, match.start())
        for pattern in (_HELD, _PAGE_MARK)
        if (match := pattern.search(text, 0, judgment.start()))
    ]
    return (min(starts), judgment.start()) if starts else None


def _evidence(text: str, start: int, end: int) -> list[int]:
    """Ends of the paragraphs that begin with "Held" or carry page marks."""
    return [
        _paragraph_end(text, match.start())
        for pattern in (_HELD, _PAGE_MARK)
        for match in pattern.finditer(text, start, end)
    ]


def _start(text: str, at: int) -> int:
    """Where the paragraph that holds `at` begins, or its line where no blank line is near.

    A mark at the beginning of a line belongs to the line above; a headnote before which no parties stand begins the
    text.
    """
    while at > 0 and text[at - 1].isspace():
        at -= 1
    nearest = max((m.end() for m in _BLANK.finditer(text, max(0, at - _PARAGRAPH), at)), default=None)
    start = text.rfind("\n", 0, at) + 1 if nearest is None else nearest
    return start if start > _PARAGRAPH or _PARTIES.search(text, 0, start) else 0


def _paragraph_end(text: str, at: int) -> int:
    """Where the paragraph that holds `at`, or the next one where `at` ends a line, ends."""
    while at < len(text) and text[at].isspace():
        at += 1
    blank = _BLANK.search(text, at)
    return blank.start() if blank else len(text)
