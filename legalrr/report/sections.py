"""Compose the sections below the tables of groups: repeated runs, a second reading, explanation scores.

Explanation scores compare what an arm wrote before its answer with the court's own text of the same role. They are
read from the run folders (`legalrr.score.explanation`). Each turn (analysis, ratio, ...) has a table of the arms that
write it. A column holds, and a test compares, only scores of one measure, and so of one encoder.
"""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from statistics import fmean

from legalrr.report.compare import ArmResult, Group, Report
from legalrr.report.table_view import arm_label, group_title, treatment
from legalrr.report.verdict_readers import (
    ReaderComparison,
    RepeatedRow,
    Repeats,
    cells_without_text,
    change_summary,
    compare_readers,
    experiments,
    reader_names,
    repeats,
)
from legalrr.score.explanation import ExplanationScores, Measure, explanation_scores, has_scores
from legalrr.score.paired_means import Mean, MeanDifference, compare_means, mean_of
from legalrr.score.significance import holm
from legalrr.tables import Table, bounds, fixed, p_value, share


@dataclass(frozen=True, kw_only=True)
class ExplainedPair:
    """Comparison of an arm with the reference arm of its group by one measure."""

    difference: MeanDifference
    """Difference on the judgments that both explain."""
    p_holm: float
    """Permutation p, adjusted over the arms for this turn and measure."""


@dataclass(frozen=True, kw_only=True)
class ExplainedRow:
    """Explanation scores of one arm."""

    row: ArmResult
    """The arm."""
    n: int
    """Judgments whose turn is compared with the court's text."""
    no_turn: int
    """Judgments with the court's text but without the turn, which was not requested after an overflow."""
    no_text: int
    """Judgments without the court's text of that role."""
    unscored: int
    """Judgments to compare that lack a score of some measure of the table."""
    cut_off: int
    """Compared turns that were cut off."""
    words: float | None
    """Mean number of words generated; None without judgments."""
    court_words: float | None
    """Mean number of words of the court's text; None without judgments."""
    sources: Mapping[str, int]
    """Source of the court's text -> number of judgments."""
    means: Mapping[Measure, Mean]
    """Mean of each measure over judgments."""
    pairs: Mapping[Measure, ExplainedPair] = field(default_factory=dict)
    """Comparisons with the reference arm; empty for that arm, and if it does not write the turn."""


@dataclass(frozen=True, kw_only=True)
class ExplainedTurn:
    """Explanation scores of one turn, for the arms that write it."""

    turn: str
    """analysis, statutes, ratio or ruling."""
    measures: tuple[Measure, ...]
    """Measures, in the order of the columns."""
    rows: tuple[ExplainedRow, ...]
    """The arms, in the order of the group."""

    @property
    def headings(self) -> dict[Measure, str]:
        """Measure -> name in tables; measures of the same name (two encoders) are numbered."""
        seen: dict[str, list[Measure]] = {}
        for measure in self.measures:
            seen.setdefault(measure.heading, []).append(measure)
        return {
            measure: heading if len(some) == 1 else f"{heading} ({number})"
            for heading, some in seen.items()
            for number, measure in enumerate(some, start=1)
        }


@lru_cache(maxsize=1)
def explanations(report: Report) -> list[tuple[Group, tuple[ExplainedTurn, ...]]]:
    """Return the groups of a report with explanation scores, and these; raises UserError as `explained_turns`.

    Groups of a second reading are skipped: it does not change what was written before the answers.
    """
    first = [group for group in report.groups if not group.rows[0].cell.reread]
    return [(group, turns) for group in first if (turns := explained_turns(group))]


