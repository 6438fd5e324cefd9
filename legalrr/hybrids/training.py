"""Train a stage of priming: learning-rate schedule, log, checkpoints.

loss.jsonl: a line per step of a run of priming.

When a stage ends, and how the learning rate falls until then.

The saved state of a run of priming, from which the same command goes on.

    checkpoint-<number>/weights.safetensors     what has been learned
                        optimiser.safetensors   Adam's two means and number of steps, by weight
                        state.json              stage, steps, batches read, seconds

A folder gets its name when all of it is on the disk, and only then is the one before it deleted: whenever a run is
killed, a whole one is there. No generator of random numbers has a state to save: batches follow from the seed and their
number, and nothing is dropped out.

The loop that runs a stage of priming: steps, learning rate, log, checkpoints.
"""

from __future__ import annotations

import json
import logging
import os
import re
import shutil
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from legalrr.errors import UserError
from legalrr.hybrids.objective import Objective
from legalrr.progress import progress as shown
from legalrr.store import write_atomically

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

    from legalrr.hybrids.objective import Batch


LOG_NAME = "loss.jsonl"
NAME = re.compile(r"checkpoint-(\d+)")
WEIGHTS, OPTIMISER, STATE = "weights.safetensors", "optimiser.safetensors", "state.json"
log = logging.getLogger(__name__)
BETAS = (0.9, 0.95)
"""Of Adam: gradients of one window are noisy, and a run has few steps."""
LOG_INTERVAL = 60.0
"""Seconds between two lines of the log."""


