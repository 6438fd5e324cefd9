"""Extract the text of a PDF, and clean it.

What the text of a PDF is rid of, page by page; pure functions, in the order in which they are applied.

`clean_characters`                characters: line ends, ligatures, odd spaces and hyphens, what has no shape at all.
`remove_running_lines`  headers, footers and page numbers, told by their return on other pages.
`restore_title`             but not the title, where the first page bears it and others repeat it.
`join_pages`                 pages set one under another, words that a line or page break divides made whole.

Nothing else is touched. Lines stay as they are printed, as `legalrr.sentences` reads printed lines.

A PDF as text: what PDFium finds on its pages, repaired (`legalrr.corpora.pdf`).

The order of the words is the order in which the file draws them; no layout is analysed. A page set in two columns, as
older law reports are, comes out column by column where its maker wrote it so, else line by line across both; letters
in the margin stand amid the text. An image with a layer of recognised text counts as text, and a page that has a little
text beside an image as a page with text.
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
# Control characters, zero-width space, word joiner, byte order mark; joiners that Indian scripts need are kept.
_INVISIBLE = re.compile(r"[\0-\x08\x0e-\x1b\x7f-\x9f\u200b\u2060\ufeff\uffff]")
_LIGATURE = re.compile(r"[\ufb00-\ufb06]")
_SOFT_HYPHEN_AT_END = re.compile(r"-?\xad+[^\S\n]*(?=\n|\Z)")
_HYPHEN = re.compile(r"[\u2010\u2011]")
_SPACES = re.compile(r"[^\S\n]+")

# A line on every third page is no part of the text; left and right pages may have one each.
_SHARE_OF_PAGES = 1 / 3
_MIN_PAGES = 3
_MAX_HEADER_LINES = 4
_MAX_HEADER_CHARACTERS = 200

_WORD = re.compile(r"\w+(?:-\w+)*")
_BROKEN = re.compile(r"(?<![\w-])(?P<head>\w+(?:-\w+)*)-\n(?P<pages>\f*)(?=(?P<tail>\w+(?:-\w+)*))")
_JOINT = "\v"
# A word made whole, with those after it as long as one ends in a hyphen: no line may end there anew.
_REJOINED = re.compile(rf"(?<![^ \n])(?P<word>[^ \n]*{_JOINT}[^ \n]*(?:(?<=-) [^ \n]+)*)(?P<gap> |\n|\Z)")
# These are set off by a hyphen wherever they stand.
_PREFIXES = frozenset({"non", "self", "cross"})


def clean_characters(page: str) -> str:
    """The text of a page with ordinary characters only.

    Line ends become newlines, runs of other white space one space, ligatures (U+FB00 to U+FB06) letters, U+2010 and
    U+2011 hyphens. A soft hyphen is a hyphen at the end of a line and nothing elsewhere. Characters without shape go,
    and so does white space at the ends of lines and of the page. Letters are not normalised otherwise.
    """
    text = _LINE_END.sub("\n", page)
    text = _INVISIBLE.sub("", _DIVIDED_WORD.sub("-\n", text))
    text = _LIGATURE.sub(lambda found: unicodedata.normalize("NFKC", found.group()), text)
    text = _SOFT_HYPHEN_AT_END.sub("-", text).replace("\xad", "")
    text = _SPACES.sub(" ", _HYPHEN.sub("-", text))
    return "\n".join(line.strip() for line in text.split("\n")).strip()


def remove_running_lines(pages: Sequence[str]) -> list[str]:
    """The same pages without the headers, footers and page numbers that return on others.

    The first or last line of a page is a running line if it is the first or last line of three pages and of a third of
    all, or if one of its numbers goes up with the pages ("Page 3 of 9", "- 3 -", "124 THE REPORTS") on three pages, or
    two of less than seven. It is taken away, and the next line looked at, until no page has any. More than four lines
    that return are a text that is printed several times, as in orders of one form, and stay. So do a number on a single
    page, and a header that stands on few.

    Args:
        pages: their texts, as `clean_characters` gives them.

    Returns:
        As many texts; "" for a page that has nothing else.
    """
    left = list(pages)
    while (less := _remove_once(left)) != left:
        left = less
    return left


def _remove_once(pages: Sequence[str]) -> list[str]:
    lines = [page.split("\n") for page in pages]
    whole = [_strip_blank_lines(page, 0, len(page)) for page in lines]
    places = list(whole)
    while running := _find_running_lines([page[start:end] for page, (start, end) in zip(lines, places, strict=True)]):
        for page, edge in running:
            start, end = places[page]
            # A page of one line may have lost it from the other side.
            if start < end:
                inner = (start + 1, end) if edge == 0 else (start, end - 1)
                places[page] = _strip_blank_lines(lines[page], *inner)
    kept = [_limit_to_header(page, *place) for page, *place in zip(lines, whole, places, strict=True)]
    return ["\n".join(page[start:end]) for page, (start, end) in zip(lines, kept, strict=True)]


def _limit_to_header(lines: Sequence[str], whole: tuple[int, int], inner: tuple[int, int]) -> tuple[int, int]:
    """The stretch `inner` of a page, or `whole` on a side where more would go than a header has."""
    start, end = inner
    if start == end:
        return whole if _count_nonblank(lines) > _MAX_HEADER_LINES else inner
    above, below = _count_nonblank(lines[:start]), _count_nonblank(lines[end:])
    return whole[0] if above > _MAX_HEADER_LINES else start, whole[1] if below > _MAX_HEADER_LINES else end


def _count_nonblank(lines: Sequence[str]) -> int:
    """How many lines are not blank."""
    return sum(1 for line in lines if line.strip())


def _strip_blank_lines(lines: Sequence[str], start: int, end: int) -> tuple[int, int]:
    """The stretch of lines from `start` to `end` without blank ones at either end."""
    while start < end and not lines[start].strip():
        start += 1
    while start < end and not lines[end - 1].strip():
        end -= 1
    return start, end


def _find_running_lines(pages: Sequence[Sequence[str]]) -> list[tuple[int, int]]:
    """Page and edge (0 first line, -1 last line) of the outermost lines that return."""
    third = ceil(len(pages) * _SHARE_OF_PAGES)
    found: set[tuple[int, int]] = set()
    for edge in (0, -1):
        places: defaultdict[tuple[str, int | None], set[int]] = defaultdict(set)
        for page, lines in enumerate(pages):
            for form in _line_patterns(lines[edge], page) if lines else ():
                places[form].add(page)
        for (_, distance), alike in places.items():
            if len(alike) >= (max(third, _MIN_PAGES) if distance is None else max(2, min(third, _MIN_PAGES))):
                found |= {(page, edge) for page in alike}
    return sorted(found)


def _line_patterns(line: str, page: int) -> Iterator[tuple[str, int | None]]:
    """The line as it stands, and with each of its numbers as its distance from the number of the page; none of a line
    of more than 200 characters."""
    if len(line) > _MAX_HEADER_CHARACTERS:
        return
    yield line, None
    for found in re.finditer(r"\d+", line):
        # Longer ones are no page numbers.
        if len(found.group()) <= 5:
            yield f"{line[: found.start()]}\0{line[found.end() :]}", int(found.group()) - page


def restore_title(pages: Sequence[str], left: Sequence[str]) -> list[str]:
    """Pages without running lines, but for those that stand above the text of the first page and return word for word.

    They are most often its title, which the later pages repeat, and nowhere else would it be read.

    Args:
        pages: texts with running lines.
        left: the same as `remove_running_lines` gives them.
    """
    if not left or not left[0]:
        return list(left)
    lines, text = pages[0].split("\n"), left[0].split("\n")
    start = next(i for i in range(len(lines)) if lines[i : i + len(text)] == text)
    later = {line for page in pages[1:] for line in page.split("\n")}
    title = [line for line in lines[:start] if not line or line in later]
    return ["\n".join([*title, *text]).strip(), *left[1:]]


def join_pages(pages: Sequence[str | None]) -> tuple[str, tuple[int, ...]]:
    """The text of a judgment from that of its pages.

    Pages follow one another like lines, as sentences run on from page to page; a blank line stands where an unread one
    is left out. Words that a line or page break divides are made whole by `rejoin_divided_words`.

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
    parts = rejoin_divided_words(text).split(PAGE_BREAK)
    return "".join(parts), tuple(accumulate(map(len, parts[:-1]), initial=0))


