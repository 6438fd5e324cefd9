"""Cache the states of prompt prefixes as a tree.

What a model remembers of tokens that it has read, as it was at a certain length.

Attention keeps the keys and values of every token, so what it remembers can be cut to any beginning, as a view. A
recurrent layer (linear attention, state space) keeps tensors of constant size that no later token can be taken out of:
they are copied at chosen lengths, and reading goes on only from there.

The order in which prompts are read: as a tree whose branches are the beginnings that they share.

Walked depth first, a prompt shares more with the one before it than with any other that was read, so one state is
enough for everything to be computed once.

The states of what a model has read, kept for conversations that begin the same way.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, kw_only=True, eq=False)
class Snapshot:
    """The recurrent layers after some tokens, as a copy."""

    tokens: int
    """After how many."""
    layers: tuple[tuple[Tensor | None, ...], ...]
    """Per layer of the model the tensors that it keeps, each of shape (1, ...); empty for pure attention."""

    @property
    def nbytes(self) -> int:
        """Memory of the tensors."""
        return sum(tensor.nbytes for layer in self.layers for tensor in layer if tensor is not None)


@dataclass(frozen=True, kw_only=True, eq=False)
class State:
    """What is remembered of the first tokens of a conversation. The tensors are never written to again."""

    ids: np.ndarray
    """Token ids, int64 of shape (tokens,)."""
    keys: tuple[Tensor | None, ...]
    """Per layer, of shape (1, key-value heads, tokens, head size); None for a layer without attention."""
    values: tuple[Tensor | None, ...]
    """Per layer, of the same shape."""
    snapshots: tuple[Snapshot, ...] = ()
    """Of a model with recurrent layers: where it can be continued, shortest first; empty for pure attention."""

    @property
    def nbytes(self) -> int:
        """Memory that all of it takes."""
        kept = sum(tensor.nbytes for tensor in (*self.keys, *self.values) if tensor is not None)
        return kept + sum(snapshot.nbytes for snapshot in self.snapshots)

    def reach(self, tokens: int) -> int:
        """The greatest length up to `tokens` at which the state can be cut; 0 where there is none."""
        if not self.snapshots:
            return min(tokens, len(self.ids))
        return max((s.tokens for s in self.snapshots if s.tokens <= tokens), default=0)

    def first(self, tokens: int) -> State:
        """The state as it was after `tokens` tokens, as a view; raises ValueError for a length out of `reach`."""
        if self.reach(tokens) != tokens:
            raise ValueError(f"a state of {len(self.ids)} tokens cannot be cut to {tokens}")
        return State(
            ids=self.ids[:tokens],
            keys=tuple(None if tensor is None else tensor[:, :, :tokens] for tensor in self.keys),
            values=tuple(None if tensor is None else tensor[:, :, :tokens] for tensor in self.values),
            snapshots=tuple(s for s in self.snapshots if s.tokens <= tokens),
        )

    def compact(self) -> State:
        """The same state without the memory around its tensors, where they are views of larger ones."""
        return State(
            ids=self.ids,
            keys=tuple(_compact(tensor) for tensor in self.keys),
            values=tuple(_compact(tensor) for tensor in self.values),
            snapshots=self.snapshots,
        )


def common(one: np.ndarray, other: np.ndarray) -> int:
    """How many first tokens two conversations share, given as ids of shape (tokens,)."""
    shorter = min(len(one), len(other))
    differ = one[:shorter] != other[:shorter]
    return int(differ.argmax()) if differ.any() else shorter


def _compact(tensor: Tensor | None) -> Tensor | None:
    if tensor is None or tensor.untyped_storage().nbytes() == tensor.nbytes:
        return tensor
    return tensor.clone()


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


def branch_points(prompts: Sequence[Sequence[int]]) -> list[tuple[int, ...]]:
    """For each prompt the lengths at which later ones part from it, ascending; the prompts in the order of `walk`."""
    arrays = [np.asarray(prompt, dtype=np.int64) for prompt in prompts]
    found: list[tuple[int, ...]] = [()] * len(arrays)
    for i in reversed(range(len(arrays) - 1)):
        shared = common(arrays[i], arrays[i + 1])
        # What a later one shares with this one it shares with all between them.
        found[i] = (*(length for length in found[i + 1] if length < shared), shared) if shared else ()
    return found


class Prefixes:
    """States, least recently used first out.

    Args:
        capacity: bytes that the states may take together; a single state that takes more is not kept.
    """

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self._states: list[State] = []

    @property
    def nbytes(self) -> int:
        """Memory that the states take."""
        return sum(state.nbytes for state in self._states)

    def __len__(self) -> int:
        """How many states are held."""
        return len(self._states)

    def held(self, ids: Sequence[int]) -> int:
        """How many of the first tokens of `ids` need not be read again."""
        wanted = np.asarray(ids, dtype=np.int64)
        return max((state.reach(common(state.ids, wanted)) for state in self._states), default=0)

    def longest(self, ids: Sequence[int]) -> State | None:
        """The state that covers most of the first tokens of `ids`, cut down to these; None if none covers any."""
        wanted = np.asarray(ids, dtype=np.int64)
        best, covered = None, 0
        for state in self._states:
            if (reached := state.reach(common(state.ids, wanted))) > covered:
                best, covered = state, reached
        if best is None:
            return None
        self._states = [state for state in self._states if state is not best] + [best]
        return best.first(covered)

    def add(self, state: State) -> None:
        """Keep a state, in the place of those that it contains; the least recently used ones make room."""
        if state.nbytes > self.capacity:
            return
        kept = [old for old in self._states if not _contains(state, old)]
        room = self.capacity - state.nbytes
        taken = sum(old.nbytes for old in kept)
        while taken > room:
            taken -= kept.pop(0).nbytes
        self._states = [*kept, state.compact()]


def _contains(state: State, other: State) -> bool:
    """Whether `state` can be cut wherever `other` can."""
    if common(state.ids, other.ids) < len(other.ids):
        return False
    return all(state.reach(length) == length for length in (s.tokens for s in other.snapshots))
