"""The Gated KalmaNet layer: projections, short convolutions, gates, the operator, output norm and gate.

Implements the layer of arXiv 2511.21016 as used by the released checkpoints, with the same parameter names and shapes.
Shapes: batch size B, T tokens, H expanded heads, head dimension D.
"""

from __future__ import annotations

from math import log
from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn import functional

from gated_kalmanet.backends import operate
from gated_kalmanet.checks import FP16, check_sequences, compute_dtype
from gated_kalmanet.convolution import ShortConvolution
from gated_kalmanet.state import LayerCache, State

if TYPE_CHECKING:
    from torch import Tensor

    from gated_kalmanet.config import GatedKalmaNetConfig
    from gated_kalmanet.state import Cache


class GatedRMSNorm(nn.Module):
    """RMS norm over the head dimension, multiplied by the gate SiLU(z), in float32 (2.3)."""

    def __init__(self, dim: int, eps: float) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(dim))
        self.eps = eps

    def forward(self, o: Tensor, z: Tensor | None) -> Tensor:
        """Compute o / rms(o) * weight * SiLU(z) for o and z of [B, T, H, D]; without z, only the norm."""
        dtype = compute_dtype(o.dtype)
        y = functional.rms_norm(o.to(dtype), self.weight.shape, self.weight.to(dtype), self.eps)
        return (y if z is None else y * functional.silu(z.to(dtype))).to(o.dtype)


class LowRankExpansion(nn.Module):
    """Low-rank map B SiLU(A k), added to the repeated keys or values of every expanded head (2.1); B starts at 0."""

    def __init__(self, narrow: int, rank: int | None, wide: int) -> None:
        super().__init__()
        self.linearA = nn.Linear(narrow, rank, bias=False)
        self.linearB = nn.Linear(rank, wide, bias=False)
        nn.init.zeros_(self.linearB.weight)

    def forward(self, x: Tensor) -> Tensor:
        """Expand [B, T, narrow] to [B, T, wide]."""
        return self.linearB(functional.silu(self.linearA(x)))


