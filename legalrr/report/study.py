"""Build tables in the layout of the study from a report: prediction, explanation, and effects of the switches."""

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

from legalrr.errors import UserError
from legalrr.report.compare import ArmComparison, ArmResult, Group, Report
from legalrr.report.paper_table import Line, PaperTable, TableBlock, TableNumber
from legalrr.report.pooled_effects import Pool, pools
from legalrr.report.published import COLUMNS, published, remarks
from legalrr.report.sections import ExplainedRow, ExplainedTurn, explanations
from legalrr.report.summary import arm_warnings
from legalrr.report.table_view import full_title
from legalrr.score.cases import INVALID_POLICIES
from legalrr.score.effects import ARMS as FACTORIAL
from legalrr.score.effects import EFFECTS, MEASURES, Effect
from legalrr.score.explanation import Measure
from legalrr.score.intervals import wilson
from legalrr.score.scorer import PredictionScorer

ARMS = {
    arm: column
    for column in COLUMNS.values()
    for arm, switches in FACTORIAL.items()
    if ("/".join(switches) or "none") == column
}
"""Arm -> its column, in the order of the study."""
HEADINGS = {"macro_f1": "Macro-F1", "accuracy": "Accuracy", "yes_rate": "YES rate"}
STAR = "* differs from the reference arm after Holm's correction, at 5 %"
STAR_BOUND = "* also significant with the invalid answers of the better arm wrong and those of the other right"
EFFECT_BOUND = (
    "bound: Holm with the invalid answers against the effect, wrong in the arms that it says are better and right in "
    "the others; * also significant with these."
)
AGAINST = (
    "Printed figures: the union of the intervals of all confusion matrices without invalid answers that give the "
    "figures of a cell, or come nearest; BCa for macro-F1, Wilson's for shares."
)


def prediction(report: Report, *, against: bool = False) -> PaperTable:
    """Build the table of macro-F1, FPR and FNR of the eight arms, per corpus and backbone.

    Raises:
        UserError: No cell is one of the eight arms.
    """
    own = [(group.setup.corpus, _prediction(group, report)) for group in _with_arms(report)]
    return PaperTable(
        caption=f"Prediction of the outcome, in percent, with {_level(report)} intervals over judgments: "
        "BCa bootstrap for macro-F1, exact where no resample changes it; Wilson's for FPR and FNR.",
        columns=tuple(ARMS.values()),
        blocks=_insert_printed(own, published("prediction", _scorer(report)) if against else []),
        notes=(
            STAR,
            *((STAR_BOUND,) if _bounded([block for _, block in own]) else ()),
            f"Invalid answers: {INVALID_POLICIES[report.invalid]}",
            *(one.text for one in arm_warnings(report)),
            *((AGAINST, *remarks("prediction")) if against else ()),
        ),
    )


def explanation(report: Report, *, against: bool = False) -> PaperTable:
    """Build the table of overlap of the generated text with the court's text, per corpus, backbone and turn.

    Raises:
        UserError: No explanation scores were computed.
    """
    blocks = [
        (group.setup.corpus, _explanation(turn, _title(group, report)))
        for group, turns in explanations(report)
        if _cells(group)
        for turn in turns
    ]
    if not blocks:
        raise UserError(
            "no scores of explanations", where="--table explanation", cure="compute them: legalrr explain DIR"
        )
    return PaperTable(
        caption=f"Generated text against the court's text of the same role, in percent: mean over judgments with its "
        f"{_level(report)} BCa bootstrap interval.",
        columns=tuple(ARMS.values()),
        blocks=_insert_printed(blocks, published("explanation", _scorer(report)) if against else []),
        notes=(STAR, *(remarks("explanation") if against else ())),
    )


