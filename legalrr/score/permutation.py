"""Run permutation tests of paired answers and of skill.

Paired answers: if two conditions made no difference, their answers to a judgment could be swapped. For each judgment,
all answers of one side are swapped with those of the other, or none. The sides are columns of the answers: two arms,
several runs of two arms, or, for the effect of a switch, the arms with it and the same arms without it, of all
backbones. Judgments of a cluster are swapped together.

p is two-sided, twice the smaller tail: over all swaps if they lead to at most `permutations` distinct counts, otherwise
over that many random swaps, as (1 + as extreme) / (1 + permutations) (Phipson and Smyth 2010, doi
10.2202/1544-6115.1585), so that it is never 0.

Skill: association of answers and outcomes, at any rate of YES. A score above that of the majority class shows none, as
macro-F1 of a coin is higher, too. So the answers of an arm are tested against the same answers in another order:

MCC       correlation of outcome and answer, with invalid as a third answer (Gorodkin 2004, doi
          10.1016/j.compbiolchem.2004.09.006); 0 without skill, at any rate of YES
p skill   the answers are permuted against the outcomes. For given outcomes and answers, MCC is an increasing function
          of the number of right answers, so that number is compared with its mean, two-sided. Equally extreme
          permutations count half (mid-p, Lancaster 1961, doi 10.2307/2281847): with so few possible values, a test that
          counts them whole rejects far less often than its level.

With two outcomes and two answers this is Fisher's exact test with mid-p. If judgments form clusters of near-duplicates,
the answers of whole clusters are permuted among clusters of the same size, and within each, at random.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from legalrr.score.intervals import BATCH_CELLS, DECIMALS, Sample
from legalrr.score.metrics import Codes, Counts, Floats, count_codes

BITS_SET = np.array([bin(byte).count("1") for byte in range(256)], dtype=np.float64)
"""Number of set bits of each byte."""
Indices = npt.NDArray[np.int64]
"""Indices of columns or patterns."""
NULL_RANGE = 9.0
"""Range of the null distribution that is summed, in standard deviations from the mean."""
MIN_P = 1e-16
"""The smallest p returned."""


@dataclass(frozen=True, kw_only=True)
class SwapColumns:
    """Pairs of columns of a sample that are swapped."""

    sample: Sample
    """Answers of all arms to the judgments."""
    first: Indices
    """Columns with a positive weight in the statistic, shape (h,)."""
    second: Indices
    """Their counterparts with a negative weight, shape (h,)."""

    @property
    def swapped(self) -> Sample:
        """Sample with all answers swapped."""
        order = np.arange(self.sample.patterns.shape[1])
        order[self.first], order[self.second] = self.second, self.first
        return Sample(patterns=self.sample.patterns[:, order], sizes=self.sample.sizes, starts=self.sample.starts)


@dataclass(frozen=True, kw_only=True)
class Swap:
    """Swappable answers and the statistic that is tested."""

    sides: Sequence[SwapColumns]
    """One per corpus."""
    statistic: Callable[..., Floats]
    """Function of counts of shape (6, r, k), one array per side, to shape (r, 1); swapping all reverses its sign."""


def _changed_patterns(change: Floats, sample: Sample) -> Indices:
    """Return the patterns that swapping changes, by ascending size."""
    changed = np.flatnonzero(change.any(axis=(0, 2)))
    return changed[np.argsort(sample.sizes[changed], kind="stable")]


def _draw_swaps(sizes: npt.NDArray[np.int64], rows: int, rng: np.random.Generator) -> Floats:
    """Draw the number of swapped units of each pattern, each unit with probability 1/2; sizes (m,) give (rows, m).

    The sizes are ascending.
    """
    few = int(np.searchsorted(sizes, 8, side="right"))
    # Up to eight coins are the bits of a random byte, which is far faster than a draw from the binomial distribution.
    masks = (2 ** sizes[:few] - 1).astype(np.uint8)
    bits = rng.integers(0, 256, size=(rows, few), dtype=np.uint8) & masks
    return np.hstack([BITS_SET[bits], rng.binomial(sizes[few:], 0.5, size=(rows, len(sizes) - few))])


def swap_p(swap: Swap, *, permutations: int, seed: int) -> float:
    """Compute the two-sided p of the statistic under random swaps; 1 if fewer than two units differ.

    Args:
        swap: the answers.
        permutations: number of random swaps drawn if there are more possible ones.
        seed: seed of the draw.
    """
    from scipy import stats

    whole = [side.sample.counts(side.sample.sizes[None]) for side in swap.sides]
    changes = [side.swapped.indicators - side.sample.indicators for side in swap.sides]
    changed = [_changed_patterns(change, side.sample) for change, side in zip(changes, swap.sides, strict=True)]
    sizes = [side.sample.sizes[at] for side, at in zip(swap.sides, changed, strict=True)]
    every = np.concatenate(sizes)
    # Swapping the only unit that differs reverses the sign of the statistic, which is as extreme.
    if every.sum() < 2:
        return 1.0

    def null(parts: Sequence[Floats]) -> Floats:
        counts = [
            one + part @ change[:, at] for one, part, change, at in zip(whole, parts, changes, changed, strict=True)
        ]
        return np.round(swap.statistic(*counts)[:, 0], DECIMALS)

    observed = null([np.zeros((1, len(own))) for own in sizes])[0]
    # Of units with the same pattern, only the number swapped matters, which is binomial.
    if np.log(every + 1.0).sum() <= np.log(permutations) + 1e-9:
        swapped = np.indices([int(size) + 1 for size in every]).reshape(len(every), -1).T
        weights = stats.binom.pmf(swapped, every, 0.5).prod(axis=1)
        values = null(np.split(swapped.astype(np.float64), np.cumsum([len(own) for own in sizes])[:-1], axis=1))
        return min(1.0, 2 * float(min(weights @ (values >= observed), weights @ (values <= observed))))
    rng = np.random.default_rng(seed)
    rows = max(1, BATCH_CELLS // len(every))
    above = below = 0
    for start in range(0, permutations, rows):
        batch = min(rows, permutations - start)
        values = null([_draw_swaps(own, batch, rng) for own in sizes])
        above += int(np.count_nonzero(values >= observed))
        below += int(np.count_nonzero(values <= observed))
    return min(1.0, 2 * (1 + min(above, below)) / (1 + permutations))


def mcc_of_counts(counts: Counts) -> Floats:
    """Compute MCC (R_K) from counts of shape (6, ...); shape (...); 0 if all outcomes or all answers are the same."""
    table = counts.reshape(2, 3, *counts.shape[1:]).astype(np.float64)
    gold, predicted = table.sum(axis=1), table.sum(axis=0)
    n = gold.sum(axis=0)
    covariance = n * (table[0, 0] + table[1, 1]) - gold[0] * predicted[0] - gold[1] * predicted[1]
    variances = (n**2 - (gold**2).sum(axis=0)) * (n**2 - (predicted**2).sum(axis=0))
    found: Floats = np.divide(covariance, np.sqrt(variances), out=np.zeros(n.shape), where=variances > 0)
    return found


def skill_p(
    answers: Codes, clusters: npt.NDArray[np.int64] | None = None, *, permutations: int, seed: int
) -> float | None:
    """Compute the two-sided p of the number of right answers when answers are permuted against outcomes.

    Args:
        answers: codes of shape (n,).
        clusters: number of the cluster of each judgment, shape (n,); None: each judgment is a unit.
        permutations: number drawn if there are clusters.
        seed: seed of the draw.

    Returns:
        None if all outcomes or all answers are the same: all orders are then equal.
    """
    counts = count_codes(answers).reshape(2, 3).astype(np.int64)
    if (counts.sum(axis=1) > 0).sum() < 2 or (counts.sum(axis=0) > 0).sum() < 2:
        return None
    if clusters is None:
        values, weights = _null_distribution(counts)
        observed = float(counts[0, 0] + counts[1, 1])
        centre = float(weights @ values)
        # Smaller values are below the precision of the sum.
        return max(MIN_P, _mid_p(values - centre, weights, observed - centre))
    values, observed, centre = _permute_clusters(answers, clusters, permutations, seed)
    weights = np.full(len(values), 1 / len(values))
    # The observed order is one of the possible draws.
    p = (1 + permutations * _mid_p(values - centre, weights, observed - centre)) / (1 + permutations)
    return min(1.0, p)


def _mid_p(distances: Floats, weights: Floats, observed: float) -> float:
    near = 1e-9 * max(1.0, float(np.abs(distances).max(initial=0.0)))
    far = np.abs(distances) > abs(observed) + near
    level = np.abs(np.abs(distances) - abs(observed)) <= near
    return min(1.0, float(weights[far].sum() + weights[level].sum() / 2))


def _null_distribution(counts: npt.NDArray[np.int64]) -> tuple[Floats, Floats]:
    """Compute the null distribution of the number of right answers from a table of shape (2, 3): values, probabilities.

    The numbers of YES, NO and invalid answers to allowed judgments are multivariate hypergeometric.
    """
    from scipy.special import gammaln

    def ways(some: npt.NDArray[np.int64], of: int) -> Floats:
        logs: Floats = gammaln(of + 1) - gammaln(some + 1) - gammaln(of - some + 1)
        return logs

    allowed = int(counts[0].sum())
    yes, no, invalid = (int(column) for column in counts.sum(axis=0))
    hits = _hypergeometric_range(yes, allowed, yes + no + invalid)[:, None]
    lost = _hypergeometric_range(invalid, allowed, yes + no + invalid)[None, :]
    passed = allowed - hits - lost
    able = (passed >= 0) & (passed <= no)
    logs = ways(hits, yes) + ways(lost, invalid) + ways(np.clip(passed, 0, no), no)
    weights = np.where(able, np.exp(logs - logs[able].max()), 0.0)
    # Right answers: YES to allowed, NO to dismissed.
    values = (hits + no - passed).astype(np.float64)
    return values[able], (weights / weights.sum())[able]


def _hypergeometric_range(some: int, drawn: int, n: int) -> npt.NDArray[np.int64]:
    """Return the counts within `NULL_RANGE` of the mean of a hypergeometric distribution: `some` among `drawn` of n."""
    mean = drawn * some / n
    reach = 1 + NULL_RANGE * math.sqrt(mean * (1 - some / n) * (n - drawn) / max(n - 1, 1))
    low, high = max(0, drawn - (n - some), math.floor(mean - reach)), min(some, drawn, math.ceil(mean + reach))
    return np.arange(low, high + 1)


def _permute_clusters(
    answers: Codes, clusters: npt.NDArray[np.int64], permutations: int, seed: int
) -> tuple[Floats, float, float]:
    """Count right answers in random orders of whole clusters; also returns the observed count and the mean."""
    gold, predicted = np.divmod(answers.astype(np.int64), 3)
    blocks: dict[int, list[npt.NDArray[np.int64]]] = {}
    order = np.argsort(clusters, kind="stable")
    for members in np.split(order, np.flatnonzero(np.diff(clusters[order])) + 1):
        blocks.setdefault(len(members), []).append(members)
    rng = np.random.default_rng(seed)
    total, centre = np.zeros(permutations), 0.0
    for size in sorted(blocks):
        rows = np.array(blocks[size])
        counts = count_codes(answers[rows.ravel()]).reshape(2, 3).astype(np.int64)
        centre += float(counts[0].sum() * counts[:, 0].sum() + counts[1].sum() * counts[:, 1].sum()) / rows.size
        if size == 1:
            drawn = rng.multivariate_hypergeometric(counts.sum(axis=0), int(counts[0].sum()), size=permutations)
            total += drawn[:, 0] + counts[:, 1].sum() - drawn[:, 1]
            continue
        step = max(1, BATCH_CELLS // rows.size)
        for start in range(0, permutations, step):
            batch = min(step, permutations - start)
            places = rng.permuted(np.tile(np.arange(len(rows)), (batch, 1)), axis=1)
            within = rng.permuted(predicted[rows][places], axis=2)
            total[start : start + batch] += (within == gold[rows]).sum(axis=(1, 2))
    return total, float((gold == predicted).sum()), centre
