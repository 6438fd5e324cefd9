"""Run permutation tests: of paired answers, and of skill.

The permutation test of paired answers: were two ways of asking alike, their answers could as well be swapped.

Of every judgment, all answers of one side are swapped with those of the other at once, or none. Side and other side
are columns of the answers: two arms, several runs of two arms, or, for the effect of a switch, the arms with it and the
same arms without it, of all backbones. Judgments of a cluster are swapped together.

p is two-sided, twice the smaller tail, over all ways to swap where they leave at most `permutations` different counts,
else over that many random ones, as (1 + as extreme) / (1 + permutations) (Phipson and Smyth 2010, doi
10.2202/1544-6115.1585), so that it is never 0.

Skill: whether answers go with the outcomes at all, whatever share of them is YES.

A score above that of answering the larger class shows none: macro-F1 of a coin is higher, too. So the answers of an arm
are tested against its own answers in another order:

MCC       correlation of outcome and answer, with invalid as a third answer (Gorodkin 2004, doi
          10.1016/j.compbiolchem.2004.09.006); 0 without skill, at whatever yes-rate
p skill   the answers are permuted against the outcomes. With outcomes and answers as they are, MCC rises with the
          number of right answers and with nothing else, so that is compared with its mean, two-sided. Permutations
          that are as extreme count half (mid-p, Lancaster 1961, doi 10.2307/2281847): so few numbers are possible that
          a test which counts them whole rejects far less often than its level says.

Of two outcomes and answers this is Fisher's exact test with mid-p. Where judgments form clusters of near-duplicates,
the answers of whole clusters are permuted among clusters of the same size, and within each, at random.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from legalrr.score.intervals import BATCH_CELLS, DECIMALS, Sample
from legalrr.score.metrics import Codes, Counts, Floats, count_codes

ONES = np.array([bin(byte).count("1") for byte in range(256)], dtype=np.float64)
"""How many bits of a byte are set."""
Places = npt.NDArray[np.int64]
"""Numbers of columns."""


@dataclass(frozen=True, kw_only=True)
class SwapColumns:
    """The columns of a sample that are swapped: each of the first with the one at the same place of the second."""

    sample: Sample
    """The judgments, with the answers of all arms."""
    first: Places
    """Columns that count for the statistic, shape (h,)."""
    second: Places
    """Columns that count against it, shape (h,)."""

    @property
    def swapped(self) -> Sample:
        """The sample with all answers swapped."""
        order = np.arange(self.sample.patterns.shape[1])
        order[self.first], order[self.second] = self.second, self.first
        return Sample(patterns=self.sample.patterns[:, order], sizes=self.sample.sizes, starts=self.sample.starts)


@dataclass(frozen=True, kw_only=True)
class Swap:
    """Answers that may be swapped, and what is computed of them."""

    sides: Sequence[SwapColumns]
    """One per corpus."""
    statistic: Callable[..., Floats]
    """Of counts of shape (6, r, k), one array per side; gives shape (r, 1), and turns its sign where all is swapped."""


def _rising(change: Floats, sample: Sample) -> Places:
    """The ways to answer, by rising size, that swapping changes."""
    moved = np.flatnonzero(change.any(axis=(0, 2)))
    return moved[np.argsort(sample.sizes[moved], kind="stable")]


def _swapped(sizes: npt.NDArray[np.int64], rows: int, rng: np.random.Generator) -> Floats:
    """How many of the units of each size are swapped, each by the toss of a coin; rising sizes (m,) give (rows, m)."""
    few = int(np.searchsorted(sizes, 8, side="right"))
    # Up to eight coins are the bits of a random byte, which take far less time than a draw from the binomial law.
    masks = (2 ** sizes[:few] - 1).astype(np.uint8)
    bits = rng.integers(0, 256, size=(rows, few), dtype=np.uint8) & masks
    return np.hstack([ONES[bits], rng.binomial(sizes[few:], 0.5, size=(rows, len(sizes) - few))])


def swap_p(swap: Swap, *, permutations: int, seed: int) -> float:
    """Two-sided p of the statistic when answers are swapped at random; 1 where fewer than two units differ.

    Args:
        swap: the answers.
        permutations: how many random swaps are drawn where there are more ways.
        seed: of the draw.
    """
    from scipy import stats

    whole = [side.sample.counts(side.sample.sizes[None]) for side in swap.sides]
    changes = [side.swapped.indicators - side.sample.indicators for side in swap.sides]
    moved = [_rising(change, side.sample) for change, side in zip(changes, swap.sides, strict=True)]
    sizes = [side.sample.sizes[at] for side, at in zip(swap.sides, moved, strict=True)]
    every = np.concatenate(sizes)
    # Swapping the only unit that differs turns the sign of the statistic, which is as extreme.
    if every.sum() < 2:
        return 1.0

    def null(parts: Sequence[Floats]) -> Floats:
        counts = [
            one + part @ change[:, at] for one, part, change, at in zip(whole, parts, changes, moved, strict=True)
        ]
        return np.round(swap.statistic(*counts)[:, 0], DECIMALS)

    observed = null([np.zeros((1, len(own))) for own in sizes])[0]
    # Of the units answered alike, it only matters how many are swapped, which is binomial.
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
        values = null([_swapped(own, batch, rng) for own in sizes])
        above += int(np.count_nonzero(values >= observed))
        below += int(np.count_nonzero(values <= observed))
    return min(1.0, 2 * (1 + min(above, below)) / (1 + permutations))


REACH = 9.0
"""Standard deviations from the mean up to which the null distribution is summed."""
LEAST = 1e-16
"""The smallest p that is told."""


def mcc_of_counts(counts: Counts) -> Floats:
    """MCC (R_K) from counts of shape (6, ...); shape (...); 0 where all outcomes, or all answers, are the same."""
    table = counts.reshape(2, 3, *counts.shape[1:]).astype(np.float64)
    gold, said = table.sum(axis=1), table.sum(axis=0)
    n = gold.sum(axis=0)
    together = n * (table[0, 0] + table[1, 1]) - gold[0] * said[0] - gold[1] * said[1]
    spreads = (n**2 - (gold**2).sum(axis=0)) * (n**2 - (said**2).sum(axis=0))
    found: Floats = np.divide(together, np.sqrt(spreads), out=np.zeros(n.shape), where=spreads > 0)
    return found


def skill_p(
    answers: Codes, clusters: npt.NDArray[np.int64] | None = None, *, permutations: int, seed: int
) -> float | None:
    """Two-sided p of the number of right answers when answers are permuted against outcomes.

    Args:
        answers: codes of shape (n,).
        clusters: number of the cluster of each judgment, shape (n,); None: each stands alone.
        permutations: how many are drawn where there are clusters.
        seed: of the draw.

    Returns:
        None where all outcomes, or all answers, are the same: then no order says more than another.
    """
    counts = count_codes(answers).reshape(2, 3).astype(np.int64)
    if (counts.sum(axis=1) > 0).sum() < 2 or (counts.sum(axis=0) > 0).sum() < 2:
        return None
    if clusters is None:
        values, weights = _null(counts)
        observed = float(counts[0, 0] + counts[1, 1])
        centre = float(weights @ values)
        # Less than that is lost in the sum.
        return max(LEAST, _mid(values - centre, weights, observed - centre))
    values, observed, centre = _drawn(answers, clusters, permutations, seed)
    weights = np.full(len(values), 1 / len(values))
    # The order that was observed is one of those that could have been drawn.
    p = (1 + permutations * _mid(values - centre, weights, observed - centre)) / (1 + permutations)
    return min(1.0, p)


def _mid(distances: Floats, weights: Floats, observed: float) -> float:
    near = 1e-9 * max(1.0, float(np.abs(distances).max(initial=0.0)))
    far = np.abs(distances) > abs(observed) + near
    level = np.abs(np.abs(distances) - abs(observed)) <= near
    return min(1.0, float(weights[far].sum() + weights[level].sum() / 2))


def _null(counts: npt.NDArray[np.int64]) -> tuple[Floats, Floats]:
    """Numbers of right answers over all orders of the answers, and their probabilities, from a table of shape (2, 3).

    How many YES, NO and invalid answers fall to the outcome allowed is multivariate hypergeometric.
    """
    from scipy.special import gammaln

    def ways(some: npt.NDArray[np.int64], of: int) -> Floats:
        logs: Floats = gammaln(of + 1) - gammaln(some + 1) - gammaln(of - some + 1)
        return logs

    allowed = int(counts[0].sum())
    yes, no, invalid = (int(column) for column in counts.sum(axis=0))
    hits = _window(yes, allowed, yes + no + invalid)[:, None]
    lost = _window(invalid, allowed, yes + no + invalid)[None, :]
    passed = allowed - hits - lost
    able = (passed >= 0) & (passed <= no)
    logs = ways(hits, yes) + ways(lost, invalid) + ways(np.clip(passed, 0, no), no)
    weights = np.where(able, np.exp(logs - logs[able].max()), 0.0)
    # Right: YES to allowed, and NO to what is dismissed.
    values = (hits + no - passed).astype(np.float64)
    return values[able], (weights / weights.sum())[able]


def _window(some: int, drawn: int, n: int) -> npt.NDArray[np.int64]:
    """Numbers of `some` among `drawn` of n that are not too far from the mean of their hypergeometric distribution."""
    mean = drawn * some / n
    reach = 1 + REACH * math.sqrt(mean * (1 - some / n) * (n - drawn) / max(n - 1, 1))
    low, high = max(0, drawn - (n - some), math.floor(mean - reach)), min(some, drawn, math.ceil(mean + reach))
    return np.arange(low, high + 1)


def _drawn(
    answers: Codes, clusters: npt.NDArray[np.int64], permutations: int, seed: int
) -> tuple[Floats, float, float]:
    """Numbers of right answers in random orders of whole clusters, the observed number and the mean of all orders."""
    gold, said = np.divmod(answers.astype(np.int64), 3)
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
            within = rng.permuted(said[rows][places], axis=2)
            total[start : start + batch] += (within == gold[rows]).sum(axis=(1, 2))
    return total, float((gold == said).sum()), centre
