"""Damaged PDFs end in judgments or in one UserError with the file."""

import pytest
from matplotlib.backends.backend_pdf import PdfPages
from matplotlib.figure import Figure

from legalrr.corpora.pdf_folder import PdfFolder
from tests.mutations import MUTATIONS, accepted, damaged


@pytest.mark.parametrize("input", ["text", "images"])
def test_damaged_pdfs_end_in_judgments_or_one_line(tmp_path, input):
    file = tmp_path / "a.pdf"
    with PdfPages(file, metadata={"CreationDate": None}) as book:
        for number in range(2):
            figure = Figure()
            figure.text(0.1, 0.5, f"The appellant is a tenant {number}.\nThe appeal is allowed.")
            book.savefig(figure)
    more = (
        b"/MediaBox [ 0 0 1e30 1e30 ]",
        b"/Rotate 45",
        b"/Count 99999999",
        b"<</Type /Page",
        b"endobj\n",
        b"/Encrypt 1 0 R",
    )
    versions = damaged(file.read_bytes(), 1, count=MUTATIONS // 2, more=more)
    reader = PdfFolder(name="c", folder=str(tmp_path), input=input)
    assert 0 < accepted(file, versions, lambda: list(reader.read(None))) < MUTATIONS // 2
