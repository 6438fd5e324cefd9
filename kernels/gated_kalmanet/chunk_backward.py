# ruff: noqa: N803 - the names of the paper
"""Backward pass of the chunk-wise operator by implicit differentiation (3.3).

The iterations of the solver are not differentiated. With A_t = H_t + a ||H_t|| I and the gradient dx_t of x_t,

    z_t = A_t^{-1} dx_t,    dqn_t += z_t,    G_t = -(z_t x_t^T + x_t z_t^T) / 2 + c_t H_t,   c_t = -a (z_t . x_t) / f_t

where G_t is the contribution of token t to the gradient of H_t (symmetric like H_t) and c_t comes from lambda. Summed
over all later tokens with their decays,

    Gacc_i = sum_{t >= i} M[t, i] G_t,    dw_i = kn_i . Gacc_i kn_i,    dkn_i = 2 w_i Gacc_i kn_i

and the same for U with sum_{t >= i} M[t, i] s qe_t do_t^T. Shapes are those of `gated_kalmanet.chunk_forward`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from gated_kalmanet.chunk_forward import Chunks, Ridge, apply, mix, scores
from gated_kalmanet.solver import ratio

if TYPE_CHECKING:
    from torch import Tensor

    from gated_kalmanet.checks import Settings


class Backward:
    """Backward pass of m chunks in two phases: gradients of the states first, since they flow from chunk to chunk.

    Args:
        chunks: inputs of the chunks.
        H0: H before the chunks, [m, R, D, D].
        U0: U before the chunks, [m, R, D, D].
        x: solutions of the forward pass, [m, R, C, D].
        f: norms of the forward pass, [m, R, C].
        do: gradient of the outputs, [m, R, C, D].
        settings: options of the call.
    """

    def __init__(
        self, chunks: Chunks, H0: Tensor, U0: Tensor, *, x: Tensor, f: Tensor, do: Tensor, settings: Settings
    ) -> None:
        self.chunks, self.H0, self.U0, self.x, self.do, self.scale = chunks, H0, U0, x, do, settings.scale
        self.ridge, self.decay_h = Ridge(chunks, H0, settings, f), settings.decay_h
        q, of_u = chunks.q, chunks.of_u
        self.qe = torch.lerp(q, x, chunks.alpha[..., None])
        # dqe_t = s U_t do_t
        self.do_v = scores(do, chunks.v).mul_(of_u.between)
        self.dqe = (do @ U0.mT).mul_(of_u.start[..., None]).add_(mix(self.do_v * chunks.w[..., None, :], chunks.k))
        self.dqe.mul_(self.scale)
        # dalpha_t = dqe_t . (x_t - qn_t),  dx_t = alpha_t dqe_t
        self.dalpha = (self.dqe * (x - q)).sum(-1)
        dx = self.dqe * chunks.alpha[..., None]
        # z_t = A_t^{-1} dx_t,  dqn_t = (1 - alpha_t) dqe_t + z_t
        self.z = self.ridge.solve(dx)
        self.dq = self.dqe - dx + self.z
        # c_t = -a (z_t . x_t) / f_t
        self.c = -settings.ridge_strength * ratio((self.z * x).sum(-1), f)
        if not settings.grad_ridge:
            self.c.zero_()
        # u_i = sum_{t >= i} c_t e_t M[t, i]: coefficient of H0 in sum_t c_t M[t, i] H_t
        self.u = ((self.c * chunks.of_h.start)[..., None, :] @ chunks.of_h.between)[..., 0, :]

    def state_gradients(self) -> tuple[Tensor, Tensor]:
        """Compute the contributions of the tokens to the gradients of the initial states, [m, R, D, D] each."""
        chunks, start = self.chunks, self.chunks.of_h.start
        outer = (self.z * start[..., None]).mT @ self.x
        to_h = (outer + outer.mT).mul_(-0.5)
        to_h += (self.c * start.square()).sum(-1)[..., None, None] * self.H0
        keys = chunks.k[:, None]
        to_h += (keys * (self.u * chunks.w)[..., None]).mT @ keys
        return to_h, (self.qe * (self.scale * chunks.of_u.start)[..., None]).mT @ self.do

    def gradients(self, DH: Tensor, DU: Tensor) -> tuple[Tensor, ...]:
        """Compute the gradients of the inputs from those of the states after the chunks.

        Args:
            DH: gradient of H after each chunk, [m, R, D, D], symmetric.
            DU: gradient of U after each chunk, [m, R, D, D].

        Returns:
            gradients of q, k, v, w, alpha and g, in their shapes; those of k and v are summed over their R heads.
        """
        chunks, w, between = self.chunks, self.chunks.w, self.chunks.of_h.between
        keys = chunks.k[:, None]
        # U: (sum_t M[t, i] s qe_t do_t^T + decay DU) v_i, and its transpose times kn_i
        tail = chunks.of_u.end[..., None]
        late_u = apply(DU, chunks.v) * tail
        to_k = (self.do_v.mT @ self.qe).mul_(self.scale).add_(late_u)
        query_keys = scores(self.qe, chunks.k).mul_(chunks.of_u.between)
        to_v = (query_keys.mT @ self.do).mul_(self.scale).add_(apply(DU.mT, chunks.k) * tail)
        # H: Gacc_i kn_i
        late_h = apply(DH, chunks.k) * chunks.of_h.end[..., None]
        x_keys, z_keys = scores(self.x, chunks.k).mul_(between), scores(self.z, chunks.k).mul_(between)
        to_kk = (x_keys.mT @ self.z).add_(z_keys.mT @ self.x).mul_(-0.5).add_(late_h)
        # Term of c_t H_t: sum_j W[i, j] w_j (kn_i . kn_j) kn_j + u_i H0 kn_i,  W[i, j] = sum_t c_t M[t, i] M[t, j]
        pairs = (between * self.c[..., None]).mT @ between
        to_kk += mix(pairs.mul_((chunks.k @ chunks.k.mT)[:, None]).mul_(w[..., None, :]), chunks.k)
        to_kk += apply(self.H0, chunks.k).mul_(self.u[..., None])

        dw_u, dw_h = (keys * to_k).sum(-1), (keys * to_kk).sum(-1)
        # g: sum_{t >= i} <gradient of the states at t, states at t>, minus the tokens added since i (3.3)
        dg = (self.qe * self.dqe).sum(-1) - w * dw_u
        after = _inner(chunks.of_u.whole * self.U0, DU) + (w * (keys * late_u).sum(-1)).sum(-1, keepdim=True)
        if self.decay_h:
            f = self.ridge.f
            dg += self.c * f.square() - f * (self.z * self.ridge.product(self.x)).sum(-1) - w * dw_h
            after += _inner(chunks.of_h.whole * self.H0, DH) + (w * (keys * late_h).sum(-1)).sum(-1, keepdim=True)
        weight = w[..., None]
        return (
            self.dq,
            (weight * (2 * to_kk + to_k)).sum(1),
            (weight * to_v).sum(1),
            dw_u + dw_h,
            self.dalpha,
            dg.flip(-1).cumsum(-1).flip(-1) + after,
        )


def _inner(a: Tensor, b: Tensor) -> Tensor:
    return (a * b).sum((-2, -1))[..., None]
