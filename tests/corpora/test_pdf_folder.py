"""A folder of PDFs."""

import logging

import pytest
from matplotlib.backends.backend_pdf import PdfPages
from matplotlib.figure import Figure
from PIL import Image

from legalrr.corpora.catalogue import card
from legalrr.corpora.pdf_folder import PdfFolder, render_pages
from legalrr.page_images import overlapping_pages, select_pages
from legalrr.records import Document, Hidden
from legalrr.stage import from_values


@pytest.fixture
def folder(tmp_path):
    """Return the name of a folder with a2.pdf (two pages) and a10.PDF (one page)."""
    for name, pages in {"a2.pdf": ["The ferry sank.", "The appeal is allowed."], "a10.PDF": ["It rained."]}.items():
        with PdfPages(tmp_path / name) as book:
            for line in pages:
                figure = Figure(figsize=(4, 5))
                figure.text(0.1, 0.5, line)
                book.savefig(figure)
    return str(tmp_path)


@pytest.fixture
def scan():
    """Write a scan of `count` pages."""

    def make(path, count=3):
        pages = [Image.new("L", (200, 300), 90 + n) for n in range(count)]
        pages[0].save(path, save_all=True, append_images=pages[1:])

    return make


@pytest.fixture
def mixed(folder, tmp_path, scan):
    """Add m.pdf to the folder: a page of text and a page with an image."""
    from pypdfium2 import PdfDocument

    scan(tmp_path / "image.tmp.pdf", 1)
    with PdfDocument(tmp_path / "a10.PDF") as text, PdfDocument(tmp_path / "image.tmp.pdf") as image:
        text.import_pages(image)
        text.save(tmp_path / "m.pdf")
    (tmp_path / "image.tmp.pdf").unlink()
    return folder


def test_texts_labels_and_pages_are_joined_by_id(folder, write, tmp_path):
    labels = write("labels.csv", "id,label\na10,0\n")
    corpus = PdfFolder(name="c", folder=folder, labels=str(labels), party="plaintiff", court="High Court")
    second, tenth = corpus.read(None)
    assert (second.id, second.text, second.outcome) == ("a2", "The ferry sank.\nThe appeal is allowed.", None)
    assert (tenth.id, tenth.text, tenth.outcome, tenth.party) == ("a10", "It rained.", "dismissed", "plaintiff")
    assert (second.court, tenth.court) == ("High Court", "High Court")
    assert second.source == f"{tmp_path}/a2.pdf"
    assert [(page.number, second.text[page.start : page.end], page.dpi) for page in second.pages] == [
        (1, "The ferry sank.\n", None),
        (2, "The appeal is allowed.", None),
    ]
    assert corpus.paths(None) == [tmp_path]
    assert hash(second) == hash(next(corpus.read(None)))


def test_a_page_with_hidden_text_is_omitted_from_the_images(folder):
    judgment = next(PdfFolder(name="c", folder=folder, input="images", dpi=40).read(None))
    at = judgment.text.index("The appeal")
    hidden = Hidden(start=at, end=len(judgment.text), role="RPC", reason="role")
    assert [page.number for page in overlapping_pages(judgment.pages, hidden.start, hidden.end)] == [2]
    document = Document(id="a2", scheme="build", headings=False, blocks=(), hidden=(hidden,))
    (page,) = select_pages(document, judgment.pages).pages
    assert page.number == 1
    assert [image.size for image in render_pages([page])] == [(160, 200)]


def test_a_scan_is_rejected_as_text_and_read_as_images(tmp_path, scan, user_error):
    scan(tmp_path / "s.pdf")
    with user_error("s.pdf", "no page has text", "input: images"):
        list(PdfFolder(name="c", folder=str(tmp_path), scanned_pages="skip").read(None))
    (judgment,) = PdfFolder(name="c", folder=str(tmp_path), input="images").read(None)
    assert judgment.text == ""
    assert [(page.number, page.start, page.end, page.dpi) for page in judgment.pages] == [
        (1, 0, 0, 150),
        (2, 0, 0, 150),
        (3, 0, 0, 150),
    ]
    document = Document(id="s", scheme="build", headings=False, blocks=())
    assert [page.number for page in select_pages(document, judgment.pages, last_pages_hidden=1).pages] == [1, 2]


@pytest.mark.parametrize("shown", ["text", "images"])
def test_a_scanned_page_in_a_pdf_with_text_is_rejected_or_skipped(mixed, shown, user_error, caplog):
    with user_error("m.pdf", "no text on page 2 of 2", "scanned_pages: skip"):
        list(PdfFolder(name="c", folder=mixed, input=shown).read(None))
    with caplog.at_level(logging.INFO, logger="legalrr"):
        *_, last = PdfFolder(name="c", folder=mixed, input=shown, scanned_pages="skip").read(None)
    assert (last.id, last.text, [page.number for page in last.pages]) == ("m", "It rained.", [1])
    assert "omitted scanned page 2 of 2" in caplog.text
    assert "corpus c: omitted 1 scanned pages of 3 judgments" in caplog.text


def test_invalid_options_are_rejected_by_name(user_error, tmp_path):
    with user_error("corpus c", "unknown input 'pictures'", "text or images"):
        PdfFolder(name="c", folder="x", input="pictures")
    with user_error("corpus c", "unknown scanned_pages 'ocr'", "error or skip"):
        PdfFolder(name="c", folder="x", scanned_pages="ocr")
    with user_error("corpus c: dpi", "0 dots"):
        PdfFolder(name="c", folder="x", dpi=0)
    with user_error("unknown party"):
        PdfFolder(name="c", folder="x", party="state")
    with user_error("no split 'test'"):
        list(PdfFolder(name="c", folder="x").read("test"))
    with user_error(str(tmp_path), "no *.pdf"):
        list(PdfFolder(name="c", folder=str(tmp_path)).read(None))


@pytest.mark.parametrize("shown", ["text", "images"])
def test_two_files_with_one_name_are_rejected(tmp_path, folder, shown, user_error):
    (tmp_path / "a2.PDF").write_bytes((tmp_path / "a2.pdf").read_bytes())
    with user_error(folder, "duplicate id 'a2'"):
        list(PdfFolder(name="c", folder=folder, input=shown).read(None))


def test_the_config_own_pdf_reads_a_given_folder(folder):
    assert card("own_pdf").reader() is None
    node = card("own_pdf").node()
    values = {key: None if key == "folder" else node[key] for key in node if key not in ("_target_", "meta")}
    assert len(list(from_values(PdfFolder, values | {"folder": folder}).read(None))) == 2
