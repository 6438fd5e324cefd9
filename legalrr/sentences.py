"""Split a judgment into sentences, by rules for Indian legal English.

A sentence ends at a full stop, question mark or exclamation mark (with closing quotes and brackets), at a blank line,
around a heading in capitals, before a numbered paragraph, and at a line break that is not due to typesetting. It does
not end after an abbreviation ("A. v. B", "Rs. 500", "s. 302", also at the end of a line), after an initial, after the
number of a paragraph or a quoted section ("12. The appellant ...", "Section 37. Offences to be ..."), at ellipses, nor
before a word in small letters. The number of the next paragraph also starts a sentence within a line; a page number
belongs to the sentence before it.

`benchmarks/sentences.py` compares these rules with libraries; they have the best score on every gold standard there.
Every decision looks at a bounded context, so the time is linear in the length of the text.
"""

import re
from collections.abc import Iterator
from statistics import median

# Printed lines are not longer, so a line break next to a longer line ends a sentence or paragraph.
_PRINTED_LINE = 120
# If half of the lines are longer, no line break is due to typesetting.
_PRINTED_MEDIAN = 90
# Maximum length of an abbreviation or paragraph number.
_LOOKBACK = 24


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Never the last word of a sentence.
_INTRODUCING = _words("""
    v vs v/s versus rs re viz i.e ie e.g eg u/s u/ss u/a r/w a/w w.e.f c/o s/o d/o w/o r/o dr mr mrs ms mst md messrs
    m/s smt sm sau shri sri km kum prof asst asstt kr mohd ld addl jt prl hon'ble hon’ble hon`ble adv capt col maj lt
    insp
""")
# The last word of a sentence only if the next word is in `_OPENERS`.
_AMBIGUOUS = _words("""
    no nos art arts sec secs s ss r rr cl cls ch chap vol para paras p pp pg ed eds edn dt dtd cf etc al ibid supp suppl
    ex exs exh exhs ext exts annex p.w p.ws d.w d.ws c.w pw pws dw dws m.o m.os cr crl cri civ misc govt dist secy mfg
    appln app sl sr hon st gen sgt sh dy ltd co corp bros inc pvt ors anr jan feb mar apr jun jul aug sep sept oct nov
    dec as gm gms kg kgs cm mm ft sq ltr ltrs approx jr
    cr.p.c crl.p.c cr.pc c.p.c i.p.c a.i.r s.c.r s.c.c s.c i.l.r cri.l.j cr.l.j crl.l.j i.t.r all.e.r l.r ch.d n.d.p.s
    c.j c.j.i jj a.m p.m ll.b ph.d
""")
ABBREVIATIONS = _INTRODUCING | _AMBIGUOUS
"""Abbreviations of Indian judgments in lower case, without their last full stop."""
# Capitalized, these words usually start a sentence.
_OPENERS = _words("""
    the this that these those it its in on at by for from with under we he she they his her their our there here thus
    hence therefore however but and so when where while if as after before since although though further furthermore
    moreover accordingly consequently now not to all both each every some such having being according heard leave
    learned admittedly similarly again also another one two what which who whether then thereafter shri smt mr dr
    counsel accused appellant appellants petitioner petitioners respondent respondents plaintiff plaintiffs defendant
    defendants court thereupon meanwhile nevertheless even instead subsequently finally firstly secondly thirdly lastly
    during upon until unless because under without within between against once later nothing none my
""")

# A number after one of these words does not number a paragraph.
_COUNTED = _words("""
    no nos number section sections article articles rule rules order clause para paragraph page point issue question
    ground exhibit charge accused and or to of on by in at from than nearly about only till until under dated
    january february march april may june july august september october november december
""")

