"""Rendering of pages as images."""

import hashlib
from collections.abc import Iterator
from dataclasses import replace

import pytest
from PIL import Image

from legalrr.corpora.pdf_folder import pixel_size, render_page, render_pages
from legalrr.records import Page

COLOURS = [(200, 0, 0), (0, 200, 0), (0, 0, 200)]


@pytest.fixture
def scan(tmp_path):
    """Write a PDF of three pages of 4 x 5 inches, each of one colour; return its path and pages."""
    first, *others = [Image.new("RGB", (400, 500), colour) for colour in COLOURS]
    path = tmp_path / "scan.pdf"
    first.save(path, save_all=True, append_images=others, resolution=100)
    sha256 = hashlib.sha256(path.read_bytes()).hexdigest()
    pages = [Page(path=str(path), number=n, sha256=sha256, start=0, end=0, dpi=50) for n in (1, 2, 3)]
    return path, pages


def close(image: Image.Image, colour: tuple[int, int, int]) -> bool:
    """Return whether the centre has this colour, up to JPEG loss."""
    found = image.getpixel((image.width // 2, image.height // 2))
    return all(abs(a - b) <= 3 for a, b in zip(found, colour, strict=True))


@pytest.mark.parametrize(
    ("size", "pixels"),
    [({"dpi": 72}, (288, 360)), ({"dpi": 100}, (400, 500)), ({"longest_side": 333}, (267, 333))],
)
def test_a_page_is_rendered_at_the_requested_size(scan, size, pixels):
    image = render_page(scan[0], 2, **size)
    assert (image.size, image.mode) == (pixels, "RGB")
    assert close(image, COLOURS[1])


@pytest.mark.parametrize("longest", [1, 7, 100, 999, 1280])
def test_longest_side_limits_both_sides(scan, longest):
    assert max(render_page(scan[0], 1, longest_side=longest).size) == longest


def test_pages_are_rendered_lazily_and_in_order(scan):
    path, (first, second, third) = scan
    images = render_pages([third, first, replace(second, number=9)])
    assert isinstance(images, Iterator)
    assert close(next(images), COLOURS[2])
    assert close(next(images), COLOURS[0])
    path.unlink()


@pytest.mark.parametrize("dpi", [1, 50, 77, 150])
def test_pixel_size_is_the_size_of_the_rendered_image(scan, dpi):
    page = replace(scan[1][1], dpi=dpi)
    assert pixel_size(page) == next(render_pages([page])).size


def test_pages_of_several_files_can_be_mixed(scan, tmp_path):
    path, pages = scan
    other = tmp_path / "other.pdf"
    other.write_bytes(path.read_bytes())
    mixed = [pages[0], replace(pages[1], path=str(other)), pages[2]]
    assert [close(image, colour) for image, colour in zip(render_pages(mixed), COLOURS, strict=True)] == [True] * 3


def test_a_file_that_has_changed_is_rejected(scan, user_error):
    path, pages = scan
    path.write_bytes(path.read_bytes() + b"\n")
    with user_error("scan.pdf", "has changed"):
        next(render_pages(pages))
    with user_error("scan.pdf", "has changed"):
        pixel_size(pages[0])


def test_a_page_read_as_text_is_not_rendered(scan, user_error):
    with user_error("scan.pdf, page 1", "input: images"):
        next(render_pages([replace(scan[1][0], dpi=None)]))


@pytest.mark.parametrize(
    ("page", "size", "words"),
    [
        (1, {}, "give dpi or longest_side"),
        (1, {"dpi": 72, "longest_side": 72}, "give dpi or longest_side"),
        (1, {"dpi": 0}, "0 x 0 pixels"),
        (1, {"longest_side": -5}, "pixels"),
        (1, {"dpi": 5000}, "20000 x 25000 pixels"),
        (4, {"dpi": 72}, "no page 4: the PDF has 3"),
        (0, {"dpi": 72}, "no page 0"),
    ],
)
def test_invalid_sizes_and_pages_are_rejected(scan, page, size, words, user_error):
    with user_error("scan.pdf", words):
        render_page(scan[0], page, **size)
