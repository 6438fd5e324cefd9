"""Attention to a past and to what is new, apart.

Tokens that follow a past see all of it and, of each other, what came before. Under one mask for both, torch's kernels
compute what the mask throws away. Here the past is attended to without a mask and the new by `is_causal`, each by the
fused kernel, and the two are put together by their log-sum-exp. With scores s and values v, over past P and new N,

    softmax(s) v = w softmax(s_P) v_P + (1 - w) softmax(s_N) v_N,   w = sigmoid(logsumexp(s_P) - logsumexp(s_N)),

which is exact (Dao et al., FlashAttention, arXiv 2205.14135, put blocks together in this way).
"""

from typing import Any

import torch
from torch import Tensor
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.integrations.sdpa_attention import repeat_kv, sdpa_attention_forward
from transformers.masking_utils import sdpa_mask

from legalrr.backbones.beginnings import Beginnings, attend

NAME = "split"
BEGINNINGS = "beginnings"
KERNELS = ("cpu", "cuda")
"""Devices that have a kernel which tells the log-sum-exp."""


def register() -> None:
    """Make `attn_implementation="split"` known to transformers."""
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
    """Attention of a layer, in the form that transformers asks for; with a mask, or without a past, its own `sdpa`.

    One new token per row of a batch whose rows have beginnings in common goes by `legalrr.backbones.beginnings`.

    Args:
        module: the layer.
        query: shape (batch, heads, new, head size).
        key: shape (batch, key-value heads, past + new, head size); its attribute `beginnings`, where it has one, tells
            what rows have in common.
        value: the same shape.
        attention_mask: None for causal attention without padding.
        scaling: of the scores; None: 1 / sqrt(head size).
        **kwargs: dropout and whatever else the layer tells.

    Returns:
        shape (batch, new, heads, head size), and None in the place of weights.
    """
    new = query.shape[2]
    past = key.shape[2] - new
    causal = kwargs.get("is_causal")
    if causal is None:
        causal = getattr(module, "is_causal", True)
    held: Beginnings | None = getattr(key, BEGINNINGS, None)
    if held is not None and new == 1:
        return attend(query, key, value, held, scale=scaling).transpose(1, 2).contiguous(), None
    if attention_mask is not None or past <= 0 or new == 1 or not causal:
        return sdpa_attention_forward(module, query, key, value, attention_mask, scaling=scaling, **kwargs)
    before, weight_before = fused(query, key[:, :, :past], value[:, :, :past], causal=False, scale=scaling)
    among, weight_among = fused(query, key[:, :, past:], value[:, :, past:], causal=True, scale=scaling)
    weight = torch.sigmoid(weight_before - weight_among)[..., None].to(query.dtype)
    return torch.lerp(among, before, weight).transpose(1, 2).contiguous(), None


def fused(
    query: Tensor, key: Tensor, value: Tensor, *, causal: bool, scale: float | None, mask: Tensor | None = None
) -> tuple[Tensor, Tensor]:
    """Attention, and the log-sum-exp (natural) of the scores, float32 of shape (batch, heads, query length).

    Args:
        query: shape (batch, heads, query length, head size).
        key: shape (batch, key-value heads, key length, head size).
        value: the same shape.
        causal: whether a token sees only what came before; then both lengths are the same.
        scale: see `split_attention`.
        mask: added to the scores, on a CPU alone.
    """
    kernels = torch.ops.aten
    if query.device.type == "cpu":
        return kernels._scaled_dot_product_flash_attention_for_cpu(
            query, key, value, 0.0, causal, attn_mask=mask, scale=scale
        )
    groups = query.shape[1] // key.shape[1]
    key, value = repeat_kv(key, groups), repeat_kv(value, groups)
    if query.dtype == torch.float32:
        given, told, *_ = kernels._scaled_dot_product_efficient_attention(
            query, key, value, None, True, 0.0, causal, scale=scale
        )
    else:
        given, told, *_ = kernels._scaled_dot_product_flash_attention(query, key, value, 0.0, causal, scale=scale)
    # The kernels of an accelerator round the number of rows up.
    return given, told[:, :, : query.shape[2]]


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
    """The mask of a forward, as `transformers.masking_utils.sdpa_mask`; None where attention is causal and no more."""
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
