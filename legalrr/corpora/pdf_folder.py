"""Read judgments from a folder of PDFs with labels in a CSV, and render pages as images on demand with PDFium."""

import logging
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import groupby
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from legalrr import paths
from legalrr.corpora.checks import Label, load_labels, parse_party, select_splits, validate_judgments
from legalrr.corpora.files import require_path
from legalrr.corpora.pdf import (
    SCANNED_PAGES,
    Pdf,
    PdfLimits,
    format_ranges,
    list_pdf_files,
    open_page,
    open_pdf,
    read_pdf,
)
from legalrr.errors import UserError
from legalrr.records import Judgment, Page
from legalrr.stage import check_fields, choice, later

if TYPE_CHECKING:
    from PIL.Image import Image
    from pypdfium2 import PdfDocument


LOG = logging.getLogger(__name__)
# A point is 1/72 inch.
_POINTS_PER_INCH = 72
# 192 MB of RGB. A4 reaches it at 800 dpi, so only a large plan or a typing error exceeds it.
_MAX_PIXELS = 64_000_000
_BOUND = {"later": True, "least": 1}


def render_page(path: Path, page: int, *, dpi: int | None = None, longest_side: int | None = None) -> "Image":
    """Render a page as an RGB image on white.

    Args:
        path: the PDF.
        page: number of the page, from 1.
        dpi: dots per inch; give either this or `longest_side`.
        longest_side: pixels of the longer side.

    Raises:
        UserError: neither or both sizes given, an image of 0 or more than 64 million pixels, no such page, or an
            unreadable PDF (see `legalrr.corpora.pdf.read_pdf`).
    """
    if (dpi is None) == (longest_side is None):
        raise UserError(
            "neither or both of dpi and longest_side", where=f"{path}, page {page}", cure="give dpi or longest_side"
        )
    with open_pdf(path) as (document, _):
        return _draw(document, page, path, dpi=dpi, longest_side=longest_side)


def render_pages(pages: Iterable[Page]) -> Iterator["Image"]:
    """Render pages in order, one at a time; consecutive pages of a file share one opening of it.

    Raises:
        UserError: a page has no `dpi`, the file has changed since it was read, or as `render_page`.
    """
    for name, wanted in groupby(pages, key=lambda page: page.path):
        path = Path(name)
        with open_pdf(path) as (document, sha256):
            for page in wanted:
                dpi = _require_dpi(page)
                if sha256 != page.sha256:
                    raise _changed_file_error(name)
                yield _draw(document, page.number, path, dpi=dpi, longest_side=None)


def pixel_size(page: Page) -> tuple[int, int]:
    """Return width and height of a page's image without rendering it; raise UserError as `render_pages`."""
    dpi, (width, height) = _require_dpi(page), _page_sizes(page.path, page.sha256)[page.number - 1]
    return _scale_and_size(width, height, f"{page.path}, page {page.number}", dpi=dpi, longest_side=None)[1]


@lru_cache(maxsize=4096)
def _page_sizes(name: str, sha256: str) -> tuple[tuple[float, float], ...]:
    """Return width and height in points of every page of a file; cached, as every turn of every arm needs them."""
    path = Path(name)
    with open_pdf(path) as (document, found):
        if found != sha256:
            raise _changed_file_error(name)
        sizes = []
        for number in range(1, len(document) + 1):
            with open_page(document, number, path) as page:
                sizes.append(page.get_size())
    return tuple(sizes)


def _changed_file_error(name: str) -> UserError:
    return UserError("the file has changed since it was read", where=name, cure="run it again")


def _require_dpi(page: Page) -> int:
    if page.dpi is None:
        raise UserError(
            "the page was read as text only", where=f"{page.path}, page {page.number}", cure="set input: images"
        )
    return page.dpi


def _scale_and_size(
    width: float, height: float, where: str, *, dpi: int | None, longest_side: int | None
) -> tuple[float, tuple[int, int]]:
    """Return pixels per point, and width and height in pixels, of the image of a page given its size in points."""
    # PDFium rounds the size of an image up: the exact quotient may come out one pixel too long.
    longest = (longest_side or 0) - 0.01
    scale = dpi / _POINTS_PER_INCH if dpi is not None else longest / max(width, height)
    size = ceil(width * scale), ceil(height * scale)
    if min(size) < 1 or size[0] * size[1] > _MAX_PIXELS:
        raise UserError(
            f"an image of {size[0]} x {size[1]} pixels",
            where=where,
            cure=f"choose a size that gives 1 to {_MAX_PIXELS:,} pixels",
        )
    return scale, size


def _draw(document: "PdfDocument", number: int, path: Path, *, dpi: int | None, longest_side: int | None) -> "Image":
    with open_page(document, number, path) as page:
        width, height = page.get_size()
        scale, _ = _scale_and_size(width, height, f"{path}, page {number}", dpi=dpi, longest_side=longest_side)
        return page.render(scale=scale).to_pil().convert("RGB")


