# ruff: noqa: PLR0917 - the six tensors of the operator
"""Triton implementation of Gated KalmaNet over whole sequences: launches of the forward and backward kernels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch.autograd.function import once_differentiable

from gated_kalmanet.checks import Settings, check, compute_dtype
from gated_kalmanet.state import State
from gated_kalmanet.triton import launch
from gated_kalmanet.triton.backward import queries_kernel, scan_back_kernel, solve_back_kernel
from gated_kalmanet.triton.call import Call, Packing
from gated_kalmanet.triton.gather import keys_kernel, values_kernel
from gated_kalmanet.triton.prefill import read_kernel, scan_kernel

if TYPE_CHECKING:
    from torch import Tensor


def triton_gated_kalmanet(
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
    """Compute Gated KalmaNet (arXiv 2511.21016) on a GPU.

    Arguments, results and errors are those of `gated_kalmanet.naive.naive_gated_kalmanet`, except that D is at most
    256, `solver` is "chebyshev" or "cg", H of `initial_state` must be symmetric, and `chunk_size`, a power of two of at
    least 16, is the largest number of tokens per chunk.

    The call never synchronises with the device, so a CUDA graph can capture it. Matrix products of bfloat16 inputs use
    bfloat16 operands and accumulate in float32. Those of float32 inputs are computed as three TF32 products, which
    leaves an error of a few roundings.
    """
    launch.check_device(q.device)
    size = check(
        q, k, v, beta, alpha, g,
        num_iter=num_iter, ridge_strength=ridge_strength, solver=solver,
        initial_state=initial_state, cu_seqlens=cu_seqlens, mask=mask,
    )  # fmt: skip
    launch.check_size(size.D, q.dtype)
    call = Call(
        size=size,
        packing=Packing.of(size, cu_seqlens, launch.chunk(chunk_size, size.T, size.D, q.dtype), q.device),
        mask=None if mask is None else mask.contiguous(),
        settings=Settings(
            num_iter=num_iter,
            ridge_strength=ridge_strength,
            scale=size.D**-0.5 if scale is None else scale,
            solver=solver,
            decay_h=decay_h,
            grad_ridge=grad_ridge,
        ),
    )
    h, u = (None, None) if initial_state is None else (initial_state.H, initial_state.U)
    # Cast gates to at least four bytes: smaller loads are not pipelined.
    gates = (gate if gate is None else gate.to(compute_dtype(q.dtype)) for gate in (beta, alpha, g))
    tensors = [x if x is None else x.contiguous() for x in (q, k, v, *gates, h, u)]
    if torch.is_grad_enabled() and any(x is not None and x.requires_grad for x in tensors):
        o, h_last, u_last = Prefill.apply(call, *tensors)
    else:
        (o, h_last, u_last), _ = forward(call, *tensors, keep=False)
    return o, State(H=h_last, U=u_last)


class Prefill(torch.autograd.Function):
    """Operator with a first derivative only."""

    @staticmethod
    def forward(ctx: Any, call: Call, *tensors: Tensor | None) -> tuple[Tensor, Tensor, Tensor]:
        """Compute o and the final states."""
        outputs, kept = forward(call, *tensors, keep=True)
        ctx.save_for_backward(*tensors, *kept)
        ctx.set_materialize_grads(False)
        ctx.call = call
        return outputs

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, do: Tensor | None, dh: Tensor | None, du: Tensor | None) -> tuple[Tensor | None, ...]:
        """Compute the gradients of the tensor arguments of `forward`."""
        return None, *backward(ctx.call, *ctx.saved_tensors, do=do, dh=dh, du=du)


def chunk_states(
    call: Call, k: Tensor, v: Tensor, beta: Tensor, g: Tensor | None, h: Tensor | None, u: Tensor | None
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Compute H and U before every chunk and after the last one."""
    packing = call.packing
    h_chunks, u_chunks = call.states(k, launch.stored(k.dtype), packing.chunks)
    h_last, u_last = call.states(k, compute_dtype(k.dtype), call.size.N)
    with torch.cuda.device_of(k):
        scan_kernel[call.per_sequence](
            k, v, beta, g, call.mask, h, u, packing.cu_seqlens, packing.starts, h_chunks, u_chunks, h_last, u_last,
            call.size.H, BV=launch.columns(call.size.D), DECAY_H=call.settings.decay_h, **call.sizes(k.dtype),
            **launch.scan(call.size.D),
        )  # fmt: skip
    return h_chunks, u_chunks, h_last, u_last


def forward(
    call: Call, q: Tensor, k: Tensor, v: Tensor, beta: Tensor, alpha: Tensor | None, g: Tensor | None,
    h: Tensor | None, u: Tensor | None, *, keep: bool,
) -> tuple[tuple[Tensor, Tensor, Tensor], tuple[Tensor | None, ...]]:  # fmt: skip
    """Compute (o, final H, final U) and, if `keep`, also x, its rounding error and f of all tokens."""
    size, packing = call.size, call.packing
    h_chunks, u_chunks, h_last, u_last = chunk_states(call, k, v, beta, g, h, u)
    o = v.new_empty(size.B, size.T, size.H, size.D)
    x, x_rest = solutions(o, q.dtype) if keep and call.settings.num_iter else (None, None)
    f = torch.empty_like(beta) if x is not None else None
    with torch.cuda.device_of(q):
        read_kernel[call.per_chunk](
            q, k, v, beta, alpha, g, call.mask, h_chunks, u_chunks,
            packing.cu_seqlens, packing.starts, packing.sequence, o, x, x_rest, f, size.N, size.H,
            Q_GROUP=size.H // size.Hq, **call.solve(), **call.sizes(q.dtype), **launch.read(size.D),
        )  # fmt: skip
    return (o, h_last, u_last), (x, x_rest, f)


