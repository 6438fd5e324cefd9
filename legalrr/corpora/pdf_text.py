"""What the text of a PDF is rid of, page by page; pure functions, in the order in which they are applied.

`cleaned`                characters: line ends, ligatures, odd spaces and hyphens, what has no shape at all.
`without_running_lines`  headers, footers and page numbers, told by their return on other pages.
`with_title`             but not the title, where the first page bears it and others repeat it.
`joined`                 pages set one under another, words that a line or page break divides made whole.

Nothing else is touched. Lines stay as they are printed, as `legalrr.segment.sentences` reads printed lines.
"""

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from itertools import accumulate
from math import ceil

PAGE_BREAK = "\f"
_LINE_END = re.compile(r"\r\n?|[\v\f\x85\u2028\u2029]")
# PDFium writes U+FFFE or U+0002 for a hyphen at the end of a line together with the line break (fpdf_text.h).
_DIVIDED = re.compile(r"[\ufffe\x02]")
# Control characters, zero-width space, word joiner, byte order mark; joiners that Indian scripts need are kept.
_SHAPELESS = re.compile(r"[\0-\x08\x0e-\x1b\x7f-\x9f\u200b\u2060\ufeff\uffff]")
_LIGATURE = re.compile(r"[\ufb00-\ufb06]")
_SOFT_HYPHEN_AT_END = re.compile(r"-?\xad+[^\S\n]*(?=\n|\Z)")
_HYPHEN = re.compile(r"[\u2010\u2011]")
_SPACES = re.compile(r"[^\S\n]+")

# A line on every third page is no part of the text; left and right pages may have one each.
_SHARE_OF_PAGES = 1 / 3
_PAGES = 3
_HEADER_LINES = 4
_LONGEST_HEADER = 200

_WORD = re.compile(r"\w+(?:-\w+)*")
_BROKEN = re.compile(r"(?<![\w-])(?P<head>\w+(?:-\w+)*)-\n(?P<pages>\f*)(?=(?P<tail>\w+(?:-\w+)*))")
_JOINT = "\v"
# A word made whole, with those after it as long as one ends in a hyphen: no line may end there anew.
_MENDED = re.compile(rf"(?<![^ \n])(?P<word>[^ \n]*{_JOINT}[^ \n]*(?:(?<=-) [^ \n]+)*)(?P<gap> |\n|\Z)")
# These are set off by a hyphen wherever they stand.
_PREFIXES = frozenset({"non", "self", "cross"})


def cleaned(page: str) -> str:
    """The text of a page with ordinary characters only.

    Line ends become newlines, runs of other white space one space, ligatures (U+FB00 to U+FB06) letters, U+2010 and
    U+2011 hyphens. A soft hyphen is a hyphen at the end of a line and nothing elsewhere. Characters without shape go,
    and so does white space at the ends of lines and of the page. Letters are not normalised otherwise.
    """
    text = _LINE_END.sub("\n", page)
    text = _SHAPELESS.sub("", _DIVIDED.sub("-\n", text))
    text = _LIGATURE.sub(lambda found: unicodedata.normalize("NFKC", found.group()), text)
    text = _SOFT_HYPHEN_AT_END.sub("-", text).replace("\xad", "")
    text = _SPACES.sub(" ", _HYPHEN.sub("-", text))
    return "\n".join(line.strip() for line in text.split("\n")).strip()


def without_running_lines(pages: Sequence[str]) -> list[str]:
    """The same pages without the headers, footers and page numbers that return on others.

    The first or last line of a page is a running line if it is the first or last line of three pages and of a third of
    all, or if one of its numbers goes up with the pages ("Page 3 of 9", "- 3 -", "124 THE REPORTS") on three pages, or
    two of less than seven. It is taken away, and the next line looked at, until no page has any. More than four lines
    that return are a text that is printed several times, as in orders of one form, and stay. So do a number on a single
    page, and a header that stands on few.

    Args:
        pages: their texts, as `cleaned` gives them.

    Returns:
        As many texts; "" for a page that has nothing else.
    """
    left = list(pages)
    while (less := _peeled(left)) != left:
        left = less
    return left


def _peeled(pages: Sequence[str]) -> list[str]:
    lines = [page.split("\n") for page in pages]
    whole = [_trimmed(page, 0, len(page)) for page in lines]
    places = list(whole)
    while running := _running([page[start:end] for page, (start, end) in zip(lines, places, strict=True)]):
        for page, edge in running:
            start, end = places[page]
            # A page of one line may have lost it from the other side.
            if start < end:
                inner = (start + 1, end) if edge == 0 else (start, end - 1)
                places[page] = _trimmed(lines[page], *inner)
    kept = [_kept(page, *place) for page, *place in zip(lines, whole, places, strict=True)]
    return ["\n".join(page[start:end]) for page, (start, end) in zip(lines, kept, strict=True)]


def _kept(lines: Sequence[str], whole: tuple[int, int], inner: tuple[int, int]) -> tuple[int, int]:
    """The stretch `inner` of a page, or `whole` on a side where more would go than a header has."""
    start, end = inner
    if start == end:
        return whole if _filled(lines) > _HEADER_LINES else inner
    above, below = _filled(lines[:start]), _filled(lines[end:])
    return whole[0] if above > _HEADER_LINES else start, whole[1] if below > _HEADER_LINES else end


