# mypy: allow-untyped-defs
# ruff: noqa: N803, PLR0915, PLR0917 - kernels have many parameters without Python types; capitals are compile-time constants
"""Last part of the backward pass: gradients of values, keys and gates from those of the states.

With Uacc_i = sum_{t >= i} R[t, i] s qe_t do_t^T + R[C, i] dU, and Gacc_i the same sum of G_t and dH:

    dv_i = w_i Uacc_i^T kn_i,  dkn_i = w_i (Uacc_i v_i + (Gacc_i + Gacc_i^T) kn_i),
    dw_i = kn_i . Uacc_i v_i + kn_i . Gacc_i kn_i,  dbeta_i = 2 (beta_i + 1e-6) dw_i

The gradient of a log decay g_i is <Uacc_i, U_i - w_i kn_i v_i^T> + <Gacc_i, H_i - w_i kn_i kn_i^T>.

One program processes the tokens of one chunk and head of k and v, and loops over the expanded heads that share it.
"""

import triton
import triton.language as tl

from gated_kalmanet.triton.tile import (
    chunk_tokens,
    decays,
    dot,
    dot_add,
    edge_decays,
    inverse_norm,
    load_blend,
    load_gates,
    load_rows,
    load_state,
    norm_gradient,
    own_chunk,
    store_rows,
)


