# ruff: noqa: N802, N803, N806, PLR0917 - the names of the paper; the six tensors of the operator
"""Reference implementation of Gated KalmaNet: a loop over tokens with explicit matrices.

Supports any dtype and is differentiated by autograd; the other implementations are tested against it. In brackets, a
number such as 3 is a step of README.md, 1.1, and a number such as 1.3 is a section of README.md.
"""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import torch

from gated_kalmanet.checks import EPS, check, compute_dtype, offsets
from gated_kalmanet.solver import cg
from gated_kalmanet.state import State

if TYPE_CHECKING:
    from torch import Tensor


def naive_gated_kalmanet(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    beta: Tensor,
    alpha: Tensor | None,
    g: Tensor | None,
    *,
    num_iter: int = 30,
    ridge_strength: float = 0.02,
    scale: float | None = None,
    solver: str = "chebyshev",
    decay_h: bool = True,
    grad_ridge: bool = True,
    initial_state: State | None = None,
    cu_seqlens: Tensor | None = None,
    mask: Tensor | None = None,
) -> tuple[Tensor, State]:
    """Compute Gated KalmaNet (arXiv 2511.21016) token by token.

    Args:
        q: queries [B, T, Hq, D], after projection and convolution, not normalised.
        k: keys [B, T, Hk, D].
        v: values [B, T, Hk, D].
        beta: input gates [B, T, H] in (0, 1), H = max(Hq, Hk).
        alpha: gates [B, T, H] in (0, 1) that blend the solution x with the query; None: 1.
        g: log decays [B, T, H], at most 0; None: 0.
        num_iter: iterations of the solver; 0 skips the solve and gives gated linear attention.
        ridge_strength: a of lambda = a ||H||_F.
        scale: factor s of the output; None: D ** -0.5.
        solver: "chebyshev", "cg" or "exact".
        decay_h: whether H decays as U does.
        grad_ridge: whether the gradient flows through lambda.
        initial_state: states before the first token, [N, H, D, D]; None: 0.
        cu_seqlens: cumulative lengths of packed sequences, [N + 1], with B = 1; None: one sequence per row.
        mask: bool [B, T], False at padding. Padding leaves the states unchanged and has output 0.

    Returns:
        outputs [B, T, H, D] in the dtype of v, and the states after the last token of every sequence.

    Raises:
        ValueError: a shape, a value, a device or an option is invalid.
        TypeError: a dtype is invalid.
    """
    size = check(
        q, k, v, beta, alpha, g,
        num_iter=num_iter, ridge_strength=ridge_strength, solver=solver, solvers=("chebyshev", "cg", "exact"),
        initial_state=initial_state, cu_seqlens=cu_seqlens, mask=mask,
    )  # fmt: skip
    dtype = compute_dtype(q.dtype)
    s = size.D**-0.5 if scale is None else scale
    queries, keys, values = (expand(tensor.to(dtype), size.H) for tensor in (q, k, v))
    beta = beta.to(dtype)
    alpha = torch.ones_like(beta) if alpha is None else alpha.to(dtype)
    g = torch.zeros_like(beta) if g is None else g
    if mask is not None:
        queries, keys, values = (tensor.masked_fill(~mask[..., None, None], 0) for tensor in (queries, keys, values))
        g = g.masked_fill(~mask[..., None], 0)

    # (1) qn = q / (||q|| + 1e-6),  kn = k / (||k|| + 1e-6)
    qn, kn = normalise(queries), normalise(keys)
    # (2) kt = (beta + 1e-6) kn,  vt = (beta + 1e-6) v
    kt, vt = (beta[..., None] + EPS) * kn, (beta[..., None] + EPS) * values

    zeros = queries.new_zeros(size.N, size.H, size.D, size.D)
    H_0, U_0 = (zeros, zeros) if initial_state is None else (initial_state.H, initial_state.U)
    # With cu_seqlens, loop over the packed sequences; without, compute all rows of the batch together.
    ends = [0, size.T] if cu_seqlens is None else offsets(cu_seqlens, size.T)
    outputs, states = [], []
    with torch.autocast(q.device.type, enabled=False):
        for n, (start, end) in enumerate(pairwise(ends)):
            H, U = (H_0, U_0) if cu_seqlens is None else (H_0[n : n + 1], U_0[n : n + 1])
            for t in range(start, end):
                decay = g[:, t, :, None, None].exp()
                # (3) H_t = exp(g_t) H_{t-1} + kt kt^T
                H = (decay if decay_h else 1) * H + outer(kt[:, t], kt[:, t])
                # (3) U_t = exp(g_t) U_{t-1} + kt vt^T
                U = decay * U + outer(kt[:, t], vt[:, t])
                # (4, 5) (H_t + a ||H_t||_F I) x_t = qn_t
                x = solve(H, qn[:, t], num_iter, ridge_strength, solver, grad_ridge) if num_iter else qn[:, t]
                # (6) qe_t = (1 - alpha_t) qn_t + alpha_t x_t
                qe = qn[:, t] + alpha[:, t, :, None] * (x - qn[:, t])
                # (7) o_t = s U_t^T qe_t
                outputs.append(s * (U.mT @ qe[..., None])[..., 0])
            states.append((H, U))
    o = torch.stack(outputs, dim=1) if outputs else values
    if not states:
        return o.to(v.dtype), State(H=H_0, U=U_0)
    return o.to(v.dtype), State(H=torch.cat([H for H, _ in states]), U=torch.cat([U for _, U in states]))


