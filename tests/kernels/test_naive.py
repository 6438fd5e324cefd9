# ruff: noqa: N806 - the names of the paper
"""The reference implementation against independent numbers and formulas.

Numbers in the names refer to the list of tests in kernels/gated_kalmanet/README.md.
"""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from gated_kalmanet import naive
from gated_kalmanet.naive import naive_gated_kalmanet
from gated_kalmanet.state import State

Make = Callable[..., tuple[Tensor, ...]]
A, EPS = 0.02, 1e-6


@pytest.mark.parametrize("r", [30, 5, None])
def test_18_the_worked_example_has_the_published_outputs(golden, r: int | None) -> None:
    o, state = naive_gated_kalmanet(*golden.inputs, num_iter=r or 1, solver="chebyshev" if r else "exact")
    known = ~golden.outputs[r].isnan()
    torch.testing.assert_close(o[0, :, 0][known], golden.outputs[r][known], rtol=0, atol=5.1e-9)
    torch.testing.assert_close(state.H[0, 0], golden.H, rtol=0, atol=5.1e-9)
    qn = naive.normalise(golden.inputs[0])[0, 3, 0]
    x = naive.solve(state.H[0, 0], qn, r or 1, solver="chebyshev" if r else "exact")
    torch.testing.assert_close(x, golden.solutions[r], rtol=0, atol=5.1e-9)


def test_18_the_first_token_has_the_published_solution(golden) -> None:
    q, *others = (tensor[:, :1] for tensor in golden.inputs)
    _, state = naive_gated_kalmanet(q, *others)
    x = naive.solve(state.H[0, 0], naive.normalise(q)[0, 0, 0])
    torch.testing.assert_close(x, golden.first_solution, rtol=0, atol=5.1e-9)


def test_18_the_worked_example_has_the_published_norms_of_h(golden) -> None:
    for t in range(4):
        _, state = naive_gated_kalmanet(*(tensor[:, : t + 1] for tensor in golden.inputs), num_iter=0)
        assert float(state.H.norm()) == pytest.approx(float(golden.f[t]), abs=5.1e-10)


def test_18_the_worked_example_has_the_published_gradients(golden) -> None:
    leaves = [tensor.clone().requires_grad_() for tensor in golden.inputs]
    o, _ = naive_gated_kalmanet(*leaves, solver="exact")
    golden.check_gradients(torch.autograd.grad(o.sum(), leaves))


@pytest.mark.parametrize("beta", [1e-4, 0.5, 1.0])
def test_13_one_token_reads_its_value_back_by_the_cosine(inputs: Make, beta: float) -> None:
    q, k, v, _, _, _ = inputs(B=3, T=1, Hq=1, Hk=1)
    qn, kn = naive.normalise(q), naive.normalise(k)
    gates = torch.full((3, 1, 1), beta, dtype=torch.float64)
    # o = s (qn . kn) / (1 + a) v, apart from the 1e-6 added to the norm of k: kn^2 is kn . kn, also in f.
    expected = 8**-0.5 * (qn * kn).sum(-1, keepdim=True) / ((1 + A) * kn.square().sum(-1, keepdim=True)) * v
    exact, _ = naive_gated_kalmanet(q, k, v, gates, None, None, solver="exact")
    torch.testing.assert_close(exact, expected, rtol=0, atol=1e-14)
    o, _ = naive_gated_kalmanet(q, k, v, gates, None, None)
    torch.testing.assert_close(o, expected, rtol=3.3e-4, atol=0)


def test_13_equal_keys_have_a_closed_form(inputs: Make) -> None:
    q, k, v, beta, _, g = inputs(B=1, T=9, Hq=1, Hk=1, family="equal keys")
    _, state = naive_gated_kalmanet(q, k, v, beta, None, g)
    f = state.H.norm()
    kn, qn = k[0, -1, 0] / k[0, -1, 0].norm(), naive.normalise(q)[0, -1, 0]
    expected = qn / (A * f) - kn * (kn @ qn) * (1 / (A * f) - 1 / ((1 + A) * f))
    torch.testing.assert_close(naive.solve(state.H[0, 0], qn, solver="exact"), expected, rtol=1e-12, atol=0)


