"""Write and print the tables, figures and page of a sweep: while it runs, at its end, and on demand.

results.md and results.tex are for reading, the CSV files have all columns. The tables do not depend on time, place or
stored calls: two runs of the same sweep give the same bytes, except for the columns `seconds_*` of results.csv. Printed
tables have colours and lines in a terminal, and plain columns elsewhere.
"""

import logging
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.utils import JobReturn
from hydra.experimental.callback import Callback
from hydra.types import RunMode
from omegaconf import DictConfig

from legalrr.errors import UserError, one_line
from legalrr.files import make_folder, write_atomically
from legalrr.latex import TEXT_WIDTH, breakable, latex_line
from legalrr.report.backbone_metrics import RULES, measured_rows, measured_svg, measured_view
from legalrr.report.backbone_metrics import RULES as MEASURED_RULES
from legalrr.report.compare import Report, finding, read_report
from legalrr.report.csv_tables import explanations_csv, measured_csv, pairs_csv, readings_csv, repeats_csv, results_csv
from legalrr.report.figures import forest_svg
from legalrr.report.html.sample import TextSample
from legalrr.report.leak_answer import leak_answer
from legalrr.report.load import gc_paused
from legalrr.report.sections import sections, shown_groups
from legalrr.report.summary import arm_warnings, summary_line
from legalrr.report.table_view import (
    differences_view,
    group_title,
    missing_view,
    scores_view,
    treatment,
)
from legalrr.score.cases import INVALID_POLICIES
from legalrr.score.invalid_bounds import has_invalid
from legalrr.tables import Table, markdown_line, standard_output, write_files

if TYPE_CHECKING:
    from rich.console import Console