def effects(report: Report, *, against: bool = False) -> PaperTable:
    """Build the table of main effects and interactions of D, R and C on macro-F1, accuracy and the YES rate.

    Raises:
        UserError: `against` is set, but the study printed no effects.
    """
    if against:
        raise UserError("the study printed no effects", where="--against", cure="use --table prediction or explanation")
    blocks = tuple(_effects(pool) for pool in pools(report))
    return PaperTable(
        caption=f"Effects of D, R and C in percentage points, with {_level(report)} jackknife intervals over "
        "judgments, each left out with all that was answered about it.",
        columns=tuple(HEADINGS.values()),
        blocks=blocks,
        signed=True,
        notes=(
            "D: mean of the arms with D less that of those without. D:R: half of what R adds to the effect of D.",
            "Tested are D, R and C on macro-F1: answers with and without the switch are swapped judgment by judgment; "
            "Holm over these three, * significant at 5 %. An interval that would leave out 0 beside p > 0.05 is "
            "extended to 0.",
            *((EFFECT_BOUND,) if _bounded(blocks) else ()),
            "All other effects are exploration: their intervals are not adjusted for the number of effects.",
            *(one.text for one in arm_warnings(report)),
        ),
    )


TABLES: Mapping[str, Callable[..., PaperTable]] = MappingProxyType(
    {"prediction": prediction, "explanation": explanation, "effects": effects}
)
"""Name of a table -> function that builds it from a report."""


def _bounded(blocks: Sequence[TableBlock]) -> bool:
    """Return whether any number of the blocks has a p under the unfavourable bound."""
    lines = (line for block in blocks for line in block.lines)
    return any(figure.p_holm_bound is not None for line in lines for figure in line.figures.values())


def _with_arms(report: Report) -> list[Group]:
    groups = [group for group in report.groups if _cells(group)]
    if not groups:
        raise UserError("none of the eight arms", where="--table", cure=f"run at least one of {', '.join(ARMS)}")
    return groups


def _cells(group: Group) -> dict[str, list[ArmResult]]:
    """Return the rows of a group by column."""
    found: dict[str, list[ArmResult]] = {}
    for row in group.rows:
        if (column := _column(row)) is not None:
            found.setdefault(column, []).append(row)
    return found


def _column(row: ArmResult) -> str | None:
    """Return the column of an arm, by the switches that its run recorded; None outside the factorial."""
    return None if row.setup.factors is None else "/".join(row.setup.factors) or "none"


def _insert_printed(
    own: Sequence[tuple[str, TableBlock]], printed: Sequence[tuple[str, TableBlock]]
) -> tuple[TableBlock, ...]:
    """Place printed blocks after the last own block of their corpus; at the end if no corpus is one of the study."""
    corpora = list(dict.fromkeys(corpus for corpus, _ in own))
    blocks: list[TableBlock] = []
    for corpus in corpora:
        blocks += [block for one, block in (*own, *printed) if one == corpus]
    if not any(corpus in corpora for corpus, _ in printed):
        blocks += [block for _, block in printed]
    return tuple(blocks)


def _prediction(group: Group, report: Report) -> TableBlock:
    pairs = {id(pair.row): pair for pair in group.pairs}
    bounded = any(pair.bound is not None for pair in group.pairs)
    cells = _cells(group)
    lines = []
    for score, rate in (("Macro-F1", None), ("FPR", "dismissed"), ("FNR", "allowed")):
        figures = {
            column: _rate(row, rate, _several(rows))
            if rate
            else _macro_f1(row, pairs.get(id(row)), _several(rows), bounded=bounded)
            for column, rows in cells.items()
            for row in rows[:1]
        }
        lines.append(Line(score=score, figures=figures))
    return TableBlock(title=_title(group, report), lines=tuple(lines))


def _macro_f1(row: ArmResult, pair: ArmComparison | None, notes: tuple[str, ...], *, bounded: bool) -> TableNumber:
    scores = row.scores
    footnotes = (f"no interval: {scores.interval_note}",) if scores.interval_note else ()
    return TableNumber(
        value=scores.macro_f1,
        interval=scores.interval,
        method=scores.interval_method,
        n=scores.n,
        p_holm=None if pair is None else pair.p_holm,
        p_holm_bound=pair.p_holm_bound if pair is not None and bounded else None,
        notes=(*notes, *footnotes),
    )


