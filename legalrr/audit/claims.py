"""Differences that a text claims, looked for among printed figures: a CSV with a row per claim.

    claim,source,table,dataset,model,subset,metric,components,reference,points
    a gain of 1.5 points of F1,abstract,khatri2025_predex.csv,,,,macro_f1,,none,1.5

`claim`, `metric` and `points` must be there. `points` is a difference in percentage points, at the decimals it is
claimed with; `reference` the arm that it is against. What is left empty may be anything: every pair of cells of one
block whose printed figures differ by as much is found. `table` names files beside the claims, with spaces between.
"""

import csv
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from legalrr.audit.differences import Difference, difference
from legalrr.audit.figures import Cell, Printed
from legalrr.audit.verdicts import Audited
from legalrr.errors import UserError

NEEDED = ("claim", "metric", "points")
LABELS = ("dataset", "model", "subset", "components")
POINTS = re.compile(r"-?\d+(\.\d+)?")
SLACK = 1e-9


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A difference that a text claims."""

    claim: str
    """In words."""
    source: str
    """Where it stands in the text."""
    tables: tuple[str, ...]
    """File names of the tables that it can be about; none: all."""
    labels: Mapping[str, str]
    """What is said of the cell: dataset, model, subset, components; what is not said is left out."""
    metric: str
    """Caption of the figures."""
    reference: str
    """The arm that it is against; "" for any."""
    points: Printed
    """The difference in percentage points."""


@dataclass(frozen=True, kw_only=True)
class Traced:
    """A claim and the pairs of cells that it can be about."""

    claim: Claim
    found: tuple[Difference, ...]
    """Pairs whose printed figures differ as claimed."""
    arms: Mapping[str, tuple[str, ...]]
    """Dataset of a pair -> the arms that are printed there."""


def read_claims(path: Path) -> list[Claim]:
    """The claims of a CSV file; raises UserError naming file and line."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, strict=True, restkey="", restval="")
            missing = [name for name in NEEDED if name not in (reader.fieldnames or ())]
            if missing:
                raise UserError(
                    f"no column {', '.join(missing)}",
                    where=f"{path}:1",
                    cure=f"columns {', '.join(NEEDED)} must be there",
                )
            return [_claim(row, f"{path}:{reader.line_num}") for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise UserError(
            f"cannot read the claims: {reason}", where=str(path), cure="give a CSV file in UTF-8"
        ) from error


def _claim(row: Mapping[str, str], where: str) -> Claim:
    if "" in row:
        raise UserError("more fields than columns", where=where, cure="quote commas in a field")
    said = {name: (row.get(name) or "").strip() for name in (*NEEDED, *LABELS, "source", "table", "reference")}
    for name in NEEDED:
        if not said[name]:
            raise UserError(f"no {name}", where=where, cure="claim, metric and points must be there")
    if not POINTS.fullmatch(said["points"]):
        raise UserError(f"points {said['points']!r} is no number", where=where, cure="percentage points, such as 1.5")
    return Claim(
        claim=said["claim"],
        source=said["source"],
        tables=tuple(said["table"].split()),
        labels={name: said[name] for name in LABELS if said[name]},
        metric=said["metric"],
        reference=said["reference"],
        points=Printed(value=float(said["points"]), decimals=len(said["points"].partition(".")[2])),
    )


def trace(claim: Claim, audited: Sequence[Audited]) -> Traced:
    """The pairs of cells that a claim can be about."""
    pairs = [
        (arm, base)
        for arm in audited
        if not claim.tables or arm.cell.table in claim.tables
        if all(getattr(arm.cell, name) == value for name, value in claim.labels.items())
        for base in audited
        if base.cell.block == arm.cell.block and base is not arm
        if claim.reference in ("", base.cell.components)
    ]
    low, high = claim.points.bounds()
    found = []
    for arm, base in pairs:
        points = points_between(arm.cell, base.cell, claim.metric)
        if points is not None and low - SLACK <= points <= high + SLACK:
            found.append(difference(arm, base))
    arms: dict[str, dict[str, None]] = {}
    for one in found:
        key = (one.arm.cell.table, one.arm.cell.dataset)
        printed = [other.cell for other in audited if (other.cell.table, other.cell.dataset) == key]
        arms.setdefault(one.arm.cell.dataset, {}).update(dict.fromkeys(cell.components for cell in printed))
    return Traced(claim=claim, found=tuple(found), arms={dataset: tuple(names) for dataset, names in arms.items()})


def points_between(arm: Cell, base: Cell, metric: str) -> float | None:
    """Printed difference in percentage points; None where one of the two lacks the figure."""
    first, second = arm.figures.get(metric), base.figures.get(metric)
    if first is None or second is None:
        return None
    return 100 * (first.printed.value / first.scale - second.printed.value / second.scale)
