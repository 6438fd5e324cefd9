"""What is computed for the page beyond the tables: effects of the switches, power, calibration, and scores by part."""

from collections.abc import Sequence
from dataclasses import asdict, replace
from typing import Any

from legalrr.errors import UserError
from legalrr.progress import progress
from legalrr.report.groups import Group, Report, Row
from legalrr.report.page.results import rounded
from legalrr.score.breakdown import breakdown
from legalrr.score.calibration import calibration
from legalrr.score.effects import ARMS, Factorial, effects
from legalrr.score.power import macro_f1_judgments, mcnemar_power, power_curve
from legalrr.score.significance import Comparison

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
    """Effects of every group that has at least two arms of the factorial, of every corpus with several such groups, and
    of all."""
    able = [(group, one) for group in report.groups if len((one := _factorial(group)).arms) > 1]
    found = [_effects(group.setup.backbone, [number], [one], group) for number, (group, one) in _numbered(able, report)]
    pools: dict[str, list[tuple[int, Group, Factorial]]] = {}
    for number, (group, one) in _numbered(able, report):
        pools.setdefault(one.corpus, []).append((number, group, one))
    for corpus, members in pools.items():
        if len(members) > 1:
            found.append(_pooled(f"{corpus}, all backbones", members))
    if len(pools) > 1:
        found.append(_pooled("all corpora", [one for members in pools.values() for one in members]))
    return found


def power_json(report: Report) -> list[dict[str, Any]]:
    """Per group: cell number -> power curve of its difference to the reference arm."""
    numbers = {id(cell): number for number, cell in enumerate(report.cells)}
    return [
        {
            str(numbers[id(pair.row.cell)]): _power(pair.comparison)
            for pair in group.pairs
            if pair.comparison is not None and pair.row.setup.family == "arm"
        }
        for group in report.groups
    ]


def _power(found: Comparison) -> dict[str, Any]:
    """A power curve; no points where there is no difference to be found."""
    curve = power_curve(found, sizes=())
    drawn = SIZES if curve.difference else ()
    near = tuple(n for n in drawn if curve.needed is None or n <= CERTAIN * curve.needed)
    power = [mcnemar_power(curve.difference, curve.discordance, n) for n in near] + [1.0] * (len(drawn) - len(near))
    told = {"difference": curve.difference, "discordance": curve.discordance, "power": power}
    return {**rounded(told), "needed": curve.needed, "needed_macro_f1": macro_f1_judgments(found)}


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


def _factorial(group: Group) -> Factorial:
    arms: dict[str, Sequence[Any]] = {}
    for row in group.rows:
        if row.setup.arm in ARMS:
            arms.setdefault(row.setup.arm, row.cases)
    corpus = group.setup.corpus if group.setup.split is None else f"{group.setup.corpus} ({group.setup.split})"
    return Factorial(corpus=corpus, backbone=group.setup.backbone, arms=arms)


def _numbered(able: Sequence[tuple[Group, Factorial]], report: Report) -> list[tuple[int, tuple[Group, Factorial]]]:
    places = {id(group): number for number, group in enumerate(report.groups)}
    return [(places[id(group)], (group, one)) for group, one in able]


def _pooled(title: str, members: Sequence[tuple[int, Group, Factorial]]) -> dict[str, Any]:
    return _effects(title, [number for number, _, _ in members], [one for _, _, one in members], members[0][1])


def _effects(title: str, groups: list[int], factorials: Sequence[Factorial], group: Group) -> dict[str, Any]:
    told: dict[str, Any] = {"title": title, "groups": groups, "note": "", "effects": []}
    try:
        found = effects(factorials, scorer=group.rows[0].cell.scorer)
    except UserError as error:
        return told | {"note": error.what}
    return told | {"n": found[0].n, "effects": [rounded(asdict(one)) for one in found]}
