"""Backward pass of the Triton kernels over whole sequences against other gradients, in float64 and float32.

Numbers in the names refer to the list of tests in kernels/gated_kalmanet/README.md.
"""

from collections.abc import Callable
from functools import partial

import pytest
import torch
from torch import Tensor

from gated_kalmanet.chunk import chunk_gated_kalmanet
from gated_kalmanet.naive import naive_gated_kalmanet
from gated_kalmanet.state import State
from gated_kalmanet.triton import launch, triton_gated_kalmanet

DEVICE = "cpu" if launch.INTERPRETED else "cuda"
interpreted = pytest.mark.skipif(not launch.INTERPRETED, reason="float64 needs the interpreter")
NAMES = ("q", "k", "v", "beta", "alpha", "g", "H", "U")
Make = Callable[..., tuple[Tensor, ...]]
Relative = Callable[[Tensor, Tensor], float]
Operator = Callable[..., tuple[Tensor, State]]


def gradients(operator: Operator, tensors: tuple[Tensor, ...], state: State | None, **options: object) -> list[Tensor]:
    """Compute gradients of a weighted sum of outputs and final states for inputs and initial states (H symmetric)."""
    device = tensors[0].device
    given = (*tensors, *(() if state is None else (state.H, state.U)))
    leaves = [tensor.detach().clone().requires_grad_() for tensor in given]
    first = None if state is None else State(H=leaves[6], U=leaves[7])
    o, last = operator(*leaves[:6], initial_state=first, **options)
    generator = torch.Generator().manual_seed(5)
    by_o, by_h, by_u = (
        torch.randn(x.shape, generator=generator, dtype=torch.float64).to(device, x.dtype) for x in (o, last.H, last.U)
    )
    total = (o * by_o).sum() + (last.H * (by_h + by_h.mT)).sum() + (last.U * by_u).sum()
    found = [
        torch.zeros_like(leaf) if gradient is None else gradient
        for leaf, gradient in zip(leaves, torch.autograd.grad(total, leaves, allow_unused=True), strict=True)
    ]
    if state is not None:
        found[6] = (found[6] + found[6].mT) / 2
    return [gradient.cpu() for gradient in found]


def agree(found: list[Tensor], expected: list[Tensor], tolerance: float) -> None:
    for name, a, b in zip(NAMES, found, expected, strict=False):
        assert float((a - b).norm()) <= tolerance * float(b.norm()), name


@interpreted
@pytest.mark.parametrize(
    ("shape", "options"),
    [
        ({"Hq": 3, "D": 5}, {}),
        ({"Hk": 2}, {"decay_h": False}),
        ({}, {"grad_ridge": False}),
        ({"T": 22}, {"cu_seqlens": torch.tensor([0, 1, 1, 20, 22]), "scale": 1.0}),
        ({"B": 2}, {"mask": torch.tensor([[False, True, True] * 6, [True] * 17 + [False]])}),
    ],
)
def test_10_gradients_are_those_of_the_exact_solve(inputs: Make, states, shape: dict, options: dict) -> None:
    sizes = {"B": 1, "T": 18, "Hq": 1, "Hk": 1, "D": 4, **shape}
    tensors = inputs(**sizes)
    sequences = len(options["cu_seqlens"]) - 1 if "cu_seqlens" in options else sizes["B"]
    before = states(sequences, max(sizes["Hq"], sizes["Hk"]), sizes["D"])
    expected = gradients(naive_gated_kalmanet, tensors, before, solver="exact", **options)
    # In exact arithmetic conjugate gradients converge after D iterations.
    options = {"solver": "cg", "num_iter": 2 * sizes["D"], "chunk_size": 16, **options}
    agree(gradients(triton_gated_kalmanet, tensors, before, **options), expected, 1e-9)


@interpreted
@pytest.mark.parametrize(
    "options",
    [
        {"num_iter": 20},
        {"num_iter": 3},
        {"num_iter": 0},
        {"num_iter": 1, "decay_h": False},
        {"solver": "cg", "num_iter": 2},
    ],
)
def test_10_gradients_are_those_of_the_chunk_form_for_any_number_of_steps(inputs: Make, states, options: dict) -> None:
    tensors, before = inputs(B=1, T=20, Hq=1, Hk=1), states(1, 1, 8)
    expected = gradients(partial(chunk_gated_kalmanet, chunk_size=16), tensors, before, **options)
    agree(gradients(partial(triton_gated_kalmanet, chunk_size=16), tensors, before, **options), expected, 1e-10)


@interpreted
def test_10_gradcheck(inputs: Make) -> None:
    tensors = inputs(B=1, T=17, Hq=1, Hk=1, D=2)
    root, u = (torch.randn(1, 1, 2, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(n)) for n in (1, 2))

    def operator(*leaves: Tensor) -> Tensor:
        first = State(H=leaves[6] @ leaves[6].mT, U=leaves[7])
        o, last = triton_gated_kalmanet(*leaves[:6], solver="cg", num_iter=4, initial_state=first, chunk_size=16)
        return torch.cat([x.flatten() for x in (o, last.H, last.U)])

    leaves = tuple(tensor.requires_grad_() for tensor in (*tensors, root, u))
    # Fast mode (random directions), since calls in the interpreter are slow. Undefined gradients are tested separately
    # below.
    assert torch.autograd.gradcheck(operator, leaves, atol=1e-6, rtol=1e-5, fast_mode=True, check_undefined_grad=False)


@interpreted
def test_18_the_worked_example_has_the_published_gradients(golden) -> None:
    leaves = [tensor.clone().requires_grad_() for tensor in golden.inputs]
    o, _ = triton_gated_kalmanet(*leaves, solver="cg", num_iter=8)
    golden.check_gradients(torch.autograd.grad(o.sum(), leaves))


