"""When a stage ends, and how the learning rate falls until then."""

import time
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """Of one stage: by steps, by the clock of the run, or by whichever is over first."""

    steps: int | None
    """How many steps; None: as many as there is time for."""
    begun: float
    """Seconds on the clock when the stage began."""
    until: float | None
    """Seconds on the clock when it ends; None: there is time without end."""
    warmup: int
    """Steps in which the rate rises."""

    def spent(self, step: int, clock: float) -> float:
        """Share of the stage that is over, from 0 to 1, before step `step` (from 0) at `clock` seconds."""
        shares = [0.0]
        if self.steps is not None:
            shares.append(step / self.steps if self.steps else 1.0)
        if self.until is not None:
            length = self.until - self.begun
            shares.append((clock - self.begun) / length if length > 0 else 1.0)
        return min(1.0, max(shares))

    def factor(self, step: int, clock: float) -> float:
        """Share of its peak that the learning rate has in a step: up in a line, then down in one to 0 at the end."""
        rise = min(1.0, (step + 1) / (self.warmup + 1))
        return rise * (1.0 - self.spent(step, clock))


class Clock:
    """Seconds that a run has taken, those before it was interrupted among them.

    Args:
        before: seconds that it had taken.
    """

    def __init__(self, before: float) -> None:
        self._started = time.perf_counter() - before

    def seconds(self) -> float:
        """Seconds so far."""
        return time.perf_counter() - self._started
