"""Audits tables of printed rates: reads them, finds their cases, judges every cell, and traces what a text claims."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from legalrr.audit.cells import audit_cells
from legalrr.audit.claims import Claim, Traced, read_claims, trace
from legalrr.audit.differences import Difference, differences
from legalrr.audit.figures import Rounding, Scale
from legalrr.audit.sizes import Sizes
from legalrr.audit.table import read_table
from legalrr.audit.universe import Universe, universe
from legalrr.audit.verdicts import Audited

MOST_SEARCHED = 100
"""Up to which n a search goes."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How to audit."""

    sizes: Sizes = field(default_factory=Sizes)
    """What options say of the cases."""
    names: Mapping[str, str] = field(default_factory=dict)
    """Caption of a table -> rate, or "ignore"."""
    rounding: Rounding = "nearest"
    """How figures were rounded."""
    scale: Scale | None = None
    """What figures are; None: percentages in a column with one above 1."""
    reference: str = "none"
    """Components of the reference arm."""
    most: int = MOST_SEARCHED
    """Up to which n to search where none is said."""


@dataclass(frozen=True, kw_only=True)
class Audit:
    """What was found."""

    tables: tuple[str, ...]
    """File names, in order."""
    universes: Mapping[tuple[str, str], Universe]
    """(table, dataset) -> its cases."""
    cells: tuple[Audited, ...]
    """All cells, in order."""
    differences: tuple[Difference, ...]
    """Each arm against the reference arm of its block."""
    claims: tuple[Traced, ...]
    """Each claim with the pairs of cells that it can be about."""
    settings: Settings
    """How it was audited."""


def claims_beside(table: Path) -> Path | None:
    """The claims that lie beside a table by name (`x.csv`, `x.claims.csv`); None where there are none."""
    path = table.with_suffix(".claims.csv")
    return path if path.is_file() else None


def audit(tables: Sequence[Path], *, claims: Path | None = None, settings: Settings) -> Audit:
    """Audits tables together.

    Args:
        tables: CSV files (`legalrr.audit.table`).
        claims: a CSV file (`legalrr.audit.claims`), whose tables are audited too; None: those beside each table.
        settings: how to audit.

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
    universes: dict[tuple[str, str], Universe] = {}
    judged: list[Audited] = []
    for path in paths:
        cells = read_table(
            path, sizes=settings.sizes, names=settings.names, rounding=settings.rounding, scale=settings.scale
        )
        datasets = defaultdict(list)
        for cell in cells:
            datasets[cell.dataset].append(cell)
        for dataset, own in datasets.items():
            cases = universe(own, most=settings.most)
            universes[path.name, dataset] = cases
            judged += audit_cells(own, cases)
    return Audit(
        tables=tuple(path.name for path in paths),
        universes=universes,
        cells=tuple(judged),
        differences=tuple(differences(judged, settings.reference)),
        claims=tuple(trace(claim, judged) for claim in claimed),
        settings=settings,
    )
