"""What a model remembers of tokens that it has read, as it was at a certain length.

Attention keeps the keys and values of every token, so what it remembers can be cut to any beginning, as a view. A
recurrent layer (linear attention, state space) keeps tensors of constant size that no later token can be taken out of:
they are copied at chosen lengths, and reading goes on only from there.
"""

from __future__ import annotations

from dataclasses import dataclass
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
