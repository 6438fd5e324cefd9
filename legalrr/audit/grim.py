"""GRIM test of means over repeated runs: whether whole errors summed over runs give a printed mean and deviation.

Over k runs on the same P positives, the mean FNR is S / (kP) with S the misses of all runs; its standard deviation
(k - 1 below) fixes the sum of squares of the misses, which must be a whole number of the parity of S and at least
S^2 / k. These are the tests known as GRIM (Brown and Heathers 2017, doi 10.1177/1948550616673876) and GRIMMER (Anaya
2016, doi 10.7287/peerj.preprints.2400). The mean macro-F1 is not a function of the sums; it is bounded by the least and
the largest that runs with these sums can have.
"""

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from legalrr.audit.rates import SLACK, rate
from legalrr.audit.table import Figure, Printed, ReportedCell

MAX_RUNS = 10
"""Largest number of runs that is tried where it is not stated."""
LINEAR = {"fpr": (1, False), "tnr": (1, True), "fnr": (2, False), "tpr": (2, True)}
"""Rate -> row of the counts in its numerator, and whether it is the complement of that share."""


@dataclass(frozen=True, kw_only=True)
class RunCases:
    """The cases of repeated runs, each answered in every run."""

    n: int
    positives: int
    runs: int


@dataclass(frozen=True, kw_only=True)
class Sums:
    """Possible errors over all runs."""

    fp: tuple[int, ...]
    """False positives."""
    fn: tuple[int, ...]
    """Misses."""


def fits_runs(cell: ReportedCell, cases: RunCases, *, means: bool = True) -> Sums | None:
    """Find the sums that the captions of a cell allow; None where no runs give its figures.

    Args:
        cell: figures that are means over runs; only FPR, FNR, their complements, accuracy and macro-F1 are checked.
        cases: number of cases and runs.
        means: whether to check the means of macro-F1 and accuracy, too.
    """
    negatives = cases.n - cases.positives
    errors: dict[int, set[int]] = {
        1: set(range(cases.runs * negatives + 1)),
        2: set(range(cases.runs * cases.positives + 1)),
    }
    for caption, figure in cell.figures.items():
        if caption in LINEAR:
            row, complement = LINEAR[caption]
            size = negatives if row == 1 else cases.positives
            errors[row] &= set(_sums(figure, size, cases.runs, complement=complement))
    pairs = [(fp, fn) for fp in errors[1] for fn in errors[2]] if all(errors.values()) else []
    if means and not any(caption in LINEAR for caption in cell.figures):
        # Without a rate the sums are not restricted.
        return Sums(fp=tuple(sorted(errors[1])), fn=tuple(sorted(errors[2])))
    if means:
        for caption in ("accuracy", "macro_f1"):
            if caption in cell.figures:
                pairs = [pair for pair in pairs if _mean_allows(caption, cell.figures[caption], cases, *pair)]
    if not pairs:
        return None
    return Sums(fp=tuple(sorted({fp for fp, _ in pairs})), fn=tuple(sorted({fn for _, fn in pairs})))


def _sums(figure: Figure, size: int, runs: int, *, complement: bool) -> Iterator[int]:
    """Find the sums over runs, of `size` cases each, that give a printed mean and deviation."""
    total = size * runs
    low, high = figure.bounds(figure.scale)
    # A rate of no cases is undefined; it can be printed as 0 or 1.
    if not size and not (low <= 0 <= high or low <= 1 <= high):
        return
    if complement:
        low, high = 1 - high, 1 - low
    for errors in range(max(0, math.ceil((low - SLACK) * total)), min(total, math.floor((high + SLACK) * total)) + 1):
        if figure.sd is None or _deviation_allows(figure.sd, figure.scale, errors, size, runs):
            yield errors


def _deviation_allows(sd: Printed, scale: float, errors: int, size: int, runs: int) -> bool:
    """Check whether `runs` whole numbers up to `size` with this sum can have the printed deviation."""
    low, high = (max(bound, 0.0) / scale * size for bound in sd.bounds())
    slack = SLACK * max(1, size * size)
    least, most = (bound**2 * (runs - 1) + errors**2 / runs for bound in (low, high))
    whole, rest = divmod(errors, runs)
    flattest = rest * (whole + 1) ** 2 + (runs - rest) * whole**2
    full, part = divmod(errors, size) if size else (0, 0)
    steepest = full * size**2 + part**2
    squares = range(max(flattest, math.ceil(least - slack)), min(steepest, math.floor(most + slack)) + 1)
    return any((square - errors) % 2 == 0 for square in squares)


def _mean_allows(caption: str, figure: Figure, cases: RunCases, fp: int, fn: int) -> bool:
    low, high = figure.bounds(figure.scale)
    if caption == "accuracy":
        least = most = 1 - (fp + fn) / (cases.n * cases.runs)
    else:
        lows, highs = macro_f1_reach(cases)
        least, most = lows[fp, fn], highs[fp, fn]
    return bool(high + SLACK >= least and low - SLACK <= most)


@lru_cache(maxsize=4)
def macro_f1_reach(cases: RunCases) -> tuple[np.ndarray, np.ndarray]:
    """Compute the least and the largest mean macro-F1 by the summed errors, shapes (runs N + 1, runs P + 1).

    By dynamic programming over runs: the extreme sum of macro-F1 with some errors is the extreme one without the errors
    of the last run, plus the macro-F1 of that run.
    """
    p, q = cases.positives, cases.n - cases.positives
    fp, fn = np.meshgrid(np.arange(q + 1), np.arange(p + 1), indexing="ij")
    none = np.zeros_like(fp)
    one = rate("macro_f1", np.stack([p - fn, fp, fn, q - fp, none, none]))
    least = most = one
    for run in range(2, cases.runs + 1):
        shape = (run * q + 1, run * p + 1)
        lows, highs = np.full(shape, np.inf), np.full(shape, -np.inf)
        for i in range(q + 1):
            for j in range(p + 1):
                window = np.s_[i : i + least.shape[0], j : j + least.shape[1]]
                lows[window] = np.minimum(lows[window], least + one[i, j])
                highs[window] = np.maximum(highs[window], most + one[i, j])
        least, most = lows, highs
    return least / cases.runs, most / cases.runs