class GatedKalmaNet(nn.Module):
    """Gated KalmaNet layer, a sequence layer with a state of constant size.

    Args:
        config: sizes, switches and options of the solver.
    """

    def __init__(self, config: GatedKalmaNetConfig) -> None:
        super().__init__()
        self.config = config
        hidden, heads, dim = config.hidden_size, config.num_heads, config.head_dim
        self.q_proj = nn.Linear(hidden, config.num_q_heads * dim, bias=False)
        self.k_proj = nn.Linear(hidden, config.num_k_heads * dim, bias=False)
        self.v_proj = nn.Linear(hidden, config.num_v_heads * dim, bias=False)
        self.q_conv1d = ShortConvolution(config.num_q_heads * dim, config.conv_size)
        self.k_conv1d = ShortConvolution(config.num_k_heads * dim, config.conv_size)
        if config.use_v_conv:
            self.v_conv1d = ShortConvolution(config.num_v_heads * dim, config.conv_size)
        if config.use_beta_gate:
            self.b_proj = nn.Linear(hidden, heads)
        if config.use_alpha_connection:
            self.alpha_proj = nn.Linear(hidden, heads)
        if config.use_forgetting_gate:
            self.a_proj = nn.Linear(hidden, heads, bias=False)
            self.A_log = undecayed(torch.empty(heads, dtype=torch.float32).uniform_(0, 16).log())
            # softplus(dt_bias) is log-uniform.
            dt = (torch.rand(heads) * (log(0.1) - log(0.001)) + log(0.001)).exp().clamp(min=1e-4)
            self.dt_bias = undecayed(dt + (-torch.expm1(-dt)).log())
        if config.expands:
            self.proj_k = LowRankExpansion(config.num_k_heads * dim, config.kv_proj_rank, heads * dim)
            self.proj_v = LowRankExpansion(config.num_v_heads * dim, config.kv_proj_rank, heads * dim)
        if config.expands and config.kv_learnable_residual:
            shared = torch.eye(config.num_k_heads).repeat_interleave(heads // config.num_k_heads, dim=0)
            self.k_rep, self.v_rep = nn.Parameter(shared.clone()), nn.Parameter(shared.clone())
        if config.use_gate:
            self.g_proj = nn.Linear(hidden, heads * dim, bias=False)
        self.o_norm = GatedRMSNorm(dim, config.norm_eps)
        self.o_proj = nn.Linear(heads * dim, hidden, bias=False)

    def forward(
        self,
        hidden: Tensor,
        *,
        cache: Cache | None = None,
        mask: Tensor | None = None,
        cu_seqlens: Tensor | None = None,
    ) -> Tensor:
        """Apply the layer (prefill or decode); with a cache, continue the cached sequences by T tokens.

        Args:
            hidden: residual stream after its norm, [B, T, hidden_size]; bfloat16, float32 or float64.
            cache: states of the past tokens, updated in place: `gated_kalmanet.state.LayerCache` or a layer of a
                transformers cache. None: the sequences start here, and no state is kept.
            mask: bool [B, T], False at padding on any side. Padding leaves the states unchanged and has output 0.
            cu_seqlens: cumulative lengths of packed sequences, [N + 1], with B = 1.

        Returns:
            output of the layer, [B, T, hidden_size].

        Raises:
            TypeError: a dtype is invalid, such as float16.
            ValueError: a shape is invalid, the backend does not support the device, or `cu_seqlens` is combined with a
                cache.
        """
        config = self.config
        if hidden.dtype == torch.float16:
            raise TypeError(f"hidden {FP16}")
        if hidden.ndim != 3 or hidden.shape[-1] != config.hidden_size:
            raise ValueError(f"hidden must be [batch, tokens, {config.hidden_size}], not {tuple(hidden.shape)}")
        check_sequences(mask, cu_seqlens, *hidden.shape[:2])
        if cache is not None and cu_seqlens is not None:
            raise ValueError("cu_seqlens and a cache cannot be combined: a cache holds one sequence per row")
        if mask is not None:
            hidden = hidden.masked_fill(~mask[..., None], 0)
        q = self.q_conv1d(self.q_proj(hidden), cache=cache, state_idx=0, mask=mask, cu_seqlens=cu_seqlens)
        k = self.k_conv1d(self.k_proj(hidden), cache=cache, state_idx=1, mask=mask, cu_seqlens=cu_seqlens)
        v = self.v_proj(hidden)
        if config.use_v_conv:
            v = self.v_conv1d(v, cache=cache, state_idx=2, mask=mask, cu_seqlens=cu_seqlens)
        held = (None, None) if cache is None else (cache.recurrent_states[0], cache.recurrent_states[1])
        o, state = operate(
            config,
            (self.heads(q), *self.expand(k, v), *self.gates(hidden)),
            state=None if held[0] is None or held[1] is None else State(H=held[0], U=held[1]),
            # A transformers cache keeps its tensors and copies new states into them; write there directly.
            inplace=not isinstance(cache, LayerCache),
            cu_seqlens=cu_seqlens,
            mask=mask,
        )
        if cache is not None:
            cache.update_recurrent_state(state.H, 0)
            cache.update_recurrent_state(state.U, 1)
        z = self.heads(self.g_proj(hidden)) if config.use_gate else None
        return self.o_proj(self.o_norm(o, z).flatten(2))

    def gates(self, hidden: Tensor) -> tuple[Tensor, Tensor | None, Tensor | None]:
        """Compute beta, alpha and the log decay g (1.2), [B, T, H] each, from [B, T, hidden_size]; g is float32."""
        config = self.config
        dtype = compute_dtype(hidden.dtype)
        ones = hidden.new_ones(*hidden.shape[:2], config.num_heads)
        beta = self.b_proj(hidden).sigmoid() if config.use_beta_gate else ones
        alpha = self.alpha_proj(hidden).sigmoid() if config.use_alpha_connection else None
        if not config.use_forgetting_gate:
            return beta, alpha, None
        # In a bfloat16 checkpoint A_log and dt_bias are bfloat16 too: cast them before the computation.
        rate = functional.softplus(self.a_proj(hidden).to(dtype) + self.dt_bias.to(dtype))
        return beta, alpha, -self.A_log.to(dtype).exp() * rate

    def heads(self, x: Tensor) -> Tensor:
        """Split into heads: [B, T, heads D] -> [B, T, heads, D]."""
        return x.unflatten(-1, (-1, self.config.head_dim))

    def expand(self, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        """Split keys and values into heads, [B, T, Hk, D], or expand them to [B, T, H, D] by the low-rank map (2.1)."""
        if not self.config.expands:
            return self.heads(k), self.heads(v)
        times = self.config.num_heads // self.config.num_k_heads
        if self.config.kv_learnable_residual:
            shared_k = torch.einsum("eh,bthd->bted", self.k_rep, self.heads(k))
            shared_v = torch.einsum("eh,bthd->bted", self.v_rep, self.heads(v))
        else:
            shared_k, shared_v = (self.heads(x).repeat_interleave(times, 2) for x in (k, v))
        return self.heads(self.proj_k(k)) + shared_k, self.heads(self.proj_v(v)) + shared_v


def undecayed(value: Tensor) -> nn.Parameter:
    """Create a parameter with the attribute that excludes it from weight decay in optimisers."""
    parameter = nn.Parameter(value)
    parameter._no_weight_decay = True
    return parameter
