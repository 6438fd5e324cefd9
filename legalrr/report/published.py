"""Load the study's printed figures (data/published), with the intervals that their sample sizes allow.

A printed rate does not determine the answers, but few confusion matrices can give it. Candidates are all matrices
without invalid answers that have the number of judgments and the class counts of the data set (for a subset: at most
these). Those that match every figure of a cell to the last digit are used, with each figure read as what it is
(data/published/README.md); without a match, as for means over runs, those nearest to the figure. The interval is the
union over these matrices: of BCa bootstrap intervals for macro-F1, of Wilson's intervals for shares.
"""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

from legalrr.paths import root
from legalrr.report.paper_table import Line, TableBlock, TableNumber
from legalrr.score.intervals import Sample, bca_of_counts, wilson
from legalrr.score.metrics import Counts, Floats, macro_f1_of_counts
from legalrr.score.scorer import PredictionScorer

SOURCE = "printed in arXiv 2511.20669"
FILES = {"prediction": ("khatri2025_prediction", "khatri2025_predex"), "explanation": ("khatri2025_explanation",)}
SCORES = {
    "macro_f1": "Macro-F1",
    "fpr": "FPR",
    "fnr": "FNR",
    "rouge1": "ROUGE-1",
    "rouge2": "ROUGE-2",
    "meteor": "METEOR",
    "bertscore": "BERTScore",
}
COLUMNS = {
    "D+R+C": "D/R/C",
    "D+R": "D/R",
    "D+C": "D/C",
    "D": "D",
    "R+C": "R/C",
    "R": "R",
    "C": "C",
    "none": "none",
}
"""Components as in the files -> column."""
DIGIT = 1e-4
"""Last printed digit, as a share: the assumed precision of the figures."""
SHARES = {
    "accuracy": ((0, 4), (0, 1, 2, 3, 4, 5)),
    "fpr": ((3,), (3, 4, 5)),
    "fnr": ((1, 2), (0, 1, 2)),
    "fdr": ((3,), (0, 3)),
    "for": ((1,), (1, 4)),
}
"""Rate -> codes (`legalrr.score.metrics`) of its numerator and its denominator; fdr and for are the false discovery
rate and the false omission rate."""


@dataclass(frozen=True, kw_only=True)
class PublishedFigure:
    """A printed figure."""

    score: str
    """Metric in the files: macro_f1, fpr, ..."""
    value: float
    """Figure, as a share."""
    n: int | None
    """Number of judgments; None if not printed."""
    reading: str
    """Actual metric: `macro_f1` or a key of `SHARES`; "" for explanation scores."""
    notes: tuple[str, ...]
    """Findings of the audit on this figure."""


def remarks(table: str) -> tuple[str, ...]:
    """Return the findings of the audit on whole columns of the study's table."""
    found = [note for note in _footnotes(table) if note["components"] and not _scope(note)]
    return tuple(f"Printed figures, {COLUMNS[note['components']]}: {note['note']}" for note in found)


def published(table: str, scorer: PredictionScorer) -> list[tuple[str, TableBlock]]:
    """Return the blocks of the study's table, each with the name of its corpus.

    Args:
        table: `prediction` or `explanation`.
        scorer: Confidence, resamples and seed of the intervals.
    """
    datasets = {row["dataset"]: row for row in _rows("khatri2025_datasets")}
    footnotes = [note for note in _footnotes(table) if _scope(note) or not note["components"]]
    cells: dict[tuple[str, str, str], dict[str, list[PublishedFigure]]] = {}
    for row in (row for file in FILES[table] for row in _rows(file)):
        key = row["dataset"], row.get("model", ""), row.get("subset", "all")
        cells.setdefault(key, {}).setdefault(row["components"], []).append(_printed(row, table, footnotes))
    blocks = []
    for (dataset, model, subset), columns in cells.items():
        about = datasets[dataset]
        names = [about["title"], model or "model not named in the table", *([subset] if subset != "all" else [])]
        limits = (int(about["allowed"]), int(about["dismissed"])) if about["allowed"] else None
        lines = []
        for score in dict.fromkeys(one.score for found in columns.values() for one in found):
            figures = {
                COLUMNS[components]: _figure(one, found, limits, scorer)
                for components, found in columns.items()
                for one in found
                if one.score == score
            }
            notes = _notes(footnotes, dataset, model, score)
            lines.append(Line(score=SCORES[score], figures=figures, notes=notes))
        block = TableBlock(
            title=", ".join(names), lines=tuple(lines), source=SOURCE, notes=_notes(footnotes, dataset, model, "")
        )
        blocks.append((about["corpus"], block))
    return blocks


