# mypy: allow-untyped-defs
# ruff: noqa: N803, PLR0917 - parameters of kernels are many and have no Python types; capitals are known when compiling
"""The forward pass over whole sequences: one kernel for the states before every chunk, one for what is read from them.

Legend: C tokens of a chunk, D head dimension, BD the power of two that holds it, H expanded heads.
"""

import triton
import triton.language as tl

from gated_kalmanet.triton.solve import norms, ratio, solve
from gated_kalmanet.triton.tile import (
    decays,
    dot_add,
    dot_split,
    edge_decays,
    inverse_norm,
    load_gates,
    load_rows,
    load_state,
    store_rows,
    store_split,
    store_state,
    tokens,
)


@triton.jit
def scan_kernel(
    k, v, beta, g, mask, h_first, u_first, cu_seqlens, starts, h_chunks, u_chunks, h_last, u_last,
    H, K_GROUP: tl.constexpr, D: tl.constexpr, BD: tl.constexpr, BV: tl.constexpr, C: tl.constexpr,
    DECAY_H: tl.constexpr, OPERAND: tl.constexpr, ACC: tl.constexpr,
):  # fmt: skip
    """Both states before every chunk, and after the last one: BV of their columns, for one sequence and head.

    H' = e_C H0 + sum_i exp(Gamma_C - Gamma_i) kt_i kt_i^T, and U' likewise with vt_i (3.1).

    Grid: (sequences x heads, column blocks).
    """
    n = tl.program_id(0).to(tl.int64) // H
    head = tl.program_id(0).to(tl.int64) % H
    d = tl.arange(0, BD)
    columns = tl.program_id(1) * BV + tl.arange(0, BV)
    heads_k = H // K_GROUP
    k += head // K_GROUP * D
    v += head // K_GROUP * D
    h = tl.zeros((BD, BV), ACC)
    u = tl.zeros((BD, BV), ACC)
    if h_first is not None:
        h += load_state(h_first, n * H + head, columns, D, BD).to(ACC)
        u += load_state(u_first, n * H + head, columns, D, BD).to(ACC)
    # Loaded before the loop: a load that waits for another one is not pipelined.
    first, end, first_chunk = tl.load(cu_seqlens + n), tl.load(cu_seqlens + n + 1), tl.load(starts + n)
    for chunk in range(first_chunk, tl.load(starts + n + 1)):
        store_state(h_chunks, h, chunk * H + head, columns, D, BD)
        store_state(u_chunks, u, chunk * H + head, columns, D, BD)
        rows, _, valid = tokens(first + (chunk - first_chunk) * C, end, mask, C)
        keys = load_rows(k, rows, heads_k * D, valid, d, D)
        some_keys = load_rows(k, rows, heads_k * D, valid, columns, D)
        values = load_rows(v, rows, heads_k * D, valid, columns, D)
        b, log_decay = load_gates(beta, g, rows * H + head, valid, ACC)
        r = inverse_norm(keys, ACC)
        _, to_end, whole = edge_decays(log_decay)
        into_u = b * b * r * to_end
        into_h = into_u * r if DECAY_H else b * b * r * r
        if DECAY_H:
            h *= whole
        u *= whole
        h = dot_add(tl.trans(keys), some_keys.to(ACC) * into_h[:, None], h, OPERAND, ACC)
        u = dot_add(tl.trans(keys), values.to(ACC) * into_u[:, None], u, OPERAND, ACC)
    store_state(h_last, h, n * H + head, columns, D, BD)
    store_state(u_last, u, n * H + head, columns, D, BD)


@triton.jit
def read_kernel(
    q, k, v, beta, alpha, g, mask, h_chunks, u_chunks, cu_seqlens, starts, sequence, o, x, x_rest, f,
    N, H, Q_GROUP: tl.constexpr, K_GROUP: tl.constexpr, D: tl.constexpr, BD: tl.constexpr, C: tl.constexpr,
    SOLVER: tl.constexpr, NUM_ITER: tl.constexpr, RIDGE: tl.constexpr, SCALE: tl.constexpr, DECAY_H: tl.constexpr,
    OPERAND: tl.constexpr, ACC: tl.constexpr,
):  # fmt: skip
    """Solve, blend and read-out of the tokens of one chunk and head; x and f are kept where there is a place for them.

    o_t = s U_t^T ((1 - alpha_t) qn_t + alpha_t x_t), (H_t + a f_t I) x_t = qn_t.

    Grid: (chunks, heads).
    """
    chunk = tl.program_id(0).to(tl.int64)
    head = tl.program_id(1).to(tl.int64)
    n = tl.load(sequence + chunk)
    if n == N:
        return
    d = tl.arange(0, BD)
    heads_q, heads_k = H // Q_GROUP, H // K_GROUP
    first = tl.load(cu_seqlens + n) + (chunk - tl.load(starts + n)) * C
    rows, inside, valid = tokens(first, tl.load(cu_seqlens + n + 1), mask, C)
    at = rows * H + head
    queries = load_rows(q + head // Q_GROUP * D, rows, heads_q * D, valid, d, D)
    keys = load_rows(k + head // K_GROUP * D, rows, heads_k * D, valid, d, D)
    b, log_decay = load_gates(beta, g, at, valid, ACC)
    w, r = b * b, inverse_norm(keys, ACC)
    between = decays(log_decay, C)
    start, _, _ = edge_decays(log_decay)
    qe = queries.to(ACC) * inverse_norm(queries, ACC)[:, None]
    if NUM_ITER > 0:
        step: tl.constexpr = 2 / (1 + 2 * RIDGE)
        between_h, start_h = between, start
        if not DECAY_H:
            between_h, start_h = decays(tl.zeros_like(log_decay), C), tl.full((C,), 1.0, ACC)
        h0 = load_state(h_chunks, chunk * H + head, d, D, BD)
        norm = norms(keys, r, w, between_h, start_h, h0, OPERAND, ACC)
        per_norm = ratio(tl.full((C,), step, ACC), norm)
        weights = between_h * per_norm[:, None] * (w * r * r)[None, :]
        y = solve(qe, (start_h * per_norm)[:, None], weights, h0, keys, SOLVER, NUM_ITER, RIDGE, OPERAND, ACC)
        solution = y * per_norm[:, None]
        if x is not None:
            if x_rest is not None:
                x_rest += head * D
            store_split(x + head * D, x_rest, solution, rows, H * D, inside, d, D)
            tl.store(f + at, norm, mask=inside)
        if alpha is None:
            qe = solution
        else:
            blend = tl.load(alpha + at, mask=valid, other=0.0).to(ACC)
            qe += blend[:, None] * (solution - qe)
    u0 = load_state(u_chunks, chunk * H + head, d, D, BD)
    values = load_rows(v + head // K_GROUP * D, rows, heads_k * D, valid, d, D)
    scores = dot_split(qe, tl.trans(keys), OPERAND, ACC) * between * (w * r)[None, :]
    out = dot_split(qe, u0, OPERAND, ACC) * start[:, None]
    out = dot_add(scores, values, out, OPERAND, ACC)
    store_rows(o + head * D, out * SCALE, rows, H * D, inside, d, D)
