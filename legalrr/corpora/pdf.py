"""Extract the text of a PDF with PDFium, and clean it.

Cleaning steps, pure functions in the order of their application:

`clean_characters`       normalize line ends, ligatures, spaces and hyphens; remove invisible characters
`remove_running_lines`   remove headers, footers and page numbers, which recur on other pages
`restore_title`          put back the title of the first page where later pages repeat it
`join_pages`             concatenate the pages and rejoin words divided by a line or page break

Nothing else is changed. Printed lines are kept, as `legalrr.sentences` expects them.

Words come in the order in which the file draws them; the layout is not analysed. A page in two columns, as in older law
reports, is read column by column if the file draws it so, else line by line across both; letters in the margin appear
within the text. An image with an OCR text layer counts as text, and so does a page with little text beside an image.
"""

import hashlib
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import accumulate, groupby, pairwise
from math import ceil, nan
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from legalrr.corpora.files import natural_sort_key, translate_read_errors
from legalrr.errors import UserError

if TYPE_CHECKING:
    from pypdfium2 import PdfDocument, PdfPage, PdfTextPage


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

SCANNED_PAGES = ("error", "skip")
# FPDF_ERR_PASSWORD and FPDF_ERR_SECURITY of fpdfview.h.
_PASSWORD_ERRORS = (4, 5)
# PDFium's character for a hyphen and the line break after it.
_DIVIDED = "\ufffe"
# From the first visible character on.
_PRINTED_LINE = re.compile(rf"[^\s{_DIVIDED}][^\r\n{_DIVIDED}]*")
# A line distance above this multiple of the page's median becomes a blank line.
_GAP_RATIO = 4 / 3
# The signature of a PDF is within so many bytes; in some files others precede it.
_SIGNATURE_WITHIN = 1024


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


@dataclass(frozen=True, kw_only=True)
class Pdf:
    """Extracted content of a PDF."""

    path: Path
    """The file."""
    sha256: str
    """SHA-256 of the file."""
    text: str
    """Cleaned text of all pages; "" if no page has text."""
    starts: tuple[int, ...]
    """Offset in `text` where each page starts."""
    scanned: tuple[int, ...]
    """Numbers, from 1, of the pages with visible content but no text."""

    @property
    def ends(self) -> tuple[int, ...]:
        """Offset in `text` where each page ends; equal to its start for a page without text."""
        return (*self.starts[1:], len(self.text))

    def require_text(self, *, scanned_pages: str = "error") -> None:
        """Raise UserError for a PDF without text and, unless `scanned_pages` is "skip", for one with a scanned page."""
        if not self.text:
            raise UserError(
                "scanned PDF: no page has text",
                where=str(self.path),
                cure="set input: images for a model that reads page images, or run OCR first, e.g. with ocrmypdf",
            )
        self.reject_mixed_pages(scanned_pages=scanned_pages)

    def reject_mixed_pages(self, *, scanned_pages: str) -> None:
        """Raise UserError if only some pages are scanned, unless `scanned_pages` is "skip"."""
        if self.text and self.scanned and scanned_pages != "skip":
            raise UserError(
                f"no text on page {format_ranges(self.scanned)} of {len(self.starts)}: scanned",
                where=str(self.path),
                cure="run OCR first, e.g. with ocrmypdf, or set scanned_pages: skip to omit such pages",
            )


def read_pdf(path: Path) -> Pdf:
    """Read a PDF. A PDF without text is accepted if a page has visible content, see `Pdf.require_text`.

    Raises:
        UserError: the file is missing, empty, encrypted, damaged, blank or not a PDF.
    """
    with open_pdf(path) as (document, sha256):
        numbers = range(1, len(document) + 1)
        raw = [_extract_text(document, number, path) for number in numbers]
        clean = [clean_characters(text) for text in raw]
        texts = restore_title(clean, remove_running_lines(clean))
        scanned = tuple(
            number
            for number, text, whole in zip(numbers, texts, raw, strict=True)
            if not text and _has_visible_content(document, number, path, has_text=bool(whole.strip()))
        )
    text, starts = join_pages(
        [None if number in scanned else text for number, text in zip(numbers, texts, strict=True)]
    )
    if not text and not scanned:
        raise UserError("blank: no page has content except running lines", where=str(path), cure="remove the file")
    return Pdf(path=path, sha256=sha256, text=text, starts=starts, scanned=scanned)


