"""Writes the tables: results.csv and pairs.csv with every column, results.md and results.tex to be read; and where
there is something to put into them, repeats.csv, readings.csv and explanations.csv.

Nothing in them depends on when or where a sweep ran, or on what the store held: two runs of the same sweep give the
same bytes, but for the columns `seconds_*` of results.csv.
"""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from legalrr.records import OUTCOMES
from legalrr.report.cells import Cell
from legalrr.report.extras import SETUP_COLUMNS, UNTESTED, explanations_csv, readings_csv, repeats_csv
from legalrr.report.groups import Group, Pair, Report, finding
from legalrr.report.measured import RULES as MEASURED_RULES
from legalrr.report.measured import measured_columns, measured_rows, measured_view
from legalrr.report.sections import sections, shown_groups
from legalrr.report.views import differences_view, missing_view, scores_view, title, treatment, why
from legalrr.score.answered import Answers
from legalrr.score.invalid_bounds import has_invalid, macro_f1_bounds, p_unfavourable
from legalrr.score.prediction import Scores
from legalrr.score.subsets import TREATMENTS
from legalrr.tables import Table, fixed, p_exact, write_files

REASONS = ("unparsed", "budget", "overflow", "error")
"""Reasons of invalid answers (`legalrr.records.Verdict.reason`)."""
MISS = """\
An answer that cannot be read as YES or NO is invalid: a miss in the class of its gold outcome, never a false positive.
"""
BOUNDS = """\
Invalid wrong to right: macro-F1 with every invalid answer read as the wrong outcome, and with every one as the right
one. p Holm, bound: with the invalid answers of the better arm wrong and those of the other right. A difference counts
as shown only if both p are below 0.05.
"""
LEFT_OUT = """\
An answer that cannot be read as YES or NO is invalid: {treatment}. Scores are of different judgments where n differs;
differences are on the judgments that both arms have.
"""
RULES = """\
Macro-F1 is the mean of F1 over the two classes. FPR: gold dismissed, answered allowed, of all gold dismissed.
FNR: gold allowed, not answered allowed, of all gold allowed. MCC: correlation of outcome and answer; p skill: the
answers permuted against the outcomes, two-sided mid-p, not adjusted; empty where all answers are the same.
Near-duplicates are one unit of every interval and test. [-]: no interval is defined."""
PAIR_RULES = """\
Macro-F1 less that of the reference arm on the same judgments. b, c: judgments that only the arm, only the reference
gets right. p Holm: the permutation p, adjusted over the distinct differences of arms from the reference arm (arms with
the same prompts and answers are one); baselines and probes are families of their own. The permutation test rules: an
interval that would leave out 0 beside p permutation > 0.05 is extended to 0. Baselines that answer everything alike are
not tested: see p skill. Smallest detectable: the true difference, as discordant judgments beside those observed, that
the permutation test would have found with power 0.8; -: so few judgments can show none."""
RESULT_COLUMNS = (
    *("sweep", "job", "label", "arm", "family", "corpus", "split", "segment", "backbone", "layout", "order", "reading"),
    *("scoring", "overflow", "limit", "seed", "reference", "repetition", "turn_tokens", "invalid_answers"),
    *("status", "problem"),
    *("n", "gold_allowed", "gold_dismissed", "macro_f1", "macro_f1_low", "macro_f1_high", "interval_note"),
    *("f1_allowed", "f1_dismissed", "precision_allowed", "precision_dismissed", "recall_allowed", "recall_dismissed"),
    *("accuracy", "fpr", "fnr", "mcc", "yes_rate", "brier", "invalid_rate"),
    *(f"invalid_{reason}" for reason in REASONS),
    *("cut_off_rate", "unlabelled", "skipped", "shortened", "dropped_tokens", "prompt_tokens", "new_tokens"),
    *("interval_method", "mcc_low", "mcc_high", "p_skill", "clusters"),
    *("macro_f1_invalid_wrong", "macro_f1_invalid_right"),
)
"""Columns of results.csv; `seconds_<stage>` follow. Rates have six decimals, empty means undefined or not known."""
PAIR_COLUMNS = (
    *SETUP_COLUMNS,
    *("repetition", "invalid_answers"),
    *("sweep", "job", "label", "arm", "family", "reference", "reference_sweep", "reference_job"),
    *("n", "difference", "difference_low", "difference_high", "interval_note"),
    *("p_permutation", "p_holm", "p_mcnemar", "b", "c", "smallest_detectable", "note", "clusters"),
    *("difference_bound", "p_permutation_bound", "p_holm_bound", "shown"),
)
"""Columns of pairs.csv; corpus to seed are those of the group, so a baseline stands there once per backbone."""