def rejoin_divided_words(text: str) -> str:
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


SCANNED_PAGES = ("error", "skip")
# FPDF_ERR_PASSWORD and FPDF_ERR_SECURITY of fpdfview.h.
_PASSWORD_ERRORS = (4, 5)
# PDFium's sign for a hyphen and the line break after it.
_DIVIDED = "\ufffe"
# From the first visible character on.
_PRINTED_LINE = re.compile(rf"[^\s{_DIVIDED}][^\r\n{_DIVIDED}]*")
# A blank line is left where the next line is by a third further off than usual on its page.
_GAP_RATIO = 4 / 3
# The mark of a PDF stands within so many bytes; some files have others before it.
_SIGNATURE_WITHIN = 1024


@dataclass(frozen=True, kw_only=True)
class Pdf:
    """What is read from one PDF."""

    path: Path
    """The file."""
    sha256: str
    """Digest of the file."""
    text: str
    """Text of all pages, repaired; "" where no page has any."""
    starts: tuple[int, ...]
    """Offset in `text` where each page starts."""
    scanned: tuple[int, ...]
    """Pages, numbered from 1, that show something but have no text of their own."""

    @property
    def ends(self) -> tuple[int, ...]:
        """Offset in `text` where each page ends; where it starts for a page without text."""
        return (*self.starts[1:], len(self.text))

    def require_text(self, *, scanned_pages: str = "error") -> None:
        """Raise UserError for a PDF without text and, unless `scanned_pages` is "skip", for one with a scanned page."""
        if not self.text:
            raise UserError(
                "no page holds text: it is scanned",
                where=str(self.path),
                cure="set input: images for a model that reads pages, or recognise the text first, as with ocrmypdf",
            )
        self.reject_mixed_pages(scanned_pages=scanned_pages)

    def reject_mixed_pages(self, *, scanned_pages: str) -> None:
        """Raise UserError where some pages are scanned and others are not, unless `scanned_pages` is "skip"."""
        if self.text and self.scanned and scanned_pages != "skip":
            raise UserError(
                f"no text on page {format_ranges(self.scanned)} of {len(self.starts)}: scanned",
                where=str(self.path),
                cure="recognise the text first, as with ocrmypdf, or set scanned_pages: skip to leave such pages out",
            )


