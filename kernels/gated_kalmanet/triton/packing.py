"""Where the chunks of all sequences stand, worked out on the device: nothing here waits for it.

A batch is a packing of sequences of equal length; tokens are numbered over the flattened batch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor

    from gated_kalmanet.checks import Sizes


@dataclass(frozen=True, kw_only=True, eq=False)
class Packing:
    """Chunks, those of one sequence after those of the one before."""

    chunk: int
    """C, tokens of a chunk; the last one of a sequence may hold fewer."""
    chunks: int
    """Number of places for chunks: as many as the sequences have, or a few more where their lengths are not known."""
    cu_seqlens: Tensor
    """[N + 1], int64: the first token of every sequence, and the number of all tokens."""
    starts: Tensor
    """[N + 1], int64: the first chunk of every sequence, and the number of all chunks."""
    sequence: Tensor
    """[chunks], int64: the sequence of every chunk; N at places that hold none."""

    @classmethod
    def of(cls, size: Sizes, cu_seqlens: Tensor | None, chunk: int, device: torch.device) -> Packing:
        """Pack the sequences of a call into chunks of `chunk` tokens.

        Ends that fall or lie beyond the tokens, which on a GPU nobody has looked at, give wrong results, but no access
        outside of the tensors.
        """
        if cu_seqlens is None:
            chunks = size.N * -(-size.T // chunk)
            ends = torch.arange(size.N + 1, device=device) * size.T
        else:
            chunks = size.T // chunk + size.N
            ends = cu_seqlens.to(torch.int64).clamp(0, size.T)
        counts = (ends.diff() + chunk - 1).div(chunk, rounding_mode="floor").clamp(min=0)
        starts = torch.nn.functional.pad(counts.cumsum(0), (1, 0)).clamp(max=chunks)
        sequence = torch.searchsorted(starts[1:], torch.arange(chunks, device=device), right=True)
        return cls(chunk=chunk, chunks=chunks, cu_seqlens=ends, starts=starts, sequence=sequence)
