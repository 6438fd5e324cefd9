"""Prime a hybrid (align, distil, evaluate, save with card and training curve), or measure which layers to replace.

The importance of a layer is the rise in held-out loss when it alone replaces its attention layer, after alignment.
"""

from __future__ import annotations

import copy
import io
import json
import logging
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from math import log as ln
from pathlib import Path
from typing import TYPE_CHECKING, Any

from legalrr.backbones.local.backbone import GKA_OPTION, TransformersBackbone
from legalrr.backbones.local.gka_model import ENTRY, gka_layers
from legalrr.backbones.local.gka_options import chosen_layers
from legalrr.backbones.local.gka_surgery import check_swap, layer_from_attention, swap
from legalrr.backbones.local.weights import torch_settings
from legalrr.files import write_atomically
from legalrr.html import SVG_SALT
from legalrr.hybrids.context import PrimingContext, prepare_priming, training_split
from legalrr.hybrids.objective import AlignmentObjective, DistillationObjective, Objective, named_weights
from legalrr.hybrids.settings import PrimeSettings, StoredMeasurements, claim_folder
from legalrr.hybrids.training import Checkpoints, Progress, RunClock, Schedule, Training, TrainingLog
from legalrr.progress import progress
from legalrr.protocols import Corpus
from legalrr.run.folder import package_versions
from legalrr.stage import description

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from torch import nn
    from transformers import PreTrainedModel

    from legalrr.backbones.local.gka_model import GkaAttention


log = logging.getLogger(__name__)

MODEL, CARD, CURVE = "model", "card.json", "curve.svg"
LINE_COLOUR, LAYER_COLOUR = "#1f4e79", "#9db6cf"
LAYER_PREFIX = "layer_"
"""Prefix of the losses of single layers in the log."""
EVALUATION_POINTS = ("before", "swapped", "aligned", "primed")
"""Points at which perplexity is measured: of the teacher, with untrained new layers, after (a), after (b)."""
PERPLEXITY_MARGIN = 1.3
"""Time reserved for the last perplexity measurement, as a multiple of the previous one."""


@dataclass(frozen=True, kw_only=True)
class PrimingRun:
    """A run of priming or layer selection."""

    context: PrimingContext
    """Teacher, text and device."""
    folder: Path
    """Output folder."""
    training: Training
    """The training loop, at its current position."""
    measured: StoredMeasurements
    """Perplexities measured so far."""

    @classmethod
    def resume(cls, context: PrimingContext, folder: Path, clock: RunClock) -> PrimingRun:
        """Resume the run of a folder at its last checkpoint, or start it."""
        own, checkpoints, log_file = context.settings, Checkpoints(folder), TrainingLog(folder)
        progress = checkpoints.progress() or Progress()
        log_file.truncate(progress.batches)
        training = Training(
            progress=progress,
            checkpoints=checkpoints,
            log=log_file,
            clock=clock,
            clip=own.clip,
            every_steps=own.checkpoint.steps,
            every_seconds=60 * own.checkpoint.minutes,
        )
        return cls(context=context, folder=folder, training=training, measured=StoredMeasurements(folder))

    def align(self, layers: Mapping[int, GkaAttention]) -> None:
        """Run stage (a), and save a checkpoint at its end."""
        own, training = self.context.settings, self.training
        objective = AlignmentObjective(
            teacher=self.context.teacher, layers=layers, rate=own.align.rate, accelerator=self.context.accelerator
        )
        if not training.progress.batches:
            self._fit(objective)
        until = None if own.minutes is None else 60 * own.minutes * own.align.share
        self._train(objective, own.align.steps, until)
        if training.progress.step:
            self._fit(objective)
        training.progress.stage, training.progress.step, training.progress.begun = "distil", 0, None
        training.save(named_weights(layers), {})

    def distil(self, student: PreTrainedModel, layers: Mapping[int, GkaAttention]) -> None:
        """Run stage (b)."""
        own = self.context.settings
        objective = DistillationObjective(
            teacher=self.context.teacher,
            student=student,
            layers=layers,
            rate=own.distil.rate,
            rest_rate=own.distil.rest_rate,
            slice=own.distil.slice,
            accelerator=self.context.accelerator,
        )
        until = None if own.minutes is None else 60 * own.minutes - PERPLEXITY_MARGIN * self.training.progress.reserve
        self._train(objective, own.distil.steps, until)

    def perplexity(self, name: str, model: PreTrainedModel) -> float:
        """Measure the perplexity of a model on the held-out judgments, once per name."""

        def measure() -> float:
            started = self.training.clock.seconds()
            found = self.context.perplexity(model)
            self.training.progress.reserve = self.training.clock.seconds() - started
            return found

        found = self.measured.once(name, measure)
        log.info("held-out perplexity, %s: %.3f", name, found)
        return found

    def _fit(self, objective: AlignmentObjective) -> None:
        """Fit the output projections to the next batches."""
        progress, count = self.training.progress, self.context.settings.align.fit
        stream = self.context.stream(progress.batches)
        objective.fit(next(stream) for _ in range(count))
        progress.batches += count

    def _train(self, objective: Objective, steps: int | None, until: float | None) -> None:
        training = self.training
        if training.progress.begun is None:
            training.progress.begun = training.clock.seconds()
        schedule = Schedule(
            steps=steps, begun=training.progress.begun, until=until, warmup=self.context.settings.warmup
        )
        training.run(objective, self.context.stream(training.progress.batches), schedule)


