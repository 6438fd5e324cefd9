"""Rebuilds what lies next to the cells of a sweep, tables and figure: while it runs, at its end, and on demand."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from hydra.core.utils import JobReturn
from hydra.experimental.callback import Callback
from hydra.types import RunMode
from omegaconf import DictConfig

from legalrr.report.forest import forest_svg
from legalrr.report.groups import Report, read_report
from legalrr.report.measured import measured_rows
from legalrr.report.measured_figure import measured_svg
from legalrr.report.tables import write_tables
from legalrr.store import make_folder, write_atomically
from legalrr.uncollected import uncollected

PAUSE = 30.0
"""Seconds from one rebuild of a running sweep to the next: each reads and compares all cells that there are."""


class SweepTables(Callback):
    """Keeps the tables of a sweep up to date: Hydra calls `on_job_end` after failed jobs too.

    A sweep that is interrupted has no `on_multirun_end`: the command then writes the tables of what is there.
    """

    def __init__(self, pause: float = PAUSE) -> None:
        self._pause = pause
        self._rebuilt: float | None = None

    def on_job_end(self, config: DictConfig, job_return: JobReturn, **kwargs: Any) -> None:
        """Rebuild after a job of a sweep, unless that was done within the pause."""
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
    """Writes tables and figure of a sweep or single-run folder into it; returns their paths.

    Raises:
        UserError: the folder has no cells, or a file of a cell is damaged.
    """
    return write_report(read_report([folder]), folder)


@uncollected()
def write_page(report: Report, folders: Sequence[Path], folder: Path, *, megabytes: float | None = None) -> Path:
    """Writes report.html into a folder, which must be there; returns its path.

    It takes longer than the tables, so it is written once a sweep is over, and on demand.

    Args:
        report: what was read from `folders`.
        folders: where it was read from.
        folder: where to.
        megabytes: what prompts and answers may take in it; None: the usual size.

    Raises:
        UserError: a file of a cell is damaged, or changed meanwhile.
    """
    from legalrr.report.page.page import MEGABYTES, report_page

    path = folder / "report.html"
    write_atomically(path, report_page(report, folders, megabytes=MEGABYTES if megabytes is None else megabytes))
    return path


def write_report(report: Report, folder: Path) -> list[Path]:
    """Writes a report's tables and, where there is a score, its figures into a folder; makes it; returns their paths.

    Raises:
        UserError: the folder cannot be made.
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