def _rate(row: ArmResult, gold: str, notes: tuple[str, ...]) -> TableNumber:
    """Return FPR if `gold` is dismissed, FNR if it is allowed."""
    counts = row.scores.confusion[gold]
    n = sum(counts.values())
    if n == 0:
        return TableNumber(value=None, n=row.scores.n, notes=(*notes, f"no judgment whose gold outcome is {gold}"))
    wrong = counts["allowed"] if gold == "dismissed" else n - counts["allowed"]
    bounds = wilson(wrong, n, confidence=row.cell.scorer.confidence)
    return TableNumber(value=wrong / n, interval=bounds, method="Wilson", n=row.scores.n, notes=notes)


def _several(rows: Sequence[ArmResult]) -> tuple[str, ...]:
    names = ", ".join(row.cell.name for row in rows)
    return (f"several cells of this arm ({names}): the first is shown",) if len(rows) > 1 else ()


def _explanation(turn: ExplainedTurn, titled: str) -> TableBlock:
    cells: dict[str, list[ExplainedRow]] = {}
    for one in turn.rows:
        if (column := _column(one.row)) is not None:
            cells.setdefault(column, []).append(one)
    lines = [_overlap(measure, cells) for measure in turn.measures]
    for score, words in (("Words", "words"), ("Words of the court", "court_words")):
        figures = {column: TableNumber(value=getattr(rows[0], words), n=rows[0].n) for column, rows in cells.items()}
        lines.append(Line(score=score, figures=figures, percent=False))
    return TableBlock(title=f"{titled}, {turn.turn}", lines=tuple(lines))


def _overlap(measure: Measure, cells: Mapping[str, Sequence[ExplainedRow]]) -> Line:
    figures = {}
    for column, rows in cells.items():
        mean, pair = rows[0].means.get(measure), rows[0].pairs.get(measure)
        if mean is not None:
            footnotes = (f"no interval: {mean.interval_note}",) if mean.interval_note else ()
            figures[column] = TableNumber(
                value=mean.mean,
                interval=mean.interval,
                method="BCa" if mean.interval else "",
                n=mean.n,
                p_holm=None if pair is None else pair.p_holm,
                notes=(*_several([one.row for one in rows]), *footnotes),
            )
    return Line(score=measure.heading, figures=figures, notes=(f"{measure.heading}: {measure.detail}",))


def _effects(pool: Pool) -> TableBlock:
    found = {(one.name, one.measure): one for one in pool.effects}
    bounded = any(one.bound is not None for one in pool.effects)
    lines = []
    for name in EFFECTS if found else ():
        ones = {HEADINGS[measure]: found[name, measure] for measure in MEASURES}
        note = next(iter(ones.values())).note
        figures = {column: _effect(one, bounded=bounded) for column, one in ones.items()}
        lines.append(Line(score=name, figures=figures, notes=(note,) if note else ()))
    n = f", n = {pool.effects[0].n}" if pool.effects else ""
    return TableBlock(title=pool.title + n, lines=tuple(lines), notes=(pool.note,) if pool.note else ())


def _effect(one: Effect, *, bounded: bool) -> TableNumber:
    footnotes = (f"{'' if one.interval else 'no '}interval: {one.interval_note}",) if one.interval_note else ()
    return TableNumber(
        value=one.estimate,
        interval=one.interval,
        method="jackknife" if one.interval else "",
        n=one.n,
        p=one.p_permutation,
        p_holm=one.p_holm,
        p_holm_bound=one.p_holm_bound if bounded else None,
        notes=footnotes,
    )


def _title(group: Group, report: Report) -> str:
    sizes = sorted({row.scores.n for rows in _cells(group).values() for row in rows})
    return f"{full_title(group, report)}, n = {' or '.join(map(str, sizes))}"


def _scorer(report: Report) -> PredictionScorer:
    return report.groups[0].rows[0].cell.scorer


def _level(report: Report) -> str:
    return f"{_scorer(report).confidence:.0%}" if report.groups else "95%"
