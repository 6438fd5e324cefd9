"""The command `legalrr`: one cell, or with an experiment or commas a sweep of cells.

legalrr experiment=quickstart
legalrr arm=dr corpus=lawai50 limit=6
legalrr experiment=paper corpus=lawai50,marro backbone=smollm2
"""

import logging
import os
import sys
from collections import Counter
from pathlib import Path

import hydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from legalrr.errors import UserError
from legalrr.places import root

log = logging.getLogger("legalrr")


def main() -> None:
    """Run Hydra over `run_cell`; exit status 2 for bad input, with one line that says what, where and what to do."""
    # Hydra would print its own traceback and exit with 1; this way every exception comes back here.
    os.environ["HYDRA_FULL_ERROR"] = "1"
    failures: list[tuple[str, str]] = []
    sweeps: list[Path] = []
    calls: Counter[str] = Counter()
    here = os.getpid()

    @hydra.main(version_base="1.3", config_path=str(root() / "conf"), config_name="config")
    def job(config: DictConfig) -> None:
        from legalrr.cell import run_cell
        from legalrr.pipeline import build_pipeline
        from legalrr.run_folder import write_error

        place = HydraConfig.get()
        folder = Path(place.runtime.output_dir)
        if place.mode == RunMode.MULTIRUN and not sweeps:
            sweeps.append(Path(place.sweep.dir))
        try:
            pipeline = build_pipeline(config)
            if place.mode == RunMode.MULTIRUN:
                log.info("[%s] %s", place.job.num, place.job.override_dirname)
            calls.update(run_cell(pipeline, folder)["calls"])
        except Exception as error:
            # The traceback goes to the cell's log file alone; the console says it once, at the end.
            log.debug("cell failed", exc_info=True)
            write_error(folder, error)
            failures.append((str(place.job.num) if place.mode == RunMode.MULTIRUN else "", str(error)))
            # Of what is raised, Hydra prints a line of its own; from a worker process that is how the launcher knows.
            if isinstance(error, UserError) and os.getpid() == here:
                return
            raise
        if place.mode == RunMode.RUN:
            _tell(folder, calls)

    status = 0
    try:
        job()
        if failures:
            status = 2
            _complain(failures)
    except (UserError, HydraException, OmegaConfBaseException) as error:
        status = 2
        lines = f"{error}\n{error.__cause__ or ''}".splitlines()
        _complain(failures or [("", " ".join(lines))])
    except KeyboardInterrupt:
        status = 130
        print("legalrr: interrupted; the same command goes on where this one stopped", file=sys.stderr)
    finally:
        for sweep in sweeps:
            _tell(sweep, calls)
    sys.exit(status)


def _complain(failures: list[tuple[str, str]]) -> None:
    """One line per distinct failure, given as (cell, message)."""
    for message in dict.fromkeys(message for _, message in failures):
        cells = [number for number, said in failures if said == message]
        which = f"cells {', '.join(cells)}: " if len(failures) > 1 else ""
        print(f"legalrr: {which}{' '.join(message.split())}", file=sys.stderr)


def _tell(folder: Path, calls: Counter[str]) -> None:
    """Print the tables of a sweep or a single cell, and where they lie."""
    from legalrr.report.console import show

    show(folder)
    print(f"\nmodel calls: {calls['made']} made, {calls['stored']} from the store")
    tables = folder / "results.md"
    print(f"report: {tables if tables.exists() else folder}")


if __name__ == "__main__":
    main()
