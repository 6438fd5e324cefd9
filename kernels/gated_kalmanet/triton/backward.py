# mypy: allow-untyped-defs
# ruff: noqa: N803, PLR0917 - kernels have many parameters without Python types; capitals are compile-time constants
"""Backward pass by implicit differentiation (3.3): gradients of queries and alpha, and the backward scan of the states.

With dqe_t = s U_t do_t and z_t = alpha_t (H_t + a f_t I)^-1 dqe_t, token t contributes

    G_t = -z_t x_t^T - n_t H_t,  n_t = a (z_t . x_t) / f_t      to the gradient of H_t
    s qe_t do_t^T                                               to the gradient of U_t

`solve_back_kernel` computes z, `queries_kernel` all other terms of single tokens, and `scan_back_kernel` the gradients
of the states; `gated_kalmanet.triton.gather` computes those of values, keys and gates from them. Shapes are those of
`gated_kalmanet.triton.prefill`; scalars per token and expanded head are [tokens, H]. x, z and qe are stored as two
OPERAND tensors, the second of which, `_rest`, holds the rounding error of the first: <dU, U> and <dH, H> nearly cancel
in the gradient of the log decays, and the rounding error of x would remain.
"""

import triton
import triton.language as tl

from gated_kalmanet.triton.solve import ratio, solve
from gated_kalmanet.triton.tile import (
    chunk_tokens,
    decays_of_h,
    dot,
    dot_add,
    dot_split,
    edge_decays,
    inverse_norm,
    load_blend,
    load_gates,
    load_rows,
    load_split,
    load_state,
    norm_gradient,
    own_chunk,
    own_sequence,
    store_rows,
    store_split,
    store_state,
    tokens,
    weights_and_decays,
)


@triton.jit
def solve_back_kernel(
    k, v, beta, alpha, g, mask, h_chunks, u_chunks, f, do, cu_seqlens, starts, sequence, z, z_rest,
    N, H, K_GROUP: tl.constexpr, D: tl.constexpr, BD: tl.constexpr, C: tl.constexpr,
    SOLVER: tl.constexpr, NUM_ITER: tl.constexpr, RIDGE: tl.constexpr, SCALE: tl.constexpr, DECAY_H: tl.constexpr,
    OPERAND: tl.constexpr, ACC: tl.constexpr,
):  # fmt: skip
    """Compute z for the tokens of one chunk and head.

    Grid: (chunks, heads).
    """
    chunk, head, n = own_chunk(sequence)
    if n == N:
        return
    d = tl.arange(0, BD)
    rows, inside, valid = chunk_tokens(chunk, n, cu_seqlens, starts, mask, C)
    at = rows * H + head
    keys, values, sent = load_chunk(k, v, do, rows, head, H, valid, d, K_GROUP, D)
    w, r, between, start = weights_and_decays(keys, beta, g, at, valid, C, ACC)
    u0 = load_state(u_chunks, chunk * H + head, d, D, BD)
    dqe = sent_to_start(sent, u0, start, SCALE, OPERAND, ACC)
    dqe = sent_within(dqe, sent, values, keys, between * (w * r)[None, :], SCALE, OPERAND, ACC)
    # Store and reload dqe: otherwise its operands occupy registers during the solve.
    store_split(z, z_rest, dqe, rows, head, H, inside, d, D)
    tl.debug_barrier()
    dqe = load_split(z, z_rest, rows, head, H, inside, d, D, ACC)
    norm = tl.load(f + at, mask=inside, other=0.0)
    between, start = decays_of_h(between, start, DECAY_H, C)
    h0 = load_state(h_chunks, chunk * H + head, d, D, BD)
    solved = solve(dqe, norm, w, r, between, start, h0, keys, SOLVER, NUM_ITER, RIDGE, OPERAND, ACC)
    store_split(z, z_rest, solved * load_blend(alpha, at, valid, C, ACC), rows, head, H, inside, d, D)


@triton.jit
def load_chunk(k, v, do, rows, head, H, valid, d, K_GROUP: tl.constexpr, D: tl.constexpr):
    """Load the keys, the values and the gradients of the outputs of the tokens of one chunk and head."""
    head_k, heads_k = head // K_GROUP, H // K_GROUP
    keys = load_rows(k, rows, head_k, heads_k, valid, d, D)
    values = load_rows(v, rows, head_k, heads_k, valid, d, D)
    return keys, values, load_rows(do, rows, head, H, valid, d, D)


@triton.jit
def sent_to_start(sent, u0, start, SCALE: tl.constexpr, OPERAND: tl.constexpr, ACC: tl.constexpr):
    """Compute the term of dqe_t = s U_t do_t from U0."""
    return dot(sent, tl.trans(u0), OPERAND, ACC) * (start * SCALE)[:, None]


