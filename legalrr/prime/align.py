"""(a): each new layer learns the output of the attention layer in whose place it will be.

The layers learn next to each other from one reading of the teacher: each is given what its attention layer was given,
so none depends on another, and of the teacher only the layers up to the last of them run.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import torch
from torch import nn

from legalrr.backbones.perplexity import read
from legalrr.prime.lesson import Learner, named

if TYPE_CHECKING:
    from accelerate import Accelerator
    from torch import Tensor
    from transformers import PreTrainedModel

    from legalrr.backbones.gka.attention import GkaAttention
    from legalrr.prime.windows import Batch

RIDGE = 1e-4
"""Of the fit of output projections, relative to the mean square of what is projected."""


@dataclass(frozen=True, kw_only=True)
class Align:
    """The lesson of stage (a)."""

    teacher: PreTrainedModel
    """The model before its layers are replaced; it stays as it is."""
    layers: Mapping[int, GkaAttention]
    """The new layers by their place in the model."""
    rate: float
    """Learning rate at its peak."""
    accelerator: Accelerator
    """Device and precision."""

    name = "align"

    @cached_property
    def learners(self) -> Sequence[Learner]:
        """All weights of the new layers."""
        return (Learner(weights=named(self.layers), rate=self.rate),)

    @property
    def clipped(self) -> Sequence[Sequence[nn.Parameter]]:
        """Each layer by itself."""
        return [list(layer.parameters()) for layer in self.layers.values()]

    def study(self, batch: Batch) -> dict[str, float]:
        """Gradients of the unexplained share of each layer's output; `loss` is their mean."""
        losses = {}
        for place, (given, made) in self._taught(batch).items():
            with self.accelerator.autocast():
                found, _ = self.layers[place](given, position_ids=batch.positions)
            loss = unexplained(found, made)
            self.accelerator.backward(loss)
            losses[f"layer_{place}"] = loss.item()
        return {"loss": sum(losses.values()) / len(losses), **losses}

    def fit(self, batches: Iterable[Batch]) -> None:
        """Set the output projections to those that explain most of the attention's output on some batches.

        Least squares over the tokens of all batches, with a ridge; sums and solution in float64. Gradients would take
        hundreds of steps to this point, since the size of what is projected is another one than the attention's.
        """
        sums: dict[int, tuple[Tensor, Tensor]] = {}
        for batch in batches:
            for place, (given, made) in self._taught(batch).items():
                layer = self.layers[place]
                with torch.no_grad(), self.accelerator.autocast(), inputs_of(layer.o_proj) as projected:
                    layer(given, position_ids=batch.positions)
                z, y = (rows.flatten(0, 1).double() for rows in (projected[0], made))
                before = sums.get(place, (0.0, 0.0))
                sums[place] = (before[0] + z.T @ z, before[1] + z.T @ y)
        for place, (zz, zy) in sums.items():
            zz.diagonal().add_(RIDGE * zz.diagonal().mean())
            weight = self.layers[place].o_proj.weight
            with torch.no_grad():
                weight.copy_(torch.linalg.solve(zz, zy).T)

    def _taught(self, batch: Batch) -> dict[int, tuple[Tensor, Tensor]]:
        """What the attention layers are given, and what they make of it, [B, N, hidden] each."""
        with torch.no_grad(), self.accelerator.autocast(), watched(self.teacher, self.layers) as seen:
            read(self.teacher, batch.ids, batch.positions)
        return seen


def unexplained(found: Tensor, made: Tensor) -> Tensor:
    """Mean squared error over the variance of the target, [B, N, hidden] twice -> scalar; 1 for the target's mean."""
    made = made.float()
    spread = made - made.mean(dim=(0, 1))
    return (found.float() - made).square().mean() / spread.square().mean().clamp(min=torch.finfo(torch.float32).tiny)


@contextmanager
def watched(teacher: PreTrainedModel, places: Iterable[int]) -> Iterator[dict[int, tuple[Tensor, Tensor]]]:
    """While it lasts, the teacher has no layers above the last of `places`, and what their attention is given and
    makes is put into the yielded mapping."""
    decoder = teacher.get_decoder()
    layers, places = decoder.layers, sorted(places)
    seen: dict[int, tuple[Tensor, Tensor]] = {}

    def hook(place: int) -> torch.utils.hooks.RemovableHandle:
        def keep(_: nn.Module, args: tuple, told: dict, made: tuple) -> None:
            seen[place] = (told["hidden_states"], made[0])

        return layers[place].self_attn.register_forward_hook(keep, with_kwargs=True)

    handles = [hook(place) for place in places]
    decoder.layers = layers[: places[-1] + 1]
    try:
        yield seen
    finally:
        decoder.layers = layers
        for handle in handles:
            handle.remove()


@contextmanager
def inputs_of(module: nn.Module) -> Iterator[list[Tensor]]:
    """While it lasts, what a module is given is put into the yielded list."""
    given: list[Tensor] = []
    handle = module.register_forward_pre_hook(lambda _, args: given.append(args[0]))
    try:
        yield given
    finally:
        handle.remove()
