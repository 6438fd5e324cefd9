"""Clean the text of the pages of a PDF, and join the pages: pure functions, in the order of their application.

`clean_characters`       normalize line ends, ligatures, spaces and hyphens; remove invisible characters
`remove_running_lines`   remove headers, footers and page numbers, which recur on other pages
`restore_title`          put back the title of the first page where later pages repeat it
`join_pages`             concatenate the pages and rejoin words divided by a line or page break

Nothing else is changed. Printed lines are kept, as `legalrr.sentences` expects them.
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
_DIVIDED_WORD = re.compile(r"[\ufffe\x02]")
# Control characters, zero-width space, word joiner, byte order mark. Joiners, which Indian scripts need, are kept.
_INVISIBLE = re.compile(r"[\0-\x08\x0e-\x1b\x7f-\x9f\u200b\u2060\ufeff\uffff]")
_LIGATURE = re.compile(r"[\ufb00-\ufb06]")
_SOFT_HYPHEN_AT_END = re.compile(r"-?\xad+[^\S\n]*(?=\n|\Z)")
_HYPHEN = re.compile(r"[\u2010\u2011]")
_SPACES = re.compile(r"[^\S\n]+")

# A line on every third page is a running line; left and right pages may have different ones.
_SHARE_OF_PAGES = 1 / 3
_MIN_PAGES = 3
_MAX_HEADER_LINES = 4
_MAX_HEADER_CHARACTERS = 200

_WORD = re.compile(r"\w+(?:-\w+)*")
_BROKEN = re.compile(r"(?<![\w-])(?P<head>\w+(?:-\w+)*)-\n(?P<pages>\f*)(?=(?P<tail>\w+(?:-\w+)*))")
_JOINT = "\v"
# A rejoined word, with the words after it while one ends in a hyphen: the line must not end in a hyphen again.
_REJOINED = re.compile(rf"(?<![^ \n])(?P<word>[^ \n]*{_JOINT}[^ \n]*(?:(?<=-) [^ \n]+)*)(?P<gap> |\n|\Z)")
# Prefixes that keep their hyphen.
_PREFIXES = frozenset({"non", "self", "cross"})


def clean_characters(page: str) -> str:
    """Normalize the characters of a page.

    Line ends become newlines, runs of other white space one space, ligatures (U+FB00 to U+FB06) letters, U+2010 and
    U+2011 hyphens. A soft hyphen becomes a hyphen at the end of a line and is removed elsewhere. Invisible characters
    and white space at the ends of lines and of the page are removed. Letters are not normalized otherwise.
    """
    text = _LINE_END.sub("\n", page)
    text = _INVISIBLE.sub("", _DIVIDED_WORD.sub("-\n", text))
    text = _LIGATURE.sub(lambda found: unicodedata.normalize("NFKC", found.group()), text)
    text = _SOFT_HYPHEN_AT_END.sub("-", text).replace("\xad", "")
    text = _SPACES.sub(" ", _HYPHEN.sub("-", text))
    return "\n".join(line.strip() for line in text.split("\n")).strip()


def remove_running_lines(pages: Sequence[str]) -> list[str]:
    """Remove recurring headers, footers and page numbers.

    The first or last line of a page is a running line if it is the first or last line of three pages and of a third of
    all pages, or if one of its numbers increases with the page number ("Page 3 of 9", "- 3 -", "124 THE REPORTS") on
    three pages, or on two of fewer than seven. Running lines are removed until no page has one. More than four
    recurring lines are text printed several times, as in standard-form orders, and are kept. A number on a single page
    and a header on few pages are kept, too.

    Args:
        pages: texts returned by `clean_characters`.

    Returns:
        A text per page; "" for a page without other text.
    """
    remaining = list(pages)
    while (shorter := _remove_once(remaining)) != remaining:
        remaining = shorter
    return remaining


def _remove_once(pages: Sequence[str]) -> list[str]:
    lines = [page.split("\n") for page in pages]
    whole = [_strip_blank_lines(page, 0, len(page)) for page in lines]
    places = list(whole)
    while running := _find_running_lines([page[start:end] for page, (start, end) in zip(lines, places, strict=True)]):
        for page, edge in running:
            start, end = places[page]
            # The only line of a page may have been removed at the other edge.
            if start < end:
                inner = (start + 1, end) if edge == 0 else (start, end - 1)
                places[page] = _strip_blank_lines(lines[page], *inner)
    kept = [_limit_to_header(page, *place) for page, *place in zip(lines, whole, places, strict=True)]
    return ["\n".join(page[start:end]) for page, (start, end) in zip(lines, kept, strict=True)]


def _limit_to_header(lines: Sequence[str], whole: tuple[int, int], inner: tuple[int, int]) -> tuple[int, int]:
    """Return the line range `inner`, or that of `whole` on a side where more lines would go than a header has."""
    start, end = inner
    if start == end:
        return whole if _count_nonblank(lines) > _MAX_HEADER_LINES else inner
    above, below = _count_nonblank(lines[:start]), _count_nonblank(lines[end:])
    return whole[0] if above > _MAX_HEADER_LINES else start, whole[1] if below > _MAX_HEADER_LINES else end


def _count_nonblank(lines: Sequence[str]) -> int:
    """Count the lines that are not blank."""
    return sum(1 for line in lines if line.strip())


def _strip_blank_lines(lines: Sequence[str], start: int, end: int) -> tuple[int, int]:
    """Return the line range [start, end) without leading and trailing blank lines."""
    while start < end and not lines[start].strip():
        start += 1
    while start < end and not lines[end - 1].strip():
        end -= 1
    return start, end


def _find_running_lines(pages: Sequence[Sequence[str]]) -> list[tuple[int, int]]:
    """Return page and edge (0 first line, -1 last line) of the outermost lines that recur."""
    third = ceil(len(pages) * _SHARE_OF_PAGES)
    found: set[tuple[int, int]] = set()
    for edge in (0, -1):
        places: defaultdict[tuple[str, int | None], set[int]] = defaultdict(set)
        for page, lines in enumerate(pages):
            for pattern in _line_patterns(lines[edge], page) if lines else ():
                places[pattern].add(page)
        for (_, distance), alike in places.items():
            if len(alike) >= (max(third, _MIN_PAGES) if distance is None else max(2, min(third, _MIN_PAGES))):
                found |= {(page, edge) for page in alike}
    return sorted(found)


def _line_patterns(line: str, page: int) -> Iterator[tuple[str, int | None]]:
    """Yield the line, and the line with each of its numbers replaced by its difference to the page index.

    Yields nothing for a line of more than 200 characters.
    """
    if len(line) > _MAX_HEADER_CHARACTERS:
        return
    yield line, None
    for found in re.finditer(r"\d+", line):
        # Longer numbers are not page numbers.
        if len(found.group()) <= 5:
            yield f"{line[: found.start()]}\0{line[found.end() :]}", int(found.group()) - page


def restore_title(pages: Sequence[str], stripped: Sequence[str]) -> list[str]:
    """Put back the lines removed above the text of the first page that recur literally on later pages.

    They are usually the title, which occurs nowhere else.

    Args:
        pages: texts with running lines.
        stripped: the same texts after `remove_running_lines`.
    """
    if not stripped or not stripped[0]:
        return list(stripped)
    lines, text = pages[0].split("\n"), stripped[0].split("\n")
    start = next(i for i in range(len(lines)) if lines[i : i + len(text)] == text)
    later = {line for page in pages[1:] for line in page.split("\n")}
    title = [line for line in lines[:start] if not line or line in later]
    return ["\n".join([*title, *text]).strip(), *stripped[1:]]


def join_pages(pages: Sequence[str | None]) -> tuple[str, tuple[int, ...]]:
    """Concatenate the pages of a judgment.

    Pages are joined by a newline, as sentences continue across pages, or by a blank line where a page without known
    text is omitted. `rejoin_divided_words` rejoins words divided by a line or page break.

    Args:
        pages: texts without running lines; None for a page whose text is unknown.

    Returns:
        The text, and the offset where each page starts in it. A page ends where the next one starts; the boundary of
        pages that divide a word is at the division.
    """
    pieces: list[str] = []
    breaks, unknown = "", False
    for number, page in enumerate(pages):
        breaks += PAGE_BREAK if number else ""
        if page:
            gap = "\n\n" if unknown else "\n"
            pieces += [gap if pieces else "", breaks, page]
            breaks, unknown = "", False
        else:
            unknown = unknown or page is None
    text = "".join(pieces) + breaks
    parts = rejoin_divided_words(text).split(PAGE_BREAK)
    return "".join(parts), tuple(accumulate(map(len, parts[:-1]), initial=0))


def rejoin_divided_words(text: str) -> str:
    """Rejoin every word divided by a hyphen at the end of a line; the line break moves after the word.

    The hyphen is removed ("appel-/lant") or kept ("well-/known") as in the majority of the word's other occurrences.
    Without a majority it is kept after "non", "self" and "cross", between two words that occur separately, beside a
    digit, before a capital unless both parts are in capitals, and beside fewer than two letters; else it is removed.

    Args:
        text: lines, with `PAGE_BREAK` before the first line of a page.
    """
    words = Counter(word.casefold() for word in _WORD.findall(_BROKEN.sub(" ", text)))
    # Do not count the parts of divided words.
    words.subtract(found["tail"].casefold() for found in _BROKEN.finditer(text))

    def whole(found: re.Match[str]) -> str:
        hyphen = "-" if _hyphen_stays(found["head"], found["tail"], words) else ""
        return found["head"] + hyphen + _JOINT + found["pages"]

    text = _BROKEN.sub(whole, text)
    return _REJOINED.sub(lambda found: found["word"].replace(_JOINT, "") + found["gap"].replace(" ", "\n"), text)


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
