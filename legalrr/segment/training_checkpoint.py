"""Save the state of a training in one file, from which the same training resumes."""

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn

from legalrr.errors import UserError
from legalrr.files import make_folder, write_atomically


class Checkpoint:
    """The checkpoint of one training: weights, state of AdamW, and number of steps.

    No state of a random number generator is saved: a training draws from its seed and the number of the step.

    Args:
        path: the file.
        weights: the trained weights by name.
        optimiser: an AdamW of these weights.
    """

    def __init__(self, path: Path, weights: Mapping[str, nn.Parameter], optimiser: torch.optim.AdamW) -> None:
        self._path = path
        self._weights = weights
        self._optimiser = optimiser

    def save(self, step: int) -> None:
        """Save the state after `step` steps, whole or not at all."""
        tensors: dict[str, Tensor] = {"step": torch.tensor(step)}
        for name, weight in self._weights.items():
            tensors[f"weight/{name}"] = weight.detach()
            # A weight that had no gradient yet has no state.
            tensors |= {f"{what}/{name}": value for what, value in self._optimiser.state.get(weight, {}).items()}
        make_folder(self._path.parent)
        write_atomically(self._path, save({name: tensor.contiguous().cpu() for name, tensor in tensors.items()}))

    def restore(self) -> int:
        """Load the saved state and return its number of steps; 0 if nothing is saved.

        Raises:
            UserError: the file is damaged, or of another training.
        """
        if not self._path.is_file():
            return 0
        try:
            tensors = load(self._path.read_bytes())
            step = int(tensors.pop("step"))
            with torch.no_grad():
                for key, tensor in tensors.items():
                    what, _, name = key.partition("/")
                    weight = self._weights[name]
                    if what == "weight":
                        weight.copy_(tensor)
                    else:
                        # AdamW counts steps on the CPU.
                        place = tensor.device if what == "step" else weight.device
                        self._optimiser.state[weight][what] = tensor.to(place)
        except (SafetensorError, KeyError, RuntimeError) as error:
            raise UserError(
                "damaged checkpoint", where=str(self._path), cure="delete it; training starts anew"
            ) from error
        return step
