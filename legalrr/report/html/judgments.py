"""Judgments of a report: read from the run folders, and listed with the answers of all arms."""

import hashlib
import sys
from collections.abc import Collection, Container, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Annotated, Any

import numpy as np

from legalrr.errors import UserError
from legalrr.judgment_files import judgments_path, read_judgment_lines, require_digest
from legalrr.predictions import LABELS, PREDICTIONS, Prediction, damaged_line
from legalrr.report.compare import Group, Report
from legalrr.report.html.conversations import Record
from legalrr.report.load import RunResult
from legalrr.score.cases import JudgmentMetadata, reread
from legalrr.sent_messages import restore
from legalrr.typed_json import Bounds, JsonError, load_json, parse
from legalrr.verdict import PatternVerdictReader


@dataclass(frozen=True, kw_only=True)
class Judgments:
    """Judgments of a run folder."""

    records: Mapping[str, Record]
    """Id -> judgment, for those whose text is wanted."""
    petitioners: Mapping[str, str]
    """Id -> name of the petitioner, for all that state it."""


def read_judgments(cells: Sequence[RunResult], wanted: Collection[str] | None = None) -> dict[int, Judgments]:
    """Return the judgments of each cell, keyed by cell number; cells with the same judgments share one object.

    Run folders of earlier versions hold no judgments and are omitted.

    Args:
        cells: Cells of a report.
        wanted: Ids of the judgments whose texts are kept; None: all. If there are none, a cell without its file, which
            was copied out of the folder of its sweep, is omitted.

    Raises:
        UserError: A file is missing or damaged.
    """
    found: dict[int, Judgments] = {}
    known: dict[str, Judgments] = {}
    for number, cell in enumerate(cells):
        recorded = cell.run.get("judgments")
        if cell.folder is None or recorded is None:
            continue
        digest = recorded["sha256"]
        if digest not in known:
            path = judgments_path(cell.folder, recorded.get("file") or "")
            if wanted is not None and not wanted and not path.exists():
                continue
            known[digest] = _judgments(path, digest, wanted)
        found[number] = known[digest]
    return found


def read_rows(cell: RunResult, ids: Collection[str], judgments: Judgments | None = None) -> dict[str, Prediction]:
    """Return the rows of some judgments from a finished cell's predictions.jsonl, by id; unknown ids are omitted.

    Verdicts are those of the cell's verdict reader, and messages are in full (`legalrr.sent_messages.restore`).

    Args:
        cell: The cell.
        ids: Ids of the judgments.
        judgments: Its judgments, with the texts of these ids; None for run folders of earlier versions.

    Raises:
        UserError: The file changed, or lacks a text.
    """
    assert cell.folder is not None
    assert cell.answers is not None
    path = cell.folder / PREDICTIONS
    reader = PatternVerdictReader(reading=cell.setup.reading or "strict") if cell.reread and cell.setup else None
    wanted = frozenset(ids)
    numbers = {case.id: number for number, case in enumerate(cell.answers.cases) if case.id in wanted}
    rows: dict[str, Prediction] = {}
    with path.open("rb") as file:
        for id in (id for id in ids if id in numbers):
            offset, length = cell.answers.places[2 * numbers[id] : 2 * numbers[id] + 2]
            file.seek(offset)
            try:
                row = load_json(file.read(length))
            except ValueError as error:
                raise UserError("changed while it was read", where=str(path), cure="report again") from error
            where = f"{path}, {id}"
            record = None if judgments is None else judgments.records.get(id)
            found = restore(
                Prediction.from_json(row, where=where),
                text=None if record is None else record["text"],
                lines=cell.run.get("prompt_lines") or (),
                where=where,
            )
            rows[id] = reread(found, reader, where=where) if reader else found
    return rows


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


def _judgments(path: Path, digest: str, wanted: Container[str] | None) -> Judgments:
    """Read the judgments of a cell; raises UserError unless they have the digest that run.json records."""
    records: dict[str, Record] = {}
    petitioners: dict[str, str] = {}
    lines = hashlib.sha256()
    for number, line in enumerate(read_judgment_lines(path), start=1):
        lines.update(line)
        try:
            record = load_json(line)
            found = parse(_JudgmentLine, record)
        except JsonError as fault:
            raise damaged_line(f"{path}:{number}", str(fault), "judgment") from fault
        except ValueError as error:
            raise damaged_line(f"{path}:{number}", "not JSON", "judgment") from error
        if wanted is None or found.id in wanted:
            records[found.id] = record
        if found.petitioner is not None:
            petitioners[sys.intern(found.id)] = found.petitioner
    require_digest(path, lines.hexdigest(), digest)
    return Judgments(records=records, petitioners=petitioners)