@triton.jit
def values_kernel(
    q, k, beta, alpha, g, mask, du_chunks, x, x_rest, do, cu_seqlens, starts, sequence, dv,
    N, H, Q_GROUP: tl.constexpr, K_GROUP: tl.constexpr, D: tl.constexpr, BD: tl.constexpr, C: tl.constexpr,
    SOLVE: tl.constexpr, SCALE: tl.constexpr, OPERAND: tl.constexpr, ACC: tl.constexpr,
):  # fmt: skip
    """Compute dv.

    Grid: (chunks, heads of k).
    """
    chunk, head_k, n = own_chunk(sequence)
    if n == N:
        return
    d, heads_k = tl.arange(0, BD), H // K_GROUP
    rows, inside, valid = chunk_tokens(chunk, n, cu_seqlens, starts, mask, C)
    keys = load_rows(k, rows, head_k, heads_k, valid, d, D)
    r = inverse_norm(keys, ACC)
    dvalues = tl.zeros((C, BD), ACC)
    for member in tl.range(K_GROUP, disable_licm=True):
        head = head_k * K_GROUP + member
        at = rows * H + head
        b, log_decay = load_gates(beta, g, at, valid, ACC)
        _, to_end, _ = edge_decays(log_decay)
        queries = load_rows(q, rows, head // Q_GROUP, H // Q_GROUP, valid, d, D)
        read_k = unit_products(queries, keys, OPERAND, ACC)
        if SOLVE:
            solution_k = split_products(x, x_rest, rows, head, H, inside, keys, d, D, OPERAND, ACC)
            if alpha is None:
                read_k = solution_k
            else:
                read_k += load_blend(alpha, at, valid, C, ACC) * (solution_k - read_k)
        sent = load_rows(do, rows, head, H, valid, d, D)
        du = load_state(du_chunks, chunk * H + head, d, D, BD)
        to_v = dot(keys, du, OPERAND, ACC) * to_end[:, None]
        to_v = dot_add(tl.trans(read_k * decays(log_decay, C) * SCALE), sent, to_v, OPERAND, ACC)
        dvalues += to_v * (b * b * r)[:, None]
    store_rows(dv, dvalues, rows, head_k, heads_k, inside, d, D)


@triton.jit
def unit_products(queries, keys, OPERAND: tl.constexpr, ACC: tl.constexpr):
    """Compute qn_t . k_i, [t, i]."""
    return dot(queries, tl.trans(keys), OPERAND, ACC) * inverse_norm(queries, ACC)[:, None]


@triton.jit
def split_products(
    pointer, rest, rows, head, H, inside, keys, d, D: tl.constexpr, OPERAND: tl.constexpr, ACC: tl.constexpr
):
    """Compute x_t . k_i, [t, i], for x or z stored by `store_split`."""
    products = dot(load_rows(pointer, rows, head, H, inside, d, D), tl.trans(keys), OPERAND, ACC)
    if rest is not None:
        products = dot_add(load_rows(rest, rows, head, H, inside, d, D), tl.trans(keys), products, OPERAND, ACC)
    return products


@triton.jit
def keys_kernel(
    q, k, v, beta, alpha, g, mask, h_chunks, dh_chunks, du_chunks, carried, x, x_rest, z, z_rest, do,
    n_in, reach_in, dgamma, cu_seqlens, starts, sequence, dk, dbeta, dg,
    N, H, Q_GROUP: tl.constexpr, K_GROUP: tl.constexpr, D: tl.constexpr, BD: tl.constexpr, BLOCKS: tl.constexpr,
    C: tl.constexpr, SOLVE: tl.constexpr, SCALE: tl.constexpr, DECAY_H: tl.constexpr, OPERAND: tl.constexpr,
    ACC: tl.constexpr,
):  # fmt: skip
    """Compute dk, dbeta and dg.

    Uacc_i v_i and Gacc_i kn_i nearly cancel, because x fits U to the values. They are accumulated in one sum,
    elementwise where both come from token t, before rounding.

    dg is a reverse cumulative sum: token t adds dgamma_t and its contributions to the tokens of its chunk, minus w_t
    dw_t; the end of the chunk adds <dU, U> + <dH, H>, partly from `carried`.

    Grid: (chunks, heads of k).
    """
    chunk, head_k, n = own_chunk(sequence)
    if n == N:
        return
    d, heads_k = tl.arange(0, BD), H // K_GROUP
    rows, inside, valid = chunk_tokens(chunk, n, cu_seqlens, starts, mask, C)
    keys = load_rows(k, rows, head_k, heads_k, valid, d, D)
    values = load_rows(v, rows, head_k, heads_k, valid, d, D)
    r = inverse_norm(keys, ACC)
    dkn = tl.zeros((C, BD), ACC)
    for member in tl.range(K_GROUP, disable_licm=True):
        head = head_k * K_GROUP + member
        at = rows * H + head
        state = chunk * H + head
        b, log_decay = load_gates(beta, g, at, valid, ACC)
        w = b * b
        # dkn_i / w_i from later chunks, and its products with kn_i, for U and for H.
        _, to_end, _ = edge_decays(log_decay)
        du = load_state(du_chunks, state, d, D, BD)
        to_k = dot(values, tl.trans(du), OPERAND, ACC) * to_end[:, None]
        dw_u = r * tl.sum(to_k * keys.to(ACC), 1)
        if not DECAY_H:
            to_end = tl.full((C,), 1.0, ACC)
        dh = load_state(dh_chunks, state, d, D, BD)
        late = dot(keys, dh, OPERAND, ACC) * (r * to_end)[:, None]
        dw_h = r * tl.sum(late * keys.to(ACC), 1)
        to_k += late
        to_k += dot(keys, tl.trans(dh), OPERAND, ACC) * (r * to_end)[:, None]
        end_gamma = tl.sum(tl.load(carried + state * BLOCKS + tl.arange(0, BLOCKS))) + tl.sum(w * dw_u)
        if DECAY_H:
            end_gamma += tl.sum(w * dw_h)

        # [t, i]: s R do_t . v_i and qn_t . k_i or, after a solve, qe_t . k_i.
        between = decays(log_decay, C)
        sent = load_rows(do, rows, head, H, valid, d, D)
        sent_v = dot(sent, tl.trans(values), OPERAND, ACC) * between * SCALE
        queries = load_rows(q, rows, head // Q_GROUP, H // Q_GROUP, valid, d, D)
        unit = inverse_norm(queries, ACC)[:, None]
        read_k = unit_products(queries, keys, OPERAND, ACC)
        if SOLVE:
            blend = load_blend(alpha, at, valid, C, ACC)
            solution_k = split_products(x, x_rest, rows, head, H, inside, keys, d, D, OPERAND, ACC)
            read_k += blend * (solution_k - read_k)
            unit *= 1 - blend
        to_k = dot_add(tl.trans(sent_v * unit), queries, to_k, OPERAND, ACC)
        # [t, i]: contribution of token t to the gradient of w_i.
        back = sent_v * read_k * r[None, :]
        dw_u += tl.sum(back, 0)
        if SOLVE:
            if not DECAY_H:
                between = decays(tl.zeros_like(log_decay), C)
            # [t, i]: R z_t . kn_i
            solved_k = split_products(z, z_rest, rows, head, H, inside, keys, d, D, OPERAND, ACC)
            solved_k *= between * r[None, :]
            solution = load_rows(x, rows, head, H, inside, d, D)
            to_k = dot_add(tl.trans(sent_v * blend - solved_k), solution, to_k, OPERAND, ACC)
            solved = load_rows(z, rows, head, H, inside, d, D)
            to_k = dot_add(tl.trans(solution_k * between * -r[None, :]), solved, to_k, OPERAND, ACC)
            back_h = solved_k * solution_k * r[None, :]
            dw_h -= tl.sum(back_h, 0)
            if DECAY_H:
                back -= back_h
            # sum_t R[t, i] n_t H_t kn_i = reach_i H0 kn_i + sum_j P[i, j] (kn_i . kn_j) kt_j,
            # P[i, j] = sum_t n_t R[t, i] R[t, j]
            share = tl.load(n_in + at, mask=inside, other=0.0)
            reach = tl.load(reach_in + at, mask=inside, other=0.0)
            h0 = load_state(h_chunks, state, d, D, BD)
            pairs = dot(tl.trans(between * share[:, None]), between, OPERAND, ACC)
            pairs *= dot(keys, tl.trans(keys), OPERAND, ACC) * (w * r * r)[None, :]
            ridge = dot_add(pairs, keys, dot(keys, h0, OPERAND, ACC) * reach[:, None], OPERAND, ACC) * r[:, None]
            to_k -= 2 * ridge
            dw_h -= r * tl.sum(ridge * keys.to(ACC), 1)
        dkn += to_k * w[:, None]
        tl.store(dbeta + at, 2 * b * (dw_u + dw_h), mask=inside)
        if dg is not None:
            if DECAY_H:
                dw_u += dw_h
            gamma = tl.load(dgamma + at, mask=inside, other=0.0) + tl.sum(back * w[None, :], 1) - w * dw_u
            total = tl.where(valid, tl.cumsum(gamma, reverse=True) + end_gamma, 0.0)
            tl.store(dg + at, total, mask=inside)
    store_rows(dk, norm_gradient(keys, dkn, ACC), rows, head_k, heads_k, inside, d, D)
