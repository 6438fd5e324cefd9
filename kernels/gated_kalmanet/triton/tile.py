# mypy: allow-untyped-defs
# ruff: noqa: N803, PLR0917 - kernels have many parameters without Python types; capitals are compile-time constants
"""Functions that the kernels share: tiles of tokens, norms, gates and the decays between the tokens of a chunk.

Conventions of all kernels in this folder:

- One program processes C tokens of one sequence and expanded head. Tokens are indexed over the flattened batch, in
  int64.
- `OPERAND` is the dtype of the operands of matrix products, `ACC` that of everything else. Tiles are cast where they
  are used, to OPERAND in `dot` and to ACC elsewhere, so one kernel supports bfloat16, float32 and float64.
- k and v are loaded unnormalised. Norms of keys and input gates are scalars per token, multiplied into the weights:
  kt_i kt_i^T = w_i r_i^2 k_i k_i^T and kt_i vt_i^T = w_i r_i k_i v_i^T, w = (beta + 1e-6)^2, r = 1 / (||k|| + 1e-6).
- A padding token has w = 0 and g = 0 and loads zeros, so it changes no state and has gradient 0.
"""

import triton
import triton.language as tl

EPS: tl.constexpr = tl.constexpr(1e-6)


@triton.jit
def dot(a, b, OPERAND: tl.constexpr, ACC: tl.constexpr):
    """Compute the matrix product a b; for float32 as three TF32 products, with an error of a few roundings."""
    return tl.dot(a.to(OPERAND), b.to(OPERAND), input_precision="tf32x3", out_dtype=ACC)


@triton.jit
def dot_add(a, b, acc, OPERAND: tl.constexpr, ACC: tl.constexpr):
    """Compute acc + a b."""
    return tl.dot(a.to(OPERAND), b.to(OPERAND), acc, input_precision="tf32x3", out_dtype=ACC)


@triton.jit
def dot_split(a, b, OPERAND: tl.constexpr, ACC: tl.constexpr):
    """Compute a b with a split into the sum of two OPERAND tensors; b is rounded to OPERAND.

    Used for solutions x, whose norm, and with it their rounding error, is up to 1 / ridge_strength times that of the
    result.
    """
    product = dot(a, b, OPERAND, ACC)
    if OPERAND != ACC:
        product = dot_add(a - a.to(OPERAND).to(ACC), b, product, OPERAND, ACC)
    return product


@triton.jit
def dot_add_split(a, b, acc, OPERAND: tl.constexpr, ACC: tl.constexpr):
    """Compute acc + a b with a split into the sum of two OPERAND tensors."""
    acc = dot_add(a, b, acc, OPERAND, ACC)
    if OPERAND != ACC:
        acc = dot_add(a - a.to(OPERAND).to(ACC), b, acc, OPERAND, ACC)
    return acc


@triton.jit
def within(valid, columns, D: tl.constexpr):
    """Compute the mask [rows, columns] of valid rows and of columns below D, which is padded to a power of two."""
    if D >= 16 and D & (D - 1) == 0:
        place = tl.broadcast_to(valid[:, None], [valid.shape[0], columns.shape[0]])
    else:
        place = valid[:, None] & (columns < D)[None, :]
    return place


@triton.jit
def load_rows(pointer, rows, head, heads, valid, columns, D: tl.constexpr):
    """Load [rows, columns] of one head from [.., heads, D]; 0 in invalid rows and in columns beyond D."""
    place = pointer + head * D + rows[:, None] * (heads * D) + columns[None, :]
    return tl.load(place, mask=within(valid, columns, D), other=0.0)


@triton.jit
def store_rows(pointer, value, rows, head, heads, valid, columns, D: tl.constexpr):
    """Store [rows, columns] of one head to [.., heads, D], masked as in `load_rows`."""
    place = pointer + head * D + rows[:, None] * (heads * D) + columns[None, :]
    tl.store(place, value.to(pointer.dtype.element_ty), mask=within(valid, columns, D))


@triton.jit
def load_split(pointer, rest, rows, head, heads, valid, columns, D: tl.constexpr, ACC: tl.constexpr):
    """Load a value stored by `store_split`."""
    value = load_rows(pointer, rows, head, heads, valid, columns, D).to(ACC)
    if rest is not None:
        value += load_rows(rest, rows, head, heads, valid, columns, D).to(ACC)
    return value


@triton.jit
def store_split(pointer, rest, value, rows, head, heads, valid, columns, D: tl.constexpr):
    """Store `value` rounded to the dtype of `pointer` and, if `rest` is given, the rounding error to `rest`."""
    store_rows(pointer, value, rows, head, heads, valid, columns, D)
    if rest is not None:
        left = value - value.to(pointer.dtype.element_ty).to(value.dtype)
        store_rows(rest, left, rows, head, heads, valid, columns, D)


