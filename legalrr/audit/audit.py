"""Audit of published tables: read them, determine sample sizes, judge every cell, and trace claimed differences."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from legalrr.audit.claims import Claim, Traced, read_claims, trace
from legalrr.audit.mcnemar_bounds import Difference, differences
from legalrr.audit.reported_cells import ReportedCell, Rounding, Scale
from legalrr.audit.sample_size import SampleSize, sample_size
from legalrr.audit.table import Sizes, read_table
from legalrr.audit.verdicts import Audited, judge_cells


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
    differences: tuple[Difference, ...]
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
        claims: a CSV file (`legalrr.audit.claims`), whose tables are audited, too; None: those beside each table.
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
