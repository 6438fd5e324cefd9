"""Pages of a PDF as images, drawn by PDFium when they are asked for."""

from collections.abc import Iterable, Iterator
from itertools import groupby
from math import ceil
from pathlib import Path
from typing import TYPE_CHECKING

from legalrr.corpora.pdf import opened, page_of
from legalrr.errors import UserError
from legalrr.records import Page

if TYPE_CHECKING:
    from PIL.Image import Image
    from pypdfium2 import PdfDocument

# PDF counts in points of 1/72 inch.
_POINTS_PER_INCH = 72
# 192 MB of RGB; A4 reaches it at 800 dpi, so only a plan or a slip of the pen does.
_MOST_PIXELS = 64_000_000


def render(path: Path, page: int, *, dpi: int | None = None, longest_side: int | None = None) -> "Image":
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
    with opened(path) as (document, _):
        return _drawn(document, page, path, dpi=dpi, longest_side=longest_side)


def rendered(pages: Iterable[Page]) -> Iterator["Image"]:
    """The images of pages in their order, drawn one at a time; a file is opened once for pages that follow each other.

    Raises:
        UserError: a page has no `dpi`, the file has changed since it was read, or as `render`.
    """
    for name, wanted in groupby(pages, key=lambda page: page.path):
        path = Path(name)
        with opened(path) as (document, sha256):
            for page in wanted:
                where = f"{name}, page {page.number}"
                if page.dpi is None:
                    raise UserError("read as text, not to be shown", where=where, cure="set input: images")
                if sha256 != page.sha256:
                    raise UserError("the file has changed since it was read", where=where, cure="run it again")
                yield _drawn(document, page.number, path, dpi=page.dpi, longest_side=None)


def _drawn(document: "PdfDocument", number: int, path: Path, *, dpi: int | None, longest_side: int | None) -> "Image":
    with page_of(document, number, path) as page:
        width, height = page.get_size()
        # PDFium rounds the size of an image up: the exact quotient may come out one pixel too long.
        longest = (longest_side or 0) - 0.01
        scale = dpi / _POINTS_PER_INCH if dpi is not None else longest / max(width, height)
        pixels = ceil(width * scale), ceil(height * scale)
        if min(pixels) < 1 or pixels[0] * pixels[1] > _MOST_PIXELS:
            raise UserError(
                f"an image of {pixels[0]} x {pixels[1]} pixels",
                where=f"{path}, page {number}",
                cure=f"take a size that makes 1 to {_MOST_PIXELS:,} pixels",
            )
        return page.render(scale=scale).to_pil().convert("RGB")