def prime(
    settings: PrimeSettings, corpus: Corpus, backbone: TransformersBackbone, facts: Mapping[str, Any]
) -> Mapping[str, Any]:
    """Turn a backbone into a hybrid and prime it; an interrupted call with the same arguments is resumed.

    Args:
        settings: the options.
        corpus: source of text: its train split, or its evaluated split without one.
        backbone: the model; its `gka` options choose the layers that become Gated KalmaNet.
        facts: further entries of the card (command, licences).

    Returns:
        the card of the model.

    Raises:
        UserError: invalid input or options, or a folder that belongs to another run.
    """
    folder = Path(settings.folder)
    card = folder / MODEL / CARD
    claim_folder(folder, {"command": "prime", **run_identity(settings, corpus, backbone)})
    if card.is_file():
        log.info("%s is already primed", folder / MODEL)
        Checkpoints(folder).clear()
        return json.loads(card.read_bytes())
    with torch_settings(backbone.matmul_precision, backbone.threads):
        checkpoints = Checkpoints(folder)
        clock = RunClock((checkpoints.progress() or Progress()).seconds)
        context = prepare_priming(settings, corpus, backbone)
        run = PrimingRun.resume(context, folder, clock)
        student = copy.deepcopy(context.teacher)
        count = student.config.get_text_config(decoder=True).num_hidden_layers
        places = chosen_layers(backbone.gka.layers, count, backbone.gka.importance, option=GKA_OPTION)
        swap(student, places, backbone.gka, option=GKA_OPTION)
        student.requires_grad_(False)
        layers = {place: student.get_decoder().layers[place].self_attn for place in places}
        log.info("Gated KalmaNet layers: %s", ", ".join(map(str, places)))
        run.perplexity("before", context.teacher)
        run.perplexity("swapped", student)
        progress = run.training.progress
        if checkpoints.progress() is not None:
            checkpoints.restore(dict(student.named_parameters()) | named_weights(layers))
            log.info("resuming at step %d of %s", progress.step, progress.stage)
        if progress.stage == "align":
            run.align(layers)
        run.perplexity("aligned", student)
        run.distil(student, layers)
        run.perplexity("primed", student)
    content = _card(run, corpus, backbone, student, facts)
    _save_model(folder, student, context, content)
    checkpoints.clear()
    return content


def run_identity(settings: PrimeSettings, corpus: Corpus, backbone: TransformersBackbone) -> dict[str, Any]:
    """Return everything that the result of a run depends on, as JSON."""
    return {
        "settings": settings.identity(),
        "corpus": description(corpus)["fields"],
        "backbone": {**description(backbone)["fields"], "provenance": dict(backbone.provenance())},
    }