def test_13_with_alpha_1_a_common_factor_of_keys_and_values_cancels(inputs: Make) -> None:
    q, k, v, beta, _, g = inputs(dtype=torch.float32)
    scaled = 0.3 * (beta + EPS) - EPS
    o, _ = naive_gated_kalmanet(q, k, v, beta, None, g)
    again, _ = naive_gated_kalmanet(q, k, v, scaled, None, g)
    torch.testing.assert_close(again, o, rtol=1e-5, atol=1e-5 * float(o.abs().max()))


def test_15_alpha_0_and_num_iter_0_are_gated_linear_attention(inputs: Make) -> None:
    q, k, v, beta, alpha, g = inputs(B=1, T=12, Hq=1, Hk=1)
    qn, kn = naive.normalise(q)[0, :, 0], naive.normalise(k)[0, :, 0]
    gamma, w = g[0, :, 0].cumsum(0), (beta[0, :, 0] + EPS) ** 2
    weights = ((gamma[:, None] - gamma).exp() * w * (qn @ kn.T)).tril()
    expected = 8**-0.5 * weights @ v[0, :, 0]
    for kind in ({"alpha": torch.zeros_like(alpha)}, {"alpha": alpha, "num_iter": 0}):
        o, _ = naive_gated_kalmanet(q, k, v, beta, g=g, **kind)
        torch.testing.assert_close(o[0, :, 0], expected, rtol=1e-12, atol=1e-14)


def test_15_no_tokens_leave_the_state_as_it_was(inputs: Make) -> None:
    R = torch.randn(2, 4, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    o, state = naive_gated_kalmanet(*inputs(T=0), initial_state=State(H=R @ R.mT, U=R))
    assert o.shape == (2, 0, 4, 8)
    assert torch.equal(state.H, R @ R.mT)
    assert torch.equal(state.U, R)


def test_15_a_zero_key_before_any_other_gives_zero(inputs: Make) -> None:
    q, k, v, beta, alpha, g = inputs()
    k[:, 0] = 0
    for name in ("chebyshev", "cg", "exact"):
        o, _ = naive_gated_kalmanet(q, k, v, beta, alpha, g, solver=name)
        assert o[:, 0].abs().max() == 0, name
        assert bool(o.isfinite().all()), name


def test_the_ridge_can_be_left_out_of_the_gradient(inputs: Make) -> None:
    batch = [tensor.requires_grad_() for tensor in inputs(B=1, T=6)]
    found = {}
    for grad_ridge in (True, False):
        o, _ = naive_gated_kalmanet(*batch, solver="exact", grad_ridge=grad_ridge)
        found[grad_ridge] = torch.autograd.grad(o.sum(), batch[1])[0]
    # By hand: lambda is a constant.
    H = torch.eye(3, dtype=torch.float64).requires_grad_()
    x = torch.linalg.solve(H + A * float(H.detach().norm()) * torch.eye(3), torch.ones(3, dtype=torch.float64))
    by_hand = torch.autograd.grad(x.sum(), H)[0]
    x = naive.solve(H, torch.ones(3, dtype=torch.float64), solver="exact", grad_ridge=False)
    torch.testing.assert_close(torch.autograd.grad(x.sum(), H)[0], by_hand)
    assert not torch.allclose(found[True], found[False], rtol=1e-3)


def test_forgetting_in_h_can_be_switched_off(inputs: Make) -> None:
    q, k, v, beta, alpha, g = inputs(B=1)
    _, forgets = naive_gated_kalmanet(q, k, v, beta, alpha, g)
    _, keeps = naive_gated_kalmanet(q, k, v, beta, alpha, g, decay_h=False)
    _, never = naive_gated_kalmanet(q, k, v, beta, alpha, None)
    assert torch.equal(keeps.H, never.H)
    assert torch.equal(keeps.U, forgets.U)
    assert not torch.equal(keeps.H, forgets.H)
