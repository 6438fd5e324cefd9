"""Results, effects, power, calibration, breakdowns, explanations, repeats and health, as JSON values and figures."""

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from legalrr.errors import printable
from legalrr.progress import progress
from legalrr.report.compare import ArmComparison, ArmResult, Group, Report, distinct_pairs, finding
from legalrr.report.figures import (
    chance,
    difference_panels,
    effect_panels,
    explanation_panels,
    inline_dot_plot,
    macro_f1_panels,
    majority,
)
from legalrr.report.leak_answer import leak_answer
from legalrr.report.load import NO_BACKBONE, RunResult
from legalrr.report.pooled_effects import Pool, pools
from legalrr.report.sections import ExplainedRow, ExplainedTurn, explanations
from legalrr.report.table_view import differing_options, full_title, group_title, missing_cells, treatment
from legalrr.report.verdict_readers import RepeatedRow, repeats, run_number
from legalrr.score.breakdown import breakdown, calibration
from legalrr.score.detectable import LEVEL
from legalrr.score.invalid_bounds import macro_f1_bounds
from legalrr.score.scorer import Scores
from legalrr.score.significance import judgments_needed, mcnemar_power, power_curve

NAMED = 3
"""Maximum number of differences that the first sentence of the page names."""


def cells_json(report: Report) -> list[dict[str, Any]]:
    """Return the settings and status of each cell, in the order of the report."""
    several, reasons = len({c.sweep for c in report.cells}) > 1, {id(c): why for c, why in missing_cells(report)}
    return [_cell(cell, reasons.get(id(cell)), several=several) for cell in report.cells]


def groups_json(report: Report) -> list[dict[str, Any]]:
    """Return the groups: their cells, scores and differences to the reference arm."""
    numbers = {id(cell): number for number, cell in enumerate(report.cells)}
    return [_group(group, report, numbers) for group in report.groups]


def verdict(report: Report) -> str:
    """Return a sentence on which differences between arms are significant."""
    compared = [pair for group in report.groups for pair in distinct_pairs(group)]
    if not compared:
        return "No arm was compared with a reference arm."
    significant = [pair for pair in compared if pair.shown]
    what, end = "between an arm and the reference arm", f"significant at {LEVEL:.0%} after Holm's correction"
    if len(compared) == 1:
        start, verb = f"The one difference {what}", "is" if significant else "is not"
    else:
        count = f"{len(significant)} of" if significant else "None of the"
        start, verb = f"{count} {len(compared)} differences {what}", "is"
    if not significant:
        return f"{start} {verb} {end}."
    named = ", ".join(_named(pair, report) for pair in sorted(significant, key=_size)[:NAMED])
    more = f", and {len(significant) - NAMED} more" if len(significant) > NAMED else ""
    return f"{start} {'are' if len(significant) > 1 else verb} {end}: {named}{more}."


def _size(pair: ArmComparison) -> float:
    return -abs(pair.comparison.difference) if pair.comparison else 0.0


def _named(pair: ArmComparison, report: Report) -> str:
    assert pair.comparison is not None
    setup = pair.row.setup
    where = [setup.backbone] if len({group.setup.backbone for group in report.groups}) > 1 else []
    where += [setup.corpus] if len({group.setup.corpus for group in report.groups}) > 1 else []
    place = f" ({', '.join(where)})" if where else ""
    return f"{setup.label}{place} {pair.comparison.difference:+.3f}"


def _cell(cell: RunResult, problem: str | None, *, several: bool) -> dict[str, Any]:
    setup = cell.setup
    name = f"folder {cell.sweep}, {cell.name}" if several else cell.name
    data: dict[str, Any] = {"name": name, "label": cell.label, "status": cell.status, "problem": problem or ""}
    if setup is not None:
        data |= {
            "arm": setup.arm,
            "family": setup.family,
            "corpus": setup.corpus_name,
            "segment": setup.segment,
            "backbone": None if setup.backbone == NO_BACKBONE else setup.backbone,
            "reference": setup.arm == setup.reference,
        }
    return data | {"scored": cell.scores is not None and cell.scores.n > 0, "missing": problem is not None}


