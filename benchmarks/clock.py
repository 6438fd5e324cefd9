"""Time a function call."""

import statistics
import time
from collections.abc import Callable


def seconds(run: Callable[[], object], *, runs: int) -> float:
    """Return the median wall time of `runs` calls after one warm-up call, in seconds."""
    run()
    times = []
    for _ in range(runs):
        started = time.perf_counter()
        run()
        times.append(time.perf_counter() - started)
    return statistics.median(times)
