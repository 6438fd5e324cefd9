"""Groups cells that may be compared, and compares each with the reference arm of its group.

A group holds the arms that one backbone answered about the same judgments under the same treatment, and the baselines
and probes on these judgments. Holm's correction runs over the arms of a group; baselines and probes are families of
their own. Arms that sent the same prompts and got the same answers are one difference, and those that sent what the
reference sent are none. A baseline that answers everything alike is compared, but not tested: whether an arm is better
than it says nothing of skill (`legalrr.score.permutation`). Cells whose answers were read anew make groups of their
own.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from legalrr.errors import UserError
from legalrr.report.load import CHAIN, NO_BACKBONE, RunResult, Setup, gc_paused, judgments_key, read_again, read_results
from legalrr.score.cases import AnsweredCase, check_invalid_policy, kept
from legalrr.score.detectable import LEVEL, POWER
from legalrr.score.effects import ARMS
from legalrr.score.invalid_bounds import Bound, p_unfavourable, stands, unfavourable_bound
from legalrr.score.scorer import Scores
from legalrr.score.significance import Comparison, compare, holm

ARM_ORDER = (
    *("direct", "direct_choose", "direct_compare", "direct_calibrated"),
    *(arm for arm, switches in ARMS.items() if not switches),
    "r_order",
    *(arm for arm, switches in ARMS.items() if switches),
    *("majority", "stratified", "last_lines", "tfidf_lr", "tfidf_svm"),
)
"""Order of the arms in tables and figures; others follow by name."""
FAMILIES = ("arm", "baseline", "probe")
SAME = "same"
"""Key of the arms that sent what their reference sent and got the same answers."""


@dataclass(frozen=True, kw_only=True)
class ArmResult:
    """A cell that has scores."""

    cell: RunResult
    """The cell."""
    setup: Setup
    """What it is."""
    scores: Scores
    """Its scores; n > 0."""
    cases: tuple[AnsweredCase, ...]
    """What they were computed from."""

    @property
    def is_reference(self) -> bool:
        """Whether it is what others are compared with."""
        return self.setup.arm == self.setup.reference


@dataclass(frozen=True, kw_only=True)
class ArmComparison:
    """A row against the reference of its group."""

    row: ArmResult
    """The row."""
    reference: ArmResult | None = None
    """What it is compared with; None where there is none."""
    comparison: Comparison | None = None
    """The comparison; None where there can be none."""
    p_holm: float | None = None
    """Permutation p, adjusted over the family; None without a comparison, and for what is not tested."""
    note: str = ""
    """Why there is no comparison; "" where there is."""
    tested: bool = True
    """Whether the difference is tested; not so for a baseline that gives the same answer to everything."""
    bound: Bound | None = None
    """The difference with the invalid answers against the better arm (`legalrr.score.invalid_bounds`); None where none
    is invalid."""
    p_holm_bound: float | None = None
    """As `p_holm`, with the permutation p under this bound."""

    @property
    def shown(self) -> bool:
        """Whether the difference is significant, and stays so whatever its invalid answers were."""
        return stands(self.p_holm, self.p_holm_bound)


@dataclass(frozen=True, kw_only=True)
class Group:
    """Rows that may be compared."""

    setup: Setup
    """What its rows have in common, taken from the first of them."""
    rows: tuple[ArmResult, ...]
    """Arms, then baselines, then probes; in the order of `ARM_ORDER`."""
    pairs: tuple[ArmComparison, ...]
    """Every row but the reference, in the same order."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Report:
    """Everything that tables and figure show. Two reports are never equal, so what is worked out of one is kept."""

    cells: tuple[RunResult, ...]
    """All cells, failed and unfinished ones too, in the order of the folders and jobs."""
    groups: tuple[Group, ...]
    """Groups in the order of their first cells."""
    invalid: str = "miss"
    """What becomes of invalid answers (`legalrr.score.cases`)."""
    left_out: tuple[tuple[ArmResult, str], ...] = ()
    """Rows that this leaves without a judgment, each with the reason."""