def _group(group: Group, report: Report, numbers: Mapping[int, int]) -> dict[str, Any]:
    first = group.rows[0]
    return {
        "title": group_title(group),
        "apart": differing_options(group, report),
        "run": run_number(group, report),
        "corpus": first.setup.corpus_name,
        "segment": group.setup.segment,
        "backbone": None if group.setup.backbone == NO_BACKBONE else group.setup.backbone,
        "treatment": treatment(group, report),
        "finding": finding(group),
        "leakage": leak_answer(group),
        "confidence": first.cell.scorer.confidence,
        "n": first.scores.n,
        "allowed": sum(first.scores.confusion["allowed"].values()),
        "chance": rounded(chance(first)),
        "majority": rounded(majority(first)),
        "rows": [numbers[id(row.cell)] for row in group.rows],
        "scores": {
            str(numbers[id(row.cell)]): rounded({**asdict(row.scores), "invalid_bounds": macro_f1_bounds(row.cases)})
            for row in group.rows
        },
        "reference": next((numbers[id(row.cell)] for row in group.rows if row.is_reference), None),
        "pairs": {str(numbers[id(pair.row.cell)]): _pair(pair, numbers) for pair in group.pairs},
    }


def _pair(pair: ArmComparison, numbers: Mapping[int, int]) -> dict[str, Any]:
    reference: ArmResult | None = pair.reference
    data: dict[str, Any] = {"note": pair.note, "reference": None if reference is None else numbers[id(reference.cell)]}
    if pair.comparison is not None:
        data |= {name: rounded(value) for name, value in asdict(pair.comparison).items()}
        data["p_holm"] = rounded(pair.p_holm)
        data |= {"p_holm_bound": rounded(pair.p_holm_bound), "bounded": pair.bound is not None, "shown": pair.shown}
        if not pair.tested:
            data |= {"p_permutation": None, "p_mcnemar": None, "smallest_detectable": None}
    return data


def rounded(value: Any) -> Any:
    """Round numbers to six decimals, as in the tables, inside lists and mappings too."""
    if isinstance(value, float):
        return round(value, 6)
    if isinstance(value, list | tuple):
        return [rounded(inner) for inner in value]
    if isinstance(value, dict):
        return {key: rounded(inner) for key, inner in value.items()}
    return value


BY = ("length", "year", "court", "kind", "confidence", "roles")
"""Properties of a judgment by which scores are broken down."""
SIZES = tuple(round(10 ** (1 + step / 6)) for step in range(25))
"""Numbers of judgments at which power is computed: 10 to 100,000."""
CERTAIN = 6
"""Multiple of the sample size for power 0.8 from which power is 1 to six decimals."""
MAX_PARTS = 24
"""Maximum number of parts of a breakdown."""
RESAMPLES = 500
"""Maximum number of resamples for the interval of a part: there are thousands of intervals, for exploration only."""


def effects_json(report: Report) -> list[dict[str, Any]]:
    """Return the pooled effects; pools without effects have a note with the reason."""
    return [_effects(pool) for pool in pools(report)]


def power_json(report: Report) -> list[dict[str, Any]]:
    """Return per group: cell number -> power curve of its difference to the reference arm."""
    numbers = {id(cell): number for number, cell in enumerate(report.cells)}
    return [
        {
            str(numbers[id(pair.row.cell)]): _power(pair)
            for pair in group.pairs
            if pair.comparison is not None and pair.row.setup.family == "arm"
        }
        for group in report.groups
    ]


def _power(pair: ArmComparison) -> dict[str, Any]:
    """Return a power curve; it is empty for a difference of 0."""
    found, reference = pair.comparison, pair.reference
    assert found is not None
    assert reference is not None
    both = {case.id for case in pair.row.cases} & {case.id for case in reference.cases}
    cases, others = ([case for case in row.cases if case.id in both] for row in (pair.row, reference))
    curve = power_curve(found, sizes=())
    drawn = SIZES if curve.difference else ()
    near = tuple(n for n in drawn if curve.needed is None or n <= CERTAIN * curve.needed)
    power = [mcnemar_power(curve.difference, curve.discordance, n) for n in near] + [1.0] * (len(drawn) - len(near))
    values = {"difference": curve.difference, "discordance": curve.discordance, "power": power}
    return {**rounded(values), "needed": curve.needed, "needed_macro_f1": judgments_needed(cases, others)}


