"""Shared-prefix attention: compute attention to a common past once per batch, and without a mask.

New tokens see all of the past and, of each other, the earlier ones. Under one mask for both, torch's kernels compute
what the mask discards. Here attention to the past needs no mask and attention among new tokens uses `is_causal`, each
in the fused kernel; both are merged by their log-sum-exp. With scores s and values v, over past P and new tokens N,

    softmax(s) v = w softmax(s_P) v_P + (1 - w) softmax(s_N) v_N,   w = sigmoid(logsumexp(s_P) - logsumexp(s_N)),

which is exact (FlashAttention merges blocks in this way: Dao et al., arXiv 2205.14135).

The same equation serves shared prefixes. Decoding is bound by reading the keys and values of the prompt. Arms of an
experiment that show the same judgment have the same keys and values for it, so one read serves the next token of all.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import repeat_kv, sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from legalrr.backbones.local.prefix_cache import common_prefix_length

NAME = "split"
SHARED_PREFIXES = "shared_prefixes"
"""Attribute of a layer's keys with the shared prefixes of their rows."""
MIN_SHARED_TOKENS = 64
"""Minimum length of a shared prefix, in tokens; each costs a kernel call per layer and generated token."""


@dataclass(frozen=True, kw_only=True)
class SharedPrefix:
    """A common prefix of adjacent rows of a batch."""

    rows: slice
    """The rows."""
    columns: slice
    """Columns of the tokens in the first of these rows."""


@dataclass(frozen=True, kw_only=True, eq=False)
class SharedPrefixes:
    """The shared prefixes of all rows of a left-padded batch."""

    parts: tuple[SharedPrefix, ...]
    """Every row belongs to one; for a row of its own, it is the whole prompt."""
    rest: tuple[int, ...]
    """For each row, the column after its shared prefix."""


def find_shared_prefixes(prompts: Sequence[np.ndarray]) -> SharedPrefixes | None:
    """Find the shared prefixes that save the most reads; return None if none saves any.

    Args:
        prompts: token ids of each, shape (tokens,), in the order of
            `legalrr.backbones.local.prefix_cache.depth_first_order`.
    """
    shared = [common_prefix_length(one, other) for one, other in pairwise(prompts)]
    # For the first n rows: tokens that need not be read, and the start of the last prefix.
    best: list[tuple[int, int]] = [(0, 0)]
    for stop in range(1, len(prompts) + 1):
        found, length = (best[stop - 1][0], stop - 1), len(prompts[stop - 1])
        for first in range(stop - 2, -1, -1):
            length = min(length, shared[first])
            if length < MIN_SHARED_TOKENS:
                break
            found = max(found, (best[first][0] + (stop - first - 1) * length, first))
        best.append(found)
    if not best[-1][0]:
        return None
    width = max(map(len, prompts))
    parts: list[SharedPrefix] = []
    rest = [0] * len(prompts)
    stop = len(prompts)
    while stop:
        first = best[stop][1]
        length = min([len(prompts[first]), *shared[first : stop - 1]])
        start = width - len(prompts[first])
        parts.append(SharedPrefix(rows=slice(first, stop), columns=slice(start, start + length)))
        for row in range(first, stop):
            rest[row] = width - len(prompts[row]) + length
        stop = first
    return SharedPrefixes(parts=tuple(reversed(parts)), rest=tuple(rest))


def register() -> None:
    """Register `attn_implementation="split"` with transformers."""
    AttentionInterface.register(NAME, split_attention)
    AttentionMaskInterface.register(NAME, split_mask)


def split_attention(
    module: torch.nn.Module,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attention_mask: Tensor | None,
    *,
    scaling: float | None = None,
    **kwargs: Any,
) -> tuple[Tensor, None]:
    """Compute attention of a layer, as an attention function of transformers.

    With a mask or without a past this is `sdpa` of transformers. For one new token per row, rows with shared prefixes
    read each prefix once.

    Args:
        module: the layer.
        query: shape (batch, heads, new, head size).
        key: shape (batch, key-value heads, past + new, head size); its attribute `shared_prefixes`, if set, gives the
            shared prefixes of the rows.
        value: same shape; the head size may be smaller, as in multi-head latent attention.
        attention_mask: None for causal attention without padding.
        scaling: scale of the scores; None: 1 / sqrt(head size).
        **kwargs: dropout and other arguments of the layer.

    Returns:
        shape (batch, new, heads, head size of the values), and None in place of weights.
    """
    new = query.shape[2]
    past = key.shape[2] - new
    causal = kwargs.get("is_causal")
    if causal is None:
        causal = getattr(module, "is_causal", True)
    shared: SharedPrefixes | None = getattr(key, SHARED_PREFIXES, None)
    if shared is not None and new == 1:
        return _attend_shared(query, key, value, shared, scale=scaling).transpose(1, 2).contiguous(), None
    if attention_mask is not None or past <= 0 or new == 1 or not causal:
        return sdpa_attention_forward(module, query, key, value, attention_mask, scaling=scaling, **kwargs)
    size = value.shape[-1]
    # The kernels take values of the size of the keys.
    value = pad(value, (0, key.shape[-1] - size))
    prefix_output, prefix_logsumexp = _fused(query, key[:, :, :past], value[:, :, :past], causal=False, scale=scaling)
    rest_output, rest_logsumexp = _fused(query, key[:, :, past:], value[:, :, past:], causal=True, scale=scaling)
    weight = torch.sigmoid(prefix_logsumexp - rest_logsumexp)[..., None].to(query.dtype)
    return torch.lerp(rest_output, prefix_output, weight)[..., :size].transpose(1, 2).contiguous(), None


