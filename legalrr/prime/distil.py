"""(b): the whole hybrid learns the probabilities that the teacher gives to the next token."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import torch
from torch import nn
from torch.nn import functional

from legalrr.backbones.perplexity import read
from legalrr.prime.lesson import Learner, named

if TYPE_CHECKING:
    from accelerate import Accelerator
    from torch import Tensor
    from transformers import PreTrainedModel

    from legalrr.backbones.gka.attention import GkaAttention
    from legalrr.prime.windows import Batch


@dataclass(frozen=True, kw_only=True)
class Distil:
    """The lesson of stage (b)."""

    teacher: PreTrainedModel
    """The model before its layers were replaced; it stays as it is."""
    student: PreTrainedModel
    """The hybrid."""
    layers: Mapping[int, GkaAttention]
    """Its new layers by their place."""
    rate: float
    """Learning rate of the new layers at its peak."""
    rest_rate: float | None
    """Learning rate of all other weights; None: they stay as they are."""
    slice: int
    """Tokens whose probabilities are held at once."""
    accelerator: Accelerator
    """Device and precision."""

    name = "distil"

    @cached_property
    def learners(self) -> Sequence[Learner]:
        """The new layers and, where they learn, all other weights."""
        new = named(self.layers)
        learners = [Learner(weights=new, rate=self.rate)]
        if self.rest_rate is not None:
            known = {id(weight) for weight in new.values()}
            rest = {name: p for name, p in self.student.named_parameters() if id(p) not in known}
            learners.append(Learner(weights=rest, rate=self.rest_rate))
        return learners

    @property
    def clipped(self) -> Sequence[Sequence[nn.Parameter]]:
        """All that learns together."""
        return [[p for learner in self.learners for p in learner.weights.values()]]

    def study(self, batch: Batch) -> dict[str, float]:
        """Gradients of the mean divergence per token; `loss` is it, in nats."""
        with torch.no_grad(), self.accelerator.autocast():
            taught = read(self.teacher, batch.ids, batch.positions)
        with self.accelerator.autocast():
            hidden = read(self.student, batch.ids, batch.positions)
        # The head is left and entered again slice by slice; its input collects the gradient of them all.
        entered = hidden.detach().requires_grad_()
        heads = self.student.get_output_embeddings(), self.teacher.get_output_embeddings()
        total = 0.0
        for own, target in zip(
            entered.flatten(0, 1).split(self.slice), taught.flatten(0, 1).split(self.slice), strict=True
        ):
            with self.accelerator.autocast():
                loss = divergence(heads[0](own), heads[1](target).detach()) / batch.ids.numel()
            self.accelerator.backward(loss)
            total += loss.item()
        hidden.backward(entered.grad)
        return {"loss": total}


def divergence(student: Tensor, teacher: Tensor) -> Tensor:
    """Kullback-Leibler divergence of the student's distributions from the teacher's in nats, summed over tokens.

    Args:
        student: logits [tokens, vocabulary].
        teacher: logits of the same shape.
    """
    own, target = (logits.float().log_softmax(-1) for logits in (student, teacher))
    return functional.kl_div(own, target, reduction="sum", log_target=True)
