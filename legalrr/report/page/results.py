"""Scores and differences for the page, as plain JSON values."""

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

from legalrr.report.cells import NO_BACKBONE, Cell
from legalrr.report.forest import chance, majority
from legalrr.report.groups import Group, Pair, Report, Row, distinct, finding
from legalrr.report.repeats import run_number
from legalrr.report.views import apart, title, treatment, why
from legalrr.score.detectable import LEVEL
from legalrr.score.invalid_bounds import macro_f1_bounds

NAMED = 3
"""How many differences the sentence at the head names."""


def cells_json(report: Report) -> list[dict[str, Any]]:
    """Every cell of the report, in its order: who it is, and whether it has scores."""
    return [_cell(cell, several=len({c.sweep for c in report.cells}) > 1) for cell in report.cells]


def groups_json(report: Report) -> list[dict[str, Any]]:
    """The groups: which cells they hold, their scores, and how each differs from the reference arm."""
    numbers = {id(cell): number for number, cell in enumerate(report.cells)}
    return [_group(group, report, numbers) for group in report.groups]


def verdict(report: Report) -> str:
    """The sentence that says whether any difference between arms is real."""
    compared = [pair for group in report.groups for pair in distinct(group)]
    if not compared:
        return "No arm was compared with a reference arm."
    real = [pair for pair in compared if pair.shown]
    what, end = "between an arm and the reference arm", f"significant at {LEVEL:.0%} after Holm's correction"
    if len(compared) == 1:
        start, verb = f"The one difference {what}", "is" if real else "is not"
    else:
        start, verb = f"{len(real) or 'None'} of {'' if real else 'the '}{len(compared)} differences {what}", "is"
    if not real:
        return f"{start} {verb} {end}."
    named = ", ".join(_named(pair, report) for pair in sorted(real, key=_size)[:NAMED])
    more = f", and {len(real) - NAMED} more" if len(real) > NAMED else ""
    return f"{start} {'are' if len(real) > 1 else verb} {end}: {named}{more}."


def _size(pair: Pair) -> float:
    return -abs(pair.comparison.difference) if pair.comparison else 0.0


def _named(pair: Pair, report: Report) -> str:
    assert pair.comparison is not None
    setup = pair.row.setup
    where = [setup.backbone] if len({group.setup.backbone for group in report.groups}) > 1 else []
    where += [setup.corpus] if len({group.setup.corpus for group in report.groups}) > 1 else []
    place = f" ({', '.join(where)})" if where else ""
    return f"{setup.label}{place} {pair.comparison.difference:+.3f}"


def _cell(cell: Cell, *, several: bool) -> dict[str, Any]:
    setup = cell.setup
    name = f"folder {cell.sweep}, {cell.name}" if several else cell.name
    told: dict[str, Any] = {"name": name, "label": cell.label, "status": cell.status, "problem": why(cell)}
    if setup is not None:
        told |= {
            "arm": setup.arm,
            "family": setup.family,
            "corpus": setup.corpus if setup.split is None else f"{setup.corpus} ({setup.split})",
            "segment": setup.segment,
            "backbone": None if setup.backbone == NO_BACKBONE else setup.backbone,
            "reference": setup.arm == setup.reference,
        }
    return told | {"scored": cell.scores is not None and cell.scores.n > 0}


def _group(group: Group, report: Report, numbers: Mapping[int, int]) -> dict[str, Any]:
    first = group.rows[0]
    corpus = first.setup.corpus if first.setup.split is None else f"{first.setup.corpus} ({first.setup.split})"
    return {
        "title": title(group),
        "apart": apart(group, report),
        "run": run_number(group, report),
        "corpus": corpus,
        "segment": group.setup.segment,
        "backbone": None if group.setup.backbone == NO_BACKBONE else group.setup.backbone,
        "treatment": treatment(group, report),
        "finding": finding(group),
        "confidence": first.cell.scorer.confidence,
        "n": first.scores.n,
        "allowed": sum(first.scores.confusion["allowed"].values()),
        "chance": rounded(chance(first)),
        "majority": rounded(majority(first)),
        "rows": [numbers[id(row.cell)] for row in group.rows],
        "scores": {
            str(numbers[id(row.cell)]): rounded({**asdict(row.scores), "invalid_bounds": macro_f1_bounds(row.cases)})
            for row in group.rows
        },
        "reference": next((numbers[id(row.cell)] for row in group.rows if row.is_reference), None),
        "pairs": {str(numbers[id(pair.row.cell)]): _pair(pair, numbers) for pair in group.pairs},
    }


def _pair(pair: Pair, numbers: Mapping[int, int]) -> dict[str, Any]:
    reference: Row | None = pair.reference
    told: dict[str, Any] = {"note": pair.note, "reference": None if reference is None else numbers[id(reference.cell)]}
    if pair.comparison is not None:
        told |= {name: rounded(value) for name, value in asdict(pair.comparison).items()}
        told["p_holm"] = rounded(pair.p_holm)
        told |= {"p_holm_bound": rounded(pair.p_holm_bound), "bounded": pair.bound is not None, "shown": pair.shown}
        if not pair.tested:
            told |= {"p_permutation": None, "p_mcnemar": None, "smallest_detectable": None}
    return told


def rounded(value: Any) -> Any:
    """Numbers with six decimals, as in the tables, in lists and mappings too; everything else as it is."""
    if isinstance(value, float):
        return round(value, 6)
    if isinstance(value, list | tuple):
        return [rounded(inner) for inner in value]
    if isinstance(value, dict):
        return {key: rounded(inner) for key, inner in value.items()}
    return value
