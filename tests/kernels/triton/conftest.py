"""Device of the Triton kernels: a GPU or, without one, the interpreter, which tests/conftest.py enables."""

from collections.abc import Iterator
from importlib.util import find_spec

import numpy as np
import pytest
import torch

# Triton supports only Linux.
collect_ignore_glob = [] if find_spec("triton") else ["test_*.py"]


@pytest.fixture(autouse=True)
def poison() -> Iterator[None]:
    """Fill uninitialised memory with NaN."""
    torch.use_deterministic_algorithms(True, warn_only=True)
    yield
    torch.use_deterministic_algorithms(False)


@pytest.fixture(autouse=True)
def patch_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Patch the language once per module; the interpreter does so for every function that a kernel calls."""
    from triton.runtime import interpreter

    patched: set[str] = set()

    def call(self: object, *args: object, **kwargs: object) -> object:
        if self.fn.__module__ not in patched:
            interpreter._patch_lang(self.fn)
            patched.add(self.fn.__module__)
        return self.rewrite()(*args, **kwargs)

    monkeypatch.setattr(interpreter.InterpretedFunction, "__call__", call)


@pytest.fixture
def device() -> str:
    """Device of the tensors of the kernels."""
    from gated_kalmanet.triton import launch

    return "cpu" if launch.INTERPRETED else "cuda"


@pytest.fixture
def bfloat16_products(monkeypatch: pytest.MonkeyPatch) -> None:
    """Emulate the bfloat16 of a GPU in the interpreter: round to nearest, multiply, accumulate in float32.

    By itself the interpreter treats a bfloat16 as an integer and truncates instead of rounding.
    """
    import triton.language as tl
    from triton.runtime import interpreter

    from gated_kalmanet.triton import launch

    if not launch.INTERPRETED:
        return
    builder, handle = interpreter.InterpreterBuilder, interpreter.TensorHandle
    cast, dot, multiply = builder.cast_impl, builder.create_dot, builder.create_fmul

    def widen(x: handle) -> handle:
        if x.dtype.scalar != tl.bfloat16:
            return x
        return handle((x.data.astype(np.uint32) << 16).view(np.float32), tl.float32)

    def narrow(x: handle) -> handle:
        rounded = torch.from_numpy(np.ascontiguousarray(x.data)).bfloat16().view(torch.int16).numpy()
        return handle(rounded.view(np.uint16).reshape(x.data.shape), tl.bfloat16)

    def cast_impl(self: builder, x: handle, to: tl.dtype) -> handle:
        if to.scalar == tl.bfloat16:
            return narrow(x)
        return widen(x) if x.dtype.scalar == tl.bfloat16 else cast(self, x, to)

    def create_dot(self: builder, a: handle, b: handle, *more: object) -> handle:
        return dot(self, widen(a), widen(b), *more)

    def create_fmul(self: builder, a: handle, b: handle) -> handle:
        product = multiply(self, widen(a), widen(b))
        return narrow(product) if a.dtype.scalar == tl.bfloat16 else product

    monkeypatch.setattr(builder, "cast_impl", cast_impl)
    monkeypatch.setattr(builder, "create_dot", create_dot)
    monkeypatch.setattr(builder, "create_fmul", create_fmul)
    monkeypatch.setattr(launch, "operand", lambda dtype: tl.bfloat16)