@dataclass(frozen=True, kw_only=True)
class PdfFolder:
    """Reader of a folder of PDFs."""

    VERSION: ClassVar[int] = 1

    name: str
    """Name in tables."""
    folder: str
    """Config path of the folder; the id of a judgment is the file name without .pdf."""
    labels: str | None = None
    """Config path of a CSV with id, label (1 allowed, 0 dismissed) and, optionally, confidence; null: no labels."""
    input: str = choice("text", "text", "images")
    """Model input: `text`, or `images` of the pages. Roles are tagged and verdicts hidden by means of the text, if any:
    a page with hidden text is omitted entirely (`legalrr.page_images`)."""
    dpi: int = 150
    """Dots per inch of the images."""
    scanned_pages: str = choice("error", *SCANNED_PAGES)
    """Treatment of scanned pages in a PDF with text: `error`, or `skip`, which omits and counts them."""
    split: str | None = None
    """Always null: the folder has no splits."""
    train_split: str | None = None
    """Always null."""
    party: str | None = None
    """The party that came to the court, whose success the labels encode: appellant, petitioner or plaintiff; null:
    taken from each judgment."""
    court: str | None = later(default=None)
    """Name of the court of all judgments; null: taken from each judgment."""
    max_pages: int = field(default=PdfLimits.pages, metadata=_BOUND)
    """Most pages of a PDF."""
    max_page_points: int = field(default=PdfLimits.points, metadata=_BOUND)
    """Longest side of a page, in points of 1/72 inch."""
    max_page_characters: int = field(default=PdfLimits.characters, metadata=_BOUND)
    """Most characters of a page."""

    def __post_init__(self) -> None:
        """Raise UserError for an unknown party, input or treatment of scanned pages, or a resolution below 1."""
        where = f"corpus {self.name}"
        parse_party(self.party, where=f"{where}: party")
        check_fields(self, where)
        if self.dpi < 1:
            raise UserError(f"{self.dpi} dots per inch", where=f"{where}: dpi", cure="give a positive number")

    def paths(self, split: str | None) -> list[Path]:
        """Return the folder, whether or not it exists."""
        select_splits(split, (), corpus=self.name)
        return [paths.resolve(self.folder)]

    def read(self, split: str | None) -> Iterator[Judgment]:
        """Yield all judgments with their pages, in natural order of the files; raise UserError with the file.

        The text of a scanned judgment, which only `input: images` accepts, is "".
        """
        judgments = self._judgments(split)
        # `validate_judgments` rejects a judgment without text.
        return validate_judgments(judgments) if self.input == "text" else judgments

    def _judgments(self, split: str | None) -> Iterator[Judgment]:
        select_splits(split, (), corpus=self.name)
        folder = require_path(self.folder)
        files = list_pdf_files(folder)
        if not files:
            raise UserError("no *.pdf in this folder", where=str(folder), cure="one judgment per PDF")
        limits = PdfLimits(pages=self.max_pages, points=self.max_page_points, characters=self.max_page_characters)
        ids = Counter(path.stem for path in files)
        if twice := [name for name, count in ids.items() if count > 1]:
            raise UserError(f"duplicate id {twice[0]!r}", where=str(folder), cure="rename one of the two files")
        labels = load_labels(self.labels, "id", ids)
        skipped = 0
        for path in files:
            pdf = self._check_input(read_pdf(path, limits))
            label = labels.get(path.stem, Label(outcome=None, confidence=None))
            skipped += len(pdf.scanned) if pdf.text else 0
            yield Judgment(
                id=path.stem,
                text=pdf.text,
                outcome=label.outcome,
                confidence=label.confidence,
                party=parse_party(self.party, where=self.name),
                court=self.court,
                source=str(path),
                pages=self._pages(pdf),
            )
        if skipped:
            LOG.info("corpus %s: omitted %d scanned pages of %d judgments", self.name, skipped, len(files))

    def _check_input(self, pdf: Pdf) -> Pdf:
        """Return the PDF; raise UserError if `input` cannot use it."""
        if self.input == "text":
            pdf.require_text(scanned_pages=self.scanned_pages)
        else:
            pdf.reject_mixed_pages(scanned_pages=self.scanned_pages)
        if pdf.text and pdf.scanned:
            LOG.info("%s: omitted scanned page %s of %d", pdf.path, format_ranges(pdf.scanned), len(pdf.starts))
        return pdf

    def _pages(self, pdf: Pdf) -> tuple[Page, ...]:
        """Return the pages with text or, if none has text, the scanned ones."""
        dpi = self.dpi if self.input == "images" else None
        return tuple(
            Page(path=str(pdf.path), number=number, sha256=pdf.sha256, start=start, end=end, dpi=dpi)
            for number, (start, end) in enumerate(zip(pdf.starts, pdf.ends, strict=True), start=1)
            if end > start or (not pdf.text and number in pdf.scanned)
        )
