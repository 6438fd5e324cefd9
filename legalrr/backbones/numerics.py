"""Process-wide settings of torch and transformers, and what torch says when memory is out."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from legalrr.errors import UserError


@contextmanager
def settings(matmul_precision: str, threads: int | None) -> Iterator[None]:
    """Precision of float32 products (by torch's names) and CPU threads (None: as they are); afterwards as before."""
    import torch

    before = torch.get_float32_matmul_precision(), torch.get_num_threads()
    torch.set_float32_matmul_precision(matmul_precision)
    torch.set_num_threads(threads or before[1])
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before[0])
        torch.set_num_threads(before[1])


@contextmanager
def memory(option: str) -> Iterator[None]:
    """Raises UserError naming the options under `option` that save memory, where torch ran out of it."""
    import torch

    try:
        yield
    except RuntimeError as error:
        # The CPU allocator raises a bare RuntimeError; torch.OutOfMemoryError, of accelerators, is one too.
        if not isinstance(error, torch.OutOfMemoryError) and "allocate memory" not in str(error):
            raise
        raise UserError(
            f"out of memory: {error}",
            where=option,
            cure=f"lower {option}.batch_tokens, {option}.prefill_chunk, {option}.prefix_cache_gb or {option}.context",
        ) from error


def hush() -> None:
    """Let transformers show its progress bars on a terminal alone."""
    from transformers.utils.logging import disable_progress_bar

    if not sys.stderr.isatty():
        disable_progress_bar()
