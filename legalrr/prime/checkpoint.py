"""The saved state of a run of priming, from which the same command goes on.

    checkpoint-<number>/weights.safetensors     what has been learned
                        optimiser.safetensors   Adam's two means and number of steps, by weight
                        state.json              stage, steps, batches read, seconds

A folder gets its name when all of it is on the disk, and only then is the one before it deleted: whenever a run is
killed, a whole one is there. No generator of random numbers has a state to save: batches follow from the seed and their
number, and nothing is dropped out.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from legalrr.errors import UserError

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

NAME = re.compile(r"checkpoint-(\d+)")
WEIGHTS, OPTIMISER, STATE = "weights.safetensors", "optimiser.safetensors", "state.json"


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
            _write(part / name, save({key: tensor.detach().contiguous().cpu() for key, tensor in tensors.items()}))
        _write(part / STATE, json.dumps(asdict(progress), indent=2).encode())
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


def _write(path: Path, content: bytes) -> None:
    with path.open("wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