def list_pdf_files(folder: Path) -> list[Path]:
    """List the *.pdf and *.PDF files of a folder in natural order (d2 before d10); raise UserError if not a folder."""
    if not folder.is_dir():
        raise UserError("not a folder", where=str(folder), cure="name the folder that holds the *.pdf files")
    found = [path for path in folder.iterdir() if path.suffix.lower() == ".pdf"]
    return sorted(found, key=lambda path: (natural_sort_key(path.name), path.name))


def format_ranges(pages: Sequence[int]) -> str:
    """Format ascending page numbers as ranges: "3, 7-9"."""
    runs = [[page for _, page in run] for _, run in groupby(enumerate(pages), key=lambda place: place[1] - place[0])]
    return ", ".join(f"{run[0]}-{run[-1]}" if len(run) > 1 else str(run[0]) for run in runs)


@contextmanager
def open_pdf(path: Path) -> Iterator[tuple["PdfDocument", str]]:
    """Open a PDF and compute the SHA-256 of its file; raise UserError as `read_pdf` does. Not thread-safe."""
    from pypdfium2 import PdfDocument, PdfiumError

    with translate_read_errors(path):
        content = path.read_bytes()
    if not content:
        raise UserError("empty file (0 bytes)", where=str(path), cure="download the file again")
    if b"%PDF-" not in content[:_SIGNATURE_WITHIN]:
        raise UserError("not a PDF file", where=str(path), cure="convert it, or remove it")
    try:
        document = PdfDocument(content)
    except PdfiumError as error:
        if error.err_code in _PASSWORD_ERRORS:
            raise UserError(
                "encrypted: requires a password", where=str(path), cure="decrypt it, e.g. with qpdf --decrypt"
            ) from error
        # PDFium reports a file without pages as damaged, too.
        raise UserError(
            "damaged PDF, or one without pages",
            where=str(path),
            cure="download the file again, or repair it, e.g. with qpdf",
        ) from error
    with document:
        yield document, hashlib.sha256(content).hexdigest()


@contextmanager
def open_page(document: "PdfDocument", number: int, path: Path) -> Iterator["PdfPage"]:
    """Open a page by its number from 1; raise UserError if it does not exist or cannot be read or rendered."""
    from pypdfium2 import PdfiumError

    if not 1 <= number <= len(document):
        raise UserError(f"no page {number}: the PDF has {len(document)}", where=str(path), cure="count from 1")
    try:
        page = document[number - 1]
        try:
            yield page
        finally:
            page.close()
    except PdfiumError as error:
        raise UserError(
            f"page {number} is damaged", where=str(path), cure="download the file again, or repair it, e.g. with qpdf"
        ) from error


def _extract_text(document: "PdfDocument", number: int, path: Path) -> str:
    """Extract the text of a page with PDFium, with a blank line for each vertical gap between two lines."""
    with open_page(document, number, path) as page:
        layer = page.get_textpage()
        text = layer.get_text_range()
        starts = [line.start() for line in _PRINTED_LINE.finditer(text)]
        steps = [above - below for above, below in pairwise(_line_bottom(layer, start) for start in starts)]
    # A higher next line, as at the top of a column, gives no line distance.
    usual = median([step for step in steps if step > 0] or [0.0])
    gaps = [
        start
        for start, step in zip(starts[1:], steps, strict=True)
        if step > _GAP_RATIO * usual and text[start - 1] != _DIVIDED
    ]
    return "\n".join(text[start:end] for start, end in pairwise([0, *gaps, len(text)]))


def _line_bottom(layer: "PdfTextPage", at: int) -> float:
    """Return the vertical position, in points, of the bottom of the character at `at`; NaN if it has none."""
    from pypdfium2.raw import FPDFText_GetCharIndexFromTextIndex

    index = FPDFText_GetCharIndexFromTextIndex(layer, at)
    return nan if index < 0 else layer.get_charbox(index, loose=True)[1]


def _has_visible_content(document: "PdfDocument", number: int, path: Path, *, has_text: bool) -> bool:
    """Return whether a page has an image or, if `has_text` is false, any visible mark."""
    from pypdfium2.raw import FPDF_PAGEOBJ_IMAGE

    with open_page(document, number, path) as page:
        if any(True for _ in page.get_objects(filter=[FPDF_PAGEOBJ_IMAGE])):
            return True
        # Letters may be drawn as shapes; a white rectangle is invisible.
        darkest, lightest = page.render(scale=0.5, grayscale=True).to_pil().getextrema()
        return not has_text and darkest != lightest
