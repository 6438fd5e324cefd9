"""Which form of the operator a layer runs: the one that its config names, or an error that says why it cannot."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from typing import TYPE_CHECKING

import torch

from gated_kalmanet.chunk import chunk_gated_kalmanet
from gated_kalmanet.naive import naive_gated_kalmanet

if TYPE_CHECKING:
    from torch import Tensor

    from gated_kalmanet.config import GatedKalmaNetConfig
    from gated_kalmanet.state import State

DECODED = 8
"""So many new tokens per sequence, or fewer, go to the Triton kernel for new tokens; more fill a chunk better."""


def operate(
    config: GatedKalmaNetConfig,
    tensors: tuple[Tensor, Tensor, Tensor, Tensor, Tensor | None, Tensor | None],
    *,
    state: State | None,
    inplace: bool,
    cu_seqlens: Tensor | None,
    mask: Tensor | None,
) -> tuple[Tensor, State]:
    """The operator with the numbers and switches of a layer.

    Args:
        config: of the layer.
        tensors: q, k, v, beta, alpha and g, see `gated_kalmanet.naive.naive_gated_kalmanet`.
        state: states before these tokens; None: 0.
        inplace: whether a form that can may write the new states over `state`.
        cu_seqlens: [N + 1], where packed sequences begin and end.
        mask: [B, T], False at padding.

    Returns:
        outputs [B, T, H, D] and the states after the last token.

    Raises:
        ValueError: the form cannot run on this device, or something of a shape or value is impossible.
        TypeError: a dtype is.
    """
    q, k, v, beta, alpha, g = tensors
    form = operator(config.backend, q.device, config.chunk_size)
    scale = None if config.gla_rescale else 1.0
    few = config.backend == "triton" and cu_seqlens is None and 0 < q.shape[1] <= DECODED
    if few and state is not None and not torch.is_grad_enabled():
        from gated_kalmanet.triton import decode

        return decode(
            q, k, v, beta, alpha, g, state,
            num_iter=config.num_iter, ridge_strength=config.ridge_strength, scale=scale, solver=config.solver_type,
            decay_h=config.use_forgetting_gate_kk, mask=mask, inplace=inplace,
        )  # fmt: skip
    return form(
        q, k, v, beta, alpha, g,
        num_iter=config.num_iter, ridge_strength=config.ridge_strength, scale=scale, solver=config.solver_type,
        decay_h=config.use_forgetting_gate_kk, grad_ridge=config.bp_lambda,
        initial_state=state, cu_seqlens=cu_seqlens, mask=mask,
    )  # fmt: skip


def operator(backend: str, device: torch.device, chunk_size: int) -> Callable[..., tuple[Tensor, State]]:
    """The operator over whole sequences in the form that is asked for, and no other.

    Args:
        backend: "naive", "chunk" or "triton".
        device: where it will run.
        chunk_size: tokens of a chunk, for the forms that have chunks.

    Raises:
        ValueError: it cannot run there; says why.
    """
    if backend == "naive":
        return naive_gated_kalmanet
    if backend == "chunk":
        return partial(chunk_gated_kalmanet, chunk_size=chunk_size)
    if find_spec("triton") is None:
        raise ValueError("backend 'triton' needs the package triton, which is made for Linux; use backend 'chunk'")
    if device.type != "cuda" and os.environ.get("TRITON_INTERPRET") != "1":
        raise ValueError(
            f"backend 'triton' needs a CUDA device, and the tensors are on {device}: move them, or use backend 'chunk' "
            "(for tests alone, TRITON_INTERPRET=1 before the first import of triton runs the kernels on a CPU)"
        )

    from gated_kalmanet.triton import triton_gated_kalmanet

    return partial(triton_gated_kalmanet, chunk_size=chunk_size)
