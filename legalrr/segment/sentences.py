"""Sentences of a judgment as character offsets, by rules for Indian legal English.

A sentence ends at a full stop, question mark or exclamation mark (with the quotes and brackets that close after it), at
a blank line, around a heading in capitals, before a numbered paragraph, and at a line break that no typesetter made. It
does not end after an abbreviation ("A. v. B", "Rs. 500", "s. 302"), after an initial, after the number that opens a
paragraph ("12. The appellant ..."), nor where the next word starts with a small letter.

Every decision looks at a bounded stretch on either side, so the time is linear in the length of the text.
"""

import re
from collections.abc import Iterator
from statistics import median

# A printed page has no longer lines, so whoever broke a line beside a longer one ended a sentence or a paragraph there.
_PRINTED_LINE = 120
# Where half of the lines are longer than this, no line was broken by a typesetter.
_PRINTED_MEDIAN = 90
# No abbreviation or paragraph number is longer.
_LOOKBACK = 24


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Always followed by what they introduce: never the last word of a sentence.
_INTRODUCING = _words("""
    v vs versus rs re viz i.e ie e.g eg u/s u/ss u/a r/w a/w w.e.f c/o s/o d/o w/o r/o dr mr mrs ms mst md messrs m/s
    smt shri sri km kum prof asst kr hon'ble hon’ble hon`ble adv capt col maj lt insp
""")
# The last word of a sentence only where the next word is one that opens sentences.
_AMBIGUOUS = _words("""
    no nos art arts sec secs s ss r rr cl cls ch chap vol para paras p pp ed eds edn dt cf etc al ibid supp
    ex exs exh exhs ext exts annex p.w p.ws d.w d.ws c.w pw pws dw dws m.o m.os crl cri civ govt dist secy mfg appln
    sl hon st gen sgt sh ltd co corp inc pvt ors anr jan feb mar apr jun jul aug sep sept oct nov dec
    cr.p.c crl.p.c cr.pc c.p.c i.p.c a.i.r s.c.r s.c.c s.c i.l.r cri.l.j cr.l.j crl.l.j i.t.r all.e.r l.r ch.d n.d.p.s
    c.j c.j.i jj a.m p.m ll.b ph.d
""")
# Capitalised, these open a sentence far more often than they go on one.
_OPENERS = _words("""
    the this that these those it its in on at by for from with under we he she they his her their our there here thus
    hence therefore however but and so when where while if as after before since although though further furthermore
    moreover accordingly consequently now not to all both each every some such having being according heard leave
    learned admittedly similarly again also another one two what which who whether then thereafter shri smt mr dr
    counsel accused appellant appellants petitioner petitioners respondent respondents plaintiff plaintiffs defendant
    defendants court
""")

_CLOSERS = "\"'”’»)]}"
_STOP = re.compile(rf"[.?!…।][.?!…]{{0,8}}[{re.escape(_CLOSERS)}]{{0,4}}(?=\s|$)|(?<=[a-z]{{3}})\.(?=[A-Z][a-z])")
_BREAK = re.compile(r"\n\s*")
_OPENING_MARKS = ".\"'“‘«([{`*-–— "
_LAST_WORD = re.compile(r"[^\s(\[{\"“‘,;:–—]*\Z")
_WORD_AFTER = re.compile(r"[^\W\d_]+")
_INITIALS = re.compile(r"[A-Z](?:\.[A-Z]){0,4}")
_PARAGRAPH_NUMBER = re.compile(r"[(\[]?(?:\d{1,4}(?:\.\d{1,3}){0,3}|[A-Za-z]|[ivxlc]{1,6}|[IVXLC]{1,6})[)\]]?")
# "(b) The", "iv. The", after the opening bracket; no single v, which is versus.
_ITEM = re.compile(r"(?:[a-z]\)|(?:i{1,3}|iv|vi{1,3}|ix|xi{0,3})[.)])\s{1,8}[\"'“‘(]?[A-Z]")
_NUMBERED = re.compile(r"[(\[]?\d{1,3}[.)\]]{1,2}\s{1,8}[\"'“‘(]?[A-Z]")


def split(text: str) -> list[tuple[int, int]]:
    """Offsets of the sentences of `text`.

    Args:
        text: any text; it is not normalised.

    Returns:
        Half-open character offsets, ordered and disjoint, none of them empty. A sentence neither starts nor ends with
        whitespace, and every character that is not whitespace belongs to one.
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
    """Where sentences end, ascending; the end of the text comes last."""
    start = 0
    line_ends = _line_ends(text)
    line_end = next(line_ends, len(text))
    for stop in _STOP.finditer(text):
        while line_end < stop.end():
            yield line_end
            start, line_end = line_end, next(line_ends, len(text))
        if _is_end(text, start, stop):
            yield stop.end()
            start = stop.end()
    yield from (line_end, *line_ends, len(text))


def _is_end(text: str, start: int, stop: re.Match[str]) -> bool:
    """Whether `stop` ends the sentence that opened at `start`."""
    following = text[stop.end() : stop.end() + 40].lstrip().lstrip(_OPENING_MARKS)
    if following[:1].islower() and not _ITEM.match(following):
        return False
    before = text[max(start, stop.start() - _LOOKBACK) : stop.start()]
    if not any(character.isalnum() for character in before):
        return False
    if stop.group().rstrip(_CLOSERS) != ".":
        return True
    if stop.start() - start < _LOOKBACK and _PARAGRAPH_NUMBER.fullmatch(before.strip()):
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
    """ "no" of "O.S.No", all of "i.e" and "Hon'ble"."""
    key = word.lower()
    return key if key in _INTRODUCING else key.rpartition(".")[2]


def _line_ends(text: str) -> Iterator[int]:
    """Line breaks that end a sentence, ascending, as the offset of the next line."""
    breaks = [match.span() for match in _BREAK.finditer(text)]
    starts = [0, *(end for _, end in breaks)]
    ends = [*(start for start, _ in breaks), len(text)]
    lines = list(zip(starts, ends, strict=True))
    unprinted = median(end - start for start, end in lines) > _PRINTED_MEDIAN
    for i, (gap, following) in enumerate(breaks):
        blank = text.count("\n", gap, following) > 1
        if _breaks(text, lines[i], lines[i + 1], blank=blank, unprinted=unprinted):
            yield following


def _breaks(text: str, line: tuple[int, int], following: tuple[int, int], *, blank: bool, unprinted: bool) -> bool:
    """Whether a sentence ends between two lines, given as offsets; `blank`: an empty line stands between them."""
    if text[following[0] : following[0] + 1].islower():
        # A page break amid a sentence leaves a blank line, too.
        return blank and text[line[0] : line[1]].rstrip().endswith((".", "?", "!", ":", ";", "-"))
    if blank or _is_heading(text, line) or _is_heading(text, following) or _NUMBERED.match(text, *following):
        return True
    long = max(line[1] - line[0], following[1] - following[0]) > _PRINTED_LINE
    return (unprinted or long) and not _introduces(text, line)


def _introduces(text: str, line: tuple[int, int]) -> bool:
    """Whether a line ends with "Dr." or the like."""
    words = text[max(line[0], line[1] - _LOOKBACK) : line[1]].rstrip()
    return words.endswith(".") and _last_part(_last_word(words[:-1])) in _INTRODUCING


def _is_heading(text: str, line: tuple[int, int]) -> bool:
    """Whether a line of at least four letters is in capitals throughout."""
    start, end = line
    if end - start > _PRINTED_LINE:
        return False
    words = text[start:end]
    return words.isupper() and sum(character.isalpha() for character in words) >= 4
