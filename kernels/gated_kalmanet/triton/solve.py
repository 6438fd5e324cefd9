# mypy: allow-untyped-defs
# ruff: noqa: N803, PLR0917 - parameters of kernels are many and have no Python types; capitals are known when compiling
"""The ridge systems of the tokens of a chunk: (H_t + a f_t I) x_t = q_t with f_t = ||H_t||_F.

Solved as B y = q with B = step (H_t / f_t + a) and x = (step / f_t) y, step = 2 / (1 + 2 a): the spectrum of B lies in
[step a, 2 - step a] whatever H is, so y stays small where x does not, and all coefficients are known beforehand.
"""

import triton
import triton.language as tl

from gated_kalmanet.triton.tile import dot, dot_add, dot_add_split, dot_split


@triton.jit
def norms(k, r, w, between, start, h0, OPERAND: tl.constexpr, ACC: tl.constexpr):
    """f_t = ||H_t||_F of every token (3.1), summed in ACC; no term is negative.

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
    """acc_t + factor step / f_t H_t y_t, the product being (y o start) H0 + ((y K^T) o weights) K (3.1).

    `start`, [C, 1], and `weights`, [C, C], hold step / f_t. The weights are of OPERAND, which halves the registers that
    they take throughout the solve.
    """
    scores = (dot(y, tl.trans(k), OPERAND, ACC) * factor).to(OPERAND) * weights
    acc = dot_add(y * (start * factor), h0, acc, OPERAND, ACC)
    return dot_add(scores, k, acc, OPERAND, ACC)


@triton.jit
def subtract_image(acc, y, start, weights, h0, k, OPERAND: tl.constexpr, ACC: tl.constexpr):
    """acc_t - step / f_t H_t y_t with y, scores and weights of more digits than OPERAND has."""
    scores = dot_split(y, tl.trans(k), OPERAND, ACC) * -weights
    acc = dot_add_split(scores, k, acc, OPERAND, ACC)
    return dot_add_split(y * -start, h0, acc, OPERAND, ACC)


@triton.jit
def chebyshev(
    q, start, weights, h0, k, NUM_ITER: tl.constexpr, RIDGE: tl.constexpr, OPERAND: tl.constexpr, ACC: tl.constexpr
):
    """y of B y = q by NUM_ITER steps of y_i = omega_i (y_{i-1} + q - B y_{i-1}) + (1 - omega_i) y_{i-2}, y_0 = q (1.3).

    Written as y_i = y_{i-1} + omega_i u_i, and carried on by the residual q - B y: the same numbers, but what is
    rounded to OPERAND is u, which vanishes as y converges, and not y. As (1 - omega_i) / omega_i = -c omega_{i-1},

        u_i = (q - B y_{i-1}) + c omega_{i-1}^2 u_{i-1}

    Halfway the residual, which has gathered the rounding of all products so far, is replaced by what it stands for; the
    second half of the steps corrects y accordingly. In exact numbers nothing changes.
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
    """From y_i, u_i, q - B y_{i-1} and omega_i to those STEPS further.

    The weights omega belong to the step alone. They are counted up beside the products, because thirty copies of the
    loop body would not fit into the instruction cache.
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
    """y of B y = q by NUM_ITER steps from y = 0 (Hestenes and Stiefel 1952), the residual replaced halfway as above."""
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
    """From y_i, the next direction, q - B y_i and its square to those STEPS further; a row that is solved stays."""
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
    """numerator / denominator, and 0 where the denominator is not positive."""
    return tl.where(denominator > 0, numerator / tl.where(denominator > 0, denominator, 1.0), 0.0)


@triton.jit
def solve(
    q, norm, w, r, between, start, h0, k,
    SOLVER: tl.constexpr, NUM_ITER: tl.constexpr, RIDGE: tl.constexpr, OPERAND: tl.constexpr, ACC: tl.constexpr,
):  # fmt: skip
    """x_t of (H_t + a f_t I) x_t = q_t of every token, given f; 0 where H is 0.

    `between` and `start` are the decays of H, h0 its state before the chunk.
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
