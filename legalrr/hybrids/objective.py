"""The two training objectives of priming, and the packed windows of text that they train on.

(a) Alignment: each new layer learns the output of the attention layer that it replaces. All layers learn from one
forward pass of the teacher: each gets the input of its attention layer, so none depends on another, and the teacher
runs only up to the last of them.

(b) Distillation: the whole hybrid learns the teacher's next-token probabilities.

Judgments are packed into windows of equal length; a judgment does not see the others in its window.
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
    from torch import Tensor
    from transformers import PreTrainedModel

    from legalrr.backbones.local.gka_model import GkaAttention

Tokenise = Callable[[str], list[int]]
Window = tuple[list[int], list[int]]
"""Token ids, and the position of each in its judgment or, after a cut, in the rest of it."""
RIDGE = 1e-4
"""Ridge of the fit of output projections, relative to the mean square of their inputs."""


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Windows of one training step."""

    ids: Tensor
    """Token ids, int64 [B, N]."""
    positions: Tensor
    """Their positions, int64 [B, N]. A new sequence begins where they do not increase by one: attention is masked, and
    recurrent states are reset, accordingly."""


def pack_windows(documents: Iterator[list[int]], length: int) -> Iterator[Window]:
    """Pack the tokens of consecutive documents into windows of `length`; an incomplete last window is dropped.

    A document that a window cuts continues in the next one, with positions from 0.
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
    """Yield the tokens of the judgments epoch after epoch, shuffled anew by seed and epoch."""
    for epoch in count():
        order = list(judgments)
        random.Random(f"{seed} {epoch}").shuffle(order)
        yield from map(tokenise, (judgment.text for judgment in order))


def batches(
    judgments: Sequence[Judgment], tokenise: Tokenise, *, length: int, size: int, seed: int, after: int = 0
) -> Iterator[Batch]:
    """Yield batches without end, the same ones for the same arguments.

    Args:
        judgments: judgments to train on, with at least one token altogether.
        tokenise: text -> token ids.
        length: tokens per window.
        size: windows per batch.
        seed: seed of the order.
        after: number of batches to skip.
    """
    stream = islice(pack_windows(repeat_shuffled(judgments, tokenise, seed), length), after * size, None)
    while True:
        yield stack_windows(list(islice(stream, size)))


def stack_windows(rows: Sequence[Window]) -> Batch:
    """Stack windows of one length into a batch."""
    ids, positions = (torch.tensor(part) for part in zip(*rows, strict=True))
    return Batch(ids=ids, positions=positions)


@dataclass(frozen=True, kw_only=True)
class ParameterGroup:
    """Trained weights with one learning rate."""

    weights: Mapping[str, nn.Parameter]
    """Name -> weight; names are unique within an objective."""
    rate: float
    """Peak learning rate."""


class Objective(Protocol):
    """Training objective of one stage of priming."""

    @property
    def name(self) -> str:
        """Name of the stage: align or distil."""

    @property
    def groups(self) -> Sequence[ParameterGroup]:
        """Trained weights; all others are frozen."""

    @property
    def clip_groups(self) -> Sequence[Sequence[nn.Parameter]]:
        """Groups of weights whose gradients are clipped to one norm each."""

    def backward(self, batch: Batch) -> dict[str, float]:
        """Accumulate the gradients of the loss on a batch; return the losses to log, `loss` among them."""


def named_weights(layers: Mapping[int, nn.Module]) -> dict[str, nn.Parameter]:
    """Name the weights of new layers, given by index in the model."""
    return {f"layers.{i}.{name}": p for i, layer in layers.items() for name, p in layer.named_parameters()}


@dataclass(frozen=True, kw_only=True)
class AlignmentObjective:
    """Objective of stage (a), alignment."""

    teacher: PreTrainedModel
    """The model before its layers are replaced; it is not changed."""
    layers: Mapping[int, GkaAttention]
    """New layers by index in the model."""
    rate: float
    """Peak learning rate."""
    accelerator: Accelerator
    """Device and precision."""

    name = "align"

    @cached_property
    def groups(self) -> Sequence[ParameterGroup]:
        """All weights of the new layers, in one group."""
        return (ParameterGroup(weights=named_weights(self.layers), rate=self.rate),)

    @property
    def clip_groups(self) -> Sequence[Sequence[nn.Parameter]]:
        """One group per layer."""
        return [list(layer.parameters()) for layer in self.layers.values()]

    def backward(self, batch: Batch) -> dict[str, float]:
        """Accumulate the gradients of each layer's unexplained variance; `loss` is their mean."""
        losses = {}
        for index, (inputs, target) in self._attention_io(batch).items():
            with self.accelerator.autocast():
                output, _ = self.layers[index](inputs, position_ids=batch.positions)
            loss = unexplained_variance(output, target)
            self.accelerator.backward(loss)
            losses[f"layer_{index}"] = loss.item()
        return {"loss": sum(losses.values()) / len(losses), **losses}

    def fit(self, batches: Iterable[Batch]) -> None:
        """Fit the output projections to the attention's output on some batches in closed form.

        Ridge regression over the tokens of all batches; sums and solution in float64. Gradient descent would take
        hundreds of steps to this point, since the inputs of the projections differ in scale from the attention's.
        """
        sums: dict[int, tuple[Tensor, Tensor]] = {}
        for batch in batches:
            for index, (inputs, target) in self._attention_io(batch).items():
                layer = self.layers[index]
                with torch.no_grad(), self.accelerator.autocast(), capture_inputs(layer.o_proj) as projected:
                    layer(inputs, position_ids=batch.positions)
                z, y = (rows.flatten(0, 1).double() for rows in (projected[0], target))
                before = sums.get(index, (0.0, 0.0))
                sums[index] = (before[0] + z.T @ z, before[1] + z.T @ y)
        for index, (zz, zy) in sums.items():
            zz.diagonal().add_(RIDGE * zz.diagonal().mean())
            weight = self.layers[index].o_proj.weight
            with torch.no_grad():
                weight.copy_(torch.linalg.solve(zz, zy).T)

    def _attention_io(self, batch: Batch) -> dict[int, tuple[Tensor, Tensor]]:
        """Compute input and output of each attention layer, [B, N, hidden] each."""
        with torch.no_grad(), self.accelerator.autocast(), capture_attention(self.teacher, self.layers) as seen:
            hidden_states(self.teacher, batch.ids, batch.positions)
        return seen


