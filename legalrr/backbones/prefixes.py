"""The states of what a model has read, kept for conversations that begin the same way."""

from collections.abc import Sequence

import numpy as np

from legalrr.backbones.states import State, common


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