def calibration_json(report: Report) -> dict[str, Any]:
    """Return cell number -> calibration, for cells whose answers have probabilities."""
    found = {}
    for number, cell in enumerate(report.cells):
        if cell.answers is not None and (made := calibration(cell.answers.cases, confidence=cell.scorer.confidence)):
            found[str(number)] = rounded(asdict(made))
    return found


def breakdowns_json(report: Report) -> dict[str, dict[str, Any]]:
    """Return property -> cell number -> parts; properties that no corpus has are left out."""
    found: dict[str, dict[str, Any]] = {}
    numbers = {id(cell): number for number, cell in enumerate(report.cells)}
    rows = {numbers[id(row.cell)]: row for group in report.groups for row in group.rows if row.setup.family == "arm"}
    with progress("breakdown", len(rows), "cells") as advance:
        for number, row in rows.items():
            for by, parts in _breakdowns(row).items():
                found.setdefault(by, {})[str(number)] = parts
            advance(1)
    return {by: found[by] for by in BY if by in found}


def _breakdowns(row: ArmResult) -> dict[str, list[dict[str, Any]]]:
    assert row.cell.answers is not None
    scorer = replace(row.cell.scorer, resamples=min(row.cell.scorer.resamples, RESAMPLES))
    made = (breakdown(row.cases, row.cell.answers.metadata, by, scorer=scorer, most=MAX_PARTS) for by in BY)
    return {one.by: [rounded(asdict(part)) for part in one.parts] for one in made if one.parts}


def _effects(pool: Pool) -> dict[str, Any]:
    row: dict[str, Any] = {"title": pool.title, "groups": list(pool.groups), "note": pool.note}
    if pool.effects:
        row["n"] = pool.effects[0].n
    return row | {"effects": [rounded({**asdict(one), "shown": one.shown}) for one in pool.effects]}


def explanations_json(report: Report) -> list[dict[str, Any]]:
    """Return the groups that have explanation scores: their place in the report, and a table per turn.

    Raises:
        UserError: a damaged file of a run folder.
    """
    places = {id(group): place for place, group in enumerate(report.groups)}
    numbers = {id(cell): number for number, cell in enumerate(report.cells)}
    return [
        {"group": places[id(group)], "turns": [_turn(turn, numbers) for turn in turns]}
        for group, turns in explanations(report)
    ]


def _turn(turn: ExplainedTurn, numbers: dict[int, int]) -> dict[str, Any]:
    headings = turn.headings
    return {
        "turn": turn.turn,
        "measures": [{"heading": headings[measure], "detail": measure.detail} for measure in turn.measures],
        "rows": [{"cell": numbers[id(row.row.cell)], **_explained(row, turn)} for row in turn.rows],
    }


def _explained(row: ExplainedRow, turn: ExplainedTurn) -> dict[str, Any]:
    """Return the scores of an arm; means and pairs in the order of the measures, null where there is none."""
    counts = {name: getattr(row, name) for name in ("n", "no_turn", "no_text", "unscored", "cut_off", "sources")}
    means = [row.means.get(measure) for measure in turn.measures]
    pairs = [row.pairs.get(measure) for measure in turn.measures]
    return {
        **counts,
        **rounded({"words": row.words, "court_words": row.court_words}),
        "means": [mean and rounded(asdict(mean)) for mean in means],
        "pairs": [pair and rounded({**asdict(pair.difference), "p_holm": pair.p_holm}) for pair in pairs],
    }


def repeats_json(report: Report) -> list[dict[str, Any]]:
    """Return the experiments that ran more than once: places of their groups, run by run, and their arms."""
    places = {id(group): place for place, group in enumerate(report.groups)}
    numbers = {id(cell): number for number, cell in enumerate(report.cells)}
    return [
        {
            "groups": [places[id(group)] for group in one.groups],
            "rows": [{"cells": [numbers[id(row.cell)] for row in own.rows], **_repeated(own)} for own in one.rows],
        }
        for one in repeats(report)
    ]


