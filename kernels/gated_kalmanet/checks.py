# ruff: noqa: PLR0917 - the six tensors of the operator
"""Sizes, options and argument checks that the three implementations of the operator share.

Shapes: batch size B, T tokens, Hq heads of q, Hk heads of k and v, H = max(Hq, Hk) expanded heads, head dimension D,
N sequences.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import torch

if TYPE_CHECKING:
    from torch import Tensor

    from gated_kalmanet.state import State

EPS = 1e-6
"""Added to norms and to beta (1.1, steps 1 and 2)."""

FP16 = (
    "is float16, which the operator does not support: x of (H + lambda I) x = q grows like "
    "1 / (ridge_strength * beta^2) and exceeds the largest float16, 65504, for small beta; "
    "use bfloat16, float32 or float64"
)


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """Sizes of a call."""

    B: int
    T: int
    Hq: int
    Hk: int
    H: int
    D: int
    N: int


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Options of a call; see `gated_kalmanet.naive.naive_gated_kalmanet`."""

    num_iter: int
    ridge_strength: float
    scale: float
    solver: str
    decay_h: bool
    grad_ridge: bool


def compute_dtype(dtype: torch.dtype) -> torch.dtype:
    """Return the dtype of gates, states and the solve: float64 for float64 inputs, else float32 (1.5)."""
    return torch.float64 if dtype == torch.float64 else torch.float32


def check(
    q: Tensor,
    k: Tensor,
    v: Tensor,
    beta: Tensor,
    alpha: Tensor | None,
    g: Tensor | None,
    *,
    num_iter: int,
    ridge_strength: float,
    solver: str,
    solvers: tuple[str, ...] = ("chebyshev", "cg"),
    initial_state: State | None = None,
    cu_seqlens: Tensor | None = None,
    mask: Tensor | None = None,
) -> Sizes:
    """Check the arguments of `gated_kalmanet.naive.naive_gated_kalmanet`; error messages name the argument.

    Checks that read values (the sign of log decays, the order of cu_seqlens) run only on a CPU, since on a GPU they
    would synchronise with the device. `solvers` lists the solvers of the implementation.

    Returns:
        sizes of the call.

    Raises:
        ValueError: a shape, a device, a value or an option is invalid.
        TypeError: a dtype is invalid.
    """
    tensors = dict(_named(q=q, k=k, v=v, beta=beta, alpha=alpha, g=g))
    for name in "qkv":
        if tensors[name].ndim != 4:
            raise ValueError(f"{name} must be [batch, tokens, heads, head dim], not {_shape(tensors[name])}")
    (batch, tokens, q_heads, dim), k_heads = q.shape, k.shape[2]
    heads = max(q_heads, k_heads)
    for name, shape in (("k", (batch, tokens, k_heads, dim)), ("v", tuple(k.shape))):
        if tuple(tensors[name].shape) != shape:
            raise ValueError(f"{name} must be {shape} beside q {_shape(q)}, k {_shape(k)}, not {_shape(tensors[name])}")
    if min(q_heads, k_heads, dim) < 1 or heads % q_heads or heads % k_heads:
        raise ValueError(f"q has {q_heads} heads and k {k_heads}, of dim {dim}: one must be a multiple of the other")
    for name in ("beta", "alpha", "g"):
        if name in tensors and tuple(tensors[name].shape) != (batch, tokens, heads):
            expected = (batch, tokens, heads)
            raise ValueError(f"{name} must be [batch, tokens, expanded heads] {expected}, not {_shape(tensors[name])}")
    _check_dtypes(tensors)
    sequences = check_sequences(mask, cu_seqlens, batch, tokens)
    if initial_state is not None:
        for name, tensor in _named(**{"initial_state.H": initial_state.H, "initial_state.U": initial_state.U}):
            if tuple(tensor.shape) != (sequences, heads, dim, dim):
                raise ValueError(f"{name} must be {(sequences, heads, dim, dim)}, not {_shape(tensor)}")
            if tensor.dtype != compute_dtype(q.dtype):
                raise TypeError(f"{name} must be {compute_dtype(q.dtype)} where q is {q.dtype}, not {tensor.dtype}")
            tensors[name] = tensor
    for name, tensor in (*tensors.items(), *_named(mask=mask, cu_seqlens=cu_seqlens)):
        if tensor.device != q.device:
            raise ValueError(f"{name} is on {tensor.device} and q on {q.device}: move them to one device")
    if g is not None and g.device.type == "cpu" and not bool(((g <= 0) & g.isfinite()).all()):
        raise ValueError("g must be a finite log decay of at most 0: the logarithm of a gate in (0, 1]")
    if num_iter < 0:
        raise ValueError(f"num_iter must be at least 0 (0 skips the solve), not {num_iter}")
    if not ridge_strength > 0:
        raise ValueError(f"ridge_strength must be above 0, not {ridge_strength}: without a ridge, H may be singular")
    if solver not in solvers:
        raise ValueError(f"solver must be one of {', '.join(solvers)}, not {solver!r}")
    return Sizes(B=batch, T=tokens, Hq=q_heads, Hk=k_heads, H=heads, D=dim, N=sequences)


