"""The training loop of a stage of priming: learning-rate schedule, log, checkpoints.

loss.jsonl has a line per step. The last checkpoint is a folder from which the same command resumes:

    checkpoint-<number>/weights.safetensors     trained weights
                        optimiser.safetensors   Adam's two moments and step count, by weight
                        state.json              stage, steps, batches read, seconds

A checkpoint folder gets its name when all of it is on disk, and only then is the previous one deleted, so that a
complete one survives a kill at any time. No state of a random number generator is saved: batches follow from the seed
and their number, and there is no dropout.
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

from legalrr.errors import UserError, file_errors
from legalrr.files import part_path, write_atomically
from legalrr.hybrids.objective import Objective
from legalrr.progress import progress as progress_bar

if TYPE_CHECKING:
    from torch import Tensor, nn

    from legalrr.hybrids.objective import Batch

log = logging.getLogger(__name__)

LOG_NAME = "loss.jsonl"
FOLDER_NAME = re.compile(r"checkpoint-(\d+)")
WEIGHTS, OPTIMISER, STATE = "weights.safetensors", "optimiser.safetensors", "state.json"
BETAS = (0.9, 0.95)
"""Betas of Adam: gradients of one window are noisy, and a run has few steps."""
LOG_INTERVAL = 60.0
"""Seconds between two log messages."""


class TrainingLog:
    """The log of a run, a line per step.

    Args:
        folder: the folder of the run.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / LOG_NAME

    def append(self, line: Mapping[str, Any]) -> None:
        """Append a line, with numbers to six significant digits."""
        rounded = {key: float(f"{value:.6g}") if isinstance(value, float) else value for key, value in line.items()}
        with file_errors(self.path), self.path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(rounded) + "\n")

    def lines(self) -> list[dict[str, Any]]:
        """Read all complete lines; a torn last line does not count."""
        if not self.path.is_file():
            return []
        return [json.loads(line) for line in self.path.read_bytes().split(b"\n")[:-1]]

    def truncate(self, batches: int) -> None:
        """Drop the lines after a number of batches; a resumed run repeats these steps."""
        kept = [line for line in self.lines() if line["batches"] <= batches]
        write_atomically(self.path, "".join(json.dumps(line) + "\n" for line in kept))


@dataclass(frozen=True, kw_only=True)
class Schedule:
    """Learning-rate schedule of one stage, by steps or by time, whichever ends first."""

    steps: int | None
    """Number of steps; None: as many as time allows."""
    begun: float
    """Seconds on the clock when the stage began."""
    until: float | None
    """Seconds on the clock when the stage ends; None: no time limit."""
    warmup: int
    """Steps in which the learning rate rises."""

    def fraction_done(self, step: int, clock: float) -> float:
        """Compute the share of the stage completed, 0 to 1, before step `step` (from 0) at `clock` seconds."""
        shares = [0.0]
        if self.steps is not None:
            shares.append(step / self.steps if self.steps else 1.0)
        if self.until is not None:
            length = self.until - self.begun
            shares.append((clock - self.begun) / length if length > 0 else 1.0)
        return min(1.0, max(shares))

    def factor(self, step: int, clock: float) -> float:
        """Compute the learning rate of a step as a share of its peak: linear warm-up, then linear decay to 0."""
        rise = min(1.0, (step + 1) / (self.warmup + 1))
        return rise * (1.0 - self.fraction_done(step, clock))


class RunClock:
    """Seconds that a run has taken, including those before an interruption.

    Args:
        before: seconds before the interruption.
    """

    def __init__(self, before: float) -> None:
        self._started = time.perf_counter() - before

    def seconds(self) -> float:
        """Return the seconds so far."""
        return time.perf_counter() - self._started


@dataclass(kw_only=True)
class Progress:
    """Position of a run, as saved in its checkpoints."""

    stage: str = "align"
    """Stage: align or distil."""
    step: int = 0
    """Steps done in the stage."""
    batches: int = 0
    """Batches read in all stages."""
    begun: float | None = None
    """Seconds on the clock when the stage began; None: not yet."""
    seconds: float = 0.0
    """Seconds on the clock when this was saved."""
    reserve: float = 0.0
    """Seconds that the last perplexity measurement took."""


