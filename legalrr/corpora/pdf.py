"""A PDF as text: what PDFium finds on its pages, repaired (`legalrr.corpora.pdf_text`).

The order of the words is the order in which the file draws them; no layout is analysed. A page set in two columns, as
older law reports are, comes out column by column where its maker wrote it so, else line by line across both; letters
in the margin stand amid the text. An image with a layer of recognised text counts as text, and a page that has a little
text beside an image as a page with text.
"""

import hashlib
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby, pairwise
from math import nan
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from legalrr.corpora.files import natural, readable
from legalrr.corpora.pdf_text import cleaned, joined, with_title, without_running_lines
from legalrr.errors import UserError

if TYPE_CHECKING:
    from pypdfium2 import PdfDocument, PdfPage, PdfTextPage

SCANNED_PAGES = ("error", "skip")
# FPDF_ERR_PASSWORD and FPDF_ERR_SECURITY of fpdfview.h.
_LOCKED = (4, 5)
# PDFium's sign for a hyphen and the line break after it.
_DIVIDED = "\ufffe"
# From the first visible character on.
_PRINTED_LINE = re.compile(rf"[^\s{_DIVIDED}][^\r\n{_DIVIDED}]*")
# A blank line is left where the next line is by a third further off than usual on its page.
_GAP = 4 / 3
# The mark of a PDF stands within so many bytes; some files have others before it.
_MARK_WITHIN = 1024


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

    def need_text(self, *, scanned_pages: str = "error") -> None:
        """Raise UserError for a PDF without text and, unless `scanned_pages` is "skip", for one with a scanned page."""
        if not self.text:
            raise UserError(
                "no page holds text: it is scanned",
                where=str(self.path),
                cure="set input: images for a model that reads pages, or recognise the text first, as with ocrmypdf",
            )
        self.need_one_kind(scanned_pages=scanned_pages)

    def need_one_kind(self, *, scanned_pages: str) -> None:
        """Raise UserError where some pages are scanned and others are not, unless `scanned_pages` is "skip"."""
        if self.text and self.scanned and scanned_pages != "skip":
            raise UserError(
                f"no text on page {ranges(self.scanned)} of {len(self.starts)}: scanned",
                where=str(self.path),
                cure="recognise the text first, as with ocrmypdf, or set scanned_pages: skip to leave such pages out",
            )


def read_pdf(path: Path) -> Pdf:
    """Read a PDF; only one without anything on any page is refused here, see `Pdf.need_text`.

    Raises:
        UserError: it is not there, empty, locked by a password, broken, blank or no PDF.
    """
    with opened(path) as (document, sha256):
        numbers = range(1, len(document) + 1)
        raw = [_text(document, number, path) for number in numbers]
        clean = [cleaned(text) for text in raw]
        texts = with_title(clean, without_running_lines(clean))
        scanned = tuple(
            number
            for number, text, whole in zip(numbers, texts, raw, strict=True)
            if not text and _shows_something(document, number, path, has_text=bool(whole.strip()))
        )
    text, starts = joined([None if number in scanned else text for number, text in zip(numbers, texts, strict=True)])
    if not text and not scanned:
        raise UserError(
            "blank: no page holds anything but what returns on others", where=str(path), cure="leave it out"
        )
    return Pdf(path=path, sha256=sha256, text=text, starts=starts, scanned=scanned)


def pdf_files(folder: Path) -> list[Path]:
    """The PDFs of a folder, *.pdf or *.PDF, in natural order (d2 before d10); none is no error, but no folder is."""
    if not folder.is_dir():
        raise UserError("not a folder", where=str(folder), cure="name the folder that holds the *.pdf files")
    found = [path for path in folder.iterdir() if path.suffix.lower() == ".pdf"]
    return sorted(found, key=lambda path: (natural(path.name), path.name))


def ranges(pages: Sequence[int]) -> str:
    """Ascending page numbers in words: "3, 7-9"."""
    runs = [[page for _, page in run] for _, run in groupby(enumerate(pages), key=lambda place: place[1] - place[0])]
    return ", ".join(f"{run[0]}-{run[-1]}" if len(run) > 1 else str(run[0]) for run in runs)


@contextmanager
def opened(path: Path) -> Iterator[tuple["PdfDocument", str]]:
    """An open PDF and the SHA-256 of its file; raises UserError as `read_pdf` does. Not for several threads at once."""
    from pypdfium2 import PdfDocument, PdfiumError

    with readable(path):
        content = path.read_bytes()
    if not content:
        raise UserError("empty file (0 bytes)", where=str(path), cure="get the file again")
    if b"%PDF-" not in content[:_MARK_WITHIN]:
        raise UserError("no PDF, whatever its name says", where=str(path), cure="convert it, or leave it out")
    try:
        document = PdfDocument(content)
    except PdfiumError as error:
        if error.err_code in _LOCKED:
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
def page_of(document: "PdfDocument", number: int, path: Path) -> Iterator["PdfPage"]:
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


def _text(document: "PdfDocument", number: int, path: Path) -> str:
    """The text of a page as PDFium gives it, with a blank line wherever the page leaves a gap between two lines."""
    with page_of(document, number, path) as page:
        layer = page.get_textpage()
        text = layer.get_text_range()
        starts = [line.start() for line in _PRINTED_LINE.finditer(text)]
        steps = [above - below for above, below in pairwise(_height(layer, start) for start in starts)]
    # Where the next line is higher, as at the head of a column, nothing is known.
    usual = median([step for step in steps if step > 0] or [0.0])
    gaps = [
        start
        for start, step in zip(starts[1:], steps, strict=True)
        if step > _GAP * usual and text[start - 1] != _DIVIDED
    ]
    return "\n".join(text[start:end] for start, end in pairwise([0, *gaps, len(text)]))


def _height(layer: "PdfTextPage", at: int) -> float:
    """Height on the page, in points, of the bottom of the line of the character at `at`; NaN if it has no place."""
    from pypdfium2.raw import FPDFText_GetCharIndexFromTextIndex

    index = FPDFText_GetCharIndexFromTextIndex(layer, at)
    return nan if index < 0 else layer.get_charbox(index, loose=True)[1]


def _shows_something(document: "PdfDocument", number: int, path: Path, *, has_text: bool) -> bool:
    """Whether a page without text of its own shows an image or, where it has none at all, a mark of any kind."""
    from pypdfium2.raw import FPDF_PAGEOBJ_IMAGE

    with page_of(document, number, path) as page:
        if any(True for _ in page.get_objects(filter=[FPDF_PAGEOBJ_IMAGE])):
            return True
        # Letters may be drawn as shapes, and a white rectangle is nothing.
        darkest, lightest = page.render(scale=0.5, grayscale=True).to_pil().getextrema()
        return not has_text and darkest != lightest
