"""CSV tables of a report, with all columns: results, pairs, repeats, readings, explanations, measured.

The text of an optional table (repeats, readings, explanations, measured) is "" if the report has no rows for it.
"""

import math
from dataclasses import replace

from legalrr.records import OUTCOMES
from legalrr.report.backbone_metrics import measured_columns, measured_rows
from legalrr.report.compare import ArmComparison, Group, Report
from legalrr.report.load import VERSION, RunResult
from legalrr.report.sections import ExplainedRow, ExplainedTurn, explanations
from legalrr.report.table_view import missing_reason
from legalrr.report.verdict_readers import compare_readers, repeats
from legalrr.score.cases import Answers
from legalrr.score.explanation import Measure
from legalrr.score.invalid_bounds import macro_f1_bounds, p_unfavourable
from legalrr.score.scorer import Scores
from legalrr.tables import Table, fixed, p_exact

REASONS = ("unparsed", "budget", "overflow", "error")
"""Reasons of invalid answers (`legalrr.records.Verdict.reason`)."""
SETUP_COLUMNS = ("corpus", "split", "segment", "backbone", "layout", "reading", "overflow", "limit", "seed")
RESULT_COLUMNS = (
    *("sweep", "job", "label", "arm", "family", "corpus", "split", "segment", "backbone", "layout", "order", "reading"),
    *("scoring", "overflow", "limit", "seed", "reference", "repetition", "turn_tokens", "invalid_answers"),
    *("status", "problem"),
    *("n", "gold_allowed", "gold_dismissed", "macro_f1", "macro_f1_low", "macro_f1_high", "interval_note"),
    *("f1_allowed", "f1_dismissed", "precision_allowed", "precision_dismissed", "recall_allowed", "recall_dismissed"),
    *("accuracy", "fpr", "fnr", "mcc", "yes_rate", "brier", "invalid_rate"),
    *(f"invalid_{reason}" for reason in REASONS),
    *("cut_off_rate", "unlabelled", "skipped", "shortened", "dropped_tokens", "prompt_tokens", "new_tokens"),
    "seconds_model",
    *("interval_method", "mcc_low", "mcc_high", "p_skill", "clusters"),
    *("macro_f1_invalid_wrong", "macro_f1_invalid_right"),
)
"""Columns of results.csv; `seconds_<stage>`, the wall time of the cell, follow. Tokens and `seconds_model` are those of
its answers, whenever they were made: before the cells of a sweep, or in an earlier run. An answer that several arms
share counts in each. Rates have six decimals; empty: undefined or unknown."""
PAIR_COLUMNS = (
    *SETUP_COLUMNS,
    *("repetition", "invalid_answers"),
    *("sweep", "job", "label", "arm", "family", "reference", "reference_sweep", "reference_job"),
    *("n", "difference", "difference_low", "difference_high", "interval_note"),
    *("p_permutation", "p_holm", "p_mcnemar", "b", "c", "smallest_detectable", "note", "clusters"),
    *("difference_bound", "p_permutation_bound", "p_holm_bound", "shown"),
)
"""Columns of pairs.csv; corpus to seed are those of the group, so a baseline has a row per backbone."""
REPEAT_COLUMNS = (
    *SETUP_COLUMNS,
    *("invalid_answers", "label", "arm", "family", "reference", "runs", "n", "mean", "mean_low", "mean_high"),
    *("interval_note", "sd", "least", "greatest", "invalid_rate", "difference", "difference_low", "difference_high"),
    *("p_permutation", "p_holm", "smallest_detectable", "note", "each", "p_holm_bound", "shown"),
)
"""Columns of repeats.csv; `each`: macro-F1 of every run, in the order of the runs."""
READING_COLUMNS = (
    *SETUP_COLUMNS,
    *("other_reading", "invalid_answers", "sweep", "job", "label", "arm", "family", "n", "macro_f1", "other_macro_f1"),
    *("difference", "difference_low", "difference_high", "interval_note", "p_permutation", "changed"),
    *("invalid_rate", "other_invalid_rate", "yes_rate", "other_yes_rate"),
    *("reader_version", "other_reader_version", "opposite", "found", "lost"),
)
"""Columns of readings.csv; the prefix `other_` marks the second reading. Of the `changed` answers: opposite (allowed
and dismissed exchanged), found (invalid before) and lost (invalid now)."""
UNTESTED = "not tested: the same answer to everything"
"""Note on the difference of a constant baseline."""
EXPLANATION_COLUMNS = (
    *SETUP_COLUMNS,
    *("repetition", "sweep", "job", "label", "arm", "family", "reference", "turn", "score", "detail", "store"),
    *("n", "no_turn", "no_text", "unscored", "cut_off", "words", "court_words", "sources"),
    *("scored", "mean", "mean_low", "mean_high", "interval_note"),
    *("difference_n", "difference", "difference_low", "difference_high", "p_permutation", "p_holm"),
    "smallest_detectable",
)
"""Columns of explanations.csv; `scored` of `n` judgments have the score."""


