"""Shared-prefix attention: compute attention to a past in parts, each once per batch, and without a mask.

New tokens see all of the past and, of each other, the earlier ones. Under one mask for both, torch's kernels compute
what the mask discards. Here attention to the past needs no mask and attention among new tokens uses `is_causal`, each
in the fused kernel; both are merged by their log-sum-exp. With scores s and values v, over past P and new tokens N,

    softmax(s) v = w softmax(s_P) v_P + (1 - w) softmax(s_N) v_N,   w = sigmoid(logsumexp(s_P) - logsumexp(s_N)),

which is exact (FlashAttention merges blocks in this way: Dao et al., arXiv 2205.14135).

The same equation serves a past in several tensors: what a prompt shares with others is not copied, so a beginning that
many prompts share is in memory once. It also serves batches. Decoding is bound by reading the keys and values of the
prompts. Arms of an experiment that show the same judgment have the same keys and values for it, so one read serves the
next token of all.
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
PREFIXES = "prefixes"
"""Attribute of a layer's keys with the prefixes of their rows (`Prefixes`)."""
MIN_SHARED_TOKENS = 64
"""Minimum length of a shared prefix, in tokens; each costs a kernel call per layer and generated token."""

KeysAndValues = tuple[Tensor, Tensor]


@dataclass(frozen=True, kw_only=True)
class SharedPrefix:
    """A common prefix of adjacent rows of a batch."""

    rows: slice
    """The rows."""
    tokens: int
    """Its length."""


@dataclass(kw_only=True, eq=False)
class Prefixes:
    """Keys and values, in one layer, of the tokens before those that the layer holds itself."""

    groups: tuple[tuple[slice, tuple[KeysAndValues, ...]], ...]
    """Rows, and parts of their prefix, shape (1, key-value heads, tokens, head size). A row may be in several."""
    rest: tuple[int, ...] = ()
    """For each row, the column of its first token in the layer; those before are padding. Empty: no padding."""
    read: bool = False
    """Whether attention has read them."""


def find_shared_prefixes(prompts: Sequence[np.ndarray]) -> tuple[SharedPrefix, ...]:
    """Find the shared prefixes that save the most reads; a row that shares none has its whole prompt as prefix.

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
    parts: list[SharedPrefix] = []
    stop = len(prompts)
    while stop:
        first = best[stop][1]
        length = min([len(prompts[first]), *shared[first : stop - 1]])
        parts.append(SharedPrefix(rows=slice(first, stop), tokens=length))
        stop = first
    return tuple(reversed(parts))


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

    With a mask or without a past this is `sdpa` of transformers.

    Args:
        module: the layer.
        query: shape (batch, heads, new, head size).
        key: shape (batch, key-value heads, own past + new, head size); its attribute `prefixes`, if set, gives the past
            before these.
        value: same shape; the head size may be smaller, as in multi-head latent attention.
        attention_mask: None for causal attention without padding; not used for keys with `prefixes`, whose padding they
            give.
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
    prefixes: Prefixes | None = getattr(key, PREFIXES, None)
    if prefixes is not None and causal:
        return _attend_to_prefixes(query, key, value, prefixes, scale=scaling).transpose(1, 2).contiguous(), None
    if attention_mask is not None or past <= 0 or new == 1 or not causal:
        return sdpa_attention_forward(module, query, key, value, attention_mask, scaling=scaling, **kwargs)
    output, _ = _attend_to_own(query, key, value, scale=scaling)
    return output.transpose(1, 2).contiguous(), None


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
        value: same shape; the head size may be smaller.
        causal: whether a token sees only earlier ones; both lengths are then equal.
        scale: see `split_attention`.
        mask: added to the scores; CPU only.
    """
    kernels = torch.ops.aten
    size = value.shape[-1]
    if size != key.shape[-1]:
        # The kernels take values of the size of the keys.
        value = pad(value, (0, key.shape[-1] - size))
    if query.device.type == "cpu":
        output, logsumexp = kernels._scaled_dot_product_flash_attention_for_cpu(
            query, key, value, 0.0, causal, attn_mask=mask, scale=scale
        )
        return output[..., :size], logsumexp
    groups = query.shape[1] // key.shape[1]
    key, value = repeat_kv(key, groups), repeat_kv(value, groups)
    if query.dtype == torch.float32:
        output, logsumexp, *_ = kernels._scaled_dot_product_efficient_attention(
            query, key, value, None, True, 0.0, causal, scale=scale
        )
    else:
        output, logsumexp, *_ = kernels._scaled_dot_product_flash_attention(query, key, value, 0.0, causal, scale=scale)
    # The kernels of an accelerator round the number of rows up.
    return output[..., :size], logsumexp[:, :, : query.shape[2]]


