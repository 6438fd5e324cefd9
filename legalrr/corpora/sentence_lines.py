"""Judgments with one sentence and its role per line, as Law-AI and MARRO publish them.

    folder/2008_X_1.txt     The appellant was a tenant.<TAB>Facts
                            He was served on the fourth day.<TAB>Facts

The text of the judgment is its sentences joined by a newline; each sentence is a gold span.
Sources: Bhattacharya et al., JURIX 2019 (github.com/Law-AI/semantic-segmentation); MARRO, arXiv 2503.10659.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from legalrr import places
from legalrr.corpora.checks import Label, checked, joined_labels, party_of, splits_to_read, trimmed
from legalrr.corpora.files import located, read_text, text_files
from legalrr.errors import UserError
from legalrr.records import Judgment, Span
from legalrr.roles import scheme
from legalrr.stage import later


@dataclass(frozen=True, kw_only=True)
class SentenceLines:
    """Reads `sentence<TAB>role` files."""

    VERSION: ClassVar[int] = 1

    name: str
    """Name in tables."""
    folder: str
    """Config path of the folder with the *.txt files; a judgment's id is its file's name without .txt."""
    pattern: str = "*.txt"
    """Which files of the folder are judgments, as a shell pattern."""
    splits: list[str] = field(default_factory=list)
    """Names of sub-folders that are splits; empty: the files lie in the folder itself and there is no split."""
    split: str | None = None
    """Split that is evaluated."""
    train_split: str | None = None
    """Split that the learning baselines train on."""
    scheme: str = "seven"
    """Scheme of the roles; its own aliases are understood."""
    roles: dict[str, str] = field(default_factory=dict)
    """Role as these files spell it -> code of the scheme, for spellings that the scheme does not know."""
    outcomes: str | None = None
    """Config path of a CSV with doc_id, label (1 allowed, 0 dismissed) and, optionally, confidence; null: no labels."""
    party: str | None = None
    """The party that came to the court, whose success the labels state: appellant, petitioner or plaintiff; null: as
    each judgment says."""
    court: str | None = later(default=None)
    """Name of the court that all of them are of; null: as each judgment says."""

    def __post_init__(self) -> None:
        """Raises UserError for an unknown scheme, role or party."""
        known = scheme(self.scheme, where=f"corpus {self.name}: scheme")
        for code in self.roles.values():
            known.code(code, where=f"corpus {self.name}: roles")
        party_of(self.party, where=f"corpus {self.name}: party")

    def paths(self, split: str | None) -> list[Path]:
        """Folders that `read(split)` needs; they need not exist."""
        folder = places.resolve(self.folder)
        chosen = splits_to_read(split, self.splits, corpus=self.name)
        return [folder / one for one in chosen] or [folder]

    def read(self, split: str | None) -> Iterator[Judgment]:
        """Judgments of a split (None: all), in natural order of their files; raises UserError with file and line."""
        return checked(self._judgments(split))

    def _judgments(self, split: str | None) -> Iterator[Judgment]:
        chosen: list[str | None] = [*splits_to_read(split, self.splits, corpus=self.name)]
        folder = located(self.folder)
        files = [
            (one, path)
            for one in chosen or [None]
            for path in text_files(folder / one if one else folder, self.pattern)
        ]
        labels = joined_labels(self.outcomes, "doc_id", [path.stem for _, path in files])
        for one, path in files:
            yield self._judgment(path, one, labels.get(path.stem, Label(outcome=None, confidence=None)))

    def _judgment(self, path: Path, split: str | None, label: Label) -> Judgment:
        known = scheme(self.scheme)
        sentences: list[str] = []
        spans: list[Span] = []
        offset = 0
        for number, line in enumerate(read_text(path).split("\n"), start=1):
            if not line.strip():
                continue
            # The role stands after the last tab: a sentence may hold one itself.
            sentence, tab, role = line.rpartition("\t")
            where = f"{path}:{number}"
            if not tab or not sentence.strip():
                raise UserError("no sentence, tab and role on this line", where=where, cure="write sentence<TAB>role")
            code = known.code(self.roles.get(role.strip(), role.strip()), where=where)
            start, end = trimmed(sentence, 0, len(sentence))
            spans.append(Span(start=offset + start, end=offset + end, role=code))
            sentences.append(sentence)
            offset += len(sentence) + 1
        return Judgment(
            id=path.stem,
            text="\n".join(sentences),
            outcome=label.outcome,
            confidence=label.confidence,
            party=party_of(self.party, where=self.name),
            court=self.court,
            source=f"{path}:1",
            split=split,
            scheme=self.scheme,
            spans=tuple(spans),
        )