def explained_turns(group: Group) -> tuple[ExplainedTurn, ...]:
    """Read the explanation scores of a group from its run folders, by turn; empty if none were computed.

    Raises:
        UserError: A file of a run folder is damaged.
    """
    # Without scores there is no table, and no need to read all texts.
    if not any(row.cell.folder is not None and has_scores(row.cell.folder) for row in group.rows):
        return ()
    found = [
        (row, scores)
        for row in group.rows
        if row.cell.folder is not None and (scores := explanation_scores(row.cell.folder)) is not None
    ]
    turns = dict.fromkeys(turn for _, scores in found for turn in scores.turns)
    tables = (_turn(turn, found) for turn in turns)
    return tuple(table for table in tables if table.measures)


def _turn(turn: str, found: Sequence[tuple[ArmResult, ExplanationScores]]) -> ExplainedTurn:
    some = [(row, scores) for row, scores in found if turn in scores.turns]
    measures = sorted(
        {measure for _, scores in some for own, measure in scores.values if own == turn}, key=_measure_order
    )
    rows = [_row(turn, row, scores, measures) for row, scores in some]
    references = {row.setup.arm: scores for row, scores in some if row.is_reference}
    for measure in measures:
        against = [
            (i, difference)
            for i, (row, scores) in enumerate(some)
            if not row.is_reference
            and (reference := references.get(row.setup.reference)) is not None
            and (
                difference := compare_means(
                    scores.values.get((turn, measure), {}),
                    reference.values.get((turn, measure), {}),
                    scorer=row.cell.scorer,
                )
            )
            is not None
        ]
        adjusted = holm([difference.p_permutation for _, difference in against])
        for (i, difference), p in zip(against, adjusted, strict=True):
            pair = ExplainedPair(difference=difference, p_holm=p)
            rows[i] = replace(rows[i], pairs={**rows[i].pairs, measure: pair})
    return ExplainedTurn(turn=turn, measures=tuple(measures), rows=tuple(rows))


def _row(turn: str, row: ArmResult, scores: ExplanationScores, measures: Sequence[Measure]) -> ExplainedRow:
    compared = [one for one in scores.found if one.turn == turn]
    words = scores.words[turn].values()
    values = {measure: scores.values.get((turn, measure), {}) for measure in measures}
    means = {measure: mean_of(own, scorer=row.cell.scorer) for measure, own in values.items()}
    return ExplainedRow(
        row=row,
        n=len(compared),
        no_turn=scores.no_turn[turn],
        no_text=scores.no_text[turn],
        unscored=sum(any(one.id not in own for own in values.values()) for one in compared),
        cut_off=sum(one.cut_off for one in compared),
        words=fmean(own for own, _ in words) if words else None,
        court_words=fmean(court for _, court in words) if words else None,
        sources=dict(Counter(one.source for one in compared)),
        means={measure: mean for measure, mean in means.items() if mean is not None},
    )


def _measure_order(measure: Measure) -> tuple[int, str, str]:
    families = ("rouge", "meteor", "bertscore")
    place = next((n for n, family in enumerate(families) if measure.column.startswith(family)), len(families))
    return place, measure.store, measure.column


REPEAT_RULES = """\
Mean macro-F1 over the runs. SD: between the runs, the variation of a single run. Interval: over judgments, with all
runs of a judgment resampled together; more runs do not narrow it."""
REPEAT_PAIR_RULES = """\
Mean over the runs less that of the reference arm. p Holm: all answers of two arms to a judgment are swapped at once;
adjusted over the distinct differences of arms from the reference arm. An interval that would leave out 0 beside p
permutation > 0.05 is extended to 0. Constant baselines are not tested."""
READING_RULES = """\
The same answers under two readings. Changed: judgments whose verdict the second reading changes. Opposite: of these,
allowed and dismissed exchanged. Difference: the second reading less the first, on the same judgments."""
EXPLANATION_RULES = """\
What the model wrote in a turn against the court's own text of the same role. Words: means over judgments; overlap
scores depend on both lengths. No turn, no text: judgments that could not be compared. p Holm: signs of the judgments'
differences to the reference arm flipped at random; adjusted over the arms, for each score separately. An interval that
would leave out 0 beside p permutation > 0.05 is extended to 0."""


