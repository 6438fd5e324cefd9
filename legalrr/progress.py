"""Progress of long work: a bar with rate and remaining time on a terminal, and a final log line everywhere."""

import logging
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

log = logging.getLogger(__name__)


@contextmanager
def progress(label: str, total: int, unit: str) -> Iterator[Callable[[int], None]]:
    """Show the progress of `total` units of work.

    Args:
        label: name of the work ("predict").
        total: number of units.
        unit: name of the units ("calls").

    Yields:
        a function that reports a number of further units as done.
    """
    done = 0
    started = time.perf_counter()
    if sys.stderr.isatty() and total:
        from rich.console import Console
        from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

        columns = (
            TextColumn("{task.description:<12}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[rate]}", markup=False),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
            task = bar.add_task(label, total=total, rate="")

            def advance(by: int) -> None:
                nonlocal done
                done += by
                bar.update(task, advance=by, rate=_rate(done, started, unit))

            yield advance
    else:

        def count(by: int) -> None:
            nonlocal done
            done += by

        yield count
    if total:
        log.info(
            "%s: %d %s in %.1f s (%s)", label, done, unit, time.perf_counter() - started, _rate(done, started, unit)
        )


def _rate(done: int, started: float, unit: str) -> str:
    return f"{done / max(time.perf_counter() - started, 1e-9):.1f} {unit}/s"
