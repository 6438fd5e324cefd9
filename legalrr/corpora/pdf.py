"""Extract the text of a PDF with PDFium; `legalrr.corpora.pdf_text` cleans it.

Words come in the order in which the file draws them; the layout is not analysed. A page in two columns, as in older law
reports, is read column by column if the file draws it so, else line by line across both; letters in the margin appear
within the text. An image with an OCR text layer counts as text, and so does a page with little text beside an image
unless no page has more. The stamp of a digital signature is not text where it stands alone (`scan_stamps`).
"""

import hashlib
import re
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby, pairwise
from math import nan
from pathlib import Path
from statistics import median
from typing import TYPE_CHECKING

from legalrr.corpora.bounded_files import read_bytes
from legalrr.corpora.files import natural_sort_key
from legalrr.corpora.pdf_text import clean_characters, join_pages, remove_running_lines, restore_title
from legalrr.errors import UserError

if TYPE_CHECKING:
    from pypdfium2 import PdfDocument, PdfPage, PdfTextPage


SCANNED_PAGES = ("error", "skip")
LARGEST_CONTENT = 8_000_000
"""Most bytes of the instructions that draw a page; PDFium takes seconds for more."""
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
_STREAM = re.compile(rb"(?<!end)stream\r?\n")
# The dictionary of a stream is within so many bytes before it.
_FACTS_WITHIN = 2000

# Registries sign scans, too. The stamp is then the only text of a PDF: Signature Not Verified, Digitally signed by A
# REGISTRAR, Date: 2021.03.04 10:11:12 IST, Reason:
FEW_WORDS = 20
"""A page with an image and fewer words has no text if no other page has more."""
_STAMP = re.compile(
    r"\bsignature\s+(?:not\s+verified|verified|valid|invalid|unknown)\b"
    r"|\bdigitally\s+signed\b(?:(?s:.){0,120}?\bdate\s*:?\s*\d[^\n]*|[^\n]*)"
    r"|^\s*(?:reason|location|date|designation|signer|signed\s+by)\s*:[^\n]*",
    re.IGNORECASE | re.MULTILINE,
)
_SIGNED = re.compile(
    r"\bsignature\s+(?:not\s+)?(?:verified|valid|invalid|unknown)\b|\bdigitally\s+signed\b", re.IGNORECASE
)
_WORD = re.compile(r"\w+")


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


@dataclass(frozen=True, kw_only=True)
class PdfLimits:
    """Bounds of a PDF; a file of a few kilobytes may have pages of any size."""

    pages: int = 5000
    """Most pages."""
    points: int = 14_400
    """Longest side of a page, in points of 1/72 inch; 14,400 is the longest that PDF readers support."""
    characters: int = 100_000
    """Most characters of a page; a printed page has some 3,000."""


def read_pdf(path: Path, limits: PdfLimits = PdfLimits()) -> Pdf:
    """Read a PDF. A PDF without text is accepted if a page has visible content, see `Pdf.require_text`.

    Raises:
        UserError: the file is missing, empty, encrypted, damaged, blank or not a PDF, or exceeds a limit.
    """
    with open_pdf(path) as (document, sha256):
        if len(document) > limits.pages:
            raise UserError(
                f"{len(document)} pages, more than {limits.pages}",
                where=str(path),
                cure="give a file per judgment, or raise corpus.max_pages",
            )
        numbers = range(1, len(document) + 1)
        raw = [_extract_text(document, number, path, limits) for number in numbers]
        clean = [clean_characters(text) for text in raw]
        texts = ["" if is_stamp(text) else text for text in restore_title(clean, remove_running_lines(clean))]
        scanned = tuple(
            number
            for number, text, whole in zip(numbers, texts, clean, strict=True)
            if not text and _has_visible_content(document, number, path, has_text=bool(whole) and not is_stamp(whole))
        )
        if any(texts) and all(map(has_few_words, texts)):
            shown = [number for number, text in zip(numbers, texts, strict=True) if text]
            if all(_has_visible_content(document, number, path, has_text=True) for number in shown):
                texts, scanned = [""] * len(texts), tuple(sorted({*scanned, *shown}))
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

    content = read_bytes(path)
    if not content:
        raise UserError("empty file (0 bytes)", where=str(path), cure="download the file again")
    if b"%PDF-" not in content[:_SIGNATURE_WITHIN]:
        raise UserError("not a PDF file", where=str(path), cure="convert it, or remove it")
    _check_streams(content, path)
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


def _check_streams(content: bytes, path: Path) -> None:
    """Raise UserError for a compressed stream, other than an image or font, that inflates beyond `LARGEST_CONTENT`.

    PDFium inflates the streams of a page as a whole, before it can tell how many characters they draw.
    """
    for stream in _STREAM.finditer(content):
        facts = content[max(0, stream.start() - _FACTS_WITHIN) : stream.start()].rpartition(b"obj")[2]
        if b"FlateDecode" not in facts or any(key in facts for key in (b"/Subtype", b"/Length1")):
            continue
        end = content.find(b"endstream", stream.end())
        packed = content[stream.end() : None if end < 0 else end]
        inflater = zlib.decompressobj()
        try:
            size = len(inflater.decompress(packed, LARGEST_CONTENT + 1))
        except zlib.error:
            # A damaged stream: PDFium reads what is left of it.
            continue
        if size > LARGEST_CONTENT:
            raise UserError(
                f"the content of a page inflates to more than {LARGEST_CONTENT} bytes",
                where=str(path),
                cure="print the page as an image; the bound is legalrr.corpora.pdf.LARGEST_CONTENT",
            )


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


def _extract_text(document: "PdfDocument", number: int, path: Path, limits: PdfLimits) -> str:
    """Extract the text of a page with PDFium, with a blank line for each vertical gap between two lines."""
    with open_page(document, number, path) as page:
        width, height = page.get_size()
        # Not a comparison with >, as a damaged page may measure NaN.
        if not max(width, height) <= limits.points:
            raise UserError(
                f"{width:.0f} x {height:.0f} points, more than {limits.points}",
                where=f"{path}, page {number}",
                cure="scale the page, or raise corpus.max_page_points",
            )
        layer = page.get_textpage()
        if (count := layer.count_chars()) > limits.characters:
            raise UserError(
                f"{count} characters, more than {limits.characters}",
                where=f"{path}, page {number}",
                cure="remove the page, or raise corpus.max_page_characters",
            )
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


def is_stamp(page: str) -> bool:
    """Whether the stamps of digital signatures are the only words of a page."""
    return _SIGNED.search(page) is not None and _WORD.search(_STAMP.sub("", page)) is None


def has_few_words(page: str) -> bool:
    """Whether a page has few words beside the stamps of digital signatures."""
    text = _STAMP.sub("", page) if _SIGNED.search(page) else page
    return sum(1 for _ in _WORD.finditer(text)) < FEW_WORDS
