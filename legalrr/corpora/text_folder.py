"""Plain judgments, one .txt file each, with labels in a CSV beside them."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from legalrr import places
from legalrr.corpora.checks import Label, checked, joined_labels, party_of, splits_to_read
from legalrr.corpora.files import located, read_text, text_files
from legalrr.records import Judgment
from legalrr.stage import later


@dataclass(frozen=True, kw_only=True)
class TextFolder:
    """Reads a folder of .txt files."""

    VERSION: ClassVar[int] = 1

    name: str
    """Name in tables."""
    folder: str
    """Config path of the folder; a judgment's id is its file's name without .txt."""
    labels: str | None = None
    """Config path of a CSV with id, label (1 allowed, 0 dismissed) and, optionally, confidence; null: no labels."""
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
        """Raises UserError for an unknown party."""
        party_of(self.party, where=f"corpus {self.name}: party")

    def paths(self, split: str | None) -> list[Path]:
        """The folder; it need not exist."""
        splits_to_read(split, (), corpus=self.name)
        return [places.resolve(self.folder)]

    def read(self, split: str | None) -> Iterator[Judgment]:
        """All judgments, in natural order of their files; raises UserError with the file."""
        return checked(self._judgments(split))

    def _judgments(self, split: str | None) -> Iterator[Judgment]:
        splits_to_read(split, (), corpus=self.name)
        files = text_files(located(self.folder))
        labels = joined_labels(self.labels, "id", [path.stem for path in files])
        for path in files:
            label = labels.get(path.stem, Label(outcome=None, confidence=None))
            yield Judgment(
                id=path.stem,
                text=read_text(path),
                outcome=label.outcome,
                confidence=label.confidence,
                party=party_of(self.party, where=self.name),
                court=self.court,
                source=f"{path}:1",
            )
