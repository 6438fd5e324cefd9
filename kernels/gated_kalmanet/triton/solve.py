# mypy: allow-untyped-defs
# ruff: noqa: N803, PLR0917 - kernels have many parameters without Python types; capitals are compile-time constants
"""Solvers of the ridge systems of the tokens of a chunk: (H_t + a f_t I) x_t = q_t with f_t = ||H_t||_F.

Solves B y = q with B = step (H_t / f_t + a) and x = (step / f_t) y, step = 2 / (1 + 2 a). The spectrum of B lies in
[step a, 2 - step a] for every H, so y is bounded where x is not, and all coefficients are constants.
"""

import triton
import triton.language as tl

from gated_kalmanet.triton.tile import dot, dot_add, dot_add_split, dot_split


@triton.jit
def norms(k, r, w, between, start, h0, OPERAND: tl.constexpr, ACC: tl.constexpr):
    """Compute f_t = ||H_t||_F of every token (3.1) as a sum of non-negative terms in ACC.

    f_t^2 = e_t^2 ||H0||^2 + 2 e_t sum_i Mw[t, i] kn_i^T H0 kn_i + sum_ij Mw[t, i] Mw[t, j] (kn_i . kn_j)^2,
    Mw[t, i] = R[t, i] w_i, kn_i = r_i k_i
    """
    weights = between * w[None, :]
    wide = h0.to(ACC)
    earlier = tl.sum(wide * wide)
    cross = tl.sum(dot(k, h0, OPERAND, ACC) * k.to(ACC), 1) * r * r
    gram = dot(k, tl.trans(k), OPERAND, ACC) * r[:, None] * r[None, :]
    within = tl.sum(dot(weights, gram * gram, OPERAND, ACC) * weights, 1)
    square = start * start * earlier + 2 * start * tl.sum(weights * cross[None, :], 1) + within
    return tl.sqrt(tl.maximum(square, 0.0))


@triton.jit
def add_image(acc, y, factor, start, weights, h0, k, OPERAND: tl.constexpr, ACC: tl.constexpr):
    """Compute acc_t + factor step / f_t H_t y_t, where the product is (y o start) H0 + ((y K^T) o weights) K (3.1).

    `start`, [C, 1], and `weights`, [C, C], include the factor step / f_t. The weights are stored in OPERAND, which
    halves their registers during the solve.
    """
    scores = (dot(y, tl.trans(k), OPERAND, ACC) * factor).to(OPERAND) * weights
    acc = dot_add(y * (start * factor), h0, acc, OPERAND, ACC)
    return dot_add(scores, k, acc, OPERAND, ACC)


@triton.jit
def subtract_image(acc, y, start, weights, h0, k, OPERAND: tl.constexpr, ACC: tl.constexpr):
    """Compute acc_t - step / f_t H_t y_t with y, scores and weights in higher precision than OPERAND."""
    scores = dot_split(y, tl.trans(k), OPERAND, ACC) * -weights
    acc = dot_add_split(scores, k, acc, OPERAND, ACC)
    return dot_add_split(y * -start, h0, acc, OPERAND, ACC)


@triton.jit
def chebyshev(
    q, start, weights, h0, k, NUM_ITER: tl.constexpr, RIDGE: tl.constexpr, OPERAND: tl.constexpr, ACC: tl.constexpr
):
    """Solve B y = q by NUM_ITER Chebyshev iterations (1.3) from y_0 = q.

    The iteration y_i = omega_i (y_{i-1} + q - B y_{i-1}) + (1 - omega_i) y_{i-2} is written as y_i = y_{i-1} +
    omega_i u_i and updates the residual q - B y. This is the same in exact arithmetic, but rounds u to OPERAND, which
    vanishes as y converges, instead of y. With (1 - omega_i) / omega_i = -c omega_{i-1},

        u_i = (q - B y_{i-1}) + c omega_{i-1}^2 u_{i-1}

    After half of the iterations the residual, which has accumulated the rounding errors of all products, is recomputed
    from y; the second half corrects y accordingly. In exact arithmetic this changes nothing.
    """
    shift: tl.constexpr = 2 * RIDGE / (1 + 2 * RIDGE)
    half: tl.constexpr = NUM_ITER // 2
    rounded = weights.to(OPERAND)
    y, u, residual, omega = q, q * 0.5, q, tl.full((), 2.0, ACC)
    y, u, residual, omega = chebyshev_steps(y, u, residual, omega, start, rounded, h0, k, half, RIDGE, OPERAND, ACC)
    if OPERAND != ACC:
        y -= omega * u
        u -= residual
        residual = subtract_image(q - shift * y, y, start, weights, h0, k, OPERAND, ACC)
        u += residual
        y += omega * u
    y, u, residual, omega = chebyshev_steps(
        y, u, residual, omega, start, rounded, h0, k, NUM_ITER - half, RIDGE, OPERAND, ACC
    )
    return y


