"""Read judgments from a folder of PDFs, and render their pages as images.

Pages of a PDF as images, drawn by PDFium when they are asked for.

Judgments as PDFs, one file each, with labels in a CSV beside them.
"""

import logging
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import groupby
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from legalrr import paths
from legalrr.corpora.checks import Label, load_labels, parse_party, select_splits, validate_judgments
from legalrr.corpora.files import require_path
from legalrr.corpora.pdf import SCANNED_PAGES, Pdf, format_ranges, list_pdf_files, open_page, open_pdf, read_pdf
from legalrr.errors import UserError
from legalrr.records import Judgment, Page
from legalrr.stage import check_fields, choice, later

if TYPE_CHECKING:
    from PIL.Image import Image
    from pypdfium2 import PdfDocument


# PDF counts in points of 1/72 inch.
_POINTS_PER_INCH = 72
# 192 MB of RGB; A4 reaches it at 800 dpi, so only a plan or a slip of the pen does.
_MAX_PIXELS = 64_000_000


def render_page(path: Path, page: int, *, dpi: int | None = None, longest_side: int | None = None) -> "Image":
    """One page as an RGB image on white.

    Args:
        path: the PDF.
        page: number of the page, from 1.
        dpi: dots per inch; give this or
        longest_side: pixels of the longer side.

    Raises:
        UserError: none or both of the sizes, one of no pixel or of more than 64 million, no such page, or no readable
            PDF (`legalrr.corpora.pdf.read_pdf`).
    """
    if (dpi is None) == (longest_side is None):
        raise UserError("a size in one of two ways", where=f"{path}, page {page}", cure="give dpi or longest_side")
    with open_pdf(path) as (document, _):
        return _draw(document, page, path, dpi=dpi, longest_side=longest_side)


def render_pages(pages: Iterable[Page]) -> Iterator["Image"]:
    """The images of pages in their order, drawn one at a time; a file is opened once for pages that follow each other.

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
    """Width and height of a page's image, which is not drawn; raises UserError as `render_pages`."""
    dpi, (width, height) = _require_dpi(page), _page_sizes(page.path, page.sha256)[page.number - 1]
    return _scale_and_size(width, height, f"{page.path}, page {page.number}", dpi=dpi, longest_side=None)[1]


@lru_cache(maxsize=4096)
def _page_sizes(name: str, sha256: str) -> tuple[tuple[float, float], ...]:
    """Width and height of every page of a file, in points; remembered, as every turn of every arm asks for them."""
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
            "read as text, not to be shown", where=f"{page.path}, page {page.number}", cure="set input: images"
        )
    return page.dpi


def _scale_and_size(
    width: float, height: float, where: str, *, dpi: int | None, longest_side: int | None
) -> tuple[float, tuple[int, int]]:
    """Pixels per point of the image of a page so many points wide and high, and its width and height in pixels."""
    # PDFium rounds the size of an image up: the exact quotient may come out one pixel too long.
    longest = (longest_side or 0) - 0.01
    scale = dpi / _POINTS_PER_INCH if dpi is not None else longest / max(width, height)
    size = ceil(width * scale), ceil(height * scale)
    if min(size) < 1 or size[0] * size[1] > _MAX_PIXELS:
        raise UserError(
            f"an image of {size[0]} x {size[1]} pixels",
            where=where,
            cure=f"take a size that makes 1 to {_MAX_PIXELS:,} pixels",
        )
    return scale, size


def _draw(document: "PdfDocument", number: int, path: Path, *, dpi: int | None, longest_side: int | None) -> "Image":
    with open_page(document, number, path) as page:
        width, height = page.get_size()
        scale, _ = _scale_and_size(width, height, f"{path}, page {number}", dpi=dpi, longest_side=longest_side)
        return page.render(scale=scale).to_pil().convert("RGB")


LOG = logging.getLogger(__name__)


