"""Groups cells that may be compared, and compares each with the reference arm of its group.

A group holds the arms that one backbone answered about the same judgments under the same treatment, and the baselines
and probes on these judgments. Holm's correction runs over the arms of a group; baselines and probes are families of
their own. Cells whose answers were read anew make groups of their own.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from legalrr.errors import UserError
from legalrr.report.cells import NO_BACKBONE, Cell, Setup, base, read_again, read_cells
from legalrr.score.answered import Answered
from legalrr.score.invalid_bounds import has_invalid, p_unfavourable, stands, unfavourable
from legalrr.score.prediction import PredictionScorer, Scores
from legalrr.score.significance import LEVEL, POWER, Comparison, compare, holm
from legalrr.score.subsets import check_treatment, kept
from legalrr.uncollected import uncollected

ARMS = (
    "direct",
    "direct_choose",
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
CHAIN = "annotate.chain"
"""The option that is C."""


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
    bound: Comparison | None = None
    """The comparison with the invalid answers against the better arm (`legalrr.score.invalid_bounds`); None where none
    is invalid."""
    p_holm_bound: float | None = None
    """As `p_holm`, with the permutation p under this bound; None without a comparison."""

    @property
    def shown(self) -> bool:
        """Whether the difference is significant, and stays so whatever its invalid answers were."""
        return stands(self.p_holm, self.p_holm_bound)


@dataclass(frozen=True, kw_only=True)
class Group:
    """Rows that may be compared."""

    setup: Setup
    """What its rows have in common, taken from the first of them."""
    rows: tuple[Row, ...]
    """Arms, then baselines, then probes; in the order of `ARMS`."""
    pairs: tuple[Pair, ...]
    """Every row but the reference, in the same order."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Report:
    """Everything that tables and figure show. Two reports are never equal, so what is worked out of one is kept."""

    cells: tuple[Cell, ...]
    """All cells, failed and unfinished ones too, in the order of the folders and jobs."""
    groups: tuple[Group, ...]
    """Groups in the order of their first cells."""
    invalid: str = "miss"
    """What becomes of invalid answers (`legalrr.score.subsets`)."""
    left_out: tuple[tuple[Row, str], ...] = ()
    """Rows that this leaves without a judgment, each with the reason."""


@uncollected()
def read_report(folders: Sequence[Path], *, reading: str | None = None, invalid: str = "miss") -> Report:
    """Cells of the folders, grouped and compared.

    Args:
        folders: of sweeps and single runs.
        reading: another reading of the answers (`legalrr.verdict`), beside the one that the cells ran with.
        invalid: what becomes of invalid answers (`legalrr.score.subsets`).

    Raises:
        UserError: as `read_cells`, or a reading or treatment that does not exist.
    """
    check_treatment(invalid)
    cells = read_cells(folders)
    if reading is not None:
        cells += [again for cell in cells if (again := read_again(cell, reading)) is not None]
    rows = [
        Row(cell=cell, setup=cell.setup, scores=cell.scores, cases=cell.answers.cases)
        for cell in cells
        if cell.setup is not None and cell.scores is not None and cell.answers is not None and cell.answers.cases
    ]
    gathered: dict[object, list[Row]] = {}
    for row in rows:
        if row.setup.backbone != NO_BACKBONE:
            gathered.setdefault((_treatment(row.setup), row.cell.reread), []).append(row)
    for row in rows:
        if row.setup.backbone == NO_BACKBONE:
            about = base(row.setup), row.cell.reread
            homes = [
                members for members in gathered.values() if (base(members[0].setup), members[0].cell.reread) == about
            ]
            for members in homes or [gathered.setdefault(about, [])]:
                members.append(row)
    groups, left_out = [], []
    for members in gathered.values():
        ordered = sorted(members, key=place)
        if invalid != "miss":
            ordered, gone = _restricted(ordered, invalid)
            left_out += gone
        if ordered:
            groups.append(_group(members[0].setup, ordered, invalid))
    return Report(cells=tuple(cells), groups=tuple(groups), invalid=invalid, left_out=tuple(left_out))


def finding(pairs: Sequence[Pair]) -> str:
    """One line of what the comparisons of a group can say; "" without comparisons."""
    compared = [pair.comparison for pair in pairs if pair.comparison is not None]
    if not compared:
        return ""
    significant = sum(pair.shown for pair in pairs)
    unsettled = sum(pair.p_holm is not None and pair.p_holm < LEVEL for pair in pairs) - significant
    line = f"After Holm, {significant} of {len(compared)} differences are significant at {LEVEL:.0%}"
    if unsettled:
        line += f" ({unsettled} more only if the invalid answers do not count against the better arm)"
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


