"""The short causal convolution before the heads (2.2), which knows about padding, packing and what was read before."""

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
    """y[t, c] = SiLU(sum_j w[c, 0, j] x[t - K + 1 + j, c]), zeros before the sequence; accumulated in float32.

    Args:
        channels: c, each convolved with itself alone.
        size: K, tokens that one output sees.
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
        """Convolve; with a cache, after the last K inputs that it holds, and leave the last K in it.

        Args:
            x: [B, T, channels].
            cache: what was read before.
            state_idx: the number of this convolution's state there.
            mask: [B, T], False at tokens that are not there for this convolution.
            cu_seqlens: [N + 1], where packed sequences begin and end.

        Returns:
            [B, T, channels], in the dtype of x.
        """
        tokens, size = x.shape[1], self.kernel_size[0]
        inputs = x.mT
        if cu_seqlens is not None:
            # Between the sequences of a row lie as many zeros as a token can see.
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
            # Padding goes to the far left, so that every token stands after the token that it follows.
            order = functional.pad(mask, (size, 0), value=True).int().argsort(dim=-1, stable=True)[:, None]
            inputs, back = inputs.gather(-1, order.expand_as(inputs)), order.argsort(dim=-1)
        if cache is not None:
            cache.update_conv_state(inputs[..., -size:], state_idx, conv_kernel_size=size)
        y = self.convolve(inputs)
        return (y if back is None else y.gather(-1, back.expand_as(y)))[..., size:].mT

    def convolve(self, inputs: Tensor) -> Tensor:
        """[B, channels, L] -> [B, channels, L], zeros before the first."""
        dtype = compute_dtype(inputs.dtype)
        padded = functional.pad(inputs.to(dtype), (self.kernel_size[0] - 1, 0))
        with torch.autocast(inputs.device.type, enabled=False):
            y = functional.conv1d(padded, self.weight.to(dtype), groups=self.groups)
        return functional.silu(y).to(inputs.dtype)
