"""Select the implementation of the operator by `backend`; there is no fallback to another one."""

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
"""Largest number of new tokens per sequence for which `triton.decode` is used; more tokens fill a chunk better."""


def operate(
    config: GatedKalmaNetConfig,
    tensors: tuple[Tensor, Tensor, Tensor, Tensor, Tensor | None, Tensor | None],
    *,
    state: State | None,
    inplace: bool,
    cu_seqlens: Tensor | None,
    mask: Tensor | None,
) -> tuple[Tensor, State]:
    """Run the operator with the options of a layer.

    Args:
        config: configuration of the layer.
        tensors: q, k, v, beta, alpha and g; see `gated_kalmanet.naive.naive_gated_kalmanet`.
        state: states before these tokens; None: 0.
        inplace: whether the new states may be written over `state`.
        cu_seqlens: cumulative lengths of packed sequences, [N + 1].
        mask: bool [B, T], False at padding.

    Returns:
        outputs [B, T, H, D] and the states after the last token.

    Raises:
        ValueError: the backend does not support the device, or a shape or a value is invalid.
        TypeError: a dtype is invalid.
    """
    q, k, v, beta, alpha, g = tensors
    run = operator(config.backend, q.device, config.chunk_size)
    scale = None if config.gla_rescale else 1.0
    few = config.backend == "triton" and cu_seqlens is None and 0 < q.shape[1] <= DECODED
    if few and state is not None and not torch.is_grad_enabled():
        from gated_kalmanet.triton import decode

        return decode(
            q, k, v, beta, alpha, g, state,
            num_iter=config.num_iter, ridge_strength=config.ridge_strength, scale=scale, solver=config.solver_type,
            decay_h=config.use_forgetting_gate_kk, mask=mask, inplace=inplace,
        )  # fmt: skip
    return run(
        q, k, v, beta, alpha, g,
        num_iter=config.num_iter, ridge_strength=config.ridge_strength, scale=scale, solver=config.solver_type,
        decay_h=config.use_forgetting_gate_kk, grad_ridge=config.bp_lambda,
        initial_state=state, cu_seqlens=cu_seqlens, mask=mask,
    )  # fmt: skip


def operator(backend: str, device: torch.device, chunk_size: int) -> Callable[..., tuple[Tensor, State]]:
    """Return the implementation of the operator for whole sequences.

    Args:
        backend: "naive", "chunk" or "triton".
        device: device of the tensors.
        chunk_size: tokens per chunk; ignored by "naive".

    Raises:
        ValueError: the backend does not support the device or is not installed.
    """
    if backend == "naive":
        return naive_gated_kalmanet
    if backend == "chunk":
        return partial(chunk_gated_kalmanet, chunk_size=chunk_size)
    if find_spec("triton") is None:
        raise ValueError("backend 'triton' needs the package triton, which supports only Linux; use backend 'chunk'")
    if device.type != "cuda" and os.environ.get("TRITON_INTERPRET") != "1":
        raise ValueError(
            f"backend 'triton' needs a CUDA device, and the tensors are on {device}: move them, or use backend 'chunk' "
            "(for tests, set TRITON_INTERPRET=1 before the first import of triton to run the kernels on a CPU)"
        )

    from gated_kalmanet.triton import triton_gated_kalmanet

    return partial(triton_gated_kalmanet, chunk_size=chunk_size)
