"""Compare two verdict readers on the same answers, and combine repeated runs.

A comparison of readers separates the model's share of a score from the reader's. Repeated runs are cells that differ
only in the seed or the number of the run; a table has one row for them.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from legalrr.errors import UserError
from legalrr.report.compare import (
    ArmResult,
    Difference,
    Group,
    Report,
    difference_key,
    holm_by_family,
    is_constant,
    sort_key,
)
from legalrr.report.judgment_texts import split_by_texts
from legalrr.report.load import NO_BACKBONE, VERSION
from legalrr.score.invalid_bounds import Bound, p_unfavourable, significant_under_bound, unfavourable_bound
from legalrr.score.paired_means import Repeated, RepeatedComparison, compare_repeated, score_repeated
from legalrr.score.significance import Comparison, compare


@dataclass(frozen=True, kw_only=True)
class ReaderComparison:
    """A cell under two verdict readers."""

    row: ArmResult
    """With the reader of the run."""
    again: ArmResult
    """With the second reader."""
    changed: int
    """Judgments whose verdict the second reader changes, of those that both rows have."""
    opposite: int
    """Of these, verdicts that become the opposite."""
    found: int
    """Of these, verdicts that were invalid."""
    lost: int
    """Of these, verdicts that become invalid."""
    comparison: Comparison
    """Second reader less first, on the judgments that both rows have."""


@lru_cache(maxsize=1)
def compare_readers(report: Report) -> list[tuple[Group, tuple[ReaderComparison, ...]]]:
    """Return each group that was read again, with its rows under both readers, baselines included."""
    first = {_key(row): (group, row) for group in report.groups for row in group.rows if not row.cell.reread}
    found = []
    for group in report.groups:
        again = [row for row in group.rows if row.cell.reread]
        known = [(first[_key(row)], row) for row in again if _key(row) in first]
        if known:
            twice = tuple(_compare_readings(own, row) for (_, own), row in known)
            found.append((known[0][0][0], tuple(one for one in twice if one is not None)))
    return found


def reader_names(rows: Sequence[ReaderComparison]) -> tuple[str, str]:
    """Return the names of the two readings, with reader versions if only these differ."""
    first, again = str(rows[0].row.setup.reading), str(rows[0].again.setup.reading)
    if first != again:
        return first, again
    versions = [row.setup.options.get(VERSION, "unknown") for row in (rows[0].row, rows[0].again)]
    return f"{first} (version {versions[0]})", f"{again} (version {versions[1]})"


def change_summary(rows: Sequence[ReaderComparison]) -> str:
    """Return a sentence with the number of verdicts that the second reader changes, by kind of change."""
    total = sum(row.comparison.n for row in rows)
    changes = {
        "to the opposite": sum(row.opposite for row in rows),
        "from invalid": sum(row.found for row in rows),
        "to invalid": sum(row.lost for row in rows),
    }
    kinds = ", ".join(f"{count} {what}" for what, count in changes.items())
    return f"{sum(row.changed for row in rows)} of {total} verdicts change: {kinds}"


def cells_without_text(report: Report) -> Sequence[ArmResult]:
    """Return the rows without text to read again, as their cells compared the probabilities of answers."""
    again = {_key(row) for group in report.groups for row in group.rows if row.cell.reread}
    if not again:
        return []
    return [
        row
        for group in report.groups
        for row in group.rows
        if _key(row) not in again and row.setup.scoring not in (None, "generate")
    ]


def _key(row: ArmResult) -> tuple[object, ...]:
    return row.cell.sweep, row.cell.job, row.setup.arm


def _compare_readings(row: ArmResult, again: ArmResult) -> ReaderComparison | None:
    labels = [{case.id: case.label for case in one.cases} for one in (row, again)]
    both = labels[0].keys() & labels[1].keys()
    if not both:
        return None
    pairs = [(labels[0][key], labels[1][key]) for key in both if labels[0][key] != labels[1][key]]
    found, lost = (sum(pair[side] == "invalid" for pair in pairs) for side in (0, 1))
    cases = [[case for case in one.cases if case.id in both] for one in (again, row)]
    return ReaderComparison(
        row=row,
        again=again,
        changed=len(pairs),
        opposite=len(pairs) - found - lost,
        found=found,
        lost=lost,
        comparison=compare(*cases, scorer=row.cell.scorer),
    )


RUN_OPTIONS = ("backbone.seed", "backbone.repetition")
"""Options that distinguish the runs of one experiment."""


@dataclass(frozen=True, kw_only=True)
class RepeatedRow:
    """The runs of one arm."""

    rows: tuple[ArmResult, ...]
    """Row of each run, in the order of the runs."""
    scores: Repeated | None
    """Scores over the runs; None if the runs have different judgments."""
    comparison: RepeatedComparison | None = None
    """Comparison with the reference; None for the reference and for rows that cannot be compared."""
    p_holm: float | None = None
    """Permutation p, adjusted over the family; None without a comparison or a test."""
    tested: bool = True
    """Whether the difference is tested; False for a constant baseline."""
    bound: Bound | None = None
    """Difference with the invalid answers against the better arm; None without invalid answers."""
    p_holm_bound: float | None = None
    """As `p_holm`, with the permutation p under this bound."""
    note: str = ""
    """Reason for missing scores or a missing comparison; "" if there are both, and for the reference."""

    @property
    def first(self) -> ArmResult:
        """First run, for the settings that all share."""
        return self.rows[0]

    @property
    def shown(self) -> bool:
        """Whether the difference is significant, also under the unfavourable bound of its invalid answers."""
        return significant_under_bound(self.p_holm, self.p_holm_bound)

    @property
    def invalid_rate(self) -> float:
        """Share of invalid answers over all runs."""
        return sum(case.label == "invalid" for row in self.rows for case in row.cases) / sum(
            len(row.cases) for row in self.rows
        )


@dataclass(frozen=True, kw_only=True)
class Repeats:
    """Groups that are runs of one experiment."""

    groups: tuple[Group, ...]
    """Group of each run, in the order of the runs."""
    rows: tuple[RepeatedRow, ...]
    """Row of each arm, baseline and probe, in the order of `legalrr.report.compare.ARM_ORDER`."""


@lru_cache(maxsize=1)
def repeats(report: Report) -> list[Repeats]:
    """Return the experiments of a report that ran more than once."""
    return [_repeats_of(groups) for groups in experiments(report)]


def experiments(report: Report) -> list[list[Group]]:
    """Return the groups of each experiment that ran more than once on the same texts, in the order of the runs."""
    gathered: dict[object, list[Group]] = {}
    for group in report.groups:
        gathered.setdefault(_experiment(group), []).append(group)
    found = []
    for groups in gathered.values():
        parts, _ = split_by_texts([group.rows[0].cell for group in groups])
        found += [sorted((groups[number] for number in part), key=_run) for part in parts if len(part) > 1]
    return found


def run_number(group: Group, report: Report) -> int | None:
    """Return the number of a group among the runs of its experiment, from 1; None if that ran once."""
    runs = (groups for groups in experiments(report) if any(one is group for one in groups))
    return next((1 + next(at for at, one in enumerate(groups) if one is group) for groups in runs), None)


def _experiment(group: Group) -> tuple[object, ...]:
    """Return the settings that the groups of one experiment share, without `RUN_OPTIONS`."""
    setup = group.setup
    shared = (setup.corpus, setup.split, setup.segment, setup.backbone, setup.layout, setup.reading, setup.overflow)
    options = tuple(sorted((key, value) for key, value in setup.options.items() if key not in RUN_OPTIONS))
    return (*shared, setup.limit, setup.seed, group.rows[0].cell.reread, options)


def _run(group: Group) -> tuple[float, ...]:
    """Return the sort key of a run."""
    return tuple(float(group.setup.options.get(option, "0").replace("null", "0")) for option in RUN_OPTIONS)


def _repeats_of(groups: Sequence[Group]) -> Repeats:
    runs: dict[object, list[ArmResult]] = {}
    for group in groups:
        for row in group.rows:
            # A baseline is in the group of every run, but is a single cell.
            own = runs.setdefault((row.setup.family, row.setup.arm, row.setup.scoring), [])
            if all(row.cell is not other.cell for other in own):
                own.append(row)
    rows = [_repeated_row(own) for own in sorted(runs.values(), key=lambda own: sort_key(own[0]))]
    references = {row.first.setup.arm: row for row in rows}
    rows = [_compare_with_reference(row, references) for row in rows]
    tested = {
        i: Difference(
            family=row.first.setup.family,
            key=difference_key(row.rows, references[row.first.setup.reference].rows),
            p=row.comparison.p_permutation,
            p_bound=p_unfavourable(row.comparison, row.bound),
        )
        for i, row in enumerate(rows)
        if row.comparison is not None and row.tested
    }
    for i, (p, p_bound) in holm_by_family(tested).items():
        rows[i] = replace(rows[i], p_holm=p, p_holm_bound=p_bound)
    return Repeats(groups=tuple(groups), rows=tuple(rows))


def _repeated_row(runs: Sequence[ArmResult]) -> RepeatedRow:
    try:
        scores = score_repeated([row.cases for row in runs], scorer=runs[0].cell.scorer)
    except UserError as error:
        return RepeatedRow(rows=tuple(runs), scores=None, note=error.what)
    return RepeatedRow(rows=tuple(runs), scores=scores)


def _compare_with_reference(row: RepeatedRow, references: Mapping[str, RepeatedRow]) -> RepeatedRow:
    name = row.first.setup.reference
    if row.scores is None or row.first.is_reference:
        return row
    reference = references.get(name)
    if reference is None or reference.scores is None:
        return replace(row, note=f"no finished runs of the reference arm {name!r}")
    # A deterministic baseline ran once; its answers would be the same in every run.
    own = row.rows * len(reference.rows) if row.first.setup.backbone == NO_BACKBONE else row.rows
    runs, others, scorer = [one.cases for one in own], [one.cases for one in reference.rows], row.first.cell.scorer
    try:
        comparison = compare_repeated(runs, others, scorer=scorer)
        bound = unfavourable_bound(runs, others, difference=comparison.difference, scorer=scorer)
    except UserError as error:
        return replace(row, note=error.what)
    return replace(row, comparison=comparison, bound=bound, tested=not is_constant(row.rows))
