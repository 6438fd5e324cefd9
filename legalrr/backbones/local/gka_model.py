"""Models with Gated KalmaNet layers: configuration, layer and model classes.

The text part of a hybrid's configuration has `layer_types` with "linear_attention" for GKA layers, from which
transformers builds the layers of a cache; `number_of_conv_states` for these; and `gka_config`, the settings of the
layers under the names of the released checkpoints.

`hybrid_qwen3` are the released models with attention and GKA layers, amazon/GKA-primed-HQwen3-*. Importing this module
registers them with `AutoConfig` and `AutoModelForCausalLM`. Names of weights and fields are those of the files;
everything but the GKA layers is Qwen3 of transformers.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import asdict, fields
from functools import cache
from inspect import signature
from typing import TYPE_CHECKING, Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM, Qwen3Config, Qwen3ForCausalLM
from transformers.cache_utils import LinearAttentionCacheLayerMixin
from transformers.masking_utils import create_causal_mask
from transformers.models.qwen3.modeling_qwen3 import Qwen3DecoderLayer

from gated_kalmanet import GatedKalmaNet, GatedKalmaNetConfig
from legalrr.errors import UserError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor, nn
    from transformers import Cache, PretrainedConfig, PreTrainedModel


ENTRY = "gka_config"
FULL, LINEAR = "full_attention", "linear_attention"
"""Layer types of transformers."""
FLOAT32_PARAMETERS = frozenset({"A_log", "dt_bias"})
"""Parameters that are always float32."""
MASKS_BY_LAYER_TYPE = frozenset({"qwen2", "qwen3", "hybrid_qwen3"})
"""Architectures that look up masks by layer type."""
MODEL_TYPE = "hybrid_qwen3"
LAYER_TYPES = {"*": FULL, "GKA": LINEAR}
"""Layer type by its symbol in `hybrid_override_pattern`."""


def gka_layers(config: PretrainedConfig) -> tuple[int, ...]:
    """Return the indices of a model's GKA layers, ascending; empty for other models."""
    text = config.get_text_config(decoder=True)
    if getattr(text, ENTRY, None) is None:
        return ()
    return tuple(layer for layer, kind in enumerate(text.layer_types) if kind == LINEAR)


def gka_sizes(text: PretrainedConfig) -> dict[str, int]:
    """Return the sizes of a GKA layer in place of an attention layer of `text`."""
    heads = text.num_attention_heads
    shared = getattr(text, "num_key_value_heads", None) or heads
    return {
        "hidden_size": text.hidden_size,
        "head_dim": getattr(text, "head_dim", None) or text.hidden_size // heads,
        "num_q_heads": heads,
        "num_k_heads": shared,
        "num_v_heads": shared,
    }


def kalmanet_config(
    text: PretrainedConfig, numbers: Mapping[str, Any], *, backend: str = "chunk"
) -> GatedKalmaNetConfig:
    """Build the configuration of a model's GKA layers.

    Args:
        text: text part of the model's configuration.
        numbers: fields of `GatedKalmaNetConfig`, such as the `gka_config` of the model's files.
        backend: operator implementation; not part of the files, as it depends on the device.

    Raises:
        UserError: an unknown field, an invalid value, or a size that differs from the model's.
    """
    known = {field.name for field in fields(GatedKalmaNetConfig)} - {"backend"}
    if unknown := sorted(set(numbers) - known):
        raise UserError(
            f"unknown field {', '.join(unknown)} of GKA layers",
            where=ENTRY,
            cure=f"the fields are {', '.join(sorted(known))}",
        )
    own = gka_sizes(text)
    for name, size in own.items():
        if numbers.get(name, size) != size:
            raise UserError(
                f"{name} is {numbers[name]}, and the model's own is {size}",
                where=ENTRY,
                cure="GKA layers have the sizes of the attention: leave it out",
            )
    try:
        return GatedKalmaNetConfig(**{**numbers, **own, "backend": backend})
    except (TypeError, ValueError) as error:
        raise UserError(str(error), where=ENTRY, cure="correct the config.json of the model") from error


def set_gka_layers(config: PretrainedConfig, layers: Collection[int], kalmanet: GatedKalmaNetConfig) -> None:
    """Mark `layers` as GKA in a model's configuration."""
    text = config.get_text_config(decoder=True)
    text.layer_types = [LINEAR if layer in layers else FULL for layer in range(text.num_hidden_layers)]
    text.number_of_conv_states = kalmanet.number_of_states
    numbers = asdict(kalmanet)
    del numbers["backend"]
    setattr(text, ENTRY, numbers)


