"""Audit of published tables: read them, determine sample sizes, judge every cell, and trace claimed differences.

The claims of a text are a CSV with a row each, traced to pairs of printed figures:

    claim,source,table,dataset,model,subset,metric,components,reference,points
    a gain of 1.5 points of F1,abstract,khatri2025_predex.csv,,,,macro_f1,,none,1.5

`claim`, `metric` and `points` are required. `points` is a difference in percentage points, with as many decimals as the
text has; `reference` is the arm that it is measured against. An empty column matches anything: every pair of cells of
one block whose printed figures differ by as much is found. `table` names files in the same folder, separated by spaces.
"""

import csv
import re
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from legalrr.audit.mcnemar_bounds import ArmDifference, difference, differences
from legalrr.audit.rates import SLACK
from legalrr.audit.sample_size import SampleSize, sample_size
from legalrr.audit.table import Printed, ReportedCell, Rounding, Scale, Sizes, read_table
from legalrr.audit.verdicts import Audited, judge_cells
from legalrr.errors import UserError, file_errors

REQUIRED = ("claim", "metric", "points")
LABELS = ("dataset", "model", "subset", "components")
POINTS = re.compile(r"-?\d+(\.\d+)?")


@dataclass(frozen=True, kw_only=True)
class Claim:
    """A difference that a text claims."""

    claim: str
    """Its words."""
    source: str
    """Its place in the text."""
    tables: tuple[str, ...]
    """File names of the tables that it can be about; empty: all."""
    labels: Mapping[str, str]
    """Labels of the cell, as far as stated: dataset, model, subset, components."""
    metric: str
    """Caption of the figures."""
    reference: str
    """The arm that it is measured against; "" for any."""
    points: Printed
    """The difference in percentage points."""


@dataclass(frozen=True, kw_only=True)
class Traced:
    """A claim with the pairs of cells that it can be about."""

    claim: Claim
    found: tuple[ArmDifference, ...]
    """Pairs whose printed figures differ as claimed."""
    arms: Mapping[str, tuple[str, ...]]
    """Dataset of a pair -> arms printed for it."""


def read_claims(path: Path) -> list[Claim]:
    """Read the claims of a CSV file.

    Raises:
        UserError: the file cannot be read or is damaged; names file and line.
    """
    try:
        with file_errors(path, doing="cannot read the claims"), path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, strict=True, restkey="", restval="")
            missing = [name for name in REQUIRED if name not in (reader.fieldnames or ())]
            if missing:
                raise UserError(
                    f"no column {', '.join(missing)}",
                    where=f"{path}:1",
                    cure=f"columns {', '.join(REQUIRED)} are required",
                )
            return [_claim(row, f"{path}:{reader.line_num}") for row in reader]
    except (UnicodeDecodeError, csv.Error) as error:
        raise UserError(f"cannot read the claims: {error}", where=str(path), cure="give a CSV file in UTF-8") from error


def _claim(row: Mapping[str, str], where: str) -> Claim:
    if "" in row:
        raise UserError("more fields than columns", where=where, cure="quote commas in a field")
    fields = {name: (row.get(name) or "").strip() for name in (*REQUIRED, *LABELS, "source", "table", "reference")}
    for name in REQUIRED:
        if not fields[name]:
            raise UserError(f"no {name}", where=where, cure="claim, metric and points are required")
    if not POINTS.fullmatch(fields["points"]):
        raise UserError(f"points {fields['points']!r} is not a number", where=where, cure="such as 1.5")
    return Claim(
        claim=fields["claim"],
        source=fields["source"],
        tables=tuple(fields["table"].split()),
        labels={name: fields[name] for name in LABELS if fields[name]},
        metric=fields["metric"],
        reference=fields["reference"],
        points=Printed(value=float(fields["points"]), decimals=len(fields["points"].partition(".")[2])),
    )


