"""What the configuration of a model says of its Gated KalmaNet layers, and so what its files say.

The text part of a hybrid's configuration has `layer_types` with "linear_attention" where a layer is GKA, from which
transformers makes the layers of a cache, `number_of_conv_states` for these, and `gka_config`, the numbers and switches
of the layers under the names of the released checkpoints.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import asdict, fields
from typing import TYPE_CHECKING, Any

from gated_kalmanet import GatedKalmaNetConfig
from legalrr.errors import UserError

if TYPE_CHECKING:
    from transformers import PretrainedConfig

ENTRY = "gka_config"
FULL, LINEAR = "full_attention", "linear_attention"
"""The kinds of layers, as transformers calls them."""


def gka_layers(config: PretrainedConfig) -> tuple[int, ...]:
    """The layers of a model that are GKA, ascending; empty for other models."""
    text = config.get_text_config(decoder=True)
    if getattr(text, ENTRY, None) is None:
        return ()
    return tuple(layer for layer, kind in enumerate(text.layer_types) if kind == LINEAR)


def sizes(text: PretrainedConfig) -> dict[str, int]:
    """The sizes that a GKA layer has in the place of an attention layer of `text`."""
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
    """The configuration of the GKA layers of a model.

    Args:
        text: the text part of the model's configuration.
        numbers: fields of `GatedKalmaNetConfig`, such as the `gka_config` of the model's files.
        backend: form of the operator; no file says it, since it depends on the device.

    Raises:
        UserError: a field that no GKA layer has, a value that it refuses, or a size that is not that of the model.
    """
    known = {field.name for field in fields(GatedKalmaNetConfig)} - {"backend"}
    if unknown := sorted(set(numbers) - known):
        raise UserError(
            f"unknown field {', '.join(unknown)} of GKA layers",
            where=ENTRY,
            cure=f"the fields are {', '.join(sorted(known))}",
        )
    own = sizes(text)
    for name, size in own.items():
        if numbers.get(name, size) != size:
            raise UserError(
                f"{name} is {numbers[name]}, and the model's own is {size}",
                where=ENTRY,
                cure="the layers have the sizes of the attention: leave it out",
            )
    try:
        return GatedKalmaNetConfig(**{**numbers, **own, "backend": backend})
    except (TypeError, ValueError) as error:
        raise UserError(str(error), where=ENTRY, cure="correct the config.json of the model") from error


def mark(config: PretrainedConfig, layers: Collection[int], kalmanet: GatedKalmaNetConfig) -> None:
    """Make `config` that of a model whose `layers` are GKA."""
    text = config.get_text_config(decoder=True)
    text.layer_types = [LINEAR if layer in layers else FULL for layer in range(text.num_hidden_layers)]
    text.number_of_conv_states = kalmanet.number_of_states
    numbers = asdict(kalmanet)
    del numbers["backend"]
    setattr(text, ENTRY, numbers)
