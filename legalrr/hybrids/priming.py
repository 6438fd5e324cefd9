"""A run of priming, from the model to the hybrid that is saved."""

from __future__ import annotations

import copy
import json
import logging
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from legalrr.backbones.local.backbone import GKA_OPTION, TransformersBackbone
from legalrr.backbones.local.gka_model import ENTRY
from legalrr.backbones.local.gka_options import chosen_layers
from legalrr.backbones.local.gka_surgery import swap
from legalrr.backbones.local.weights import torch_settings as numerics
from legalrr.hybrids.context import PrimingContext, curve_svg, prepare_priming, training_split
from legalrr.hybrids.objective import AlignmentObjective, DistillationObjective, Objective, named_weights
from legalrr.hybrids.settings import PrimeSettings, StoredMeasurements, claim_folder
from legalrr.hybrids.training import Checkpoints, Progress, RunClock, Schedule, Training, TrainingLog
from legalrr.protocols import Corpus
from legalrr.run.folder import package_versions
from legalrr.stage import description
from legalrr.store import write_atomically

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from legalrr.backbones.local.gka_model import GkaAttention

log = logging.getLogger(__name__)

MODEL, CARD, CURVE = "model", "card.json", "curve.svg"
EVALUATION_POINTS = ("before", "swapped", "aligned", "primed")
"""When perplexity is measured: of the model itself, with new layers, after (a), after (b)."""
PERPLEXITY_MARGIN = 1.3
"""So much longer than the last time measuring perplexity may take, before the minutes are over."""


@dataclass(frozen=True, kw_only=True)
class PrimingRun:
    """What a run of priming or selecting goes by."""

    bench: PrimingContext
    """What it works with."""
    folder: Path
    """Where everything is written."""
    training: Training
    """The loop, where it is."""
    measured: StoredMeasurements
    """What was measured."""

    @classmethod
    def begun(cls, bench: PrimingContext, folder: Path, clock: RunClock) -> PrimingRun:
        """The course of a folder, where it stopped or at its beginning."""
        own, checkpoints, journal = bench.settings, Checkpoints(folder), TrainingLog(folder)
        progress = checkpoints.progress() or Progress()
        journal.cut(progress.batches)
        training = Training(
            progress=progress,
            checkpoints=checkpoints,
            journal=journal,
            clock=clock,
            clip=own.clip,
            every_steps=own.checkpoint.steps,
            every_seconds=60 * own.checkpoint.minutes,
        )
        return cls(bench=bench, folder=folder, training=training, measured=StoredMeasurements(folder))

    def align(self, layers: Mapping[int, GkaAttention]) -> None:
        """Stage (a); a checkpoint of its end is saved."""
        own, training = self.bench.settings, self.training
        lesson = AlignmentObjective(
            teacher=self.bench.teacher, layers=layers, rate=own.align.rate, accelerator=self.bench.accelerator
        )
        if not training.progress.batches:
            self._fit(lesson)
        until = None if own.minutes is None else 60 * own.minutes * own.align.share
        self._learn(lesson, own.align.steps, until)
        if training.progress.step:
            self._fit(lesson)
        training.progress.stage, training.progress.step, training.progress.begun = "distil", 0, None
        training.save(named_weights(layers), {})

    def distil(self, student: PreTrainedModel, layers: Mapping[int, GkaAttention]) -> None:
        """Stage (b)."""
        own = self.bench.settings
        lesson = DistillationObjective(
            teacher=self.bench.teacher,
            student=student,
            layers=layers,
            rate=own.distil.rate,
            rest_rate=own.distil.rest_rate,
            slice=own.distil.slice,
            accelerator=self.bench.accelerator,
        )
        until = None if own.minutes is None else 60 * own.minutes - PERPLEXITY_MARGIN * self.training.progress.reserve
        self._learn(lesson, own.distil.steps, until)

    def perplexity(self, name: str, model: PreTrainedModel) -> float:
        """Perplexity of a model on the held-out judgments, measured once."""

        def measure() -> float:
            started = self.training.clock.seconds()
            found = self.bench.perplexity(model)
            self.training.progress.reserve = self.training.clock.seconds() - started
            return found

        found = self.measured.once(name, measure)
        log.info("held-out perplexity, %s: %.3f", name, found)
        return found

    def _fit(self, lesson: AlignmentObjective) -> None:
        """Fit the output projections to the next batches."""
        progress, count = self.training.progress, self.bench.settings.align.fit
        stream = self.bench.stream(progress.batches)
        lesson.fit(next(stream) for _ in range(count))
        progress.batches += count

    def _learn(self, lesson: Objective, steps: int | None, until: float | None) -> None:
        training = self.training
        if training.progress.begun is None:
            training.progress.begun = training.clock.seconds()
        schedule = Schedule(steps=steps, begun=training.progress.begun, until=until, warmup=self.bench.settings.warmup)
        training.run(lesson, self.bench.stream(training.progress.batches), schedule)


