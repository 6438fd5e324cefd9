"""Reading valid and invalid PDFs."""

import hashlib
import zlib
from textwrap import wrap

import numpy as np
import pytest
from matplotlib.backends.backend_pdf import PdfPages
from matplotlib.figure import Figure

from legalrr.corpora.marked import Marked
from legalrr.corpora.pdf import PdfLimits, format_ranges, list_pdf_files, read_pdf
from legalrr.sentences import split

STORY = ["The ferry had carried the villag-", "ers across until the bridge was built."]
LEDGER = ["The ledger was kept by a clerk.", "He was well and well-known, as was well-", "known in the town."]


@pytest.fixture
def typeset(tmp_path):
    """Write a PDF with these pages: lines of text, None for an image of noise."""

    def make(*pages, name="j.pdf"):
        path = tmp_path / name
        with PdfPages(path) as book:
            for lines in pages:
                figure = Figure(figsize=(8.27, 11.69))
                if lines is None:
                    figure.figimage(np.random.default_rng(0).random((300, 200)))
                for row, line in enumerate(lines or ()):
                    figure.text(0.08, 0.96 - 0.018 * row, line, fontsize=8)
                book.savefig(figure)
        return path

    return make


def written(*objects: bytes, trailer: bytes = b"") -> bytes:
    """Return a PDF of these objects, numbered from 1, the first one the catalogue."""
    content, places = b"%PDF-1.4\n", []
    for number, thing in enumerate(objects, start=1):
        places.append(len(content))
        content += b"%d 0 obj\n%b\nendobj\n" % (number, thing)
    table = b"".join(b"%010d 00000 n \n" % place for place in places)
    head = b"xref\n0 %d\n0000000000 65535 f \n" % (len(objects) + 1)
    root = b"trailer\n<</Size %d/Root 1 0 R%b>>\n" % (len(objects) + 1, trailer)
    return content + head + table + root + b"startxref\n%d\n%%%%EOF\n" % len(content)


CATALOGUE = b"<</Type/Catalog/Pages 2 0 R>>"
ONE_PAGE = b"<</Type/Pages/Kids[3 0 R]/Count 1>>"
BLANK = b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 200 200]>>"


def locked(handler: bytes) -> bytes:
    """Return an encrypted PDF without a known password."""
    key = b"<" + b"41" * 32 + b">"
    lock = b"<</Filter/%b/V 1/R 2/O%b/U%b/P -4>>" % (handler, key, key)
    return written(CATALOGUE, ONE_PAGE, BLANK, lock, trailer=b"/Encrypt 4 0 R/ID[<41><41>]")


def test_pages_are_joined_to_a_text_with_their_offsets(typeset):
    path = typeset(["RAIN v. BRIDGE, 1", *STORY, "- 1 -"], ["RAIN v. BRIDGE, 2", *LEDGER, "- 2 -"])
    pdf = read_pdf(path)
    first, second = (
        "The ferry had carried the villagers\nacross until the bridge was built.\n",
        "The ledger was kept by a clerk.\nHe was well and well-known, as was well-known\nin the town.",
    )
    assert pdf.text == first + second
    assert (pdf.starts, pdf.ends, pdf.scanned) == ((0, len(first)), (len(first), len(first + second)), ())
    assert pdf.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()


def test_characters_outside_the_basic_plane_are_extracted(typeset):
    assert read_pdf(typeset(["o\ufb03ce \U0001d538 \u2018quoted\u2019"])).text == "office \U0001d538 \u2018quoted\u2019"


@pytest.mark.parametrize("width", [45, 85])
def test_a_printed_judgment_keeps_its_words_and_most_sentences(typeset, width):
    judgment = next(iter(Marked(name="c", folder="$LEGALRR/data/specimen/judgments", scheme="build").read(None)))
    lines = [line for paragraph in judgment.text.split("\n") for line in wrap(paragraph, width) or [""]]
    pages = [lines[at : at + 30] for at in range(0, len(lines), 30)]
    printed = typeset(*[["In the High Court", "", *page, "", f"Page {n}"] for n, page in enumerate(pages, start=1)])
    text = read_pdf(printed).text
    assert text.removeprefix("In the High Court").split() == judgment.text.split()
    sentences = {" ".join(judgment.text[a:b].split()) for a, b in split(judgment.text)}
    again = {" ".join(text[a:b].split()) for a, b in split(text)}
    # Lines of the title are joined if no blank line separates them.
    assert len(sentences & again) >= 0.85 * len(sentences)


def test_a_gap_between_lines_is_a_blank_line(typeset):
    # PDFium returns the two lines of the divided word as one.
    lines = ["Facts", "", "The ferry had carried the villag-", "ers across.", "They paid.", "", "", "Reasons", "None."]
    text = "Facts\n\nThe ferry had carried the villagers\nacross.\nThey paid.\n\nReasons\nNone."
    assert read_pdf(typeset(lines)).text == text


def test_pages_without_text_are_scanned_and_blank_ones_are_not(typeset):
    pdf = read_pdf(typeset(["A stamp", "1"], None, [], ["A stamp", *STORY, "4"], ["A stamp", "5"]))
    assert pdf.scanned == (2,)
    assert pdf.starts == (0, 0, 0, 0, len(pdf.text))


