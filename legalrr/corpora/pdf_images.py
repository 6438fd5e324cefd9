"""Pages of a PDF as images, drawn by PDFium when they are asked for."""

from collections.abc import Iterable, Iterator
from functools import lru_cache
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
                dpi = _resolution(page)
                if sha256 != page.sha256:
                    raise _changed(name)
                yield _drawn(document, page.number, path, dpi=dpi, longest_side=None)


def pixels(page: Page) -> tuple[int, int]:
    """Width and height of a page's image, which is not drawn; raises UserError as `rendered`."""
    dpi, (width, height) = _resolution(page), _points(page.path, page.sha256)[page.number - 1]
    return _scaled(width, height, f"{page.path}, page {page.number}", dpi=dpi, longest_side=None)[1]


@lru_cache(maxsize=4096)
def _points(name: str, sha256: str) -> tuple[tuple[float, float], ...]:
    """Width and height of every page of a file, in points; remembered, as every turn of every arm asks for them."""
    path = Path(name)
    with opened(path) as (document, found):
        if found != sha256:
            raise _changed(name)
        sizes = []
        for number in range(1, len(document) + 1):
            with page_of(document, number, path) as page:
                sizes.append(page.get_size())
    return tuple(sizes)


def _changed(name: str) -> UserError:
    return UserError("the file has changed since it was read", where=name, cure="run it again")


def _resolution(page: Page) -> int:
    if page.dpi is None:
        raise UserError(
            "read as text, not to be shown", where=f"{page.path}, page {page.number}", cure="set input: images"
        )
    return page.dpi


def _scaled(
    width: float, height: float, where: str, *, dpi: int | None, longest_side: int | None
) -> tuple[float, tuple[int, int]]:
    """Pixels per point of the image of a page so many points wide and high, and its width and height in pixels."""
    # PDFium rounds the size of an image up: the exact quotient may come out one pixel too long.
    longest = (longest_side or 0) - 0.01
    scale = dpi / _POINTS_PER_INCH if dpi is not None else longest / max(width, height)
    size = ceil(width * scale), ceil(height * scale)
    if min(size) < 1 or size[0] * size[1] > _MOST_PIXELS:
        raise UserError(
            f"an image of {size[0]} x {size[1]} pixels",
            where=where,
            cure=f"take a size that makes 1 to {_MOST_PIXELS:,} pixels",
        )
    return scale, size


def _drawn(document: "PdfDocument", number: int, path: Path, *, dpi: int | None, longest_side: int | None) -> "Image":
    with page_of(document, number, path) as page:
        width, height = page.get_size()
        scale, _ = _scaled(width, height, f"{path}, page {number}", dpi=dpi, longest_side=longest_side)
        return page.render(scale=scale).to_pil().convert("RGB")