def solve(
    H: Tensor,
    q: Tensor,
    num_iter: int = 30,
    ridge_strength: float = 0.02,
    solver: str = "chebyshev",
    grad_ridge: bool = True,
) -> Tensor:
    """Solve (H + lambda I) x = q with lambda = a ||H||_F in `num_iter` iterations (1.3); x is 0 where H is 0.

    Args:
        H: [..., D, D], symmetric positive semi-definite.
        q: [..., D].
        num_iter: iterations; ignored by "exact".
        ridge_strength: a.
        solver: "chebyshev", "cg" or "exact".
        grad_ridge: whether the gradient flows through lambda.

    Returns:
        x, [..., D].
    """
    # (4) f = ||H||_F,  lambda = a f
    f = torch.linalg.vector_norm(H, dim=(-2, -1))[..., None]
    f = f if grad_ridge else f.detach()
    empty = f == 0
    f = torch.where(empty, 1, f)
    lam = ridge_strength * f

    def A(x: Tensor) -> Tensor:
        return (H @ x[..., None])[..., 0] + lam * x

    if solver == "exact":
        identity = torch.eye(H.shape[-1], dtype=H.dtype, device=H.device)
        x = torch.linalg.solve(H + lam[..., None] * identity, q)
    elif solver == "cg":
        x = cg(A, q, num_iter)
    else:
        # The spectrum of A lies in [mu, L].
        mu, L = lam, lam + f
        step, rho = 2 / (L + mu), (L - mu) / (L + mu)
        # x_0 = step q,  omega_0 = 2
        x_before, x, omega = torch.zeros_like(q), step * q, 2.0
        for _ in range(num_iter):
            # omega_i = 1 / (1 - (rho / 2)^2 omega_{i-1})
            omega = 1 / (1 - (rho / 2) ** 2 * omega)
            # x_i = omega_i (x_{i-1} - step (A x_{i-1} - q)) + (1 - omega_i) x_{i-2}
            x_before, x = x, omega * (x - step * (A(x) - q)) + (1 - omega) * x_before
    return torch.where(empty, 0, x)


def normalise(x: Tensor) -> Tensor:
    """Compute x / (||x|| + 1e-6) over the last axis; 0 stays 0."""
    return x / (torch.linalg.vector_norm(x, dim=-1, keepdim=True) + EPS)


def expand(x: Tensor, heads: int) -> Tensor:
    """Repeat heads, [B, T, h, D] -> [B, T, heads, D]: expanded head e reads head e // (heads // h) (1.4)."""
    return x if x.shape[2] == heads else x.repeat_interleave(heads // x.shape[2], dim=2)


def outer(a: Tensor, b: Tensor) -> Tensor:
    """Compute a b^T over the last axes: [..., D], [..., D] -> [..., D, D]."""
    return a[..., :, None] * b[..., None, :]
