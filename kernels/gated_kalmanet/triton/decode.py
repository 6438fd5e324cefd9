# mypy: allow-untyped-defs
# ruff: noqa: N803, PLR0917 - kernels have many parameters without Python types; capitals are compile-time constants
"""Decode: a few new tokens per sequence, in one kernel that loads and stores each state once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
import triton
import triton.language as tl

from gated_kalmanet.checks import check, compute_dtype
from gated_kalmanet.state import State
from gated_kalmanet.triton import launch
from gated_kalmanet.triton.solve import ratio
from gated_kalmanet.triton.tile import EPS, load_state, store_state

if TYPE_CHECKING:
    from torch import Tensor


def decode(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    beta: Tensor,
    alpha: Tensor | None,
    g: Tensor | None,
    state: State,
    *,
    num_iter: int = 30,
    ridge_strength: float = 0.02,
    scale: float | None = None,
    solver: str = "chebyshev",
    decay_h: bool = True,
    mask: Tensor | None = None,
    inplace: bool = False,
) -> tuple[Tensor, State]:
    """Compute Gated KalmaNet for one or more new tokens per sequence, starting from `state`, without gradients.

    Arguments and results are those of `gated_kalmanet.naive.naive_gated_kalmanet`, except that T is the number of new
    tokens for each of B sequences, D is at most 256, `solver` is "chebyshev" or "cg", `state` is the initial state,
    [B, H, D, D], with a symmetric H, and `inplace` writes the new states over `state` and returns it.

    States are float32 (float64 for float64 inputs) throughout. H stays in registers while all tokens of a sequence and
    head are solved, so the time grows with the number of tokens, but the memory traffic does not. Above a head
    dimension of 128, H does not fit into registers and the kernel is slow.

    Raises:
        ValueError: a shape, a value, an option or a device is invalid; an input requires a gradient; `inplace` is set
            and the states are not contiguous.
        TypeError: a dtype is invalid.
    """
    launch.check_device(q.device)
    size = check(
        q, k, v, beta, alpha, g,
        num_iter=num_iter, ridge_strength=ridge_strength, solver=solver, initial_state=state, mask=mask,
    )  # fmt: skip
    launch.check_size(size.D, q.dtype)
    given = {"q": q, "k": k, "v": v, "beta": beta, "alpha": alpha, "g": g, "state.H": state.H, "state.U": state.U}
    for name, x in given.items():
        if torch.is_grad_enabled() and x is not None and x.requires_grad:
            raise ValueError(
                f"{name} requires a gradient, which decode does not compute: call triton_gated_kalmanet, or use no_grad"
            )
        if inplace and name.startswith("state") and not x.is_contiguous():
            raise ValueError(f"{name} is not contiguous, so it cannot be overwritten: pass {name}.contiguous()")
    q, k, v, beta, alpha, g, h, u = (x if x is None else x.contiguous() for x in given.values())
    after = state if inplace else State(H=torch.empty_like(h), U=torch.empty_like(u))
    o = v.new_empty(size.B, size.T, size.H, size.D)
    # Passed from the first half of the kernel to the second.
    qe = o.new_empty(o.shape, dtype=compute_dtype(q.dtype))
    with torch.cuda.device_of(q):
        decode_kernel[(size.B * size.H,)](
            q, k, v, beta, alpha, g, mask if mask is None else mask.contiguous(), h, u, after.H, after.U, qe, o,
            size.T, size.H, Q_GROUP=size.H // size.Hq, K_GROUP=size.H // size.Hk, D=size.D, BD=launch.block(size.D),
            SOLVER=solver, NUM_ITER=num_iter, RIDGE=ridge_strength, SCALE=size.D**-0.5 if scale is None else scale,
            DECAY_H=decay_h, ACC=launch.accumulator(q.dtype), **launch.decode(size.D),
        )  # fmt: skip
    return o, after


@triton.jit
def decode_kernel(
    q, k, v, beta, alpha, g, mask, h_before, u_before, h_after, u_after, qe_between, o,
    T, H, Q_GROUP: tl.constexpr, K_GROUP: tl.constexpr, D: tl.constexpr, BD: tl.constexpr,
    SOLVER: tl.constexpr, NUM_ITER: tl.constexpr, RIDGE: tl.constexpr, SCALE: tl.constexpr, DECAY_H: tl.constexpr,
    ACC: tl.constexpr,
):  # fmt: skip
    """Process T tokens of one sequence and head: first H and all solves, then U and all outputs, one state at a time.

    Grid: (sequences x heads).
    """
    index = tl.program_id(0).to(tl.int64)
    n, head = index // H, index % H
    d = tl.arange(0, BD)
    heads_q, heads_k = H // Q_GROUP, H // K_GROUP
    h = load_state(h_before, index, d, D, BD).to(ACC)
    for t in range(T):
        row = n * T + t
        at = row * H + head
        token = is_token(mask, row)
        valid = (d < D) & token
        kn = unit(k + (row * heads_k + head // K_GROUP) * D, d, valid, ACC)
        qn = unit(q + (row * heads_q + head // Q_GROUP) * D, d, valid, ACC)
        b = tl.load(beta + at, mask=token, other=0.0).to(ACC) + EPS
        if DECAY_H and g is not None:
            h *= tl.exp(tl.load(g + at, mask=token, other=0.0))
        h += (b * b * kn)[:, None] * kn[None, :]
        qe = qn
        if NUM_ITER > 0:
            x = solve_one(h, qn, SOLVER, NUM_ITER, RIDGE, ACC)
            qe = x
            if alpha is not None:
                qe = qn + tl.load(alpha + at, mask=token, other=0.0).to(ACC) * (x - qn)
        tl.store(qe_between + at * D + d, qe, mask=d < D)
    store_state(h_after, h, index, d, D, BD)
    # Other threads load the values stored above.
    tl.debug_barrier()
    u = load_state(u_before, index, d, D, BD).to(ACC)
    for t in range(T):
        row = n * T + t
        at = row * H + head
        token = is_token(mask, row)
        valid = (d < D) & token
        place = (row * heads_k + head // K_GROUP) * D
        kn = unit(k + place, d, valid, ACC)
        value = tl.load(v + place + d, mask=valid, other=0.0).to(ACC)
        b = tl.load(beta + at, mask=token, other=0.0).to(ACC) + EPS
        if g is not None:
            u *= tl.exp(tl.load(g + at, mask=token, other=0.0))
        u += (b * b * kn)[:, None] * value[None, :]
        qe = tl.load(qe_between + at * D + d, mask=d < D, other=0.0)
        out = tl.sum(qe[:, None] * u, 0) * SCALE
        tl.store(o + at * D + d, out.to(o.dtype.element_ty), mask=d < D)
    store_state(u_after, u, index, d, D, BD)


@triton.jit
def is_token(mask, row):
    """Return whether a token is not padding."""
    token = row >= 0
    if mask is not None:
        token = tl.load(mask + row) != 0
    return token


@triton.jit
def unit(pointer, d, valid, ACC: tl.constexpr):
    """Load x and compute x / (||x|| + 1e-6)."""
    x = tl.load(pointer + d, mask=valid, other=0.0).to(ACC)
    return x / (tl.sqrt(tl.sum(x * x)) + EPS)


@triton.jit
def solve_one(h, q, SOLVER: tl.constexpr, NUM_ITER: tl.constexpr, RIDGE: tl.constexpr, ACC: tl.constexpr):
    """Solve (H + a f I) x = q, f = ||H||_F, as in `gated_kalmanet.triton.solve`; x is 0 where H is 0."""
    step: tl.constexpr = 2 / (1 + 2 * RIDGE)
    shift: tl.constexpr = step * RIDGE
    per_norm = ratio(tl.full((), step, ACC), tl.sqrt(tl.sum(h * h)))
    residual, y = q, q
    if SOLVER == "cg":
        y, direction, square = tl.zeros_like(q), q, tl.sum(q * q)
        for _ in tl.range(NUM_ITER):
            image = shift * direction + per_norm * tl.sum(h * direction[:, None], 0)
            length = ratio(square, tl.sum(direction * image))
            y += length * direction
            residual -= length * image
            last, square = square, tl.sum(residual * residual)
            direction = residual + ratio(square, last) * direction
    else:
        c: tl.constexpr = 1 / (4 * (1 + 2 * RIDGE) * (1 + 2 * RIDGE))
        difference, omega = q, tl.full((), 2.0, ACC)
        for _ in tl.range(NUM_ITER):
            residual -= shift * difference + per_norm * tl.sum(h * difference[:, None], 0)
            omega_before, omega = omega, 1 / (1 - c * omega)
            difference = omega * (residual + c * omega_before * difference)
            y += difference
    return y * per_norm
