r"""Ridge systems (H + lambda I) x = q with lambda = a ||H||_F, and two ways to solve them by products with H alone.

Divided by f = ||H||_F, the system of every token, head and layer is one with a spectrum in [a, 1 + a]:

    (H / f + a I) y = q,    x = y / f,

so the coefficients of the Chebyshev iteration are numbers known beforehand (1.3).
"""

from __future__ import annotations

from collections.abc import Callable
from math import sqrt
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor


def step(ridge_strength: float) -> float:
    """Step length of the iteration, times f: 2 / (1 + 2 a)."""
    return 2 / (1 + 2 * ridge_strength)


def rho(ridge_strength: float) -> float:
    """Spectral radius of the iteration matrix I - step A: 1 / (1 + 2 a)."""
    return 1 / (1 + 2 * ridge_strength)


def omegas(num_iter: int, ridge_strength: float) -> list[float]:
    """The weights omega_1 .. omega_r of the semi-iteration: omega_i = 1 / (1 - (rho/2)^2 omega_{i-1}), omega_0 = 2."""
    table = [2.0]
    for _ in range(num_iter):
        table.append(1 / (1 - (rho(ridge_strength) / 2) ** 2 * table[-1]))
    return table[1:]


def contraction(ridge_strength: float) -> float:
    """theta = (sqrt(kappa) - 1) / (sqrt(kappa) + 1) for the worst condition number, kappa = (1 + a) / a."""
    root = sqrt((1 + ridge_strength) / ridge_strength)
    return (root - 1) / (root + 1)


def chebyshev_bound(num_iter: int, ridge_strength: float) -> float:
    """Largest ||x_r - x|| / ||x|| after r Chebyshev steps: 2 theta^(r+1) / (1 + theta^(2r+2)), which is attained."""
    power = contraction(ridge_strength) ** (num_iter + 1)
    return 2 * power / (1 + power**2)


def cg_bound(num_iter: int, ridge_strength: float) -> float:
    """Largest ||x_r - x|| / ||x|| after r steps of conjugate gradients: sqrt(kappa) 2 theta^r / (1 + theta^2r).

    The method minimises the error in the norm of A (Golub and Van Loan, 11.3.3); sqrt(kappa) takes it to this one.
    """
    power = contraction(ridge_strength) ** num_iter
    return sqrt((1 + ridge_strength) / ridge_strength) * 2 * power / (1 + power**2)


def chebyshev(richardson: Callable[[Tensor], Tensor], first: Tensor, num_iter: int, ridge_strength: float) -> Tensor:
    """Chebyshev semi-iteration (Golub and Varga 1961): each Richardson step is weighed against the iterate before last.

    Args:
        richardson: x -> x + step (q - A x), a new tensor.
        first: x_0 = step q, the Richardson step from 0; overwritten.
        num_iter: r, steps.
        ridge_strength: a, which gives the weights.

    Returns:
        x_r, in the shape of `first`.
    """
    x, before = first, torch.zeros_like(first)
    for omega in omegas(num_iter, ridge_strength):
        # x_i = omega_i (x_{i-1} + step (q - A x_{i-1})) + (1 - omega_i) x_{i-2}, written over x_{i-2}
        x, before = before.lerp_(richardson(x), omega), x
    return x


def cg(product: Callable[[Tensor], Tensor], q: Tensor, num_iter: int) -> Tensor:
    """x of A x = q, A symmetric positive definite, by conjugate gradients (Hestenes and Stiefel 1952) from x = 0.

    Args:
        product: x -> A x.
        q: right-hand side, [..., D]; one system per row.
        num_iter: steps, products with A. A row that is solved stays where it is.

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
    """numerator / denominator, and 0 where the denominator is not positive."""
    positive = denominator > 0
    return torch.where(positive, numerator / torch.where(positive, denominator, 1), 0)