def unexplained_variance(output: Tensor, target: Tensor) -> Tensor:
    """Divide the mean squared error by the variance of the target; 1 for its mean.

    Args:
        output: [B, N, hidden].
        target: the same shape.
    """
    target = target.float()
    spread = target - target.mean(dim=(0, 1))
    return (output.float() - target).square().mean() / spread.square().mean().clamp(min=torch.finfo(torch.float32).tiny)


@contextmanager
def capture_attention(teacher: PreTrainedModel, indices: Iterable[int]) -> Iterator[dict[int, tuple[Tensor, Tensor]]]:
    """Record input and output of attention layers by index; within the block, the teacher ends at the last of them."""
    decoder = teacher.get_decoder()
    layers, indices = decoder.layers, sorted(indices)
    seen: dict[int, tuple[Tensor, Tensor]] = {}

    def hook(index: int) -> torch.utils.hooks.RemovableHandle:
        def record(_: nn.Module, args: tuple, kwargs: dict, output: tuple) -> None:
            seen[index] = (kwargs["hidden_states"], output[0])

        return layers[index].self_attn.register_forward_hook(record, with_kwargs=True)

    handles = [hook(index) for index in indices]
    decoder.layers = layers[: indices[-1] + 1]
    try:
        yield seen
    finally:
        decoder.layers = layers
        for handle in handles:
            handle.remove()


@contextmanager
def capture_inputs(module: nn.Module) -> Iterator[list[Tensor]]:
    """Record the inputs of a module within the block."""
    inputs: list[Tensor] = []
    handle = module.register_forward_pre_hook(lambda _, args: inputs.append(args[0]))
    try:
        yield inputs
    finally:
        handle.remove()


@dataclass(frozen=True, kw_only=True)
class DistillationObjective:
    """Objective of stage (b), distillation."""

    teacher: PreTrainedModel
    """The model before its layers were replaced; it is not changed."""
    student: PreTrainedModel
    """The hybrid."""
    layers: Mapping[int, GkaAttention]
    """Its new layers by index."""
    rate: float
    """Peak learning rate of the new layers."""
    rest_rate: float | None
    """Peak learning rate of all other weights; None: frozen."""
    slice: int
    """Tokens whose logits are in memory at once."""
    accelerator: Accelerator
    """Device and precision."""

    name = "distil"

    @cached_property
    def groups(self) -> Sequence[ParameterGroup]:
        """The new layers and, if they are trained, all other weights."""
        new = named_weights(self.layers)
        groups = [ParameterGroup(weights=new, rate=self.rate)]
        if self.rest_rate is not None:
            known = {id(weight) for weight in new.values()}
            rest = {name: p for name, p in self.student.named_parameters() if id(p) not in known}
            groups.append(ParameterGroup(weights=rest, rate=self.rest_rate))
        return groups

    @property
    def clip_groups(self) -> Sequence[Sequence[nn.Parameter]]:
        """All trained weights, in one group."""
        return [[p for group in self.groups for p in group.weights.values()]]

    def backward(self, batch: Batch) -> dict[str, float]:
        """Accumulate the gradients of the mean divergence per token, which is `loss`, in nats."""
        with torch.no_grad(), self.accelerator.autocast():
            teacher_states = hidden_states(self.teacher, batch.ids, batch.positions)
        with self.accelerator.autocast():
            hidden = hidden_states(self.student, batch.ids, batch.positions)
        # The head runs slice by slice; its detached input accumulates the gradients of all slices.
        head_input = hidden.detach().requires_grad_()
        heads = self.student.get_output_embeddings(), self.teacher.get_output_embeddings()
        total = 0.0
        for own, target in zip(
            head_input.flatten(0, 1).split(self.slice), teacher_states.flatten(0, 1).split(self.slice), strict=True
        ):
            with self.accelerator.autocast():
                loss = divergence(heads[0](own), heads[1](target).detach()) / batch.ids.numel()
            self.accelerator.backward(loss)
            total += loss.item()
        hidden.backward(head_input.grad)
        return {"loss": total}


def divergence(student: Tensor, teacher: Tensor) -> Tensor:
    """Compute the KL divergence of the student's distributions from the teacher's in nats, summed over tokens.

    Args:
        student: logits [tokens, vocabulary].
        teacher: logits of the same shape.
    """
    own, target = (logits.float().log_softmax(-1) for logits in (student, teacher))
    return functional.kl_div(own, target, reduction="sum", log_target=True)
