"""Compute the smallest difference that the permutation test of a table detects with power 0.8.

It is computed from a population (`Population`) with the observed answers, changed in two ways:

1. The population has no difference: each observed pair of answers is as frequent as its swap. The judgments on which
   the sides differ are its churn, b = c. One judgment is added to the churn, because few judgments may agree by chance.
2. On a share d of the judgments, spread over both outcomes as they occur, one side is right and the other wrong. They
   are added to the churn, and are the true difference.

The smallest detectable difference is the macro-F1 difference (or effect) of the least d at which the test has power
0.8. It depends on how often the sides disagree, not on the observed difference, and is never below what the test can
reach: without churn it needs six judgments on one side.

The test is that of `legalrr.score.permutation`. Its statistic is linearised at the population: each judgment
contributes its value, with reversed sign when swapped. If few judgments differ (`SIMULATED_UNITS` in expectation),
samples are drawn and tested; the signs are those of a group of 2,048 sign changes, which are all of them for up to
eleven judgments. Otherwise statistic and null distribution are taken as normal:

    power = Phi((sqrt(n) m - z_.975 sqrt(q)) / sqrt(q - m^2)),     m, q: mean and mean square of a judgment's value

Seeds are fixed: the same answers give the same number.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from legalrr.score.metrics import Counts, Floats
from legalrr.score.permutation import Swap, SwapColumns

LEVEL = 0.05
"""Significance level, two-sided."""
POWER = 0.8
"""Power for which the smallest detectable difference is stated."""
SIMULATED_UNITS = 60
"""Greatest expected number of differing units at which the test is simulated."""
SAMPLES = 1200
"""Number of simulated samples."""
SIGN_BITS = 11
"""Binary logarithm of the number of sign changes of the simulated test."""
POWER_TOLERANCE = 0.004
"""Distance from `POWER` at which the search for it ends."""
MAX_STEPS = 8
"""Greatest number of steps of that search."""
SLOPE_STEP = 1e-5
"""Step of the numerical derivative of a statistic, as a share of the judgments."""
MAX_JUDGMENTS = 10_000_000
"""Upper limit of the search for a number of judgments."""


@dataclass(frozen=True, kw_only=True)
class UnitValues:
    """Contributions of the differing units (judgments or clusters) to a statistic; swapping reverses their sign."""

    churn: Floats
    """Absolute contributions with either sign equally likely, shape (m,)."""
    churn_shares: Floats
    """Their shares of all units, shape (m,)."""
    added: Floats
    """Contributions that are always positive, shape (a,)."""
    added_shares: Floats
    """Their shares of all units, shape (a,)."""

    def power(self, n: int) -> float:
        """Compute the probability that the two-sided permutation test rejects at `LEVEL` with n units."""
        shares = np.concatenate([self.churn_shares, self.added_shares])
        sizes = np.concatenate([self.churn, self.added])
        if n * shares.sum() <= SIMULATED_UNITS:
            return self._simulated(n, sizes, shares)
        return _normal_power(n, float(self.added_shares @ self.added), float(shares @ sizes**2))

    def judgments(self) -> int:
        """Return the number of units for `POWER` by the normal approximation; the start of a search."""
        from scipy.special import ndtri

        mean = float(self.added_shares @ self.added)
        square = float(self.churn_shares @ self.churn**2 + self.added_shares @ self.added**2)
        reach, error = float(ndtri(1 - LEVEL / 2)) * math.sqrt(square), math.sqrt(max(square - mean**2, 0.0))
        return max(1, math.ceil(((reach + float(ndtri(POWER)) * error) / mean) ** 2))

    def _simulated(self, n: int, sizes: Floats, shares: Floats) -> float:
        from scipy import stats

        total = float(shares.sum())
        rng = np.random.default_rng(0)
        differ = stats.binom.ppf((np.arange(SAMPLES) + 0.5) / SAMPLES, n, min(total, 1.0)).astype(np.int64)
        most = int(differ.max())
        kind = np.searchsorted(np.cumsum(shares) / total, rng.random((most, SAMPLES)), side="right")
        kind = np.minimum(kind, len(sizes) - 1)
        sign = np.where((kind < len(self.churn)) & (rng.random((most, SAMPLES)) < 0.5), -1.0, 1.0)
        values = np.where(np.arange(most)[:, None] < differ, sizes[kind] * sign, 0.0)
        return float(np.mean(sign_flip_rejects(values)))


def smallest_shift(differences: Floats) -> float | None:
    """Compute the smallest true mean of paired differences, shape (n,), that the sign-flip test detects with `POWER`.

    The true difference is the same for every judgment; residuals are as large as observed, with random signs. None if
    the test detects no difference, as with fewer than six judgments, and if all differences are equal, so that it would
    detect any.
    """
    n, rest = len(differences), np.abs(differences - differences.mean())
    sd = math.sqrt(float(rest @ rest) / max(n - 1, 1))
    if n < 2 or sd < 1e-12:
        return None
    if n > SIMULATED_UNITS:
        # power = Phi((sqrt(n) m - z sqrt(s^2 + m^2)) / s) with the mean m and the standard deviation s
        return _smallest_mean(lambda shift: _normal_power(n, shift, shift**2 + sd**2), sd / math.sqrt(n))
    rng = np.random.default_rng(0)
    residuals = rng.choice(rest, size=(n, SAMPLES)) * rng.choice([-1.0, 1.0], size=(n, SAMPLES))
    residuals *= math.sqrt(n / max(n - 1, 1))
    return _smallest_mean(lambda shift: float(np.mean(sign_flip_rejects(residuals + shift))), sd / math.sqrt(n))


def _smallest_mean(power: Callable[[float], float], error: float) -> float | None:
    """Return the smallest mean with `POWER`, up to 50 standard errors."""
    most = 50 * error
    share = _smallest_share(lambda share: power(share * most), 3 / 50)
    return None if share is None else share * most


def _normal_power(n: int, mean: float, square: float) -> float:
    """Compute the power of the test with n units whose values have this mean and mean square."""
    from scipy.special import ndtr, ndtri

    reach = float(ndtri(1 - LEVEL / 2)) * math.sqrt(square)
    error = math.sqrt(max(square - mean**2, 0.0))
    ends = math.sqrt(n) * mean - reach, -math.sqrt(n) * mean - reach
    return float(sum(ndtr(end / error) if error else float(end >= 0) for end in ends))


def sign_flip_rejects(values: Floats) -> Floats:
    """Return whether the sign-flip test of the sum rejects at `LEVEL`, for samples of shape (m, r); shape (r,).

    In each sample, nonzero values precede zeros.
    """
    scale = np.abs(values).max(initial=0.0)
    if scale == 0:
        return np.zeros(values.shape[1])
    scaled = (values / scale).astype(np.float32)
    null = _sign_matrix(len(values)) @ scaled
    observed = scaled.sum(axis=0)
    # Sums of the same values in another order count as equal.
    near = np.float32(1e-4)
    # In 16 bits, which hold the number of rows, sums take a third of the time of np.count_nonzero.
    above, below = null >= observed - near, null <= observed + near
    tails = np.minimum(above.sum(axis=0, dtype=np.uint16), below.sum(axis=0, dtype=np.uint16)).astype(np.int64)
    found: Floats = (2 * tails <= LEVEL * len(null)).astype(np.float64)
    return found


@lru_cache(maxsize=4)
def _sign_matrix(width: int) -> npt.NDArray[np.float32]:
    """Build signs of shape (2^SIGN_BITS, width): a group under multiplication, so that a test over its rows is exact.

    The sign at row p, column j is the parity of the bits shared by p and the number of the column. The first columns
    have the numbers 1, 2, 4, ..., so that all their sign changes occur equally often; the others distinct random ones.
    """
    rows = np.arange(2**SIGN_BITS)
    numbers = [2**bit for bit in range(SIGN_BITS)]
    others = [number for number in range(1, 2**SIGN_BITS) if number not in numbers]
    numbers += np.random.default_rng(0).permutation(others).tolist()
    columns = np.array([numbers[place % len(numbers)] for place in range(width)], dtype=np.int64)
    shared: npt.NDArray[np.int64] = np.bitwise_and.outer(rows, columns)
    for shift in (8, 4, 2, 1):
        shared = shared ^ (shared >> shift)
    return (1 - 2 * (shared & 1)).astype(np.float32)


@dataclass(frozen=True, kw_only=True)
class Population:
    """Population without a difference, except on a share of judgments where one side is right and the other wrong."""

    swap: Swap
    """The observed answers."""

    @property
    def n(self) -> int:
        """Number of units: judgments, or clusters of them."""
        return sum(side.sample.n for side in self.swap.sides)

    def difference(self, share: float) -> float:
        """Compute the true value of the statistic if this share of the judgments is one-sided."""
        return float(self.swap.statistic(*(_counts(side, share)[:, None] for side in self.swap.sides))[0, 0])

    def values(self, share: float) -> UnitValues:
        """Compute the contributions of the units if this share of the judgments is one-sided."""
        own = [_counts(side, share) for side in self.swap.sides]
        pooled = [(one + _swap_columns(one, side)) / 2 for one, side in zip(own, self.swap.sides, strict=True)]
        churn, shares, added, added_shares = [], [], [], []
        for place, side in enumerate(self.swap.sides):
            slopes = self._slopes(pooled, place)
            sample, swapped = side.sample.indicators, side.swapped.indicators
            value = np.abs(np.einsum("cmk,ck->m", sample - swapped, slopes)) / 2
            differ = value > 1e-12
            churn.append(value[differ])
            shares.append((1 - share) * side.sample.sizes[differ] / self.n)
            for gold, one_sided in _one_sided_counts(side):
                added.append(float(np.sum(one_sided * slopes)))
                added_shares.append(share * gold * side.sample.n / self.n)
        sizes, often = np.concatenate(churn), np.concatenate(shares)
        # One more judgment of average value, as few judgments may agree by chance.
        one = float(often @ sizes / often.sum()) if often.sum() > 0 else float(np.mean(np.abs(added)))
        return UnitValues(
            churn=np.append(sizes, one),
            churn_shares=np.append(often, (1 - share) / self.n),
            added=np.array(added),
            added_shares=np.array(added_shares),
        )

    def smallest(self) -> float | None:
        """Compute the smallest difference that the test detects with `POWER`; None if it detects none."""
        share = _smallest_share(lambda share: self.values(share).power(self.n), self._guess())
        return None if share is None else self.difference(share)

    def needed(self, difference: float) -> int | None:
        """Return the units needed to detect a difference of this size; None for 0, or if above `MAX_JUDGMENTS`."""
        target = abs(difference)
        if target == 0:
            return None
        low, high = 0.0, 1.0
        for _ in range(50):
            middle = (low + high) / 2
            low, high = (middle, high) if self.difference(middle) < target else (low, middle)
        values = self.values(high)
        below, above = 0, values.judgments()
        if above > MAX_JUDGMENTS:
            return None
        while values.power(above) < POWER:
            below, above = above, math.ceil(above * 1.2)
        while below == 0 and above > 1:
            lower = int(above / 1.2)
            below, above = (lower, above) if values.power(lower) < POWER else (0, lower)
        while above - below > max(1, above // 200):
            middle_n = (below + above) // 2
            below, above = (middle_n, above) if values.power(middle_n) < POWER else (below, middle_n)
        return above

    def _guess(self) -> float:
        """Estimate the share with `POWER`: six judgments, and more in proportion to the churn."""
        values = self.values(0.0)
        weight = float(np.mean(values.added)) or 1.0
        churn = float(values.churn_shares @ values.churn**2) / weight**2
        return min(0.9, (7 + 2.8 * math.sqrt(self.n * churn)) / self.n)

    def _slopes(self, pooled: Sequence[Counts], place: int) -> Floats:
        """Compute the derivative of the statistic by the counts of one side, per code and column, shape (6, k)."""
        base = pooled[place]
        codes, columns = base.shape
        step = SLOPE_STEP * base.sum() / columns
        more = np.broadcast_to(base[:, None], (codes, codes * columns, columns)).copy()
        for at in range(codes * columns):
            more[at // columns, at, at % columns] += step
        others = [np.broadcast_to(one[:, None], (codes, codes * columns, one.shape[1])) for one in pooled]
        others[place] = more
        at_rest = float(self.swap.statistic(*(one[:, None] for one in pooled))[0, 0])
        slopes = (self.swap.statistic(*others)[:, 0] - at_rest) / step
        # At counts of an outcome that does not occur, a score is discontinuous.
        gold = np.repeat([base[:3].sum() > 0, base[3:].sum() > 0], 3)
        found: Floats = slopes.reshape(codes, columns) * gold[:, None]
        return found


def _one_sided_counts(side: SwapColumns) -> list[tuple[float, Counts]]:
    """Return, per outcome, its share and the codes of a judgment on which one side is right and the other wrong."""
    base = side.sample.counts(side.sample.sizes[None])[:, 0]
    columns = np.concatenate([side.first, side.second])
    outcomes = base[:3, columns].sum(), base[3:, columns].sum()
    each = base.sum(axis=0) / side.sample.n
    found = []
    for count, right, wrong in zip(outcomes, (0, 4), (1, 3), strict=True):
        codes = np.zeros_like(base)
        codes[right, side.first], codes[wrong, side.second] = each[side.first], each[side.second]
        found.append((float(count / sum(outcomes)), codes))
    return found


def _counts(side: SwapColumns, share: float) -> Counts:
    """Return the counts of the population, shape (6, k), scaled to the size of the sample."""
    base = side.sample.counts(side.sample.sizes[None])[:, 0]
    null = (base + _swap_columns(base, side)) / 2
    one_sided = np.sum([gold * one for gold, one in _one_sided_counts(side)], axis=0) * side.sample.n
    columns = np.concatenate([side.first, side.second])
    found: Counts = null.copy()
    found[:, columns] = (1 - share) * null[:, columns] + share * one_sided[:, columns]
    return found


def _swap_columns(counts: Counts, side: SwapColumns) -> Counts:
    """Return counts of shape (6, k) with the columns of the two sides swapped."""
    swapped = counts.copy()
    swapped[:, side.first], swapped[:, side.second] = counts[:, side.second], counts[:, side.first]
    return swapped


def _smallest_share(power: Callable[[float], float], guess: float) -> float | None:
    """Find the least share at which an increasing power reaches `POWER`; None if it never does.

    Regula falsi on the probit scale, on which power is nearly linear.
    """
    from scipy.special import ndtri

    def scaled(share: float) -> float:
        return float(ndtri(min(max(power(share), 1e-4), 1 - 1e-4)) - ndtri(POWER))

    low, high = 0.0, guess
    at_low, at_high = scaled(low), scaled(high)
    while at_high < 0:
        if high == 1.0:
            return None
        low, at_low, high = high, at_high, min(1.0, 1.5 * high)
        at_high = scaled(high)
    for _ in range(MAX_STEPS):
        middle = low + (high - low) * min(max(-at_low / (at_high - at_low), 0.1), 0.9)
        at_middle = scaled(middle)
        if abs(at_middle) < POWER_TOLERANCE / 0.28:
            return middle
        if at_middle < 0:
            low, at_low = middle, at_middle
        else:
            high, at_high = middle, at_middle
    return low + (high - low) * -at_low / (at_high - at_low)
