"""Cases of `gated_kalmanet.bench`, each with a count of its operations and memory traffic."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING

import torch

from gated_kalmanet import naive
from gated_kalmanet.chunk import chunk_gated_kalmanet
from gated_kalmanet.naive import naive_gated_kalmanet
from gated_kalmanet.state import State

if TYPE_CHECKING:
    from torch import Tensor

CHUNK = 64
"""Tokens per chunk in the operation counts."""
FORWARD, BOTH, DECODE = "forward", "fwd + bwd", "decode"
ATTENTION = "softmax attention"
METHODS = (("r = 30", "chebyshev", 30), ("r = 15", "chebyshev", 15), ("r = 10", "chebyshev", 10), ("cg 15", "cg", 15))
"""Name, solver and number of iterations."""
LARGEST_CACHE = 40 << 30
"""Largest size in bytes of the keys and values of attention in decode: what fits on a GPU of 80 GB."""


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """Sizes of the cases on a device."""

    tokens: tuple[int, ...]
    """Lengths of the sequence in prefill (batch size 1)."""
    batches: tuple[int, ...]
    """Batch sizes in decode, with one new token per sequence."""
    heads: int
    key_heads: int
    dim: int
    dtype: torch.dtype
    square: int
    """Size of the square matrices of the reference product; the reference copy moves 16 of them."""


SIZES = {
    "cuda": Sizes(
        tokens=(8192, 32768, 131072), batches=(1, 16, 64, 256), heads=32, key_heads=8, dim=128,
        dtype=torch.bfloat16, square=8192,
    ),
    "cpu": Sizes(
        tokens=(512, 2048), batches=(1, 8), heads=4, key_heads=2, dim=64, dtype=torch.float32, square=1024,
    ),
}  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class Case:
    """One timed case."""

    name: str
    stage: str
    size: int
    """Number of tokens, or of sequences in decode."""
    flops: float
    """Number of operations of the method; a multiply-add counts as two."""
    bytes: float
    """Bytes read and written by the method."""
    run: Callable[[], object]


def flops(sizes: Sizes, tokens: int, num_iter: int, stage: str) -> float:
    """Count the operations of the chunk-wise algorithm: a product with H is 2 D^2 + 4 C D per token and head."""
    per_state, within = 2 * sizes.dim**2, 2 * CHUNK * sizes.dim
    product = per_state + 2 * within
    # Norms of H, two states, the solve, the read-out.
    count = (per_state + within + 2 * CHUNK**2) + 2 * per_state + num_iter * product + product
    if stage == BOTH:
        # Recomputed states, dqe, the second solve; then per state 3 for the gradients of both, 5 for the gradients of
        # keys and values, and the scores and sums within the chunk.
        count += 2 * per_state + product + num_iter * product + 8 * per_state + 11 * within
    return float(count) * tokens * sizes.heads


def moved(sizes: Sizes, tokens: int, stage: str) -> float:
    """Count the bytes of memory traffic: inputs, outputs, and the states of every chunk, written and read."""
    item = sizes.dtype.itemsize
    shared = 2 * sizes.dim * sizes.key_heads / sizes.heads
    per_head = (2 * sizes.dim + shared + 4 * sizes.dim**2 / CHUNK) * item
    return per_head * tokens * sizes.heads * (3 if stage == BOTH else 1)


def inputs(sizes: Sizes, batch: int, tokens: int, device: str) -> tuple[Tensor, ...]:
    """Create random q, k, v, beta, alpha and g; the states decay over some hundred tokens."""
    shape = {"device": device, "dtype": sizes.dtype}
    q, k, v = (
        torch.randn(batch, tokens, n, sizes.dim, **shape) for n in (sizes.heads, sizes.key_heads, sizes.key_heads)
    )
    beta, alpha = (torch.rand(batch, tokens, sizes.heads, **shape) for _ in range(2))
    return q, k, v, beta, alpha, -0.01 * torch.rand(batch, tokens, sizes.heads, device=device)


def both(run: Callable[..., Tensor], leaves: tuple[Tensor, ...]) -> Callable[[], object]:
    """Create a function that runs the forward and backward pass of `run`, which returns an output."""
    leaves = tuple(leaf.detach().requires_grad_() for leaf in leaves)

    def step() -> object:
        o = run(*leaves)
        return torch.autograd.grad(o, leaves, torch.ones_like(o))

    return step


def prefill_cases(sizes: Sizes, device: str) -> Iterator[Case]:
    """Generate the cases over whole sequences."""
    forms = {"chunk": chunk_gated_kalmanet}
    if device == "cuda":
        from gated_kalmanet.triton import triton_gated_kalmanet

        forms = {"triton": triton_gated_kalmanet, **forms}
    for tokens in sizes.tokens:
        tensors = inputs(sizes, 1, tokens, device)
        for form, operator in forms.items():
            for name, solver, num_iter in METHODS:
                call = partial(operator, num_iter=num_iter, solver=solver)
                for stage in (FORWARD, BOTH):
                    run = partial(call, *tensors) if stage == FORWARD else both(lambda *x, f=call: f(*x)[0], tensors)
                    yield Case(
                        name=f"{form}, {name}",
                        stage=stage,
                        size=tokens,
                        flops=flops(sizes, tokens, num_iter, stage),
                        bytes=moved(sizes, tokens, stage),
                        run=run,
                    )
        if device == "cpu":
            yield Case(
                name=f"naive, {METHODS[0][0]}",
                stage=FORWARD,
                size=tokens,
                flops=flops(sizes, tokens, 30, FORWARD),
                bytes=moved(sizes, tokens, FORWARD),
                run=partial(naive_gated_kalmanet, *tensors),
            )
        yield from attention_cases(sizes, tokens, tensors[:3])
        if device == "cuda" and find_spec("fla") is not None:
            yield from mesa_cases(sizes, tokens, tensors)


def attention_cases(sizes: Sizes, tokens: int, tensors: tuple[Tensor, ...]) -> Iterator[Case]:
    """Generate cases of causal softmax attention, with the kernel selected by PyTorch."""
    leaves = tuple(x.transpose(1, 2).contiguous() for x in tensors)
    run = partial(torch.nn.functional.scaled_dot_product_attention, is_causal=True, enable_gqa=True)
    once = 2.0 * tokens**2 * sizes.dim * sizes.heads
    size = sum(x.nbytes for x in leaves) + leaves[0].nbytes
    for stage, factor in ((FORWARD, 1.0), (BOTH, 3.5)):
        step = partial(run, *leaves) if stage == FORWARD else both(run, leaves)
        yield Case(name=ATTENTION, stage=stage, size=tokens, flops=factor * once, bytes=factor * size, run=step)


def mesa_cases(sizes: Sizes, tokens: int, tensors: tuple[Tensor, ...]) -> Iterator[Case]:
    """Generate cases of MesaNet of flash-linear-attention, which needs as many heads of keys as of queries."""
    chunk_mesa_net = import_module("fla.ops.mesa_net").chunk_mesa_net
    q, k, v = (naive.expand(x, sizes.heads).contiguous() for x in tensors[:3])
    ridge = torch.full((sizes.heads, sizes.dim), 0.25, device=q.device)
    for stage in (FORWARD, BOTH):

        def run(*x: Tensor) -> Tensor:
            return chunk_mesa_net(*x, ridge, max_CG_iteration=30, use_qk_l2norm_in_kernel=True)[0]

        leaves = (q, k, v, tensors[5], tensors[3])
        yield Case(
            name="MesaNet (fla), cg 30",
            stage=stage,
            size=tokens,
            flops=flops(sizes, tokens, 30, stage),
            bytes=moved(sizes, tokens, stage),
            run=partial(run, *leaves) if stage == FORWARD else both(run, leaves),
        )


def decode_cases(sizes: Sizes, device: str) -> Iterator[Case]:
    """Generate cases of decode with one new token per sequence: both states are read and written."""
    for batch in sizes.batches:
        tensors = inputs(sizes, batch, 1, device)
        shape = (batch, sizes.heads, sizes.dim, sizes.dim)
        h = torch.randn(*shape, device=device)
        state = State(H=h @ h.mT, U=torch.randn(*shape, device=device))
        forms: dict[str, Callable[..., object]] = {"chunk": partial(chunk_gated_kalmanet, initial_state=state)}
        if device == "cuda":
            from gated_kalmanet.triton import decode

            forms = {"triton": partial(decode, state=state, inplace=True), **forms}
        for form, operator in forms.items():
            for num_iter in (30, 15, 10):
                yield Case(
                    name=f"{form}, r = {num_iter}",
                    stage=DECODE,
                    size=batch,
                    flops=(2.0 * num_iter + 9) * sizes.dim**2 * batch * sizes.heads,
                    bytes=4.0 * h.nbytes,
                    run=partial(operator, *tensors, num_iter=num_iter),
                )
        yield from attention_decode_cases(sizes, batch, device)


def attention_decode_cases(sizes: Sizes, batch: int, device: str) -> Iterator[Case]:
    """Generate cases of softmax attention in decode, by number of past tokens."""
    shape = {"device": device, "dtype": sizes.dtype}
    q = torch.randn(batch, sizes.heads, 1, sizes.dim, **shape)
    for tokens in sizes.tokens:
        if 2 * batch * sizes.key_heads * tokens * sizes.dim * sizes.dtype.itemsize > LARGEST_CACHE:
            return
        k, v = (torch.randn(batch, sizes.key_heads, tokens, sizes.dim, **shape) for _ in range(2))
        yield Case(
            name=f"{ATTENTION}, {tokens:,} past",
            stage=DECODE,
            size=batch,
            flops=4.0 * tokens * sizes.dim * batch * sizes.heads,
            bytes=float(k.nbytes + v.nbytes),
            run=partial(torch.nn.functional.scaled_dot_product_attention, q, k, v, enable_gqa=True),
        )