def split_mask(
    *,
    q_length: int,
    kv_length: int,
    q_offset: int = 0,
    kv_offset: int = 0,
    attention_mask: Tensor | None = None,
    local_size: int | None = None,
    allow_is_causal_skip: bool = True,
    **kwargs: Any,
) -> Tensor | None:
    """Return the mask as `transformers.masking_utils.sdpa_mask` does; None for causal attention without padding."""
    causal = attention_mask is None and local_size is None and allow_is_causal_skip
    if causal and kv_offset == 0 and q_offset + q_length == kv_length:
        return None
    return sdpa_mask(
        q_length=q_length,
        kv_length=kv_length,
        q_offset=q_offset,
        kv_offset=kv_offset,
        attention_mask=attention_mask,
        local_size=local_size,
        allow_is_causal_skip=allow_is_causal_skip,
        **kwargs,
    )


def _fused(
    query: Tensor, key: Tensor, value: Tensor, *, causal: bool, scale: float | None, mask: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Compute attention, and the log-sum-exp (natural) of the scores, float32 of shape (batch, heads, query length).

    Args:
        query: shape (batch, heads, query length, head size).
        key: shape (batch, key-value heads, key length, head size).
        value: same shape.
        causal: whether a token sees only earlier ones; both lengths are then equal.
        scale: see `split_attention`.
        mask: added to the scores; CPU only.
    """
    kernels = torch.ops.aten
    if query.device.type == "cpu":
        return kernels._scaled_dot_product_flash_attention_for_cpu(
            query, key, value, 0.0, causal, attn_mask=mask, scale=scale
        )
    groups = query.shape[1] // key.shape[1]
    key, value = repeat_kv(key, groups), repeat_kv(value, groups)
    if query.dtype == torch.float32:
        output, logsumexp, *_ = kernels._scaled_dot_product_efficient_attention(
            query, key, value, None, True, 0.0, causal, scale=scale
        )
    else:
        output, logsumexp, *_ = kernels._scaled_dot_product_flash_attention(query, key, value, 0.0, causal, scale=scale)
    # The kernels of an accelerator round the number of rows up.
    return output, logsumexp[:, :, : query.shape[2]]


def _attend_shared(query: Tensor, key: Tensor, value: Tensor, shared: SharedPrefixes, *, scale: float | None) -> Tensor:
    """Compute attention of the next token of every row, on a CPU.

    Args:
        query: shape (batch, heads, 1, head size).
        key: shape (batch, key-value heads, tokens, head size), left-padded.
        value: same shape.
        shared: shared prefixes of the rows.
        scale: scale of the scores; None: 1 / sqrt(head size).

    Returns:
        shape (batch, heads, 1, head size).
    """
    # Query heads that share a key-value head are passed to the kernel as queries of one head.
    rows, heads, _, size = query.shape
    groups = heads // key.shape[1]
    query = query.reshape(rows, key.shape[1], groups, size)
    rest = min(shared.rest)
    places = torch.arange(rest, key.shape[2])
    mask = torch.zeros((rows, 1, 1, len(places)), dtype=query.dtype)
    mask.masked_fill_(places < torch.tensor(shared.rest)[:, None, None, None], -torch.inf)
    mask = mask.expand(-1, -1, groups, -1)
    rest_output, rest_logsumexp = _fused(
        query, key[:, :, rest:], value[:, :, rest:], causal=False, scale=scale, mask=mask
    )
    prefix_output, prefix_logsumexp = torch.empty_like(rest_output), torch.empty_like(rest_logsumexp)
    for part in shared.parts:
        one = slice(part.rows.start, part.rows.start + 1)
        given = query[part.rows].transpose(0, 1).flatten(1, 2)[None]
        seen = (tensor[one, :, part.columns] for tensor in (key, value))
        found, weight = _fused(given, *seen, causal=False, scale=scale)
        prefix_output[part.rows] = found[0].unflatten(1, (-1, groups)).transpose(0, 1)
        prefix_logsumexp[part.rows] = weight[0].unflatten(1, (-1, groups)).transpose(0, 1)
    weight = torch.sigmoid(prefix_logsumexp - rest_logsumexp)[..., None].to(query.dtype)
    return torch.lerp(rest_output, prefix_output, weight).reshape(rows, heads, 1, size)
