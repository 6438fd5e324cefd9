"""A call of the Triton operator over whole sequences: sizes, options and the positions of the chunks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from gated_kalmanet.triton import launch

if TYPE_CHECKING:
    from torch import Tensor

    from gated_kalmanet.checks import Settings, Sizes


@dataclass(frozen=True, kw_only=True, eq=False)
class Packing:
    """Positions of the chunks of all sequences, computed on the device without synchronising with it.

    A batch is a packing of sequences of equal length. Tokens are indexed over the flattened batch, and the chunks of a
    sequence follow those of the previous one.
    """

    chunk: int
    """Tokens per chunk, C; the last chunk of a sequence may hold fewer."""
    chunks: int
    """Number of chunks allocated: exact, or an upper bound if the lengths of the sequences are not known."""
    cu_seqlens: Tensor
    """First token of every sequence and the number of all tokens, int64 [N + 1]."""
    starts: Tensor
    """First chunk of every sequence and the number of all chunks, int64 [N + 1]."""
    sequence: Tensor
    """Sequence of every chunk, int64 [chunks]; N for unused chunks."""

    @classmethod
    def of(cls, size: Sizes, cu_seqlens: Tensor | None, chunk: int, device: torch.device) -> Packing:
        """Pack the sequences of a call into chunks of `chunk` tokens.

        On a GPU the values of `cu_seqlens` are not checked. Decreasing or too large values give wrong results, but no
        access outside of the tensors.
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


@dataclass(frozen=True, kw_only=True, eq=False)
class Call:
    """Sizes, options and chunks of a call, shared by its forward and backward pass."""

    size: Sizes
    packing: Packing
    mask: Tensor | None
    settings: Settings

    def sizes(self, dtype: torch.dtype) -> dict[str, Any]:
        """Compile-time arguments of every kernel."""
        return {
            "K_GROUP": self.size.H // self.size.Hk,
            "D": self.size.D,
            "BD": launch.block(self.size.D),
            "C": self.packing.chunk,
            "OPERAND": launch.operand(dtype),
            "ACC": launch.accumulator(dtype),
        }

    def solve(self) -> dict[str, Any]:
        """Compile-time arguments of the kernels that solve."""
        return {
            "SOLVER": self.settings.solver,
            "NUM_ITER": self.settings.num_iter,
            "RIDGE": self.settings.ridge_strength,
            "SCALE": self.settings.scale,
            "DECAY_H": self.settings.decay_h,
        }

    @property
    def per_chunk(self) -> tuple[int, int]:
        """Grid of the kernels with one program per chunk and head."""
        return self.packing.chunks, self.size.H

    @property
    def per_sequence(self) -> tuple[int, int]:
        """Grid of the scans: (sequences x heads, column blocks)."""
        return self.size.N * self.size.H, launch.block(self.size.D) // launch.columns(self.size.D)

    def states(self, like: Tensor, dtype: torch.dtype, count: int) -> tuple[Tensor, Tensor]:
        """Allocate `count` states H and U, uninitialised."""
        shape = (count, self.size.H, self.size.D, self.size.D)
        return torch.empty(shape, dtype=dtype, device=like.device), torch.empty(shape, dtype=dtype, device=like.device)
