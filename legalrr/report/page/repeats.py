"""Repeated runs for the page, as plain JSON values."""

from dataclasses import asdict
from typing import Any

from legalrr.report.groups import Report
from legalrr.report.page.results import rounded
from legalrr.report.repeats import RepeatedRow, repeats


def repeats_json(report: Report) -> list[dict[str, Any]]:
    """The experiments that ran more than once: the places of their groups, in the order of the runs, and their arms."""
    places = {id(group): place for place, group in enumerate(report.groups)}
    numbers = {id(cell): number for number, cell in enumerate(report.cells)}
    return [
        {
            "groups": [places[id(group)] for group in one.groups],
            "rows": [{"cells": [numbers[id(row.cell)] for row in own.rows], **_row(own)} for own in one.rows],
        }
        for one in repeats(report)
    ]


def _row(own: RepeatedRow) -> dict[str, Any]:
    """What is known of the runs of an arm; `scores` and `pair` as of one run, null where there are none."""
    pair: dict[str, Any] | None = None
    if own.comparison is not None:
        pair = {**asdict(own.comparison), "p_holm": own.p_holm, "p_holm_bound": own.p_holm_bound}
        pair |= {"bounded": own.bound is not None, "shown": own.shown}
        if not own.tested:
            pair |= {"p_permutation": None, "smallest_detectable": None}
    elif own.note:
        pair = {"note": own.note}
    return rounded(
        {
            "reference": own.first.is_reference,
            "invalid_rate": own.invalid_rate,
            "scores": None if own.scores is None else asdict(own.scores),
            "pair": pair,
        }
    )
