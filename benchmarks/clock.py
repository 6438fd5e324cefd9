"""How long a call takes."""

import statistics
import time
from collections.abc import Callable


def seconds(run: Callable[[], object], *, runs: int) -> float:
    """Median wall time of so many calls after one to warm up, in seconds."""
    run()
    times = []
    for _ in range(runs):
        started = time.perf_counter()
        run()
        times.append(time.perf_counter() - started)
    return statistics.median(times)
