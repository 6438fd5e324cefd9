"""Objectives of both stages: targets, gradients, frozen weights, and equality with reference implementations."""

import copy

import pytest
import torch
from torch.nn import functional

from legalrr.backbones.local.backbone import TransformersBackbone
from legalrr.backbones.local.gka_surgery import swap
from legalrr.backbones.local.measurements import hidden_states, perplexity
from legalrr.hybrids.context import PrimingContext
from legalrr.hybrids.objective import (
    AlignmentObjective,
    DistillationObjective,
    Objective,
    capture_attention,
    divergence,
    unexplained_variance,
)


@pytest.fixture
def student(context: PrimingContext, backbone: TransformersBackbone):
    """The teacher with new layers 1 and 3, all weights frozen."""
    model = copy.deepcopy(context.teacher)
    swap(model, [1, 3], backbone.gka)
    return model.requires_grad_(False)


@pytest.fixture
def layers(student):
    return {place: student.model.layers[place].self_attn for place in (1, 3)}


def unfreeze(objective: Objective) -> None:
    for group in objective.groups:
        for weight in group.weights.values():
            weight.requires_grad_(True)


def test_capture_attention_records_input_and_output_of_each_layer(context: PrimingContext) -> None:
    teacher, batch = context.teacher, next(context.stream(0))
    with torch.no_grad():
        states = teacher.model(input_ids=batch.ids, position_ids=batch.positions, output_hidden_states=True)
        with capture_attention(teacher, [2, 1]) as seen:
            hidden_states(teacher, batch.ids, batch.positions)
    assert sorted(seen) == [1, 2]
    given, made = seen[2]
    torch.testing.assert_close(given, teacher.model.layers[2].input_layernorm(states.hidden_states[2]))
    assert made.shape == given.shape


def test_the_teacher_runs_up_to_the_last_captured_layer_and_is_restored(context: PrimingContext) -> None:
    teacher, batch = context.teacher, next(context.stream(0))
    ran = []
    for place, layer in enumerate(teacher.model.layers):
        layer.register_forward_hook(lambda *_, place=place: ran.append(place))
    with capture_attention(teacher, [1]):
        hidden_states(teacher, batch.ids, batch.positions)
    assert ran == [0, 1]
    hidden_states(teacher, batch.ids, batch.positions)
    assert ran == [0, 1, 0, 1, 2, 3]
    assert not teacher.model.layers[1].self_attn._forward_hooks


def test_the_fit_is_the_least_squares_solution(context: PrimingContext, layers) -> None:
    objective = AlignmentObjective(teacher=context.teacher, layers=layers, rate=1e-3, accelerator=context.accelerator)
    seen: list[tuple[torch.Tensor, torch.Tensor]] = []
    some = [next(context.stream(number)) for number in range(4)]
    for batch in some:
        with torch.no_grad(), capture_attention(context.teacher, [3]) as taught:
            hidden_states(context.teacher, batch.ids, batch.positions)
            kept: list[torch.Tensor] = []
            handle = layers[3].o_proj.register_forward_pre_hook(lambda _, args, kept=kept: kept.append(args[0]))
            layers[3](taught[3][0], position_ids=batch.positions)
            handle.remove()
        seen.append((kept[0].flatten(0, 1).double(), taught[3][1].flatten(0, 1).double()))
    z, y = (torch.cat(parts) for parts in zip(*seen, strict=True))
    objective.fit(some)

    def error(weight: torch.Tensor) -> float:
        return (z @ weight.double().T - y).square().mean().item()

    best = torch.linalg.lstsq(z, y).solution.T
    assert error(best) <= error(layers[3].o_proj.weight) < 1.02 * error(best)


def test_unexplained_variance_is_1_for_the_mean_and_0_for_the_target() -> None:
    target = torch.randn(2, 7, 5)
    assert unexplained_variance(target, target).item() == 0
    assert unexplained_variance(target.mean(dim=(0, 1)).expand_as(target), target).item() == pytest.approx(1.0)
    assert torch.isfinite(unexplained_variance(torch.ones(1, 3, 2), torch.ones(1, 3, 2)))