@dataclass(frozen=True, kw_only=True)
class Section:
    """A part of a report with a heading."""

    title: str
    """Heading."""
    lines: tuple[str, ...]
    """Settings and remarks."""
    tables: tuple[tuple[str, str, Table], ...]
    """Tables, each with its heading ("" for none) and explanation."""


def sections(report: Report) -> list[Section]:
    """Return the sections of a report; empty without repeated runs, a second reading and explanation scores.

    Raises:
        UserError: A file of a run folder is damaged.
    """
    again = [_repeats_section(one, report) for one in repeats(report)]
    return [*again, *_reading_sections(report), *_explanation_sections(report)]


def shown_groups(report: Report) -> list[Group]:
    """Return the groups with separate tables; repeated runs share a table."""
    repeated = [group for groups in experiments(report) for group in groups]
    return [group for group in report.groups if not any(group is other for other in repeated)]


def _repeats_section(found: Repeats, report: Report) -> Section:
    first = found.groups[0]
    one = replace(first, setup=replace(first.setup, repetition=1))
    compared = [row for row in found.rows if not row.first.is_reference]
    tables = [("", REPEAT_RULES, _repeats_view(found.rows))]
    if compared:
        tables.append(("Differences", REPEAT_PAIR_RULES, _repeat_pairs_view(compared)))
    return Section(
        title=f"{group_title(one)}, {len(found.groups)} runs", lines=tuple(treatment(one, report)), tables=tuple(tables)
    )


def _repeats_view(rows: Sequence[RepeatedRow]) -> Table:
    level = f"{rows[0].first.cell.scorer.confidence:.0%}"
    return Table(
        header=("Arm", "Runs", "n", f"Mean macro-F1 [{level}]", "SD between runs", "Least", "Greatest", "Invalid %"),
        rows=tuple(
            (arm_label(row.first), str(len(row.rows)), row.note, "", "", "", "", share(row.invalid_rate))
            if row.scores is None
            else (
                arm_label(row.first),
                str(len(row.rows)),
                str(row.scores.n),
                f"{fixed(row.scores.mean)} {bounds(row.scores.interval)}",
                fixed(row.scores.sd),
                fixed(min(row.scores.runs)),
                fixed(max(row.scores.runs)),
                share(row.invalid_rate),
            )
            for row in rows
        ),
    )


def _repeat_pairs_view(rows: Sequence[RepeatedRow]) -> Table:
    level = f"{rows[0].first.cell.scorer.confidence:.0%}"
    bounded = any(row.bound is not None for row in rows)
    more = ("p Holm, bound",) if bounded else ()
    return Table(
        header=("Arm", f"Difference [{level}]", "p permutation", "p Holm", *more, "Smallest detectable"),
        rows=tuple(
            (row.first.setup.label, row.note, "", "", *([""] if bounded else []), "")
            if (found := row.comparison) is None
            else (
                row.first.setup.label,
                f"{found.difference:+z.3f} {bounds(found.interval)}",
                p_value(found.p_permutation if row.tested else None),
                p_value(row.p_holm),
                *([p_value(row.p_holm_bound)] if bounded else []),
                (fixed(found.smallest_detectable) or "-") if row.tested else "",
            )
            for row in rows
        ),
    )


def _reading_sections(report: Report) -> Iterator[Section]:
    left = ", ".join(dict.fromkeys(row.setup.label for row in cells_without_text(report)))
    for group, rows in compare_readers(report):
        if not rows:
            continue
        lines = [*treatment(group, report), change_summary(rows)]
        if left:
            lines.append(f"not read again, as probabilities were compared: {left}")
        two = reader_names(rows)
        yield Section(
            title=f"{group_title(group)}: the readings {two[0]} and {two[1]}",
            lines=tuple(lines),
            tables=(("", READING_RULES, _readings_view(rows)),),
        )