def _filled(lines: Sequence[str]) -> int:
    """How many lines are not blank."""
    return sum(1 for line in lines if line.strip())


def _trimmed(lines: Sequence[str], start: int, end: int) -> tuple[int, int]:
    """The stretch of lines from `start` to `end` without blank ones at either end."""
    while start < end and not lines[start].strip():
        start += 1
    while start < end and not lines[end - 1].strip():
        end -= 1
    return start, end


def _running(pages: Sequence[Sequence[str]]) -> list[tuple[int, int]]:
    """Page and edge (0 first line, -1 last line) of the outermost lines that return."""
    third = ceil(len(pages) * _SHARE_OF_PAGES)
    found: set[tuple[int, int]] = set()
    for edge in (0, -1):
        places: defaultdict[tuple[str, int | None], set[int]] = defaultdict(set)
        for page, lines in enumerate(pages):
            for form in _forms(lines[edge], page) if lines else ():
                places[form].add(page)
        for (_, distance), alike in places.items():
            if len(alike) >= (max(third, _PAGES) if distance is None else max(2, min(third, _PAGES))):
                found |= {(page, edge) for page in alike}
    return sorted(found)


def _forms(line: str, page: int) -> Iterator[tuple[str, int | None]]:
    """The line as it stands, and with each of its numbers as its distance from the number of the page; none of a line
    of more than 200 characters."""
    if len(line) > _LONGEST_HEADER:
        return
    yield line, None
    for found in re.finditer(r"\d+", line):
        # Longer ones are no page numbers.
        if len(found.group()) <= 5:
            yield f"{line[: found.start()]}\0{line[found.end() :]}", int(found.group()) - page


def with_title(pages: Sequence[str], left: Sequence[str]) -> list[str]:
    """Pages without running lines, but for those that stand above the text of the first page and return word for word.

    They are most often its title, which the later pages repeat, and nowhere else would it be read.

    Args:
        pages: texts with running lines.
        left: the same as `without_running_lines` gives them.
    """
    if not left or not left[0]:
        return list(left)
    lines, text = pages[0].split("\n"), left[0].split("\n")
    start = next(i for i in range(len(lines)) if lines[i : i + len(text)] == text)
    later = {line for page in pages[1:] for line in page.split("\n")}
    title = [line for line in lines[:start] if not line or line in later]
    return ["\n".join([*title, *text]).strip(), *left[1:]]


def joined(pages: Sequence[str | None]) -> tuple[str, tuple[int, ...]]:
    """The text of a judgment from that of its pages.

    Pages follow one another like lines, as sentences run on from page to page; a blank line stands where an unread one
    is left out. Words that a line or page break divides are made whole by `mended`.

    Args:
        pages: their texts without running lines; None for a page whose text is not known.

    Returns:
        The text, and the offset where each page starts in it. A page ends where the next one starts; a word that is
        divided between two pages has the boundary where it was divided.
    """
    shown: list[str] = []
    breaks, unread = "", False
    for number, page in enumerate(pages):
        breaks += PAGE_BREAK if number else ""
        if page:
            gap = "\n\n" if unread else "\n"
            shown += [gap if shown else "", breaks, page]
            breaks, unread = "", False
        else:
            unread = unread or page is None
    text = "".join(shown) + breaks
    parts = mended(text).split(PAGE_BREAK)
    return "".join(parts), tuple(accumulate(map(len, parts[:-1]), initial=0))


def mended(text: str) -> str:
    """The text with every word whole that is divided by a hyphen at the end of a line; the line then ends after it.

    Whether the hyphen goes ("appel-/lant") or stays ("well-/known") is what the rest of the text has more often. Where
    that does not tell, it stays after "non", "self" and "cross", between two words that the text has by themselves,
    beside a digit, before a capital unless all are, and where less than two letters stand on a side; else it goes.

    Args:
        text: lines, with `PAGE_BREAK` before the first line of a page.
    """
    words = Counter(word.casefold() for word in _WORD.findall(_BROKEN.sub(" ", text)))
    # The pieces of divided words are no words of the text.
    words.subtract(found["tail"].casefold() for found in _BROKEN.finditer(text))

    def whole(found: re.Match[str]) -> str:
        hyphen = "-" if _hyphen_stays(found["head"], found["tail"], words) else ""
        return found["head"] + hyphen + _JOINT + found["pages"]

    text = _BROKEN.sub(whole, text)
    return _MENDED.sub(lambda found: found["word"].replace(_JOINT, "") + found["gap"].replace(" ", "\n"), text)


def _hyphen_stays(head: str, tail: str, words: Counter[str]) -> bool:
    with_it, without = words[f"{head}-{tail}".casefold()], words[f"{head}{tail}".casefold()]
    if with_it != without:
        return with_it > without
    left, right = head.rpartition("-")[2], tail.partition("-")[0]
    if not (left.isalpha() and right.isalpha()) or min(len(left), len(right)) < 2:
        return True
    if right[0].isupper() and not (left.isupper() and right.isupper()):
        return True
    left, right = left.casefold(), right.casefold()
    return left in _PREFIXES or (words[left] > 0 and words[right] > 0)
