"""Compute bootstrap and jackknife intervals over judgments.

Cuts numbers into bins that hold about equally many of them.

Bootstrap intervals that are either numbers or a reason why there are none, never a silent nan.

BCa: the bias-corrected and accelerated bootstrap (Efron 1987, doi 10.2307/2289144). With theta the statistic, B the
share of resamples below it (ties count half), theta_(i) the statistic without judgment i of one of the samples j:

    z0    = Phi^-1(B)
    U_i   = (n_j - 1) (mean of theta_(.) over sample j - theta_(i))
    a     = 1/6 sum_j [sum_i U_i^3 / n_j^3] / (sum_j [sum_i U_i^2 / n_j^2])^(3/2)
    bound = quantile of the resamples at Phi(z0 + (z0 + z) / (1 - a (z0 + z))), z = Phi^-1 of the nominal quantile

How often they hold the truth is simulated in tests/score/test_intervals.py: macro-F1 at 44 and 300 judgments within 2
points of the nominal 95 %. The difference of two arms has an interval of another kind (`legalrr.score.intervals`).

Jackknife intervals: standard error from leaving out one judgment at a time, bounds from Student's t.

With theta the statistic of n judgments and theta_(i) the one without judgment i (Tukey 1958; Efron and Tibshirani, An
Introduction to the Bootstrap, 1993, chapter 11):

    SE^2  = (n - 1) / n sum_i (theta_(i) - mean of theta_(.))^2
    bound = theta -+ t_{n-1} SE

For the paired difference of two arms and the effects of the switches. Only the judgments on which arms disagree move
them, a dozen of 44, and the quantiles of so few resampled values cover too little: the bootstrap's 95 % intervals of a
difference held the true one in 88 to 93 of 100 simulated samples of 44, these in 94 to 95 (tests/score/
test_jackknife.py; tests/score/test_effects.py for effects). A difference is about symmetric, so what BCa corrects in a
single macro-F1 is not missed.

Of several samples (corpora), the squares SE_j^2 add up, and t has the degrees of freedom of Welch (1947, doi
10.1093/biomet/34.1-2.28) and Satterthwaite:

    df = (sum_j SE_j^2)^2 / sum_j (SE_j^4 / (n_j - 1))
"""

import math
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import chain, combinations

import numpy as np
import numpy.typing as npt

from legalrr.score.metrics import Codes, Counts, Floats


def upper_edges(values: Floats, bins: int) -> Floats:
    """Upper edges of at most `bins` bins, rising and distinct; each is one of the values, equal values share a bin.

    A value belongs to the first bin whose upper edge is not below it: `np.searchsorted(edges, values)`.
    """
    return np.unique(np.quantile(values, np.linspace(0, 1, bins + 1)[1:], method="inverted_cdf"))


BATCH_CELLS = 4_000_000
"""Judgments held at once while resampling; bounds memory (a resample of n judgments takes 8 n bytes of indices)."""
EXACT = 6
"""All different resamples are taken instead of drawn ones where they are at most so many times as many."""
EXTENDED = "extended to 0, as the test does not reject"
"""Note of an interval that its test overrules."""
HOLDS = "holds 0, though the test rejects"
"""Note of an interval that holds 0 beside a p that rejects."""
UNCHANGED = "no resample changes the score"
"""Why a statistic has no bootstrap interval where all resamples have the same value."""
DECIMALS = 12
"""Statistics are rounded to this many, so that the order of floating-point additions breaks no tie."""


@dataclass(frozen=True, kw_only=True)
class Interval:
    """A bootstrap interval."""

    bounds: tuple[float, float] | None
    """Low and high; None where the method defines none."""
    note: str | None
    """Why there are no bounds; None where there are."""
    standard_error: float | None
    """Standard deviation of the resampled statistic; None for fewer than two judgments."""
    method: str = "BCa"
    """How the bounds were made."""