def _group(setup: Setup, rows: Sequence[Row], invalid: str) -> Group:
    pairs = [_pair(row, rows, invalid) for row in rows if not row.is_reference]
    for family in {pair.row.setup.family for pair in pairs}:
        tested = [i for i, pair in enumerate(pairs) if pair.row.setup.family == family and pair.comparison is not None]
        adjusted = holm([c.p_permutation for i in tested if (c := pairs[i].comparison)])
        bounds = holm([p_unfavourable(c, pairs[i].bound) for i in tested if (c := pairs[i].comparison)])
        for i, p, p_bound in zip(tested, adjusted, bounds, strict=True):
            pairs[i] = replace(pairs[i], p_holm=p, p_holm_bound=p_bound)
    return Group(setup=setup, rows=tuple(rows), pairs=tuple(pairs))


def _restricted(rows: Sequence[Row], invalid: str) -> tuple[list[Row], list[tuple[Row, str]]]:
    """Rows on the judgments that a treatment of invalid answers keeps, and those without any, with the reason."""
    found = kept(
        {n: [case.id for case in row.cases if case.label != "invalid"] for n, row in enumerate(rows)},
        treatment=invalid,
        arms=[n for n, row in enumerate(rows) if row.setup.family == "arm"],
        partners={n: partner for n, row in enumerate(rows) if (partner := _partner(row, rows)) is not None},
    )
    some: list[Row] = []
    left_out: list[tuple[Row, str]] = []
    for n, row in enumerate(rows):
        cases = tuple(case for case in row.cases if case.id in found.get(n, ()))
        if cases:
            some.append(replace(row, cases=cases, scores=row.cell.scorer.scores(cases)))
        else:
            left_out.append((row, "no judgment is left" if n in found else "no arm is the same but for C"))
    return some, left_out


def _partner(row: Row, rows: Sequence[Row]) -> int | None:
    """Place of the arm that is the same but for C; None where there is none, or more than one."""
    if CHAIN not in row.setup.switches:
        return None
    wanted = {key: value for key, value in row.setup.switches.items() if key != CHAIN}
    found = [
        n
        for n, other in enumerate(rows)
        if other.setup.family == row.setup.family == "arm"
        and other.cell.sweep == row.cell.sweep
        and other.setup.scoring == row.setup.scoring
        and other.setup.switches.get(CHAIN, row.setup.switches[CHAIN]) != row.setup.switches[CHAIN]
        and {key: value for key, value in other.setup.switches.items() if key != CHAIN} == wanted
    ]
    return found[0] if len(found) == 1 else None


def place(row: Row) -> tuple[object, ...]:
    """What rows are sorted by."""
    family, arm = row.setup.family, row.setup.arm
    return (
        FAMILIES.index(family) if family in FAMILIES else len(FAMILIES),
        ARMS.index(arm) if arm in ARMS else len(ARMS),
        arm,
        row.cell.sweep,
        -1 if row.cell.job is None else row.cell.job,
    )


def _pair(row: Row, rows: Sequence[Row], invalid: str) -> Pair:
    """Compares with the reference of the same sweep, or of another where that sweep has none.

    Where invalid answers are left out, rows are compared on the judgments that both have.
    """
    named = [other for other in rows if other.setup.arm == row.setup.reference]
    near = [other for other in named if other.cell.sweep == row.cell.sweep] or named
    if not near:
        return Pair(row=row, note=f"no finished cell of the reference arm {row.setup.reference!r}")
    if len({other.cell.digest for other in near}) > 1:
        names = ", ".join(other.cell.name for other in near)
        return Pair(row=row, note=f"several cells of the reference arm {row.setup.reference!r}: {names}")
    reference = near[0]
    cases, others = row.cases, reference.cases
    if invalid != "miss":
        both = {case.id for case in cases} & {case.id for case in others}
        cases, others = (tuple(case for case in side if case.id in both) for side in (cases, others))
    try:
        comparison = compare(cases, others, scorer=row.cell.scorer)
        bound = _bound(cases, others, comparison, row.cell.scorer) if has_invalid(cases, others) else None
    except UserError as error:
        return Pair(row=row, reference=reference, note=error.what)
    return Pair(row=row, reference=reference, comparison=comparison, bound=bound)


def _bound(
    cases: Sequence[Answered], others: Sequence[Answered], found: Comparison, scorer: PredictionScorer
) -> Comparison:
    first, second = unfavourable(cases, others, difference=found.difference)
    return compare(first, second, scorer=scorer)