def test_alignment_lowers_the_loss_of_each_layer_and_leaves_the_teacher(context: PrimingContext, layers) -> None:
    before = copy.deepcopy(context.teacher.state_dict())
    objective = AlignmentObjective(teacher=context.teacher, layers=layers, rate=1e-3, accelerator=context.accelerator)
    unfreeze(objective)
    batch = next(context.stream(0))
    optimiser = torch.optim.Adam([p for group in objective.clip_groups for p in group], lr=1e-2)
    losses = []
    for _ in range(6):
        optimiser.zero_grad()
        losses.append(objective.backward(batch))
        optimiser.step()
    for name in ("loss", "layer_1", "layer_3"):
        assert losses[-1][name] < losses[0][name]
    assert losses[0]["loss"] == pytest.approx((losses[0]["layer_1"] + losses[0]["layer_3"]) / 2)
    assert all(torch.equal(weight, before[name]) for name, weight in context.teacher.state_dict().items())


def divergence_reference(student, teacher, batch) -> torch.Tensor:
    """Compute the mean divergence per token from all logits at once."""
    own, target = (
        model(input_ids=batch.ids, position_ids=batch.positions).logits.log_softmax(-1) for model in (student, teacher)
    )
    return (target.exp() * (target - own)).sum(-1).mean()


@pytest.mark.parametrize("rest_rate", [None, 1e-4])
def test_slices_give_loss_and_gradients_of_all_logits_at_once(
    context: PrimingContext, student, layers, rest_rate: float | None
) -> None:
    objective = DistillationObjective(
        teacher=context.teacher,
        student=student,
        layers=layers,
        rate=1e-3,
        rest_rate=rest_rate,
        slice=7,
        accelerator=context.accelerator,
    )
    unfreeze(objective)
    batch = next(context.stream(0))
    loss = objective.backward(batch)["loss"]
    weights = {name: p for group in objective.groups for name, p in group.weights.items()}
    assert all(weight.grad is not None for weight in weights.values())
    sliced = {name: weight.grad.clone() for name, weight in weights.items()}
    for weight in weights.values():
        weight.grad = None
    whole = divergence_reference(student, context.teacher, batch)
    whole.backward()
    assert loss == pytest.approx(whole.item(), rel=1e-5)
    for name, weight in weights.items():
        # float32 sums of 48 tokens in another order.
        torch.testing.assert_close(sliced[name], weight.grad, rtol=1e-3, atol=1e-6)
    learned = {id(weight) for weight in weights.values()}
    assert [p.grad is None for p in student.parameters()] == [id(p) not in learned for p in student.parameters()]
    assert all(p.grad is None for p in context.teacher.parameters())
    assert (rest_rate is not None) == any(name.startswith("model.") for name in weights)


def test_divergence_is_0_between_equals_and_positive_otherwise() -> None:
    logits = torch.randn(5, 11)
    assert divergence(logits, logits + 3.0).item() == pytest.approx(0.0, abs=1e-5)
    assert divergence(logits, torch.randn(5, 11)).item() > 0


def test_perplexity_equals_that_of_all_logits_at_once(context: PrimingContext, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("legalrr.backbones.local.measurements.SLICE", 10)
    texts = [torch.randint(250, (n,)).tolist() for n in (40, 2, 23)]
    sums = count = 0.0
    with torch.no_grad():
        for ids in texts:
            logits = context.teacher(input_ids=torch.tensor([ids])).logits[0, :-1]
            sums += functional.cross_entropy(logits, torch.tensor(ids[1:]), reduction="sum").item()
            count += len(ids) - 1
    assert perplexity(context.teacher, texts) == pytest.approx(float(torch.tensor(sums / count).exp()), rel=1e-5)


@pytest.fixture(autouse=True)
def _seed() -> None:
    torch.manual_seed(0)