_CLOSERS = "\"'”’»)]}"
# "the order. " and "the order.)"; OCR may put a space before quotes.
_STOP = re.compile(
    rf"[.?!…।][.?!…]{{0,8}}[{re.escape(_CLOSERS)}]{{0,4}}(?:[^\S\n]{{1,2}}[\"'”’](?=\s))?(?=\s|$)"
    r"|(?<=[a-z]{3})\.(?=[A-Z][a-z])"
)
# Gap between two lines: whitespace, and page numbers on separate lines ("12", "- 12 -", "Page 3 of 17").
_BREAK = re.compile(
    r"\n\s*(?P<page>(?:(?:Page\s)?[-–]{0,2}[^\S\n]?\d{1,4}(?:[^\S\n]?(?:/|of)[^\S\n]?\d{1,4})?[^\S\n]?[-–]{0,2}"
    r"[^\S\n]*\n\s*){1,2})?"
)
_BREAK_AFTER = re.compile(r"[^\S\n]*" + _BREAK.pattern)
_OPENING_MARKS = ".,\"'“‘«([{`*-–— "
# 'he said: ". .', "as follows: ("
_OMISSION = re.compile(r"(?:(?:\A|\s)[\"“‘(]|[“‘:])\s?(?:\.\s?){0,8}\Z")
_LAST_WORD = re.compile(r"[^\s(\[{\"“‘,;:–—]*\Z")
_LAST_PART = re.compile(r"[^./-]*\Z")
_WORD_AFTER = re.compile(r"[^\W\d_]+")
_INITIALS = re.compile(r"(?:\w{1,5}[-\d]{0,4}[/.])?[A-Z](?:\.[A-Z]){0,4}")
_PARAGRAPH_NUMBER = re.compile(
    r"(?:(?:Section|Article|Rule|Order|Clause|Regulation)\s)?"
    r"[(\[]?(?:\d{1,4}(?:\.\d{1,3}){0,3}[A-Z]{0,2}|[A-Za-z]|[ivxlc]{1,6}|[IVXLC]{1,6})[)\]]?"
)
# '"31. The tax', "“Section 37. Offences"
_QUOTED_NUMBER = re.compile(r"[\"“'‘](?:(?:Section|Article|Rule|Order|Clause|Regulation)\s)?[(\[]?\d{1,4}[A-Z]{0,2}\Z")
# A paragraph number within a line, with the word before it.
_INLINE_NUMBER = re.compile(r"(?P<word>\S{1,20})\s{1,3}(?P<number>[\"“'‘]?(?P<value>\d{1,3}))\Z")
_OPENING_NUMBER = re.compile(r"\s{0,200}[\"“'‘]?(\d{1,3})\.")
_ROMAN = r"(?=[ivx])x{0,3}(?:ix|iv|v?i{0,3})"
# "(b) The", "(ii)25 of", "iv. The", after the opening bracket; a single v means versus.
_ITEM = re.compile(rf"(?:(?:[a-z]|{_ROMAN})\)\s{{0,8}}|(?!v\.){_ROMAN}\.\s{{1,8}})[\"'“‘(]?[A-Z\d]")
# "(2) The", "12.1 The", "12   The"
_NUMBERED = re.compile(
    r"[(\[]?\d{1,3}(?:\.\d{1,2})?(?:[.)\]]{1,2}\s{1,8}|\s{2,20})[\"'“‘(]?[A-Z]|\d{1,3}\.\d{1,2}\s[A-Z]"
)


def split(text: str) -> list[tuple[int, int]]:
    """Return the offsets of the sentences of `text`.

    Args:
        text: any text; it is not normalized.

    Returns:
        Half-open character offsets, ordered, disjoint and not empty. No sentence starts or ends with whitespace, and
        every other character belongs to a sentence.
    """
    sentences = []
    start = 0
    for end in _ends(text):
        piece = text[start:end]
        left = len(piece) - len(piece.lstrip())
        if left < len(piece):
            sentences.append((start + left, start + len(piece.rstrip())))
        start = end
    return sentences


def _ends(text: str) -> Iterator[int]:
    """Yield the ends of sentences, ascending; the last is the end of the text."""
    start = paragraph = 0
    line_ends = _line_ends(text)
    line_end = next(line_ends, len(text))
    for stop in _STOP.finditer(text):
        while line_end < stop.end():
            yield line_end
            start, line_end = line_end, next(line_ends, len(text))
        if opening := _OPENING_NUMBER.match(text, start, stop.end()):
            paragraph = int(opening.group(1))
        number = _inline_number(text, start, stop.start(), paragraph + 1)
        if number is not None:
            yield number
            start, paragraph = number, paragraph + 1
        elif _is_end(text, start, stop.start(), stop.end()) and not _page_follows(text, stop.end(), line_end):
            yield stop.end()
            start = stop.end()
    yield from (line_end, *line_ends, len(text))