def _footnotes(table: str) -> list[dict[str, str]]:
    return [note for note in _rows("khatri2025_footnotes") if note["table"] in ("", table)]


def _scope(note: Mapping[str, str]) -> str:
    return note["dataset"] + note["model"] + note["metric"]


def _notes(footnotes: Sequence[Mapping[str, str]], dataset: str, model: str, metric: str) -> tuple[str, ...]:
    """Return the footnotes to a line, or, without a metric, to a block."""
    return tuple(
        note["note"]
        for note in footnotes
        if note["dataset"] in ("", dataset)
        and note["model"] in ("", model)
        and note["metric"] == metric
        and not note["components"]
    )


def _printed(row: Mapping[str, str], table: str, footnotes: Sequence[Mapping[str, str]]) -> PublishedFigure:
    fits = [
        note
        for note in footnotes
        if all(not note[name] or note[name] == row.get(name, "") for name in ("dataset", "model", "metric"))
    ]
    readings = [note["reading"] for note in fits if note["reading"]]
    score = row["metric"]
    return PublishedFigure(
        score=score,
        value=float(row["value"]) / (1 if row["dataset"] == "predex" else 100),
        n=int(row["n"]) if row.get("n") else None,
        reading="" if table == "explanation" else readings[0] if readings else score,
        notes=tuple(note["note"] for note in fits if note["components"] == row["components"]),
    )


def _figure(
    one: PublishedFigure, cell: Sequence[PublishedFigure], limits: tuple[int, int] | None, scorer: PredictionScorer
) -> TableNumber:
    if one.n is None or limits is None or not one.reading:
        return TableNumber(value=one.value, n=one.n, notes=one.notes)
    every = confusion_matrices(one.n, limits)
    away = {other.score: np.abs(_rate(other.reading, every) - other.value) for other in cell}
    fitting, how = np.all([distances <= DIGIT for distances in away.values()], axis=0), "fitting"
    if not fitting.any():
        nearest = away[one.score]
        fitting, how = nearest <= np.nanmin(nearest) + DIGIT / 2, "nearest"
    found = np.unique(every[:, fitting], axis=1)
    bounds = [interval for matrix in found.T if (interval := _interval(one.reading, matrix, scorer)) is not None]
    named = "BCa" if one.reading == "macro_f1" else "Wilson"
    return TableNumber(
        value=one.value,
        interval=(min(low for low, _ in bounds), max(high for _, high in bounds)) if bounds else None,
        method=f"{named}, {how} matrices: {found.shape[1]}" if bounds else "",
        n=one.n,
        notes=one.notes,
    )


@lru_cache(maxsize=64)
def confusion_matrices(n: int, limits: tuple[int, int]) -> npt.NDArray[np.int64]:
    """Return the code counts of every confusion matrix of n judgments without invalid answers, shape (6, m).

    Args:
        n: Number of judgments.
        limits: Allowed and dismissed judgments of the whole data set, the maximum of each class.
    """
    columns = [
        (right, allowed - right, 0, wrong, n - allowed - wrong, 0)
        for allowed in range(max(0, n - limits[1]), min(n, limits[0]) + 1)
        for right in range(allowed + 1)
        for wrong in range(n - allowed + 1)
    ]
    return np.array(columns, dtype=np.int64).reshape(-1, 6).T


def _rate(reading: str, counts: Counts) -> Floats:
    """Return a rate of matrices of shape (6, m) as shape (m,); nan if the denominator is 0."""
    if reading == "macro_f1":
        return macro_f1_of_counts(counts)
    some, whole = (counts[list(codes)].sum(axis=0) for codes in SHARES[reading])
    return np.divide(some, whole, out=np.full(some.shape, np.nan), where=whole > 0)


def _interval(reading: str, matrix: npt.NDArray[np.int64], scorer: PredictionScorer) -> tuple[float, float] | None:
    if reading != "macro_f1":
        some, whole = (int(matrix[list(codes)].sum()) for codes in SHARES[reading])
        return wilson(some, whole, confidence=scorer.confidence)
    answers = np.repeat(np.arange(6, dtype=np.int8), matrix)
    (found,) = bca_of_counts(
        [Sample.of(answers)],
        macro_f1_of_counts,
        confidence=scorer.confidence,
        resamples=scorer.resamples,
        seed=scorer.seed,
    )
    return found.bounds


def _rows(name: str) -> list[dict[str, str]]:
    path: Path = root() / "data" / "published" / f"{name}.csv"
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))
