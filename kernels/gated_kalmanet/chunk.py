# ruff: noqa: N803, N806, PLR0917 - the names of the paper; the six tensors of the operator
"""Chunk-wise implementation of Gated KalmaNet in PyTorch: matrix products instead of a loop over tokens.

Agrees with `gated_kalmanet.naive` up to rounding, on any device. The gradient is that of the exact solve, evaluated at
the solution after `num_iter` iterations (3.3). Second derivatives are not supported.
"""

from __future__ import annotations

from itertools import accumulate
from typing import TYPE_CHECKING, Any

import torch

from gated_kalmanet.checks import EPS, Settings, check, compute_dtype
from gated_kalmanet.chunk_backward import Backward
from gated_kalmanet.chunk_forward import Chunks, Decay, forward
from gated_kalmanet.layout import Group, Layout, sequences
from gated_kalmanet.naive import expand, normalise
from gated_kalmanet.state import State

if TYPE_CHECKING:
    from torch import Tensor


def chunk_gated_kalmanet(
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
    chunk_size: int = 64,
) -> tuple[Tensor, State]:
    """Compute Gated KalmaNet (arXiv 2511.21016) chunk by chunk.

    Arguments, results and errors are those of `gated_kalmanet.naive.naive_gated_kalmanet`, except that `solver` is
    "chebyshev" or "cg", H of `initial_state` must be symmetric, and `chunk_size` is C, the number of tokens per chunk.
    """
    size = check(
        q, k, v, beta, alpha, g,
        num_iter=num_iter, ridge_strength=ridge_strength, solver=solver,
        initial_state=initial_state, cu_seqlens=cu_seqlens, mask=mask,
    )  # fmt: skip
    if chunk_size < 1:
        raise ValueError(f"chunk_size must be at least 1, not {chunk_size}")
    dtype = compute_dtype(q.dtype)
    beta = beta.to(dtype)
    alpha = torch.ones_like(beta) if alpha is None else alpha.to(dtype)
    settings = Settings(
        num_iter=num_iter,
        ridge_strength=ridge_strength,
        scale=size.D**-0.5 if scale is None else scale,
        solver=solver,
        decay_h=decay_h,
        grad_ridge=grad_ridge,
    )
    tokens, lengths = sequences(size, cu_seqlens, mask, q.device)
    C = max(1, min(chunk_size, max(lengths, default=1)))
    together = max(1, workspace(q.device) // chunk_bytes(size.H, C, size.D, dtype))
    layout = Layout.of(tokens, lengths, C, together)
    # Where several heads of k and v share one head of q, expand q.
    queries = expand(normalise(q.to(dtype)), size.H)
    zeros = queries.new_zeros(size.N, size.H, size.D, size.D)
    H, U = (zeros, zeros) if initial_state is None else (initial_state.H, initial_state.U)
    back = layout.sequences.argsort()
    inputs = (
        layout.pack(queries),
        layout.pack(normalise(k.to(dtype))),
        layout.pack(v.to(dtype)),
        layout.pack((beta + EPS).square()),
        layout.pack(alpha),
        layout.pack(torch.zeros_like(beta) if g is None else g),
        H[layout.sequences],
        U[layout.sequences],
    )
    keep = torch.is_grad_enabled() and any(tensor.requires_grad for tensor in inputs)
    o, H, U = Chunked.apply(*inputs, layout.groups, settings, keep)
    return layout.unpack(o, size.B, size.T).to(v.dtype), State(H=H[back], U=U[back])


def workspace(device: torch.device) -> int:
    """Memory budget in bytes of the chunks computed together: the cache size of a CPU, or enough to occupy a GPU."""
    return 1 << (23 if device.type == "cpu" else 30)


def chunk_bytes(H: int, C: int, D: int, dtype: torch.dtype) -> int:
    """Bytes used by a forward pass over one chunk: two states, five C x D and three C x C matrices per head."""
    return H * (2 * D * D + 5 * C * D + 3 * C * C) * dtype.itemsize


class Chunked(torch.autograd.Function):
    """Operator on packed chunks: q [chunks, H, C, D]; k, v [chunks, Hk, C, D]; w, alpha, g [chunks, H, C]."""

    @staticmethod
    def forward(
        ctx: Any,
        q: Tensor,
        k: Tensor,
        v: Tensor,
        w: Tensor,
        alpha: Tensor,
        g: Tensor,
        H: Tensor,
        U: Tensor,
        groups: tuple[Group, ...],
        settings: Settings,
        keep: bool,
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Compute outputs [chunks, H, C, D] and final states [N, H, D, D]; `keep` saves tensors for `backward`."""
        H, U, o = H.clone(), U.clone(), torch.empty_like(q)
        kept: list[Tensor] = []
        with torch.autocast(q.device.type, enabled=False):
            for group in groups:
                before = (H[group.rows].clone(), U[group.rows].clone()) if keep else ()
                chunks = select_chunks(group, q, k, v, w, alpha, g, settings)
                H0, U0 = states_before(chunks, group, H[group.rows], U[group.rows])
                part, x, f = forward(chunks, H0, U0, settings)
                o[group.chunks] = part.view_as(o[group.chunks])
                kept += [*before, x, f] if keep else []
        ctx.save_for_backward(q, k, v, w, alpha, g, *kept)
        ctx.groups, ctx.settings = groups, settings
        return o, H, U

    @staticmethod
    def backward(ctx: Any, do: Tensor, dH: Tensor, dU: Tensor) -> tuple[Tensor | None, ...]:
        """Compute the gradients of the tensor arguments of `forward`, including the initial states."""
        if torch.is_grad_enabled():
            raise RuntimeError(
                "the chunk-wise implementation has no second derivative (create_graph): use naive_gated_kalmanet"
            )
        with torch.autocast(do.device.type, enabled=False):
            return *chunk_gradients(ctx.saved_tensors, ctx.groups, ctx.settings, (do, dH, dU)), None, None, None


def chunk_gradients(
    saved: tuple[Tensor, ...], groups: tuple[Group, ...], settings: Settings, back: tuple[Tensor, Tensor, Tensor]
) -> tuple[Tensor, ...]:
    """Compute the gradients of q, k, v, w, alpha, g, H and U from those of o and the final states, last group first."""
    q, k, v, w, alpha, g, *kept = saved
    do, dH, dU = back[0], (back[1] + back[1].mT) / 2, back[2].clone()
    gradients = tuple(torch.empty_like(tensor) for tensor in (q, k, v, w, alpha, g))
    for number, group in reversed(list(enumerate(groups))):
        H, U, x, f = kept[4 * number : 4 * number + 4]
        chunks = select_chunks(group, q, k, v, w, alpha, g, settings)
        H0, U0 = states_before(chunks, group, H.clone(), U.clone())
        backward = Backward(chunks, H0, U0, x=x, f=f, do=by_key_head(do[group.chunks], k.shape[1]), settings=settings)
        to_h, to_u = backward.state_gradients()
        DH = scan(to_h, chunks.of_h, dH[group.rows], group, backwards=True)
        DU = scan(to_u, chunks.of_u, dU[group.rows], group, backwards=True)
        for whole, part in zip(gradients, backward.gradients(DH, DU), strict=True):
            whole[group.chunks] = part.view_as(whole[group.chunks])
    return *gradients, dH, dU


def select_chunks(
    group: Group, q: Tensor, k: Tensor, v: Tensor, w: Tensor, alpha: Tensor, g: Tensor, settings: Settings
) -> Chunks:
    """Select the chunks of a group and group the expanded heads by the head of k and v that they read."""
    heads = k.shape[1]
    of_u = Decay.of(by_key_head(g[group.chunks], heads))
    blend = by_key_head(alpha[group.chunks], heads)
    return Chunks(
        q=by_key_head(q[group.chunks], heads),
        k=k[group.chunks].flatten(0, 1),
        v=v[group.chunks].flatten(0, 1),
        w=by_key_head(w[group.chunks], heads),
        # Without a solve, the query itself is read.
        alpha=blend if settings.num_iter else torch.zeros_like(blend),
        of_h=of_u if settings.decay_h else Decay.of(torch.zeros_like(of_u.start)),
        of_u=of_u,
    )


def by_key_head(tensor: Tensor, heads: int) -> Tensor:
    """Group expanded heads by head of k and v: [n, heads R, ...] -> [n heads, R, ...]."""
    return tensor.reshape(len(tensor) * heads, -1, *tensor.shape[2:])


def states_before(chunks: Chunks, group: Group, H: Tensor, U: Tensor) -> tuple[Tensor, Tensor]:
    """Compute H and U before every chunk, [m, R, D, D]; overwrite H and U, [rows, H, D, D], by the final states."""
    new_h, new_u = chunks.states()
    return scan(new_h, chunks.of_h, H, group), scan(new_u, chunks.of_u, U, group)


def scan(added: Tensor, decay: Decay, state: Tensor, group: Group, *, backwards: bool = False) -> Tensor:
    """Scan the chunks of a group in order of time: state = decay of the chunk * state + increment of the chunk.

    Args:
        added: increments [m, R, D, D], overwritten by the state before each chunk.
        decay: decays of the chunks.
        state: initial states [rows, H, D, D], overwritten by the final ones.
        group: order of the chunks.
        backwards: scan from the last chunk to the first.
    """
    chunks = added.view(-1, *state.shape[1:])
    whole = decay.whole.reshape(*chunks.shape[:2], 1, 1)
    ends = list(accumulate(group.steps))
    spans = [(slice(end - running, end), running) for end, running in zip(ends, group.steps, strict=True)]
    for span, running in reversed(spans) if backwards else spans:
        after = torch.addcmul(chunks[span], whole[span], state[:running])
        chunks[span] = state[:running]
        state[:running] = after
    return added
