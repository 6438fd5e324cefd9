"""Measure layer importance: the rise in held-out loss when one aligned layer alone replaces its attention."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from math import log as ln
from pathlib import Path
from typing import TYPE_CHECKING, Any

from legalrr.backbones.local.backbone import GKA_OPTION, TransformersBackbone
from legalrr.backbones.local.gka_model import gka_layers
from legalrr.backbones.local.gka_surgery import check_swap, layer_from_attention
from legalrr.backbones.local.weights import torch_settings
from legalrr.hybrids.context import prepare_priming
from legalrr.hybrids.objective import named_weights
from legalrr.hybrids.priming import PrimingRun, run_identity
from legalrr.hybrids.settings import PrimeSettings, claim_folder
from legalrr.hybrids.training import Checkpoints, Progress, RunClock
from legalrr.progress import progress
from legalrr.protocols import Corpus
from legalrr.store import write_atomically

if TYPE_CHECKING:
    from torch import nn
    from transformers import PreTrainedModel

log = logging.getLogger(__name__)

FOLDER, ORDER = "importance", "importance.json"


def select(
    settings: PrimeSettings, corpus: Corpus, backbone: TransformersBackbone, facts: Mapping[str, Any]
) -> Mapping[str, Any]:
    """Measure the importance of each attention layer, and write the order that `by_importance` reads.

    All layers are aligned at once, in stage (a); then perplexity is measured once per layer, with that layer alone
    replaced. An interrupted call with the same arguments is resumed.

    Args: see `legalrr.hybrids.priming.prime`; `backbone.gka.layers` is ignored.

    Returns:
        the content of the file: `order`, least important layer first, and `rise`, nats per token by layer.

    Raises:
        UserError: invalid input or options, or a folder that belongs to another run.
    """
    folder = Path(settings.folder) / FOLDER
    claim_folder(folder, {"command": "select", **run_identity(settings, corpus, backbone)})
    with torch_settings(backbone.matmul_precision, backbone.threads):
        checkpoints = Checkpoints(folder)
        clock = RunClock((checkpoints.progress() or Progress()).seconds)
        context = prepare_priming(settings, corpus, backbone)
        run = PrimingRun.resume(context, folder, clock)
        teacher = context.teacher
        kalmanet = check_swap(teacher.config, (), backbone.gka, option=GKA_OPTION)
        decoder, replaced = teacher.get_decoder(), gka_layers(teacher.config)
        layers = {
            index: layer_from_attention(layer.self_attn, kalmanet, index, backbone.gka.seed).requires_grad_(False)
            for index, layer in enumerate(decoder.layers)
            if index not in replaced
        }
        if checkpoints.progress() is not None:
            checkpoints.restore(named_weights(layers))
        if run.training.progress.stage == "align":
            run.align(layers)
        before = ln(run.perplexity("before", teacher))
        rise = {}
        with progress("importance", len(layers), "layers") as advance:
            for index, layer in layers.items():
                with replace_attention(teacher, index, layer):
                    rise[index] = ln(run.perplexity(f"layer_{index}", teacher)) - before
                advance(1)
    result = {
        "order": sorted(rise, key=lambda index: (rise[index], index)),
        "rise": {str(index): round(nats, 6) for index, nats in rise.items()},
        "perplexity": {name: round(value, 4) for name, value in run.measured.all().items()},
        "base": {"name": backbone.name, "model": backbone.model, **backbone.provenance()},
        "corpus": corpus.name,
        "settings": settings.identity(),
        "minutes": round(clock.seconds() / 60, 2),
        **facts,
    }
    write_atomically(folder / ORDER, json.dumps(result, indent=2, ensure_ascii=False) + "\n")
    checkpoints.clear()
    return result


@contextmanager
def replace_attention(model: PreTrainedModel, index: int, attention: nn.Module) -> Iterator[None]:
    """Replace the attention of a layer within the block."""
    layer = model.get_decoder().layers[index]
    original, layer.self_attn = layer.self_attn, attention
    try:
        yield
    finally:
        layer.self_attn = original
