"""Cache the states of prompt prefixes, and order prompts as a prefix tree.

Attention keeps keys and values of every token, so its state can be truncated to any prefix, as a view. A recurrent
layer (linear attention, state space) keeps tensors of constant size that no token can be removed from: they are copied
at chosen lengths, and only there can a prompt be continued.

In depth-first order of the tree, a prompt shares a longer prefix with its predecessor than with any other earlier
prompt, so one state is enough to compute every token once.
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
    """Copy of the recurrent layers after a number of tokens."""

    tokens: int
    """The number of tokens."""
    layers: tuple[tuple[Tensor | None, ...], ...]
    """For each layer of the model its tensors, of shape (1, ...); empty for pure attention."""

    @property
    def nbytes(self) -> int:
        """Memory of the tensors, in bytes."""
        return sum(tensor.nbytes for layer in self.layers for tensor in layer if tensor is not None)


@dataclass(frozen=True, kw_only=True, eq=False)
class Storage:
    """Memory that several parts of states may share."""

    nbytes: int
    """Its size in bytes."""


@dataclass(frozen=True, kw_only=True, eq=False)
class StatePart:
    """Keys and values of successive tokens. The tensors are never modified."""

    tokens: int
    """Number of the tokens."""
    keys: tuple[Tensor | None, ...]
    """For each layer, shape (1, key-value heads, tokens, head size); None for a layer without attention."""
    values: tuple[Tensor | None, ...]
    """For each layer, same shape; the head size may be smaller."""
    storage: Storage
    """Memory that the tensors are views of."""

    def slice(self, start: int, stop: int) -> StatePart:
        """Return the part of the tokens from `start` to `stop`, as a view."""
        if (start, stop) == (0, self.tokens):
            return self
        return StatePart(
            tokens=stop - start,
            keys=tuple(None if tensor is None else tensor[:, :, start:stop] for tensor in self.keys),
            values=tuple(None if tensor is None else tensor[:, :, start:stop] for tensor in self.values),
            storage=self.storage,
        )


@dataclass(frozen=True, kw_only=True, eq=False)
class State:
    """Model state after the first tokens of a conversation.

    States of conversations with the same beginning share its parts, so that its keys and values are in memory once.
    """

    ids: np.ndarray
    """Token ids, int64 of shape (tokens,)."""
    parts: tuple[StatePart, ...]
    """Keys and values of all tokens, in order."""
    snapshots: tuple[Snapshot, ...] = ()
    """Lengths at which a model with recurrent layers can continue, ascending; empty for pure attention."""

    @property
    def memory(self) -> dict[int, int]:
        """Bytes of memory by an identifier of it; memory that is shared with other states has the same one."""
        found = {id(part.storage): part.storage.nbytes for part in self.parts}
        return found | {id(snapshot): snapshot.nbytes for snapshot in self.snapshots}

    def reusable_length(self, tokens: int) -> int:
        """Return the greatest length up to `tokens` to which the state can be truncated; 0 if there is none."""
        if not self.snapshots:
            return min(tokens, len(self.ids))
        return max((s.tokens for s in self.snapshots if s.tokens <= tokens), default=0)

    def truncate(self, tokens: int) -> State:
        """Return the state after `tokens` tokens, as a view; raises ValueError for an impossible length."""
        if self.reusable_length(tokens) != tokens:
            raise ValueError(f"cannot truncate a state of {len(self.ids)} tokens to {tokens}")
        return State(
            ids=self.ids[:tokens],
            parts=self.between(0, tokens),
            snapshots=tuple(s for s in self.snapshots if s.tokens <= tokens),
        )

    def between(self, start: int, stop: int) -> tuple[StatePart, ...]:
        """Return the parts of the tokens from `start` to `stop`, as views."""
        found, before = [], 0
        for part in self.parts:
            begin, end = max(start - before, 0), min(stop - before, part.tokens)
            if begin < end:
                found.append(part.slice(begin, end))
            before += part.tokens
        return tuple(found)


def common_prefix_length(one: np.ndarray, other: np.ndarray) -> int:
    """Return the length of the common prefix of two arrays of token ids, shape (tokens,)."""
    shorter = min(len(one), len(other))
    differ = one[:shorter] != other[:shorter]
    return int(differ.argmax()) if differ.any() else shorter


def depth_first_order(prompts: Sequence[Sequence[int]], weights: Sequence[float]) -> list[int]:
    """Return the indices of the prompts in depth-first order of their prefix tree.

    Args:
        prompts: token ids of each.
        weights: weight of each prompt; of several branches, the one with the smallest maximum comes first.
    """
    ordered = sorted(range(len(prompts)), key=lambda place: list(prompts[place]))
    arrays = [np.asarray(prompts[place], dtype=np.int64) for place in ordered]
    shared = [common_prefix_length(one, other) for one, other in pairwise(arrays)]

    def visit(first: int, last: int) -> list[int]:
        if last - first == 1:
            return [ordered[first]]
        # All prompts from first to last share this length; a boundary without more starts another branch.
        parting = min(shared[first : last - 1])
        cuts = [first, *(i + 1 for i in range(first, last - 1) if shared[i] == parting), last]
        branches = [visit(begin, end) for begin, end in pairwise(cuts)]
        branches.sort(key=lambda branch: max(weights[place] for place in branch))
        return [place for branch in branches for place in branch]

    return visit(0, len(prompts)) if prompts else []


def branch_points(prompts: Sequence[Sequence[int]]) -> list[tuple[int, ...]]:
    """Return, for each prompt in depth-first order, the lengths at which later ones diverge from it, ascending."""
    arrays = [np.asarray(prompt, dtype=np.int64) for prompt in prompts]
    found: list[tuple[int, ...]] = [()] * len(arrays)
    for i in reversed(range(len(arrays) - 1)):
        shared = common_prefix_length(arrays[i], arrays[i + 1])
        # A later prompt shares with this one what it shares with all between them.
        found[i] = (*(length for length in found[i + 1] if length < shared), shared) if shared else ()
    return found


def uncached_lengths(prompts: Sequence[Sequence[int]], cache: PrefixCache) -> list[int]:
    """Return, for each prompt in depth-first order, the number of tokens that it shares neither with the one before it
    nor with a state of the cache."""
    arrays = [np.asarray(prompt, dtype=np.int64) for prompt in prompts]
    shared = [0, *(common_prefix_length(one, other) for one, other in pairwise(arrays))]
    return [
        len(prompt) - max(length, cache.cached_length(prompt)) for prompt, length in zip(prompts, shared, strict=False)
    ]


class PrefixCache:
    """LRU cache of prefix states.

    Args:
        capacity: maximum memory of all states, in bytes; a larger state is not stored.
    """

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self._states: list[State] = []

    @property
    def nbytes(self) -> int:
        """Memory of all states, in bytes; what they share counts once."""
        return _memory(self._states)

    def __len__(self) -> int:
        """Return the number of states."""
        return len(self._states)

    def cached_length(self, ids: Sequence[int]) -> int:
        """Return the length of the longest cached prefix of `ids`."""
        wanted = np.asarray(ids, dtype=np.int64)
        return max(
            (state.reusable_length(common_prefix_length(state.ids, wanted)) for state in self._states), default=0
        )

    def longest_prefix(self, ids: Sequence[int]) -> State | None:
        """Return the state of the longest cached prefix of `ids`; None if there is none."""
        wanted = np.asarray(ids, dtype=np.int64)
        best, covered = None, 0
        for state in self._states:
            if (reached := state.reusable_length(common_prefix_length(state.ids, wanted))) > covered:
                best, covered = state, reached
        if best is None:
            return None
        self._states = [state for state in self._states if state is not best] + [best]
        return best.truncate(covered)

    def add(self, state: State) -> None:
        """Store a state in place of those that it contains, and evict the least recently used ones."""
        if _memory([state]) > self.capacity:
            return
        kept = [*(old for old in self._states if not _contains(state, old)), state]
        while _memory(kept) > self.capacity:
            del kept[0]
        self._states = kept


def _memory(states: Sequence[State]) -> int:
    """Return the bytes of memory of states together."""
    found: dict[int, int] = {}
    for state in states:
        found |= state.memory
    return sum(found.values())


def _contains(state: State, other: State) -> bool:
    """Whether `state` can be truncated to every length that `other` can."""
    if common_prefix_length(state.ids, other.ids) < len(other.ids):
        return False
    return all(state.reusable_length(length) == length for length in (s.tokens for s in other.snapshots))
