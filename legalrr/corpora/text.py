"""Read judgments from text files: plain text, one sentence and role per line, or text with role markers.

Plain judgments, one .txt file each, with labels in a CSV beside them.

Judgments with one sentence and its role per line, as Law-AI and MARRO publish them.

    folder/2008_X_1.txt     The appellant was a tenant.<TAB>Facts
                            He was served on the fourth day.<TAB>Facts

The text of the judgment is its sentences joined by a newline; each sentence is a gold span.
Sources: Bhattacharya et al., JURIX 2019 (github.com/Law-AI/semantic-segmentation); MARRO, arXiv 2503.10659.

Judgments annotated by hand: a YAML header, then the text with a marker where a role starts.

    ---
    id: rent-1
    party: appellant
    outcome: allowed
    ---
    [PREAMBLE] IN THE HIGH COURT ...

    [FAC] 1. The appellant is a tenant. [RLC] The Rent Controller ...

A marker is a role's code in square brackets, followed by one space or newline; both are taken out of the text. Its role
runs to the next marker; white space at the ends is not part of the span. Any other word in capitals in brackets is an
error: it is a role misspelt. (One capital, as in "[T]he", is text.) The specimen that ships has this layout.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import ClassVar

import yaml

from legalrr import paths
from legalrr.corpora.checks import Label, load_labels, parse_party, select_splits, strip_span, validate_judgments
from legalrr.corpora.files import list_text_files, read_text, require_path
from legalrr.errors import UserError
from legalrr.records import Judgment, Span
from legalrr.roles import Scheme, scheme
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
        parse_party(self.party, where=f"corpus {self.name}: party")

    def paths(self, split: str | None) -> list[Path]:
        """The folder; it need not exist."""
        select_splits(split, (), corpus=self.name)
        return [paths.resolve(self.folder)]

    def read(self, split: str | None) -> Iterator[Judgment]:
        """All judgments, in natural order of their files; raises UserError with the file."""
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
        parse_party(self.party, where=f"corpus {self.name}: party")

    def paths(self, split: str | None) -> list[Path]:
        """Folders that `read(split)` needs; they need not exist."""
        folder = paths.resolve(self.folder)
        chosen = select_splits(split, self.splits, corpus=self.name)
        return [folder / one for one in chosen] or [folder]

    def read(self, split: str | None) -> Iterator[Judgment]:
        """Judgments of a split (None: all), in natural order of their files; raises UserError with file and line."""
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
            # The role stands after the last tab: a sentence may hold one itself.
            sentence, tab, role = line.rpartition("\t")
            where = f"{path}:{number}"
            if not tab or not sentence.strip():
                raise UserError("no sentence, tab and role on this line", where=where, cure="write sentence<TAB>role")
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


TEXT_KEYS = ("title", "court", "kind", "petitioner", "group")
KEYS = ("id", "year", "party", "outcome", *TEXT_KEYS)
MARKER = re.compile(r"\[([A-Z][A-Z_]+)\]")
HEADER = re.compile(r"---\n(.*?\n)---\n", re.DOTALL)


@dataclass(frozen=True, kw_only=True)
class Marked:
    """Reads judgments in the marked layout."""

    VERSION: ClassVar[int] = 1

    name: str
    """Name in tables."""
    folder: str
    """Config path of the folder with the *.txt files."""
    scheme: str = "build"
    """Scheme of the roles."""
    split: str | None = None
    """Always null: such a folder has no splits."""
    train_split: str | None = None
    """Always null."""
    party: str | None = later(default=None)
    """The party that came to the court, for judgments whose header does not say it; null: as each judgment says."""
    court: str | None = later(default=None)
    """Name of the court, for judgments whose header does not say it; null: as each judgment says."""

    def __post_init__(self) -> None:
        """Raises UserError for an unknown scheme or party."""
        scheme(self.scheme, where=f"corpus {self.name}: scheme")
        parse_party(self.party, where=f"corpus {self.name}: party")

    def paths(self, split: str | None) -> list[Path]:
        """The folder; it need not exist."""
        select_splits(split, (), corpus=self.name)
        return [paths.resolve(self.folder)]

    def read(self, split: str | None) -> Iterator[Judgment]:
        """All judgments, in natural order of their files; raises UserError with file and line."""
        return validate_judgments(self._judgments(split))

    def _judgments(self, split: str | None) -> Iterator[Judgment]:
        select_splits(split, (), corpus=self.name)
        for path in list_text_files(require_path(self.folder)):
            one = parse_marked(read_text(path), roles=scheme(self.scheme), source=str(path))
            party = one.party or parse_party(self.party, where=self.name)
            yield replace(one, party=party, court=one.court or self.court)


def parse_marked(content: str, *, roles: Scheme, source: str) -> Judgment:
    """One judgment from the content of a file.

    Args:
        content: header and body, lines ended by newlines.
        roles: scheme of the markers.
        source: the file's name, for messages.
    """
    header = HEADER.match(content)
    if header is None:
        raise UserError("no header", where=f"{source}:1", cure="start with a YAML header between two lines ---")
    fields = _parse_header(header.group(1), source)
    text, spans = _parse_body(content, header.end(), roles, source)
    outcome = fields.get("outcome")
    if outcome not in (None, "allowed", "dismissed"):
        raise UserError(f"outcome {outcome!r}", where=source, cure="write allowed or dismissed, or leave it out")
    year = fields.get("year")
    if year is not None and type(year) is not int:
        raise UserError(f"year {year!r}", where=source, cure="write four digits")
    return Judgment(
        id=str(fields["id"]),
        text=text,
        outcome=outcome,
        party=parse_party(fields.get("party"), where=source),
        petitioner=_text_field(fields, "petitioner"),
        court=_text_field(fields, "court"),
        year=year,
        kind=_text_field(fields, "kind"),
        group=_text_field(fields, "group"),
        source=f"{source}:1",
        scheme=roles.name,
        spans=spans,
    )


def _parse_header(header: str, source: str) -> dict[str, object]:
    try:
        fields = yaml.safe_load(header)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = 2 + mark.line if mark else 2
        reason = getattr(error, "problem", None) or "no YAML"
        raise UserError(f"bad header: {reason}", where=f"{source}:{line}", cure="quote values with a colon") from error
    if not isinstance(fields, dict) or "id" not in fields:
        raise UserError("no id in the header", where=f"{source}:2", cure="write id: and a name of its own")
    if unknown := [str(key) for key in fields if key not in KEYS]:
        raise UserError(f"unknown key {unknown[0]!r}", where=f"{source}:2", cure=f"the header has {', '.join(KEYS)}")
    for key in TEXT_KEYS:
        if not isinstance(fields.get(key), str | None):
            raise UserError(f"{key} is no text: {fields[key]!r}", where=f"{source}:2", cure="put it in quotes")
    return fields


def _text_field(fields: Mapping[str, object], key: str) -> str | None:
    value = fields.get(key)
    return value if isinstance(value, str) else None


def _parse_body(content: str, begin: int, roles: Scheme, source: str) -> tuple[str, tuple[Span, ...]]:
    """The text without its markers, and its spans."""
    markers = list(MARKER.finditer(content, begin))
    first = markers[0].start() if markers else len(content)
    if content[begin:first].strip() or not markers:
        line = content.count("\n", 0, begin) + 1
        raise UserError(
            "text before the first marker", where=f"{source}:{line}", cure="start with a role, as [PREAMBLE]"
        )
    pieces: list[str] = []
    spans: list[Span] = []
    offset = 0
    for marker, following in zip(markers, [*markers[1:], None], strict=True):
        where = f"{source}:{content.count(chr(10), 0, marker.start()) + 1}"
        code = roles.code(marker.group(1), where=where)
        after = marker.end()
        if content[after : after + 1] not in (" ", "\n") or not content[marker.start() - 1].isspace():
            raise UserError(f"{marker.group()} stands inside a word", where=where, cure="put a space on both sides")
        piece = content[after + 1 : following.start() if following else len(content)]
        start, end = strip_span(piece, 0, len(piece))
        if start >= end:
            raise UserError(f"no text under {marker.group()}", where=where, cure="take the marker out")
        spans.append(Span(start=offset + start, end=offset + end, role=code))
        pieces.append(piece)
        offset += len(piece)
    return "".join(pieces), tuple(spans)
