"""What the arms of a group wrote before their answers, scored against the court's own text of the same roles.

Scores stand in the run folders (`legalrr.score.explanation`). Of each turn (analysis, ratio, ...) a table holds the
arms that write it; only scores of one measure, so of one encoder, ever stand in one column or are compared.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from statistics import fmean

from legalrr.report.groups import Group, Report, Row
from legalrr.score.explanation import ExplanationScores, Measure, explanation_scores
from legalrr.score.means import Mean, MeanDifference, compare_means, mean_of
from legalrr.score.significance import holm


@dataclass(frozen=True, kw_only=True)
class ExplainedPair:
    """An arm against the reference arm of its group by one measure."""

    difference: MeanDifference
    """On the judgments that both explain."""
    p_holm: float
    """Its permutation p, adjusted over the arms, for this turn and measure."""


@dataclass(frozen=True, kw_only=True)
class ExplainedRow:
    """One arm."""

    row: Row
    """The arm."""
    n: int
    """Judgments whose turn is compared with the court's text."""
    no_turn: int
    """Judgments that have the court's text and not the turn, which was not asked for after an overflow."""
    no_text: int
    """Judgments without the court's text of that role."""
    unscored: int
    """Judgments to compare that a measure of the table has no score of yet."""
    cut_off: int
    """Turns that were cut off, of those compared."""
    words: float | None
    """Mean words generated; None without judgments."""
    court_words: float | None
    """Mean words of the court's text; None without judgments."""
    sources: Mapping[str, int]
    """Where the court's text comes from -> judgments."""
    means: Mapping[Measure, Mean]
    """Mean of each measure over judgments."""
    pairs: Mapping[Measure, ExplainedPair] = field(default_factory=dict)
    """Comparisons with the reference arm; none for that arm itself, and where it writes no such turn."""


@dataclass(frozen=True, kw_only=True)
class ExplainedTurn:
    """One turn, over the arms that write it."""

    turn: str
    """analysis, statutes, ratio or ruling."""
    measures: tuple[Measure, ...]
    """What was measured, in the order of the columns."""
    rows: tuple[ExplainedRow, ...]
    """The arms, in the order of the group."""

    @property
    def headings(self) -> dict[Measure, str]:
        """Measure -> its name in tables; measures of one name (two encoders) are numbered in their order."""
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
    """The groups of a report that have explanation scores, with these; raises UserError as `explained` does.

    Another reading of the answers changes nothing of what was written before them, so it is passed over.
    """
    first = [group for group in report.groups if not group.rows[0].cell.reread]
    return [(group, turns) for group in first if (turns := explained(group))]


def explained(group: Group) -> tuple[ExplainedTurn, ...]:
    """Explanation scores of a group, a table per turn, from the run folders alone; empty where none were computed.

    Raises:
        UserError: a damaged file of a run folder.
    """
    found = [
        (row, scores)
        for row in group.rows
        if row.cell.folder is not None and (scores := explanation_scores(row.cell.folder)) is not None
    ]
    turns = dict.fromkeys(turn for _, scores in found for turn in scores.explanations.turns)
    tables = (_turn(turn, found) for turn in turns)
    return tuple(table for table in tables if table.measures)


def _turn(turn: str, found: Sequence[tuple[Row, ExplanationScores]]) -> ExplainedTurn:
    some = [(row, scores) for row, scores in found if turn in scores.explanations.turns]
    measures = sorted(
        {measure for _, scores in some for own, measure in scores.values if own == turn}, key=_place_of_measure
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


def _row(turn: str, row: Row, scores: ExplanationScores, measures: Sequence[Measure]) -> ExplainedRow:
    compared = [one for one in scores.explanations.found if one.turn == turn]
    words = scores.words[turn].values()
    values = {measure: scores.values.get((turn, measure), {}) for measure in measures}
    means = {measure: mean_of(own, scorer=row.cell.scorer) for measure, own in values.items()}
    return ExplainedRow(
        row=row,
        n=len(compared),
        no_turn=len(scores.explanations.no_turn[turn]),
        no_text=len(scores.explanations.no_text[turn]),
        unscored=sum(any(one.id not in own for own in values.values()) for one in compared),
        cut_off=sum(one.cut_off for one in compared),
        words=fmean(own for own, _ in words) if words else None,
        court_words=fmean(court for _, court in words) if words else None,
        sources=dict(Counter(one.source for one in compared)),
        means={measure: mean for measure, mean in means.items() if mean is not None},
    )


def _place_of_measure(measure: Measure) -> tuple[int, str, str]:
    families = ("rouge", "meteor", "bertscore")
    place = next((n for n, family in enumerate(families) if measure.column.startswith(family)), len(families))
    return place, measure.store, measure.column
