# ruff: noqa: N806 - the names of the paper
"""The ridge solvers: errors against the exact solution, and constants of the iterations.

Numbers in the names refer to the list of tests in kernels/gated_kalmanet/README.md.
"""

from collections.abc import Callable
from fractions import Fraction
from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from gated_kalmanet import naive, solver
from gated_kalmanet.naive import naive_gated_kalmanet

A = 0.02


def systems(inputs: Callable[..., tuple[Tensor, ...]], family: str) -> tuple[Tensor, Tensor]:
    """Create H and unit q of sequences of 1 to 24 tokens, [24, 4, 8, 8] and [24, 4, 8]."""
    batch = inputs(B=24, T=24, family=family, seed=3)
    mask = torch.ones(24, 24, dtype=torch.bool).tril()
    _, state = naive_gated_kalmanet(*batch, num_iter=0, mask=mask)
    return state.H, naive.normalise(batch[0][:, -1])


def error(x: Tensor, exact: Tensor) -> float:
    return float(((x - exact).norm(dim=-1) / exact.norm(dim=-1)).max())


@pytest.mark.parametrize("r", [0, 1, 5, 10, 20, 30, 40, 60])
def test_1_chebyshev_stays_within_its_bound(inputs: Callable[..., tuple[Tensor, ...]], family: str, r: int) -> None:
    H, q = systems(inputs, family)
    exact = naive.solve(H, q, solver="exact")
    # Add the rounding error: kappa = 51 times the unit roundoff of float64, times a few operations per iteration.
    assert error(naive.solve(H, q, r), exact) <= solver.chebyshev_bound(r, A) * (1 + 1e-6) + 1e-13


def test_1_at_80_steps_the_iteration_is_exact(inputs: Callable[..., tuple[Tensor, ...]], family: str) -> None:
    H, q = systems(inputs, family)
    assert error(naive.solve(H, q, 80), naive.solve(H, q, solver="exact")) <= 3e-10


@pytest.mark.parametrize("r", [0, 1, 5, 10, 20, 30])
def test_1_the_bound_is_attained(r: int) -> None:
    # With one key, the eigenvalues are the ends of the interval; a query orthogonal to the key has the lower one.
    H = torch.zeros(3, 3, dtype=torch.float64)
    H[0, 0] = 0.7
    q = torch.tensor([0.0, 0.6, 0.8], dtype=torch.float64)
    found = error(naive.solve(H, q, r), naive.solve(H, q, solver="exact"))
    assert found == pytest.approx(solver.chebyshev_bound(r, A), rel=1e-9)


def test_1_the_bound_has_the_published_values() -> None:
    published = {
        0: 0.962,
        1: 0.860,
        5: 0.356,
        10: 0.0898,
        15: 0.0220,
        20: 5.37e-3,
        25: 1.31e-3,
        30: 3.20e-4,
        40: 1.91e-5,
    }
    for r, value in published.items():
        assert solver.chebyshev_bound(r, A) == pytest.approx(value, rel=3e-3), r


def test_16_the_table_of_weights_is_the_recurrence() -> None:
    assert solver.rho(A) == pytest.approx(0.961538, abs=5e-7)
    assert solver.step(A) == pytest.approx(1.923077, abs=5e-7)
    table = solver.omegas(30, A)
    first = (1.859697387, 1.753920386, 1.681801471, 1.635938292, 1.608051134, 1.591554364, 1.581954002, 1.576420160)
    assert table[:8] == pytest.approx(first, abs=1e-9)
    assert table[29] == pytest.approx(1.569033185, abs=1e-9)
    assert solver.omegas(0, A) == []


def test_16_it_is_the_recurrence_without_rounding_to_1e_15() -> None:
    quarter, exact = (1 / (1 + 2 * Fraction(A)) / 2) ** 2, Fraction(2)
    for omega in solver.omegas(60, A):
        exact = 1 / (1 - quarter * exact)
        assert abs(Fraction(omega) - exact) <= 1e-15


