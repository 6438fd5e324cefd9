"""Pack text into windows, and define the two training objectives: alignment and distillation.

Text as a model learns from it: judgments packed into windows of equal length that do not see each other.

What the two stages of priming have in common for the loop that runs them.

(a): each new layer learns the output of the attention layer in whose place it will be.

The layers learn next to each other from one reading of the teacher: each is given what its attention layer was given,
so none depends on another, and of the teacher only the layers up to the last of them run.

(b): the whole hybrid learns the probabilities that the teacher gives to the next token.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from itertools import count, islice
from typing import TYPE_CHECKING, Protocol

import torch
from torch import nn
from torch.nn import functional

from legalrr.backbones.local.measurements import hidden_states
from legalrr.records import Judgment

if TYPE_CHECKING:
    from accelerate import Accelerator
    from torch import Tensor, nn
    from transformers import PreTrainedModel

    from legalrr.backbones.local.gka_model import GkaAttention


Tokenise = Callable[[str], list[int]]
Window = tuple[list[int], list[int]]
"""Tokens, and the position of each in its judgment or, after a cut, in what is left of it."""
RIDGE = 1e-4
"""Of the fit of output projections, relative to the mean square of what is projected."""


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Windows that are read together."""

    ids: Tensor
    """Tokens, int64 [B, N]."""
    positions: Tensor
    """Their positions, int64 [B, N]; where they do not go on by one another sequence begins. Attention is masked and
    recurrent states begin anew by them."""


def pack_windows(documents: Iterator[list[int]], length: int) -> Iterator[Window]:
    """Pack tokens of documents, one after another, into windows of `length`; what fills none at the end is left out.

    A document that a window cuts goes on in the next one, where its positions begin anew.
    """
    ids: list[int] = []
    positions: list[int] = []
    for document in documents:
        start = 0
        while start < len(document):
            part = document[start : start + length - len(ids)]
            ids += part
            positions += range(len(part))
            start += len(part)
            if len(ids) == length:
                yield ids, positions
                ids, positions = [], []


def repeat_shuffled(judgments: Sequence[Judgment], tokenise: Tokenise, seed: int) -> Iterator[list[int]]:
    """The tokens of the judgments again and again, each time in another order drawn by the seed."""
    for epoch in count():
        order = list(judgments)
        random.Random(f"{seed} {epoch}").shuffle(order)
        yield from map(tokenise, (judgment.text for judgment in order))


def batches(
    judgments: Sequence[Judgment], tokenise: Tokenise, *, length: int, size: int, seed: int, after: int = 0
) -> Iterator[Batch]:
    """Batches without end, the same ones for the same arguments.

    Args:
        judgments: what to learn from, at least one token altogether.
        tokenise: text -> token ids.
        length: tokens of a window.
        size: windows of a batch.
        seed: of the order.
        after: how many batches to pass over, which were read before.
    """
    stream = islice(pack_windows(repeat_shuffled(judgments, tokenise, seed), length), after * size, None)
    while True:
        yield stack_windows(list(islice(stream, size)))


def stack_windows(rows: Sequence[Window]) -> Batch:
    """Windows of one length as a batch."""
    import torch

    ids, positions = (torch.tensor(part) for part in zip(*rows, strict=True))
    return Batch(ids=ids, positions=positions)


@dataclass(frozen=True, kw_only=True)
class ParameterGroup:
    """Weights that learn at one rate."""

    weights: Mapping[str, nn.Parameter]
    """By name, unique among the learners of a lesson."""
    rate: float
    """Learning rate at its peak."""


class Objective(Protocol):
    """One stage of priming."""

    @property
    def name(self) -> str:
        """align or distil."""

    @property
    def learners(self) -> Sequence[ParameterGroup]:
        """What learns; all other weights stay as they are."""

    @property
    def clipped(self) -> Sequence[Sequence[nn.Parameter]]:
        """Weights whose gradients are cut to one norm together."""

    def study(self, batch: Batch) -> dict[str, float]:
        """Add the gradients of the loss on a batch; returns the losses that are logged, `loss` among them."""


def named_weights(layers: Mapping[int, nn.Module]) -> dict[str, nn.Parameter]:
    """The weights of the new layers by name, from the layers by their place in the model."""
    return {f"layers.{i}.{name}": p for i, layer in layers.items() for name, p in layer.named_parameters()}


@dataclass(frozen=True, kw_only=True)
class AlignmentObjective:
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
    def learners(self) -> Sequence[ParameterGroup]:
        """All weights of the new layers."""
        return (ParameterGroup(weights=named_weights(self.layers), rate=self.rate),)

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
            loss = unexplained_variance(found, made)
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
                with torch.no_grad(), self.accelerator.autocast(), capture_inputs(layer.o_proj) as projected:
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
        with torch.no_grad(), self.accelerator.autocast(), capture_attention(self.teacher, self.layers) as seen:
            hidden_states(self.teacher, batch.ids, batch.positions)
        return seen


def unexplained_variance(found: Tensor, made: Tensor) -> Tensor:
    """Mean squared error over the variance of the target, [B, N, hidden] twice -> scalar; 1 for the target's mean."""
    made = made.float()
    spread = made - made.mean(dim=(0, 1))
    return (found.float() - made).square().mean() / spread.square().mean().clamp(min=torch.finfo(torch.float32).tiny)


@contextmanager
def capture_attention(teacher: PreTrainedModel, places: Iterable[int]) -> Iterator[dict[int, tuple[Tensor, Tensor]]]:
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
def capture_inputs(module: nn.Module) -> Iterator[list[Tensor]]:
    """While it lasts, what a module is given is put into the yielded list."""
    given: list[Tensor] = []
    handle = module.register_forward_pre_hook(lambda _, args: given.append(args[0]))
    try:
        yield given
    finally:
        handle.remove()


@dataclass(frozen=True, kw_only=True)
class DistillationObjective:
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
    def learners(self) -> Sequence[ParameterGroup]:
        """The new layers and, where they learn, all other weights."""
        new = named_weights(self.layers)
        learners = [ParameterGroup(weights=new, rate=self.rate)]
        if self.rest_rate is not None:
            known = {id(weight) for weight in new.values()}
            rest = {name: p for name, p in self.student.named_parameters() if id(p) not in known}
            learners.append(ParameterGroup(weights=rest, rate=self.rest_rate))
        return learners

    @property
    def clipped(self) -> Sequence[Sequence[nn.Parameter]]:
        """All that learns together."""
        return [[p for learner in self.learners for p in learner.weights.values()]]

    def study(self, batch: Batch) -> dict[str, float]:
        """Gradients of the mean divergence per token; `loss` is it, in nats."""
        with torch.no_grad(), self.accelerator.autocast():
            taught = hidden_states(self.teacher, batch.ids, batch.positions)
        with self.accelerator.autocast():
            hidden = hidden_states(self.student, batch.ids, batch.positions)
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
