"""Judgments of a report: read from the run folders, listed with all answers, and stored without duplicates.

The record of a judgment holds its text, each document shown to a model and each answer once; a prompt is a list of
parts that refer to them. A part of a message is one of

    "words"                  literal text
    17, -3                   a shared string: of the page (0 and up), of this judgment (-1 and down)
    {"document": 0}          the judgment as shown: blocks of its text with the separators between them
    {"turn": "ratio"}        the answer of an earlier turn

Joining the parts returns the message, character by character.
"""

import gzip
import hashlib
import json
import zlib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import numpy as np

from legalrr.errors import UserError
from legalrr.predictions import LABELS, PREDICTIONS, Prediction, damaged_line
from legalrr.report.compare import Group, Report
from legalrr.report.load import RunResult
from legalrr.score.cases import JUDGMENTS, JudgmentMetadata, reread
from legalrr.typed_json import Bounds, JsonError, load_json, parse
from legalrr.verdict import PatternVerdictReader

Record = Mapping[str, Any]
"""A judgment as a line of judgments.jsonl.gz."""


def read_judgments(cells: Sequence[RunResult]) -> dict[int, Mapping[str, Record]]:
    """Return the judgments of each cell by id, keyed by cell number; cells with the same judgments share one mapping.

    Run folders of earlier versions hold no judgments and are omitted.

    Raises:
        UserError: A file is damaged.
    """
    found: dict[int, Mapping[str, Record]] = {}
    known: dict[str, Mapping[str, Record]] = {}
    for number, cell in enumerate(cells):
        recorded = cell.run.get("judgments")
        if cell.folder is None or recorded is None:
            continue
        digest = recorded["sha256"]
        if digest not in known:
            known[digest] = _judgments(cell.folder / JUDGMENTS, digest)
        found[number] = known[digest]
    return found


def read_rows(cell: RunResult, ids: Iterable[str]) -> dict[str, Prediction]:
    """Return the rows of some judgments from a finished cell's predictions.jsonl, by id; unknown ids are omitted.

    Verdicts are those of the cell's verdict reader.

    Raises:
        UserError: The file changed.
    """
    assert cell.folder is not None
    assert cell.answers is not None
    path = cell.folder / PREDICTIONS
    reader = PatternVerdictReader(reading=cell.setup.reading or "strict") if cell.reread and cell.setup else None
    rows: dict[str, Prediction] = {}
    with path.open("rb") as file:
        for id in ids:
            place = cell.answers.places.get(id)
            if place is None:
                continue
            file.seek(place[0])
            try:
                row = load_json(file.read(place[1]))
            except ValueError as error:
                raise UserError("changed while it was read", where=str(path), cure="report again") from error
            where = f"{path}, {id}"
            found = Prediction.from_json(row, where=where)
            rows[id] = reread(found, reader, where=where) if reader else found
    return rows


INFLATION = 200
"""Largest size of the judgments, as a multiple of their compressed size: text compresses three to ten times."""
SMALL = 1_000_000
"""Size in bytes that is always read."""
Count = Annotated[int, Bounds(0)]


@dataclass(frozen=True, kw_only=True)
class _JudgmentLine:
    """A line of judgments.jsonl.gz; the text of a judgment, and fields that predictions.jsonl lacks."""

    id: str
    text: str
    party: str | None = None
    petitioner: str | None = None
    group: str | None = None
    scheme: str | None = None
    spans: Sequence[tuple[Count, Count, str]] | None = None


def _judgments(path: Path, digest: str) -> Mapping[str, Record]:
    """Read the judgments of a cell; raises UserError unless they have the digest that run.json records."""
    lines = _inflate(path)
    records: dict[str, Record] = {}
    for number, line in enumerate(lines.splitlines(), start=1):
        try:
            record = load_json(line)
            parse(_JudgmentLine, record)
        except JsonError as fault:
            raise damaged_line(f"{path}:{number}", str(fault), "judgment") from fault
        except ValueError as error:
            raise damaged_line(f"{path}:{number}", "not JSON", "judgment") from error
        records[record["id"]] = record
    if hashlib.sha256(lines).hexdigest() != digest:
        raise UserError(
            "not the judgments of this run: the digest in run.json differs", where=str(path), cure="run the cell again"
        )
    return records


