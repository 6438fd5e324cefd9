"""Read judgments from text files: plain text, or one sentence and role per line.

Plain text (`TextFolder`): one judgment per file, with labels in a CSV.

Sentence lines (`SentenceLines`): one sentence and its role per line, as Law-AI and MARRO publish them. The text of the
judgment is its sentences joined by a newline; each sentence is a gold span.

    folder/2008_X_1.txt     The appellant was a tenant.<TAB>Facts
                            He was served on the fourth day.<TAB>Facts

Sources: Bhattacharya et al., JURIX 2019 (github.com/Law-AI/semantic-segmentation); MARRO, arXiv 2503.10659.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import ClassVar

from legalrr import paths
from legalrr.corpora.bounded_files import read_text
from legalrr.corpora.checks import Label, load_labels, parse_party, select_splits, strip_span, validate_judgments
from legalrr.corpora.files import list_text_files, require_path
from legalrr.errors import UserError
from legalrr.records import Judgment, Span
from legalrr.roles import scheme
from legalrr.stage import later


@dataclass(frozen=True, kw_only=True)
class TextFolder:
    """Reader of a folder of .txt files."""

    VERSION: ClassVar[int] = 1

    name: str
    """Name in tables."""
    folder: str
    """Config path of the folder; the id of a judgment is the file name without .txt."""
    labels: str | None = None
    """Config path of a CSV with id, label (1 allowed, 0 dismissed) and, optionally, confidence; null: no labels."""
    split: str | None = None
    """Always null: the folder has no splits."""
    train_split: str | None = None
    """Always null."""
    party: str | None = None
    """The party that came to the court, whose success the labels encode: appellant, petitioner or plaintiff; null:
    taken from each judgment."""
    court: str | None = later(default=None)
    """Name of the court of all judgments; null: taken from each judgment."""

    def __post_init__(self) -> None:
        """Raise UserError for an unknown party."""
        parse_party(self.party, where=f"corpus {self.name}: party")

    def paths(self, split: str | None) -> list[Path]:
        """Return the folder, whether or not it exists."""
        select_splits(split, (), corpus=self.name)
        return [paths.resolve(self.folder)]

    def read(self, split: str | None) -> Iterator[Judgment]:
        """Yield all judgments in natural order of the files; raise UserError with the file."""
        return validate_judgments(self._judgments(split))

    def _judgments(self, split: str | None) -> Iterator[Judgment]:
        select_splits(split, (), corpus=self.name)
        files = list_text_files(require_path(self.folder))
        labels = load_labels(self.labels, "id", [path.stem for path in files])
        for path in files:
            label = labels.get(path.stem, Label(outcome=None, confidence=None))
            yield Judgment(
                id=path.stem,
                text=read_text(path),
                outcome=label.outcome,
                confidence=label.confidence,
                party=parse_party(self.party, where=self.name),
                court=self.court,
                source=f"{path}:1",
            )


@dataclass(frozen=True, kw_only=True)
class SentenceLines:
    """Reader of `sentence<TAB>role` files."""

    VERSION: ClassVar[int] = 1

    name: str
    """Name in tables."""
    folder: str
    """Config path of the folder with the *.txt files; the id of a judgment is the file name without .txt."""
    pattern: str = "*.txt"
    """Shell pattern of the files to read."""
    splits: list[str] = field(default_factory=list)
    """Names of the sub-folders, one per split; empty: the files are in the folder itself and there is no split."""
    split: str | None = None
    """Split that is evaluated."""
    train_split: str | None = None
    """Split that the trained baselines are fitted on."""
    scheme: str = "seven"
    """Scheme of the roles; its aliases are accepted."""
    roles: dict[str, str] = field(default_factory=dict)
    """Role as spelt in the files -> code of the scheme, for spellings that are not aliases of the scheme."""
    outcomes: str | None = None
    """Config path of a CSV with doc_id, label (1 allowed, 0 dismissed) and, optionally, confidence; null: no labels."""
    party: str | None = None
    """The party that came to the court, whose success the labels encode: appellant, petitioner or plaintiff; null:
    taken from each judgment."""
    court: str | None = later(default=None)
    """Name of the court of all judgments; null: taken from each judgment."""

    def __post_init__(self) -> None:
        """Raise UserError for an unknown scheme, role or party."""
        known = scheme(self.scheme, where=f"corpus {self.name}: scheme")
        for code in self.roles.values():
            known.code(code, where=f"corpus {self.name}: roles")
        parse_party(self.party, where=f"corpus {self.name}: party")

    def paths(self, split: str | None) -> list[Path]:
        """Return the folders that `read(split)` needs, whether or not they exist."""
        folder = paths.resolve(self.folder)
        chosen = select_splits(split, self.splits, corpus=self.name)
        return [folder / one for one in chosen] or [folder]

    def read(self, split: str | None) -> Iterator[Judgment]:
        """Yield the judgments of a split (None: all) in natural order of the files; raise UserError with file and
        line."""
        return validate_judgments(self._judgments(split))

    def _judgments(self, split: str | None) -> Iterator[Judgment]:
        chosen: list[str | None] = [*select_splits(split, self.splits, corpus=self.name)]
        folder = require_path(self.folder)
        files = [
            (one, path)
            for one in chosen or [None]
            for path in list_text_files(folder / one if one else folder, self.pattern)
        ]
        labels = load_labels(self.outcomes, "doc_id", [path.stem for _, path in files])
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
            # The role follows the last tab: a sentence may contain tabs.
            sentence, tab, role = line.rpartition("\t")
            where = f"{path}:{number}"
            if not tab or not sentence.strip():
                raise UserError("not a sentence, tab and role", where=where, cure="write sentence<TAB>role")
            code = known.code(self.roles.get(role.strip(), role.strip()), where=where)
            start, end = strip_span(sentence, 0, len(sentence))
            spans.append(Span(start=offset + start, end=offset + end, role=code))
            sentences.append(sentence)
            offset += len(sentence) + 1
        return Judgment(
            id=path.stem,
            text="\n".join(sentences),
            outcome=label.outcome,
            confidence=label.confidence,
            party=parse_party(self.party, where=self.name),
            court=self.court,
            source=f"{path}:1",
            split=split,
            scheme=self.scheme,
            spans=tuple(spans),
        )
