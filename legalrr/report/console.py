"""Prints the tables: with colours and lines in a terminal, as plain columns elsewhere."""

from pathlib import Path
from typing import TYPE_CHECKING

from legalrr.report.groups import Report, finding, read_report
from legalrr.report.measured import RULES, measured_rows, measured_view
from legalrr.report.sections import sections, shown_groups
from legalrr.report.views import differences_view, missing_view, scores_view, title, treatment
from legalrr.tables import standard_output

if TYPE_CHECKING:
    from rich.console import Console

PIPE_WIDTH = 260
"""Columns where no terminal says how wide it is; wide enough that no cell is wrapped."""


def show(folder: Path, console: "Console | None" = None) -> Report:
    """Print the tables of a sweep or single-run folder, and return its report; raises UserError as `read_report`
    does."""
    report = read_report([folder])
    show_report(report, console)
    return report


def show_report(report: Report, console: "Console | None" = None) -> None:
    """Print the tables of a report.

    Args:
        report: what to print.
        console: where to; None: standard output.
    """
    console = console or standard_output(PIPE_WIDTH)
    for group in shown_groups(report):
        console.print()
        console.print(title(group), style="bold", markup=False, highlight=False)
        for line in treatment(group, report):
            console.print(line, style="dim", markup=False, highlight=False)
        scores_view(group).show(console)
        if group.pairs:
            differences_view(group).show(console)
            console.print(finding(group), markup=False, highlight=False)
    for section in sections(report):
        console.print()
        console.print(section.title, style="bold", markup=False, highlight=False)
        for line in section.lines:
            console.print(line, style="dim", markup=False, highlight=False)
        for heading, _, view in section.tables:
            if heading:
                console.print(heading, markup=False, highlight=False)
            view.show(console)
    if rows := measured_rows(report):
        console.print()
        console.print("Backbones", style="bold", markup=False, highlight=False)
        for line in RULES.splitlines():
            console.print(line, style="dim", markup=False, highlight=False)
        measured_view(rows).show(console)
    missing = missing_view(report)
    if missing.rows:
        console.print()
        console.print("Cells without scores", style="bold", markup=False, highlight=False)
        missing.show(console)
