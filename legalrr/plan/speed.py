"""Predict the seconds of planned calls from a few measured ones.

A batch takes

    rows o + n a + (past + n / 2) n b + steps (c + (rows - 1) d + seen e)

with n tokens that are read after `past` others, and `steps` tokens that each row writes while the states of `seen`
tokens are read; rows of one beginning share its states. The six numbers are the non-negative least squares of the
relative errors of the measurements. `legalrr.plan.schedule` predicts the batches.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

GOLDEN = (math.sqrt(5) - 1) / 2


@dataclass(frozen=True, kw_only=True)
class Work:
    """What a batch computes."""

    rows: int
    """Prompts."""
    read: float
    """Tokens read."""
    attended: float
    """Sum over the tokens read of the tokens before each."""
    steps: float
    """Tokens that the longest answer writes."""
    seen: float
    """Distinct tokens of the prompts, and half of each answer."""

    def terms(self) -> tuple[float, ...]:
        """Return the factors of the six numbers."""
        more = max(self.rows - 1, 0)
        return (self.rows, self.read, self.attended, self.steps, self.steps * more, self.steps * self.seen)


@dataclass(frozen=True, kw_only=True)
class Speed:
    """Speed of a backbone on a machine."""

    numbers: tuple[float, ...]
    """The six numbers, in seconds."""
    load: float
    """Seconds until the first answer: the load of the model."""
    measured: int
    """Number of measurements."""
    error: float
    """Mean relative error of the fit on them."""
    seconds: float
    """Duration of the calibration, without the load."""

    def time(self, work: Work) -> float:
        """Predict the seconds of a batch."""
        return float(np.dot(self.numbers, work.terms()))

    def step(self, rows: int, seen: float) -> float:
        """Predict the seconds of one token for each of some rows, whose prompts have `seen` distinct tokens."""
        whole = self.time(Work(rows=rows, read=0, attended=0, steps=1, seen=seen))
        return whole - self.time(Work(rows=rows, read=0, attended=0, steps=0, seen=seen))

    @property
    def prefill(self) -> float:
        """Tokens per second of reading a prompt of 1,024 tokens; infinity if it takes no time."""
        seconds = self.time(Work(rows=1, read=1024, attended=1024**2 / 2, steps=0, seen=0))
        return 1024 / seconds if seconds else math.inf

    @property
    def decode(self) -> float:
        """Tokens per second of writing one answer after 1,024 tokens; infinity if it takes no time."""
        seconds = self.step(1, 1024)
        return 1 / seconds if seconds else math.inf


def given_speed(reading: float, writing: float) -> Speed:
    """Return the speed of a model that reads and writes so many tokens per second, whatever it has read before."""
    return Speed(
        numbers=(0.0, 1 / reading, 0.0, 1 / writing, 1 / writing, 0.0),
        load=0.0,
        measured=0,
        error=0.0,
        seconds=0.0,
    )


def fit_speed(measured: Sequence[tuple[Work, float]], *, load: float, seconds: float) -> Speed:
    """Fit the six numbers to measured (work, seconds)."""
    from scipy.optimize import nnls

    times = np.array([max(taken, 1e-9) for _, taken in measured])
    terms = np.array([work.terms() for work, _ in measured]) / times[:, None]
    # Factors of very different sizes: scaled, so that the solver treats them alike.
    scale = np.maximum(np.abs(terms).max(axis=0), 1e-300)
    found, _ = nnls(terms / scale, np.ones(len(times)))
    numbers = found / scale
    error = float(np.mean(np.abs(terms @ numbers - 1)))
    return Speed(numbers=tuple(map(float, numbers)), load=load, measured=len(measured), error=error, seconds=seconds)


@dataclass
class AnswerLengths:
    """Lengths of answers by their limit; an answer of unknown length is as long as its limit."""

    known: dict[int, list[float]] = field(default_factory=dict)
    """Limit -> lengths, in tokens."""
    thoughts: int = 0
    """Tokens that a reasoning model may write in addition to a limit."""

    @property
    def count(self) -> int:
        """Number of known lengths."""
        return sum(map(len, self.known.values()))

    def add(self, limit: int, length: float) -> None:
        """Add the length of an answer."""
        self.known.setdefault(limit, []).append(length)

    def mean(self, limit: int) -> float:
        """Return the expected length of an answer."""
        found = self.known.get(limit)
        return float(np.mean(found)) if found else self.most(limit)

    def most(self, limit: int) -> float:
        """Return the most tokens of an answer; 0 if answers are compared."""
        return float(limit + self.thoughts) if limit else 0.0

    def spread(self, limit: int, number: int) -> float:
        """Return the length of the answer `number` of many, which are spread over the known lengths."""
        found = self.known.get(limit)
        # Multiples of the golden ratio fill the unit interval evenly.
        return sorted(found)[int(number * GOLDEN % 1 * len(found))] if found else self.most(limit)


def written_share(calls: Mapping[int, int], lengths: AnswerLengths) -> float:
    """Return the expected length of answers as a share of their limits; 1 without answers.

    Args:
        calls: limit -> number of answers.
        lengths: their lengths.
    """
    most = sum(lengths.most(limit) * count for limit, count in calls.items())
    return sum(lengths.mean(limit) * count for limit, count in calls.items()) / most if most else 1.0
