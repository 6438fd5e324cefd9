"""Classes of transformers whose models have Gated KalmaNet layers where their configuration says so."""

from __future__ import annotations

from functools import cache
from inspect import signature
from typing import TYPE_CHECKING, Any

from transformers.masking_utils import create_causal_mask

from legalrr.backbones.gka.attention import GkaAttention
from legalrr.backbones.gka.config import ENTRY, FULL, LINEAR, gka_layers, kalmanet_config

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import nn
    from transformers import PretrainedConfig, PreTrainedModel

RAISED = frozenset({"A_log", "dt_bias"})
"""Parameters that are float32 whatever the others are."""
BY_KIND = frozenset({"qwen2", "qwen3", "hybrid_qwen3"})
"""Architectures that look the mask of a layer up by its kind."""


class Hybrid:
    """What the classes of hybrid models have in common, before a class of transformers."""

    _keep_in_fp32_modules_strict = RAISED
    _is_stateful = True
    """Of transformers: tokens that were read cannot be taken back."""

    @classmethod
    def from_config(cls, config: PretrainedConfig) -> PreTrainedModel:
        """A model with random weights, as the automatic classes of transformers make one."""
        return cls._from_config(config)  # type: ignore[attr-defined]


@cache
def hybrid_class(plain: Any) -> Any:
    """The class of models of `plain`, with GKA layers where their configuration has them; itself for such a class.

    They are loaded and saved as those of `plain`.
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
        tell_masks(decoder)

    # transformers looks into the source of the module of a class.
    body = {"__init__": __init__, "__module__": plain.__module__, "__doc__": plain.__doc__}
    return type(f"Gka{plain.__name__}", (Hybrid, plain), body)


def gka_modules(model: nn.Module) -> Iterator[GkaAttention]:
    """The GKA layers of a model."""
    return (module for module in model.modules() if isinstance(module, GkaAttention))


def tell_masks(decoder: PreTrainedModel) -> None:
    """Have the layers of a decoder told their masks, GKA layers too, where it looks masks up by the kind of layer."""
    if decoder.config.model_type in BY_KIND:
        decoder.register_forward_pre_hook(_with_masks, with_kwargs=True)


def _with_masks(decoder: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[()], dict[str, Any]]:
    """The arguments of a forward with the causal mask under the name of every kind of layer."""
    told = dict(zip(signature(decoder.forward).parameters, args, strict=False)) | kwargs
    mask = told.get("attention_mask")
    if not isinstance(mask, dict):
        if told.get("inputs_embeds") is None:
            told["inputs_embeds"] = decoder.embed_tokens(told.pop("input_ids"))
        mask = {
            FULL: create_causal_mask(
                config=decoder.config,
                inputs_embeds=told["inputs_embeds"],
                attention_mask=mask,
                past_key_values=told.get("past_key_values"),
                position_ids=told.get("position_ids"),
            )
        }
    return (), told | {"attention_mask": mask | {LINEAR: mask[FULL]}}