def check_sequences(mask: Tensor | None, cu_seqlens: Tensor | None, batch: int, tokens: int) -> int:
    """Check a padding mask and the cumulative lengths of packed sequences.

    Args:
        mask: [B, T] bool, or None.
        cu_seqlens: [N + 1] int32 or int64, or None.
        batch: batch size B.
        tokens: number of tokens T.

    Returns:
        number of sequences N.

    Raises:
        ValueError: the mask or `cu_seqlens` is invalid.
    """
    if mask is not None:
        if mask.dtype != torch.bool or tuple(mask.shape) != (batch, tokens):
            raise ValueError(f"mask must be bool of {(batch, tokens)}, not {mask.dtype} of {_shape(mask)}")
        if cu_seqlens is not None:
            raise ValueError("mask and cu_seqlens cannot be combined: packed sequences have no padding")
    if cu_seqlens is None:
        return batch
    if cu_seqlens.dtype not in (torch.int32, torch.int64) or cu_seqlens.ndim != 1 or cu_seqlens.shape[0] < 1:
        raise ValueError(f"cu_seqlens must be int32 or int64, [N + 1], not {cu_seqlens.dtype}, {_shape(cu_seqlens)}")
    if batch != 1:
        raise ValueError(f"cu_seqlens packs sequences into a batch of 1, not of {batch}")
    if cu_seqlens.device.type == "cpu":
        offsets(cu_seqlens, tokens)
    return cu_seqlens.shape[0] - 1


def offsets(cu_seqlens: Tensor, tokens: int) -> list[int]:
    """Convert cu_seqlens to a list, which synchronises with a GPU.

    Raises:
        ValueError: the values do not run from 0 to `tokens`, or decrease.
    """
    ends = cu_seqlens.tolist()
    if ends[0] != 0 or ends[-1] != tokens:
        raise ValueError(
            f"cu_seqlens must run from 0 to {tokens}, the number of tokens, not from {ends[0]} to {ends[-1]}"
        )
    for position, (start, end) in enumerate(pairwise(ends)):
        if end < start:
            raise ValueError(f"cu_seqlens must not decrease: {start} is followed by {end} at position {position + 1}")
    return ends


def _check_dtypes(tensors: dict[str, Tensor]) -> None:
    for name, tensor in tensors.items():
        if tensor.dtype == torch.float16:
            raise TypeError(f"{name} {FP16}")
    dtype = tensors["q"].dtype
    if dtype not in (torch.bfloat16, torch.float32, torch.float64):
        raise TypeError(f"q must be bfloat16, float32 or float64, not {dtype}")
    allowed = {"k": {dtype}, "v": {dtype}, "g": {compute_dtype(dtype)}}
    for name, tensor in tensors.items():
        wanted = allowed.get(name, {dtype, compute_dtype(dtype)})
        if tensor.dtype not in wanted:
            choices = " or ".join(sorted(str(choice) for choice in wanted))
            raise TypeError(f"{name} must be {choices} where q is {dtype}, not {tensor.dtype}")


def _named(**tensors: Tensor | None) -> Iterator[tuple[str, Tensor]]:
    return ((name, tensor) for name, tensor in tensors.items() if tensor is not None)


def _shape(tensor: Tensor) -> tuple[int, ...]:
    return tuple(tensor.shape)