@dataclass(frozen=True, kw_only=True)
class Sample:
    """Judgments that are resampled together, as the distinct ways in which they were answered.

    What is resampled, permuted or left out is a unit: a judgment, or all judgments of a cluster (near-duplicates).
    """

    patterns: Codes
    """The distinct rows of answers, shape (p, k): k arms on the same judgments; -1 where an arm lacks the judgment."""
    sizes: npt.NDArray[np.int64]
    """How many units were answered in each of the distinct ways, shape (m,)."""
    starts: npt.NDArray[np.int64] | None = None
    """The first row of `patterns` of each way, shape (m,); None: a row each, as every unit is one judgment."""

    @classmethod
    def of(cls, answers: Codes, clusters: npt.NDArray[np.int64] | None = None) -> "Sample":
        """The sample that answers of shape (n, k), or (n,) for one arm, make up.

        Args:
            answers: the answers.
            clusters: number of the cluster of each judgment, shape (n,); None: each stands alone.
        """
        rows = answers[:, None] if answers.ndim == 1 else answers
        if clusters is None:
            patterns, sizes = np.unique(rows, axis=0, return_counts=True)
            return cls(patterns=patterns, sizes=sizes)
        _, own, members = np.unique(clusters, return_inverse=True, return_counts=True)
        lone = members[own] == 1
        patterns, sizes = np.unique(rows[lone], axis=0, return_counts=True)
        # Two clusters are answered alike where they hold the same rows, in whatever order.
        ways: dict[tuple[tuple[int, ...], ...], int] = {}
        gathered: dict[int, list[tuple[int, ...]]] = {}
        for number, row in zip(own[~lone].tolist(), rows[~lone].tolist(), strict=True):
            gathered.setdefault(number, []).append(tuple(row))
        for found in gathered.values():
            way = tuple(sorted(found))
            ways[way] = ways.get(way, 0) + 1
        lengths = [1] * len(patterns) + [len(way) for way in ways]
        together = [row for way in ways for row in way]
        return cls(
            patterns=np.concatenate([patterns, np.array(together, dtype=np.int8).reshape(-1, rows.shape[1])]),
            sizes=np.concatenate([sizes, np.array(list(ways.values()), dtype=np.int64)]),
            starts=np.cumsum([0, *lengths[:-1]]),
        )

    @property
    def n(self) -> int:
        """Units in it."""
        return int(self.sizes.sum())

    @property
    def indicators(self) -> Floats:
        """Counts of a unit answered in each of these ways, shape (6, m, k)."""
        rows = (self.patterns == np.arange(6)[:, None, None]).astype(np.float64)
        return rows if self.starts is None else np.add.reduceat(rows, self.starts, axis=1)

    def counts(self, drawn: npt.NDArray[np.int64]) -> Counts:
        """How often each arm has each code where way i occurs `drawn[r, i]` times; (r, m) gives (6, r, k)."""
        # Floating point is exact for whole numbers of this size, and its products are the fast ones.
        return drawn.astype(np.float64) @ self.indicators


