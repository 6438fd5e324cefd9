"""Find what the law reporter adds to a judgment: the headnote before it and the closing line after it.

The headnote has catchwords, a summary and the holding, which reveal the outcome. Reports print it between the names of
the parties and the judgment; in BUILD it is part of the PREAMBLE. Headings locate it, also in text without roles:

    ACT: / CATCHWORDS: / CASE NOTE: / HEADNOTE:       starts the headnote
    JUDGMENT: / CIVIL APPELLATE JURISDICTION / "The Judgment of the Court was delivered by"       ends it

Without a heading, it starts at the first paragraph before the judgment that opens with "Held" or has page marks
("[520A-D]"). The closing line ends Supreme Court reports: "V.P.S. Appeal dismissed."

Patterns are matched on a plain copy (`legalrr.hiding.plain_text`); offsets refer to the original text.
"""

import re

from legalrr.hiding.plain_text import fold_characters, normalize

_MAX_LINE = 300
"""Maximum length of a closing line, in characters of the plain copy."""
_LINE_WINDOW = 3 * _MAX_LINE
"""Characters of the original text searched at the end; their plain copy may be much shorter."""
_LATEST_JUDGMENT_START = 0.6
"""Without a heading, a judgment that starts after this fraction of the text does not imply a headnote before it."""
_LATEST_PAGE_MARK = 0.3
"""In a text without headings, page marks after this fraction do not belong to a headnote."""
_CATCHWORD_WINDOW = 8000
"""Characters above HEADNOTE that are searched for its catchwords (ACT:)."""
_PARAGRAPH_WINDOW = 1500
"""Characters above a mark that are searched for a blank line."""

_CLOSING_LINE = re.compile(
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
_BLANK_LINE = re.compile(r"\n[ \t\r]*\n")
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
    # "JUDGMENT:", "J U D G M E N T", "COMMON JUDGMENT AND ORDER", "Judgment" on its own line
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
# Evidence that the parties are named.
_PARTIES = re.compile(
    r"(?i:\b(?:v|vs|versus)\b)|^[ \t]*(?:PETITIONER|APPELLANT|RESPONDENT|BETWEEN)|\.{2,}\s*(?i:petitioner|appellant)",
    re.MULTILINE,
)
# "[520A-D]", "[647G-648A]", "[117B; A]", "[717 G-H, 718 A-B]": pages of the reports with their marginal letters; OCR
# reads the bracket as an I.
_PAGE_MARK = re.compile(r"\[\d{1,4} ?[A-H](?:[ \t]?[-,;& \u2013][ \t\n]?(?:\d{1,4} ?)?[A-H]?){0,6}(?:\]|I\b)")


def find_closing_line(text: str) -> tuple[int, int] | None:
    """Find the law reporter's closing line at the very end of a judgment.

    Args:
        text: the full judgment.

    Returns:
        Half-open offsets of "V.P.S. Appeal dismissed." or "Rule discharged.", from the reporter's initials to the page
        number or footnotes after it; None if the judgment does not end with such a line.
    """
    before = max(0, len(text.rstrip()) - _LINE_WINDOW)
    copy = normalize(text[before:].rstrip())
    end = len(copy.text.rstrip())
    found = _CLOSING_LINE.search(copy.text, max(0, end - _MAX_LINE), end)
    if found is None:
        return None
    start, stop = copy.span(*found.span("line"))
    return before + start, before + stop


def find_headnote(text: str) -> tuple[int, int] | None:
    """Find the reporter's headnote, from its catchwords or heading to the start of the judgment.

    Args:
        text: the full judgment.

    Returns:
        Half-open offsets; None if there is no headnote. If the judgment has no heading, the headnote ends with its last
        paragraph that opens with "Held" or has page marks, otherwise with its first paragraph.
    """
    copy = fold_characters(text)
    found = _find_by_heading(copy.text) or _find_by_marks(copy.text)
    return copy.span(*found) if found else None


def _find_by_heading(text: str) -> tuple[int, int] | None:
    """Find a headnote that has a heading."""
    heading = _HEADING.search(text)
    if heading is None:
        return None
    act = _ACT.search(text, max(0, heading.start() - _CATCHWORD_WINDOW), heading.start())
    start = act.start() if act else heading.start()
    judgment = _JUDGMENT.search(text, heading.end())
    if judgment:
        return start, judgment.start()
    last = max((end for end in _marked_paragraph_ends(text, heading.end(), len(text))), default=None)
    return start, last or _paragraph_end(text, heading.end())


def _find_by_marks(text: str) -> tuple[int, int] | None:
    """Find a headnote without a heading, by "Held" or page marks before the judgment."""
    judgment = _JUDGMENT.search(text)
    if judgment is None or not 0 < judgment.start() < _LATEST_JUDGMENT_START * len(text):
        marks = list(_PAGE_MARK.finditer(text, 0, int(_LATEST_PAGE_MARK * len(text))))
        return (_paragraph_start(text, marks[0].start()), marks[-1].end()) if marks else None
    starts = [
        _paragraph_start(text, match.start())
        for pattern in (_HELD, _PAGE_MARK)
        if (match := pattern.search(text, 0, judgment.start()))
    ]
    return (min(starts), judgment.start()) if starts else None


def _marked_paragraph_ends(text: str, start: int, end: int) -> list[int]:
    """Return the ends of the paragraphs that open with "Held" or have page marks."""
    return [
        _paragraph_end(text, match.start())
        for pattern in (_HELD, _PAGE_MARK)
        for match in pattern.finditer(text, start, end)
    ]


def _paragraph_start(text: str, at: int) -> int:
    """Return the start of the paragraph around `at`, or of its line if no blank line is near.

    A mark at the start of a line belongs to the line above. A headnote without parties before it starts at 0.
    """
    while at > 0 and text[at - 1].isspace():
        at -= 1
    nearest = max((m.end() for m in _BLANK_LINE.finditer(text, max(0, at - _PARAGRAPH_WINDOW), at)), default=None)
    start = text.rfind("\n", 0, at) + 1 if nearest is None else nearest
    return start if start > _PARAGRAPH_WINDOW or _PARTIES.search(text, 0, start) else 0


def _paragraph_end(text: str, at: int) -> int:
    """Return the end of the paragraph around `at`, or of the next one if `at` ends a line."""
    while at < len(text) and text[at].isspace():
        at += 1
    blank = _BLANK_LINE.search(text, at)
    return blank.start() if blank else len(text)
