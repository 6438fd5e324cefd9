"""The command `legalrr`: one cell, or with an experiment or commas a sweep of cells.

legalrr experiment=quickstart
legalrr arm=dr corpus=lawai50 limit=6
legalrr experiment=paper corpus=lawai50,marro backbone=smollm2
"""

import sys
from collections import Counter
from pathlib import Path

from legalrr.cli import main

__all__ = ["main", "run_experiment"]


def run_experiment() -> None:
    """Run Hydra over `run_cell`; exit status 2 for bad input, with one line that says what, where and what to do."""
    from hydra.core.plugins import Plugins
    from hydra.errors import HydraException
    from omegaconf.errors import OmegaConfBaseException

    from hydra_plugins.together_launcher import TogetherLauncher
    from legalrr.configuration import run_hydra
    from legalrr.errors import UserError
    from legalrr.job import Job

    job = Job()
    Plugins.instance().register(TogetherLauncher)
    status, ended = 0, False
    try:
        run_hydra(job, "config")
        ended = True
        if job.failures:
            status = 2
            _complain(job.failures)
    except (UserError, HydraException, OmegaConfBaseException) as error:
        status = 2
        lines = f"{error}\n{error.__cause__ or ''}".splitlines()
        _complain(job.failures or [("", " ".join(lines))])
    except KeyboardInterrupt:
        status = 130
        print("legalrr: interrupted; the same command goes on where this one stopped", file=sys.stderr)
    finally:
        for folder in job.folders:
            _tell(folder, job.calls, tables=not ended)
    sys.exit(status)


def _complain(failures: list[tuple[str, str]]) -> None:
    """One line per distinct failure, given as (cell, message)."""
    for message in dict.fromkeys(message for _, message in failures):
        cells = [number for number, said in failures if said == message]
        which = f"cells {', '.join(cells)}: " if len(failures) > 1 else ""
        print(f"legalrr: {which}{' '.join(message.split())}", file=sys.stderr)


def _tell(folder: Path, calls: Counter[str], *, tables: bool) -> None:
    """Print the tables of a sweep or a single cell, write its page, and say where all of it lies.

    With `tables` they are written too: Hydra's callback does that at the end of a sweep, but not of an interrupted one.
    """
    from legalrr.report.console import show
    from legalrr.report.sweep import write_page, write_report

    report = show(folder)
    if tables:
        write_report(report, folder)
    page = write_page(report, [folder], folder)
    print(f"\nmodel calls: {calls['made']} made, {calls['stored']} from the store")
    results = folder / "results.md"
    print(f"report: {results if results.exists() else folder}\npage: {page}")


if __name__ == "__main__":
    main()