def _inflate(path: Path) -> bytes:
    try:
        most = max(SMALL, INFLATION * path.stat().st_size)
        with gzip.open(path) as file:
            lines = file.read(most + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise UserError("cannot read the judgments", where=str(path), cure="run the cell again") from error
    if len(lines) > most:
        raise UserError(f"inflates to more than {most} bytes", where=str(path), cure="run the cell again")
    return lines


LETTERS = {"allowed": "A", "dismissed": "D", "invalid": "-"}
"""Letter of an answer or a gold outcome; a space for a judgment that a cell lacks."""
FACTS = ("court", "year", "kind", "confidence")
"""Searchable metadata, if the corpus has it."""


@dataclass(frozen=True, kw_only=True)
class Collection:
    """Judgments of one corpus with the answers of all cells."""

    name: str
    """Corpus, with its split."""
    ids: tuple[str, ...]
    """Ordered by disagreement of the arms, largest first."""
    gold: str
    """A letter of `LETTERS` per judgment, in the order of `ids`."""
    disagreement: tuple[float, ...]
    """Per judgment, in [0, 1]: share of pairs of arms that answer differently; mean over groups."""
    answers: Mapping[int, str]
    """Number of a cell -> a letter per judgment."""
    about: Mapping[str, JudgmentMetadata]
    """Metadata of each judgment."""
    records: Mapping[str, Record]
    """Judgments by id, if a run folder holds them."""

    def as_json(self) -> dict[str, Any]:
        """Return the collection as columns, without texts."""
        facts = {name: [getattr(self.about[id], name) for id in self.ids] for name in FACTS}
        facts["petitioner"] = [self.records.get(id, {}).get("petitioner") for id in self.ids]
        return {
            "name": self.name,
            "ids": list(self.ids),
            "gold": self.gold,
            "disagreement": [round(value, 3) for value in self.disagreement],
            "answers": {str(cell): letters for cell, letters in self.answers.items()},
            "length": [self.about[id].length for id in self.ids],
            "facts": {name: values for name, values in facts.items() if any(value is not None for value in values)},
        }


def collections(report: Report, judgments: Mapping[int, Mapping[str, Record]]) -> list[Collection]:
    """Collect the judgments of a report, by corpus and its options.

    Args:
        report: Report.
        judgments: Cell number -> judgments by id (`read_judgments`).
    """
    gathered: dict[object, list[int]] = {}
    for number, cell in enumerate(report.cells):
        if cell.setup is not None and cell.answers is not None and cell.answers.cases:
            options = tuple(sorted((k, v) for k, v in cell.setup.options.items() if k.startswith("corpus.")))
            gathered.setdefault((cell.setup.corpus, cell.setup.split, options), []).append(number)
    return [_collection(report, numbers, judgments) for numbers in gathered.values()]


def _collection(report: Report, numbers: Sequence[int], judgments: Mapping[int, Mapping[str, Record]]) -> Collection:
    gold: dict[str, str] = {}
    about: dict[str, JudgmentMetadata] = {}
    records: dict[str, Record] = {}
    for number in numbers:
        answers = report.cells[number].answers
        assert answers is not None
        for case in answers.cases:
            gold.setdefault(case.id, LETTERS[case.gold])
            about.setdefault(case.id, answers.metadata[case.id])
        for id, record in judgments.get(number, {}).items():
            records.setdefault(id, record)
    ids = sorted(gold)
    letters = {number: _letters(report.cells[number], ids) for number in numbers}
    arms = [[n for n in members if n in letters] for members in (_arms(group, report) for group in report.groups)]
    disagreement = _disagreement([[letters[n] for n in members] for members in arms if len(members) > 1], len(ids))
    order = sorted(range(len(ids)), key=lambda i: (-disagreement[i], ids[i]))
    setup = report.cells[numbers[0]].setup
    assert setup is not None
    return Collection(
        name=setup.corpus_name,
        ids=tuple(ids[i] for i in order),
        gold="".join(gold[ids[i]] for i in order),
        disagreement=tuple(disagreement[i] for i in order),
        answers={number: "".join(line[i] for i in order) for number, line in letters.items()},
        about=about,
        records={id: records[id] for id in ids if id in records},
    )


def _letters(cell: RunResult, ids: Sequence[str]) -> str:
    assert cell.answers is not None
    said = {case.id: LETTERS[case.label] for case in cell.answers.cases}
    return "".join(said.get(id, " ") for id in ids)


def _arms(group: Group, report: Report) -> list[int]:
    places = {id(cell): number for number, cell in enumerate(report.cells)}
    return [places[id(row.cell)] for row in group.rows if row.setup.family == "arm"]


def _disagreement(groups: Sequence[Sequence[str]], n: int) -> list[float]:
    """Return per judgment the share of pairs of arms that answer differently, averaged over groups with two or more."""
    total, counted = np.zeros(n), np.zeros(n)
    for lines in groups:
        table = np.array([list(line) for line in lines])
        counts = np.stack([(table == LETTERS[label]).sum(axis=0) for label in LABELS]).astype(float)
        size = counts.sum(axis=0)
        several = size > 1
        pairs = size * (size - 1)
        same = (counts * (counts - 1)).sum(axis=0)
        total += np.where(several, 1 - same / np.maximum(pairs, 1), 0.0)
        counted += several
    return [float(value) for value in total / np.maximum(counted, 1)]


Part = str | int | dict[str, Any]
MIN_SHARED = 24
"""Minimum length of a shared string, in characters."""
MIN_QUOTED = 24
"""Minimum length of an answer that is searched for inside a longer message, in characters."""


@dataclass
class Phrases:
    """Strings that occur in prompts on several judgments.

    The first judgment that uses a string stores it; from the second one on the string is shared.
    """

    shared: dict[str, int] = field(default_factory=dict)
    """String -> its number."""
    seen: dict[str, str] = field(default_factory=dict)
    """String -> the first judgment that uses it."""

    def part(self, text: str, judgment: str, own: dict[str, int]) -> Part:
        """Return the string as a part; may add it to `own`, the strings stored with the judgment."""
        if len(text) < MIN_SHARED:
            return text
        if text not in self.shared and self.seen.setdefault(text, judgment) != judgment:
            self.shared[text] = len(self.shared)
        if text in self.shared:
            return self.shared[text]
        return -1 - own.setdefault(text, len(own))


@dataclass
class Conversations:
    """Record of one judgment, built row by row."""

    judgment: str
    """Number of the collection and id: unique in the report."""
    record: Record | None
    """The judgment; None if no run folder holds it."""
    phrases: Phrases
    """Shared by all judgments of the page."""
    own: dict[str, int] = field(default_factory=dict)
    """String stored with this judgment -> its number."""
    documents: dict[str, int] = field(default_factory=dict)
    """Document as JSON -> number."""
    answers: dict[str, Any] = field(default_factory=dict)
    """Cell -> answer and prompts."""

    def add(self, cell: int, row: Prediction) -> None:
        """Add the row of one cell."""
        messages = _text_messages(row.messages)
        number, whole = self._document(row, messages)
        turns = [{key: value for key, value in turn.items() if value is not None} for turn in row.turns]
        self.answers[str(cell)] = {
            "document": number,
            "verdict": row.verdict,
            "reason": row.reason,
            "span": row.span,
            "p": row.p_allowed,
            "error": row.error,
            "turns": turns,
            "sent": self._conversation(messages, number, whole, turns),
            "earlier": [
                [
                    earlier["turn"],
                    self._conversation(_text_messages(_restore_messages(earlier, row.messages)), number, whole, turns),
                ]
                for earlier in row.earlier
            ],
        }

    def as_json(self) -> dict[str, Any]:
        """Return the record as the page reads it."""
        return {
            "text": None if self.record is None else self.record["text"],
            "strings": list(self.own),
            "documents": [json.loads(document) for document in self.documents],
            "answers": self.answers,
        }

    def _document(self, row: Prediction, messages: Sequence[Mapping[str, str]]) -> tuple[int, str | None]:
        """Return the number of the document of a row, and its text in the prompt; None if the text is not found."""
        shown = row.shown or []
        blocks = [] if self.record is None else [self.record["text"][start:end] for _, start, end in shown]
        between = next((found for m in messages if (found := _separators(m["content"], blocks)) is not None), None)
        document = {
            "shown": shown,
            "hidden": row.hidden,
            "dropped": row.dropped_tokens,
            "skipped": row.skipped,
            "between": between,
        }
        number = self.documents.setdefault(json.dumps(document), len(self.documents))
        return number, None if between is None else _join_blocks(between, blocks)

    def _conversation(
        self, messages: Sequence[Mapping[str, str]], number: int, whole: str | None, turns: Sequence[Mapping[str, Any]]
    ) -> list[Any]:
        return [[m["role"], *self._parts(m["content"], number, whole, turns)] for m in messages]

    def _parts(self, content: str, number: int, whole: str | None, turns: Sequence[Mapping[str, Any]]) -> list[Part]:
        parts: list[Part] = [content]
        if whole and whole in content:
            parts = _replace_first(parts, whole, {"document": number})
        for turn in turns:
            text = turn["text"]
            if text == content:
                return [{"turn": turn["name"]}]
            if len(text) >= MIN_QUOTED and text in content:
                parts = _replace_first(parts, text, {"turn": turn["name"]})
        return [self.phrases.part(part, self.judgment, self.own) if isinstance(part, str) else part for part in parts]


def _separators(content: str, blocks: Sequence[str]) -> list[str] | None:
    """Return the separators between blocks in a message; None unless the blocks occur in this order."""
    if not blocks:
        return None
    at = content.find(blocks[0])
    if at < 0:
        return None
    at += len(blocks[0])
    found = []
    for block in blocks[1:]:
        start = content.find(block, at)
        if start < 0:
            return None
        found.append(content[at:start])
        at = start + len(block)
    return found


def _join_blocks(between: Sequence[str], blocks: Sequence[str]) -> str:
    return blocks[0] + "".join(gap + block for gap, block in zip(between, blocks[1:], strict=True))


def _replace_first(parts: Sequence[Part], needle: str, mark: dict[str, Any]) -> list[Part]:
    """Return the parts with a mark in place of the first occurrence of a string."""
    for number, part in enumerate(parts):
        if isinstance(part, str) and (at := part.find(needle)) >= 0:
            around: list[Part] = [part[:at], mark, part[at + len(needle) :]]
            return [*parts[:number], *(piece for piece in around if piece != ""), *parts[number + 1 :]]
    return list(parts)


def _text_messages(messages: Sequence[Mapping[str, Any]]) -> list[dict[str, str]]:
    """Return messages as text, with a note in place of each page image."""
    return [{"role": m["role"], "content": _content_text(m["content"])} for m in messages]


def _content_text(content: str | Sequence[Mapping[str, Any]]) -> str:
    if isinstance(content, str):
        return content
    return "".join(
        part["text"] if part["type"] == "text" else f"[image of page {part['number']} at {part['dpi']} dots per inch]"
        for part in content
    )


def _restore_messages(earlier: Mapping[str, Any], last: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Restore an earlier conversation from its difference to the last one (`legalrr.run.folder`)."""
    return [
        {"role": role, "content": last[at]["content"][:same] + rest if same else rest}
        for at, (role, same, rest) in enumerate(earlier["messages"])
    ]
