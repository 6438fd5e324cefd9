"""The permutation test of paired answers: were two ways of asking alike, their answers could as well be swapped.

Of every judgment, all answers of one side are swapped with those of the other at once, or none. Side and other side
are columns of the answers: two arms, several runs of two arms, or, for the effect of a switch, the arms with it and the
same arms without it, of all backbones. Judgments of a cluster are swapped together.

p is two-sided, twice the smaller tail, over all ways to swap where they leave at most `permutations` different counts,
else over that many random ones, as (1 + as extreme) / (1 + permutations) (Phipson and Smyth 2010, doi
10.2202/1544-6115.1585), so that it is never 0.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from legalrr.score.confusion import Floats
from legalrr.score.interval import BATCH_CELLS, DECIMALS, Sample

ONES = np.array([bin(byte).count("1") for byte in range(256)], dtype=np.float64)
"""How many bits of a byte are set."""
Places = npt.NDArray[np.int64]
"""Numbers of columns."""


@dataclass(frozen=True, kw_only=True)
class Side:
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

    sides: Sequence[Side]
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
