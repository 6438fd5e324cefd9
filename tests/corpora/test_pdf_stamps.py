"""Stamps of digital signatures, which are not text."""

import numpy as np
import pytest
from matplotlib.backends.backend_pdf import PdfPages
from matplotlib.figure import Figure

from legalrr.corpora.pdf import has_few_words, is_stamp, read_pdf

STAMP = "Signature Not Verified\nDigitally signed by\nA REGISTRAR\nDate: 2021.03.04 10:11:12 IST\nReason:"


@pytest.mark.parametrize(
    "page",
    [
        STAMP,
        "Signature valid\nDigitally signed by A.B. CLERK\nDate: 2021-03-04 10:11:12 +05:30\nReason: x\nLocation: y",
        "Digitally signed by A CLERK Date: 2021.03.04 10:11:12 IST Reason:",
        "Digitally signed by A CLERK",
        "SIGNATURE NOT VERIFIED",
        STAMP + "\n" + STAMP,
    ],
)
def test_a_stamp_alone_is_a_stamp(page):
    assert is_stamp(page)
    assert has_few_words(page)


@pytest.mark.parametrize(
    "page", ["", "Date: 4 March 2021", STAMP + "\nThe appeal is allowed.", "He digitally signed it.\nIt was filed."]
)
def test_other_text_is_not_a_stamp(page):
    assert not is_stamp(page)


def test_few_words_are_counted_without_the_stamp():
    assert has_few_words(STAMP + "\nItem No. 5, Court No. 3")
    assert not has_few_words("word " * 20)


@pytest.fixture
def scan(tmp_path):
    """Write a PDF with a page for each text, with an image where `image`."""

    def make(*texts, image=True):
        path = tmp_path / "j.pdf"
        with PdfPages(path) as book:
            for text in texts:
                figure = Figure()
                if image:
                    figure.figimage(np.random.default_rng(0).random((100, 100)))
                figure.text(0.1, 0.4, text, fontsize=6)
                book.savefig(figure)
        return path

    return make


@pytest.mark.parametrize("image", [True, False])
def test_a_pdf_with_stamps_alone_is_a_scan(scan, user_error, image):
    pdf = read_pdf(scan(STAMP, image=image))
    assert (pdf.text, pdf.scanned) == ("", (1,))
    with user_error("j.pdf", "scanned PDF", "OCR", "images"):
        pdf.require_text()


def test_a_scan_with_a_few_words_on_each_page_is_a_scan(scan, user_error):
    pdf = read_pdf(scan(STAMP, "Item No. 5", "Court 3, true copy"))
    assert (pdf.text, pdf.scanned) == ("", (1, 2, 3))
    with user_error("j.pdf", "scanned PDF"):
        pdf.require_text(scanned_pages="skip")


def test_a_few_words_without_an_image_and_a_page_of_text_are_text(scan):
    assert read_pdf(scan("The appeal is allowed.", image=False)).text == "The appeal is allowed."
    lines = "\n".join(["The appellant is a tenant of the first floor."] * 5)
    pdf = read_pdf(scan(lines, "The appeal is allowed."))
    assert pdf.text.endswith("The appeal is allowed.")
    assert pdf.scanned == ()


def test_the_stamp_on_a_page_with_text_stays(scan):
    lines = "\n".join(["The appellant is a tenant of the first floor."] * 5)
    assert "Digitally signed" in read_pdf(scan(STAMP + "\n" + lines)).text
