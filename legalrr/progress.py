"""Progress of long work: a bar on a terminal; elsewhere log lines at intervals, and one at the end.

The lines come from a timer thread, so that they appear while a single call is under way, e.g. to a server that hangs.
"""

import logging
import sys
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager

log = logging.getLogger(__name__)

FIRST = 5.0
"""Seconds until the first line."""
INTERVAL = 30.0
"""Seconds between the lines after it."""
BEATS = 10
"""Number of intervals that the shown rate is measured over: stored answers, which take no time, come in bursts."""


class _Count:
    """Number of finished units, with their rate.

    Args:
        label: name of the work.
        total: number of units.
        unit: name of the units.
        detail: return what else there is to say.
    """

    def __init__(self, label: str, total: int, unit: str, detail: Callable[[], str] | None = None) -> None:
        self.label = label
        self.total = total
        self.unit = unit
        self.detail = detail
        self.done = 0
        self.started = self.last = time.perf_counter()
        self._earlier = deque([(self.started, 0)], maxlen=BEATS)

    def add(self, by: int) -> None:
        """Count further units."""
        self.done += by
        if by:
            self.last = time.perf_counter()

    def seconds(self) -> float:
        """Return the seconds since the start."""
        return time.perf_counter() - self.started

    def rate(self) -> str:
        """Return the rate since the start."""
        return f"{self.done / max(self.seconds(), 1e-9):.1f} {self.unit}/s"

    def waited(self) -> str:
        """Return the time since the last finished unit."""
        return duration(time.perf_counter() - self.last)

    def line(self) -> str:
        """Return the state as a line, and note it as the start of a later interval."""
        return self._line() + (f"; {self.detail()}" if self.detail else "")

    def _line(self) -> str:
        now, done = time.perf_counter(), self.done
        (since, before), state = self._earlier[0], f"{self.label}: {done}/{self.total} {self.unit}"
        self._earlier.append((now, done))
        if done == before:
            return f"{state}, none finished for {self.waited()}"
        speed = (done - before) / max(now - since, 1e-9)
        left = duration(max(self.total - done, 0) / speed)
        return f"{state}, {speed:.2g} {self.unit}/s, about {left} left; last finished {self.waited()} ago"


@contextmanager
def progress(
    label: str,
    total: int,
    unit: str,
    *,
    detail: Callable[[], str] | None = None,
    first: float = FIRST,
    interval: float = INTERVAL,
) -> Iterator[Callable[[int], None]]:
    """Show the progress of `total` units of work.

    Args:
        label: name of the work ("predict").
        total: number of units.
        unit: name of the units ("calls").
        detail: return what else there is to say, for the end of a line.
        first: seconds until the first line, where standard error is not a terminal.
        interval: seconds between the lines after it.

    Yields:
        a function that reports a number of further units as done.
    """
    count = _Count(label, total, unit, detail)
    if not total:
        yield count.add
        return
    if sys.stderr.isatty():
        with _bar(count) as advance:
            yield advance
    else:
        with _heartbeat(count.line, first, interval):
            yield count.add
    log.info("%s: %d %s in %.1f s (%s)", label, count.done, unit, count.seconds(), count.rate())


@contextmanager
def working(label: str, *, first: float = FIRST, interval: float = INTERVAL) -> Iterator[None]:
    """Show that work without countable units is under way: a spinner on a terminal, elsewhere lines at intervals.

    Args:
        label: name of the work ("load smollm2").
        first: seconds until the first line, where standard error is not a terminal.
        interval: seconds between the lines after it.
    """
    if sys.stderr.isatty():
        from rich.console import Console
        from rich.text import Text

        with Console(stderr=True).status(Text(label)):
            yield
        return
    started = time.perf_counter()
    with _heartbeat(lambda: f"{label}: {duration(time.perf_counter() - started)} so far", first, interval):
        yield


@contextmanager
def _heartbeat(line: Callable[[], str], first: float, interval: float) -> Iterator[None]:
    """Log a line after `first` seconds and then every `interval` seconds, until the block ends."""
    ended = threading.Event()

    def beat() -> None:
        wait = min(first, interval)
        while not ended.wait(wait):
            log.info("%s", line())
            wait = interval

    thread = threading.Thread(target=beat, name="progress", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


@contextmanager
def _bar(count: _Count) -> Iterator[Callable[[int], None]]:
    """Show a bar with rate, remaining time, and time since the last finished unit."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, Task, TextColumn, TimeRemainingColumn
    from rich.text import Text

    class Waited(TextColumn):
        def render(self, task: Task) -> Text:
            waits = time.perf_counter() - count.last >= FIRST
            return Text(f"last {count.waited()} ago" if waits else "")

    class Detail(TextColumn):
        def render(self, task: Task) -> Text:
            return Text(count.detail() if count.detail else "")

    columns = (
        TextColumn("{task.description:<12}", markup=False),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}", markup=False),
        TimeRemainingColumn(),
        Waited(""),
        Detail(""),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(count.label, total=count.total, rate="")

        def advance(by: int) -> None:
            count.add(by)
            bar.update(task, advance=by, rate=count.rate())

        yield advance


def duration(seconds: float) -> str:
    """Return a duration in words: `42 s`, `3 min 30 s`, `2 h 5 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
