"""Short causal convolution (2.2) with support for padding, packed sequences and a cache."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn import functional

from gated_kalmanet.checks import compute_dtype

if TYPE_CHECKING:
    from torch import Tensor

    from gated_kalmanet.state import Cache


class ShortConvolution(nn.Conv1d):
    """Depthwise y[t, c] = SiLU(sum_j w[c, 0, j] x[t - K + 1 + j, c]), zero-padded on the left, computed in float32.

    Args:
        channels: number of channels.
        size: kernel size K.
    """

    def __init__(self, channels: int, size: int) -> None:
        super().__init__(channels, channels, size, groups=channels, bias=False)

    def forward(
        self,
        x: Tensor,
        *,
        cache: Cache | None = None,
        state_idx: int = 0,
        mask: Tensor | None = None,
        cu_seqlens: Tensor | None = None,
    ) -> Tensor:
        """Convolve; with a cache, prepend its last K inputs and store the new last K.

        Args:
            x: inputs [B, T, channels].
            cache: cache of the layer.
            state_idx: index of the state of this convolution in the cache.
            mask: bool [B, T], False at padding, which is skipped.
            cu_seqlens: cumulative lengths of packed sequences, [N + 1].

        Returns:
            outputs [B, T, channels] in the dtype of x.
        """
        tokens, size = x.shape[1], self.kernel_size[0]
        inputs = x.mT
        if cu_seqlens is not None:
            # Separate the sequences by K zeros.
            place = torch.arange(tokens, device=x.device)
            sequence = torch.searchsorted(cu_seqlens[1:].to(place.dtype), place, right=True)
            place = place + size * (sequence + 1)
            apart = inputs.new_zeros(*inputs.shape[:2], tokens + size * len(cu_seqlens))
            return self.convolve(apart.index_copy(-1, place, inputs))[..., place].mT
        held = cache.conv_states[state_idx] if cache is not None and cache.has_previous_state[state_idx] else None
        past = inputs.new_zeros(*inputs.shape[:2], size) if held is None else held.to(inputs.dtype)
        inputs = torch.cat([past, inputs], dim=-1)
        back = None
        if mask is not None:
            # Move padding to the left, so that tokens are contiguous.
            order = functional.pad(mask, (size, 0), value=True).int().argsort(dim=-1, stable=True)[:, None]
            inputs, back = inputs.gather(-1, order.expand_as(inputs)), order.argsort(dim=-1)
        if cache is not None:
            cache.update_conv_state(inputs[..., -size:], state_idx, conv_kernel_size=size)
        y = self.convolve(inputs)
        return (y if back is None else y.gather(-1, back.expand_as(y)))[..., size:].mT

    def convolve(self, inputs: Tensor) -> Tensor:
        """Convolve [B, channels, L], zero-padded on the left; the result has the same shape."""
        dtype = compute_dtype(inputs.dtype)
        padded = functional.pad(inputs.to(dtype), (self.kernel_size[0] - 1, 0))
        with torch.autocast(inputs.device.type, enabled=False):
            y = functional.conv1d(padded, self.weight.to(dtype), groups=self.groups)
        return functional.silu(y).to(inputs.dtype)
