"""What the two stages of priming have in common for the loop that runs them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from torch import nn

    from legalrr.prime.windows import Batch


@dataclass(frozen=True, kw_only=True)
class Learner:
    """Weights that learn at one rate."""

    weights: Mapping[str, nn.Parameter]
    """By name, unique among the learners of a lesson."""
    rate: float
    """Learning rate at its peak."""


class Lesson(Protocol):
    """One stage of priming."""

    @property
    def name(self) -> str:
        """align or distil."""

    @property
    def learners(self) -> Sequence[Learner]:
        """What learns; all other weights stay as they are."""

    @property
    def clipped(self) -> Sequence[Sequence[nn.Parameter]]:
        """Weights whose gradients are cut to one norm together."""

    def study(self, batch: Batch) -> dict[str, float]:
        """Add the gradients of the loss on a batch; returns the losses that are logged, `loss` among them."""


def named(layers: Mapping[int, nn.Module]) -> dict[str, nn.Parameter]:
    """The weights of the new layers by name, from the layers by their place in the model."""
    return {f"layers.{i}.{name}": p for i, layer in layers.items() for name, p in layer.named_parameters()}