class TrainingLog:
    """What was learned step by step.

    Args:
        folder: of the run.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / LOG_NAME

    def note(self, line: Mapping[str, Any]) -> None:
        """Append a line; numbers have six significant digits."""
        told = {key: float(f"{value:.6g}") if isinstance(value, float) else value for key, value in line.items()}
        with self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(told) + "\n")

    def lines(self) -> list[dict[str, Any]]:
        """All whole lines; a torn last one was never written."""
        if not self.path.is_file():
            return []
        return [json.loads(line) for line in self.path.read_bytes().split(b"\n")[:-1]]

    def cut(self, batches: int) -> None:
        """Drop the lines of steps that go beyond so many batches: they are made again after an interruption."""
        kept = [line for line in self.lines() if line["batches"] <= batches]
        write_atomically(self.path, "".join(json.dumps(line) + "\n" for line in kept))


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """Of one stage: by steps, by the clock of the run, or by whichever is over first."""

    steps: int | None
    """How many steps; None: as many as there is time for."""
    begun: float
    """Seconds on the clock when the stage began."""
    until: float | None
    """Seconds on the clock when it ends; None: there is time without end."""
    warmup: int
    """Steps in which the rate rises."""

    def spent(self, step: int, clock: float) -> float:
        """Share of the stage that is over, from 0 to 1, before step `step` (from 0) at `clock` seconds."""
        shares = [0.0]
        if self.steps is not None:
            shares.append(step / self.steps if self.steps else 1.0)
        if self.until is not None:
            length = self.until - self.begun
            shares.append((clock - self.begun) / length if length > 0 else 1.0)
        return min(1.0, max(shares))

    def factor(self, step: int, clock: float) -> float:
        """Share of its peak that the learning rate has in a step: up in a line, then down in one to 0 at the end."""
        rise = min(1.0, (step + 1) / (self.warmup + 1))
        return rise * (1.0 - self.spent(step, clock))


class RunClock:
    """Seconds that a run has taken, those before it was interrupted among them.

    Args:
        before: seconds that it had taken.
    """

    def __init__(self, before: float) -> None:
        self._started = time.perf_counter() - before

    def seconds(self) -> float:
        """Seconds so far."""
        return time.perf_counter() - self._started


@dataclass(kw_only=True)
class Progress:
    """Where a run is."""

    stage: str = "align"
    """align or distil."""
    step: int = 0
    """Steps of the stage."""
    batches: int = 0
    """Batches read in all stages."""
    begun: float | None = None
    """Seconds on the clock when the stage began; None: it has not."""
    seconds: float = 0.0
    """Seconds on the clock when this was saved."""
    reserve: float = 0.0
    """Seconds that measuring perplexity took."""


class Checkpoints:
    """The checkpoints of a run.

    Args:
        folder: of the run.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def save(self, progress: Progress, weights: Mapping[str, Tensor], optimiser: Mapping[str, Tensor]) -> None:
        """Put a new checkpoint in the place of the last one."""
        from safetensors.torch import save

        old = self._found()
        part = self._folder / f".checkpoint.{os.getpid()}.part"
        shutil.rmtree(part, ignore_errors=True)
        part.mkdir(parents=True)
        for name, tensors in ((WEIGHTS, weights), (OPTIMISER, optimiser)):
            _write_synced(
                part / name, save({key: tensor.detach().contiguous().cpu() for key, tensor in tensors.items()})
            )
        _write_synced(part / STATE, json.dumps(asdict(progress), indent=2).encode())
        part.rename(self._folder / f"checkpoint-{(old[-1][0] if old else 0) + 1:06d}")
        for _, path in old:
            shutil.rmtree(path)

    def progress(self) -> Progress | None:
        """Where the run was when the last checkpoint was saved; None without one."""
        folder = self._last()
        if folder is None:
            return None
        try:
            return Progress(**json.loads((folder / STATE).read_bytes()))
        except (OSError, ValueError, TypeError) as error:
            raise UserError("damaged checkpoint", where=str(folder), cure="delete the folder of the run") from error

    def restore(self, weights: Mapping[str, Tensor]) -> None:
        """Set those of the named weights that were saved to what they were; raises UserError for an unknown one."""
        import torch

        saved = self._tensors(WEIGHTS)
        if not saved.keys() <= weights.keys():
            raise UserError(
                "the checkpoint is of other weights", where=str(self._last()), cure="delete the folder of the run"
            )
        with torch.no_grad():
            for name, tensor in saved.items():
                weights[name].copy_(tensor)

    def restore_optimiser(self, optimiser: torch.optim.Adam, weights: Mapping[str, nn.Parameter]) -> None:
        """Set the state of an optimiser to what was saved, as far as weights of these names were in it."""
        for key, tensor in self._tensors(OPTIMISER).items():
            name, _, what = key.rpartition("/")
            weight = weights[name]
            optimiser.state[weight][what] = tensor if what == "step" else tensor.to(weight.device)

    def clear(self) -> None:
        """Delete them all."""
        for _, path in self._found():
            shutil.rmtree(path)

    def _tensors(self, name: str) -> dict[str, Tensor]:
        from safetensors import SafetensorError
        from safetensors.torch import load

        path = (self._last() or self._folder) / name
        try:
            return load(path.read_bytes())
        except (OSError, SafetensorError) as error:
            raise UserError("damaged checkpoint", where=str(path), cure="delete the folder of the run") from error

    def _last(self) -> Path | None:
        found = self._found()
        return found[-1][1] if found else None

    def _found(self) -> list[tuple[int, Path]]:
        return sorted(
            (int(match[1]), p) for p in self._folder.glob("checkpoint-*") if (match := NAME.fullmatch(p.name))
        )


def optimiser_tensors(optimiser: torch.optim.Adam, weights: Mapping[str, nn.Parameter]) -> dict[str, Tensor]:
    """The state of an optimiser as `<weight>/<what>` -> tensor; empty before its first step."""
    return {
        f"{name}/{what}": tensor for name, weight in weights.items() for what, tensor in optimiser.state[weight].items()
    }


def _write_synced(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


@dataclass(frozen=True, kw_only=True)
class Training:
    """A run, for the loop."""

    progress: Progress
    """Where it is; kept up to date."""
    checkpoints: Checkpoints
    """Its checkpoints."""
    journal: TrainingLog
    """Its log."""
    clock: RunClock
    """Its clock."""
    clip: float
    """Norm that gradients are cut to."""
    every_steps: int | None
    """Steps between two checkpoints; None: they go by the clock alone."""
    every_seconds: float
    """Seconds between two checkpoints."""

    def run(self, lesson: Objective, stream: Iterator[Batch], schedule: Schedule) -> None:
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
                if now - told >= LOG_INTERVAL:
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

    def _step(self, lesson: Objective, batch: Batch, optimiser: torch.optim.Adam, schedule: Schedule) -> dict[str, Any]:
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
