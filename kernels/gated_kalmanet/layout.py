"""How sequences of any length are cut into chunks of one size, and which of these are computed together.

A sequence is a list of token numbers: a row of the batch, the part of it that is not padding, or a stretch of a packed
row. The chunks of all sequences stand on one axis, ordered so that a group, the chunks computed at once, is a slice of
it; within a group chunk j of every sequence comes before chunk j + 1 of any, as the states are handed on.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING

import torch

from gated_kalmanet.checks import Sizes, offsets

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Group:
    """Chunks that are computed at once."""

    chunks: slice
    """Where they stand on the axis of chunks."""
    rows: slice
    """Its sequences, in the order of `Layout.sequences`."""
    steps: tuple[int, ...]
    """Per chunk number, how many of these sequences have such a chunk: always the first ones."""

    @classmethod
    def ending(cls, end: int, rows: slice, steps: Sequence[int]) -> Group:
        """The group whose last chunk stands before `end`."""
        return cls(chunks=slice(end - sum(steps), end), rows=rows, steps=tuple(steps))


@dataclass(frozen=True, kw_only=True, eq=False)
class Layout:
    """Where every token goes."""

    groups: tuple[Group, ...]
    """In the order of computation."""
    sequences: Tensor
    """[N], the order of the sequences: longest first, so that those still running at a chunk number come first."""
    index: Tensor
    """[chunks, C], the token (of the flattened batch) at each place; any token at places that hold none."""
    filled: Tensor
    """[chunks, C], whether there is a token."""
    full: bool
    """Whether there is one everywhere."""

    @classmethod
    def of(cls, tokens: Tensor, lengths: Sequence[int], size: int, together: int) -> Layout:
        """Cut sequences into chunks.

        Args:
            tokens: token numbers of all sequences, one sequence after the other, int64.
            lengths: of the sequences.
            size: C, tokens of a chunk; the last one of a sequence may hold fewer.
            together: chunks that a group may hold, at least 1.
        """
        order = sorted(range(len(lengths)), key=lambda n: -lengths[n])
        starts = [0, *accumulate(lengths)]
        groups: list[Group] = []
        places: list[tuple[int, int]] = []  # of every chunk, its first token and how many it has
        for first in range(0, len(order), together):
            rows = slice(first, min(first + together, len(order)))
            steps: list[int] = []
            for done in range(0, lengths[order[first]], size):
                running = [n for n in order[rows] if lengths[n] > done]
                if steps and sum(steps) + len(running) > together:
                    groups.append(Group.ending(len(places), rows, steps))
                    steps = []
                steps.append(len(running))
                places.extend((starts[n] + done, min(size, lengths[n] - done)) for n in running)
            if steps:
                groups.append(Group.ending(len(places), rows, steps))
        begin, held = torch.tensor(places, dtype=torch.int64, device=tokens.device).view(-1, 2, 1).unbind(1)
        within = torch.arange(size, device=tokens.device)
        filled = within < held
        return cls(
            groups=tuple(groups),
            sequences=torch.tensor(order, dtype=torch.int64, device=tokens.device),
            index=tokens[torch.where(filled, begin + within, begin)],
            filled=filled,
            full=sum(lengths) == filled.numel(),
        )

    def pack(self, tensor: Tensor) -> Tensor:
        """[B, T, heads, ...] -> [chunks, heads, C, ...], 0 where there is no token."""
        packed = tensor.flatten(0, 1)[self.index].movedim(1, 2).contiguous()
        if self.full:
            return packed
        empty = ~self.filled.view(len(self.filled), 1, self.filled.shape[1], *(1,) * (packed.ndim - 3))
        return packed.masked_fill_(empty, 0)

    def unpack(self, tensor: Tensor, batch: int, tokens: int) -> Tensor:
        """[chunks, heads, C, ...] -> [B, T, heads, ...], 0 at tokens of no sequence."""
        flat = tensor.movedim(1, 2)[self.filled]
        empty = flat.new_zeros(batch * tokens, *flat.shape[1:])
        return empty.index_copy(0, self.index[self.filled], flat).unflatten(0, (batch, tokens))


def sequences(
    size: Sizes, cu_seqlens: Tensor | None, mask: Tensor | None, device: torch.device
) -> tuple[Tensor, list[int]]:
    """The tokens of all sequences of a call, one sequence after the other, and how many each has."""
    if mask is not None:
        return mask.flatten().nonzero()[:, 0], mask.sum(1).tolist()
    tokens = torch.arange(size.B * size.T, device=device)
    if cu_seqlens is None:
        return tokens, [size.T] * size.B
    return tokens, [end - start for start, end in pairwise(offsets(cu_seqlens, size.T))]