def results_csv(report: Report) -> str:
    """Return results.csv: a row per cell, including failed and unfinished ones.

    If the policy excludes invalid answers, there is a row per row of a group, as a baseline is then scored on different
    judgments in each group.
    """
    stages = sorted({f"seconds_{stage}" for cell in report.cells for stage in cell.seconds})
    if report.invalid == "miss":
        rows = [_result(cell, report) for cell in report.cells]
    else:
        rows = [
            _result(replace(row.cell, scores=row.scores, answers=Answers(cases=row.cases)), report)
            | {"backbone": group.setup.backbone}
            for group in report.groups
            for row in group.rows
        ]
    return Table.from_records(rows, (*RESULT_COLUMNS, *stages)).csv()


def pairs_csv(report: Report) -> str:
    """Return pairs.csv: a row per row of a group other than its reference arm."""
    rows = (_pair(group, pair, report) for group in report.groups for pair in group.pairs)
    return Table.from_records(rows, PAIR_COLUMNS).csv()


def measured_csv(report: Report) -> str:
    """Return measured.csv: a row per measured backbone; "" without one."""
    columns = measured_columns(measured_rows(report))
    return Table.from_records(columns, tuple(columns[0])).csv() if columns else ""


def repeats_csv(report: Report) -> str:
    """Return repeats.csv: a row per arm of each experiment that ran more than once."""
    rows = []
    for one in repeats(report):
        for own in one.rows:
            setup, scores, found = own.first.setup, own.scores, own.comparison
            row = _setup(one.groups[0]) | {"invalid_answers": report.invalid, "runs": len(own.rows), "note": own.note}
            row |= {column: getattr(setup, column) for column in ("label", "arm", "family", "reference")}
            row["invalid_rate"] = fixed(own.invalid_rate, 6)
            if scores is not None:
                row |= {"n": scores.n, "interval_note": scores.interval_note, "sd": fixed(scores.sd, 6)}
                row |= {"mean": fixed(scores.mean, 6), **_interval_columns("mean", scores.interval)}
                row |= {"least": fixed(min(scores.runs), 6), "greatest": fixed(max(scores.runs), 6)}
                row["each"] = " ".join(fixed(score, 6) for score in scores.runs)
            if found is not None:
                row |= {"difference": fixed(found.difference, 6), **_interval_columns("difference", found.interval)}
                row["p_holm"] = p_exact(own.p_holm)
                if own.tested:
                    row["p_permutation"] = p_exact(found.p_permutation)
                    row["smallest_detectable"] = fixed(found.smallest_detectable, 6)
                else:
                    row["note"] = UNTESTED
                row |= {"p_holm_bound": p_exact(own.p_holm_bound), "shown": int(own.shown)}
            rows.append(row)
    return Table.from_records(rows, REPEAT_COLUMNS).csv() if rows else ""


