"""Prepare a priming run: device, teacher, and judgments split into a training and a held-out part."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from legalrr.backbones.local.backbone import TransformersBackbone
from legalrr.backbones.local.gka_options import GkaOptions
from legalrr.backbones.local.measurements import perplexity
from legalrr.errors import UserError
from legalrr.hybrids.objective import Batch, batches
from legalrr.hybrids.settings import PrimeSettings
from legalrr.near_duplicates import group_related
from legalrr.progress import progress
from legalrr.protocols import Corpus
from legalrr.records import Judgment
from legalrr.stage import digest

if TYPE_CHECKING:
    from accelerate import Accelerator
    from transformers import PreTrainedModel

    from legalrr.backbones.local.engine import TransformersEngine

log = logging.getLogger(__name__)

SAMPLED_SHINGLES = 16
"""One in so many shingles is compared when near-duplicates are searched."""
DEVICES = ("cpu", "cuda", "mps")
"""Devices that a model can be trained on."""


@dataclass(frozen=True, kw_only=True)
class HeldOutSplit:
    """Judgments in two parts without near-duplicates across them."""

    training: tuple[Judgment, ...]
    """The training part, in order of id."""
    held_out: tuple[Judgment, ...]
    """The part never trained on, in an order drawn with the seed."""


def hold_out(judgments: Iterable[Judgment], share: float, seed: int) -> HeldOutSplit:
    """Hold out about a share of the judgments, whole clusters of near-duplicates at a time.

    The draw depends on seed and ids, not on the order of reading. With the same clusters, a larger share holds out a
    superset.

    Args:
        judgments: all judgments; those without text are excluded.
        share: share to hold out, between 0 and 1.
        seed: seed of the draw.

    Raises:
        UserError: one of the parts is empty.
    """
    known = sorted((j for j in judgments if j.text.strip()), key=lambda j: j.id)
    names: dict[int, str] = {}
    held_out: list[Judgment] = []
    training: list[Judgment] = []
    for judgment, group in zip(known, group_related(known, sampled=SAMPLED_SHINGLES), strict=True):
        name = names.setdefault(group, judgment.id)
        (held_out if _hash_to_unit(seed, name) < share else training).append(judgment)
    for part, what in ((held_out, "held out"), (training, "left to train on")):
        if not part:
            raise UserError(
                f"of {len(known)} judgments, none is {what}",
                where="held_out.share",
                cure="give another share, another seed, or more judgments",
            )
    held_out.sort(key=lambda j: _hash_to_unit(seed, j.id))
    return HeldOutSplit(training=tuple(training), held_out=tuple(held_out))


def _hash_to_unit(seed: int, name: str) -> float:
    """Map seed and name to a number in [0, 1)."""
    return int(digest([seed, name])[:13], 16) / 16**13


@dataclass(frozen=True, kw_only=True)
class PrimingContext:
    """Teacher, text and device of a priming run."""

    settings: PrimeSettings
    """The options."""
    accelerator: Accelerator
    """Device and precision."""
    teacher: PreTrainedModel
    """The model before layers are replaced, on the device, with frozen weights."""
    engine: TransformersEngine
    """The engine that loaded it, with its tokenizer."""
    split: HeldOutSplit
    """The judgments."""
    held_out: tuple[list[int], ...]
    """Tokens that perplexity is measured on: the first `window` tokens of some held-out judgments."""

    def stream(self, after: int) -> Iterator[Batch]:
        """Yield training batches on the device, from number `after` on."""
        own = self.settings
        found = batches(
            self.split.training, self.engine.tokenise, length=own.window, size=own.batch, seed=own.seed, after=after
        )
        device = self.accelerator.device
        return (Batch(ids=one.ids.to(device), positions=one.positions.to(device)) for one in found)

    def perplexity(self, model: PreTrainedModel) -> float:
        """Compute the perplexity of a model on the held-out judgments."""
        with self.accelerator.autocast():
            return perplexity(model, self.held_out)


def prepare_priming(settings: PrimeSettings, corpus: Corpus, backbone: TransformersBackbone) -> PrimingContext:
    """Load the teacher, and read and split the corpus.

    Raises:
        UserError: a backbone that cannot be trained as configured, a window beyond its context, invalid input, or too
            few judgments.
    """
    accelerator = open_accelerator(backbone, settings.precision)
    engine = replace(backbone, gka=GkaOptions(), prefix_cache_gb=0).load()
    if settings.window > engine.context:
        raise UserError(
            f"a window of {settings.window} tokens exceeds the context of the model, {engine.context}",
            where="window",
            cure="give a smaller one",
        )
    parts = hold_out(corpus.read(training_split(corpus)), settings.held_out.share, settings.seed)
    log.info("%d judgments to train on, %d held out", len(parts.training), len(parts.held_out))
    return PrimingContext(
        settings=settings,
        accelerator=accelerator,
        teacher=engine.model.requires_grad_(False).to(accelerator.device),
        engine=engine,
        split=parts,
        held_out=_first_windows(engine, parts, settings),
    )


def training_split(corpus: Corpus) -> str | None:
    """Return the split to use for priming: the train split, or the evaluated split of a corpus without one."""
    return corpus.split if corpus.train_split is None else corpus.train_split


def open_accelerator(backbone: TransformersBackbone, precision: str) -> Accelerator:
    """Open the device of a backbone in a precision.

    Raises:
        UserError: weights that cannot be trained, or an unavailable device.
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
            f"cannot prime on {backbone.device}", where="backbone.device", cure=f"use one of {', '.join(DEVICES)}"
        )
    found = Accelerator(cpu=backbone.device == "cpu", mixed_precision="no" if precision == "float32" else precision)
    if found.device.type != backbone.device:
        raise UserError(
            f"accelerate found {found.device.type}, not {backbone.device}",
            where="backbone.device",
            cure=f"use {found.device.type}",
        )
    return found


def _first_windows(engine: TransformersEngine, parts: HeldOutSplit, settings: PrimeSettings) -> tuple[list[int], ...]:
    """Get the first tokens of held-out judgments, preferring those that fill a window."""
    found = []
    with progress("tokenize", len(parts.held_out), "judgments") as advance:
        for judgment in parts.held_out:
            found.append(engine.tokenise(judgment.text)[: settings.window])
            advance(1)
    found.sort(key=lambda ids: len(ids) < settings.window)
    return tuple(found[: settings.held_out.judgments])
