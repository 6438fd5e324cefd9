# mypy: allow-untyped-defs
# ruff: noqa: N803, PLR0917 - parameters of kernels are many and have no Python types; capitals are known when compiling
"""What the kernels share: tiles of tokens, norms, gates, decays between the tokens of a chunk.

The rules of all kernels of this folder:

- One program works on C tokens of one sequence and expanded head. Tokens are numbered over the whole batch, in int64.
- `OPERAND` is the dtype of matrix products, `ACC` that of everything else. Tiles are cast where they are used, to
  OPERAND in `dot` and to ACC elsewhere, so the same kernel computes in bfloat16, float32 and float64.
- k and v stay as they are in memory. Norms of keys and input gates are numbers per token, and go into the masks:
  kt_i kt_i^T = w_i r_i^2 k_i k_i^T and kt_i vt_i^T = w_i r_i k_i v_i^T, w = (beta + 1e-6)^2, r = 1 / (||k|| + 1e-6).
- A padding token has w = 0, g = 0 and reads zeros, so it changes no state and has no gradient.
"""

import triton
import triton.language as tl

EPS: tl.constexpr = tl.constexpr(1e-6)


@triton.jit
def dot(a, b, OPERAND: tl.constexpr, ACC: tl.constexpr):
    """The matrix product a b. That of float32 is made of three TF32 products, which leaves a few roundings."""
    return tl.dot(a.to(OPERAND), b.to(OPERAND), input_precision="tf32x3", out_dtype=ACC)


@triton.jit
def dot_add(a, b, acc, OPERAND: tl.constexpr, ACC: tl.constexpr):
    """acc + a b."""
    return tl.dot(a.to(OPERAND), b.to(OPERAND), acc, input_precision="tf32x3", out_dtype=ACC)


@triton.jit
def dot_split(a, b, OPERAND: tl.constexpr, ACC: tl.constexpr):
    """The matrix product a b, a as the sum of two numbers of OPERAND; b is of OPERAND.

    For solutions x: they are up to 1 / ridge_strength times as long as what is read from them; so is their rounding.
    """
    product = dot(a, b, OPERAND, ACC)
    if OPERAND != ACC:
        product = dot_add(a - a.to(OPERAND).to(ACC), b, product, OPERAND, ACC)
    return product


@triton.jit
def dot_add_split(a, b, acc, OPERAND: tl.constexpr, ACC: tl.constexpr):
    """acc + a b, likewise."""
    acc = dot_add(a, b, acc, OPERAND, ACC)
    if OPERAND != ACC:
        acc = dot_add(a - a.to(OPERAND).to(ACC), b, acc, OPERAND, ACC)
    return acc


@triton.jit
def within(valid, columns, D: tl.constexpr):
    """Which places of [rows, columns] there are; columns beyond D are only those that make it a power of two."""
    if D >= 16 and D & (D - 1) == 0:
        place = tl.broadcast_to(valid[:, None], [valid.shape[0], columns.shape[0]])
    else:
        place = valid[:, None] & (columns < D)[None, :]
    return place


@triton.jit
def load_rows(pointer, rows, head, heads, valid, columns, D: tl.constexpr):
    """[rows, columns] of what [.., heads, D] holds of one head; 0 in rows that are not valid and beyond D columns."""
    place = pointer + head * D + rows[:, None] * (heads * D) + columns[None, :]
    return tl.load(place, mask=within(valid, columns, D), other=0.0)


@triton.jit
def store_rows(pointer, value, rows, head, heads, valid, columns, D: tl.constexpr):
    """The counterpart of `load_rows`."""
    place = pointer + head * D + rows[:, None] * (heads * D) + columns[None, :]
    tl.store(place, value.to(pointer.dtype.element_ty), mask=within(valid, columns, D))


@triton.jit
def load_split(pointer, rest, rows, head, heads, valid, columns, D: tl.constexpr, ACC: tl.constexpr):
    """What `store_split` has stored."""
    value = load_rows(pointer, rows, head, heads, valid, columns, D).to(ACC)
    if rest is not None:
        value += load_rows(rest, rows, head, heads, valid, columns, D).to(ACC)
    return value


@triton.jit
def store_split(pointer, rest, value, rows, head, heads, valid, columns, D: tl.constexpr):
    """Stores `value` rounded to the dtype of `pointer`, and what that leaves, if there is a place for it, to `rest`."""
    store_rows(pointer, value, rows, head, heads, valid, columns, D)
    if rest is not None:
        left = value - value.to(pointer.dtype.element_ty).to(value.dtype)
        store_rows(rest, left, rows, head, heads, valid, columns, D)


@triton.jit
def load_state(pointer, index, columns, D: tl.constexpr, BD: tl.constexpr):
    """[BD, columns] of D x D matrix number `index`; 0 beyond D."""
    d = tl.arange(0, BD)
    return load_rows(pointer + index * D * D, d, 0, 1, d < D, columns, D)


@triton.jit
def store_state(pointer, value, index, columns, D: tl.constexpr, BD: tl.constexpr):
    """The counterpart of `load_state`."""
    d = tl.arange(0, BD)
    store_rows(pointer + index * D * D, value, d, 0, 1, d < D, columns, D)


