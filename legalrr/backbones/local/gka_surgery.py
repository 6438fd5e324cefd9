"""Replace attention layers of a model by Gated KalmaNet layers.

What the options `backbone.gka` make of a model: known from its small files, done once its weights are there.

Replacing attention layers of a model by Gated KalmaNet layers that begin with the attention's weights.
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
from legalrr.backbones.local.checkpoint import CheckpointInfo, architecture
from legalrr.backbones.local.gka_model import (
    ENTRY,
    RAISED,
    GkaAttention,
    Hybrid,
    gka_layers,
    gka_modules,
    hybrid_class,
    kalmanet_config,
    mark,
    tell_masks,
)
from legalrr.backbones.local.gka_options import GkaOptions, chosen_layers
from legalrr.errors import UserError

if TYPE_CHECKING:
    from torch import Tensor, nn
    from transformers import PretrainedConfig, PreTrainedModel

    from legalrr.backbones.local.gka_options import GkaOptions


log = logging.getLogger(__name__)


def conversion_plan(
    checkpoint: CheckpointInfo, options: GkaOptions, *, device: str, option: str
) -> tuple[CheckpointInfo, tuple[int, ...]]:
    """The checkpoint as it will be, and the layers to replace for that.

    Args:
        checkpoint: as its files are; it stays as it is.
        options: of its GKA layers.
        device: where they will run: cpu, cuda, cuda:N, mps or auto.
        option: config path of the options, for messages.

    Raises:
        UserError: layers that cannot be replaced, options of GKA layers where there are none, or a form of the operator
            that the device cannot run.
    """
    config = checkpoint.config
    layers: tuple[int, ...] = ()
    if options.layers:
        text = config.get_text_config(decoder=True)
        layers = chosen_layers(options.layers, text.num_hidden_layers, options.importance, option=option)
        kalmanet = judge_swap(config, layers, options, option=option)
        config = copy.deepcopy(config)
        mark(config, {*layers, *gka_layers(config)}, kalmanet)
    if gka_layers(config):
        _check_backend(options.backend, device, option)
    elif options != GkaOptions():
        raise UserError(
            "the model has no Gated KalmaNet layers",
            where=option,
            cure=f"name attention layers to replace, as in {option}.layers=every:2, or leave the options as they are",
        )
    return replace(checkpoint, config=config, auto=architecture(config, option=option)), layers


def _check_backend(backend: str, device: str, option: str) -> None:
    try:
        operator(backend, torch.device("cuda" if device == "auto" else device), 1)
    except ValueError as error:
        raise UserError(str(error), where=f"{option}.backend", cure=f"use {option}.backend=chunk") from error


def apply_plan(model: PreTrainedModel, layers: Sequence[int], options: GkaOptions, *, option: str) -> None:
    """Make a loaded model what was planned.

    Args:
        model: with the weights of its files.
        layers: to replace.
        options: of the GKA layers.
        option: config path of the options, for messages.

    Raises:
        UserError: see `legalrr.backbones.local.gka_surgery.swap`.
    """
    if layers:
        swap(model, layers, options, option=option)
        log.warning(
            "layers %s are new Gated KalmaNet layers, which nothing has trained: answers are worth nothing until "
            "legalrr prime has",
            ", ".join(map(str, layers)),
        )
    for module in gka_modules(model):
        module.config = replace(module.config, backend=options.backend, **options.numbers)


SUPPORTED = ("llama", "mistral", "qwen2", "qwen3", "qwen3_vl", "qwen3_vl_moe")
"""Architectures whose attention can be replaced, by `model_type`."""
PASSED = {"q": 0.05, "k": 0.05, "v": 0.2}
"""What a new convolution multiplies the newest token with. SiLU is nearly x / 2 for so small an x, so that the layer
begins with the projections as they are; their size is of no account, since queries, keys and outputs are normalised.
Values are smaller numbers than keys, and too small an output would drown in the epsilon of its norm."""
GATE = 0.02
"""Standard deviation of the weights of new gates, which begin near sigmoid(0)."""


def judge_swap(
    config: PretrainedConfig, layers: Sequence[int], options: GkaOptions, *, option: str
) -> GatedKalmaNetConfig:
    """Judge whether layers of a model can be replaced; the one place where options meet a model.

    Args:
        config: of the model, with or without GKA layers.
        layers: which, from 0; none to judge the model and the numbers alone.
        options: numbers and form of the operator of the new layers.
        option: config path of the options, for messages.

    Returns:
        the configuration of the new layers, that of those there are.

    Raises:
        UserError: the architecture is not in SUPPORTED, a layer is GKA already, no attention would be left, attention
            is within a window, or other GKA layers of the model have other numbers.
    """
    text = config.get_text_config(decoder=True)
    where = f"{option}.layers"
    if config.model_type not in SUPPORTED:
        raise UserError(
            f"the attention of {config.model_type} cannot be replaced", where=where, cure=f"use {', '.join(SUPPORTED)}"
        )
    if taken := sorted(set(layers) & set(gka_layers(config))):
        raise UserError(f"layer {taken[0]} is a GKA layer already", where=where, cure="name attention layers")
    if len(set(layers) | set(gka_layers(config))) >= text.num_hidden_layers:
        raise UserError(
            "no attention would be left, and a cache tells its length by an attention layer",
            where=where,
            cure="leave one layer or more as it is",
        )
    if getattr(text, "sliding_window", None) is not None:
        raise UserError(
            f"attention within a window of {text.sliding_window} tokens cannot stand beside GKA layers",
            where=where,
            cure=f"give a backbone.context of at most {text.sliding_window}, or another model",
        )
    own = getattr(text, ENTRY, None) or {"norm_eps": text.rms_norm_eps}
    kalmanet = kalmanet_config(text, own | options.numbers, backend=options.backend)
    if gka_layers(config) and kalmanet_config(text, own, backend=options.backend) != kalmanet:
        raise UserError("other GKA layers of the model have other numbers", where=option, cure="leave them out")
    return kalmanet


def swap(model: PreTrainedModel, layers: Sequence[int], options: GkaOptions, *, option: str = "backbone.gka") -> None:
    """Replace the attention of `layers`, in place; the model is then one of `hybrid_class`.

    Args:
        model: of an architecture in SUPPORTED, with or without GKA layers.
        layers: which, from 0; `legalrr.backbones.local.gka_options.chosen_layers` gives them.
        options: numbers, form of the operator and seed of the new layers.
        option: config path of the options, for messages.

    Raises:
        UserError: see `judge_swap`.
    """
    kalmanet = judge_swap(model.config, layers, options, option=option)
    decoder = model.get_decoder()
    for layer in layers:
        decoder.layers[layer].self_attn = successor(decoder.layers[layer].self_attn, kalmanet, layer, options.seed)
    if not isinstance(model, Hybrid):
        tell_masks(decoder)
        plain: Any = type(model)
        model.__class__ = hybrid_class(plain)
    mark(model.config, {*layers, *gka_layers(model.config)}, kalmanet)


def successor(attention: nn.Module, kalmanet: GatedKalmaNetConfig, layer: int, seed: int) -> GkaAttention:
    """A GKA layer that begins with the weights of an attention layer, in its dtype and on its device.

    The projections are the attention's own. Norms of single heads of q and k go into the convolutions, which begin as
    a product with the newest token; biases are left out, as the layer has none. The output gate's projection is the
    mean of what o_proj makes of a head and of the values that the head reads (2.1 of the specification of the released
    checkpoints, value heads repeated as heads), the other gates and the decays begin as in a new layer.

    Args:
        attention: with q_proj, k_proj, v_proj, o_proj and, maybe, q_norm and k_norm.
        kalmanet: sizes and numbers.
        layer: its index.
        seed: of what is drawn.
    """
    weight = attention.q_proj.weight
    with torch.random.fork_rng(devices=[]), torch.device("cpu"), torch.no_grad():
        torch.manual_seed(seed + layer)
        new = GkaAttention(kalmanet, layer)
        for gate in ("a_proj", "b_proj", "alpha_proj"):
            torch.nn.init.normal_(getattr(new, gate).weight, std=GATE)
        for gate in ("b_proj", "alpha_proj"):
            torch.nn.init.zeros_(getattr(new, gate).bias)
        for name, passed in PASSED.items():
            getattr(new, f"{name}_proj").weight.copy_(getattr(attention, f"{name}_proj").weight)
            taps = getattr(new, f"{name}_conv1d").weight
            taps.zero_()
            taps[:, 0, -1] = passed
            if (norm := getattr(attention, f"{name}_norm", None)) is not None:
                taps[:, 0, -1] *= norm.weight.float().cpu().repeat(taps.shape[0] // kalmanet.head_dim)
        new.o_proj.weight.copy_(attention.o_proj.weight)
        new.g_proj.weight.copy_((new.o_proj.weight.T + by_query_head(new.v_proj.weight, kalmanet)) / 2)
    new.to(device=weight.device, dtype=weight.dtype)
    for name in RAISED:
        getattr(new, name).data = getattr(new, name).data.float()
    return new.train(attention.training)


def by_query_head(weight: Tensor, kalmanet: GatedKalmaNetConfig) -> Tensor:
    """Rows of heads of values, [Hv D, hidden], repeated for the heads of queries that share them, [H D, hidden]."""
    heads = weight.unflatten(0, (kalmanet.num_v_heads, kalmanet.head_dim))
    return heads.repeat_interleave(kalmanet.num_heads // kalmanet.num_v_heads, dim=0).flatten(0, 1)