def _attend_to_own(query: Tensor, key: Tensor, value: Tensor, *, scale: float | None) -> tuple[Tensor, Tensor]:
    """Compute attention of new tokens to the keys of the layer: all earlier ones, and causally each other.

    Returns:
        shape (batch, heads, new, head size of the values), and the log-sum-exp as of `_fused`.
    """
    past = key.shape[2] - query.shape[2]
    output, logsumexp = _fused(query, key[:, :, past:], value[:, :, past:], causal=True, scale=scale)
    if past:
        found = _fused(query, key[:, :, :past], value[:, :, :past], causal=False, scale=scale)
        output, logsumexp = _merge((output, logsumexp), found)
    return output, logsumexp


def _merge(one: tuple[Tensor, Tensor], other: tuple[Tensor, Tensor]) -> tuple[Tensor, Tensor]:
    """Merge attention to two sets of keys, each given as output and log-sum-exp."""
    weight = torch.sigmoid(other[1] - one[1])[..., None].to(one[0].dtype)
    return torch.lerp(one[0], other[0], weight), torch.logaddexp(one[1], other[1])


def _attend_to_prefixes(
    query: Tensor, key: Tensor, value: Tensor, prefixes: Prefixes, *, scale: float | None
) -> Tensor:
    """Compute attention of new tokens to the prefix of their row and to the keys of the layer.

    Args:
        query: shape (batch, heads, new, head size).
        key: shape (batch, key-value heads, tokens, head size).
        value: same shape; the head size may be smaller.
        prefixes: the prefixes; with padding there is one new token, on a CPU.
        scale: scale of the scores; None: 1 / sqrt(head size).

    Returns:
        shape (batch, heads, new, head size of the values).
    """
    rows, heads, new, _ = query.shape
    prefixes.read = True
    if new == 1:
        # Query heads that share a key-value head are passed to the kernel as queries of one head.
        query = query.reshape(rows, key.shape[1], heads // key.shape[1], -1)
        output, logsumexp = _fused(
            query, key, value, causal=False, scale=scale, mask=_padding_mask(query, key, prefixes.rest)
        )
    else:
        output, logsumexp = _attend_to_own(query, key, value, scale=scale)
    for which, parts in prefixes.groups:
        if (found := _attend_to_parts(query[which], parts, new, scale)) is not None:
            output[which], logsumexp[which] = _merge((output[which], logsumexp[which]), found)
    return output.reshape(rows, heads, new, -1)


def _attend_to_parts(
    query: Tensor, parts: Sequence[KeysAndValues], new: int, scale: float | None
) -> tuple[Tensor, Tensor] | None:
    """Compute attention of rows to the parts of their common prefix; None for an empty one.

    Args:
        query: shape (rows, heads, queries, head size).
        parts: keys and values, shape (1, key-value heads, tokens, head size).
        new: number of new tokens; for a single one, the queries of all rows are passed to the kernel together.
        scale: see `split_attention`.
    """
    rows, _, queries, _ = query.shape
    found: tuple[Tensor, Tensor] | None = None
    together = query.transpose(0, 1).flatten(1, 2)[None] if new == 1 and rows > 1 else query
    copies = rows if new > 1 else 1
    for keys, values in parts:
        seen = (tensor.expand(copies, -1, -1, -1) for tensor in (keys, values))
        one = _fused(together, *seen, causal=False, scale=scale)
        found = one if found is None else _merge(found, one)
    if found is not None and together is not query:
        output, logsumexp = found
        found = (
            output[0].unflatten(1, (rows, queries)).transpose(0, 1),
            logsumexp[0].unflatten(1, (rows, queries)).transpose(0, 1),
        )
    return found


def _padding_mask(query: Tensor, key: Tensor, rest: Sequence[int]) -> Tensor | None:
    """Return the mask of columns before the first of each row, shape (rows, key-value heads, groups, columns)."""
    if not any(rest):
        return None
    places = torch.arange(key.shape[2])
    mask = torch.zeros((len(rest), 1, 1, len(places)), dtype=query.dtype)
    mask.masked_fill_(places < torch.tensor(rest)[:, None, None, None], -torch.inf)
    return mask.expand(-1, -1, query.shape[2], -1)