@triton.jit
def sent_within(dqe, sent, values, keys, weights, SCALE: tl.constexpr, OPERAND: tl.constexpr, ACC: tl.constexpr):
    """Add the term of the tokens of the chunk to dqe; `weights` are R w r."""
    scores = dot(sent, tl.trans(values), OPERAND, ACC) * weights * SCALE
    return dot_add(scores, keys, dqe, OPERAND, ACC)


@triton.jit
def queries_kernel(
    q, k, v, beta, alpha, g, mask, h_chunks, u_chunks, x, x_rest, z, z_rest, f, do, cu_seqlens, starts, sequence,
    qe, qe_rest, dq, dalpha, n_out, reach_out, dgamma,
    N, H, Q_GROUP: tl.constexpr, K_GROUP: tl.constexpr, D: tl.constexpr, BD: tl.constexpr, C: tl.constexpr,
    SOLVE: tl.constexpr, RIDGE: tl.constexpr, SCALE: tl.constexpr, DECAY_H: tl.constexpr, GRAD_RIDGE: tl.constexpr,
    OPERAND: tl.constexpr, ACC: tl.constexpr,
):  # fmt: skip
    """Compute qe, dq and dalpha for the tokens of one chunk and head, and the inputs of the kernels that follow.

    These are n_t; reach_i = sum_{t >= i} n_t e_t R[t, i], the coefficient of H0 in the contributions of the tokens from
    i on; and dgamma_t = e_t (s qe_t^T U0 do_t - z_t^T H0 x_t) - n_t f_t^2, a term of the gradient of the sum of log
    decays up to t.

    Grid: (chunks, heads).
    """
    chunk, head, n = own_chunk(sequence)
    if n == N:
        return
    d = tl.arange(0, BD)
    rows, inside, valid = chunk_tokens(chunk, n, cu_seqlens, starts, mask, C)
    at = rows * H + head
    keys, values, sent = load_chunk(k, v, do, rows, head, H, valid, d, K_GROUP, D)
    w, r, between, start = weights_and_decays(keys, beta, g, at, valid, C, ACC)
    queries = load_rows(q, rows, head // Q_GROUP, H // Q_GROUP, valid, d, D).to(ACC)
    read = queries * inverse_norm(queries, ACC)[:, None]
    if SOLVE:
        blend = load_blend(alpha, at, valid, C, ACC)
        solution = load_split(x, x_rest, rows, head, H, inside, d, D, ACC)
        apart = solution - read
        read += blend * apart
    store_split(qe, qe_rest, read, rows, head, H, inside, d, D)
    u0 = load_state(u_chunks, chunk * H + head, d, D, BD)
    dqe = sent_to_start(sent, u0, start, SCALE, OPERAND, ACC)
    gamma = tl.sum(read * dqe, 1)
    dqe = sent_within(dqe, sent, values, keys, between * (w * r)[None, :], SCALE, OPERAND, ACC)
    if SOLVE:
        if dalpha is not None:
            # dalpha_t = dqe_t . (x_t - qn_t)
            tl.store(dalpha + at, tl.sum(dqe * apart, 1), mask=inside)
        solved = load_split(z, z_rest, rows, head, H, inside, d, D, ACC)
        # dqn_t = (1 - alpha_t) dqe_t + z_t
        dqe = (1 - blend) * dqe + solved
        between, start = decays_of_h(between, start, DECAY_H, C)
        norm = tl.load(f + at, mask=inside, other=0.0)
        share = tl.zeros((C,), ACC)
        if GRAD_RIDGE:
            share = RIDGE * ratio(tl.sum(solved * solution, 1), norm)
        if DECAY_H:
            h0 = load_state(h_chunks, chunk * H + head, d, D, BD)
            gamma -= tl.sum(solved * dot_split(solution, h0, OPERAND, ACC), 1) * start + share * norm * norm
        tl.store(n_out + at, share, mask=inside)
        tl.store(reach_out + at, tl.sum(between * (share * start)[:, None], 0), mask=inside)
    store_rows(dq, norm_gradient(queries, dqe, ACC), rows, head, H, inside, d, D)
    tl.store(dgamma + at, gamma, mask=inside)


@triton.jit
def scan_back_kernel(
    k, beta, g, mask, h_chunks, u_chunks, x, x_rest, z, z_rest, qe, qe_rest, do, n_in, reach_in, dh_last, du_last,
    cu_seqlens, starts, dh_chunks, du_chunks, carried, dh_first, du_first,
    H, K_GROUP: tl.constexpr, D: tl.constexpr, BD: tl.constexpr, BV: tl.constexpr, C: tl.constexpr,
    SOLVE: tl.constexpr, SCALE: tl.constexpr, DECAY_H: tl.constexpr, OPERAND: tl.constexpr, ACC: tl.constexpr,
):  # fmt: skip
    """Compute the gradients of both states after every chunk and before the first: BV columns of one sequence and head.

    dU0 = e_C dU + sum_t e_t s qe_t do_t^T,
    dH0 = e_C dH - sum_t e_t z_t x_t^T - (sum_t e_t^2 n_t) H0 - sum_i reach_i kt_i kt_i^T

    `carried`, [chunks, H, column blocks], is the sum over these columns of e_C (<dU, U0> + <dH, H0>), a term of the
    gradient of the log decays of a chunk.

    Grid: (sequences x heads, column blocks).
    """
    n, head = own_sequence(H)
    d = tl.arange(0, BD)
    columns = tl.program_id(1) * BV + tl.arange(0, BV)
    head_k, heads_k = head // K_GROUP, H // K_GROUP
    dh = tl.zeros((BD, BV), ACC)
    du = tl.zeros((BD, BV), ACC)
    if dh_last is not None:
        dh += load_state(dh_last, n * H + head, columns, D, BD).to(ACC)
    if du_last is not None:
        du += load_state(du_last, n * H + head, columns, D, BD).to(ACC)
    first, end = tl.load(cu_seqlens + n), tl.load(cu_seqlens + n + 1)
    first_chunk, end_chunk = tl.load(starts + n), tl.load(starts + n + 1)
    for back in range(0, end_chunk - first_chunk):
        chunk = end_chunk - 1 - back
        store_state(dh_chunks, dh, chunk * H + head, columns, D, BD)
        store_state(du_chunks, du, chunk * H + head, columns, D, BD)
        rows, inside, valid = tokens(first + (chunk - first_chunk) * C, end, mask, C)
        at = rows * H + head
        b, log_decay = load_gates(beta, g, at, valid, ACC)
        sent = load_rows(do, rows, head, H, valid, columns, D)
        start, _, whole = edge_decays(log_decay)
        u0 = load_state(u_chunks, chunk * H + head, columns, D, BD)
        du *= whole
        moved = tl.sum(u0.to(ACC) * du)
        sent = sent.to(ACC) * (start * SCALE)[:, None]
        du = add_outer(du, qe, qe_rest, sent, rows, head, H, inside, d, D, OPERAND, ACC)
        h0 = load_state(h_chunks, chunk * H + head, columns, D, BD).to(ACC)
        if DECAY_H:
            dh *= whole
            moved += tl.sum(h0 * dh)
        else:
            start = tl.full((C,), 1.0, ACC)
        tl.store(carried + (chunk * H + head) * tl.num_programs(1) + tl.program_id(1), moved)
        if SOLVE:
            keys = load_rows(k, rows, head_k, heads_k, valid, d, D)
            some_keys = load_rows(k, rows, head_k, heads_k, valid, columns, D)
            solution = load_split(x, x_rest, rows, head, H, inside, columns, D, ACC) * -start[:, None]
            share = tl.load(n_in + at, mask=inside, other=0.0)
            reach = tl.load(reach_in + at, mask=inside, other=0.0)
            r = inverse_norm(keys, ACC)
            dh -= tl.sum(start * start * share) * h0
            dh = add_outer(dh, z, z_rest, solution, rows, head, H, inside, d, D, OPERAND, ACC)
            dh = dot_add(tl.trans(keys), some_keys.to(ACC) * -(reach * b * b * r * r)[:, None], dh, OPERAND, ACC)
    if dh_first is not None:
        store_state(dh_first, dh, n * H + head, columns, D, BD)
        store_state(du_first, du, n * H + head, columns, D, BD)


@triton.jit
def add_outer(
    acc, pointer, rest, b, rows, head, H, inside, d, D: tl.constexpr, OPERAND: tl.constexpr, ACC: tl.constexpr
):
    """Compute acc + a^T b, with a stored by `store_split` and b split into two OPERAND tensors."""
    a = tl.trans(load_rows(pointer, rows, head, H, inside, d, D))
    acc = dot_add(a, b, acc, OPERAND, ACC)
    if rest is not None:
        acc = dot_add(a, b - b.to(OPERAND).to(ACC), acc, OPERAND, ACC)
        acc = dot_add(tl.trans(load_rows(rest, rows, head, H, inside, d, D)), b, acc, OPERAND, ACC)
    return acc
