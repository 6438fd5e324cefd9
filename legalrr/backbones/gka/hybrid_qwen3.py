"""`hybrid_qwen3`: the released models whose layers are attention and Gated KalmaNet, amazon/GKA-primed-HQwen3-*.

Importing this module makes them known to `AutoConfig` and `AutoModelForCausalLM`. Names of weights and fields are those
of the files; everything but the GKA layers is Qwen3 of transformers.
"""

from __future__ import annotations

from typing import Any

from transformers import AutoConfig, AutoModelForCausalLM, Qwen3Config, Qwen3ForCausalLM
from transformers.models.qwen3.modeling_qwen3 import Qwen3DecoderLayer

from gated_kalmanet import GatedKalmaNetConfig
from legalrr.backbones.gka.attention import GkaAttention
from legalrr.backbones.gka.config import FULL, LINEAR, gka_layers, kalmanet_config
from legalrr.backbones.gka.hybrid import Hybrid, tell_masks
from legalrr.errors import UserError

MODEL_TYPE = "hybrid_qwen3"
KINDS = {"*": FULL, "GKA": LINEAR}
"""Kind of a layer by its symbol in `hybrid_override_pattern`."""


class HybridQwen3Config(Qwen3Config):
    """A configuration of Qwen3 with two fields more, both as the released files have them.

    Raises:
        UserError: the pattern is missing, not of as many layers, or has layers other than attention and GKA; attention
            is within a window.
    """

    model_type = MODEL_TYPE
    # Of transformers: there is no such model without a pattern.
    has_no_defaults_at_init = True

    hybrid_override_pattern: str | None = None
    """The symbol of every layer, joined by "-": `*` for attention, `GKA`."""
    gka_config: dict | None = None
    """Fields of `GatedKalmaNetConfig`."""
    number_of_conv_states: int = 3
    """Convolutions of a GKA layer, for which transformers makes room in a cache."""

    def __post_init__(self, **kwargs: Any) -> None:
        symbols = (self.hybrid_override_pattern or "").split("-")
        if unknown := sorted(set(symbols) - set(KINDS)):
            raise UserError(
                f"layers of type {', '.join(repr(symbol) for symbol in unknown)}",
                where="hybrid_override_pattern",
                cure="here are attention, *, and GKA; other hybrids need their authors' package",
            )
        if len(symbols) != self.num_hidden_layers:
            raise UserError(
                f"{len(symbols)} symbols for {self.num_hidden_layers} layers",
                where="hybrid_override_pattern",
                cure="the config.json of the model is damaged",
            )
        if self.use_sliding_window:
            raise UserError(
                "attention within a window",
                where="use_sliding_window",
                cure="no released model has it: choose one of them",
            )
        self.layer_types = [KINDS[symbol] for symbol in symbols]
        self.gka_config = dict(self.gka_config or {})
        super().__post_init__(**kwargs)
        self.number_of_conv_states = kalmanet_config(self, self.gka_config).number_of_states

    def to_dict(self) -> dict[str, Any]:
        """The content of config.json, where the kinds of layers are called by the symbols of the pattern."""
        return super().to_dict() | {"layer_types": (self.hybrid_override_pattern or "").split("-")}


class GkaDecoderLayer(Qwen3DecoderLayer):
    """A decoder layer of Qwen3 whose attention is a GKA layer, under the name `gka`."""

    def __init__(self, config: HybridQwen3Config, layer_idx: int, kalmanet: GatedKalmaNetConfig) -> None:
        super().__init__(config, layer_idx)
        del self.self_attn
        self.gka = GkaAttention(kalmanet, layer_idx)

    @property
    def self_attn(self) -> GkaAttention:
        """The GKA layer, for the forward of the class above."""
        return self.gka


class HybridQwen3ForCausalLM(Hybrid, Qwen3ForCausalLM):
    """The language model."""

    config_class = HybridQwen3Config
    _no_split_modules = ["Qwen3DecoderLayer", "GkaDecoderLayer"]  # noqa: RUF012

    def __init__(self, config: HybridQwen3Config) -> None:
        super().__init__(config)
        kalmanet = kalmanet_config(config, config.gka_config or {})
        for layer in gka_layers(config):
            self.model.layers[layer] = GkaDecoderLayer(config, layer, kalmanet)
        tell_masks(self.model)


AutoConfig.register(MODEL_TYPE, HybridQwen3Config)
AutoModelForCausalLM.register(HybridQwen3Config, HybridQwen3ForCausalLM)
