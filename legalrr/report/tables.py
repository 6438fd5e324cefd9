"""Writes the tables: results.csv and pairs.csv with every column, results.md and results.tex to be read.

Nothing in them depends on when or where a sweep ran, or on what the store held: two runs of the same sweep give the
same bytes, but for the columns `seconds_*` of results.csv.
"""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from legalrr.records import OUTCOMES
from legalrr.report.cells import Cell
from legalrr.report.groups import Group, Pair, Report, finding
from legalrr.report.views import View, differences_view, fixed, missing_view, scores_view, title, treatment, why
from legalrr.score.prediction import Scores
from legalrr.store import write_atomically

REASONS = ("unparsed", "budget", "overflow", "error")
"""Reasons of invalid answers (`legalrr.records.Verdict.reason`)."""
RULES = """\
An answer that cannot be read as YES or NO is invalid: a miss in the class of its gold outcome, never a false positive.
Macro-F1 is the mean of F1 over the two classes. FPR: gold dismissed, answered allowed, of all gold dismissed.
FNR: gold allowed, not answered allowed, of all gold allowed. [-]: no interval is defined."""
PAIR_RULES = """\
Macro-F1 less that of the reference arm on the same judgments. b, c: judgments that only the arm, only the reference
gets right. p Holm: the permutation p, adjusted over the arms of this table; baselines and probes are families of their
own. Smallest detectable: the true difference that a two-sided 5 % test would have found with power 0.8."""
RESULT_COLUMNS = (
    *("sweep", "job", "label", "arm", "family", "corpus", "split", "segment", "backbone", "layout", "order", "reading"),
    *("scoring", "overflow", "limit", "seed", "reference", "turn_tokens", "status", "problem"),
    *("n", "gold_allowed", "gold_dismissed", "macro_f1", "macro_f1_low", "macro_f1_high", "interval_note"),
    *("f1_allowed", "f1_dismissed", "precision_allowed", "precision_dismissed", "recall_allowed", "recall_dismissed"),
    *("accuracy", "fpr", "fnr", "mcc", "yes_rate", "brier", "invalid_rate"),
    *(f"invalid_{reason}" for reason in REASONS),
    *("cut_off_rate", "unlabelled", "skipped", "shortened", "dropped_tokens", "prompt_tokens", "new_tokens"),
)
"""Columns of results.csv; `seconds_<stage>` follow. Rates have six decimals, empty means undefined or not known."""
SETUP_COLUMNS = ("corpus", "split", "segment", "backbone", "layout", "reading", "overflow", "limit", "seed")
PAIR_COLUMNS = (
    *SETUP_COLUMNS,
    *("sweep", "job", "label", "arm", "family", "reference", "reference_sweep", "reference_job"),
    *("n", "difference", "difference_low", "difference_high", "interval_note"),
    *("p_permutation", "p_holm", "p_mcnemar", "b", "c", "smallest_detectable", "note"),
)
"""Columns of pairs.csv; corpus to seed are those of the group, so a baseline stands there once per backbone."""


def write_tables(report: Report, folder: Path) -> list[Path]:
    """Writes results.csv, results.md, results.tex and pairs.csv, each whole or not at all; returns their paths."""
    texts = {
        "results.csv": results_csv(report),
        "results.md": results_md(report),
        "results.tex": results_tex(report),
        "pairs.csv": pairs_csv(report),
    }
    for file, text in texts.items():
        write_atomically(folder / file, text)
    return [folder / file for file in texts]


def results_csv(report: Report) -> str:
    """A row per cell, failed and unfinished ones included."""
    stages = sorted({f"seconds_{stage}" for cell in report.cells for stage in cell.seconds})
    return _csv([_result(cell) for cell in report.cells], (*RESULT_COLUMNS, *stages))


def pairs_csv(report: Report) -> str:
    """A row per row of a group that is not its reference arm."""
    return _csv([_pair(group, pair) for group in report.groups for pair in group.pairs], PAIR_COLUMNS)


def results_md(report: Report) -> str:
    """The compact view in Markdown, a section per group."""
    parts = ["# Results", RULES]
    for group in report.groups:
        parts += [f"## {title(group)}", "\n".join(f"- {line}" for line in treatment(group, report))]
        parts.append(_markdown(scores_view(group)))
        if group.pairs:
            parts += ["### Differences", PAIR_RULES, _markdown(differences_view(group)), finding(group.pairs)]
    missing = missing_view(report)
    if missing.rows:
        parts += ["## Cells without scores", _markdown(missing)]
    return "\n\n".join(part for part in parts if part) + "\n"


def results_tex(report: Report) -> str:
    """The compact view for LaTeX (booktabs), a tabular per group; its treatment stands above it as comments."""
    import pandas as pd

    parts = ["".join(f"% {line}\n" for line in RULES.splitlines())]
    for group in report.groups:
        view = scores_view(group)
        frame = pd.DataFrame(view.rows, columns=list(view.header))
        head = "".join(f"% {line}\n" for line in (title(group), *treatment(group, report)))
        sides = "".join("r" if view.is_number(column) else "l" for column in range(len(view.header)))
        parts.append(head + frame.to_latex(index=False, escape=True, column_format=sides))
    return "\n".join(parts)


def _result(cell: Cell) -> dict[str, object]:
    row: dict[str, object] = {"sweep": cell.sweep, "job": cell.job, "label": cell.label, "status": cell.status}
    row["problem"] = why(cell)
    if cell.setup is not None:
        row |= {column: getattr(cell.setup, column) for column in ("arm", "family", "order", "scoring", "reference")}
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
    if scores.interval is not None:
        row["macro_f1_low"], row["macro_f1_high"] = (fixed(bound, 6) for bound in scores.interval)
    return row | {f"invalid_{reason}": scores.invalid.get(reason, 0) for reason in REASONS}


def _pair(group: Group, pair: Pair) -> dict[str, object]:
    cell, setup, found = pair.row.cell, pair.row.setup, pair.comparison
    row: dict[str, object] = {column: getattr(group.setup, column) for column in SETUP_COLUMNS}
    row |= {"sweep": cell.sweep, "job": cell.job, "label": cell.label, "note": pair.note}
    row |= {"arm": setup.arm, "family": setup.family, "reference": setup.reference}
    if pair.reference is not None:
        row |= {"reference_sweep": pair.reference.cell.sweep, "reference_job": pair.reference.cell.job}
    if found is not None:
        row |= {"n": found.n, "b": found.b, "c": found.c, "interval_note": found.interval_note}
        row |= {
            name: fixed(getattr(found, name), 6)
            for name in ("difference", "p_permutation", "p_mcnemar", "smallest_detectable")
        }
        row["p_holm"] = fixed(pair.p_holm, 6)
        if found.interval is not None:
            row["difference_low"], row["difference_high"] = (fixed(bound, 6) for bound in found.interval)
    return row


def _csv(rows: Sequence[Mapping[str, object]], columns: Sequence[str]) -> str:
    """Whole numbers and strings as they are, None and what a row lacks as empty."""
    import pandas as pd

    frame = pd.DataFrame([{**dict.fromkeys(columns), **row} for row in rows], columns=list(columns), dtype=object)
    return frame.to_csv(index=False, lineterminator="\n")


def _markdown(view: View) -> str:
    def line(cells: Iterable[str]) -> str:
        return "| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |"

    marks = ["---:" if view.is_number(column) else "---" for column in range(len(view.header))]
    return "\n".join([line(view.header), line(marks), *(line(row) for row in view.rows)])