def bca_of_counts(
    samples: Sequence[Sample],
    statistic: Callable[..., Floats],
    *,
    confidence: float,
    resamples: int,
    seed: int,
) -> list[Interval]:
    """BCa intervals of statistics that depend on how often each answer was given and on nothing else.

    Resampling n judgments with replacement draws the sizes of the distinct answer patterns from a multinomial
    distribution, so that is drawn, and judgments of one pattern share a value of the jackknife: the same law as `bca`,
    at a cost that hardly grows with n. Where one sample has few possible resamples (`EXACT`), all of them are taken
    with their probabilities, and nothing is drawn.

    Args:
        samples: resampled independently of each other, as judgments of different corpora are.
        statistic: of counts of shape (6, r, k), one array per sample; gives q statistics, shape (r, q).
        confidence: coverage, such as 0.95.
        resamples: number of resamples.
        seed: seed of the resampling.

    Returns:
        An interval per statistic.
    """
    sizes = [sample.counts(sample.sizes[None]) for sample in samples]
    value = np.round(statistic(*sizes), DECIMALS)[0]
    if min(sample.n for sample in samples) < 2:
        few = Interval(bounds=None, note="fewer than two judgments", standard_error=None)
        return [few] * len(value)
    weights: Floats | None = None
    if len(samples) == 1 and _ways(samples[0]) <= EXACT * resamples:
        drawn, weights = _all_resamples(samples[0])
        spread = np.round(statistic(samples[0].counts(drawn)), DECIMALS)
    else:
        rng = np.random.default_rng(seed)
        rows = max(1, BATCH_CELLS // sum(len(sample.sizes) for sample in samples))
        batches = [min(rows, resamples - start) for start in range(0, resamples, rows)]
        random = (
            [sample.counts(rng.multinomial(sample.n, sample.sizes / sample.n, size=batch)) for sample in samples]
            for batch in batches
        )
        spread = np.round(np.concatenate([statistic(*counts) for counts in random]), DECIMALS)
    left_out = []
    for place, sample in enumerate(samples):
        without = sizes[place] - sample.indicators
        others = [np.broadcast_to(one, (6, len(sample.sizes), one.shape[-1])) for one in sizes]
        left_out.append(np.round(statistic(*others[:place], without, *others[place + 1 :]), DECIMALS))
    own = [sample.sizes for sample in samples]
    return [
        interval(value[q], spread[:, q], [one[:, q] for one in left_out], own, confidence=confidence, weights=weights)
        for q in range(len(value))
    ]


def _ways(sample: Sample) -> int:
    """How many different resamples there are: ways to give n units to m patterns."""
    return math.comb(sample.n + len(sample.sizes) - 1, len(sample.sizes) - 1)


def _all_resamples(sample: Sample) -> tuple[npt.NDArray[np.int64], Floats]:
    """All different resamples, shape (ways, m), and the probability of each, shape (ways,)."""
    from scipy.special import gammaln, xlogy

    n, m = sample.n, len(sample.sizes)
    bars = np.fromiter(chain.from_iterable(combinations(range(n + m - 1), m - 1)), dtype=np.int64)
    bars = bars.reshape(_ways(sample), m - 1)
    ends = np.full((len(bars), 1), n + m - 1)
    drawn = np.diff(np.hstack([np.full_like(ends, -1), bars, ends]), axis=1) - 1
    logs = gammaln(n + 1) + np.sum(xlogy(drawn, sample.sizes / n) - gammaln(drawn + 1), axis=1)
    return drawn, np.exp(logs)


def interval(
    value: float,
    spread: Floats,
    left_out: Sequence[Floats],
    sizes: Sequence[npt.NDArray[np.int64]],
    *,
    confidence: float,
    weights: Floats | None = None,
) -> Interval:
    """The BCa interval of one statistic.

    Args:
        value: the statistic.
        spread: its resamples, shape (r,).
        left_out: per sample, its values without one judgment, shape (m,).
        sizes: per sample, how many judgments have each of these values, shape (m,).
        confidence: coverage.
        weights: probability of each resample, shape (r,); None: they were drawn, and are alike.
    """
    from scipy.special import ndtr, ndtri

    error: float | None
    if weights is None:
        error = float(np.std(spread, ddof=1)) if len(spread) > 1 else None
        below = float(np.count_nonzero(spread < value) + np.count_nonzero(spread <= value)) / (2 * len(spread))
    else:
        error = float(np.sqrt(weights @ (spread - weights @ spread) ** 2))
        below = float(weights @ (spread < value) + weights @ (spread <= value)) / 2
    cubes, squares = 0.0, 0.0
    for values, many in zip(left_out, sizes, strict=True):
        n = many.sum()
        influence = (n - 1) * (np.average(values, weights=many) - values)
        cubes += float(many @ influence**3) / n**3
        squares += float(many @ influence**2) / n**2
    if np.ptp(spread) == 0:
        return Interval(bounds=None, note=UNCHANGED, standard_error=error)
    # A spread of the influences that rounding alone has made is none.
    if squares < 10.0 ** (-2 * DECIMALS) or below in (0.0, 1.0):
        note = "leaving out one judgment never changes the score, or all resamples lie on one side of it"
        return Interval(bounds=None, note=note, standard_error=error)
    bias, acceleration = ndtri(below), cubes / (6 * squares**1.5)
    tail = ndtri((1 - confidence) / 2)
    moved = bias + np.array([tail, -tail])
    at = ndtr(bias + moved / (1 - acceleration * moved))
    low, high = np.quantile(spread, at) if weights is None else _quantiles(spread, weights, at)
    return Interval(bounds=(float(low), float(high)), note=None, standard_error=error)


def _quantiles(values: Floats, weights: Floats, at: Floats) -> Floats:
    """Quantiles of weighted values: the least value with at least this weight up to it."""
    order = np.argsort(values, kind="stable")
    reached = np.cumsum(weights[order])
    found: Floats = values[order][np.minimum(np.searchsorted(reached, at * reached[-1]), len(values) - 1)]
    return found


def ruled(spread: Interval, p: float, confidence: float) -> Interval:
    """An interval of a difference (or of MCC) as the test of it leaves it: the test rules.

    Where the test does not reject at the level of the interval and the interval leaves out 0, it is extended to 0;
    where the test rejects and the interval holds 0, it stays and its note says so.
    """
    if spread.bounds is None:
        return spread
    low, high = spread.bounds
    rejects, leaves_out = p <= 1 - confidence + 1e-12, low > 0 or high < 0
    if rejects == leaves_out:
        return spread
    if rejects:
        return replace(spread, note=HOLDS)
    return replace(spread, bounds=(min(low, 0.0), max(high, 0.0)), note=EXTENDED)


def bca(
    samples: tuple[Floats, ...], statistic: Callable[..., Floats], *, confidence: float, resamples: int, seed: int
) -> Interval:
    """BCa interval of any statistic of judgments, by scipy.stats.bootstrap; what `bca_of_counts` is checked against.

    Args:
        samples: arrays of shape (n,) that are resampled together: position i of each is the same judgment.
        statistic: of arrays of shape (..., n) and `axis`; gives shape (...).
        confidence: coverage, such as 0.95.
        resamples: number of resamples.
        seed: seed of the resampling.
    """
    from scipy import stats

    n = len(samples[0])
    if n < 2:
        return Interval(bounds=None, note="fewer than two judgments", standard_error=None)
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore", stats.DegenerateDataWarning)
        result = stats.bootstrap(
            samples,
            statistic,
            paired=True,
            vectorized=True,
            method="BCa",
            confidence_level=confidence,
            n_resamples=resamples,
            batch=max(1, BATCH_CELLS // n),
            rng=np.random.default_rng(seed),
        )
    low, high = (float(bound) for bound in result.confidence_interval)
    spread, error = result.bootstrap_distribution, float(result.standard_error)
    if np.isfinite(low) and np.isfinite(high):
        return Interval(bounds=(low, high), note=None, standard_error=error)
    if np.ptp(spread) == 0:
        note = UNCHANGED
    else:
        note = "leaving out one judgment never changes the score, or all resamples lie on one side of it"
    return Interval(bounds=None, note=note, standard_error=error)


def wilson(successes: int, n: int, *, confidence: float) -> tuple[float, float]:
    """Wilson's score interval of a share (Wilson 1927, doi 10.1080/01621459.1927.10502953); n > 0."""
    from scipy.special import ndtri

    # scipy.stats.binomtest has it too, after an exact test that nobody asked for and that takes far longer.
    z2 = float(ndtri((1 + confidence) / 2)) ** 2
    share = successes / n
    middle = (share + z2 / (2 * n)) / (1 + z2 / n)
    half = math.sqrt(z2 * (share * (1 - share) / n + z2 / (4 * n**2))) / (1 + z2 / n)
    return (0.0 if successes == 0 else middle - half), (1.0 if successes == n else middle + half)


UNMOVED = "leaving out one judgment never changes the difference"


def jackknife_of_counts(
    samples: Sequence[Sample], statistic: Callable[..., Floats], *, confidence: float, reach: float
) -> list[Interval]:
    """The jackknife intervals of statistics that depend on how often each answer was given and on nothing else.

    Args:
        samples: independent of each other, as judgments of different corpora are.
        statistic: of counts of shape (6, r, k), one array per sample; gives q statistics, shape (r, q).
        confidence: coverage, such as 0.95.
        reach: the statistics lie between -`reach` and `reach`; so do the bounds.

    Returns:
        An interval per statistic.
    """
    from scipy.special import stdtrit

    whole: list[Counts] = [sample.counts(sample.sizes[None]) for sample in samples]
    values = statistic(*whole)[0]
    if min(sample.n for sample in samples) < 2:
        return [Interval(bounds=None, note="fewer than two judgments", standard_error=None)] * len(values)
    squares = np.zeros((len(samples), len(values)))
    for place, sample in enumerate(samples):
        n = sample.n
        others = [np.broadcast_to(one, (6, len(sample.sizes), one.shape[-1])) for one in whole]
        others[place] = whole[place] - sample.indicators
        left_out = np.round(statistic(*others), DECIMALS)
        # A spread that rounding alone has made is none.
        moved = np.ptp(left_out, axis=0) > 0
        spread = left_out - np.average(left_out, axis=0, weights=sample.sizes)
        squares[place] = np.where(moved, (n - 1) / n * (sample.sizes @ spread**2), 0.0)
    total = squares.sum(axis=0)
    freedom = np.array([sample.n - 1 for sample in samples])[:, None]
    found = []
    for value, square, of in zip(values, total, (squares**2 / freedom).sum(axis=0), strict=True):
        if square == 0:
            found.append(Interval(bounds=None, note=UNMOVED, standard_error=0.0))
            continue
        error = float(np.sqrt(square))
        half = float(stdtrit(square**2 / of, (1 + confidence) / 2)) * error
        bounds = max(-reach, float(value) - half), min(reach, float(value) + half)
        found.append(Interval(bounds=bounds, note=None, standard_error=error, method="jackknife"))
    return found
