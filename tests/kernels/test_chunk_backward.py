# ruff: noqa: N803, N806 - the names of the paper
"""The gradient of the chunk-wise implementation against the exact solve, with segments, padding and low precision.

Numbers in the names refer to the list of tests in kernels/gated_kalmanet/README.md.
"""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from gated_kalmanet.chunk import chunk_gated_kalmanet
from gated_kalmanet.naive import naive_gated_kalmanet
from gated_kalmanet.state import State

Make = Callable[..., tuple[Tensor, ...]]
Relative = Callable[[Tensor, Tensor], float]


def leaves_of(batch: tuple[Tensor, ...], start: State) -> list[Tensor]:
    """Return the inputs and initial states as leaves; H as its Cholesky factor, since it must stay symmetric."""
    factor = torch.linalg.cholesky(start.H + 1e-3 * torch.eye(start.H.shape[-1], dtype=start.H.dtype))
    return [tensor.clone().requires_grad_() for tensor in (*batch, factor, start.U)]


def run(form: Callable, leaves: list[Tensor], **kind: object) -> tuple[Tensor, Tensor, Tensor]:
    *batch, factor, U = leaves
    o, state = form(*batch, initial_state=State(H=factor @ factor.mT, U=U), **kind)
    return o, state.H, state.U


@pytest.mark.parametrize("decay_h", [True, False])
def test_10_the_gradient_passes_gradcheck(inputs: Make, states: Callable[..., State], decay_h: bool) -> None:
    leaves = leaves_of(inputs(B=1, T=24, Hq=2, Hk=1, D=8), states(1, 2, 8))
    assert torch.autograd.gradcheck(
        lambda *given: run(chunk_gated_kalmanet, list(given), num_iter=80, chunk_size=8, decay_h=decay_h),
        leaves,
        atol=1e-6,
        rtol=1e-5,
        fast_mode=True,
    )


@pytest.mark.parametrize("part", [{}, {"grad_ridge": False}, {"decay_h": False}, {"solver": "cg", "num_iter": 16}])
@pytest.mark.parametrize(("Hq", "Hk"), [(2, 1), (1, 2)])
def test_10_the_gradient_is_that_of_the_exact_solve(
    inputs: Make, states: Callable[..., State], relative: Relative, part: dict[str, object], Hq: int, Hk: int
) -> None:
    kind = {"num_iter": 80, **part}
    batch, start = inputs(B=2, T=24, Hq=Hq, Hk=Hk, D=8), states(2, 2, 8)
    found, expected = leaves_of(batch, start), leaves_of(batch, start)
    generator = torch.Generator().manual_seed(1)
    outputs = run(chunk_gated_kalmanet, found, chunk_size=8, **kind)
    back = [torch.randn(out.shape, dtype=out.dtype, generator=generator) for out in outputs]
    gradients = torch.autograd.grad(outputs, found, back)
    exact = run(naive_gated_kalmanet, expected, **{**kind, "solver": "exact"})
    names = ("q", "k", "v", "beta", "alpha", "g", "H", "U")
    for name, a, b in zip(names, gradients, torch.autograd.grad(exact, expected, back), strict=True):
        # Twice the bound of the solve, 2.4e-10, amplified by the conditioning of later tokens.
        assert relative(a, b) <= 1e-8, name


def test_10_without_a_solve_the_gradient_is_that_of_linear_attention(inputs: Make, relative: Relative) -> None:
    found, expected = ([tensor.requires_grad_() for tensor in inputs(T=30)] for _ in range(2))
    o, _ = chunk_gated_kalmanet(*found, num_iter=0, chunk_size=8)
    p, _ = naive_gated_kalmanet(*expected, num_iter=0)
    pairs = zip(torch.autograd.grad(o.sum(), found), torch.autograd.grad(p.sum(), expected), strict=True)
    for name, (a, b) in zip(("q", "k", "v", "beta", "alpha", "g"), pairs, strict=True):
        if name == "alpha":
            assert a.abs().max() == b.abs().max() == 0
        else:
            assert relative(a, b) <= 1e-12, name


@pytest.mark.parametrize(("dtype", "allowed"), [(torch.float32, 1e-3), (torch.bfloat16, 2e-2)])
def test_10_gradients_in_lower_precision_are_near(
    inputs: Make, relative: Relative, family: str, dtype: torch.dtype, allowed: float
) -> None:
    low = inputs(T=130, family=family, dtype=dtype)
    found = [tensor.requires_grad_() for tensor in low]
    expected = [tensor.detach().double().requires_grad_() for tensor in low]
    back = torch.randn(2, 130, 4, 8, generator=torch.Generator().manual_seed(2))
    gradients = torch.autograd.grad(chunk_gated_kalmanet(*found)[0], found, back.to(dtype))
    exact = torch.autograd.grad(chunk_gated_kalmanet(*expected)[0], expected, back.double())
    for name, a, b in zip(("q", "k", "v", "beta", "alpha", "g"), gradients, exact, strict=True):
        assert a.dtype == (torch.float32 if name == "g" else dtype)
        assert relative(a, b) <= allowed, name


def test_10_there_is_no_second_derivative_and_asking_for_it_says_so(inputs: Make) -> None:
    leaves = [tensor.requires_grad_() for tensor in inputs(T=4)]
    o, _ = chunk_gated_kalmanet(*leaves)
    with pytest.raises(RuntimeError, match="no second derivative"):
        torch.autograd.grad(o.sum(), leaves, create_graph=True)


def test_6_gradients_flow_from_one_piece_to_the_one_before(inputs: Make, relative: Relative) -> None:
    batch = [tensor.requires_grad_() for tensor in inputs(T=30)]
    whole = torch.autograd.grad(chunk_gated_kalmanet(*batch, chunk_size=8)[0].square().sum(), batch)
    first, state = chunk_gated_kalmanet(*(tensor[:, :11] for tensor in batch), chunk_size=8)
    second, _ = chunk_gated_kalmanet(*(tensor[:, 11:] for tensor in batch), chunk_size=8, initial_state=state)
    pieces = torch.autograd.grad(first.square().sum() + second.square().sum(), batch)
    for a, b in zip(pieces, whole, strict=True):
        # The truncated solves do not depend on the chunks; only rounding differs.
        assert relative(a, b) <= 1e-11


def test_7_padding_takes_no_part_in_the_gradient(inputs: Make) -> None:
    leaves = [tensor.requires_grad_() for tensor in inputs(B=1, T=20)]
    mask = torch.arange(20)[None] < 14
    o, state = chunk_gated_kalmanet(*leaves, mask=mask, chunk_size=8)
    for gradient in torch.autograd.grad(o.sum() + state.U.sum(), leaves):
        assert gradient[:, 14:].abs().max() == 0
        assert bool(gradient.isfinite().all())