def read_pdf(path: Path) -> Pdf:
    """Read a PDF; only one without anything on any page is refused here, see `Pdf.require_text`.

    Raises:
        UserError: it is not there, empty, locked by a password, broken, blank or no PDF.
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
        raise UserError(
            "blank: no page holds anything but what returns on others", where=str(path), cure="leave it out"
        )
    return Pdf(path=path, sha256=sha256, text=text, starts=starts, scanned=scanned)


def list_pdf_files(folder: Path) -> list[Path]:
    """The PDFs of a folder, *.pdf or *.PDF, in natural order (d2 before d10); none is no error, but no folder is."""
    if not folder.is_dir():
        raise UserError("not a folder", where=str(folder), cure="name the folder that holds the *.pdf files")
    found = [path for path in folder.iterdir() if path.suffix.lower() == ".pdf"]
    return sorted(found, key=lambda path: (natural_sort_key(path.name), path.name))


def format_ranges(pages: Sequence[int]) -> str:
    """Ascending page numbers in words: "3, 7-9"."""
    runs = [[page for _, page in run] for _, run in groupby(enumerate(pages), key=lambda place: place[1] - place[0])]
    return ", ".join(f"{run[0]}-{run[-1]}" if len(run) > 1 else str(run[0]) for run in runs)


@contextmanager
def open_pdf(path: Path) -> Iterator[tuple["PdfDocument", str]]:
    """An open PDF and the SHA-256 of its file; raises UserError as `read_pdf` does. Not for several threads at once."""
    from pypdfium2 import PdfDocument, PdfiumError

    with translate_read_errors(path):
        content = path.read_bytes()
    if not content:
        raise UserError("empty file (0 bytes)", where=str(path), cure="get the file again")
    if b"%PDF-" not in content[:_SIGNATURE_WITHIN]:
        raise UserError("no PDF, whatever its name says", where=str(path), cure="convert it, or leave it out")
    try:
        document = PdfDocument(content)
    except PdfiumError as error:
        if error.err_code in _PASSWORD_ERRORS:
            raise UserError(
                "encrypted: it opens with a password only", where=str(path), cure="unlock it, as with qpdf --decrypt"
            ) from error
        # PDFium calls a file without pages broken as well.
        raise UserError(
            "broken PDF, or one without pages", where=str(path), cure="get the file again, or mend it, as with qpdf"
        ) from error
    with document:
        yield document, hashlib.sha256(content).hexdigest()


@contextmanager
def open_page(document: "PdfDocument", number: int, path: Path) -> Iterator["PdfPage"]:
    """A page by its number from 1; raises UserError where there is none, or where it cannot be read or drawn."""
    from pypdfium2 import PdfiumError

    if not 1 <= number <= len(document):
        raise UserError(f"no page {number}: it has {len(document)}", where=str(path), cure="count from 1")
    try:
        page = document[number - 1]
        try:
            yield page
        finally:
            page.close()
    except PdfiumError as error:
        raise UserError(
            f"page {number} is broken", where=str(path), cure="get the file again, or mend it, as with qpdf"
        ) from error


def _extract_text(document: "PdfDocument", number: int, path: Path) -> str:
    """The text of a page as PDFium gives it, with a blank line wherever the page leaves a gap between two lines."""
    with open_page(document, number, path) as page:
        layer = page.get_textpage()
        text = layer.get_text_range()
        starts = [line.start() for line in _PRINTED_LINE.finditer(text)]
        steps = [above - below for above, below in pairwise(_line_bottom(layer, start) for start in starts)]
    # Where the next line is higher, as at the head of a column, nothing is known.
    usual = median([step for step in steps if step > 0] or [0.0])
    gaps = [
        start
        for start, step in zip(starts[1:], steps, strict=True)
        if step > _GAP_RATIO * usual and text[start - 1] != _DIVIDED
    ]
    return "\n".join(text[start:end] for start, end in pairwise([0, *gaps, len(text)]))


def _line_bottom(layer: "PdfTextPage", at: int) -> float:
    """Height on the page, in points, of the bottom of the line of the character at `at`; NaN if it has no place."""
    from pypdfium2.raw import FPDFText_GetCharIndexFromTextIndex

    index = FPDFText_GetCharIndexFromTextIndex(layer, at)
    return nan if index < 0 else layer.get_charbox(index, loose=True)[1]


def _has_visible_content(document: "PdfDocument", number: int, path: Path, *, has_text: bool) -> bool:
    """Whether a page without text of its own shows an image or, where it has none at all, a mark of any kind."""
    from pypdfium2.raw import FPDF_PAGEOBJ_IMAGE

    with open_page(document, number, path) as page:
        if any(True for _ in page.get_objects(filter=[FPDF_PAGEOBJ_IMAGE])):
            return True
        # Letters may be drawn as shapes, and a white rectangle is nothing.
        darkest, lightest = page.render(scale=0.5, grayscale=True).to_pil().getextrema()
        return not has_text and darkest != lightest
