# ruff: noqa: N803 - the names of the paper
"""Forward pass of the chunk-wise operator, from the states before each chunk and the tokens within it (3.1).

H_t is never formed. With H0 before the chunk, the decay e_t since its start and the decay M[t, i] from token i to
token t, all at most 1,

    H_t = e_t H0 + sum_{i <= t} M[t, i] w_i kn_i kn_i^T,    w_i = (beta_i + 1e-6)^2                              (8)

and U_t is the same with v_i instead of the second kn_i.

Shapes: m pairs of a chunk and a head of k and v, R expanded heads per head of k and v, C tokens per chunk, head
dimension D. k and v are not expanded: with beta in w, they are the same for all R heads (1.4).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from gated_kalmanet.solver import cg, chebyshev, ratio, step

if TYPE_CHECKING:
    from torch import Tensor

    from gated_kalmanet.checks import Settings


@dataclass(frozen=True, kw_only=True, eq=False)
class Decay:
    """Decays within chunks, from log decays."""

    start: Tensor
    """e_t = exp(g_1 + .. + g_t), the decay from the start of the chunk to token t, [m, R, C]."""
    end: Tensor
    """Decay from token t to the end of the chunk, [m, R, C]."""
    between: Tensor
    """M[t, i] = exp(g_{i+1} + .. + g_t) for i <= t, else 0, [m, R, C, C]."""

    @classmethod
    def of(cls, g: Tensor) -> Decay:
        """Compute the decays from log decays [m, R, C]."""
        size = g.shape[-1]
        square = torch.ones(size, size, dtype=torch.bool, device=g.device)
        # Sum separately for every i: differences of one cumulative sum would cancel.
        between = g[..., None].expand(*g.shape, size).masked_fill(square.triu(), 0).cumsum_(-2)
        between.masked_fill_(square.triu(1), -torch.inf).exp_()
        return cls(start=g.cumsum(-1).exp_(), end=between[..., -1, :], between=between)

    @property
    def whole(self) -> Tensor:
        """Decay over the whole chunk, [m, R, 1, 1]."""
        return self.start[..., -1, None, None]


@dataclass(frozen=True, kw_only=True, eq=False)
class Chunks:
    """Inputs of m chunks."""

    q: Tensor
    """Unit queries [m, R, C, D]."""
    k: Tensor
    """Unit keys [m, C, D]."""
    v: Tensor
    """Values [m, C, D]."""
    w: Tensor
    """Weights (beta + 1e-6)^2, [m, R, C]."""
    alpha: Tensor
    """Gates alpha, [m, R, C]."""
    of_h: Decay
    """Decays of H."""
    of_u: Decay
    """Decays of U; the same object as `of_h` if both states decay."""

    def states(self) -> tuple[Tensor, Tensor]:
        """Compute the increments of H and U over the chunks, [m, R, D, D] each."""
        keys = self.k[:, None]
        return (
            (keys * (self.w * self.of_h.end)[..., None]).mT @ keys,
            (keys * (self.w * self.of_u.end)[..., None]).mT @ self.v[:, None],
        )


def scores(x: Tensor, k: Tensor) -> Tensor:
    """Compute x_t . k_i of every pair in a chunk: [m, R, C, D], [m, C, D] -> [m, R, C, C]."""
    return (x.flatten(1, 2) @ k.mT).view(*x.shape[:3], -1)


def mix(weights: Tensor, k: Tensor) -> Tensor:
    """Compute sum_i weights[t, i] k_i: [m, R, C, C], [m, C, D] -> [m, R, C, D]."""
    return (weights.flatten(1, 2) @ k).view(*weights.shape[:3], -1)


def apply(state: Tensor, k: Tensor) -> Tensor:
    """Multiply the state by k_i for every token: [m, R, D, D], [m, C, D] -> [m, R, C, D]."""
    return (state.flatten(1, 2) @ k.mT).view(*state.shape[:3], -1).mT


class Ridge:
    """Ridge systems of all tokens of m chunks, (H_t + a ||H_t|| I) x_t = q_t.

    Args:
        chunks: inputs of the chunks.
        H0: H before the chunks, [m, R, D, D].
        settings: solver, number of iterations and ridge strength.
        f: ||H_t||, [m, R, C]; None: compute it.
    """

    def __init__(self, chunks: Chunks, H0: Tensor, settings: Settings, f: Tensor | None = None) -> None:
        self.settings, self.k, self.H0 = settings, chunks.k, H0
        weighted = chunks.of_h.between * chunks.w[..., None, :]
        self.f = norm(chunks.k, chunks.of_h.start, weighted, H0) if f is None else f
        # Where H_t is 0, U_t is 0 too, and any x_t gives the same output; use x_t = 0.
        self.inverse = ratio(torch.ones_like(self.f), self.f)[..., None]
        self.start = chunks.of_h.start[..., None] * self.inverse
        self.between = weighted.mul_(self.inverse)

    def product(self, y: Tensor) -> Tensor:
        """Compute (H_t / f_t) y_t of every token by (8): [m, R, C, D] -> [m, R, C, D]."""
        return self._add_within((y @ self.H0).mul_(self.start), y, 1)

    def richardson(self, y: Tensor, rhs: Tensor) -> Tensor:
        """Compute rhs_t + (1 - step a) y_t - step (H_t / f_t) y_t in few passes; `rhs` already contains step."""
        a, size = self.settings.ridge_strength, step(self.settings.ridge_strength)
        result = y @ self.H0
        torch.addcmul(rhs, result, self.start, value=-size, out=result)
        return self._add_within(result, y, -size).add_(y, alpha=1 - size * a)

    def _add_within(self, result: Tensor, y: Tensor, factor: float) -> Tensor:
        weights = scores(y, self.k).mul_(self.between)
        flat = result.view(len(result), -1, result.shape[-1])
        flat.baddbmm_(weights.flatten(1, 2), self.k, alpha=factor)
        return result

    def solve(self, rhs: Tensor) -> Tensor:
        """Solve for every right-hand side, [m, R, C, D] -> [m, R, C, D], in `num_iter` products; 0 returns `rhs`."""
        a, num_iter = self.settings.ridge_strength, self.settings.num_iter
        if not num_iter:
            return rhs.clone()
        # Divide the system by f_t, so that its spectrum lies in [a, 1 + a].
        if self.settings.solver == "chebyshev":
            rhs = step(a) * rhs
            scaled = chebyshev(lambda y: self.richardson(y, rhs), rhs.clone(), num_iter, a)
        else:
            scaled = cg(lambda y: self.product(y).add_(y, alpha=a), rhs, num_iter)
        return scaled.mul_(self.inverse)


def norm(k: Tensor, start: Tensor, weighted: Tensor, H0: Tensor) -> Tensor:
    """Compute f_t = ||H_t||_F of every token (3.1) as a sum of non-negative terms.

    f_t^2 = e_t^2 ||H0||^2 + 2 e_t sum_i Mw[t, i] kn_i^T H0 kn_i + sum_{i, j} Mw[t, i] Mw[t, j] (kn_i . kn_j)^2

    Args:
        k: unit keys [m, C, D].
        start: e_t, [m, R, C].
        weighted: Mw[t, i] = M[t, i] w_i, [m, R, C, C].
        H0: H before the chunks, [m, R, D, D].

    Returns:
        [m, R, C].
    """
    earlier = H0.square().sum((-2, -1))[..., None]
    cross = (apply(H0, k) * k[:, None]).sum(-1)
    within = mix(weighted, (k @ k.mT).square_()).mul_(weighted).sum(-1)
    return (start.square() * earlier + 2 * start * (weighted @ cross[..., None])[..., 0] + within).sqrt_()


def read(chunks: Chunks, qe: Tensor, U0: Tensor, scale: float) -> Tensor:
    """Compute o_t = s U_t^T qe_t (3.1): qe [m, R, C, D], U0 [m, R, D, D] -> [m, R, C, D]."""
    weights = scores(qe, chunks.k).mul_(chunks.of_u.between).mul_(chunks.w[..., None, :])
    return (qe @ U0).mul_(chunks.of_u.start[..., None]).add_(mix(weights, chunks.v)).mul_(scale)


def forward(chunks: Chunks, H0: Tensor, U0: Tensor, settings: Settings) -> tuple[Tensor, Tensor, Tensor]:
    """Compute the outputs, solutions and norms of m chunks.

    Args:
        chunks: inputs of the chunks.
        H0: H before the chunks, [m, R, D, D].
        U0: U before the chunks, [m, R, D, D].
        settings: options of the call.

    Returns:
        o and x, [m, R, C, D] each, and f, [m, R, C].
    """
    ridge = Ridge(chunks, H0, settings)
    x = ridge.solve(chunks.q)
    qe = torch.lerp(chunks.q, x, chunks.alpha[..., None])
    return read(chunks, qe, U0, settings.scale), x, ridge.f
