"""What priming works with: the teacher, the text, the device."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from legalrr.backbones.gka.options import GkaOptions
from legalrr.backbones.perplexity import perplexity
from legalrr.backbones.transformers import TransformersBackbone
from legalrr.errors import UserError
from legalrr.prime.settings import PrimeSettings
from legalrr.prime.split import Split, split
from legalrr.prime.windows import Batch, batches
from legalrr.progress import progress
from legalrr.protocols import Corpus

if TYPE_CHECKING:
    from accelerate import Accelerator
    from transformers import PreTrainedModel

    from legalrr.backbones.engine import TransformersEngine

log = logging.getLogger(__name__)

DEVICES = ("cpu", "cuda", "mps")


@dataclass(frozen=True, kw_only=True)
class Bench:
    """What priming works with."""

    settings: PrimeSettings
    """The options."""
    accelerator: Accelerator
    """Device and precision."""
    teacher: PreTrainedModel
    """The model before layers are replaced, on the device; none of its weights learns."""
    engine: TransformersEngine
    """What loaded it, with its tokenizer."""
    split: Split
    """The judgments."""
    held_out: tuple[list[int], ...]
    """Tokens that perplexity is measured on: the first of some held-out judgments."""

    def stream(self, after: int) -> Iterator[Batch]:
        """Batches to learn from, on the device, those that were read before passed over."""
        own = self.settings
        found = batches(
            self.split.learned, self.engine.tokenise, length=own.window, size=own.batch, seed=own.seed, after=after
        )
        device = self.accelerator.device
        return (Batch(ids=one.ids.to(device), positions=one.positions.to(device)) for one in found)

    def perplexity(self, model: PreTrainedModel) -> float:
        """Perplexity of a model on the held-out judgments."""
        with self.accelerator.autocast():
            return perplexity(model, self.held_out)


def lay_out(settings: PrimeSettings, corpus: Corpus, backbone: TransformersBackbone) -> Bench:
    """Load the teacher, read and divide the corpus.

    Raises:
        UserError: a backbone that cannot be trained as it is configured, a window that it cannot read, bad input, or
            too few judgments.
    """
    accelerator = accelerate(backbone, settings.precision)
    engine = replace(backbone, gka=GkaOptions(), prefix_cache_gb=0).load()
    if settings.window > engine.context:
        raise UserError(
            f"a window of {settings.window} tokens, and the model can take {engine.context}",
            where="window",
            cure="give a smaller one",
        )
    parts = split(corpus.read(read_split(corpus)), settings.held_out.share, settings.seed)
    log.info("%d judgments to learn from, %d held out", len(parts.learned), len(parts.held_out))
    return Bench(
        settings=settings,
        accelerator=accelerator,
        teacher=engine.model.requires_grad_(False).to(accelerator.device),
        engine=engine,
        split=parts,
        held_out=_windows(engine, parts, settings),
    )


def read_split(corpus: Corpus) -> str | None:
    """The split of a corpus that is learned from and held out: its train split, or the evaluated one of a corpus
    without."""
    return corpus.split if corpus.train_split is None else corpus.train_split


def accelerate(backbone: TransformersBackbone, precision: str) -> Accelerator:
    """The device that a backbone names, in a precision.

    Raises:
        UserError: weights that cannot be trained, or a device that cannot be had.
    """
    from accelerate import Accelerator

    for option, value, needed in (
        ("dtype", backbone.dtype, "float32"),
        ("quantization", backbone.quantization, "none"),
    ):
        if value != needed:
            raise UserError(
                f"weights in {value} cannot be trained",
                where=f"backbone.{option}",
                cure=f"use {needed}; precision=bf16 computes in bfloat16",
            )
    if backbone.device not in DEVICES:
        raise UserError(
            f"priming on {backbone.device}", where="backbone.device", cure=f"use one of {', '.join(DEVICES)}"
        )
    found = Accelerator(cpu=backbone.device == "cpu", mixed_precision="no" if precision == "float32" else precision)
    if found.device.type != backbone.device:
        raise UserError(
            f"accelerate finds {found.device.type} here, no {backbone.device}",
            where="backbone.device",
            cure=f"use {found.device.type}",
        )
    return found


def _windows(engine: TransformersEngine, parts: Split, settings: PrimeSettings) -> tuple[list[int], ...]:
    """The first tokens of held-out judgments, those that fill a window first."""
    found = []
    with progress("tokenise", len(parts.held_out), "judgments") as advance:
        for judgment in parts.held_out:
            found.append(engine.tokenise(judgment.text)[: settings.window])
            advance(1)
    found.sort(key=lambda ids: len(ids) < settings.window)
    return tuple(found[: settings.held_out.judgments])
