"""Write and print the tables, figures and page of a sweep: while it runs, at its end, and on demand.

Printed tables have colours and lines in a terminal, and plain columns elsewhere.
"""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.utils import JobReturn
from hydra.experimental.callback import Callback
from hydra.types import RunMode
from omegaconf import DictConfig

from legalrr.printable import one_line
from legalrr.report.backbone_metrics import RULES, measured_rows, measured_svg, measured_view
from legalrr.report.compare import Report, finding, read_report
from legalrr.report.figures import forest_svg
from legalrr.report.load import gc_paused
from legalrr.report.sections import sections, shown_groups
from legalrr.report.table_view import differences_view, group_title, missing_view, scores_view, treatment
from legalrr.report.tables import write_tables
from legalrr.store import make_folder, write_atomically
from legalrr.tables import standard_output

if TYPE_CHECKING:
    from rich.console import Console


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


REBUILD_SECONDS = 30.0
"""Minimum seconds between rebuilds of a running sweep: each reads and compares all cells."""


class SweepTables(Callback):
    """Hydra callback that keeps the tables of a sweep up to date; Hydra calls `on_job_end` after failed jobs too.

    Hydra does not call `on_multirun_end` for an interrupted sweep: the command then writes the tables of the finished
    cells.
    """

    def __init__(self, pause: float = REBUILD_SECONDS) -> None:
        self._pause = pause
        self._rebuilt: float | None = None

    def on_job_end(self, config: DictConfig, job_return: JobReturn, **kwargs: Any) -> None:
        """Rebuild after a job of a sweep, unless the last rebuild was less than the pause ago."""
        if config.hydra.mode != RunMode.MULTIRUN:
            return
        if self._rebuilt is None or time.monotonic() - self._rebuilt >= self._pause:
            self._rebuild(config)

    def on_multirun_end(self, config: DictConfig, **kwargs: Any) -> None:
        """Rebuild after the last job."""
        self._rebuild(config)

    def _rebuild(self, config: DictConfig) -> None:
        try:
            rebuild(Path(config.hydra.sweep.dir))
        finally:
            self._rebuilt = time.monotonic()


def rebuild(folder: Path) -> list[Path]:
    """Write tables and figures of a sweep or single-run folder into it, and return their paths.

    Raises:
        UserError: The folder has no cells, or a file of a cell is damaged.
    """
    return write_report(read_report([folder]), folder)


@gc_paused()
def write_page(report: Report, folders: Sequence[Path], folder: Path, *, megabytes: float | None = None) -> Path:
    """Write report.html into an existing folder, and return its path.

    The page takes longer than the tables: it is written at the end of a sweep, and on demand.

    Args:
        report: Report read from `folders`.
        folders: Run folders.
        folder: Output folder.
        megabytes: Size limit of prompts and answers; None: the default.

    Raises:
        UserError: A file of a cell is damaged, or changed since it was read.
    """
    from legalrr.report.html.page import MEGABYTES, report_page

    path = folder / "report.html"
    write_atomically(path, report_page(report, folders, megabytes=MEGABYTES if megabytes is None else megabytes))
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