@settings(deadline=None, max_examples=30)
@given(r=st.integers(1, 60), ridge=st.floats(1e-3, 1.0))
def test_16_a_step_takes_the_weight_before_it(r: int, ridge: float) -> None:
    table = [2.0, *solver.omegas(r, ridge)]
    # The same rho from the eigenvalue interval [mu, L] = [a, 1 + a] of H / f, as in the paper.
    rho = (1 + ridge - ridge) / (1 + ridge + ridge)
    for before, after in pairwise(table):
        assert after == pytest.approx(1 / (1 - (rho / 2) ** 2 * before), abs=1e-15, rel=1e-14)


@pytest.mark.parametrize("r", [1, 5, 30])
def test_the_iteration_scaled_by_the_norm_of_h_is_the_iteration(
    inputs: Callable[..., tuple[Tensor, ...]], r: int
) -> None:
    H, q = systems(inputs, "normal")
    unit = H / H.flatten(-2).norm(dim=-1)[..., None, None]
    step = solver.step(A)

    def richardson(y: Tensor) -> Tensor:
        return y + step * (q - (unit @ y[..., None])[..., 0] - A * y)

    y = solver.chebyshev(richardson, step * q, r, A)
    torch.testing.assert_close(y / H.flatten(-2).norm(dim=-1)[..., None], naive.solve(H, q, r), rtol=1e-12, atol=0)


@pytest.mark.parametrize("r", [1, 4, 8, 15])
def test_conjugate_gradients_stay_within_their_bound(
    inputs: Callable[..., tuple[Tensor, ...]], family: str, r: int
) -> None:
    H, q = systems(inputs, family)
    exact = naive.solve(H, q, solver="exact")
    assert error(naive.solve(H, q, r, solver="cg"), exact) <= solver.cg_bound(r, A)


@pytest.mark.parametrize("r", [1, 5, 10, 20])
def test_conjugate_gradients_are_never_behind_chebyshev(
    inputs: Callable[..., tuple[Tensor, ...]], family: str, r: int
) -> None:
    """x_r of Chebyshev lies in the space over which r + 1 iterations of CG minimise the error in the A-norm."""
    H, q = systems(inputs, family)
    exact = naive.solve(H, q, solver="exact")
    ridge = A * H.flatten(-2).norm(dim=-1)[..., None]

    def energy(x: Tensor) -> Tensor:
        d = x - exact
        return ((d * ((H @ d[..., None])[..., 0] + ridge * d)).sum(-1) / (exact * q).sum(-1)).sqrt()

    cg, chebyshev = (energy(naive.solve(H, q, n, solver=name)) for n, name in ((r + 1, "cg"), (r, "chebyshev")))
    assert bool((cg <= chebyshev * (1 + 1e-9) + 1e-12).all())


def test_conjugate_gradients_leave_a_solved_row_alone(inputs: Callable[..., tuple[Tensor, ...]]) -> None:
    H, q = systems(inputs, "equal keys")
    exact = naive.solve(H, q, solver="exact")
    # With two eigenvalues, two iterations converge, and forty must not diverge.
    assert error(naive.solve(H, q, 40, solver="cg"), exact) <= 1e-12
    assert naive.solve(H, torch.zeros_like(q), 5, solver="cg").abs().max() == 0


@settings(deadline=None, max_examples=30)
@given(st.integers(1, 12), st.integers(1, 12), st.floats(1e-6, 1e6), st.integers(0, 2**31 - 1))
def test_12_the_condition_number_never_exceeds_51(d: int, keys: int, size: float, seed: int) -> None:
    K = torch.randn(keys, d, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)) * size
    H = K.T @ K
    eigenvalues = torch.linalg.eigvalsh(H + A * H.norm() * torch.eye(d, dtype=torch.float64))
    assert float(eigenvalues[-1] / eigenvalues[0]) <= 51 * (1 + 1e-9)


def test_15_where_h_is_zero_so_is_x() -> None:
    H, q = torch.zeros(2, 4, 4), torch.ones(2, 4)
    H[1] = torch.eye(4)
    for name in ("chebyshev", "cg", "exact"):
        x = naive.solve(H, q, solver=name)
        assert x[0].tolist() == [0, 0, 0, 0], name
        assert x[1].min() > 0, name
