"""How many cases a dataset has, and how many of them are positive: said by the table, or found by search.

The cells that cover all cases of a dataset share one number of cases and one class balance. What is not said is
searched: first for the smallest n under which every such cell fits its captions, and only where no n does, for the
smallest under which every cell fits, each block by one hypothesis. Given n, the balance is the one under which most
cells fit, with the least far-fetched hypotheses among equals; all equals are kept.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from legalrr.audit.figures import WHOLE, Cell
from legalrr.audit.hypotheses import Fits, block_hypotheses, fits, fits_among, rates_of
from legalrr.audit.matrices import MOST, Cases, Integers
from legalrr.audit.runs import MOST_RUNS, RunCases, fits_runs
from legalrr.errors import UserError
from legalrr.progress import progress

CELL = 1_000
"""What a cell that fits is worth when balances are ranked, in units of cost: no sum of costs outweighs it."""


@dataclass(frozen=True, kw_only=True)
class Universe:
    """The cases of one dataset."""

    n: int | None
    """How many; None where nothing says and no search finds."""
    positives: tuple[int, ...]
    """How many of them may be positive; all numbers where nothing tells them apart."""
    found: bool
    """Whether n was searched."""
    settled: bool
    """Whether the number of positives is known: said, or the only one under which most cells fit."""
    bound: int | None
    """Up to which n was searched; None where it was not."""


def universe(cells: Sequence[Cell], *, most: int) -> Universe:
    """The cases of a dataset from all its cells.

    Args:
        cells: of one dataset.
        most: up to which n to search.

    Raises:
        UserError: two cells name different numbers of positives of as many cases.
    """
    whole = [cell for cell in cells if cell.subset == WHOLE]
    n = max((cell.n for cell in whole if cell.n is not None), default=None)
    whole = [cell for cell in whole if cell.n in (n, None) and rates_of(cell)]
    positives = _said_positives(whole)
    if n is not None:
        if positives is not None:
            return Universe(n=n, positives=(positives,), found=False, settled=True, bound=None)
        best = _best_balances(whole, n)
        return Universe(n=n, positives=best or tuple(range(n + 1)), found=False, settled=len(best) == 1, bound=None)
    once = [cell for cell in whole if not cell.repeated]
    found = _search(once, positives, most) if any(len(rates_of(cell)) > 1 for cell in once) else None
    if found is None:
        return Universe(n=None, positives=(), found=False, settled=False, bound=most if once else None)
    return Universe(n=found[0], positives=found[1], found=True, settled=len(found[1]) == 1, bound=most)


def _said_positives(cells: Sequence[Cell]) -> int | None:
    said: dict[int, Cell] = {}
    for cell in cells:
        if cell.positives is not None:
            said.setdefault(cell.positives, cell)
    if len(said) > 1:
        (one, first), (other, second) = list(said.items())[:2]
        raise UserError(
            f"{other} positives, but {one} on line {first.line}",
            where=f"{second.table}:{second.line}",
            cure="all cells of a dataset share its cases: name another dataset or subset",
        )
    return next(iter(said), None)


def _best_balances(cells: Sequence[Cell], n: int) -> tuple[int, ...]:
    """The numbers of positives under which most cells fit; none where not half of the cells fit any."""
    once = [cell for cell in cells if not cell.repeated]
    if not once:
        return _best_of_runs([cell for cell in cells if cell.repeated], n)
    found: list[Fits] = []
    for cell in once:
        cases = Cases(n=n, positives=tuple(range(n + 1)), unanswered=cell.unanswered)
        one = fits_among(cell, cases)
        if one is not None:
            found.append(one)
    return _best(found, n)


def _best(found: Sequence[Fits], n: int) -> tuple[int, ...]:
    score = np.zeros(n + 1, dtype=np.int64)
    for block in _blocks(found):
        score += _worth(block, n)
    if not found or score.max() <= CELL * len(found) / 2:
        return ()
    return tuple(int(p) for p in np.flatnonzero(score == score.max()))


def _worth(block: Sequence[Fits], n: int) -> np.ndarray:
    """By number of positives, what the best hypothesis of a block is worth; shape (n + 1,)."""
    best = np.zeros(n + 1, dtype=np.int64)
    for hypothesis in block_hypotheses(block):
        fitted = np.zeros(n + 1, dtype=np.int64)
        for one in block:
            fitted[np.unique(positives(one.under(hypothesis)))] += 1
        best = np.maximum(best, np.where(fitted > 0, CELL * fitted - hypothesis.cost, 0))
    return best


def _best_of_runs(cells: Sequence[Cell], n: int) -> tuple[int, ...]:
    """Of means over runs, with the number of runs that suits each block."""
    score = np.zeros(n + 1, dtype=np.int64)
    blocks: dict[tuple[str, ...], list[Cell]] = defaultdict(list)
    for cell in cells:
        blocks[cell.block].append(cell)
    for p in range(n + 1):
        for block in blocks.values():
            tried = range(2, MOST_RUNS + 1) if block[0].runs is None else (block[0].runs,)
            score[p] += max(
                sum(fits_runs(cell, RunCases(n=n, positives=p, runs=runs), means=False) is not None for cell in block)
                for runs in tried
            )
    if not cells or score.max() <= len(cells) / 2:
        return ()
    return tuple(int(p) for p in np.flatnonzero(score == score.max()))


def _search(cells: Sequence[Cell], positives_said: int | None, most: int) -> tuple[int, tuple[int, ...]] | None:
    """The smallest n under which every cell fits, by its captions if any n allows that; with the balances."""
    least = max(2, positives_said or 0)
    for captions_only in (True, False):
        with progress("search n", most - least + 1, "sizes") as done:
            for n in range(least, most + 1):
                balances = _all_fit(cells, n, positives_said, captions_only=captions_only)
                if balances:
                    return n, balances
                done(1)
    return None


def _all_fit(cells: Sequence[Cell], n: int, said: int | None, *, captions_only: bool) -> tuple[int, ...]:
    """The numbers of positives under which every cell fits, each block by one hypothesis; none where there are none."""
    balances = tuple(range(n + 1)) if said is None else (said,)
    found: list[Fits] = []
    for cell in cells:
        cases = Cases(n=n, positives=balances, unanswered=cell.unanswered)
        if cases.size() > MOST:
            raise UserError(
                f"too many matrices of {n} cases to search n",
                where=f"{cell.table}:{cell.line}",
                cure="say n, or unanswered",
            )
        one = fits(cell, cases.matrices(), captions_only=captions_only)
        if not one.counts.shape[1]:
            return ()
        found.append(one)
    score = sum((_worth(block, n) for block in _blocks(found)), np.zeros(n + 1, dtype=np.int64))
    best = score.max()
    if best <= CELL * (len(cells) - 1):
        return ()
    return tuple(int(p) for p in np.flatnonzero(score == best))


def _blocks(found: Sequence[Fits]) -> list[list[Fits]]:
    blocks: dict[tuple[str, ...], list[Fits]] = defaultdict(list)
    for one in found:
        blocks[one.cell.block].append(one)
    return list(blocks.values())


def positives(counts: Integers) -> np.ndarray:
    """Cases of the positive class, shape (m,)."""
    return counts[0] + counts[2] + counts[4]