class GkaAttention(GatedKalmaNet):
    """The layer of `gated_kalmanet`, with the call signature of attention in transformers' decoder layers.

    Its parameters have the names of the layer's.

    Args:
        config: sizes and settings.
        layer_idx: index of the layer in model and cache.
    """

    def __init__(self, config: GatedKalmaNetConfig, layer_idx: int) -> None:
        super().__init__(config)
        self.layer_idx = layer_idx

    def forward(  # type: ignore[override]  # the signature of an attention layer
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
        """Compute the layer; with a cache, continue from the state of its layer.

        Args:
            hidden_states: the residual stream after its norm, [B, T, hidden size].
            attention_mask: the mask of the model's attention; see `padding_mask`.
            position_ids: [1 or B, T]; without a cache they give the boundaries of packed sequences, as in
                transformers' attention. Otherwise unused: the layer is recurrent and needs no positions.
            past_key_values: a cache built from the model's configuration.
            cu_seq_lens_q: [N + 1], boundaries of packed sequences, under transformers' name.
            cu_seqlens: the same, under its short name.
            **others: other arguments of attention (rotary embeddings, lengths), unused.

        Returns:
            [B, T, hidden size], and None in place of weights.

        Raises:
            ValueError: the cache has no state for this layer, or packed sequences come with a cache.
            TypeError: unsupported kind of mask.
        """
        batch, tokens, _ = hidden_states.shape
        mask = padding_mask(attention_mask, tokens)
        ends = cu_seq_lens_q if cu_seqlens is None else cu_seqlens
        cache = None if past_key_values is None else past_key_values.layers[self.layer_idx]
        if cache is not None and not isinstance(cache, LinearAttentionCacheLayerMixin):
            raise ValueError(
                f"layer {self.layer_idx} of the cache is a {type(cache).__name__}, which has no state of a GKA "
                "layer: build it from the model's configuration, DynamicCache(config=model.config)"
            )
        if ends is not None:
            # Sequences with boundaries have no padding.
            mask = None
        elif cache is None and position_ids is not None and (mask is None or bool(mask.all())):
            mask, ends = None, sequence_boundaries(position_ids.expand(batch, -1))
        if ends is None:
            return super().forward(hidden_states, cache=cache, mask=mask), None
        row = hidden_states.reshape(1, batch * tokens, -1)
        return super().forward(row, cache=cache, cu_seqlens=ends).view_as(hidden_states), None


def padding_mask(mask: Tensor | None, tokens: int) -> Tensor | None:
    """Derive the padding of the last `tokens` tokens from the mask of an attention layer.

    Args:
        mask: None; [B, length so far] with 1 at tokens (flash attention); or [B, 1, tokens, length so far], bool with
            True, or numbers with 0, where a query sees a key (sdpa, eager).
        tokens: number of new tokens.

    Returns:
        [B, tokens] bool, False at padding; None: there is no padding.

    Raises:
        TypeError: unsupported kind of mask.
    """
    if mask is None:
        return None
    if not isinstance(mask, torch.Tensor) or mask.ndim not in (2, 4):
        raise TypeError(f"a GKA layer cannot read a mask of {type(mask).__name__}: use attention split, sdpa or eager")
    if mask.ndim == 2:
        return mask[:, -tokens:].bool()
    # Every token sees itself; padding is seen by no token.
    itself = mask[:, 0].diagonal(offset=mask.shape[-1] - tokens, dim1=-2, dim2=-1)
    return itself if itself.dtype == torch.bool else itself == 0


def sequence_boundaries(position_ids: Tensor) -> Tensor | None:
    """Find the boundaries of packed sequences: positions that do not increase by one.

    Args:
        position_ids: [B, T].

    Returns:
        int32 of [N + 1], over the concatenated rows; None: every row is one sequence.
    """
    begins = position_ids.diff(dim=-1, prepend=position_ids[:, :1] - 1) != 1
    if not begins.any():
        return None
    begins[:, 0] = True
    starts = begins.flatten().nonzero().flatten()
    return torch.cat([starts, starts.new_tensor([begins.numel()])]).to(torch.int32)


class Hybrid:
    """Base of the hybrid model classes, before a class of transformers."""

    _keep_in_fp32_modules_strict = FLOAT32_PARAMETERS
    _is_stateful = True
    """Of transformers: computed tokens cannot be removed."""

    @classmethod
    def from_config(cls, config: PretrainedConfig) -> PreTrainedModel:
        """Build a model with random weights, like the auto classes of transformers."""
        return cls._from_config(config)  # type: ignore[attr-defined]


@cache
def hybrid_class(plain: Any) -> Any:
    """Return the hybrid class of a model class, with GKA layers as configured; a hybrid class returns itself.

    Its models are loaded and saved like those of `plain`.
    """
    if issubclass(plain, Hybrid):
        return plain

    def __init__(self: Any, config: PretrainedConfig) -> None:  # noqa: N807
        plain.__init__(self, config)
        text = config.get_text_config(decoder=True)
        kalmanet = kalmanet_config(text, getattr(text, ENTRY))
        decoder = self.get_decoder()
        for layer in gka_layers(config):
            decoder.layers[layer].self_attn = GkaAttention(kalmanet, layer)
        add_gka_masks(decoder)

    # transformers inspects the source of the module of a class.
    body = {"__init__": __init__, "__module__": plain.__module__, "__doc__": plain.__doc__}
    return type(f"Gka{plain.__name__}", (Hybrid, plain), body)


def gka_modules(model: nn.Module) -> Iterator[GkaAttention]:
    """Iterate over the GKA layers of a model."""
    return (module for module in model.modules() if isinstance(module, GkaAttention))


def add_gka_masks(decoder: PreTrainedModel) -> None:
    """Pass masks to all layers of a decoder, including GKA layers, if it looks masks up by layer type."""
    if decoder.config.model_type in MASKS_BY_LAYER_TYPE:
        decoder.register_forward_pre_hook(_with_gka_masks, with_kwargs=True)


def _with_gka_masks(decoder: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[()], dict[str, Any]]:
    """Return the arguments of a forward with the causal mask for every layer type."""
    given = dict(zip(signature(decoder.forward).parameters, args, strict=False)) | kwargs
    mask = given.get("attention_mask")
    if not isinstance(mask, dict):
        if given.get("inputs_embeds") is None:
            given["inputs_embeds"] = decoder.embed_tokens(given.pop("input_ids"))
        mask = {
            FULL: create_causal_mask(
                config=decoder.config,
                inputs_embeds=given["inputs_embeds"],
                attention_mask=mask,
                past_key_values=given.get("past_key_values"),
                position_ids=given.get("position_ids"),
            )
        }
    return (), given | {"attention_mask": mask | {LINEAR: mask[FULL]}}


class HybridQwen3Config(Qwen3Config):
    """Configuration of Qwen3 with two additional fields of the released files.

    Raises:
        UserError: the pattern is missing, of another length, or has other layers than attention and GKA; or attention
            has a sliding window.
    """

    model_type = MODEL_TYPE
    # Of transformers: there is no default pattern.
    has_no_defaults_at_init = True

    hybrid_override_pattern: str | None = None
    """Symbols of the layers, joined by "-": `*` for attention, `GKA`."""
    gka_config: dict | None = None
    """Fields of `GatedKalmaNetConfig`."""
    number_of_conv_states: int = 3
    """Number of convolutions of a GKA layer, for the cache of transformers."""

    def __post_init__(self, **kwargs: Any) -> None:
        symbols = (self.hybrid_override_pattern or "").split("-")
        if unknown := sorted(set(symbols) - set(LAYER_TYPES)):
            raise UserError(
                f"layers of type {', '.join(repr(symbol) for symbol in unknown)}",
                where="hybrid_override_pattern",
                cure="supported are attention, *, and GKA; other hybrids need their authors' package",
            )
        if len(symbols) != self.num_hidden_layers:
            raise UserError(
                f"{len(symbols)} symbols for {self.num_hidden_layers} layers",
                where="hybrid_override_pattern",
                cure="the config.json of the model is damaged",
            )
        if self.use_sliding_window:
            raise UserError(
                "attention with a sliding window is not supported",
                where="use_sliding_window",
                cure="no released model has it: choose one of them",
            )
        self.layer_types = [LAYER_TYPES[symbol] for symbol in symbols]
        self.gka_config = dict(self.gka_config or {})
        super().__post_init__(**kwargs)
        self.number_of_conv_states = kalmanet_config(self, self.gka_config).number_of_states

    def to_dict(self) -> dict[str, Any]:
        """Return the content of config.json, with layer types as symbols of the pattern."""
        return super().to_dict() | {"layer_types": (self.hybrid_override_pattern or "").split("-")}


class GkaDecoderLayer(Qwen3DecoderLayer):
    """Decoder layer of Qwen3 with a GKA layer, called `gka`, in place of attention."""

    def __init__(self, config: HybridQwen3Config, layer_idx: int, kalmanet: GatedKalmaNetConfig) -> None:
        super().__init__(config, layer_idx)
        del self.self_attn
        self.gka = GkaAttention(kalmanet, layer_idx)

    @property
    def self_attn(self) -> GkaAttention:
        """The GKA layer, for the forward of the base class."""
        return self.gka


class HybridQwen3ForCausalLM(Hybrid, Qwen3ForCausalLM):
    """Causal language model."""

    config_class = HybridQwen3Config
    _no_split_modules = ["Qwen3DecoderLayer", "GkaDecoderLayer"]  # noqa: RUF012

    def __init__(self, config: HybridQwen3Config) -> None:
        super().__init__(config)
        kalmanet = kalmanet_config(config, config.gka_config or {})
        for layer in gka_layers(config):
            self.model.layers[layer] = GkaDecoderLayer(config, layer, kalmanet)
        add_gka_masks(self.model)


AutoConfig.register(MODEL_TYPE, HybridQwen3Config)
AutoModelForCausalLM.register(HybridQwen3Config, HybridQwen3ForCausalLM)
