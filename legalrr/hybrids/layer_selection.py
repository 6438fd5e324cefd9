"""How much each layer is missed: the rise in held-out loss when it alone is replaced, after (a)."""

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
from legalrr.backbones.local.weights import torch_settings as numerics
from legalrr.hybrids.bench import lay_out
from legalrr.hybrids.objective import named
from legalrr.hybrids.priming import Course, identity
from legalrr.hybrids.settings import PrimeSettings, claim
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
    """Measure the importance of every attention layer, and write the order that `by_importance` goes by.

    All layers learn at once in stage (a), from one reading of the teacher; then perplexity is measured once per layer
    with that layer alone replaced. Goes on where an earlier call with the same arguments stopped.

    Args: see `legalrr.hybrids.priming.prime`; `backbone.gka.layers` is of no account.

    Returns:
        what the file holds: `order`, the layer first that is missed least, and `rise`, nats per token by layer.

    Raises:
        UserError: bad input, an impossible choice, or a folder that belongs to another run.
    """
    folder = Path(settings.folder) / FOLDER
    claim(folder, {"command": "select", **identity(settings, corpus, backbone)})
    with numerics(backbone.matmul_precision, backbone.threads):
        checkpoints = Checkpoints(folder)
        clock = RunClock((checkpoints.progress() or Progress()).seconds)
        bench = lay_out(settings, corpus, backbone)
        course = Course.begun(bench, folder, clock)
        teacher = bench.teacher
        kalmanet = check_swap(teacher.config, (), backbone.gka, option=GKA_OPTION)
        decoder, taken = teacher.get_decoder(), gka_layers(teacher.config)
        layers = {
            place: layer_from_attention(layer.self_attn, kalmanet, place, backbone.gka.seed).requires_grad_(False)
            for place, layer in enumerate(decoder.layers)
            if place not in taken
        }
        if checkpoints.progress() is not None:
            checkpoints.restore(named(layers))
        if course.training.progress.stage == "align":
            course.align(layers)
        before = ln(course.perplexity("before", teacher))
        rise = {}
        with progress("importance", len(layers), "layers") as advance:
            for place, layer in layers.items():
                with replaced(teacher, place, layer):
                    rise[place] = ln(course.perplexity(f"layer_{place}", teacher)) - before
                advance(1)
    told = {
        "order": sorted(rise, key=lambda place: (rise[place], place)),
        "rise": {str(place): round(nats, 6) for place, nats in rise.items()},
        "perplexity": {name: round(value, 4) for name, value in course.measured.all().items()},
        "base": {"name": backbone.name, "model": backbone.model, **backbone.provenance()},
        "corpus": corpus.name,
        "settings": settings.identity(),
        "minutes": round(clock.seconds() / 60, 2),
        **facts,
    }
    write_atomically(folder / ORDER, json.dumps(told, indent=2, ensure_ascii=False) + "\n")
    checkpoints.clear()
    return told


@contextmanager
def replaced(model: PreTrainedModel, place: int, attention: nn.Module) -> Iterator[None]:
    """While it lasts, a layer of a model has another attention."""
    layer = model.get_decoder().layers[place]
    kept, layer.self_attn = layer.self_attn, attention
    try:
        yield
    finally:
        layer.self_attn = kept