LETTERS = {"allowed": "A", "dismissed": "D", "invalid": "-"}
"""Letter of an answer or a gold outcome; a space for a judgment that a cell lacks."""
FACTS = ("court", "year", "kind", "confidence")
"""Searchable metadata, if the corpus has it."""


@dataclass(frozen=True, kw_only=True)
class JudgmentSet:
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
    arm_cells: tuple[int, ...]
    """Numbers of the cells that are arms; all cells if none is."""
    about: Mapping[str, JudgmentMetadata]
    """Metadata of each judgment."""
    records: Mapping[str, Record] = field(default_factory=dict)
    """Judgments whose texts the page holds, by id, if a run folder holds them."""
    petitioners: Mapping[str, str] = field(default_factory=dict)
    """Id -> name of the petitioner, if a run folder states it."""

    @property
    def arms(self) -> list[str]:
        """Answers of the arms."""
        return [self.answers[number] for number in self.arm_cells]

    def with_judgments(self, judgments: Mapping[int, Judgments]) -> "JudgmentSet":
        """Return the set with the judgments of its run folders (`read_judgments`)."""
        held = [judgments[number] for number in reversed(list(self.answers)) if number in judgments]
        # Of several cells with a judgment, the first counts.
        return replace(
            self,
            records={id: record for one in held for id, record in one.records.items()},
            petitioners={id: name for one in held for id, name in one.petitioners.items()},
        )

    def as_json(self) -> dict[str, Any]:
        """Return the set as columns, without texts."""
        facts: dict[str, list[Any]] = {name: [getattr(self.about[id], name) for id in self.ids] for name in FACTS}
        facts["petitioner"] = [self.petitioners.get(id) for id in self.ids]
        return {
            "name": self.name,
            "ids": list(self.ids),
            "gold": self.gold,
            "answers": {str(cell): letters for cell, letters in self.answers.items()},
            "length": [self.about[id].length for id in self.ids],
            "facts": {
                name: _shared_values(values)
                for name, values in facts.items()
                if any(value is not None for value in values)
            },
        }


def _shared_values(values: Sequence[Any]) -> dict[str, Any]:
    """Return a column as its distinct values, and for each judgment the index of its value."""
    numbers = {value: number for number, value in enumerate(dict.fromkeys(values))}
    return {"values": list(numbers), "at": [numbers[value] for value in values]}


def judgment_sets(report: Report) -> list[JudgmentSet]:
    """Collect the judgments of a report, by corpus and its options; without texts."""
    gathered: dict[object, list[int]] = {}
    for number, cell in enumerate(report.cells):
        if cell.setup is not None and cell.answers is not None and cell.answers.cases:
            options = tuple(sorted((k, v) for k, v in cell.setup.options.items() if k.startswith("corpus.")))
            gathered.setdefault((cell.setup.corpus, cell.setup.split, options), []).append(number)
    return [_judgment_set(report, numbers) for numbers in gathered.values()]


def _judgment_set(report: Report, numbers: Sequence[int]) -> JudgmentSet:
    gold: dict[str, str] = {}
    about: dict[str, JudgmentMetadata] = {}
    for number in numbers:
        answers = report.cells[number].answers
        assert answers is not None
        for case in answers.cases:
            gold.setdefault(case.id, LETTERS[case.gold])
            about.setdefault(case.id, answers.metadata[case.id])
    ids = sorted(gold)
    letters = {number: _letters(report.cells[number], ids) for number in numbers}
    arms = [[n for n in members if n in letters] for members in (_arms(group, report) for group in report.groups)]
    disagreement = _disagreement([[letters[n] for n in members] for members in arms if len(members) > 1], len(ids))
    order = sorted(range(len(ids)), key=lambda i: (-disagreement[i], ids[i]))
    setup = report.cells[numbers[0]].setup
    assert setup is not None
    return JudgmentSet(
        name=setup.corpus_name,
        ids=tuple(ids[i] for i in order),
        gold="".join(gold[ids[i]] for i in order),
        disagreement=tuple(disagreement[i] for i in order),
        answers={number: "".join(line[i] for i in order) for number, line in letters.items()},
        arm_cells=tuple(dict.fromkeys(n for members in arms for n in members)) or tuple(numbers),
        about=about,
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
        table = np.array([np.frombuffer(line.encode("ascii"), dtype=np.uint8) for line in lines])
        counts = np.stack([(table == ord(LETTERS[label])).sum(axis=0) for label in LABELS]).astype(float)
        size = counts.sum(axis=0)
        several = size > 1
        pairs = size * (size - 1)
        same = (counts * (counts - 1)).sum(axis=0)
        total += np.where(several, 1 - same / np.maximum(pairs, 1), 0.0)
        counted += several
    return [float(value) for value in total / np.maximum(counted, 1)]
