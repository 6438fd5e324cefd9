"""What the options `backbone.gka` make of a model: known from its small files, done once its weights are there."""

from __future__ import annotations

import copy
import logging
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import torch

from gated_kalmanet.backends import operator
from legalrr.backbones.checkpoint import Checkpoint, architecture
from legalrr.backbones.gka.config import gka_layers, mark
from legalrr.backbones.gka.hybrid import gka_modules
from legalrr.backbones.gka.options import GkaOptions, chosen_layers
from legalrr.backbones.gka.swap import judge_swap, swap
from legalrr.errors import UserError

if TYPE_CHECKING:
    from transformers import PreTrainedModel

log = logging.getLogger(__name__)


def planned(
    checkpoint: Checkpoint, options: GkaOptions, *, device: str, option: str
) -> tuple[Checkpoint, tuple[int, ...]]:
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


def carry_out(model: PreTrainedModel, layers: Sequence[int], options: GkaOptions, *, option: str) -> None:
    """Make a loaded model what was planned.

    Args:
        model: with the weights of its files.
        layers: to replace.
        options: of the GKA layers.
        option: config path of the options, for messages.

    Raises:
        UserError: see `legalrr.backbones.gka.swap.swap`.
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
