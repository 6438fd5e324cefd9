"""The smallest difference that the permutation test of a table finds with power 0.8 on so many judgments.

The population that is tested (`Population`) answers as was observed, but for two changes:

1. There is no difference in it: what was observed is as often so as with the two sides swapped. The judgments on which
   they differ are its churn, b = c. One judgment is added to it, so that a few judgments on which both sides happen to
   agree do not promise too much.
2. A share d of the judgments is set apart: there the one side is right and the other wrong, over both outcomes as they
   occur. They are added to the churn, and are the true difference.

The smallest detectable difference is the macro-F1 (or effect) of the least d at which the test has power 0.8. It
depends on how often sides disagree, not on the difference that was observed, and is never below what the test can reach
at all: without churn it needs six judgments on one side.

The test is that of `legalrr.score.permutation`. Its statistic is taken to be linear in the answers around the
population: each judgment adds its value, or takes it off when swapped. With few judgments that differ (`FEW` in the
mean) samples are drawn and each is tested; the signs are those of a group of 2,048 sign changes, all of them for up to
eleven judgments. With more of them, statistic and null distribution are normal:

    power = Phi((sqrt(n) m - z_.975 sqrt(q)) / sqrt(q - m^2)),     m, q: mean and mean square of a judgment's value

Every draw has a fixed seed: the same answers give the same number.
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
FEW = 60
"""Up to so many judgments that differ, in the mean, the test is simulated."""
SAMPLES = 1200
"""Samples that are drawn and tested."""
BITS = 11
"""The sign changes of the simulated test are a group of 2 to the power of this many."""
CLOSE = 0.004
"""The search for a power ends so near to it."""
STEPS = 8
"""Steps of that search, at most."""
STEP = 1e-5
"""Share of the judgments by which counts are moved to find out what a judgment adds to a statistic."""
MOST = 10_000_000
"""Where the search for a number of judgments gives up."""


@dataclass(frozen=True, kw_only=True)
class Values:
    """What the judgments (units) that differ add to a statistic; each may also be taken off."""

    churn: Floats
    """Sizes of the values that are as often added as taken off, shape (m,)."""
    churn_shares: Floats
    """Shares of all units, shape (m,)."""
    added: Floats
    """Values that are always added, shape (a,)."""
    added_shares: Floats
    """Shares of all units, shape (a,)."""

    def power(self, n: int) -> float:
        """Probability that the two-sided permutation test at `LEVEL` rejects with n units."""
        shares = np.concatenate([self.churn_shares, self.added_shares])
        sizes = np.concatenate([self.churn, self.added])
        if n * shares.sum() <= FEW:
            return self._simulated(n, sizes, shares)
        return _normal(n, float(self.added_shares @ self.added), float(shares @ sizes**2))

    def judgments(self) -> int:
        """Units with `POWER`, were statistic and null distribution normal; where a search for their number begins."""
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
        return float(np.mean(rejected(values)))


def smallest_shift(differences: Floats) -> float | None:
    """The smallest true mean of paired differences, shape (n,), that the sign-flip test finds with `POWER`.

    The difference is the same for every judgment; what is left of each is as often above as below it, and as large as
    was observed. None where the test finds nothing at all, as with fewer than six judgments, and where all differences
    are the same, so that any would be found.
    """
    n, rest = len(differences), np.abs(differences - differences.mean())
    spread = math.sqrt(float(rest @ rest) / max(n - 1, 1))
    if n < 2 or spread < 1e-12:
        return None
    if n > FEW:
        # power = Phi((sqrt(n) m - z sqrt(s^2 + m^2)) / s) with the mean m and the standard deviation s
        return _shift(lambda shift: _normal(n, shift, shift**2 + spread**2), spread / math.sqrt(n))
    rng = np.random.default_rng(0)
    residuals = rng.choice(rest, size=(n, SAMPLES)) * rng.choice([-1.0, 1.0], size=(n, SAMPLES))
    residuals *= math.sqrt(n / max(n - 1, 1))
    return _shift(lambda shift: float(np.mean(rejected(residuals + shift))), spread / math.sqrt(n))


def _shift(power: Callable[[float], float], error: float) -> float | None:
    """The least shift with `POWER`, up to 50 standard errors."""
    most = 50 * error
    share = _least(lambda share: power(share * most), 3 / 50)
    return None if share is None else share * most


def _normal(n: int, mean: float, square: float) -> float:
    """Power of the test with n units whose values have this mean and mean square."""
    from scipy.special import ndtr, ndtri

    reach = float(ndtri(1 - LEVEL / 2)) * math.sqrt(square)
    error = math.sqrt(max(square - mean**2, 0.0))
    ends = math.sqrt(n) * mean - reach, -math.sqrt(n) * mean - reach
    return float(sum(ndtr(end / error) if error else float(end >= 0) for end in ends))


def rejected(values: Floats) -> Floats:
    """Whether the sign-flip test of the sum rejects at `LEVEL`, for samples of values of shape (m, r); shape (r,).

    The nonzero values of a sample stand before its zeros.
    """
    scale = np.abs(values).max(initial=0.0)
    if scale == 0:
        return np.zeros(values.shape[1])
    scaled = (values / scale).astype(np.float32)
    null = _signs(len(values)) @ scaled
    observed = scaled.sum(axis=0)
    # Sums of the same values in another order are the same.
    near = np.float32(1e-4)
    tails = np.minimum(
        np.count_nonzero(null >= observed - near, axis=0), np.count_nonzero(null <= observed + near, axis=0)
    )
    found: Floats = (2 * tails <= LEVEL * len(null)).astype(np.float64)
    return found


@lru_cache(maxsize=4)
def _signs(width: int) -> npt.NDArray[np.float32]:
    """Signs of shape (2^BITS, width): a group under multiplication, so that a test over its rows keeps its level.

    Row p, column j is -1 to the power of the bits that p and the number of the column share. The first columns have the
    numbers 1, 2, 4, ..., so that all their sign changes occur alike; the others distinct random numbers.
    """
    rows = np.arange(2**BITS)
    numbers = [2**bit for bit in range(BITS)]
    others = [number for number in range(1, 2**BITS) if number not in numbers]
    numbers += np.random.default_rng(0).permutation(others).tolist()
    columns = np.array([numbers[place % len(numbers)] for place in range(width)], dtype=np.int64)
    shared: npt.NDArray[np.int64] = np.bitwise_and.outer(rows, columns)
    for shift in (8, 4, 2, 1):
        shared = shared ^ (shared >> shift)
    return (1 - 2 * (shared & 1)).astype(np.float32)


@dataclass(frozen=True, kw_only=True)
class Population:
    """Answers that do not differ but for a share of the judgments, on which one side is right and the other wrong."""

    swap: Swap
    """The answers that were observed."""

    @property
    def n(self) -> int:
        """Units: judgments, or clusters of them."""
        return sum(side.sample.n for side in self.swap.sides)

    def difference(self, share: float) -> float:
        """The true value of the statistic where this share of the judgments is set apart."""
        return float(self.swap.statistic(*(_counts(side, share)[:, None] for side in self.swap.sides))[0, 0])

    def values(self, share: float) -> Values:
        """What the judgments add to the statistic where this share of them is set apart."""
        own = [_counts(side, share) for side in self.swap.sides]
        pooled = [(one + _turned(one, side)) / 2 for one, side in zip(own, self.swap.sides, strict=True)]
        churn, shares, added, added_shares = [], [], [], []
        for place, side in enumerate(self.swap.sides):
            adds = self._adds(pooled, place)
            sample, swapped = side.sample.indicators, side.swapped.indicators
            value = np.abs(np.einsum("cmk,ck->m", sample - swapped, adds)) / 2
            differ = value > 1e-12
            churn.append(value[differ])
            shares.append((1 - share) * side.sample.sizes[differ] / self.n)
            for gold, apart in _set_apart(side):
                added.append(float(np.sum(apart * adds)))
                added_shares.append(share * gold * side.sample.n / self.n)
        sizes, often = np.concatenate(churn), np.concatenate(shares)
        # One judgment more, of a middling value: few judgments that happen to agree are no promise that others do.
        one = float(often @ sizes / often.sum()) if often.sum() > 0 else float(np.mean(np.abs(added)))
        return Values(
            churn=np.append(sizes, one),
            churn_shares=np.append(often, (1 - share) / self.n),
            added=np.array(added),
            added_shares=np.array(added_shares),
        )

    def smallest(self) -> float | None:
        """The smallest difference that the test finds with `POWER`; None where it finds none at all."""
        share = _least(lambda share: self.values(share).power(self.n), self._guess())
        return None if share is None else self.difference(share)

    def needed(self, difference: float) -> int | None:
        """Units with which the test finds a difference of this size; None for none, or where over `MOST` are needed."""
        wanted = abs(difference)
        if wanted == 0:
            return None
        low, high = 0.0, 1.0
        for _ in range(50):
            middle = (low + high) / 2
            low, high = (middle, high) if self.difference(middle) < wanted else (low, middle)
        values = self.values(high)
        below, above = 0, values.judgments()
        if above > MOST:
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
        """A share near to that with `POWER`: six judgments, and what the churn asks for beside them."""
        values = self.values(0.0)
        weight = float(np.mean(values.added)) or 1.0
        churn = float(values.churn_shares @ values.churn**2) / weight**2
        return min(0.9, (7 + 2.8 * math.sqrt(self.n * churn)) / self.n)

    def _adds(self, pooled: Sequence[Counts], place: int) -> Floats:
        """What one answer more adds to the statistic, per code and column of one side, shape (6, k)."""
        base = pooled[place]
        codes, columns = base.shape
        step = STEP * base.sum() / columns
        more = np.broadcast_to(base[:, None], (codes, codes * columns, columns)).copy()
        for at in range(codes * columns):
            more[at // columns, at, at % columns] += step
        others = [np.broadcast_to(one[:, None], (codes, codes * columns, one.shape[1])) for one in pooled]
        others[place] = more
        at_rest = float(self.swap.statistic(*(one[:, None] for one in pooled))[0, 0])
        slopes = (self.swap.statistic(*others)[:, 0] - at_rest) / step
        # An answer that nobody gives, to an outcome that does not occur, would make a score jump.
        gold = np.repeat([base[:3].sum() > 0, base[3:].sum() > 0], 3)
        found: Floats = slopes.reshape(codes, columns) * gold[:, None]
        return found


def _set_apart(side: SwapColumns) -> list[tuple[float, Counts]]:
    """Per outcome: its share, and how a judgment of it is answered where one side is right and the other wrong."""
    base = side.sample.counts(side.sample.sizes[None])[:, 0]
    columns = np.concatenate([side.first, side.second])
    outcomes = base[:3, columns].sum(), base[3:, columns].sum()
    each = base.sum(axis=0) / side.sample.n
    found = []
    for count, right, wrong in zip(outcomes, (0, 4), (1, 3), strict=True):
        apart = np.zeros_like(base)
        apart[right, side.first], apart[wrong, side.second] = each[side.first], each[side.second]
        found.append((float(count / sum(outcomes)), apart))
    return found


def _counts(side: SwapColumns, share: float) -> Counts:
    """Counts of shape (6, k) in the population, as large as the sample."""
    base = side.sample.counts(side.sample.sizes[None])[:, 0]
    alike = (base + _turned(base, side)) / 2
    apart = np.sum([gold * one for gold, one in _set_apart(side)], axis=0) * side.sample.n
    columns = np.concatenate([side.first, side.second])
    found: Counts = alike.copy()
    found[:, columns] = (1 - share) * alike[:, columns] + share * apart[:, columns]
    return found


def _turned(counts: Counts, side: SwapColumns) -> Counts:
    """Counts of shape (6, k) with the columns of the two sides swapped."""
    turned = counts.copy()
    turned[:, side.first], turned[:, side.second] = counts[:, side.second], counts[:, side.first]
    return turned


def _least(power: Callable[[float], float], guess: float) -> float | None:
    """The least share at which a rising power reaches `POWER`; None where it never does.

    Regula falsi on the normal scale, on which power is nearly straight.
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
    for _ in range(STEPS):
        middle = low + (high - low) * min(max(-at_low / (at_high - at_low), 0.1), 0.9)
        at_middle = scaled(middle)
        if abs(at_middle) < CLOSE / 0.28:
            return middle
        if at_middle < 0:
            low, at_low = middle, at_middle
        else:
            high, at_high = middle, at_middle
    return low + (high - low) * -at_low / (at_high - at_low)
