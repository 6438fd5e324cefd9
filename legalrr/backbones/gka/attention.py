"""A Gated KalmaNet layer in the place of a decoder layer's attention."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from transformers.cache_utils import LinearAttentionCacheLayerMixin

from gated_kalmanet import GatedKalmaNet

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import Cache

    from gated_kalmanet import GatedKalmaNetConfig


class GkaAttention(GatedKalmaNet):
    """The layer of `gated_kalmanet`, called as the decoder layers of transformers call their attention.

    Its parameters are those of the layer, under the same names.

    Args:
        config: sizes, switches and form of the operator.
        layer_idx: which layer of the model it is, and so of the cache.
    """

    def __init__(self, config: GatedKalmaNetConfig, layer_idx: int) -> None:
        super().__init__(config)
        self.layer_idx = layer_idx

    def forward(  # type: ignore[override]  # the call is that of an attention
        self,
        hidden_states: Tensor,
        *,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        past_key_values: Cache | None = None,
        cu_seq_lens_q: Tensor | None = None,
        cu_seqlens: Tensor | None = None,
        **others: Any,
    ) -> tuple[Tensor, None]:
        """Read tokens; with a cache, go on where its layer of this index ends.

        Args:
            hidden_states: the residual stream after its norm, [B, T, hidden size].
            attention_mask: whatever mask the model's attention goes by; see `padding`.
            position_ids: [1 or B, T]; without a cache, sequences that are packed in a row are told by them, as
                transformers does for attention. There is no other use: the layer knows the order without positions.
            past_key_values: a cache made from the model's configuration.
            cu_seq_lens_q: [N + 1], where packed sequences begin and end, as transformers calls it.
            cu_seqlens: the same, under its short name.
            **others: what an attention is told beside (rotary embeddings, lengths), unused.

        Returns:
            [B, T, hidden size], and None in the place of weights.

        Raises:
            ValueError: the cache has no place for this layer, or packed sequences come with a cache.
            TypeError: a mask of an unknown kind.
        """
        batch, tokens, _ = hidden_states.shape
        mask = padding(attention_mask, tokens)
        ends = cu_seq_lens_q if cu_seqlens is None else cu_seqlens
        cache = None if past_key_values is None else past_key_values.layers[self.layer_idx]
        if cache is not None and not isinstance(cache, LinearAttentionCacheLayerMixin):
            raise ValueError(
                f"layer {self.layer_idx} of the cache is a {type(cache).__name__}, which holds no state of a GKA "
                "layer: make it from the model's configuration, DynamicCache(config=model.config)"
            )
        if ends is not None:
            # What tells sequences apart has no padding.
            mask = None
        elif cache is None and position_ids is not None and (mask is None or bool(mask.all())):
            mask, ends = None, packed(position_ids.expand(batch, -1))
        if ends is None:
            return super().forward(hidden_states, cache=cache, mask=mask), None
        row = hidden_states.reshape(1, batch * tokens, -1)
        return super().forward(row, cache=cache, cu_seqlens=ends).view_as(hidden_states), None


def padding(mask: Tensor | None, tokens: int) -> Tensor | None:
    """Which of the last `tokens` tokens are none, from the mask that an attention goes by.

    Args:
        mask: None; [B, length so far] with 1 at tokens (flash attention); or [B, 1, tokens, length so far], bool with
            True, or numbers with 0, where a query sees a key (sdpa, eager).
        tokens: how many are new.

    Returns:
        [B, tokens] bool, False at padding; None: there is no padding.

    Raises:
        TypeError: another kind of mask.
    """
    if mask is None:
        return None
    if not isinstance(mask, torch.Tensor) or mask.ndim not in (2, 4):
        raise TypeError(f"a GKA layer cannot read a mask of {type(mask).__name__}: use attention split, sdpa or eager")
    if mask.ndim == 2:
        return mask[:, -tokens:].bool()
    # A token sees itself, whatever else is hidden from it; padding is seen by none.
    itself = mask[:, 0].diagonal(offset=mask.shape[-1] - tokens, dim1=-2, dim2=-1)
    return itself if itself.dtype == torch.bool else itself == 0


def packed(position_ids: Tensor) -> Tensor | None:
    """Where the sequences in rows begin and end, told by positions that do not go on by one.

    Args:
        position_ids: [B, T].

    Returns:
        int32 of [N + 1], over the rows one after the other; None: every row is one sequence.
    """
    begins = position_ids.diff(dim=-1, prepend=position_ids[:, :1] - 1) != 1
    if not begins.any():
        return None
    begins[:, 0] = True
    starts = begins.flatten().nonzero().flatten()
    return torch.cat([starts, starts.new_tensor([begins.numel()])]).to(torch.int32)