def _repeated(own: RepeatedRow) -> dict[str, Any]:
    """Return the scores of the runs of an arm; `scores` and `pair` as of one run, null where there are none."""
    pair: dict[str, Any] | None = None
    if own.comparison is not None:
        pair = {**asdict(own.comparison), "p_holm": own.p_holm, "p_holm_bound": own.p_holm_bound}
        pair |= {"bounded": own.bound is not None, "shown": own.shown}
        if not own.tested:
            pair |= {"p_permutation": None, "smallest_detectable": None}
    elif own.note:
        pair = {"note": own.note}
    return rounded(
        {
            "reference": own.first.is_reference,
            "invalid_rate": own.invalid_rate,
            "scores": None if own.scores is None else asdict(own.scores),
            "pair": pair,
        }
    )


def health_json(report: Report) -> list[dict[str, Any] | None]:
    """Return invalid answers, hidden text and cost per cell, in the order of the report; None without answers."""
    return [_health(cell) for cell in report.cells]


def _health(cell: RunResult) -> dict[str, Any] | None:
    if cell.answers is None or cell.scores is None or not cell.answers.cases:
        return None
    cases, scores = cell.answers.cases, cell.scores
    length = sum(about.length or 0 for about in cell.answers.metadata.values())
    return {
        "n": scores.n,
        "invalid": dict(scores.invalid),
        "cut_off": sum(case.cut_off for case in cases),
        "skipped": sum(case.skipped for case in cases),
        "shortened": sum(case.dropped_tokens > 0 and not case.skipped for case in cases),
        "dropped_tokens": sum(case.dropped_tokens for case in cases),
        "hidden": dict(sorted(cell.answers.hidden.items())),
        "hidden_share": round(cell.answers.hidden_length / length, 4) if length else None,
        **_cost(cell, scores),
    }


def _cost(cell: RunResult, scores: Scores) -> dict[str, Any]:
    tokens = scores.tokens or {}
    calls = cell.run.get("calls", {})
    return {
        "prompt_tokens": tokens.get("prompt"),
        "cached_tokens": tokens.get("cached"),
        "new_tokens": tokens.get("new"),
        "made": calls.get("made"),
        "stored": calls.get("stored"),
        "model_seconds": math.fsum(case.seconds for case in cell.answers.cases) if cell.answers else None,
        "seconds": dict(cell.seconds),
        "money": cell.run.get("cost"),
        "unlabelled": cell.answers.unlabelled if cell.answers else 0,
        "counts": cell.run.get("counts", {}),
    }


@dataclass(frozen=True, kw_only=True)
class PageFigure:
    """A figure of the page."""

    name: str
    """Id of its element, without the prefix `figure-`."""
    title: str
    """Caption and accessible name."""
    svg: str
    """SVG element."""


def figures(report: Report) -> list[PageFigure]:
    """Draw macro-F1 and the differences of all groups, the effects of each pool, and the scores of each explained turn.

    Raises:
        UserError: a damaged file of a run folder.
    """
    plots = [
        ("macro-f1", "Macro-F1 of each arm", macro_f1_panels(report), 1),
        ("differences", "Difference of macro-F1 to the reference arm", difference_panels(report), 1),
    ]
    for number, pool in enumerate(pools(report)):
        plots.append((f"effects-{number}", f"Effects: {pool.title}", effect_panels(pool), 3))
    for number, (group, turns) in enumerate(explanations(report)):
        for at, turn in enumerate(turns):
            named = f"Explanation scores: {full_title(group, report)}, turn {turn.turn}"
            plots.append((f"explanations-{number}-{at}", named, explanation_panels(turn), 3))
    drawn = [plot for plot in plots if plot[2]]
    made = []
    with progress("figures", len(drawn), "figures") as advance:
        for name, titled, panels, columns in drawn:
            svg = inline_dot_plot(panels, name=name, title=titled, columns=columns)
            made.append(PageFigure(name=name, title=printable(titled), svg=svg))
            advance(1)
    return made
