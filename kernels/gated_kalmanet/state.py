"""State and cache of a Gated KalmaNet layer: two matrices per head, and the last inputs of its convolutions."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import torch

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, kw_only=True, eq=False)
class State:
    """States H and U of 1.1, step 3, after the last token, per sequence and expanded head, key index first."""

    H: Tensor
    """Sum of decayed kt kt^T, [N, H, D, D], symmetric; float32, or float64 if the inputs are float64."""
    U: Tensor
    """Sum of decayed kt vt^T, [N, H, D, D] (rows: key index, columns: value index); same dtype."""


class Cache(Protocol):
    """Protocol of the cache of a layer: a layer of a transformers `Cache` (`LinearAttentionLayer`) or `LayerCache`.

    States are indexed: convolutions of q, k and v are 0, 1 and 2; H and U are 0 and 1.
    """

    conv_states: dict[int, Tensor | None]
    recurrent_states: dict[int, Tensor | None]
    has_previous_state: dict[int, bool]

    def update_conv_state(self, conv_states: Tensor, state_idx: int = 0, conv_kernel_size: int | None = None) -> Tensor:
        """Store the last `conv_kernel_size` inputs of [B, channels, T]."""

    def update_recurrent_state(self, recurrent_states: Tensor, state_idx: int = 0) -> Tensor:
        """Store a state of [B, H, D, D]."""


@dataclass(kw_only=True, eq=False)
class LayerCache:
    """Cache of one layer, for use without transformers.

    Unlike a transformers cache it stores tensors without copying them, so gradients flow between the segments of a
    sequence.
    """

    conv_states: dict[int, Tensor | None] = field(default_factory=lambda: dict.fromkeys(range(3)))
    """Convolution (0: q, 1: k, 2: v) -> last inputs, [B, channels, kernel size], oldest first; None: empty."""
    recurrent_states: dict[int, Tensor | None] = field(default_factory=lambda: dict.fromkeys(range(3)))
    """0: H, 1: U, [B, H, D, D] each; None: empty."""
    has_previous_state: dict[int, bool] = field(default_factory=lambda: dict.fromkeys(range(3), False))
    """Convolution -> whether its state is set."""

    def update_conv_state(self, conv_states: Tensor, state_idx: int = 0, conv_kernel_size: int | None = None) -> Tensor:
        """Append inputs of [B, channels, T] and store the last `conv_kernel_size` (None: T), zero-padded at left."""
        held = self.conv_states[state_idx]
        width = conv_states.shape[-1] if conv_kernel_size is None else conv_kernel_size
        past = conv_states.new_zeros(*conv_states.shape[:-1], width) if held is None else held
        full = torch.cat([past, conv_states], dim=-1)
        self.conv_states[state_idx] = full[..., full.shape[-1] - width :]
        self.has_previous_state[state_idx] = True
        return full

    def update_recurrent_state(self, recurrent_states: Tensor, state_idx: int = 0) -> Tensor:
        """Store H (0) or U (1), [B, H, D, D]."""
        self.recurrent_states[state_idx] = recurrent_states
        return recurrent_states
