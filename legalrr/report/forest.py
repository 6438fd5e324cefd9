"""Figures of a report as panels of dots with intervals: macro-F1, differences, effects, explanation scores.

The two vertical lines beside macro-F1 follow from the class balance alone, as ratios of expected counts, with
a = gold allowed / n:

    majority   always the larger class:    F1 = 2 m / (1 + m) for it, 0 for the other; m = max(a, 1 - a)
    coin       YES with probability 1/2:   F1(class) = s / (s + 1/2) for a class of share s
"""

from legalrr.report.dot_plot import COLOURS, Dot, Panel, dot_plot
from legalrr.report.explanations import ExplainedTurn
from legalrr.report.factorials import Pool, full_title
from legalrr.report.groups import Group, Report, Row
from legalrr.report.views import apart, name, title
from legalrr.score.detectable import LEVEL
from legalrr.score.effects import MEASURES

MEASURE_NAMES = {"macro_f1": "macro-F1", "accuracy": "accuracy", "yes_rate": "YES rate"}
ZERO = ((0.0, "-"),)


def forest_svg(report: Report) -> str:
    """Return the forest plot of macro-F1 as an SVG document; the same report gives the same bytes.

    Args:
        report: with at least one group.
    """
    return dot_plot(macro_f1_panels(report))


def macro_f1_panels(report: Report) -> list[Panel]:
    """Return a panel per group: macro-F1 of its rows, with the scores of a coin and of the larger class as lines."""
    return [_macro_f1(group, _heading(group, report)) for group in report.groups]


def difference_panels(report: Report) -> list[Panel]:
    """Return a panel per group with comparisons: macro-F1 less that of the reference; filled where significant."""
    panels = []
    for group in report.groups:
        dots = tuple(
            Dot(
                label=pair.row.setup.label,
                value=pair.comparison.difference,
                interval=pair.comparison.interval,
                kind=_kind(pair.row),
                hollow=not pair.shown,
            )
            for pair in group.pairs
            if pair.comparison is not None
        )
        if dots:
            axis = f"Difference of macro-F1 to the reference arm, {_level(group)} interval"
            panels.append(Panel(dots=dots, axis=axis, title=full_title(group, report), rules=ZERO))
    return panels


def effect_panels(pool: Pool) -> list[Panel]:
    """Return a panel per measure, in the order of `MEASURES`: the effects of a pool; filled where significant.

    Effects without an estimate are left out; without any there is no panel.
    """
    estimated = [one for one in pool.effects if one.estimate is not None]
    return [
        Panel(
            dots=tuple(
                Dot(
                    label=one.name.replace(":", " × "),
                    value=one.estimate,
                    interval=one.interval,
                    hollow=not one.shown,
                )
                for one in estimated
                if one.measure == measure
            ),
            axis=f"difference of {MEASURE_NAMES[measure]}",
            rules=ZERO,
        )
        for measure in (MEASURES if estimated else ())
    ]


def explanation_panels(turn: ExplainedTurn) -> list[Panel]:
    """Return a panel per measure of a turn, then, where there are any, a panel per measure with the differences."""
    scores, differences = [], []
    for measure, heading in turn.headings.items():
        means = ((row, row.means.get(measure)) for row in turn.rows)
        dots = [
            Dot(
                label=name(row.row),
                value=None if mean is None else mean.mean,
                interval=None if mean is None else mean.interval,
                kind=_kind(row.row),
            )
            for row, mean in means
        ]
        scores.append(Panel(dots=tuple(dots), axis=heading))
        pairs = [(row, row.pairs.get(measure)) for row in turn.rows]
        dots = [
            Dot(
                label=name(row.row),
                value=None if pair is None else pair.difference.difference,
                interval=None if pair is None else pair.difference.interval,
                kind=_kind(row.row),
                hollow=pair is None or pair.p_holm >= LEVEL,
            )
            for row, pair in pairs
        ]
        if any(pair for _, pair in pairs):
            differences.append(Panel(dots=tuple(dots), axis=f"difference of {heading}", rules=ZERO))
    return scores + differences


def chance(row: Row) -> float:
    """Macro-F1 of answering by the toss of a coin."""
    shares = _shares(row)
    return sum(share / (share + 0.5) for share in shares) / 2


def majority(row: Row) -> float:
    """Macro-F1 of always answering the more frequent outcome."""
    larger = max(_shares(row))
    return larger / (1 + larger)


def _shares(row: Row) -> tuple[float, float]:
    allowed = sum(row.scores.confusion["allowed"].values()) / row.scores.n
    return allowed, 1 - allowed


def _macro_f1(group: Group, heading: str) -> Panel:
    first = group.rows[0]
    coin, larger = chance(first), majority(first)
    axis = f"Macro-F1 with {_level(group)} interval, n = {first.scores.n}"
    dots = [
        Dot(label=name(row), value=row.scores.macro_f1 or 0.0, interval=row.scores.interval, kind=_kind(row))
        for row in group.rows
    ]
    return Panel(
        dots=tuple(dots),
        axis=f"{axis}\ndotted: coin {coin:.2f}; dashed: majority {larger:.2f}",
        title=heading,
        limits=(0.0, 1.0),
        rules=((coin, ":"), (larger, "--")),
    )


def _kind(row: Row) -> str:
    if row.is_reference:
        return "reference"
    return row.setup.family if row.setup.family in COLOURS else "arm"


def _level(group: Group) -> str:
    return f"{group.rows[0].cell.scorer.confidence:.0%}"


def _heading(group: Group, report: Report) -> str:
    setup = group.setup
    parts = (title(group), setup.layout, setup.reading, apart(group, report))
    return ", ".join(part for part in parts if part)
