# mypy: allow-untyped-defs
# ruff: noqa: N803, PLR0917 - kernels have many parameters without Python types; capitals are compile-time constants
"""Forward pass over whole sequences: one kernel computes the states before every chunk, one solves and reads them out.

Shapes: C tokens per chunk, head dimension D, padded to BD, a power of two, H expanded heads.
"""

import triton
import triton.language as tl

from gated_kalmanet.triton.solve import norms, solve
from gated_kalmanet.triton.tile import (
    chunk_tokens,
    decays_of_h,
    dot_add,
    dot_split,
    edge_decays,
    inverse_norm,
    load_blend,
    load_gates,
    load_rows,
    load_state,
    own_chunk,
    own_sequence,
    store_rows,
    store_split,
    store_state,
    tokens,
    weights_and_decays,
)


@triton.jit
def scan_kernel(
    k, v, beta, g, mask, h_first, u_first, cu_seqlens, starts, h_chunks, u_chunks, h_last, u_last,
    H, K_GROUP: tl.constexpr, D: tl.constexpr, BD: tl.constexpr, BV: tl.constexpr, C: tl.constexpr,
    DECAY_H: tl.constexpr, OPERAND: tl.constexpr, ACC: tl.constexpr,
):  # fmt: skip
    """Compute both states before every chunk and after the last one: BV columns of one sequence and head.

    H' = e_C H0 + sum_i exp(Gamma_C - Gamma_i) kt_i kt_i^T, and the same for U' with vt_i (3.1).

    Grid: (sequences x heads, column blocks).
    """
    n, head = own_sequence(H)
    d = tl.arange(0, BD)
    columns = tl.program_id(1) * BV + tl.arange(0, BV)
    head_k, heads_k = head // K_GROUP, H // K_GROUP
    h = tl.zeros((BD, BV), ACC)
    u = tl.zeros((BD, BV), ACC)
    if h_first is not None:
        h += load_state(h_first, n * H + head, columns, D, BD).to(ACC)
        u += load_state(u_first, n * H + head, columns, D, BD).to(ACC)
    # Load before the loop: a load that depends on another load is not pipelined.
    first, end, first_chunk = tl.load(cu_seqlens + n), tl.load(cu_seqlens + n + 1), tl.load(starts + n)
    for chunk in range(first_chunk, tl.load(starts + n + 1)):
        store_state(h_chunks, h, chunk * H + head, columns, D, BD)
        store_state(u_chunks, u, chunk * H + head, columns, D, BD)
        rows, _, valid = tokens(first + (chunk - first_chunk) * C, end, mask, C)
        keys = load_rows(k, rows, head_k, heads_k, valid, d, D)
        some_keys = load_rows(k, rows, head_k, heads_k, valid, columns, D)
        values = load_rows(v, rows, head_k, heads_k, valid, columns, D)
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
    """Solve, blend and read out the tokens of one chunk and head; store x and f if their pointers are given.

    o_t = s U_t^T ((1 - alpha_t) qn_t + alpha_t x_t), (H_t + a f_t I) x_t = qn_t.

    Grid: (chunks, heads).
    """
    chunk, head, n = own_chunk(sequence)
    if n == N:
        return
    d = tl.arange(0, BD)
    rows, inside, valid = chunk_tokens(chunk, n, cu_seqlens, starts, mask, C)
    at, head_k, heads_k = rows * H + head, head // K_GROUP, H // K_GROUP
    queries = load_rows(q, rows, head // Q_GROUP, H // Q_GROUP, valid, d, D)
    keys = load_rows(k, rows, head_k, heads_k, valid, d, D)
    w, r, between, start = weights_and_decays(keys, beta, g, at, valid, C, ACC)
    qe = queries.to(ACC) * inverse_norm(queries, ACC)[:, None]
    if NUM_ITER > 0:
        between_h, start_h = decays_of_h(between, start, DECAY_H, C)
        h0 = load_state(h_chunks, chunk * H + head, d, D, BD)
        norm = norms(keys, r, w, between_h, start_h, h0, OPERAND, ACC)
        solution = solve(qe, norm, w, r, between_h, start_h, h0, keys, SOLVER, NUM_ITER, RIDGE, OPERAND, ACC)
        if x is not None:
            store_split(x, x_rest, solution, rows, head, H, inside, d, D)
            tl.store(f + at, norm, mask=inside)
        if alpha is None:
            qe = solution
        else:
            qe += load_blend(alpha, at, valid, C, ACC) * (solution - qe)
    u0 = load_state(u_chunks, chunk * H + head, d, D, BD)
    values = load_rows(v, rows, head_k, heads_k, valid, d, D)
    scores = dot_split(qe, tl.trans(keys), OPERAND, ACC) * between * (w * r)[None, :]
    out = dot_split(qe, u0, OPERAND, ACC) * start[:, None]
    out = dot_add(scores, values, out, OPERAND, ACC)
    store_rows(o, out * SCALE, rows, head, H, inside, d, D)