def trace(claim: Claim, audited: Sequence[Audited]) -> Traced:
    """Find the pairs of cells that a claim can be about."""
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
        points = _points_between(arm.cell, base.cell, claim.metric)
        if points is not None and low - SLACK <= points <= high + SLACK:
            found.append(difference(arm, base))
    arms: dict[str, dict[str, None]] = {}
    for one in found:
        key = (one.arm.cell.table, one.arm.cell.dataset)
        printed = [other.cell for other in audited if (other.cell.table, other.cell.dataset) == key]
        arms.setdefault(one.arm.cell.dataset, {}).update(dict.fromkeys(cell.components for cell in printed))
    return Traced(claim=claim, found=tuple(found), arms={dataset: tuple(names) for dataset, names in arms.items()})


def _points_between(arm: ReportedCell, base: ReportedCell, metric: str) -> float | None:
    """Compute the printed difference in percentage points; None where one of the two lacks the figure."""
    first, second = arm.figures.get(metric), base.figures.get(metric)
    if first is None or second is None:
        return None
    return 100 * (first.printed.value / first.scale - second.printed.value / second.scale)


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Settings of an audit."""

    sizes: Sizes = field(default_factory=Sizes)
    """Sizes that override the table's columns."""
    names: Mapping[str, str] = field(default_factory=dict)
    """Caption of a table -> rate, or "ignore"."""
    rounding: Rounding = "nearest"
    """How figures were rounded."""
    scale: Scale | None = None
    """Scale of all figures; None: percentages in a column with a figure above 1."""
    reference: str = "none"
    """Components of the reference arm."""
    max_n: int = 100
    """Largest n of the search where n is not stated."""


@dataclass(frozen=True, kw_only=True)
class Audit:
    """Result of an audit."""

    tables: tuple[str, ...]
    """File names, in order."""
    sample_sizes: Mapping[tuple[str, str], SampleSize]
    """(table, dataset) -> its sample size."""
    cells: tuple[Audited, ...]
    """All cells with their verdicts, in order."""
    differences: tuple[ArmDifference, ...]
    """Each arm compared with the reference arm of its block."""
    claims: tuple[Traced, ...]
    """Each claim with the pairs of cells that it can be about."""


def claims_beside(table: Path) -> Path | None:
    """Find the claims of a table by name (`x.csv`, `x.claims.csv`); None where there are none."""
    path = table.with_suffix(".claims.csv")
    return path if path.is_file() else None


def audit(tables: Sequence[Path], *, claims: Path | None = None, settings: Settings) -> Audit:
    """Audit tables together.

    Args:
        tables: CSV files (`legalrr.audit.table`).
        claims: a CSV file (`legalrr.audit.audit`), whose tables are audited, too; None: those beside each table.
        settings: settings of the audit.

    Raises:
        UserError: a file cannot be read or is damaged, or two tables have the same file name.
    """
    paths = list(dict.fromkeys(tables))
    files = [claims] if claims else [path for path in map(claims_beside, paths) if path]
    claimed: list[Claim] = []
    for file in files:
        claimed += (found := read_claims(file))
        beside = [file.parent / name for claim in found for name in claim.tables]
        known = {path.name for path in paths}
        paths += [path for path in dict.fromkeys(beside) if path.name not in known]
    sizes: dict[tuple[str, str], SampleSize] = {}
    judged: list[Audited] = []
    for path in paths:
        datasets: dict[str, list[ReportedCell]] = defaultdict(list)
        for cell in read_table(
            path, sizes=settings.sizes, names=settings.names, rounding=settings.rounding, scale=settings.scale
        ):
            datasets[cell.dataset].append(cell)
        for dataset, cells in datasets.items():
            size = sizes[path.name, dataset] = sample_size(cells, max_n=settings.max_n)
            judged += judge_cells(cells, size)
    return Audit(
        tables=tuple(path.name for path in paths),
        sample_sizes=sizes,
        cells=tuple(judged),
        differences=tuple(differences(judged, settings.reference)),
        claims=tuple(trace(claim, judged) for claim in claimed),
    )