def readings_csv(report: Report) -> str:
    """Return readings.csv: a row per cell with two readings."""
    rows = []
    for group, some in compare_readers(report):
        for twice in some:
            cell, setup, found = twice.row.cell, twice.row.setup, twice.comparison
            row = _setup(group) | {"other_reading": twice.again.setup.reading, "invalid_answers": report.invalid}
            row |= {"sweep": cell.sweep, "job": cell.job, "label": cell.label, "arm": setup.arm, "family": setup.family}
            row |= {"n": found.n, "changed": twice.changed, "interval_note": found.interval_note}
            row |= {"difference": fixed(found.difference, 6), **_interval_columns("difference", found.interval)}
            row["p_permutation"] = p_exact(found.p_permutation)
            row |= {name: getattr(twice, name) for name in ("opposite", "found", "lost")}
            for prefix, own in (("", twice.row), ("other_", twice.again)):
                row[f"{prefix}reader_version"] = own.setup.options.get(VERSION)
            for prefix, scores in (("", twice.row.scores), ("other_", twice.again.scores)):
                for name in ("macro_f1", "invalid_rate", "yes_rate"):
                    row[f"{prefix}{name}"] = fixed(getattr(scores, name), 6)
            rows.append(row)
    return Table.from_records(rows, READING_COLUMNS).csv() if rows else ""


def explanations_csv(report: Report) -> str:
    """Return explanations.csv: a row per cell, turn and score."""
    rows = [
        _explanation(group, turn, own, measure)
        for group, turns in explanations(report)
        for turn in turns
        for own in turn.rows
        for measure in turn.measures
    ]
    return Table.from_records(rows, EXPLANATION_COLUMNS).csv() if rows else ""


def _explanation(group: Group, turn: ExplainedTurn, own: ExplainedRow, measure: Measure) -> dict[str, object]:
    cell, setup, mean, pair = own.row.cell, own.row.setup, own.means.get(measure), own.pairs.get(measure)
    row = _setup(group) | {"repetition": group.setup.repetition, "sweep": cell.sweep, "job": cell.job}
    row |= {"label": cell.label, "arm": setup.arm, "family": setup.family, "reference": setup.reference}
    row |= {"turn": turn.turn, "score": measure.column, "detail": measure.detail, "store": measure.store}
    row |= {name: getattr(own, name) for name in ("n", "no_turn", "no_text", "unscored", "cut_off")}
    row |= {"words": fixed(own.words, 1), "court_words": fixed(own.court_words, 1)}
    row["sources"] = " ".join(f"{source}={count}" for source, count in sorted(own.sources.items()))
    if mean is not None:
        row |= {"scored": mean.n, "mean": fixed(mean.mean, 6), "interval_note": mean.interval_note}
        row |= _interval_columns("mean", mean.interval)
    if pair is not None:
        found = pair.difference
        row |= {"difference_n": found.n, "difference": fixed(found.difference, 6)}
        row |= {"p_permutation": p_exact(found.p_permutation), "p_holm": p_exact(pair.p_holm)}
        row |= _interval_columns("difference", found.interval)
        row["smallest_detectable"] = fixed(found.smallest_detectable, 6)
    return row


def _setup(group: Group) -> dict[str, object]:
    return {column: getattr(group.setup, column) for column in SETUP_COLUMNS}


def _interval_columns(name: str, interval: tuple[float, float] | None) -> dict[str, object]:
    if interval is None:
        return {}
    return {f"{name}_{end}": fixed(bound, 6) for end, bound in zip(("low", "high"), interval, strict=True)}