@gc_paused()
def read_report(folders: Sequence[Path], *, reading: str | None = None, invalid: str = "miss") -> Report:
    """Cells of the folders, grouped and compared.

    Args:
        folders: of sweeps and single runs.
        reading: another reading of the answers (`legalrr.verdict`), beside the one that the cells ran with.
        invalid: what becomes of invalid answers (`legalrr.score.cases`).

    Raises:
        UserError: as `read_results`, or a reading or treatment that does not exist.
    """
    check_invalid_policy(invalid)
    cells = read_results(folders)
    if reading is not None:
        cells += [again for cell in cells if (again := read_again(cell, reading)) is not None]
    rows = [
        ArmResult(cell=cell, setup=cell.setup, scores=cell.scores, cases=cell.answers.cases)
        for cell in cells
        if cell.setup is not None and cell.scores is not None and cell.answers is not None and cell.answers.cases
    ]
    gathered: dict[object, list[ArmResult]] = {}
    for row in rows:
        if row.setup.backbone != NO_BACKBONE:
            gathered.setdefault((_treatment(row.setup), row.cell.reread), []).append(row)
    for row in rows:
        if row.setup.backbone == NO_BACKBONE:
            about = judgments_key(row.setup), row.cell.reread
            homes = [
                members
                for members in gathered.values()
                if (judgments_key(members[0].setup), members[0].cell.reread) == about
            ]
            for members in homes or [gathered.setdefault(about, [])]:
                members.append(row)
    groups, left_out = [], []
    for members in gathered.values():
        ordered = sorted(members, key=sort_key)
        if invalid != "miss":
            ordered, gone = _apply_invalid_policy(ordered, invalid)
            left_out += gone
        if ordered:
            groups.append(_group(members[0].setup, ordered, invalid))
    return Report(cells=tuple(cells), groups=tuple(groups), invalid=invalid, left_out=tuple(left_out))


def finding(group: Group) -> str:
    """One line of what the comparisons of the arms of a group can say; "" without comparisons."""
    arms = distinct_pairs(group)
    if not arms:
        return ""
    significant = sum(pair.shown for pair in arms)
    unsettled = sum(pair.p_holm is not None and pair.p_holm < LEVEL for pair in arms) - significant
    names = ", ".join(dict.fromkeys(pair.reference.setup.label for pair in arms if pair.reference is not None))
    what = "one difference" if len(arms) == 1 else f"{len(arms)} distinct differences"
    line = (
        f"Holm over the {what} of arms from {names}: "
        f"{significant} {'is' if significant == 1 else 'are'} significant at {LEVEL:.0%}"
    )
    if unsettled:
        line += f" ({unsettled} more only if the invalid answers do not count against the better arm)"
    compared = [pair.comparison for pair in arms if pair.comparison is not None]
    found = [c.smallest_detectable for c in compared]
    least = min(c.n for c in compared)
    reached = [one for one in found if one is not None]
    if reached:
        line += f"; {least} judgments would have shown no true difference below {min(reached):.3f} with power {POWER}"
    else:
        line += f"; {least} judgments are too few to show any difference with power {POWER}"
    return line + "."


def distinct_pairs(group: Group) -> list[ArmComparison]:
    """The differences of arms from the reference that are tested, those of arms with the same prompts and answers once:
    the family of Holm's correction."""
    arms = [pair for pair in group.pairs if pair.row.setup.family == "arm" and pair.comparison is not None]
    first: dict[object, ArmComparison] = {}
    for pair in arms:
        first.setdefault(_pair_key(pair), pair)
    return [pair for key, pair in first.items() if key != SAME]


def _treatment(setup: Setup) -> tuple[object, ...]:
    return (
        judgments_key(setup),
        setup.backbone,
        setup.layout or "",
        setup.reading or "",
        setup.overflow or "",
        tuple(sorted(setup.options.items())),
    )


def _group(setup: Setup, rows: Sequence[ArmResult], invalid: str) -> Group:
    pairs = [_pair(row, rows, invalid) for row in rows if not row.is_reference]
    for family in {pair.row.setup.family for pair in pairs}:
        tested = [
            (i, pair.comparison)
            for i, pair in enumerate(pairs)
            if pair.row.setup.family == family and pair.comparison is not None and pair.tested
        ]
        keys = [_pair_key(pairs[i]) for i, _ in tested]
        adjusted = holm_distinct(keys, [found.p_permutation for _, found in tested])
        bounds = holm_distinct(keys, [p_unfavourable(found, pairs[i].bound) for i, found in tested])
        for (i, _), p, p_bound in zip(tested, adjusted, bounds, strict=True):
            pairs[i] = replace(pairs[i], p_holm=p, p_holm_bound=p_bound)
    return Group(setup=setup, rows=tuple(rows), pairs=tuple(pairs))