@triton.jit
def own_chunk(sequence):
    """Which chunk and head a program of a grid of (chunks, heads) has, and the sequence of that chunk."""
    chunk = tl.program_id(0).to(tl.int64)
    return chunk, tl.program_id(1).to(tl.int64), tl.load(sequence + chunk)


@triton.jit
def own_sequence(H):
    """Return the sequence and head of the program in a grid of (sequences x heads, column blocks)."""
    n = tl.program_id(0).to(tl.int64) // H
    head = tl.program_id(0).to(tl.int64) % H
    return n, head


@triton.jit
def tokens(first, end, mask, C: tl.constexpr):
    """C tokens from `first` on, which of them the sequence has, and which of these are no padding."""
    rows = first + tl.arange(0, C)
    inside = rows < end
    valid = inside
    if mask is not None:
        valid = inside & (tl.load(mask + rows, mask=inside, other=0) != 0)
    return rows, inside, valid


@triton.jit
def chunk_tokens(chunk, n, cu_seqlens, starts, mask, C: tl.constexpr):
    """`tokens` of a chunk of sequence n."""
    first = tl.load(cu_seqlens + n) + (chunk - tl.load(starts + n)) * C
    return tokens(first, tl.load(cu_seqlens + n + 1), mask, C)


@triton.jit
def load_gates(beta, g, at, valid, ACC: tl.constexpr):
    """b = beta + 1e-6 and g of tokens; 0 where there is none."""
    b = tl.where(valid, tl.load(beta + at, mask=valid, other=0.0).to(ACC) + EPS, 0.0)
    decay = tl.zeros_like(b) if g is None else tl.load(g + at, mask=valid, other=0.0).to(ACC)
    return b, decay


@triton.jit
def load_blend(alpha, at, valid, C: tl.constexpr, ACC: tl.constexpr):
    """alpha of tokens, [C, 1]; 1 where there is no gate."""
    blend = tl.full((C, 1), 1.0, ACC)
    if alpha is not None:
        blend = tl.load(alpha + at, mask=valid, other=0.0).to(ACC)[:, None]
    return blend


@triton.jit
def inverse_norm(x, ACC: tl.constexpr):
    """1 / (||x|| + 1e-6) of every row."""
    wide = x.to(ACC)
    return 1 / (tl.sqrt(tl.sum(wide * wide, 1)) + EPS)


@triton.jit
def norm_gradient(x, dn, ACC: tl.constexpr):
    """Gradient with respect to x of n = x / (||x|| + 1e-6), given that of n; at x = 0, dn / 1e-6."""
    wide = x.to(ACC)
    length = tl.sqrt(tl.sum(wide * wide, 1))
    r = 1 / (length + EPS)
    along = tl.sum(wide * dn, 1) * r * r / tl.where(length > 0, length, 1)
    return dn * r[:, None] - wide * along[:, None]


@triton.jit
def sums(g):
    """g_1 + .. + g_t of every token as two numbers to be added up last, and the same of all tokens.

    The first ones are multiples of 2^-8: their sums and differences are exact, so the decay between two tokens is as
    exact after a strong decay as before it.
    """
    coarse = tl.floor(g * 256) / 256
    fine = g - coarse
    return tl.cumsum(coarse), tl.cumsum(fine), tl.sum(coarse), tl.sum(fine)


@triton.jit
def edge_decays(g):
    """Decays of a chunk, from its log decays: from its start to every token, from there to its end, and in all."""
    coarse, fine, coarse_all, fine_all = sums(g)
    return tl.exp(coarse + fine), tl.exp((coarse_all - coarse) + (fine_all - fine)), tl.exp(coarse_all + fine_all)


@triton.jit
def decays(g, C: tl.constexpr):
    """R[t, i] = exp(g_{i+1} + .. + g_t) for i <= t, else 0, from the log decays of a chunk."""
    t = tl.arange(0, C)
    coarse, fine, _, _ = sums(g)
    apart = (coarse[:, None] - coarse[None, :]) + (fine[:, None] - fine[None, :])
    # Above the diagonal the exponent is positive and may overflow: select, do not multiply.
    return tl.exp(tl.where(t[:, None] >= t[None, :], apart, -float("inf")))


@triton.jit
def decays_of_h(between, start, DECAY_H: tl.constexpr, C: tl.constexpr):
    """R and e as they are for H: those of U, or nothing is forgotten."""
    if not DECAY_H:
        between, start = decays(tl.zeros_like(start), C), tl.exp(tl.zeros_like(start))
    return between, start


@triton.jit
def weights_and_decays(keys, beta, g, at, valid, C: tl.constexpr, ACC: tl.constexpr):
    """w and r of the tokens of a chunk, and their decays, R and that from the start of the chunk."""
    b, log_decay = load_gates(beta, g, at, valid, ACC)
    start, _, _ = edge_decays(log_decay)
    return b * b, inverse_norm(keys, ACC), decays(log_decay, C), start
