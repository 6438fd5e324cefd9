"""What is computed for the page beyond the tables: effects of the switches, power, calibration, and scores by part."""

from dataclasses import asdict, replace
from typing import Any

from legalrr.progress import progress
from legalrr.report.factorials import Pool, pools
from legalrr.report.groups import Pair, Report, Row
from legalrr.report.page.results import rounded
from legalrr.score.breakdown import breakdown
from legalrr.score.calibration import calibration
from legalrr.score.power import mcnemar_power, power_curve
from legalrr.score.significance import judgments_needed

BY = ("length", "year", "court", "kind", "confidence", "roles")
"""What errors are broken down by."""
SIZES = tuple(round(10 ** (1 + step / 6)) for step in range(25))
"""Numbers of judgments of a power curve: 10 to 100,000."""
CERTAIN = 6
"""Times the judgments for power 0.8 at which power is 1 to six decimals."""
MOST_PARTS = 24
"""Parts of a breakdown that are shown, the largest first where they have no order of their own."""
RESAMPLES = 500
"""Resamples of the intervals of parts, at most: there are thousands of them, and they are for looking around."""


def effects_json(report: Report) -> list[dict[str, Any]]:
    """The pools of `legalrr.report.factorials`, those without effects too, with the reason."""
    return [_effects(pool) for pool in pools(report)]


def power_json(report: Report) -> list[dict[str, Any]]:
    """Per group: cell number -> power curve of its difference to the reference arm."""
    numbers = {id(cell): number for number, cell in enumerate(report.cells)}
    return [
        {
            str(numbers[id(pair.row.cell)]): _power(pair)
            for pair in group.pairs
            if pair.comparison is not None and pair.row.setup.family == "arm"
        }
        for group in report.groups
    ]


def _power(pair: Pair) -> dict[str, Any]:
    """A power curve; no points where there is no difference to be found."""
    found, reference = pair.comparison, pair.reference
    assert found is not None
    assert reference is not None
    both = {case.id for case in pair.row.cases} & {case.id for case in reference.cases}
    cases, others = ([case for case in row.cases if case.id in both] for row in (pair.row, reference))
    curve = power_curve(found, sizes=())
    drawn = SIZES if curve.difference else ()
    near = tuple(n for n in drawn if curve.needed is None or n <= CERTAIN * curve.needed)
    power = [mcnemar_power(curve.difference, curve.discordance, n) for n in near] + [1.0] * (len(drawn) - len(near))
    told = {"difference": curve.difference, "discordance": curve.discordance, "power": power}
    return {**rounded(told), "needed": curve.needed, "needed_macro_f1": judgments_needed(cases, others)}


def calibration_json(report: Report) -> dict[str, Any]:
    """Cell number -> calibration, of the cells whose answers have probabilities."""
    found = {}
    for number, cell in enumerate(report.cells):
        if cell.answers is not None and (made := calibration(cell.answers.cases, confidence=cell.scorer.confidence)):
            found[str(number)] = rounded(asdict(made))
    return found


def breakdowns_json(report: Report) -> dict[str, dict[str, Any]]:
    """Property -> cell number -> the cell's parts; properties that the corpora do not tell are left out."""
    found: dict[str, dict[str, Any]] = {}
    numbers = {id(cell): number for number, cell in enumerate(report.cells)}
    rows = {numbers[id(row.cell)]: row for group in report.groups for row in group.rows if row.setup.family == "arm"}
    with progress("breakdown", len(rows), "cells") as advance:
        for number, row in rows.items():
            for by, parts in _breakdowns(row).items():
                found.setdefault(by, {})[str(number)] = parts
            advance(1)
    return {by: found[by] for by in BY if by in found}


def _breakdowns(row: Row) -> dict[str, list[dict[str, Any]]]:
    assert row.cell.answers is not None
    scorer = replace(row.cell.scorer, resamples=min(row.cell.scorer.resamples, RESAMPLES))
    made = (breakdown(row.cases, row.cell.answers.about, by, scorer=scorer) for by in BY)
    return {one.by: [rounded(asdict(part)) for part in one.parts[:MOST_PARTS]] for one in made if one.parts}


def _effects(pool: Pool) -> dict[str, Any]:
    told: dict[str, Any] = {"title": pool.title, "groups": list(pool.groups), "note": pool.note}
    if pool.effects:
        told["n"] = pool.effects[0].n
    return told | {"effects": [rounded({**asdict(one), "shown": one.shown}) for one in pool.effects]}
