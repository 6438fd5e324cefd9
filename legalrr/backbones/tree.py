"""The order in which prompts are read: as a tree whose branches are the beginnings that they share.

Walked depth first, a prompt shares more with the one before it than with any other that was read, so one state is
enough for everything to be computed once.
"""

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from legalrr.backbones.states import common


def walk(prompts: Sequence[Sequence[int]], weights: Sequence[float]) -> list[int]:
    """The places of the prompts in depth-first order.

    Args:
        prompts: token ids of each.
        weights: of two branches, the one whose heaviest prompt weighs less comes first.
    """
    ordered = sorted(range(len(prompts)), key=lambda place: list(prompts[place]))
    arrays = [np.asarray(prompts[place], dtype=np.int64) for place in ordered]
    shared = [common(one, other) for one, other in pairwise(arrays)]

    def visit(first: int, last: int) -> list[int]:
        if last - first == 1:
            return [ordered[first]]
        # All prompts of this stretch share this much; where neighbours share no more, they are on other branches.
        parting = min(shared[first : last - 1])
        cuts = [first, *(i + 1 for i in range(first, last - 1) if shared[i] == parting), last]
        branches = [visit(begin, end) for begin, end in pairwise(cuts)]
        branches.sort(key=lambda branch: max(weights[place] for place in branch))
        return [place for branch in branches for place in branch]

    return visit(0, len(prompts)) if prompts else []


def partings(prompts: Sequence[Sequence[int]]) -> list[tuple[int, ...]]:
    """For each prompt the lengths at which later ones part from it, ascending; the prompts in the order of `walk`."""
    arrays = [np.asarray(prompt, dtype=np.int64) for prompt in prompts]
    found: list[tuple[int, ...]] = [()] * len(arrays)
    for i in reversed(range(len(arrays) - 1)):
        shared = common(arrays[i], arrays[i + 1])
        # What a later one shares with this one it shares with all between them.
        found[i] = (*(length for length in found[i + 1] if length < shared), shared) if shared else ()
    return found