def _card(
    run: PrimingRun,
    corpus: Corpus,
    backbone: TransformersBackbone,
    student: PreTrainedModel,
    facts: Mapping[str, Any],
) -> dict[str, Any]:
    import torch

    context, lines = run.context, run.training.log.lines()
    own = context.settings
    text = student.config.get_text_config(decoder=True)
    stages = {}
    for stage in ("align", "distil"):
        steps = [line for line in lines if line["stage"] == stage]
        losses = [line["loss"] for line in steps]
        stages[stage] = {
            "steps": len(steps),
            "tokens": len(steps) * own.batch * own.window,
            "first_losses": losses[:10],
            "last_losses": losses[-10:],
        }
    return {
        "format": 1,
        "base": {"name": backbone.name, "model": backbone.model, **backbone.provenance()},
        "layers": [i for i, kind in enumerate(text.layer_types) if kind == "linear_attention"],
        "gka": getattr(text, ENTRY),
        "corpus": corpus.name,
        "split": training_split(corpus),
        "judgments": {"learned_from": len(context.split.training), "held_out": [j.id for j in context.split.held_out]},
        "settings": own.identity(),
        "stages": stages,
        "perplexity": {point: round(run.measured.all()[point], 4) for point in EVALUATION_POINTS},
        "perplexity_on": {"judgments": len(context.held_out), "tokens": sum(map(len, context.held_out))},
        "minutes": round(run.training.clock.seconds() / 60, 2),
        "device": str(context.accelerator.device),
        "threads": torch.get_num_threads(),
        "versions": package_versions(),
        **facts,
    }


def _save_model(folder: Path, student: PreTrainedModel, context: PrimingContext, card: Mapping[str, Any]) -> None:
    """Save the training curve, and the model with its card, atomically."""
    part = folder / f".{MODEL}.part"
    shutil.rmtree(part, ignore_errors=True)
    student.save_pretrained(part)
    context.engine.tokenizer.save_pretrained(part)
    write_atomically(part / CARD, json.dumps(card, indent=2, ensure_ascii=False) + "\n")
    write_atomically(folder / CURVE, curve_svg(TrainingLog(folder).lines(), card["perplexity"]))
    shutil.rmtree(folder / MODEL, ignore_errors=True)
    part.rename(folder / MODEL)


def curve_svg(lines: Sequence[Mapping[str, Any]], perplexity: Mapping[str, float]) -> str:
    """Plot losses of both stages and perplexities as SVG; equal input gives equal bytes.

    Args:
        lines: lines of the training log.
        perplexity: point of measurement -> perplexity, in order.
    """
    from matplotlib import rc_context
    from matplotlib.backends.backend_svg import FigureCanvasSVG
    from matplotlib.figure import Figure

    with rc_context({"svg.hashsalt": SVG_SALT, "font.family": "DejaVu Sans", "font.size": 9}):
        figure = Figure(figsize=(9.6, 3.0))
        FigureCanvasSVG(figure)
        figure.set_layout_engine("constrained")
        align, distil, held_out = figure.subplots(1, 3)
        _losses(
            align, [line for line in lines if line["stage"] == "align"], "(a) layers: unexplained variance of output"
        )
        _losses(
            distil, [line for line in lines if line["stage"] == "distil"], "(b) hybrid: KL divergence, nats per token"
        )
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
    for layer in [key for key in lines[0] if key.startswith(LAYER_PREFIX)]:
        axes.plot(steps, _smooth([line[layer] for line in lines]), color=LAYER_COLOUR, linewidth=0.7)
    axes.plot(steps, _smooth([line["loss"] for line in lines]), color=LINE_COLOUR)
    axes.set_yscale("log")


def _bars(axes: Axes, perplexity: Mapping[str, float]) -> None:
    axes.set_title("perplexity, held-out judgments", loc="left", fontsize=9)
    bars = axes.bar(list(perplexity), list(perplexity.values()), color=LINE_COLOUR, width=0.6)
    axes.bar_label(bars, [f"{value:.4g}" for value in perplexity.values()], fontsize=8)
    axes.set_yscale("log")


def _smooth(values: Sequence[float]) -> list[float]:
    """Smooth by running means over the last tenth of the values so far, at most 20."""
    found = []
    for end in range(1, len(values) + 1):
        near = values[end - min(20, 1 + end // 10) : end]
        found.append(sum(near) / len(near))
    return found


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
