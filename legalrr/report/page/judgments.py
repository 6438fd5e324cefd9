"""The judgments of a report: what every cell answered about each, those on which arms disagree first."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from legalrr.predictions import LABELS
from legalrr.report.cells import Cell
from legalrr.report.groups import Group, Report
from legalrr.report.page.sources import Record
from legalrr.score.about import About

LETTERS = {"allowed": "A", "dismissed": "D", "invalid": "-"}
"""An answer, or a gold outcome, as a letter; a space where a cell was not asked."""
FACTS = ("court", "year", "kind", "confidence")
"""What the list can be searched for, where the corpus tells."""


@dataclass(frozen=True, kw_only=True)
class Collection:
    """Judgments of one corpus, and what the cells answered about them."""

    name: str
    """Corpus, with its split."""
    ids: tuple[str, ...]
    """Those on which arms disagree first."""
    gold: str
    """A letter of `LETTERS` per judgment, in the order of `ids`."""
    disagreement: tuple[float, ...]
    """Per judgment, between 0 and 1: share of pairs of arms that answer differently; mean over groups."""
    answers: Mapping[int, str]
    """Number of a cell -> a letter per judgment."""
    about: Mapping[str, About]
    """What is known of each judgment."""
    records: Mapping[str, Record]
    """Judgments by id, as far as a run folder holds them."""

    def as_json(self) -> dict[str, Any]:
        """The collection for the page: columns, without texts."""
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
    """The judgments of a report, a collection per corpus and its options.

    Args:
        report: the report.
        judgments: number of a cell -> its judgments by id (`read_judgments`).
    """
    gathered: dict[object, list[int]] = {}
    for number, cell in enumerate(report.cells):
        if cell.setup is not None and cell.answers is not None and cell.answers.cases:
            options = tuple(sorted((k, v) for k, v in cell.setup.options.items() if k.startswith("corpus.")))
            gathered.setdefault((cell.setup.corpus, cell.setup.split, options), []).append(number)
    return [_collection(report, numbers, judgments) for numbers in gathered.values()]


def _collection(report: Report, numbers: Sequence[int], judgments: Mapping[int, Mapping[str, Record]]) -> Collection:
    gold: dict[str, str] = {}
    about: dict[str, About] = {}
    records: dict[str, Record] = {}
    for number in numbers:
        answers = report.cells[number].answers
        assert answers is not None
        for case in answers.cases:
            gold.setdefault(case.id, LETTERS[case.gold])
            about.setdefault(case.id, answers.about[case.id])
        for id, record in judgments.get(number, {}).items():
            records.setdefault(id, record)
    ids = sorted(gold)
    letters = {number: _letters(report.cells[number], ids) for number in numbers}
    arms = [[n for n in members if n in letters] for members in (_arms(group, report) for group in report.groups)]
    told = _disagreement([[letters[n] for n in members] for members in arms if len(members) > 1], len(ids))
    order = sorted(range(len(ids)), key=lambda i: (-told[i], ids[i]))
    setup = report.cells[numbers[0]].setup
    assert setup is not None
    return Collection(
        name=setup.corpus if setup.split is None else f"{setup.corpus} ({setup.split})",
        ids=tuple(ids[i] for i in order),
        gold="".join(gold[ids[i]] for i in order),
        disagreement=tuple(told[i] for i in order),
        answers={number: "".join(line[i] for i in order) for number, line in letters.items()},
        about=about,
        records={id: records[id] for id in ids if id in records},
    )


def _letters(cell: Cell, ids: Sequence[str]) -> str:
    assert cell.answers is not None
    said = {case.id: LETTERS[case.label] for case in cell.answers.cases}
    return "".join(said.get(id, " ") for id in ids)


def _arms(group: Group, report: Report) -> list[int]:
    places = {id(cell): number for number, cell in enumerate(report.cells)}
    return [places[id(row.cell)] for row in group.rows if row.setup.family == "arm"]


def _disagreement(groups: Sequence[Sequence[str]], n: int) -> list[float]:
    """Per judgment: the share of pairs of arms that answer differently, mean over the groups that were asked."""
    total, asked = np.zeros(n), np.zeros(n)
    for lines in groups:
        table = np.array([list(line) for line in lines])
        counts = np.stack([(table == LETTERS[label]).sum(axis=0) for label in LABELS]).astype(float)
        size = counts.sum(axis=0)
        told = size > 1
        pairs = size * (size - 1)
        same = (counts * (counts - 1)).sum(axis=0)
        total += np.where(told, 1 - same / np.maximum(pairs, 1), 0.0)
        asked += told
    return [float(value) for value in total / np.maximum(asked, 1)]
