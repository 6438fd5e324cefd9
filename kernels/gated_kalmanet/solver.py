r"""Iterative solvers of ridge systems (H + lambda I) x = q with lambda = a ||H||_F, using only products with H.

Divided by f = ||H||_F, the system of every token, head and layer has a spectrum in [a, 1 + a]:

    (H / f + a I) y = q,    x = y / f,

so the coefficients of the Chebyshev iteration are constants (1.3).
"""

from __future__ import annotations

from collections.abc import Callable
from math import sqrt
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor


def step(ridge_strength: float) -> float:
    """Compute the step length of the iteration, times f: 2 / (1 + 2 a)."""
    return 2 / (1 + 2 * ridge_strength)


def rho(ridge_strength: float) -> float:
    """Compute the spectral radius of the iteration matrix I - step A: 1 / (1 + 2 a)."""
    return 1 / (1 + 2 * ridge_strength)


def omegas(num_iter: int, ridge_strength: float) -> list[float]:
    """Compute the weights omega_1 .. omega_r: omega_i = 1 / (1 - (rho/2)^2 omega_{i-1}), omega_0 = 2."""
    table = [2.0]
    for _ in range(num_iter):
        table.append(1 / (1 - (rho(ridge_strength) / 2) ** 2 * table[-1]))
    return table[1:]


def contraction(ridge_strength: float) -> float:
    """Compute theta = (sqrt(kappa) - 1) / (sqrt(kappa) + 1) for the largest condition number, kappa = (1 + a) / a."""
    root = sqrt((1 + ridge_strength) / ridge_strength)
    return (root - 1) / (root + 1)


def chebyshev_bound(num_iter: int, ridge_strength: float) -> float:
    """Bound ||x_r - x|| / ||x|| after r Chebyshev iterations by 2 theta^(r+1) / (1 + theta^(2r+2)), which is tight."""
    power = contraction(ridge_strength) ** (num_iter + 1)
    return 2 * power / (1 + power**2)


def cg_bound(num_iter: int, ridge_strength: float) -> float:
    """Bound ||x_r - x|| / ||x|| after r iterations of conjugate gradients by sqrt(kappa) 2 theta^r / (1 + theta^2r).

    The method minimises the error in the A-norm (Golub and Van Loan, 11.3.3); sqrt(kappa) converts it to this norm.
    """
    power = contraction(ridge_strength) ** num_iter
    return sqrt((1 + ridge_strength) / ridge_strength) * 2 * power / (1 + power**2)


def chebyshev(richardson: Callable[[Tensor], Tensor], first: Tensor, num_iter: int, ridge_strength: float) -> Tensor:
    """Solve A x = q by the Chebyshev semi-iteration (Golub and Varga 1961), a weighted Richardson iteration.

    Args:
        richardson: function x -> x + step (q - A x) that returns a new tensor.
        first: x_0 = step q, the Richardson step from 0; overwritten.
        num_iter: number of iterations r.
        ridge_strength: a, which determines the weights.

    Returns:
        x_r, in the shape of `first`.
    """
    x, before = first, torch.zeros_like(first)
    for omega in omegas(num_iter, ridge_strength):
        # x_i = omega_i (x_{i-1} + step (q - A x_{i-1})) + (1 - omega_i) x_{i-2}, in place of x_{i-2}
        x, before = before.lerp_(richardson(x), omega), x
    return x


def cg(product: Callable[[Tensor], Tensor], q: Tensor, num_iter: int) -> Tensor:
    """Solve A x = q, A symmetric positive definite, by conjugate gradients (Hestenes and Stiefel 1952) from x = 0.

    Args:
        product: function x -> A x.
        q: right-hand sides, [..., D]; one system per row.
        num_iter: number of iterations, each with one product. A row that has converged exactly does not change.

    Returns:
        x, [..., D].
    """
    x, residual, direction = torch.zeros_like(q), q, q
    square = (residual * residual).sum(-1, keepdim=True)
    for _ in range(num_iter):
        image = product(direction)
        length = ratio(square, (direction * image).sum(-1, keepdim=True))
        x = x + length * direction
        residual = residual - length * image
        last, square = square, (residual * residual).sum(-1, keepdim=True)
        direction = residual + ratio(square, last) * direction
    return x


def ratio(numerator: Tensor, denominator: Tensor) -> Tensor:
    """Compute numerator / denominator, or 0 where the denominator is not positive."""
    positive = denominator > 0
    return torch.where(positive, numerator / torch.where(positive, denominator, 1), 0)