@triton.jit
def chebyshev_steps(
    y, u, residual, omega, start, weights, h0, k,
    STEPS: tl.constexpr, RIDGE: tl.constexpr, OPERAND: tl.constexpr, ACC: tl.constexpr,
):  # fmt: skip
    """Advance y_i, u_i, q - B y_{i-1} and omega_i by STEPS iterations.

    The weights omega depend only on the iteration. They are computed in the loop, because thirty unrolled copies of its
    body would not fit into the instruction cache.
    """
    shift: tl.constexpr = 2 * RIDGE / (1 + 2 * RIDGE)
    c: tl.constexpr = 1 / (4 * (1 + 2 * RIDGE) * (1 + 2 * RIDGE))
    for _ in tl.range(STEPS):
        residual = add_image(residual - (shift * omega) * u, u, -omega, start, weights, h0, k, OPERAND, ACC)
        u = residual + (c * omega * omega) * u
        omega = 1 / (1 - c * omega)
        y += omega * u
    return y, u, residual, omega


@triton.jit
def conjugate_gradients(
    q, start, weights, h0, k, NUM_ITER: tl.constexpr, RIDGE: tl.constexpr, OPERAND: tl.constexpr, ACC: tl.constexpr
):
    """Solve B y = q by NUM_ITER iterations from y = 0 (Hestenes and Stiefel 1952); recompute the residual halfway."""
    shift: tl.constexpr = 2 * RIDGE / (1 + 2 * RIDGE)
    half: tl.constexpr = NUM_ITER // 2
    rounded = weights.to(OPERAND)
    y, direction, residual, square = tl.zeros_like(q), q, q, tl.sum(q * q, 1)
    y, direction, residual, square = conjugate_steps(
        y, direction, residual, square, start, rounded, h0, k, half, RIDGE, OPERAND, ACC
    )
    if OPERAND != ACC:
        direction -= residual
        residual = subtract_image(q - shift * y, y, start, weights, h0, k, OPERAND, ACC)
        direction += residual
        square = tl.sum(residual * residual, 1)
    y, direction, residual, square = conjugate_steps(
        y, direction, residual, square, start, rounded, h0, k, NUM_ITER - half, RIDGE, OPERAND, ACC
    )
    return y


@triton.jit
def conjugate_steps(
    y, direction, residual, square, start, weights, h0, k,
    STEPS: tl.constexpr, RIDGE: tl.constexpr, OPERAND: tl.constexpr, ACC: tl.constexpr,
):  # fmt: skip
    """Advance y_i, the direction, q - B y_i and its square by STEPS iterations; converged rows do not change."""
    shift: tl.constexpr = 2 * RIDGE / (1 + 2 * RIDGE)
    for _ in tl.range(STEPS):
        image = add_image(shift * direction, direction, 1.0, start, weights, h0, k, OPERAND, ACC)
        length = ratio(square, tl.sum(direction * image, 1))[:, None]
        y += length * direction
        residual -= length * image
        last, square = square, tl.sum(residual * residual, 1)
        direction = residual + ratio(square, last)[:, None] * direction
    return y, direction, residual, square


@triton.jit
def ratio(numerator, denominator):
    """Compute numerator / denominator, or 0 where the denominator is not positive."""
    return tl.where(denominator > 0, numerator / tl.where(denominator > 0, denominator, 1.0), 0.0)


@triton.jit
def solve(
    q, norm, w, r, between, start, h0, k,
    SOLVER: tl.constexpr, NUM_ITER: tl.constexpr, RIDGE: tl.constexpr, OPERAND: tl.constexpr, ACC: tl.constexpr,
):  # fmt: skip
    """Solve (H_t + a f_t I) x_t = q_t for every token, given f; x_t is 0 where H_t is 0.

    `between` and `start` are the decays of H; h0 is H before the chunk.
    """
    step: tl.constexpr = 2 / (1 + 2 * RIDGE)
    per_norm = ratio(tl.full(norm.shape, step, ACC), norm)
    weights = between * per_norm[:, None] * (w * r * r)[None, :]
    from_start = (start * per_norm)[:, None]
    if SOLVER == "cg":
        y = conjugate_gradients(q, from_start, weights, h0, k, NUM_ITER, RIDGE, OPERAND, ACC)
    else:
        y = chebyshev(q, from_start, weights, h0, k, NUM_ITER, RIDGE, OPERAND, ACC)
    return y * per_norm[:, None]
