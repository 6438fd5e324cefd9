"""Prepare what priming works with: teacher, split, text and device; draw its curve.

Which judgments are learned from, and which are held out to measure perplexity on.

The curve of a run of priming: the losses of both stages, and perplexity before, between and after.

What priming works with: the teacher, the text, the device.
"""

from __future__ import annotations

import io
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from legalrr.backbones.local.backbone import TransformersBackbone
from legalrr.backbones.local.gka_options import GkaOptions
from legalrr.backbones.local.measurements import perplexity
from legalrr.errors import UserError
from legalrr.html import SVG_SALT
from legalrr.hybrids.objective import Batch, batches
from legalrr.hybrids.settings import PrimeSettings
from legalrr.near_duplicates import group_related
from legalrr.progress import progress
from legalrr.protocols import Corpus
from legalrr.records import Judgment
from legalrr.stage import digest

if TYPE_CHECKING:
    from accelerate import Accelerator
    from matplotlib.axes import Axes
    from transformers import PreTrainedModel

    from legalrr.backbones.local.engine import TransformersEngine


SAMPLED = 16
"""One of so many runs of words is compared."""


@dataclass(frozen=True, kw_only=True)
class Split:
    """Judgments in two parts that share no group."""

    learned: tuple[Judgment, ...]
    """Those to learn from, in the order of the corpus."""
    held_out: tuple[Judgment, ...]
    """Those that are never learned from, in an order drawn by the seed."""


def split(judgments: Iterable[Judgment], share: float, seed: int) -> Split:
    """Hold out about a share of the judgments, whole groups of near-duplicates at a time.

    Which ones they are depends on seed and ids, not on the order of reading; a greater share holds out more, never
    others, as long as the groups are the same.

    Args:
        judgments: all that there are; those without text are left out.
        share: between 0 and 1.
        seed: of the draw.

    Raises:
        UserError: one of the parts is empty.
    """
    known = sorted((j for j in judgments if j.text.strip()), key=lambda j: j.id)
    names: dict[int, str] = {}
    chosen: list[Judgment] = []
    learned: list[Judgment] = []
    for judgment, group in zip(known, group_related(known, sampled=SAMPLED), strict=True):
        name = names.setdefault(group, judgment.id)
        (chosen if _draw(seed, name) < share else learned).append(judgment)
    for part, what in ((chosen, "held out"), (learned, "left to learn from")):
        if not part:
            raise UserError(
                f"of {len(known)} judgments none is {what}",
                where="held_out.share",
                cure="give another share, another seed, or more judgments",
            )
    chosen.sort(key=lambda j: _draw(seed, j.id))
    return Split(learned=tuple(learned), held_out=tuple(chosen))


def _draw(seed: int, name: str) -> float:
    """A number from [0, 1) that depends on seed and name alone."""
    return int(digest([seed, name])[:13], 16) / 16**13


COLOUR, SHADE = "#1f4e79", "#9db6cf"
LAYER = "layer_"


def curve_svg(lines: Sequence[Mapping[str, Any]], perplexity: Mapping[str, float]) -> str:
    """The plot as SVG text; the same lines give the same bytes.

    Args:
        lines: of the journal.
        perplexity: what was measured, in order, by when.
    """
    from matplotlib import rc_context
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    with rc_context({"svg.hashsalt": SVG_SALT, "font.family": "DejaVu Sans", "font.size": 9}):
        figure = Figure(figsize=(9.6, 3.0))
        FigureCanvasSVG(figure)
        figure.set_layout_engine("constrained")
        align, distil, held_out = figure.subplots(1, 3)
        _losses(align, [line for line in lines if line["stage"] == "align"], "(a) layers: unexplained share of output")
        _losses(distil, [line for line in lines if line["stage"] == "distil"], "(b) hybrid: divergence, nats per token")
        _bars(held_out, perplexity)
        for axes in (align, distil, held_out):
            axes.spines[["top", "right"]].set_visible(False)
        text = io.StringIO()
        figure.savefig(text, format="svg", metadata={"Date": None, "Creator": None})
    return text.getvalue()


def _losses(axes: Axes, lines: Sequence[Mapping[str, Any]], title: str) -> None:
    axes.set_title(title, loc="left", fontsize=9)
    axes.set_xlabel("step")
    if not lines:
        return
    steps = [line["step"] for line in lines]
    for layer in [key for key in lines[0] if key.startswith(LAYER)]:
        axes.plot(steps, _smooth([line[layer] for line in lines]), color=SHADE, linewidth=0.7)
    axes.plot(steps, _smooth([line["loss"] for line in lines]), color=COLOUR)
    axes.set_yscale("log")


def _bars(axes: Axes, perplexity: Mapping[str, float]) -> None:
    axes.set_title("perplexity, held-out judgments", loc="left", fontsize=9)
    bars = axes.bar(list(perplexity), list(perplexity.values()), color=COLOUR, width=0.6)
    axes.bar_label(bars, [f"{value:.4g}" for value in perplexity.values()], fontsize=8)
    axes.set_yscale("log")


def _smooth(values: Sequence[float]) -> list[float]:
    """Means over the last tenth of what was so far, at most 20 values."""
    found = []
    for end in range(1, len(values) + 1):
        near = values[end - min(20, 1 + end // 10) : end]
        found.append(sum(near) / len(near))
    return found


log = logging.getLogger(__name__)

DEVICES = ("cpu", "cuda", "mps")


@dataclass(frozen=True, kw_only=True)
class PrimingContext:
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


def lay_out(settings: PrimeSettings, corpus: Corpus, backbone: TransformersBackbone) -> PrimingContext:
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
    return PrimingContext(
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