log = logging.getLogger(__name__)

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
TABLE_RULES = """\
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
    warnings = (f"> **{markdown_line(one.text)}**" for one in arm_warnings(report))
    parts = ["# Results", *warnings, markdown_line(summary_line(report)) + ".", rules(report)]
    for group in shown_groups(report):
        parts += [f"## {markdown_line(group_title(group))}", _bullets(treatment(group, report))]
        parts.append(scores_view(group).markdown())
        if group.pairs:
            parts += ["### Differences", PAIR_RULES, differences_view(group).markdown()]
            parts.append(markdown_line(finding(group)))
        parts.append(markdown_line(leak_answer(group)))
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
    """Return the display tables in LaTeX (booktabs), those of each group below its settings as comments.

    They fit the text of an article in one column (`legalrr.latex`).
    """
    parts = ["".join(f"% {line}\n" for line in rules(report).splitlines())]
    for one in arm_warnings(report):
        parts.append(f"{{\\small\\raggedright\\noindent {breakable(one.text, TEXT_WIDTH / 2)}\\par\\medskip}}\n")
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
        return LEFT_OUT.format(treatment=INVALID_POLICIES[report.invalid]) + TABLE_RULES
    invalid = has_invalid(*(row.cases for group in report.groups for row in group.rows))
    return MISS + (BOUNDS if invalid else "") + TABLE_RULES


def _tabular(table: Table, about: Sequence[str]) -> str:
    comments = "".join(f"% {latex_line(line)}\n" for line in about)
    return f"{comments}\\begingroup\\small\\noindent\n{table.latex()}\\par\\medskip\\endgroup\n"


def _bullets(lines: Sequence[str]) -> str:
    return "\n".join(f"- {markdown_line(line)}" for line in lines)


PIPE_WIDTH = 260
"""Width in columns without a terminal; no cell is wrapped."""


def show(folder: Path, console: "Console | None" = None) -> Report:
    """Print the tables of a sweep or single-run folder, and return its report; raises UserError as `read_report`."""
    report = read_report([folder])
    show_report(report, console)
    return report


def show_report(report: Report, console: "Console | None" = None) -> None:
    """Print the tables of a report.

    Args:
        report: Report to print.
        console: Console to print to; None: standard output.
    """
    console = console or standard_output(PIPE_WIDTH)
    for group in shown_groups(report):
        console.print()
        console.print(one_line(group_title(group)), style="bold", markup=False, highlight=False)
        for line in treatment(group, report):
            console.print(one_line(line), style="dim", markup=False, highlight=False)
        scores_view(group).show(console)
        if group.pairs:
            differences_view(group).show(console)
            console.print(one_line(finding(group)), markup=False, highlight=False)
        if answer := leak_answer(group):
            console.print(one_line(answer), style="bold", markup=False, highlight=False)
    for section in sections(report):
        console.print()
        console.print(one_line(section.title), style="bold", markup=False, highlight=False)
        for line in section.lines:
            console.print(one_line(line), style="dim", markup=False, highlight=False)
        for heading, _, view in section.tables:
            if heading:
                console.print(one_line(heading), markup=False, highlight=False)
            view.show(console)
    if rows := measured_rows(report):
        console.print()
        console.print("Backbones", style="bold", markup=False, highlight=False)
        for line in RULES.splitlines():
            console.print(one_line(line), style="dim", markup=False, highlight=False)
        measured_view(rows).show(console)
    missing = missing_view(report)
    if missing.rows:
        console.print()
        console.print("Cells without scores", style="bold", markup=False, highlight=False)
        missing.show(console)
    # At the end, where a terminal stops.
    for one in arm_warnings(report):
        console.print()
        console.print(one_line(one.text), style="bold red", markup=False, highlight=False)


FILES = (
    *("results.csv", "results.md", "results.tex", "pairs.csv", "repeats.csv", "readings.csv", "explanations.csv"),
    *("measured.csv", "macro_f1.svg", "measured.svg", "report.html"),
)
"""Names of all files that a report may write, in this order."""
REBUILD_SECONDS = 30.0
"""Minimum seconds between rebuilds of a running sweep: each reads and compares all cells."""


class SweepTables(Callback):
    """Hydra callback that keeps the tables of a sweep up to date; Hydra calls `on_job_end` after failed jobs too.

    The command itself writes the tables of a sweep that has ended or was interrupted: Hydra would turn an error of a
    callback into a warning.
    """

    def __init__(self, pause: float = REBUILD_SECONDS) -> None:
        self._pause = pause
        self._rebuilt: float | None = None

    def on_job_end(self, config: DictConfig, job_return: JobReturn, **kwargs: Any) -> None:
        """Rebuild after a job of a sweep, unless the last rebuild was less than the pause ago."""
        if config.hydra.mode != RunMode.MULTIRUN:
            return
        if self._rebuilt is not None and time.monotonic() - self._rebuilt < self._pause:
            return
        try:
            rebuild(Path(config.hydra.sweep.dir))
        except UserError as error:
            log.debug("tables left to the end of the sweep: %s", error)
        self._rebuilt = time.monotonic()


def rebuild(folder: Path) -> list[Path]:
    """Write tables and figures of a sweep or single-run folder into it, and return their paths.

    Raises:
        UserError: The folder has no cells, or a file of a cell is damaged.
    """
    return write_report(read_report([folder]), folder)


@gc_paused()
def write_page(report: Report, folders: Sequence[Path], folder: Path, *, sample: TextSample | None = None) -> Path:
    """Write report.html into an existing folder, and return its path.

    The page takes longer than the tables: it is written at the end of a sweep, and on demand.

    Args:
        report: Report read from `folders`.
        folders: Run folders.
        folder: Output folder.
        sample: Judgments whose texts are in the page; None: the default.

    Raises:
        UserError: A file of a cell is damaged, or changed since it was read.
    """
    from legalrr.report.html.page import report_page

    path = folder / "report.html"
    write_atomically(path, report_page(report, folders, sample=sample))
    return path


def write_report(report: Report, folder: Path) -> list[Path]:
    """Write the tables of a report, and its figures if it has scores, into a folder; return their paths.

    Raises:
        UserError: The folder cannot be created.
    """
    make_folder(folder)
    paths = write_tables(report, folder)
    figures = {}
    if report.groups:
        figures["macro_f1.svg"] = forest_svg(report)
    if rows := measured_rows(report):
        figures["measured.svg"] = measured_svg(rows)
    for name, figure in figures.items():
        write_atomically(folder / name, figure)
        paths.append(folder / name)
    return paths