def _page_follows(text: str, end: int, line_end: int) -> bool:
    """Return whether only a page number is between `end` and the next line."""
    gap = _BREAK_AFTER.match(text, end, line_end)
    return gap is not None and gap["page"] is not None and gap.end() == line_end


def _inline_number(text: str, start: int, stop: int, expected: int) -> int | None:
    """Return the start of the paragraph number `expected` if it precedes the full stop at `stop`, else None."""
    if expected == 1 or not text[stop - 1 : stop].isdecimal() or not text[stop + 1 : stop + 8].lstrip()[:1].isupper():
        return None
    begins = max(start, stop - _LOOKBACK)
    found = _INLINE_NUMBER.search(text, begins, stop)
    if found is None or int(found["value"]) != expected:
        return None
    word = found["word"].lower()
    return None if word in _COUNTED or word.endswith((".", ",")) else found.start("number")


def _is_end(text: str, start: int, stop: int, end: int) -> bool:
    """Return whether the mark from `stop` to `end`, with closing quotes, ends the sentence that starts at `start`."""
    after = text[end : end + 40].lstrip()
    following = after.lstrip(_OPENING_MARKS)
    if after.startswith(".") or (following[:1].islower() and not _ITEM.match(following)):
        return False
    before = text[max(start, stop - _LOOKBACK) : stop]
    if not any(character.isalnum() for character in before) or _OMISSION.search(before):
        return False
    if text[stop:end].rstrip(_CLOSERS + " ") != ".":
        return True
    if _QUOTED_NUMBER.search(before) or (stop - start < _LOOKBACK and _PARAGRAPH_NUMBER.fullmatch(before.strip())):
        return False
    word = _last_word(before)
    if _last_part(word) in _INTRODUCING:
        return False
    if _last_part(word) in _AMBIGUOUS or word.lower() in _AMBIGUOUS or _INITIALS.fullmatch(word):
        opener = _WORD_AFTER.match(following)
        return opener is not None and opener.group().lower() in _OPENERS
    return True


def _last_word(before: str) -> str:
    found = _LAST_WORD.search(before)
    return found.group() if found else ""


def _last_part(word: str) -> str:
    """Return the last part of a word: "no" of "O.S.No", "s" of "sub-s"; all of "i.e" and "Hon'ble"."""
    key = word.lower()
    found = _LAST_PART.search(key)
    return key if key in _INTRODUCING or found is None else found.group()


def _line_ends(text: str) -> Iterator[int]:
    """Yield the line breaks that end a sentence, ascending, as the offset of the next line."""
    breaks = list(_BREAK.finditer(text))
    starts = [0, *(gap.end() for gap in breaks)]
    ends = [*(gap.start() for gap in breaks), len(text)]
    lines = list(zip(starts, ends, strict=True))
    unprinted = median(end - start for start, end in lines) > _PRINTED_MEDIAN
    for i, gap in enumerate(breaks):
        if _breaks(text, lines[i], lines[i + 1], gap, unprinted=unprinted):
            yield gap.end()


def _breaks(
    text: str, line: tuple[int, int], following: tuple[int, int], gap: re.Match[str], *, unprinted: bool
) -> bool:
    """Return whether a sentence ends in the gap between two lines, given as offsets."""
    blank = text.count("\n", *gap.span()) > 1
    small = text[following[0] : following[0] + 1].islower()
    if not small and (_is_heading(text, line) or _is_heading(text, following) or _NUMBERED.match(text, *following)):
        return True
    words = text[max(line[0], line[1] - _LOOKBACK) : line[1]].rstrip()
    if small or gap["page"]:
        # A page break within a sentence also leaves a blank line.
        return blank and words.endswith((".", "?", "!", ":", ";", "-"))
    if blank:
        return True
    long = max(line[1] - line[0], following[1] - following[0]) > _PRINTED_LINE
    stop = max(line[0], line[1] - _LOOKBACK) + len(words) - 1
    return (unprinted or long) and not (words.endswith(".") and not _is_end(text, line[0], stop, stop + 1))


def _is_heading(text: str, line: tuple[int, int]) -> bool:
    """Return whether a line has at least four letters, all of them capitals."""
    start, end = line
    if end - start > _PRINTED_LINE:
        return False
    words = text[start:end]
    return words.isupper() and sum(character.isalpha() for character in words) >= 4