def write_tables(report: Report, folder: Path) -> list[Path]:
    """Writes the tables, each whole or not at all; returns their paths."""
    texts = {
        "results.csv": results_csv(report),
        "results.md": results_md(report),
        "results.tex": results_tex(report),
        "pairs.csv": pairs_csv(report),
    }
    further = {
        "repeats.csv": repeats_csv(report),
        "readings.csv": readings_csv(report),
        "explanations.csv": explanations_csv(report),
        "measured.csv": measured_csv(report),
    }
    texts |= {file: text for file, text in further.items() if text}
    return write_files(folder, texts)


def results_csv(report: Report) -> str:
    """A row per cell, failed and unfinished ones included; where invalid answers are left out, a row per row of a
    group, as a baseline is then scored on other judgments in each."""
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
    """A row per row of a group that is not its reference arm."""
    rows = (_pair(group, pair, report) for group in report.groups for pair in group.pairs)
    return Table.from_records(rows, PAIR_COLUMNS).csv()


def measured_csv(report: Report) -> str:
    """A row per backbone that was measured by itself; "" where none was."""
    columns = measured_columns(measured_rows(report))
    return Table.from_records(columns, tuple(columns[0])).csv() if columns else ""


def results_md(report: Report) -> str:
    """The compact view in Markdown, a section per group."""
    parts = ["# Results", rules(report)]
    for group in shown_groups(report):
        parts += [f"## {title(group)}", "\n".join(f"- {line}" for line in treatment(group, report))]
        parts.append(scores_view(group).markdown())
        if group.pairs:
            parts += ["### Differences", PAIR_RULES, differences_view(group).markdown(), finding(group)]
    for section in sections(report):
        parts += [f"## {section.title}", "\n".join(f"- {line}" for line in section.lines)]
        for heading, explained, view in section.tables:
            parts += [f"### {heading}" if heading else "", explained, view.markdown()]
    if rows := measured_rows(report):
        parts += ["## Backbones", MEASURED_RULES, measured_view(rows).markdown()]
    missing = missing_view(report)
    if missing.rows:
        parts += ["## Cells without scores", missing.markdown()]
    return "\n\n".join(part for part in parts if part) + "\n"


def results_tex(report: Report) -> str:
    """The compact view for LaTeX (booktabs), a tabular per group; its treatment stands above it as comments."""
    parts = ["".join(f"% {line}\n" for line in rules(report).splitlines())]
    for group in shown_groups(report):
        parts.append(_tabular(scores_view(group), (title(group), *treatment(group, report))))
    for section in sections(report):
        for heading, explained, view in section.tables:
            about = (section.title, *section.lines, *([heading] if heading else []), *explained.splitlines())
            parts.append(_tabular(view, about))
    return "\n".join(parts)


def rules(report: Report) -> str:
    """How the scores of a report come about."""
    if report.invalid != "miss":
        return LEFT_OUT.format(treatment=TREATMENTS[report.invalid]) + RULES
    invalid = has_invalid(*(row.cases for group in report.groups for row in group.rows))
    return MISS + (BOUNDS if invalid else "") + RULES


def _tabular(table: Table, about: Sequence[str]) -> str:
    return "".join(f"% {line}\n" for line in about) + table.latex()


def _result(cell: Cell, report: Report) -> dict[str, object]:
    row: dict[str, object] = {"sweep": cell.sweep, "job": cell.job, "label": cell.label, "status": cell.status}
    row |= {"problem": why(cell), "invalid_answers": report.invalid}
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
        if cases:
            # Without an invalid answer both are the score itself.
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


def _pair(group: Group, pair: Pair, report: Report) -> dict[str, object]:
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