def solutions(like: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor | None]:
    """Allocate a tensor in the shape of `like` in the stored dtype, and one for its rounding error if it has one."""
    stored = launch.stored(dtype)
    rounded = like.new_empty(like.shape, dtype=stored)
    return rounded, torch.empty_like(rounded) if stored != compute_dtype(dtype) else None


def backward(
    call: Call, q: Tensor, k: Tensor, v: Tensor, beta: Tensor, alpha: Tensor | None, g: Tensor | None,
    h: Tensor | None, u: Tensor | None, x: Tensor | None, x_rest: Tensor | None, f: Tensor | None,
    *, do: Tensor | None, dh: Tensor | None, du: Tensor | None,
) -> tuple[Tensor | None, ...]:  # fmt: skip
    """Compute the gradients of the eight tensors of `forward` from those of its three results (None: 0)."""
    size, packing, settings = call.size, call.packing, call.settings
    places = (packing.cu_seqlens, packing.starts)
    do = v.new_zeros(size.B, size.T, size.H, size.D) if do is None else do.contiguous()
    dh, du = (None if d is None else d.contiguous() for d in (dh, du))
    h_chunks, u_chunks, *_ = chunk_states(call, k, v, beta, g, h, u)
    stored, solves = launch.stored(q.dtype), settings.num_iter > 0
    dq, (qe, qe_rest) = do.new_empty(do.shape, dtype=q.dtype), solutions(do, q.dtype)
    z, z_rest = solutions(do, q.dtype) if solves else (None, None)
    share, reach, dgamma, dbeta = (torch.empty_like(beta) for _ in range(4))
    dalpha = torch.empty_like(beta) if alpha is not None and solves else None
    sizes = call.sizes(q.dtype)
    groups = {"Q_GROUP": size.H // size.Hq, "SOLVE": solves, "SCALE": settings.scale}
    with torch.cuda.device_of(q):
        if solves:
            solve_back_kernel[call.per_chunk](
                k, v, beta, alpha, g, call.mask, h_chunks, u_chunks, f, do, *places, packing.sequence, z, z_rest,
                size.N, size.H, **call.solve(), **sizes, **launch.read(size.D),
            )  # fmt: skip
        queries_kernel[call.per_chunk](
            q, k, v, beta, alpha, g, call.mask, h_chunks, u_chunks, x, x_rest, z, z_rest, f, do,
            *places, packing.sequence, qe, qe_rest, dq, dalpha, share, reach, dgamma, size.N, size.H,
            RIDGE=settings.ridge_strength, GRAD_RIDGE=settings.grad_ridge, DECAY_H=settings.decay_h, **groups, **sizes,
            **launch.gather(size.D),
        )  # fmt: skip
        dh_chunks, du_chunks = call.states(k, stored, packing.chunks)
        carried = beta.new_empty(packing.chunks, size.H, call.per_sequence[1])
        dh_first, du_first = (None, None) if h is None else (torch.empty_like(h), torch.empty_like(u))
        scan_back_kernel[call.per_sequence](
            k, beta, g, call.mask, h_chunks, u_chunks, x, x_rest, z, z_rest, qe, qe_rest, do, share, reach, dh, du,
            *places, dh_chunks, du_chunks, carried, dh_first, du_first, size.H,
            BV=launch.columns(size.D), SOLVE=solves, SCALE=settings.scale, DECAY_H=settings.decay_h, **sizes,
            **launch.scan_back(size.D),
        )  # fmt: skip
        dk, dv = torch.empty_like(k), torch.empty_like(v)
        dg = None if g is None else torch.empty_like(g)
        values_kernel[packing.chunks, size.Hk](
            q, k, beta, alpha, g, call.mask, du_chunks, x, x_rest, do, *places, packing.sequence, dv, size.N, size.H,
            **groups, **sizes, **launch.gather(size.D),
        )  # fmt: skip
        keys_kernel[packing.chunks, size.Hk](
            q, k, v, beta, alpha, g, call.mask, h_chunks, dh_chunks, du_chunks, carried, x, x_rest, z, z_rest, do,
            share, reach, dgamma, *places, packing.sequence, dk, dbeta, dg, size.N, size.H,
            BLOCKS=call.per_sequence[1], DECAY_H=settings.decay_h, **groups, **sizes, **launch.gather(size.D),
        )  # fmt: skip
    if size.Hq < size.H:
        dq = dq.unflatten(2, (size.Hq, -1)).sum(3)
    # H is symmetric: project its gradient onto symmetric matrices.
    dh_first = dh_first if dh_first is None else (dh_first + dh_first.mT) / 2
    return dq, dk, dv, dbeta, dalpha, dg, dh_first, du_first
