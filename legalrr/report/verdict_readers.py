"""Compare verdict readers on the same answers, and gather repeated runs.

Two readings of the same answers side by side: how much of a score is the model's, and how much the reader's.

Repeated runs: cells that differ in nothing but the seed or number of the run, as one row of a table.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

from legalrr.errors import UserError
from legalrr.report.compare import ArmResult, Group, Report, difference_key, holm_distinct, is_constant, sort_key
from legalrr.report.load import NO_BACKBONE, VERSION
from legalrr.score.invalid_bounds import Bound, p_unfavourable, stands, unfavourable_bound
from legalrr.score.paired_means import Repeated, RepeatedComparison, compare_repeated, repeated
from legalrr.score.significance import Comparison, compare


@dataclass(frozen=True, kw_only=True)
class ReaderComparison:
    """A cell under two readings."""

    row: ArmResult
    """As it ran."""
    again: ArmResult
    """Read anew."""
    changed: int
    """Judgments whose verdict the other reading changes, of those that both rows have."""
    opposite: int
    """Of these, those that it turns into the opposite."""
    found: int
    """Of these, those that were invalid as the cell ran."""
    lost: int
    """Of these, those that are invalid read anew."""
    comparison: Comparison
    """Read anew less as it ran, on the judgments that both rows have."""


@lru_cache(maxsize=1)
def compare_readers(report: Report) -> list[tuple[Group, tuple[ReaderComparison, ...]]]:
    """Per group that was read anew: the group as it ran, and its rows under both readings; baselines too."""
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
    """What the two readings are called; with versions of the reader where these alone differ."""
    first, again = str(rows[0].row.setup.reading), str(rows[0].again.setup.reading)
    if first != again:
        return first, again
    versions = [row.setup.options.get(VERSION, "unknown") for row in (rows[0].row, rows[0].again)]
    return f"{first} (version {versions[0]})", f"{again} (version {versions[1]})"


def change_summary(rows: Sequence[ReaderComparison]) -> str:
    """How many answers the other reading reads anew, in a sentence."""
    total = sum(row.comparison.n for row in rows)
    told = {
        "into the opposite": sum(row.opposite for row in rows),
        "that were invalid": sum(row.found for row in rows),
        "that are invalid now": sum(row.lost for row in rows),
    }
    kinds = ", ".join(f"{count} {what}" for what, count in told.items())
    return f"{sum(row.changed for row in rows)} of {total} answers are read anew: {kinds}"


def cells_without_text(report: Report) -> Sequence[ArmResult]:
    """The rows of groups read anew that have no text to read, as they compared the probabilities of answers."""
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
"""Options that tell the runs of one experiment apart."""


@dataclass(frozen=True, kw_only=True)
class RepeatedRow:
    """The runs of one arm."""

    rows: tuple[ArmResult, ...]
    """A row per run, in the order of the runs."""
    scores: Repeated | None
    """Their scores; None where the runs are not over the same judgments."""
    comparison: RepeatedComparison | None = None
    """Against the reference; None for the reference and where there can be none."""
    p_holm: float | None = None
    """Permutation p, adjusted over the family; None without a comparison, and for what is not tested."""
    tested: bool = True
    """Whether the difference is tested; not so for a baseline that gives the same answer to everything."""
    bound: Bound | None = None
    """The difference with the invalid answers against the better arm; None where none is invalid."""
    p_holm_bound: float | None = None
    """As `p_holm`, with the permutation p under this bound."""
    note: str = ""
    """Why there are no scores or no comparison; "" where there are, and for the reference."""

    @property
    def first(self) -> ArmResult:
        """Its first run, for what all have in common."""
        return self.rows[0]

    @property
    def shown(self) -> bool:
        """Whether the difference is significant, and stays so whatever its invalid answers were."""
        return stands(self.p_holm, self.p_holm_bound)

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
    """A group per run, in the order of the runs."""
    rows: tuple[RepeatedRow, ...]
    """A row per arm, baseline and probe, in the order of `legalrr.report.compare.ARM_ORDER`."""


@lru_cache(maxsize=1)
def repeats(report: Report) -> list[Repeats]:
    """The experiments of a report that ran more than once, in its order."""
    return [_repeats_of(groups) for groups in experiments(report)]


def experiments(report: Report) -> list[list[Group]]:
    """The groups of each experiment that ran more than once, in the order of the runs."""
    gathered: dict[object, list[Group]] = {}
    for group in report.groups:
        gathered.setdefault(_experiment(group), []).append(group)
    return [sorted(groups, key=_run) for groups in gathered.values() if len(groups) > 1]


def run_number(group: Group, report: Report) -> int | None:
    """Which of the runs of its experiment a group is, from 1; None where that ran once."""
    runs = (groups for groups in experiments(report) if any(one is group for one in groups))
    return next((1 + next(at for at, one in enumerate(groups) if one is group) for groups in runs), None)


def _experiment(group: Group) -> tuple[object, ...]:
    """Everything that groups of one experiment share; what the runs differ in is taken out."""
    setup = group.setup
    told = (setup.corpus, setup.split, setup.segment, setup.backbone, setup.layout, setup.reading, setup.overflow)
    options = tuple(sorted((key, value) for key, value in setup.options.items() if key not in RUN_OPTIONS))
    return (*told, setup.limit, setup.seed, group.rows[0].cell.reread, options)


def _run(group: Group) -> tuple[float, ...]:
    """Where a run stands among others."""
    return tuple(float(group.setup.options.get(option, "0").replace("null", "0")) for option in RUN_OPTIONS)


def _repeats_of(groups: Sequence[Group]) -> Repeats:
    runs: dict[object, list[ArmResult]] = {}
    for group in groups:
        for row in group.rows:
            # A baseline stands in the group of every run, and is one cell all the same.
            own = runs.setdefault((row.setup.family, row.setup.arm, row.setup.scoring), [])
            if all(row.cell is not other.cell for other in own):
                own.append(row)
    rows = [_repeated_row(own) for own in sorted(runs.values(), key=lambda own: sort_key(own[0]))]
    references = {row.first.setup.arm: row for row in rows}
    rows = [_compare_with_reference(row, references) for row in rows]
    for family in {row.first.setup.family for row in rows}:
        tested = [
            (i, row.comparison)
            for i, row in enumerate(rows)
            if row.first.setup.family == family and row.comparison is not None and row.tested
        ]
        keys = [difference_key(rows[i].rows, references[rows[i].first.setup.reference].rows) for i, _ in tested]
        adjusted = holm_distinct(keys, [found.p_permutation for _, found in tested])
        bounds = holm_distinct(keys, [p_unfavourable(found, rows[i].bound) for i, found in tested])
        for (i, _), p, p_bound in zip(tested, adjusted, bounds, strict=True):
            rows[i] = replace(rows[i], p_holm=p, p_holm_bound=p_bound)
    return Repeats(groups=tuple(groups), rows=tuple(rows))


def _repeated_row(runs: Sequence[ArmResult]) -> RepeatedRow:
    try:
        scores = repeated([row.cases for row in runs], scorer=runs[0].cell.scorer)
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
    # A baseline that draws nothing ran once, and would say the same in every run.
    own = row.rows * len(reference.rows) if row.first.setup.backbone == NO_BACKBONE else row.rows
    runs, others, scorer = [one.cases for one in own], [one.cases for one in reference.rows], row.first.cell.scorer
    try:
        comparison = compare_repeated(runs, others, scorer=scorer)
        bound = unfavourable_bound(runs, others, difference=comparison.difference, scorer=scorer)
    except UserError as error:
        return replace(row, note=error.what)
    return replace(row, comparison=comparison, bound=bound, tested=not is_constant(row.rows))
