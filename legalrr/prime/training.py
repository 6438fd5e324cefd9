"""The loop that runs a stage of priming: steps, learning rate, log, checkpoints."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch

from legalrr.prime.checkpoint import Checkpoints, Progress, optimiser_tensors
from legalrr.prime.journal import Journal
from legalrr.prime.lesson import Lesson
from legalrr.prime.schedule import Clock, Schedule
from legalrr.progress import progress as shown

if TYPE_CHECKING:
    from torch import Tensor

    from legalrr.prime.windows import Batch

log = logging.getLogger(__name__)

BETAS = (0.9, 0.95)
"""Of Adam: gradients of one window are noisy, and a run has few steps."""
TOLD = 60.0
"""Seconds between two lines of the log."""


@dataclass(frozen=True, kw_only=True)
class Training:
    """A run, for the loop."""

    progress: Progress
    """Where it is; kept up to date."""
    checkpoints: Checkpoints
    """Its checkpoints."""
    journal: Journal
    """Its log."""
    clock: Clock
    """Its clock."""
    clip: float
    """Norm that gradients are cut to."""
    every_steps: int | None
    """Steps between two checkpoints; None: they go by the clock alone."""
    every_seconds: float
    """Seconds between two checkpoints."""

    def run(self, lesson: Lesson, stream: Iterator[Batch], schedule: Schedule) -> None:
        """Run a stage from where `progress` is to its end; the weights learn only while it lasts."""
        weights = {name: p for learner in lesson.learners for name, p in learner.weights.items()}
        optimiser = torch.optim.Adam(
            [{"params": list(one.weights.values()), "peak": one.rate} for one in lesson.learners], lr=0.0, betas=BETAS
        )
        if self.progress.step:
            self.checkpoints.restore_optimiser(optimiser, weights)
        for weight in weights.values():
            weight.requires_grad_(True)
        saved = told = self.clock.seconds()
        spent = schedule.spent(self.progress.step, saved)
        with shown(lesson.name, 100, "%") as advance:
            while spent < 1:
                line = self._step(lesson, next(stream), optimiser, schedule)
                before, now = spent, self.clock.seconds()
                spent = schedule.spent(self.progress.step, now)
                advance(round(100 * spent) - round(100 * before))
                if now - told >= TOLD:
                    told = now
                    log.info(
                        "%s: step %d, loss %.4f, %.0f %% done", lesson.name, line["step"], line["loss"], 100 * spent
                    )
                if now - saved >= self.every_seconds or self._counted():
                    saved = now
                    self.save(weights, optimiser_tensors(optimiser, weights))
        for weight in weights.values():
            weight.requires_grad_(False)
            weight.grad = None

    def save(self, weights: Mapping[str, Tensor], optimiser: Mapping[str, Tensor]) -> None:
        """Save a checkpoint as of now."""
        self.progress.seconds = self.clock.seconds()
        self.checkpoints.save(self.progress, weights, optimiser)

    def _step(self, lesson: Lesson, batch: Batch, optimiser: torch.optim.Adam, schedule: Schedule) -> dict[str, Any]:
        """One change of the weights; returns the line of the log."""
        progress = self.progress
        factor = schedule.factor(progress.step, self.clock.seconds())
        for group in optimiser.param_groups:
            group["lr"] = factor * group["peak"]
        optimiser.zero_grad()
        losses = lesson.study(batch)
        for together in lesson.clipped:
            torch.nn.utils.clip_grad_norm_(together, self.clip)
        optimiser.step()
        progress.step += 1
        progress.batches += 1
        line = {"stage": lesson.name, "step": progress.step, "batches": progress.batches, "factor": factor}
        line |= {"seconds": self.clock.seconds(), **losses}
        self.journal.note(line)
        return line

    def _counted(self) -> bool:
        return self.every_steps is not None and self.progress.step % self.every_steps == 0
