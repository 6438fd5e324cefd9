"""Groups cells that may be compared, and compares each with the reference arm of its group.

A group holds the arms that one backbone answered about the same judgments under the same treatment, and the baselines
and probes on these judgments. Holm's correction runs over the arms of a group; baselines and probes are families of
their own.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from legalrr.errors import UserError
from legalrr.report.cells import NO_BACKBONE, Cell, Setup, base, read_cells
from legalrr.score.answered import Answered
from legalrr.score.prediction import Scores
from legalrr.score.significance import LEVEL, POWER, Comparison, compare, holm

ARMS = (
    "direct",
    "direct_compare",
    "direct_calibrated",
    "plain",
    "r_order",
    "d",
    "r",
    "c",
    "dr",
    "dc",
    "rc",
    "drc",
    "majority",
    "stratified",
    "last_lines",
    "tfidf_lr",
    "tfidf_svm",
)
"""Order of the arms in tables and figure; others follow by name."""
FAMILIES = ("arm", "baseline", "probe")


@dataclass(frozen=True, kw_only=True)
class Row:
    """A cell that has scores."""

    cell: Cell
    """The cell."""
    setup: Setup
    """What it is."""
    scores: Scores
    """Its scores; n > 0."""
    cases: tuple[Answered, ...]
    """What they were computed from."""

    @property
    def is_reference(self) -> bool:
        """Whether it is what others are compared with."""
        return self.setup.arm == self.setup.reference


@dataclass(frozen=True, kw_only=True)
class Pair:
    """A row against the reference of its group."""

    row: Row
    """The row."""
    reference: Row | None = None
    """What it is compared with; None where there is none."""
    comparison: Comparison | None = None
    """The comparison; None where there can be none."""
    p_holm: float | None = None
    """Permutation p, adjusted over the family; None without a comparison."""
    note: str = ""
    """Why there is no comparison; "" where there is."""


@dataclass(frozen=True, kw_only=True)
class Group:
    """Rows that may be compared."""

    setup: Setup
    """What its rows have in common, taken from the first of them."""
    rows: tuple[Row, ...]
    """Arms, then baselines, then probes; in the order of `ARMS`."""
    pairs: tuple[Pair, ...]
    """Every row but the reference, in the same order."""


@dataclass(frozen=True, kw_only=True)
class Report:
    """Everything that tables and figure show."""

    cells: tuple[Cell, ...]
    """All cells, failed and unfinished ones too, in the order of the folders and jobs."""
    groups: tuple[Group, ...]
    """Groups in the order of their first cells."""


def read_report(folders: Sequence[Path]) -> Report:
    """Cells of the folders, grouped and compared; raises UserError as `read_cells` does."""
    cells = read_cells(folders)
    rows = [
        Row(cell=cell, setup=cell.setup, scores=cell.scores, cases=cell.answers.cases)
        for cell in cells
        if cell.setup is not None and cell.scores is not None and cell.answers is not None and cell.answers.cases
    ]
    gathered: dict[object, list[Row]] = {}
    for row in rows:
        if row.setup.backbone != NO_BACKBONE:
            gathered.setdefault(_treatment(row.setup), []).append(row)
    for row in rows:
        if row.setup.backbone == NO_BACKBONE:
            about = base(row.setup)
            homes = [members for members in gathered.values() if base(members[0].setup) == about]
            for members in homes or [gathered.setdefault(about, [])]:
                members.append(row)
    return Report(cells=tuple(cells), groups=tuple(_group(members) for members in gathered.values()))


def finding(pairs: Sequence[Pair]) -> str:
    """One line of what the comparisons of a group can say; "" without comparisons."""
    compared = [pair.comparison for pair in pairs if pair.comparison is not None]
    if not compared:
        return ""
    significant = sum(pair.p_holm is not None and pair.p_holm < LEVEL for pair in pairs)
    line = f"After Holm, {significant} of {len(compared)} differences are significant at {LEVEL:.0%}"
    reach = [c.smallest_detectable for c in compared if c.smallest_detectable is not None]
    if reach:
        least = min(c.n for c in compared)
        line += f"; {least} judgments would have shown no true difference below {min(reach):.3f} with power {POWER}"
    return line + "."


def _treatment(setup: Setup) -> tuple[object, ...]:
    return (
        base(setup),
        setup.backbone,
        setup.layout or "",
        setup.reading or "",
        setup.overflow or "",
        tuple(sorted(setup.options.items())),
    )


def _group(members: list[Row]) -> Group:
    rows = sorted(members, key=_place)
    pairs = [_pair(row, rows) for row in rows if not row.is_reference]
    for family in {pair.row.setup.family for pair in pairs}:
        tested = [i for i, pair in enumerate(pairs) if pair.row.setup.family == family and pair.comparison is not None]
        adjusted = holm([c.p_permutation for i in tested if (c := pairs[i].comparison)])
        for i, p in zip(tested, adjusted, strict=True):
            pairs[i] = replace(pairs[i], p_holm=p)
    return Group(setup=members[0].setup, rows=tuple(rows), pairs=tuple(pairs))


def _place(row: Row) -> tuple[object, ...]:
    family, arm = row.setup.family, row.setup.arm
    return (
        FAMILIES.index(family) if family in FAMILIES else len(FAMILIES),
        ARMS.index(arm) if arm in ARMS else len(ARMS),
        arm,
        row.cell.sweep,
        -1 if row.cell.job is None else row.cell.job,
    )


def _pair(row: Row, rows: Sequence[Row]) -> Pair:
    """Compares with the reference of the same sweep, or of another where that sweep has none."""
    named = [other for other in rows if other.setup.arm == row.setup.reference]
    near = [other for other in named if other.cell.sweep == row.cell.sweep] or named
    if not near:
        return Pair(row=row, note=f"no finished cell of the reference arm {row.setup.reference!r}")
    if len({other.cell.digest for other in near}) > 1:
        names = ", ".join(other.cell.name for other in near)
        return Pair(row=row, note=f"several cells of the reference arm {row.setup.reference!r}: {names}")
    reference = near[0]
    try:
        comparison = compare(row.cases, reference.cases, scorer=row.cell.scorer)
    except UserError as error:
        return Pair(row=row, reference=reference, note=error.what)
    return Pair(row=row, reference=reference, comparison=comparison)
