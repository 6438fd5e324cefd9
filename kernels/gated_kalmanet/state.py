"""What a Gated KalmaNet layer remembers of the past: two matrices per head, and the last inputs of its convolutions."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import torch

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(frozen=True, kw_only=True, eq=False)
class State:
    """The two states of 1.1 step 3 after the last token, per sequence and expanded head, key index first."""

    H: Tensor
    """Sum of decayed kt kt^T, [N, H, D, D], symmetric; float32, or float64 where the inputs are."""
    U: Tensor
    """Sum of decayed kt vt^T, [N, H, D, D] (rows: key index, columns: value index); same dtype."""


class Cache(Protocol):
    """What a layer asks of its cache: one layer of a transformers `Cache` (`LinearAttentionLayer`), or `LayerCache`.

    States are told apart by number: convolutions of q, k and v are 0, 1, 2; H and U are 0, 1.
    """

    conv_states: dict[int, Tensor | None]
    recurrent_states: dict[int, Tensor | None]
    has_previous_state: dict[int, bool]

    def update_conv_state(self, conv_states: Tensor, state_idx: int = 0, conv_kernel_size: int | None = None) -> Tensor:
        """Keeps the last `conv_kernel_size` inputs of [B, channels, T]."""

    def update_recurrent_state(self, recurrent_states: Tensor, state_idx: int = 0) -> Tensor:
        """Keeps a state of [B, H, D, D]."""


@dataclass(kw_only=True, eq=False)
class LayerCache:
    """The cache of one layer, for use without transformers.

    Unlike theirs it keeps what it is given and copies nothing, so a gradient may flow from one piece of a sequence to
    the one before.
    """

    conv_states: dict[int, Tensor | None] = field(default_factory=lambda: dict.fromkeys(range(3)))
    """Convolution (0: q, 1: k, 2: v) -> its last inputs, [B, channels, kernel size], oldest first; None: none yet."""
    recurrent_states: dict[int, Tensor | None] = field(default_factory=lambda: dict.fromkeys(range(3)))
    """0: H, 1: U, of [B, H, D, D]; None: none yet."""
    has_previous_state: dict[int, bool] = field(default_factory=lambda: dict.fromkeys(range(3), False))
    """Convolution -> whether it has read anything."""

    def update_conv_state(self, conv_states: Tensor, state_idx: int = 0, conv_kernel_size: int | None = None) -> Tensor:
        """Appends inputs of [B, channels, T] and keeps the last `conv_kernel_size` (None: T); zeros on the left."""
        held = self.conv_states[state_idx]
        width = conv_states.shape[-1] if conv_kernel_size is None else conv_kernel_size
        past = conv_states.new_zeros(*conv_states.shape[:-1], width) if held is None else held
        full = torch.cat([past, conv_states], dim=-1)
        self.conv_states[state_idx] = full[..., full.shape[-1] - width :]
        self.has_previous_state[state_idx] = True
        return full

    def update_recurrent_state(self, recurrent_states: Tensor, state_idx: int = 0) -> Tensor:
        """Keeps H (0) or U (1), [B, H, D, D], in the place of the one before."""
        self.recurrent_states[state_idx] = recurrent_states
        return recurrent_states