@interpreted
def test_10_gradients_without_gates(inputs: Make) -> None:
    q, k, v, beta, alpha, g = inputs(B=1, T=18, Hq=2, Hk=1)
    found = [x.clone().requires_grad_() for x in (q, k, v, beta)]
    explicit = [*(x.clone().requires_grad_() for x in (q, k, v, beta)), torch.ones_like(alpha), torch.zeros_like(g)]
    for leaves, more in ((found, (None, None)), (explicit, ())):
        triton_gated_kalmanet(*leaves, *more, num_iter=4)[0].square().sum().backward()
    agree([x.grad for x in found], [x.grad for x in explicit[:4]], 1e-13)


@interpreted
def test_10_the_gradient_of_one_result_alone(inputs: Make, states) -> None:
    tensors, before = inputs(B=1, T=18, Hq=1, Hk=1, D=4), states(1, 1, 4)
    for result in ("o", "H", "U"):
        found = []
        for operator in (naive_gated_kalmanet, partial(triton_gated_kalmanet, solver="cg", num_iter=8)):
            leaves = [x.clone().requires_grad_() for x in (*tensors, before.H, before.U)]
            options = {"solver": "exact"} if operator is naive_gated_kalmanet else {}
            o, last = operator(*leaves[:6], initial_state=State(H=leaves[6], U=leaves[7]), **options)
            total = {"o": o, "H": last.H + last.H.mT, "U": last.U}[result].square().sum()
            gradient = torch.autograd.grad(total, leaves, allow_unused=True)
            found.append([torch.zeros_like(x) if d is None else d for x, d in zip(leaves, gradient, strict=True)])
            found[-1][6] = (found[-1][6] + found[-1][6].mT) / 2
        agree(found[1], found[0], 1e-9)


def test_10_gradients_in_float32(inputs: Make, relative: Relative, family: str) -> None:
    tensors = inputs(B=1, T=40, Hq=1, Hk=1, D=16, dtype=torch.float32, family=family)
    high = tuple(tensor.double() for tensor in tensors)
    expected = gradients(partial(chunk_gated_kalmanet, num_iter=30), high, None)
    found = gradients(triton_gated_kalmanet, tuple(tensor.to(DEVICE) for tensor in tensors), None)
    for name, a, b in zip(NAMES, found, expected, strict=False):
        assert relative(a, b) <= 1e-3, name


def test_7_padding_has_no_gradient_and_gives_none(inputs: Make) -> None:
    tensors = inputs(B=1, T=20, Hq=2, Hk=1, dtype=torch.float32)
    mask = torch.ones(1, 20, dtype=torch.bool)
    mask[:, :3] = mask[:, 18:] = False
    padded = [x.masked_fill(~mask.view(1, 20, *(1,) * (x.ndim - 2)), torch.nan) for x in tensors[:5]]
    leaves = [x.to(DEVICE).requires_grad_() for x in (*padded, tensors[5])]
    o, _ = triton_gated_kalmanet(*leaves, mask=mask.to(DEVICE), num_iter=10)
    # Gradients of outputs at padding are ignored too.
    weight = torch.ones_like(o).masked_fill(~mask[..., None, None].to(DEVICE), torch.nan)
    found = [x.cpu() for x in torch.autograd.grad(o, leaves, weight)]
    alone = [x[:, 3:18].clone().to(DEVICE).requires_grad_() for x in tensors]
    o, _ = triton_gated_kalmanet(*alone, num_iter=10)
    expected = [x.cpu() for x in torch.autograd.grad(o, alone, torch.ones_like(o))]
    for a, b in zip(found, expected, strict=True):
        assert (a[~mask] == 0).all()
        torch.testing.assert_close(a[:, 3:18], b, rtol=1e-4, atol=1e-5)


def test_15_a_zero_key_has_a_finite_gradient(inputs: Make) -> None:
    q, k, *others = inputs(B=1, T=18, Hq=2, Hk=1, dtype=torch.float32)
    k[:, 0] = 0
    leaves = [x.to(DEVICE).requires_grad_() for x in (q, k, *others)]
    triton_gated_kalmanet(*leaves, num_iter=10)[0].sum().backward()
    assert all(x.grad.isfinite().all() for x in leaves)


@interpreted
def test_pieces_with_carried_states_have_the_gradient_of_the_whole(inputs: Make) -> None:
    tensors = inputs(B=1, T=24, Hq=1, Hk=1, D=4)

    def in_pieces(*leaves: Tensor, initial_state: None) -> tuple[Tensor, State]:
        outputs, state = [], initial_state
        for start, end in ((0, 1), (1, 18), (18, 24)):
            piece = (leaf[:, start:end] for leaf in leaves)
            o, state = triton_gated_kalmanet(*piece, solver="cg", num_iter=8, initial_state=state, chunk_size=16)
            outputs.append(o)
        return torch.cat(outputs, dim=1), state

    whole = gradients(partial(triton_gated_kalmanet, solver="cg", num_iter=8, chunk_size=16), tensors, None)
    agree(gradients(in_pieces, tensors, None), whole, 1e-9)


def test_a_second_derivative_is_refused(inputs: Make) -> None:
    leaves = [x.to(DEVICE).requires_grad_() for x in inputs(B=1, T=3, Hq=1, Hk=1, dtype=torch.float32)]
    o, _ = triton_gated_kalmanet(*leaves, num_iter=2)
    (dq,) = torch.autograd.grad(o.square().sum(), leaves[:1], create_graph=True)
    with pytest.raises(RuntimeError, match="once_differentiable"):
        dq.sum().backward()
