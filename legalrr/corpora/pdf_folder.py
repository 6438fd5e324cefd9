"""Judgments as PDFs, one file each, with labels in a CSV beside them."""

import logging
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from legalrr import places
from legalrr.corpora.checks import Label, checked, joined_labels, party_of, splits_to_read
from legalrr.corpora.files import located
from legalrr.corpora.pdf import SCANNED_PAGES, Pdf, pdf_files, ranges, read_pdf
from legalrr.errors import UserError
from legalrr.records import Judgment, Page
from legalrr.stage import check_fields, choice, later

log = logging.getLogger(__name__)


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
    there is any: a page that holds anything hidden is not shown at all (`legalrr.corpora.pages`)."""
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
        party_of(self.party, where=f"{where}: party")
        check_fields(self, where)
        if self.dpi < 1:
            raise UserError(f"{self.dpi} dots per inch", where=f"{where}: dpi", cure="give a positive number")

    def paths(self, split: str | None) -> list[Path]:
        """The folder; it need not exist."""
        splits_to_read(split, (), corpus=self.name)
        return [places.resolve(self.folder)]

    def read(self, split: str | None) -> Iterator[Judgment]:
        """All judgments, in natural order of their files, with their pages; raises UserError with the file.

        The text of a scanned judgment, which `input: images` alone lets in, is "".
        """
        judgments = self._judgments(split)
        # `checked` refuses a judgment without text.
        return checked(judgments) if self.input == "text" else judgments

    def _judgments(self, split: str | None) -> Iterator[Judgment]:
        splits_to_read(split, (), corpus=self.name)
        folder = located(self.folder)
        files = pdf_files(folder)
        if not files:
            raise UserError("no *.pdf in this folder", where=str(folder), cure="one judgment per PDF")
        ids = Counter(path.stem for path in files)
        if twice := [name for name, count in ids.items() if count > 1]:
            raise UserError(f"duplicate id {twice[0]!r}", where=str(folder), cure="rename one of the two files")
        labels = joined_labels(self.labels, "id", ids)
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
                party=party_of(self.party, where=self.name),
                court=self.court,
                source=str(path),
                pages=self._pages(pdf),
            )
        if skipped:
            log.info("corpus %s: %d scanned pages left out of %d judgments", self.name, skipped, len(files))

    def _fit(self, pdf: Pdf) -> Pdf:
        """The PDF if this input can do with it."""
        if self.input == "text":
            pdf.need_text(scanned_pages=self.scanned_pages)
        else:
            pdf.need_one_kind(scanned_pages=self.scanned_pages)
        if pdf.text and pdf.scanned:
            log.info("%s: left out, as scanned, page %s of %d", pdf.path, ranges(pdf.scanned), len(pdf.starts))
        return pdf

    def _pages(self, pdf: Pdf) -> tuple[Page, ...]:
        """The pages with text or, where none has any, the scanned ones."""
        dpi = self.dpi if self.input == "images" else None
        return tuple(
            Page(path=str(pdf.path), number=number, sha256=pdf.sha256, start=start, end=end, dpi=dpi)
            for number, (start, end) in enumerate(zip(pdf.starts, pdf.ends, strict=True), start=1)
            if end > start or (not pdf.text and number in pdf.scanned)
        )
