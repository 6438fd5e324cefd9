"""Explanation scores for the page, as plain JSON values."""

from dataclasses import asdict
from typing import Any

from legalrr.report.explanations import ExplainedRow, ExplainedTurn, explanations
from legalrr.report.groups import Report
from legalrr.report.page.results import rounded


def explanations_json(report: Report) -> list[dict[str, Any]]:
    """The groups that have explanation scores: their place in the report, and a table per turn.

    Raises:
        UserError: a damaged file of a run folder.
    """
    places = {id(group): place for place, group in enumerate(report.groups)}
    numbers = {id(cell): number for number, cell in enumerate(report.cells)}
    return [
        {"group": places[id(group)], "turns": [_turn(turn, numbers) for turn in turns]}
        for group, turns in explanations(report)
    ]


def _turn(turn: ExplainedTurn, numbers: dict[int, int]) -> dict[str, Any]:
    headings = turn.headings
    return {
        "turn": turn.turn,
        "measures": [{"heading": headings[measure], "detail": measure.detail} for measure in turn.measures],
        "rows": [{"cell": numbers[id(row.row.cell)], **_row(row, turn)} for row in turn.rows],
    }


def _row(row: ExplainedRow, turn: ExplainedTurn) -> dict[str, Any]:
    """What is known of an arm; its means and pairs stand in the order of the measures, null where there is none."""
    told = {name: getattr(row, name) for name in ("n", "no_turn", "no_text", "unscored", "cut_off", "sources")}
    means = [row.means.get(measure) for measure in turn.measures]
    pairs = [row.pairs.get(measure) for measure in turn.measures]
    return {
        **told,
        **rounded({"words": row.words, "court_words": row.court_words}),
        "means": [mean and rounded(asdict(mean)) for mean in means],
        "pairs": [pair and rounded({**asdict(pair.difference), "p_holm": pair.p_holm}) for pair in pairs],
    }