def test_a_scan_with_a_recurring_stamp_is_a_scan(tmp_path):
    path = tmp_path / "s.pdf"
    with PdfPages(path) as book:
        for number in (1, 2, 3):
            figure = Figure()
            figure.figimage(np.zeros((100, 100)))
            figure.text(0.5, 0.05, f"Copy, page {number} of 3")
            book.savefig(figure)
    pdf = read_pdf(path)
    assert (pdf.text, pdf.scanned) == ("", (1, 2, 3))


def test_letters_drawn_as_shapes_count_as_scanned(write):
    shape = b"0 0 1 rg 20 20 90 60 re f"
    page = b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 200 200]/Contents 4 0 R>>"
    stream = b"<</Length %d>>stream\n%b\nendstream" % (len(shape), shape)
    assert read_pdf(write("j.pdf", written(CATALOGUE, ONE_PAGE, page, stream))).scanned == (1,)


def test_a_pdf_without_text_is_rejected_by_require_text(typeset, user_error):
    with user_error("j.pdf", "no page has text", "input: images"):
        read_pdf(typeset(None, None)).require_text(scanned_pages="skip")


def test_scanned_pages_in_a_pdf_with_text_are_rejected_by_number(typeset, user_error):
    pdf = read_pdf(typeset(None, STORY, None, None))
    with user_error("j.pdf", "no text on page 1, 3-4 of 4", "scanned_pages: skip"):
        pdf.require_text()
    pdf.require_text(scanned_pages="skip")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", ["empty file (0 bytes)"]),
        (b"Judgment\n", ["not a PDF"]),
        (written(CATALOGUE, ONE_PAGE, BLANK)[:80], ["damaged PDF"]),
        (written(CATALOGUE, b"<</Type/Pages/Kids[]/Count 0>>"), ["without pages"]),
        (locked(b"Standard"), ["encrypted", "qpdf --decrypt"]),
        (locked(b"Other"), ["encrypted"]),
        (written(CATALOGUE, ONE_PAGE, BLANK), ["blank"]),
        (written(CATALOGUE, b"<</Type/Pages/Kids[3 0 R 9 0 R]/Count 2>>", BLANK), ["page 2 is damaged"]),
    ],
    ids=["empty", "text", "cut off", "no pages", "password", "unknown lock", "blank", "broken page"],
)
def test_an_invalid_pdf_is_rejected_by_name(content, words, write, user_error):
    with user_error("bad.pdf", *words):
        read_pdf(write("bad.pdf", content))


def test_a_missing_pdf_is_rejected(tmp_path, user_error):
    with user_error("none.pdf", "No such file"):
        read_pdf(tmp_path / "none.pdf")


def test_pdfs_are_found_with_a_suffix_in_any_case(write, tmp_path, user_error):
    for name in ("d10.pdf", "d2.PDF", "notes.txt", "a.pdf.txt"):
        write(name, "x")
    assert [path.name for path in list_pdf_files(tmp_path)] == ["d2.PDF", "d10.pdf"]
    with user_error("d10.pdf", "not a folder"):
        list_pdf_files(tmp_path / "d10.pdf")


def test_page_numbers_are_formatted_as_ranges():
    assert [format_ranges(pages) for pages in ([3], [1, 2, 3, 5], [])] == ["3", "1-3, 5", ""]


@pytest.mark.parametrize(
    ("limits", "words"),
    [
        (PdfLimits(pages=1), ("2 pages, more than 1", "corpus.max_pages")),
        (PdfLimits(points=500), ("page 1: 595 x 842 points, more than 500", "corpus.max_page_points")),
        (PdfLimits(characters=50), ("page 2", "characters, more than 50", "corpus.max_page_characters")),
    ],
)
def test_a_pdf_beyond_a_limit_is_rejected_with_the_option(typeset, user_error, limits, words):
    with user_error("j.pdf", *words):
        read_pdf(typeset(["A title"], STORY), limits)


def test_a_page_of_any_size_is_rejected_before_it_is_drawn(write, user_error):
    page = b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 1000000 1000000]>>"
    with user_error("j.pdf, page 1: 1000000 x 1000000 points"):
        read_pdf(write("j.pdf", written(CATALOGUE, ONE_PAGE, page)))


def test_a_page_that_inflates_beyond_its_bound_is_rejected(write, user_error, monkeypatch):
    monkeypatch.setattr("legalrr.corpora.pdf.LARGEST_CONTENT", 10_000)
    page = b"<</Type/Page/Parent 2 0 R/MediaBox[0 0 200 200]/Contents 4 0 R>>"
    packed = zlib.compress(b"0 0 m 9 9 l S " * 10_000)
    stream = b"<</Filter/FlateDecode/Length %d>>\nstream\n%b\nendstream" % (len(packed), packed)
    with user_error("j.pdf: the content of a page inflates to more than 10000 bytes", "pdf.LARGEST_CONTENT"):
        read_pdf(write("j.pdf", written(CATALOGUE, ONE_PAGE, page, stream)))
    image = stream.replace(b"<</Filter", b"<</Subtype/Image/Filter")
    with user_error("blank"):
        read_pdf(write("j.pdf", written(CATALOGUE, ONE_PAGE, BLANK, image)))
