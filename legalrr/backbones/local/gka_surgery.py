"""Replace attention layers of a model by Gated KalmaNet layers.

`conversion_plan` applies the options `backbone.gka` to a checkpoint's configuration, `apply_plan` to the loaded model.
New layers are initialised from the attention's weights.
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch

from gated_kalmanet import GatedKalmaNetConfig
from gated_kalmanet.backends import operator
from legalrr.backbones.local.checkpoint import CheckpointInfo, model_class
from legalrr.backbones.local.gka_model import (
    ENTRY,
    FLOAT32_PARAMETERS,
    GkaAttention,
    Hybrid,
    add_gka_masks,
    gka_layers,
    gka_modules,
    hybrid_class,
    kalmanet_config,
    set_gka_layers,
)
from legalrr.backbones.local.gka_options import GkaOptions, chosen_layers
from legalrr.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor, nn
    from transformers import PretrainedConfig, PreTrainedModel


log = logging.getLogger(__name__)
SUPPORTED = ("llama", "mistral", "qwen2", "qwen3", "qwen3_vl", "qwen3_vl_moe")
"""Architectures with replaceable attention, by `model_type`."""
CONV_WEIGHT = {"q": 0.05, "k": 0.05, "v": 0.2}
"""Weight of the newest token in a new convolution. SiLU is about x / 2 for such small x, so the layer starts with the
unchanged projections; their scale is irrelevant, as queries, keys and outputs are normalised. Values are smaller than
keys, and a smaller output would vanish in the epsilon of its norm."""
GATE_STD = 0.02
"""Standard deviation of the weights of new gates, which start near sigmoid(0)."""


def conversion_plan(
    checkpoint: CheckpointInfo, options: GkaOptions, *, device: str, option: str
) -> tuple[CheckpointInfo, tuple[int, ...]]:
    """Return the checkpoint with the options applied, and the layers to replace.

    Args:
        checkpoint: the checkpoint of the files; it is not modified.
        options: options of its GKA layers.
        device: device of the model: cpu, cuda, cuda:N, mps or auto.
        option: config path of the options, for messages.

    Raises:
        UserError: layers that cannot be replaced, options without GKA layers, or an operator that the device does not
            support.
    """
    config = checkpoint.config
    layers: tuple[int, ...] = ()
    if options.layers:
        text = config.get_text_config(decoder=True)
        layers = chosen_layers(options.layers, text.num_hidden_layers, options.importance, option=option)
        kalmanet = check_swap(config, layers, options, option=option)
        config = copy.deepcopy(config)
        set_gka_layers(config, {*layers, *gka_layers(config)}, kalmanet)
    if gka_layers(config):
        _check_backend(options.backend, device, option)
    elif options != GkaOptions():
        raise UserError(
            "the model has no Gated KalmaNet layers",
            where=option,
            cure=f"give attention layers to replace, as in {option}.layers=every:2, or keep the default options",
        )
    return replace(checkpoint, config=config, auto=model_class(config, option=option)), layers


def _check_backend(backend: str, device: str, option: str) -> None:
    try:
        operator(backend, torch.device("cuda" if device == "auto" else device), 1)
    except ValueError as error:
        raise UserError(str(error), where=f"{option}.backend", cure=f"use {option}.backend=chunk") from error


def apply_plan(model: PreTrainedModel, layers: Sequence[int], options: GkaOptions, *, option: str) -> None:
    """Apply the options to a loaded model.

    Args:
        model: the model, with the weights of its files.
        layers: layers to replace.
        options: options of the GKA layers.
        option: config path of the options, for messages.

    Raises:
        UserError: see `swap`.
    """
    if layers:
        swap(model, layers, options, option=option)
        log.warning(
            "layers %s are new, untrained Gated KalmaNet layers: answers are meaningless until they are trained with "
            "legalrr prime",
            ", ".join(map(str, layers)),
        )
    for module in gka_modules(model):
        module.config = replace(module.config, backend=options.backend, **options.numbers)


def check_swap(
    config: PretrainedConfig, layers: Sequence[int], options: GkaOptions, *, option: str
) -> GatedKalmaNetConfig:
    """Check whether layers of a model can be replaced: the only validation of options against a model.

    Args:
        config: configuration of the model, with or without GKA layers.
        layers: indices from 0; empty to check model and settings only.
        options: settings of the new layers.
        option: config path of the options, for messages.

    Returns:
        the configuration of the new layers, equal to that of existing ones.

    Raises:
        UserError: the architecture is not in SUPPORTED, a layer is GKA already, no attention layer would remain,
            attention has a sliding window, or existing GKA layers have other settings.
    """
    text = config.get_text_config(decoder=True)
    where = f"{option}.layers"
    if config.model_type not in SUPPORTED:
        raise UserError(
            f"the attention of {config.model_type} cannot be replaced", where=where, cure=f"use {', '.join(SUPPORTED)}"
        )
    if taken := sorted(set(layers) & set(gka_layers(config))):
        raise UserError(f"layer {taken[0]} is a GKA layer already", where=where, cure="give attention layers")
    if len(set(layers) | set(gka_layers(config))) >= text.num_hidden_layers:
        raise UserError(
            "at least one attention layer must remain, as a cache takes its length from one",
            where=where,
            cure="leave one layer or more unchanged",
        )
    if getattr(text, "sliding_window", None) is not None:
        raise UserError(
            f"attention with a sliding window of {text.sliding_window} tokens cannot be combined with GKA layers",
            where=where,
            cure=f"give a backbone.context of at most {text.sliding_window}, or another model",
        )
    own = getattr(text, ENTRY, None) or {"norm_eps": text.rms_norm_eps}
    kalmanet = kalmanet_config(text, own | options.numbers, backend=options.backend)
    if gka_layers(config) and kalmanet_config(text, own, backend=options.backend) != kalmanet:
        raise UserError("existing GKA layers of the model have other settings", where=option, cure="leave them out")
    return kalmanet


def swap(model: PreTrainedModel, layers: Sequence[int], options: GkaOptions, *, option: str = "backbone.gka") -> None:
    """Replace the attention of `layers`, in place; the model becomes an instance of its `hybrid_class`.

    Args:
        model: a model of an architecture in SUPPORTED, with or without GKA layers.
        layers: indices from 0; see `legalrr.backbones.local.gka_options.chosen_layers`.
        options: settings and seed of the new layers.
        option: config path of the options, for messages.

    Raises:
        UserError: see `check_swap`.
    """
    kalmanet = check_swap(model.config, layers, options, option=option)
    decoder = model.get_decoder()
    for layer in layers:
        decoder.layers[layer].self_attn = layer_from_attention(
            decoder.layers[layer].self_attn, kalmanet, layer, options.seed
        )
    if not isinstance(model, Hybrid):
        add_gka_masks(decoder)
        plain: Any = type(model)
        model.__class__ = hybrid_class(plain)
    set_gka_layers(model.config, {*layers, *gka_layers(model.config)}, kalmanet)


def layer_from_attention(attention: nn.Module, kalmanet: GatedKalmaNetConfig, layer: int, seed: int) -> GkaAttention:
    """Initialise a GKA layer from an attention layer, in its dtype and on its device.

    The projections are the attention's own. Norms of q and k heads go into the convolutions, which start as a product
    with the newest token; biases are dropped, as the layer has none. The output gate's projection is the mean of what
    o_proj makes of a head and of the values that the head reads (2.1 of the specification of the released checkpoints,
    value heads repeated as heads); the other gates and the decays start as in a new layer.

    Args:
        attention: a module with q_proj, k_proj, v_proj, o_proj and optionally q_norm and k_norm.
        kalmanet: configuration of the layer.
        layer: its index.
        seed: seed of the parameters that are drawn.
    """
    weight = attention.q_proj.weight
    with torch.random.fork_rng(devices=[]), torch.device("cpu"), torch.no_grad():
        torch.manual_seed(seed + layer)
        new = GkaAttention(kalmanet, layer)
        for gate in ("a_proj", "b_proj", "alpha_proj"):
            torch.nn.init.normal_(getattr(new, gate).weight, std=GATE_STD)
        for gate in ("b_proj", "alpha_proj"):
            torch.nn.init.zeros_(getattr(new, gate).bias)
        for name, passed in CONV_WEIGHT.items():
            getattr(new, f"{name}_proj").weight.copy_(getattr(attention, f"{name}_proj").weight)
            taps = getattr(new, f"{name}_conv1d").weight
            taps.zero_()
            taps[:, 0, -1] = passed
            if (norm := getattr(attention, f"{name}_norm", None)) is not None:
                taps[:, 0, -1] *= norm.weight.float().cpu().repeat(taps.shape[0] // kalmanet.head_dim)
        new.o_proj.weight.copy_(attention.o_proj.weight)
        new.g_proj.weight.copy_((new.o_proj.weight.T + repeat_value_heads(new.v_proj.weight, kalmanet)) / 2)
    new.to(device=weight.device, dtype=weight.dtype)
    for name in FLOAT32_PARAMETERS:
        getattr(new, name).data = getattr(new, name).data.float()
    return new.train(attention.training)


def repeat_value_heads(weight: Tensor, kalmanet: GatedKalmaNetConfig) -> Tensor:
    """Repeat the rows of value heads, [Hv D, hidden], for the query heads that share them, [H D, hidden]."""
    heads = weight.unflatten(0, (kalmanet.num_v_heads, kalmanet.head_dim))
    return heads.repeat_interleave(kalmanet.num_heads // kalmanet.num_v_heads, dim=0).flatten(0, 1)