def prime(
    settings: PrimeSettings, corpus: Corpus, backbone: TransformersBackbone, facts: Mapping[str, Any]
) -> Mapping[str, Any]:
    """Make a hybrid of a backbone and prime it; goes on where an earlier call with the same arguments stopped.

    Args:
        settings: how.
        corpus: where text comes from: its train split, or the evaluated one of a corpus without.
        backbone: the model; its `gka` says which layers become Gated KalmaNet, and of what numbers.
        facts: what else the card states (command, licences).

    Returns:
        what the card of the model holds.

    Raises:
        UserError: bad input, an impossible choice, or a folder that belongs to another run.
    """
    folder = Path(settings.folder)
    card = folder / MODEL / CARD
    claim_folder(folder, {"command": "prime", **run_identity(settings, corpus, backbone)})
    if card.is_file():
        log.info("%s was primed already", folder / MODEL)
        Checkpoints(folder).clear()
        return json.loads(card.read_bytes())
    with numerics(backbone.matmul_precision, backbone.threads):
        checkpoints = Checkpoints(folder)
        clock = RunClock((checkpoints.progress() or Progress()).seconds)
        bench = prepare_priming(settings, corpus, backbone)
        course = PrimingRun.begun(bench, folder, clock)
        student = copy.deepcopy(bench.teacher)
        count = student.config.get_text_config(decoder=True).num_hidden_layers
        places = chosen_layers(backbone.gka.layers, count, backbone.gka.importance, option=GKA_OPTION)
        swap(student, places, backbone.gka, option=GKA_OPTION)
        student.requires_grad_(False)
        layers = {place: student.get_decoder().layers[place].self_attn for place in places}
        log.info("layers that become Gated KalmaNet: %s", ", ".join(map(str, places)))
        course.perplexity("before", bench.teacher)
        course.perplexity("swapped", student)
        progress = course.training.progress
        if checkpoints.progress() is not None:
            checkpoints.restore(dict(student.named_parameters()) | named_weights(layers))
            log.info("going on at step %d of %s", progress.step, progress.stage)
        if progress.stage == "align":
            course.align(layers)
        course.perplexity("aligned", student)
        course.distil(student, layers)
        course.perplexity("primed", student)
    told = _card(course, corpus, backbone, student, facts)
    _save_model(folder, student, bench, told)
    checkpoints.clear()
    return told


def run_identity(settings: PrimeSettings, corpus: Corpus, backbone: TransformersBackbone) -> dict[str, Any]:
    """All that a run's result depends on, as JSON."""
    return {
        "settings": settings.identity(),
        "corpus": description(corpus)["fields"],
        "backbone": {**description(backbone)["fields"], "provenance": dict(backbone.provenance())},
    }


def _card(
    course: PrimingRun,
    corpus: Corpus,
    backbone: TransformersBackbone,
    student: PreTrainedModel,
    facts: Mapping[str, Any],
) -> dict[str, Any]:
    import torch

    bench, lines = course.bench, course.training.journal.lines()
    own = bench.settings
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
        "judgments": {"learned_from": len(bench.split.learned), "held_out": [j.id for j in bench.split.held_out]},
        "settings": own.identity(),
        "stages": stages,
        "perplexity": {point: round(course.measured.all()[point], 4) for point in EVALUATION_POINTS},
        "perplexity_on": {"judgments": len(bench.held_out), "tokens": sum(map(len, bench.held_out))},
        "minutes": round(course.training.clock.seconds() / 60, 2),
        "device": str(bench.accelerator.device),
        "threads": torch.get_num_threads(),
        "versions": package_versions(),
        **facts,
    }


def _save_model(folder: Path, student: PreTrainedModel, bench: PrimingContext, card: Mapping[str, Any]) -> None:
    """The model with its card, whole or not at all; and the curve."""
    part = folder / f".{MODEL}.part"
    shutil.rmtree(part, ignore_errors=True)
    student.save_pretrained(part)
    bench.engine.tokenizer.save_pretrained(part)
    write_atomically(part / CARD, json.dumps(card, indent=2, ensure_ascii=False) + "\n")
    write_atomically(folder / CURVE, curve_svg(TrainingLog(folder).lines(), card["perplexity"]))
    shutil.rmtree(folder / MODEL, ignore_errors=True)
    part.rename(folder / MODEL)
