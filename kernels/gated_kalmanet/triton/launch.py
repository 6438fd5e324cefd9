"""Launch parameters and dtypes of the kernels.

They are fixed per head dimension instead of autotuned. The order of summation, and so the result, does not depend on
timings, nothing is measured at the first call, and a CUDA graph can capture that call too.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from triton.runtime.jit import JITFunction

from gated_kalmanet.triton.prefill import read_kernel

INTERPRETED = not isinstance(read_kernel, JITFunction)
"""Whether the kernels run in the interpreter, because TRITON_INTERPRET was 1 when they were imported."""

SMALLEST = 16
"""Smallest dimension of a matrix product."""


def check_device(device: torch.device) -> None:
    """Check that the kernels run on a device.

    Raises:
        ValueError: the kernels are compiled and the device is not a CUDA device.
    """
    if device.type != "cuda" and not INTERPRETED:
        raise ValueError(
            f"q is on {device}, where the Triton kernels do not run: move it to a CUDA device, or call "
            "chunk_gated_kalmanet (for tests, set TRITON_INTERPRET=1 before triton is imported to run them on a CPU)"
        )


def operand(dtype: torch.dtype) -> tl.dtype:
    """Return the dtype of the operands of matrix products for inputs of `dtype`.

    In the interpreter it is float32 for bfloat16 inputs, since the interpreter treats a bfloat16 as an integer.
    """
    if dtype == torch.bfloat16 and not INTERPRETED:
        return tl.bfloat16
    return accumulator(dtype)


def accumulator(dtype: torch.dtype) -> tl.dtype:
    """Return the dtype of everything but the operands of matrix products."""
    return tl.float64 if dtype == torch.float64 else tl.float32


def stored(dtype: torch.dtype) -> torch.dtype:
    """Return the dtype in which kernels store states and solutions: that of the operands of matrix products."""
    return {tl.bfloat16: torch.bfloat16, tl.float32: torch.float32, tl.float64: torch.float64}[operand(dtype)]


def check_size(dim: int, dtype: torch.dtype) -> None:
    """Check that a tile fits into the memory of a multiprocessor.

    Raises:
        ValueError: the head dimension is above 256, or above 128 for float32 in compiled kernels.
        TypeError: the dtype is float64 in compiled kernels.
    """
    if dtype == torch.float64 and not INTERPRETED:
        raise TypeError(
            "q is float64, which the Triton kernels support only in the interpreter: use chunk_gated_kalmanet"
        )
    largest = 256 if dtype == torch.bfloat16 or INTERPRETED else 128
    if dim > largest:
        raise ValueError(
            f"q has head dimension {dim} and is {dtype}, for which the Triton kernels support at most {largest}: "
            "use chunk_gated_kalmanet"
        )


def block(dim: int) -> int:
    """Return BD, the head dimension rounded up to a power of two."""
    return max(SMALLEST, triton.next_power_of_2(dim))


def columns(dim: int) -> int:
    """Return the columns of a state per program of a scan: few, as a sequence has one program per head and block."""
    return min(32, block(dim))


def chunk(chunk_size: int, tokens: int, dim: int, dtype: torch.dtype) -> int:
    """Return C, the largest useful power of two that `chunk_size` and shared memory allow.

    Raises:
        ValueError: `chunk_size` is not a power of two of at least 16.
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
    """Options of `scan_kernel`: a sequence of short steps, whose loads start two steps ahead."""
    return {"num_warps": 8, "num_stages": 3}


def read(dim: int) -> dict[str, int]:
    """Options of `read_kernel` and `solve_back_kernel`.

    One warpgroup holds the vectors of 64 tokens in registers, from which the tensor cores read them; two such programs
    per multiprocessor alternate. A head dimension above 128 needs two warpgroups.
    """
    return {"num_warps": 4 if block(dim) <= 128 else 8, "num_stages": 1}


def scan_back(dim: int) -> dict[str, int]:
    """Options of `scan_back_kernel`: it loads more per step, so its loads start only one step ahead."""
    return {"num_warps": 8, "num_stages": 2}


def gather(dim: int) -> dict[str, int]:
    """Options of the kernels of the backward pass without a solver: each holds many matrices."""
    return {"num_warps": 8, "num_stages": 1}


def decode(dim: int) -> dict[str, int]:
    """Options of `decode_kernel`: at head dimension 128, a state occupies half of the registers of 4 warps."""
    return {"num_warps": 4 if block(dim) <= 128 else 32, "num_stages": 1}
