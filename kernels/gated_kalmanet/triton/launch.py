"""Which sizes and dtypes the kernels are launched with.

One choice per head dimension instead of autotuning: the order of sums, and so the result, does not depend on a race
between candidates, nothing is measured at the first call, and a CUDA graph can capture that call too.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from triton.runtime.jit import JITFunction

from gated_kalmanet.triton.prefill import read_kernel

INTERPRETED = not isinstance(read_kernel, JITFunction)
"""Whether the kernels run in the interpreter: TRITON_INTERPRET was 1 when they were imported."""

SMALLEST = 16
"""Of each side of a matrix product."""


def check_device(device: torch.device) -> None:
    """Refuse a device that the kernels do not run on.

    Raises:
        ValueError: it is not a CUDA device, and the kernels are compiled.
    """
    if device.type != "cuda" and not INTERPRETED:
        raise ValueError(
            f"q is on {device}, where the Triton kernels do not run: move it to a CUDA device, or call "
            "gated_kalmanet.chunk (for tests, TRITON_INTERPRET=1 before triton is imported runs them on a CPU)"
        )


def operand(dtype: torch.dtype) -> tl.dtype:
    """Dtype of the matrix products for inputs of `dtype`.

    The interpreter takes a bfloat16 for the integer of its bits, so there it is float32.
    """
    if dtype == torch.bfloat16 and not INTERPRETED:
        return tl.bfloat16
    return accumulator(dtype)


def accumulator(dtype: torch.dtype) -> tl.dtype:
    """Dtype of everything else."""
    return tl.float64 if dtype == torch.float64 else tl.float32


def stored(dtype: torch.dtype) -> torch.dtype:
    """Dtype in which states and solutions are handed from kernel to kernel: that of the matrix products."""
    return {tl.bfloat16: torch.bfloat16, tl.float32: torch.float32, tl.float64: torch.float64}[operand(dtype)]


def check_size(dim: int, dtype: torch.dtype) -> None:
    """Refuse what a multiprocessor has no room for.

    Raises:
        ValueError: the head dimension is above 256, or above 128 where the kernels are compiled for float32.
        TypeError: the kernels are compiled, and the dtype is float64.
    """
    if dtype == torch.float64 and not INTERPRETED:
        raise TypeError(
            "q is float64, which the Triton kernels take in the interpreter alone: use gated_kalmanet.chunk"
        )
    largest = 256 if dtype == torch.bfloat16 or INTERPRETED else 128
    if dim > largest:
        raise ValueError(
            f"q has head dimension {dim} and is {dtype}, for which the Triton kernels go to {largest}: "
            "use gated_kalmanet.chunk"
        )


def block(dim: int) -> int:
    """BD, the power of two that holds the head dimension."""
    return max(SMALLEST, triton.next_power_of_2(dim))


def columns(dim: int) -> int:
    """Columns of a state per program of a scan: few, as a sequence gives one program per head and column block."""
    return min(32, block(dim))


def chunk(chunk_size: int, tokens: int, dim: int, dtype: torch.dtype) -> int:
    """C: the largest power of two that neither `chunk_size` nor shared memory forbids, and the tokens need.

    Raises:
        ValueError: `chunk_size` is no power of two from 16.
    """
    if chunk_size < SMALLEST or chunk_size & (chunk_size - 1):
        raise ValueError(
            f"chunk_size must be a power of two of at least {SMALLEST} for the Triton kernels, not {chunk_size}"
        )
    room = chunk_size
    if not INTERPRETED:
        room = SMALLEST if dtype == torch.float32 else 32 if block(dim) > 128 else 64
    return min(chunk_size, room, max(SMALLEST, triton.next_power_of_2(tokens)))


def scan(dim: int) -> dict[str, int]:
    """Threads and software pipelining of `scan_kernel`: one chain of short steps, whose loads start two steps ahead."""
    return {"num_warps": 8, "num_stages": 3}


def read(dim: int) -> dict[str, int]:
    """Of `read_kernel` and `solve_back_kernel`.

    One warpgroup holds the vectors of 64 tokens in registers and hands them to the tensor cores from there; two such
    programs on a multiprocessor take turns at them. A head dimension above 128 takes two warpgroups.
    """
    return {"num_warps": 4 if block(dim) <= 128 else 8, "num_stages": 1}


def scan_back(dim: int) -> dict[str, int]:
    """Of `scan_back_kernel`: it loads more per step, so it starts one step ahead."""
    return {"num_warps": 8, "num_stages": 2}


def gather(dim: int) -> dict[str, int]:
    """Of the kernels of the backward pass that do not iterate: each has many matrices at hand."""
    return {"num_warps": 8, "num_stages": 1}


def decode(dim: int) -> dict[str, int]:
    """Of `decode_kernel`: at a head dimension of 128 a state takes half of the registers of 4 warps."""
    return {"num_warps": 4 if block(dim) <= 128 else 32, "num_stages": 1}
