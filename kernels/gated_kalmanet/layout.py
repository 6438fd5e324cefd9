"""Split sequences of any length into chunks of one size, and chunks into groups that are computed together.

A sequence is a list of token indices: a row of the batch, its tokens without padding, or a segment of a packed row. The
chunks of all sequences lie on one axis, ordered so that a group is a slice of it. Within a group, chunk j of every
sequence precedes chunk j + 1 of any sequence, the order of the scan over the states.
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
    """Chunks that are computed together."""

    chunks: slice
    """Slice of the axis of chunks."""
    rows: slice
    """Slice of the sequences, in the order of `Layout.sequences`."""
    steps: tuple[int, ...]
    """Per chunk index, the number of sequences that have such a chunk; these are the first ones."""

    @classmethod
    def ending(cls, end: int, rows: slice, steps: Sequence[int]) -> Group:
        """Create the group that ends at index `end` of the axis of chunks."""
        return cls(chunks=slice(end - sum(steps), end), rows=rows, steps=tuple(steps))


@dataclass(frozen=True, kw_only=True, eq=False)
class Layout:
    """Assignment of tokens to chunks."""

    groups: tuple[Group, ...]
    """Groups in the order of computation."""
    sequences: Tensor
    """Order of the sequences, [N]: longest first, so that those with a chunk of a given index come first."""
    index: Tensor
    """Index of the token in the flattened batch, [chunks, C]; an arbitrary token at unused positions."""
    filled: Tensor
    """Whether a position holds a token, bool [chunks, C]."""
    full: bool
    """Whether all positions hold a token."""

    @classmethod
    def of(cls, tokens: Tensor, lengths: Sequence[int], size: int, together: int) -> Layout:
        """Split sequences into chunks.

        Args:
            tokens: token indices of all sequences, concatenated, int64.
            lengths: lengths of the sequences.
            size: tokens per chunk, C; the last chunk of a sequence may hold fewer.
            together: largest number of chunks per group, at least 1.
        """
        order = sorted(range(len(lengths)), key=lambda n: -lengths[n])
        starts = [0, *accumulate(lengths)]
        groups: list[Group] = []
        places: list[tuple[int, int]] = []  # first token and number of tokens of every chunk
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
        """Gather [B, T, heads, ...] into [chunks, heads, C, ...], 0 at unused positions."""
        packed = tensor.flatten(0, 1)[self.index].movedim(1, 2).contiguous()
        if self.full:
            return packed
        empty = ~self.filled.view(len(self.filled), 1, self.filled.shape[1], *(1,) * (packed.ndim - 3))
        return packed.masked_fill_(empty, 0)

    def unpack(self, tensor: Tensor, batch: int, tokens: int) -> Tensor:
        """Scatter [chunks, heads, C, ...] into [B, T, heads, ...], 0 at tokens of no sequence."""
        flat = tensor.movedim(1, 2)[self.filled]
        empty = flat.new_zeros(batch * tokens, *flat.shape[1:])
        return empty.index_copy(0, self.index[self.filled], flat).unflatten(0, (batch, tokens))


def sequences(
    size: Sizes, cu_seqlens: Tensor | None, mask: Tensor | None, device: torch.device
) -> tuple[Tensor, list[int]]:
    """Return the token indices of all sequences of a call, concatenated, and the lengths of the sequences."""
    if mask is not None:
        return mask.flatten().nonzero()[:, 0], mask.sum(1).tolist()
    tokens = torch.arange(size.B * size.T, device=device)
    if cu_seqlens is None:
        return tokens, [size.T] * size.B
    return tokens, [end - start for start, end in pairwise(offsets(cu_seqlens, size.T))]