def _result(cell: RunResult, report: Report) -> dict[str, object]:
    row: dict[str, object] = {"sweep": cell.sweep, "job": cell.job, "label": cell.label, "status": cell.status}
    row |= {"problem": missing_reason(cell), "invalid_answers": report.invalid}
    if cell.setup is not None:
        row |= {column: getattr(cell.setup, column) for column in ("arm", "family", "order", "scoring")}
        row |= {column: getattr(cell.setup, column) for column in ("reference", "repetition")}
        row |= {column: getattr(cell.setup, column) for column in SETUP_COLUMNS}
        row["turn_tokens"] = " ".join(f"{turn}={length}" for turn, length in cell.setup.tokens.items())
    if cell.answers is not None:
        cases = cell.answers.cases
        row["unlabelled"] = cell.answers.unlabelled
        row["skipped"] = sum(case.skipped for case in cases)
        row["shortened"] = sum(case.dropped_tokens > 0 for case in cases)
        row["dropped_tokens"] = sum(case.dropped_tokens for case in cases)
        row["prompt_tokens"] = sum(case.prompt_tokens for case in cases)
        row["new_tokens"] = sum(case.new_tokens for case in cases)
        row["seconds_model"] = fixed(math.fsum(case.seconds for case in cases))
        if cases:
            # Without invalid answers both bounds equal the score.
            score = cell.scores.macro_f1 if cell.scores else None
            limits = macro_f1_bounds(cases) or (score, score)
            row["macro_f1_invalid_wrong"], row["macro_f1_invalid_right"] = (fixed(limit, 6) for limit in limits)
    if cell.scores is not None:
        row |= _scores(cell.scores)
    return row | {f"seconds_{stage}": fixed(seconds) for stage, seconds in cell.seconds.items()}


def _scores(scores: Scores) -> dict[str, object]:
    row: dict[str, object] = {"n": scores.n, "interval_note": scores.interval_note}
    for name in ("macro_f1", "accuracy", "fpr", "fnr", "mcc", "yes_rate", "brier", "invalid_rate", "cut_off_rate"):
        row[name] = fixed(getattr(scores, name), 6)
    for outcome in OUTCOMES:
        row[f"gold_{outcome}"] = sum(scores.confusion[outcome].values())
        row |= {f"{name}_{outcome}": fixed(getattr(scores, name)[outcome], 6) for name in ("f1", "precision", "recall")}
    row |= {"interval_method": scores.interval_method, "p_skill": p_exact(scores.p_skill), "clusters": scores.clusters}
    if scores.mcc_interval is not None:
        row["mcc_low"], row["mcc_high"] = (fixed(bound, 6) for bound in scores.mcc_interval)
    if scores.interval is not None:
        row["macro_f1_low"], row["macro_f1_high"] = (fixed(bound, 6) for bound in scores.interval)
    return row | {f"invalid_{reason}": scores.invalid.get(reason, 0) for reason in REASONS}


def _pair(group: Group, pair: ArmComparison, report: Report) -> dict[str, object]:
    cell, setup, found = pair.row.cell, pair.row.setup, pair.comparison
    row: dict[str, object] = {column: getattr(group.setup, column) for column in SETUP_COLUMNS}
    row |= {"repetition": group.setup.repetition, "invalid_answers": report.invalid}
    row |= {"sweep": cell.sweep, "job": cell.job, "label": cell.label, "note": pair.note}
    row |= {"arm": setup.arm, "family": setup.family, "reference": setup.reference}
    if pair.reference is not None:
        row |= {"reference_sweep": pair.reference.cell.sweep, "reference_job": pair.reference.cell.job}
    if found is not None:
        row |= {"n": found.n, "b": found.b, "c": found.c, "interval_note": found.interval_note}
        bound = pair.bound or found
        row |= {"difference": fixed(found.difference, 6), "difference_bound": fixed(bound.difference, 6)}
        row |= {"clusters": found.clusters, "shown": int(pair.shown)}
        if pair.tested:
            row |= {name: p_exact(getattr(found, name)) for name in ("p_permutation", "p_mcnemar")}
            row["p_permutation_bound"] = p_exact(p_unfavourable(found, pair.bound))
            row["smallest_detectable"] = fixed(found.smallest_detectable, 6)
        else:
            row["note"] = UNTESTED
        row |= {name: p_exact(getattr(pair, name)) for name in ("p_holm", "p_holm_bound")}
        if found.interval is not None:
            row["difference_low"], row["difference_high"] = (fixed(bound, 6) for bound in found.interval)
    return row