@triton.jit
def load_state(pointer, index, columns, D: tl.constexpr, BD: tl.constexpr):
    """Load columns of the D x D matrix `index`, [BD, columns]; 0 beyond D."""
    d = tl.arange(0, BD)
    return load_rows(pointer + index * D * D, d, 0, 1, d < D, columns, D)


@triton.jit
def store_state(pointer, value, index, columns, D: tl.constexpr, BD: tl.constexpr):
    """Store columns of the D x D matrix `index`."""
    d = tl.arange(0, BD)
    store_rows(pointer + index * D * D, value, d, 0, 1, d < D, columns, D)


@triton.jit
def own_chunk(sequence):
    """Return the chunk and head of the program in a grid of (chunks, heads), and the sequence of that chunk."""
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
    """Return C tokens from `first`, the mask of those inside the sequence, and the mask without padding."""
    rows = first + tl.arange(0, C)
    inside = rows < end
    valid = inside
    if mask is not None:
        valid = inside & (tl.load(mask + rows, mask=inside, other=0) != 0)
    return rows, inside, valid


@triton.jit
def chunk_tokens(chunk, n, cu_seqlens, starts, mask, C: tl.constexpr):
    """Return the `tokens` of a chunk of sequence n."""
    first = tl.load(cu_seqlens + n) + (chunk - tl.load(starts + n)) * C
    return tokens(first, tl.load(cu_seqlens + n + 1), mask, C)


@triton.jit
def load_gates(beta, g, at, valid, ACC: tl.constexpr):
    """Load b = beta + 1e-6 and g of tokens; 0 for invalid tokens."""
    b = tl.where(valid, tl.load(beta + at, mask=valid, other=0.0).to(ACC) + EPS, 0.0)
    decay = tl.zeros_like(b) if g is None else tl.load(g + at, mask=valid, other=0.0).to(ACC)
    return b, decay


@triton.jit
def load_blend(alpha, at, valid, C: tl.constexpr, ACC: tl.constexpr):
    """Load alpha of tokens, [C, 1]; 1 without a gate."""
    blend = tl.full((C, 1), 1.0, ACC)
    if alpha is not None:
        blend = tl.load(alpha + at, mask=valid, other=0.0).to(ACC)[:, None]
    return blend


@triton.jit
def inverse_norm(x, ACC: tl.constexpr):
    """Compute 1 / (||x|| + 1e-6) of every row."""
    wide = x.to(ACC)
    return 1 / (tl.sqrt(tl.sum(wide * wide, 1)) + EPS)


@triton.jit
def norm_gradient(x, dn, ACC: tl.constexpr):
    """Compute the gradient of x from that of n = x / (||x|| + 1e-6); at x = 0 it is dn / 1e-6."""
    wide = x.to(ACC)
    length = tl.sqrt(tl.sum(wide * wide, 1))
    r = 1 / (length + EPS)
    along = tl.sum(wide * dn, 1) * r * r / tl.where(length > 0, length, 1)
    return dn * r[:, None] - wide * along[:, None]


@triton.jit
def sums(g):
    """Compute the cumulative sums g_1 + .. + g_t as a coarse and a fine part, and the totals of both.

    The coarse parts are multiples of 2^-8, whose sums and differences are exact, so the decay between two tokens is as
    accurate after a strong decay as before it.
    """
    coarse = tl.floor(g * 256) / 256
    fine = g - coarse
    return tl.cumsum(coarse), tl.cumsum(fine), tl.sum(coarse), tl.sum(fine)


@triton.jit
def edge_decays(g):
    """Compute the decays from the start of a chunk to every token, from every token to its end, and over the chunk."""
    coarse, fine, coarse_all, fine_all = sums(g)
    return tl.exp(coarse + fine), tl.exp((coarse_all - coarse) + (fine_all - fine)), tl.exp(coarse_all + fine_all)


@triton.jit
def decays(g, C: tl.constexpr):
    """Compute R[t, i] = exp(g_{i+1} + .. + g_t) for i <= t, else 0, from the log decays of a chunk."""
    t = tl.arange(0, C)
    coarse, fine, _, _ = sums(g)
    apart = (coarse[:, None] - coarse[None, :]) + (fine[:, None] - fine[None, :])
    # Above the diagonal the exponent is positive and may overflow: select instead of multiplying by 0.
    return tl.exp(tl.where(t[:, None] >= t[None, :], apart, -float("inf")))


@triton.jit
def decays_of_h(between, start, DECAY_H: tl.constexpr, C: tl.constexpr):
    """Return R and e of H: those of U, or those of log decays 0."""
    if not DECAY_H:
        between, start = decays(tl.zeros_like(start), C), tl.exp(tl.zeros_like(start))
    return between, start


@triton.jit
def weights_and_decays(keys, beta, g, at, valid, C: tl.constexpr, ACC: tl.constexpr):
    """Compute w and r of the tokens of a chunk, and their decays R and e."""
    b, log_decay = load_gates(beta, g, at, valid, ACC)
    start, _, _ = edge_decays(log_decay)
    return b * b, inverse_norm(keys, ACC), decays(log_decay, C), start
