"""Write the tables of a report: results.md and results.tex for reading, and CSV files with all columns.

The tables do not depend on time, place or stored calls: two runs of the same sweep give the same bytes, except for the
columns `seconds_*` of results.csv.
"""

from collections.abc import Sequence
from pathlib import Path

from legalrr.report.backbone_metrics import RULES as MEASURED_RULES
from legalrr.report.backbone_metrics import measured_rows, measured_view
from legalrr.report.compare import Report, finding
from legalrr.report.csv_tables import explanations_csv, measured_csv, pairs_csv, readings_csv, repeats_csv, results_csv
from legalrr.report.sections import sections, shown_groups
from legalrr.report.table_view import (
    differences_view,
    group_title,
    missing_view,
    scores_view,
    treatment,
)
from legalrr.score.cases import INVALID_POLICIES
from legalrr.score.invalid_bounds import has_invalid
from legalrr.tables import Table, latex_line, markdown_line, write_files

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
the same prompts and answers are one); baselines and probes are separate families. The permutation test decides: an
interval that would leave out 0 beside p permutation > 0.05 is extended to 0. Constant baselines are not tested: see
p skill. Smallest detectable: the true difference, as discordant judgments in addition to those observed, that the
permutation test would have found with power 0.8; -: too few judgments to find any."""


def write_tables(report: Report, folder: Path) -> list[Path]:
    """Write the tables atomically, and return their paths."""
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


def results_md(report: Report) -> str:
    """Return the display tables in Markdown, with a section per group."""
    parts = ["# Results", rules(report)]
    for group in shown_groups(report):
        parts += [f"## {markdown_line(group_title(group))}", _bullets(treatment(group, report))]
        parts.append(scores_view(group).markdown())
        if group.pairs:
            parts += ["### Differences", PAIR_RULES, differences_view(group).markdown()]
            parts.append(markdown_line(finding(group)))
    for section in sections(report):
        parts += [f"## {markdown_line(section.title)}", _bullets(section.lines)]
        for heading, explained, view in section.tables:
            parts += [f"### {markdown_line(heading)}" if heading else "", explained, view.markdown()]
    if rows := measured_rows(report):
        parts += ["## Backbones", MEASURED_RULES, measured_view(rows).markdown()]
    missing = missing_view(report)
    if missing.rows:
        parts += ["## Cells without scores", missing.markdown()]
    return "\n\n".join(part for part in parts if part) + "\n"


def results_tex(report: Report) -> str:
    """Return the display tables in LaTeX (booktabs), a tabular per group below its settings as comments."""
    parts = ["".join(f"% {line}\n" for line in rules(report).splitlines())]
    for group in shown_groups(report):
        parts.append(_tabular(scores_view(group), (group_title(group), *treatment(group, report))))
    for section in sections(report):
        for heading, explained, view in section.tables:
            about = (section.title, *section.lines, *([heading] if heading else []), *explained.splitlines())
            parts.append(_tabular(view, about))
    return "\n".join(parts)


def rules(report: Report) -> str:
    """Return the definitions of the scores of a report."""
    if report.invalid != "miss":
        return LEFT_OUT.format(treatment=INVALID_POLICIES[report.invalid]) + RULES
    invalid = has_invalid(*(row.cases for group in report.groups for row in group.rows))
    return MISS + (BOUNDS if invalid else "") + RULES


def _tabular(table: Table, about: Sequence[str]) -> str:
    return "".join(f"% {latex_line(line)}\n" for line in about) + table.latex()


def _bullets(lines: Sequence[str]) -> str:
    return "\n".join(f"- {markdown_line(line)}" for line in lines)