@dataclass(frozen=True, kw_only=True)
class PdfFolder:
    """Reads a folder of PDFs."""

    VERSION: ClassVar[int] = 1

    name: str
    """Name in tables."""
    folder: str
    """Config path of the folder; a judgment's id is its file's name without .pdf."""
    labels: str | None = None
    """Config path of a CSV with id, label (1 allowed, 0 dismissed) and, optionally, confidence; null: no labels."""
    input: str = choice("text", "text", "images")
    """What a model is shown: `text`, or `images` of the pages. Roles are found, and verdicts hidden, by the text where
    there is any: a page that holds anything hidden is not shown at all (`legalrr.hiding.hide`)."""
    dpi: int = 150
    """Dots per inch of the images."""
    scanned_pages: str = choice("error", *SCANNED_PAGES)
    """What to do with pages without text among others with text: `error`, or `skip`, which leaves them out and counts
    them."""
    split: str | None = None
    """Always null: such a folder has no splits."""
    train_split: str | None = None
    """Always null."""
    party: str | None = None
    """The party that came to the court, whose success the labels state: appellant, petitioner or plaintiff; null: as
    each judgment says."""
    court: str | None = later(default=None)
    """Name of the court that all of them are of; null: as each judgment says."""

    def __post_init__(self) -> None:
        """Raises UserError for an unknown party, input or treatment of scanned pages, or a resolution below 1."""
        where = f"corpus {self.name}"
        parse_party(self.party, where=f"{where}: party")
        check_fields(self, where)
        if self.dpi < 1:
            raise UserError(f"{self.dpi} dots per inch", where=f"{where}: dpi", cure="give a positive number")

    def paths(self, split: str | None) -> list[Path]:
        """The folder; it need not exist."""
        select_splits(split, (), corpus=self.name)
        return [paths.resolve(self.folder)]

    def read(self, split: str | None) -> Iterator[Judgment]:
        """All judgments, in natural order of their files, with their pages; raises UserError with the file.

        The text of a scanned judgment, which `input: images` alone lets in, is "".
        """
        judgments = self._judgments(split)
        # `validate_judgments` refuses a judgment without text.
        return validate_judgments(judgments) if self.input == "text" else judgments

    def _judgments(self, split: str | None) -> Iterator[Judgment]:
        select_splits(split, (), corpus=self.name)
        folder = require_path(self.folder)
        files = list_pdf_files(folder)
        if not files:
            raise UserError("no *.pdf in this folder", where=str(folder), cure="one judgment per PDF")
        ids = Counter(path.stem for path in files)
        if twice := [name for name, count in ids.items() if count > 1]:
            raise UserError(f"duplicate id {twice[0]!r}", where=str(folder), cure="rename one of the two files")
        labels = load_labels(self.labels, "id", ids)
        skipped = 0
        for path in files:
            pdf = self._fit(read_pdf(path))
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
            LOG.info("corpus %s: %d scanned pages left out of %d judgments", self.name, skipped, len(files))

    def _fit(self, pdf: Pdf) -> Pdf:
        """The PDF if this input can do with it."""
        if self.input == "text":
            pdf.require_text(scanned_pages=self.scanned_pages)
        else:
            pdf.reject_mixed_pages(scanned_pages=self.scanned_pages)
        if pdf.text and pdf.scanned:
            LOG.info("%s: left out, as scanned, page %s of %d", pdf.path, format_ranges(pdf.scanned), len(pdf.starts))
        return pdf

    def _pages(self, pdf: Pdf) -> tuple[Page, ...]:
        """The pages with text or, where none has any, the scanned ones."""
        dpi = self.dpi if self.input == "images" else None
        return tuple(
            Page(path=str(pdf.path), number=number, sha256=pdf.sha256, start=start, end=end, dpi=dpi)
            for number, (start, end) in enumerate(zip(pdf.starts, pdf.ends, strict=True), start=1)
            if end > start or (not pdf.text and number in pdf.scanned)
        )
