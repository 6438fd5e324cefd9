"""The further tables with every column: repeats.csv, readings.csv and explanations.csv; "" where there is nothing."""

from legalrr.report.cells import VERSION
from legalrr.report.explanations import ExplainedRow, ExplainedTurn, explanations
from legalrr.report.groups import Group, Report
from legalrr.report.readings import readings
from legalrr.report.repeats import repeats
from legalrr.score.explanation import Measure
from legalrr.tables import Table, fixed, p_exact

SETUP_COLUMNS = ("corpus", "split", "segment", "backbone", "layout", "reading", "overflow", "limit", "seed")
REPEAT_COLUMNS = (
    *SETUP_COLUMNS,
    *("invalid_answers", "label", "arm", "family", "reference", "runs", "n", "mean", "mean_low", "mean_high"),
    *("interval_note", "sd", "least", "greatest", "invalid_rate", "difference", "difference_low", "difference_high"),
    *("p_permutation", "p_holm", "smallest_detectable", "note", "each", "p_holm_bound", "shown"),
)
"""Columns of repeats.csv; `each` has the macro-F1 of every run, in the order of the runs."""
READING_COLUMNS = (
    *SETUP_COLUMNS,
    *("other_reading", "invalid_answers", "sweep", "job", "label", "arm", "family", "n", "macro_f1", "other_macro_f1"),
    *("difference", "difference_low", "difference_high", "interval_note", "p_permutation", "changed"),
    *("invalid_rate", "other_invalid_rate", "yes_rate", "other_yes_rate"),
    *("reader_version", "other_reader_version", "opposite", "found", "lost"),
)
"""Columns of readings.csv; what begins with `other_` is of the second reading. Of the `changed` answers: opposite
(allowed and dismissed exchanged), found (invalid before) and lost (invalid now)."""
UNTESTED = "not tested: the same answer to everything"
"""Note on the difference of a baseline that answers everything alike."""
EXPLANATION_COLUMNS = (
    *SETUP_COLUMNS,
    *("repetition", "sweep", "job", "label", "arm", "family", "reference", "turn", "score", "detail", "store"),
    *("n", "no_turn", "no_text", "unscored", "cut_off", "words", "court_words", "sources"),
    *("scored", "mean", "mean_low", "mean_high", "interval_note"),
    *("difference_n", "difference", "difference_low", "difference_high", "p_permutation", "p_holm"),
    "smallest_detectable",
)
"""Columns of explanations.csv: a row per cell, turn and score; `scored` of `n` judgments have the score."""


def repeats_csv(report: Report) -> str:
    """A row per arm of each experiment that ran more than once."""
    rows = []
    for one in repeats(report):
        for own in one.rows:
            setup, scores, found = own.first.setup, own.scores, own.comparison
            row = _setup(one.groups[0]) | {"invalid_answers": report.invalid, "runs": len(own.rows), "note": own.note}
            row |= {column: getattr(setup, column) for column in ("label", "arm", "family", "reference")}
            row["invalid_rate"] = fixed(own.invalid_rate, 6)
            if scores is not None:
                row |= {"n": scores.n, "interval_note": scores.interval_note, "sd": fixed(scores.sd, 6)}
                row |= {"mean": fixed(scores.mean, 6), **_interval("mean", scores.interval)}
                row |= {"least": fixed(min(scores.runs), 6), "greatest": fixed(max(scores.runs), 6)}
                row["each"] = " ".join(fixed(score, 6) for score in scores.runs)
            if found is not None:
                row |= {"difference": fixed(found.difference, 6), **_interval("difference", found.interval)}
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
    """A row per cell that was read in two ways."""
    rows = []
    for group, some in readings(report):
        for twice in some:
            cell, setup, found = twice.row.cell, twice.row.setup, twice.comparison
            row = _setup(group) | {"other_reading": twice.again.setup.reading, "invalid_answers": report.invalid}
            row |= {"sweep": cell.sweep, "job": cell.job, "label": cell.label, "arm": setup.arm, "family": setup.family}
            row |= {"n": found.n, "changed": twice.changed, "interval_note": found.interval_note}
            row |= {"difference": fixed(found.difference, 6), **_interval("difference", found.interval)}
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
    """A row per cell, turn and score."""
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
        row |= _interval("mean", mean.interval)
    if pair is not None:
        found = pair.difference
        row |= {"difference_n": found.n, "difference": fixed(found.difference, 6)}
        row |= {"p_permutation": p_exact(found.p_permutation), "p_holm": p_exact(pair.p_holm)}
        row |= _interval("difference", found.interval)
        row["smallest_detectable"] = fixed(found.smallest_detectable, 6)
    return row


def _setup(group: Group) -> dict[str, object]:
    return {column: getattr(group.setup, column) for column in SETUP_COLUMNS}


def _interval(name: str, interval: tuple[float, float] | None) -> dict[str, object]:
    if interval is None:
        return {}
    return {f"{name}_{end}": fixed(bound, 6) for end, bound in zip(("low", "high"), interval, strict=True)}
