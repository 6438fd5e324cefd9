"""Group comparable cells, and compare each with the reference arm of its group.

A group holds the arms that one backbone answered on the same judgments under the same settings, and the baselines and
probes on these judgments. Holm's correction runs over the arms of a group; baselines and probes are separate families.
Arms with the same prompts and answers count as one difference; arms with the prompts and answers of the reference count
as none. A constant baseline is compared but not tested: the difference from it says nothing about skill
(`legalrr.score.permutation`). Cells whose answers were read again form separate groups.
"""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

from legalrr.errors import UserError
from legalrr.report.judgment_texts import describe_edits, split_by_texts
from legalrr.report.load import (
    CHAIN,
    NO_BACKBONE,
    RunResult,
    Setup,
    gc_paused,
    judgments_key,
    read_again,
    read_results,
)
from legalrr.score.cases import AnsweredCase, check_invalid_policy, scored_ids
from legalrr.score.detectable import LEVEL, POWER
from legalrr.score.effects import ARMS
from legalrr.score.invalid_bounds import Bound, p_unfavourable, significant_under_bound, unfavourable_bound
from legalrr.score.scorer import Scores
from legalrr.score.significance import Comparison, compare, holm
from legalrr.stage import digest_of_items

log = logging.getLogger(__name__)
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
"""Key of arms with the same prompts and answers as their reference."""


@dataclass(frozen=True, kw_only=True)
class ArmResult:
    """A cell with scores."""

    cell: RunResult
    """The cell."""
    setup: Setup
    """Settings of the cell."""
    scores: Scores
    """Scores; n > 0."""
    cases: tuple[AnsweredCase, ...]
    """Cases that the scores are computed from."""

    @property
    def is_reference(self) -> bool:
        """Whether this is the reference arm."""
        return self.setup.arm == self.setup.reference

    @cached_property
    def prompts_and_answers(self) -> str | None:
        """Digest of the prompts and answers; None without a model, or if the run folder does not record prompts."""
        if self.setup.backbone == NO_BACKBONE or any(case.prompt is None for case in self.cases):
            return None
        return digest_of_items([case.id, case.prompt, case.label] for case in self.cases)


@dataclass(frozen=True, kw_only=True)
class ArmComparison:
    """Comparison of a row with the reference arm of its group."""

    row: ArmResult
    """The row."""
    reference: ArmResult | None = None
    """Reference row; None if there is none."""
    comparison: Comparison | None = None
    """Test and interval; None if the rows cannot be compared."""
    p_holm: float | None = None
    """Permutation p, adjusted over the family; None without a comparison or a test."""
    note: str = ""
    """Reason for a missing comparison; "" if there is one."""
    tested: bool = True
    """Whether the difference is tested; False for a constant baseline."""
    bound: Bound | None = None
    """Difference with the invalid answers against the better arm (`legalrr.score.invalid_bounds`); None without invalid
    answers."""
    p_holm_bound: float | None = None
    """As `p_holm`, with the permutation p under this bound."""

    @property
    def shown(self) -> bool:
        """Whether the difference is significant, also under the unfavourable bound of its invalid answers."""
        return significant_under_bound(self.p_holm, self.p_holm_bound)


@dataclass(frozen=True, kw_only=True)
class Group:
    """Comparable rows."""

    setup: Setup
    """Settings that the rows share, taken from the first of them."""
    rows: tuple[ArmResult, ...]
    """Arms, then baselines, then probes; in the order of `ARM_ORDER`."""
    pairs: tuple[ArmComparison, ...]
    """Every row but the reference, in the same order."""
    edited: str = ""
    """Judgments whose texts differ in cells that would otherwise belong to this group; "" for none."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Report:
    """Cells, groups and comparisons of run folders. Reports compare by identity, so derived values can be cached."""

    cells: tuple[RunResult, ...]
    """All cells, including failed and unfinished ones, in the order of the folders and jobs."""
    groups: tuple[Group, ...]
    """Groups in the order of their first cells."""
    invalid: str = "miss"
    """Policy for invalid answers (`legalrr.score.cases`)."""
    left_out: tuple[tuple[ArmResult, str], ...] = ()
    """Rows that this policy leaves without judgments, each with the reason."""


@dataclass(frozen=True, kw_only=True)
class Difference:
    """A tested difference, as an input of Holm's correction."""

    family: str
    """Family of the arm."""
    key: object
    """Equal for arms with the same prompts and answers (`difference_key`)."""
    p: float
    """Permutation p; equal for equal keys."""
    p_bound: float
    """Permutation p under the unfavourable bound of the invalid answers."""


