"""What went wrong in each cell, what was hidden, and what it cost."""

from typing import Any

from legalrr.report.cells import Cell
from legalrr.report.groups import Report
from legalrr.score.prediction import Scores


def health_json(report: Report) -> list[dict[str, Any] | None]:
    """Per cell of the report, in its order; None for a cell without answers."""
    return [_health(cell) for cell in report.cells]


def _health(cell: Cell) -> dict[str, Any] | None:
    if cell.answers is None or cell.scores is None or not cell.answers.cases:
        return None
    cases, scores = cell.answers.cases, cell.scores
    length = sum(about.length or 0 for about in cell.answers.about.values())
    return {
        "n": scores.n,
        "invalid": dict(scores.invalid),
        "cut_off": sum(case.cut_off for case in cases),
        "skipped": sum(case.skipped for case in cases),
        "shortened": sum(case.dropped_tokens > 0 and not case.skipped for case in cases),
        "dropped_tokens": sum(case.dropped_tokens for case in cases),
        "hidden": dict(sorted(cell.answers.hidden.items())),
        "hidden_share": round(cell.answers.hidden_length / length, 4) if length else None,
        **_cost(cell, scores),
    }


def _cost(cell: Cell, scores: Scores) -> dict[str, Any]:
    tokens = scores.tokens or {}
    calls = cell.run.get("calls", {})
    return {
        "prompt_tokens": tokens.get("prompt"),
        "cached_tokens": tokens.get("cached"),
        "new_tokens": tokens.get("new"),
        "made": calls.get("made"),
        "stored": calls.get("stored"),
        "seconds": dict(cell.seconds),
        "money": cell.run.get("cost"),
        "unlabelled": cell.answers.unlabelled if cell.answers else 0,
        "counts": cell.run.get("counts", {}),
    }