def _readings_view(rows: Sequence[ReaderComparison]) -> Table:
    one, other = reader_names(rows)
    level = f"{rows[0].row.cell.scorer.confidence:.0%}"
    return Table(
        header=(
            "Arm",
            "n",
            f"Macro-F1 {one} [{level}]",
            f"Macro-F1 {other} [{level}]",
            f"Difference [{level}]",
            "p permutation",
            "Changed",
            "Opposite",
            f"Invalid % {one}",
            f"Yes % {one}",
            f"Yes % {other}",
        ),
        rows=tuple(
            (
                arm_label(twice.row),
                str(twice.comparison.n),
                *(f"{fixed(s.macro_f1)} {bounds(s.interval)}" for s in (twice.row.scores, twice.again.scores)),
                f"{twice.comparison.difference:+z.3f} {bounds(twice.comparison.interval)}",
                p_value(twice.comparison.p_permutation),
                f"{twice.changed} of {twice.comparison.n}",
                str(twice.opposite),
                share(twice.row.scores.invalid_rate),
                share(twice.row.scores.yes_rate),
                share(twice.again.scores.yes_rate),
            )
            for twice in rows
        ),
    )


def _explanation_sections(report: Report) -> Iterator[Section]:
    for group, turns in explanations(report):
        tables: list[tuple[str, str, Table]] = []
        for turn in turns:
            rules = EXPLANATION_RULES if not tables else ""
            tables.append((f"Turn: {turn.turn}", rules, _explanation_view(turn)))
            pairs = _explanation_pairs_view(turn)
            if pairs.rows:
                tables.append((f"Turn: {turn.turn}, differences to the reference arm", "", pairs))
        measures = dict.fromkeys((measure.heading, measure.detail) for turn in turns for measure in turn.measures)
        yield Section(
            title=f"{group_title(group)}: explanations",
            lines=(*(f"{heading}: {detail}" for heading, detail in measures), _sources(turns)),
            tables=tuple(tables),
        )


def _sources(turns: Sequence[ExplainedTurn]) -> str:
    names = sorted({source for turn in turns for row in turn.rows for source in row.sources})
    return f"the court's text: {' or '.join(names)} roles" if names else "the court's text: none found"


def _explanation_view(turn: ExplainedTurn) -> Table:
    headings = turn.headings
    level = f"{turn.rows[0].row.cell.scorer.confidence:.0%}"

    def cells(row: ExplainedRow) -> tuple[str, ...]:
        means = (row.means.get(measure) for measure in turn.measures)
        return (
            arm_label(row.row),
            str(row.n),
            *(str(count) for count in (row.no_turn, row.no_text, row.unscored, row.cut_off)),
            *(fixed(words, 0) for words in (row.words, row.court_words)),
            *("" if mean is None else f"{fixed(mean.mean)} {bounds(mean.interval)}" for mean in means),
        )

    counts = ("n", "No turn", "No text", "Not scored", "Cut off", "Words", "Words of the court")
    return Table(
        header=("Arm", *counts, *(f"{headings[measure]} [{level}]" for measure in turn.measures)),
        rows=tuple(cells(row) for row in turn.rows),
    )


def _explanation_pairs_view(turn: ExplainedTurn) -> Table:
    headings = turn.headings
    return Table(
        header=("Arm", "Score", "n", "Difference", "p permutation", "p Holm", "Smallest detectable"),
        rows=tuple(
            (
                row.row.setup.label,
                headings[measure],
                str(pair.difference.n),
                f"{pair.difference.difference:+z.3f} {bounds(pair.difference.interval)}",
                p_value(pair.difference.p_permutation),
                p_value(pair.p_holm),
                fixed(pair.difference.smallest_detectable) or "-",
            )
            for row in turn.rows
            for measure, pair in row.pairs.items()
        ),
    )