@gc_paused()
def read_report(folders: Sequence[Path], *, reading: str | None = None, invalid: str = "miss") -> Report:
    """Read the cells of run folders, group them and compare them.

    Args:
        folders: Folders of sweeps and single runs.
        reading: Second verdict reader (`legalrr.verdict`), in addition to the one of the runs.
        invalid: Policy for invalid answers (`legalrr.score.cases`).

    Raises:
        UserError: As `read_results`, or the reading or policy is unknown.
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
    for members, edited in _split_by_texts(list(gathered.values())):
        ordered = sorted(members, key=sort_key)
        if invalid != "miss":
            ordered, gone = _apply_invalid_policy(ordered, invalid)
            left_out += gone
        if ordered:
            groups.append(_group(members[0].setup, ordered, invalid, edited))
    return Report(cells=tuple(cells), groups=tuple(groups), invalid=invalid, left_out=tuple(left_out))


def finding(group: Group) -> str:
    """Summarise the comparisons of the arms of a group in one line; "" without comparisons."""
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
    """Return the tested differences of arms from the reference, one for arms with the same prompts and answers.

    They are the family of Holm's correction.
    """
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


def _split_by_texts(gathered: Sequence[list[ArmResult]]) -> list[tuple[list[ArmResult], str]]:
    """Divide each group of rows by the texts of their judgments; with a line about texts that differ, or ""."""
    found = []
    for members in gathered:
        parts, edited = split_by_texts([row.cell for row in members])
        line = describe_edits(edited)
        if line:
            log.warning("%s: %s", members[0].setup.corpus_name, line)
        found += [([members[number] for number in part], line) for part in parts]
    return found


def _group(setup: Setup, rows: Sequence[ArmResult], invalid: str, edited: str = "") -> Group:
    pairs = [_pair(row, rows, invalid, edited) for row in rows if not row.is_reference]
    tested = {
        i: Difference(
            family=pair.row.setup.family,
            key=_pair_key(pair),
            p=pair.comparison.p_permutation,
            p_bound=p_unfavourable(pair.comparison, pair.bound),
        )
        for i, pair in enumerate(pairs)
        if pair.comparison is not None and pair.tested
    }
    for i, (p, p_bound) in holm_by_family(tested).items():
        pairs[i] = replace(pairs[i], p_holm=p, p_holm_bound=p_bound)
    return Group(setup=setup, rows=tuple(rows), pairs=tuple(pairs), edited=edited)


def holm_by_family(differences: Mapping[int, Difference]) -> dict[int, tuple[float, float]]:
    """Return the Holm-adjusted p and bound of each difference, adjusted within its family.

    Args:
        differences: Tested differences by any number; within a family each key counts once and `SAME` does not count.
    """
    families: dict[str, dict[int, Difference]] = {}
    for number, one in differences.items():
        families.setdefault(one.family, {})[number] = one
    adjusted: dict[int, tuple[float, float]] = {}
    for members in families.values():
        keys = [one.key for one in members.values()]
        p = _holm_distinct(keys, [one.p for one in members.values()])
        p_bound = _holm_distinct(keys, [one.p_bound for one in members.values()])
        adjusted |= dict(zip(members, zip(p, p_bound, strict=True), strict=True))
    return adjusted


def _holm_distinct(keys: Sequence[object], values: Sequence[float]) -> list[float]:
    """Return the Holm-adjusted p of differences, counting equal keys once and `SAME` not at all."""
    first: dict[object, float] = {}
    for key, p in zip(keys, values, strict=True):
        first.setdefault(key, p)
    first.pop(SAME, None)
    adjusted = dict(zip(first, holm(list(first.values())), strict=True))
    return [adjusted.get(key, 1.0) for key in keys]


def difference_key(rows: Sequence[ArmResult], reference: Sequence[ArmResult]) -> object:
    """Return a key of the prompts and answers of a difference; unique if the run folders do not record prompts.

    Args:
        rows: Rows of an arm, one per run.
        reference: Rows of its reference arm.
    """
    own, others = (tuple(row.prompts_and_answers for row in one) for one in (rows, reference))
    if None in own:
        return id(rows[0])
    return SAME if own == others else (own, others)


def is_constant(rows: Sequence[ArmResult]) -> bool:
    """Return whether the rows are of a constant baseline, whose difference is not tested."""
    return rows[0].setup.family == "baseline" and len({case.label for row in rows for case in row.cases}) == 1


def _pair_key(pair: ArmComparison) -> object:
    assert pair.reference is not None
    return difference_key([pair.row], [pair.reference])


def _apply_invalid_policy(
    rows: Sequence[ArmResult], invalid: str
) -> tuple[list[ArmResult], list[tuple[ArmResult, str]]]:
    """Restrict rows to the judgments that a policy for invalid answers keeps; rows without any come with the reason."""
    found = scored_ids(
        {n: [case.id for case in row.cases if case.label != "invalid"] for n, row in enumerate(rows)},
        policy=invalid,
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
    """Return the index of the arm that differs only in C; None without one, or with several."""
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
    """Return the sort key of a row in tables."""
    family, arm = row.setup.family, row.setup.arm
    return (
        FAMILIES.index(family) if family in FAMILIES else len(FAMILIES),
        ARM_ORDER.index(arm) if arm in ARM_ORDER else len(ARM_ORDER),
        arm,
        row.cell.sweep,
        -1 if row.cell.job is None else row.cell.job,
    )


def _pair(row: ArmResult, rows: Sequence[ArmResult], invalid: str, edited: str) -> ArmComparison:
    """Compare a row with the reference of its sweep, or of another sweep if it has none.

    If the policy excludes invalid answers, rows are compared on the judgments that both have.
    """
    named = [other for other in rows if other.setup.arm == row.setup.reference]
    near = [other for other in named if other.cell.sweep == row.cell.sweep] or named
    if not near:
        note = f"no finished cell of the reference arm {row.setup.reference!r}"
        return ArmComparison(row=row, note=f"{note} with these texts: {edited}" if edited else note)
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