def holm_distinct(keys: Sequence[object], values: Sequence[float]) -> list[float]:
    """Holm-adjusted p of one family in which differences of one key count once, and those of `SAME` not at all.

    Args:
        keys: what makes each difference the one that it is (`difference_key`).
        values: its p; the same for the same key.
    """
    first: dict[object, float] = {}
    for key, p in zip(keys, values, strict=True):
        first.setdefault(key, p)
    first.pop(SAME, None)
    adjusted = dict(zip(first, holm(list(first.values())), strict=True))
    return [adjusted.get(key, 1.0) for key in keys]


def difference_key(rows: Sequence[ArmResult], reference: Sequence[ArmResult]) -> object:
    """What makes a difference the one that it is: all that was sent and answered, where the run folders tell.

    Args:
        rows: of an arm, one per run.
        reference: of its reference arm.
    """
    own, others = (tuple(map(_prompts_and_answers, one)) for one in (rows, reference))
    if None in own:
        return id(rows[0])
    return SAME if own == others else (own, others)


def is_constant(rows: Sequence[ArmResult]) -> bool:
    """Whether rows are of a baseline that gives the same answer to everything, whose difference is not tested."""
    return rows[0].setup.family == "baseline" and len({case.label for row in rows for case in row.cases}) == 1


def _pair_key(pair: ArmComparison) -> object:
    assert pair.reference is not None
    return difference_key([pair.row], [pair.reference])


def _prompts_and_answers(row: ArmResult) -> tuple[object, ...] | None:
    """Prompts and answers of a row; None for what asks no model, and for run folders that do not tell."""
    if row.setup.backbone == NO_BACKBONE or any(case.prompt is None for case in row.cases):
        return None
    return tuple((case.id, case.prompt, case.label) for case in row.cases)


def _apply_invalid_policy(
    rows: Sequence[ArmResult], invalid: str
) -> tuple[list[ArmResult], list[tuple[ArmResult, str]]]:
    """Rows on the judgments that a treatment of invalid answers keeps, and those without any, with the reason."""
    found = kept(
        {n: [case.id for case in row.cases if case.label != "invalid"] for n, row in enumerate(rows)},
        treatment=invalid,
        arms=[n for n, row in enumerate(rows) if row.setup.family == "arm"],
        partners={n: partner for n, row in enumerate(rows) if (partner := _partner(row, rows)) is not None},
    )
    some: list[ArmResult] = []
    left_out: list[tuple[ArmResult, str]] = []
    for n, row in enumerate(rows):
        cases = tuple(case for case in row.cases if case.id in found.get(n, ()))
        if cases:
            some.append(replace(row, cases=cases, scores=row.cell.scorer.scores(cases)))
        else:
            left_out.append((row, "no judgment is left" if n in found else "no arm is the same but for C"))
    return some, left_out


def _partner(row: ArmResult, rows: Sequence[ArmResult]) -> int | None:
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


def sort_key(row: ArmResult) -> tuple[object, ...]:
    """What rows are sorted by."""
    family, arm = row.setup.family, row.setup.arm
    return (
        FAMILIES.index(family) if family in FAMILIES else len(FAMILIES),
        ARM_ORDER.index(arm) if arm in ARM_ORDER else len(ARM_ORDER),
        arm,
        row.cell.sweep,
        -1 if row.cell.job is None else row.cell.job,
    )


def _pair(row: ArmResult, rows: Sequence[ArmResult], invalid: str) -> ArmComparison:
    """Compares with the reference of the same sweep, or of another where that sweep has none.

    Where invalid answers are left out, rows are compared on the judgments that both have.
    """
    named = [other for other in rows if other.setup.arm == row.setup.reference]
    near = [other for other in named if other.cell.sweep == row.cell.sweep] or named
    if not near:
        return ArmComparison(row=row, note=f"no finished cell of the reference arm {row.setup.reference!r}")
    if len({other.cell.digest for other in near}) > 1:
        names = ", ".join(other.cell.name for other in near)
        return ArmComparison(row=row, note=f"several cells of the reference arm {row.setup.reference!r}: {names}")
    reference = near[0]
    cases, others = row.cases, reference.cases
    if invalid != "miss":
        both = {case.id for case in cases} & {case.id for case in others}
        cases, others = (tuple(case for case in side if case.id in both) for side in (cases, others))
    try:
        comparison = compare(cases, others, scorer=row.cell.scorer)
        bound = unfavourable_bound([cases], [others], difference=comparison.difference, scorer=row.cell.scorer)
    except UserError as error:
        return ArmComparison(row=row, reference=reference, note=error.what)
    return ArmComparison(
        row=row, reference=reference, comparison=comparison, bound=bound, tested=not is_constant([row])
    )