class Checkpoints:
    """The checkpoints of a run.

    Args:
        folder: the folder of the run.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def save(self, progress: Progress, weights: Mapping[str, Tensor], optimiser: Mapping[str, Tensor]) -> None:
        """Save a checkpoint and delete the previous one."""
        from safetensors.torch import save

        old = self._found()
        part = part_path(self._folder / "checkpoint")
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
        """Read the position of the run from the last checkpoint; None without one."""
        folder = self._last()
        if folder is None:
            return None
        try:
            return Progress(**json.loads((folder / STATE).read_bytes()))
        except (OSError, ValueError, TypeError) as error:
            raise UserError("damaged checkpoint", where=str(folder), cure="delete the folder of the run") from error

    def restore(self, weights: Mapping[str, Tensor]) -> None:
        """Load the saved weights into those of the same names; raises UserError for an unknown name."""
        saved = self._tensors(WEIGHTS)
        if not saved.keys() <= weights.keys():
            raise UserError(
                "the checkpoint has other weights", where=str(self._last()), cure="delete the folder of the run"
            )
        with torch.no_grad():
            for name, tensor in saved.items():
                weights[name].copy_(tensor)

    def restore_optimiser(self, optimiser: torch.optim.Adam, weights: Mapping[str, nn.Parameter]) -> None:
        """Load the saved state into an optimiser of these weights."""
        for key, tensor in self._tensors(OPTIMISER).items():
            name, _, what = key.rpartition("/")
            weight = weights[name]
            optimiser.state[weight][what] = tensor if what == "step" else tensor.to(weight.device)

    def clear(self) -> None:
        """Delete all checkpoints."""
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
            (int(match[1]), p) for p in self._folder.glob("checkpoint-*") if (match := FOLDER_NAME.fullmatch(p.name))
        )


def optimiser_tensors(optimiser: torch.optim.Adam, weights: Mapping[str, nn.Parameter]) -> dict[str, Tensor]:
    """Return the state of an optimiser as `<weight>/<entry>` -> tensor; empty before its first step."""
    return {
        f"{name}/{what}": tensor for name, weight in weights.items() for what, tensor in optimiser.state[weight].items()
    }


def _write_synced(path: Path, content: bytes) -> None:
    with file_errors(path), path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


@dataclass(frozen=True, kw_only=True)
class Training:
    """The training loop of a run."""

    progress: Progress
    """Position of the run, updated by the loop."""
    checkpoints: Checkpoints
    """Its checkpoints."""
    log: TrainingLog
    """Its log."""
    clock: RunClock
    """Its clock."""
    clip: float
    """Norm that gradients are clipped to."""
    every_steps: int | None
    """Steps between two checkpoints; None: by time alone."""
    every_seconds: float
    """Seconds between two checkpoints."""

    def run(self, objective: Objective, stream: Iterator[Batch], schedule: Schedule) -> None:
        """Train a stage from the current position to its end; the weights are trainable only meanwhile."""
        weights = {name: p for group in objective.groups for name, p in group.weights.items()}
        optimiser = torch.optim.Adam(
            [{"params": list(one.weights.values()), "peak": one.rate} for one in objective.groups], lr=0.0, betas=BETAS
        )
        if self.progress.step:
            self.checkpoints.restore_optimiser(optimiser, weights)
        for weight in weights.values():
            weight.requires_grad_(True)
        saved = logged = self.clock.seconds()
        done = schedule.fraction_done(self.progress.step, saved)
        with progress_bar(objective.name, 100, "%") as advance:
            while done < 1:
                line = self._step(objective, next(stream), optimiser, schedule)
                before, now = done, self.clock.seconds()
                done = schedule.fraction_done(self.progress.step, now)
                advance(round(100 * done) - round(100 * before))
                if now - logged >= LOG_INTERVAL:
                    logged = now
                    log.info(
                        "%s: step %d, loss %.4f, %.0f %% done", objective.name, line["step"], line["loss"], 100 * done
                    )
                if now - saved >= self.every_seconds or self._checkpoint_due():
                    saved = now
                    self.save(weights, optimiser_tensors(optimiser, weights))
        for weight in weights.values():
            weight.requires_grad_(False)
            weight.grad = None

    def save(self, weights: Mapping[str, Tensor], optimiser: Mapping[str, Tensor]) -> None:
        """Save a checkpoint."""
        self.progress.seconds = self.clock.seconds()
        self.checkpoints.save(self.progress, weights, optimiser)

    def _step(
        self, objective: Objective, batch: Batch, optimiser: torch.optim.Adam, schedule: Schedule
    ) -> dict[str, Any]:
        """Make one optimiser step; return the line of the log."""
        progress = self.progress
        factor = schedule.factor(progress.step, self.clock.seconds())
        for group in optimiser.param_groups:
            group["lr"] = factor * group["peak"]
        optimiser.zero_grad()
        losses = objective.backward(batch)
        for group in objective.clip_groups:
            torch.nn.utils.clip_grad_norm_(group, self.clip)
        optimiser.step()
        progress.step += 1
        progress.batches += 1
        line = {"stage": objective.name, "step": progress.step, "batches": progress.batches, "factor": factor}
        line |= {"seconds": self.clock.seconds(), **losses}
        self.log.append(line)
        return line

    def _checkpoint_due(self) -> bool:
        return self.every_steps is not None and self.progress.step % self.every_steps == 0
