"""A call of the operator over whole sequences: what stays the same from its forward to its backward pass."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from gated_kalmanet.triton import launch

if TYPE_CHECKING:
    from torch import Tensor

    from gated_kalmanet.checks import Sizes
    from gated_kalmanet.triton.packing import Packing


@dataclass(frozen=True, kw_only=True, eq=False)
class Call:
    """Sizes, options, and where the chunks stand."""

    size: Sizes
    packing: Packing
    mask: Tensor | None
    num_iter: int
    ridge_strength: float
    scale: float
    solver: str
    decay_h: bool
    grad_ridge: bool

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
            "SOLVER": self.solver,
            "NUM_ITER": self.num_iter,
            "RIDGE": self.ridge_strength,
            "SCALE": self.scale,
            "DECAY_H": self.decay_h,
        }

    @property
    def per_chunk(self) -> tuple[int, int]:
        """Grid of the kernels that work on one chunk and head."""
        return self.packing.chunks, self.size.H

    @property
    def per_sequence(self) -> tuple[int, int]:
        """Grid of the scans."""
        return self.size.N * self.size.H, launch.block(self.size.D) // launch.columns(self.size.D)

    def states(self, like: Tensor, dtype: torch.dtype, count: int) -> tuple[Tensor, Tensor]:
        """Room for H and U, `count` times."""
        shape = (count, self.size.H, self.size.D, self.size.D)
        return torch.empty(shape, dtype=dtype, device=like.device), torch.empty(shape, dtype=dtype, device=like.device)
