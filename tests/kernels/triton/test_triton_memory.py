"""Memory accesses of the kernels: never outside of their tensors, and correct beyond 2^31 elements.

The latter is defect 8 of section 5 in kernels/gated_kalmanet/README.md: published, 32-bit offsets overflow.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
from torch import Tensor

from gated_kalmanet import triton
from gated_kalmanet.state import State
from gated_kalmanet.triton import launch, triton_gated_kalmanet
from gated_kalmanet.triton.call import Packing

pytestmark = pytest.mark.skipif(not launch.INTERPRETED, reason="the interpreter checks addresses")
Make = Callable[..., tuple[Tensor, ...]]
T, CHUNKS, HEADS = 40, 3, 2
"""Tokens, chunks of 16 tokens, heads; all sizes that distinguish the tensors of a call differ."""


@dataclass(frozen=True, kw_only=True)
class Place:
    """Offsets that precede the tokens, chunks and sequences of a call."""

    tokens: int = 0
    chunks: int = 0
    sequences: int = 0

    def rows(self, tensor: Tensor) -> int:
        """Offset in elements of a tensor of [1, T, ..], [chunks, ..] or, otherwise, [sequences, ..]."""
        if tensor.shape[:2] == (1, T):
            return self.tokens * tensor[0, 0].numel()
        return (self.chunks if tensor.shape[0] == CHUNKS else self.sequences) * tensor[0].numel()


@pytest.fixture
def move(monkeypatch: pytest.MonkeyPatch) -> Callable[[Place], None]:
    """Run kernels as if a `Place` preceded their tensors, and check every address that they access."""
    from triton.runtime import interpreter

    builder = interpreter.InterpreterBuilder
    launch_kernel, convert = interpreter.InterpretedFunction.run, interpreter._implicit_cvt
    load, store, program = builder.create_masked_load, builder.create_masked_store, builder.create_get_program_id
    place, tensors, first_program = Place(), {}, 0

    def move(there: Place) -> None:
        nonlocal place
        place = there

    def run(self: object, *args: object, **kwargs: object) -> None:
        nonlocal first_program
        tensors.clear()
        per_sequence = self.__name__ in {"scan_kernel", "scan_back_kernel", "decode_kernel"}
        first_program = place.sequences * HEADS if per_sequence else place.chunks
        launch_kernel(self, *args, **kwargs)

    def implicit_cvt(argument: object) -> object:
        converted = convert(argument)
        if isinstance(argument, Tensor):
            tensors[argument.data_ptr()] = argument.data_ptr() + argument.nbytes
            converted.handle.data = converted.handle.data - np.uint64(place.rows(argument) * argument.itemsize)
        return converted

    def check(addresses: object, mask: object) -> None:
        wanted = addresses.data[np.broadcast_to(mask.data, addresses.data.shape)]
        starts = np.array(sorted(tensors), dtype=np.uint64)
        before = np.searchsorted(starts, wanted, side="right")
        ends = np.array([0, *(tensors[start] for start in sorted(tensors))], dtype=np.uint64)
        assert (wanted < ends[before]).all(), "a kernel accesses memory outside of its tensors"

    def masked_load(self: object, addresses: object, mask: object, *more: object) -> object:
        check(addresses, mask)
        return load(self, addresses, mask, *more)

    def masked_store(self: object, addresses: object, value: object, mask: object, *more: object) -> object:
        check(addresses, mask)
        return store(self, addresses, value, mask, *more)

    def get_program_id(self: object, axis: int) -> object:
        number = program(self, axis)
        if axis == 0:
            number.data = number.data + np.int32(first_program)
        return number

    monkeypatch.setattr(interpreter.InterpretedFunction, "run", run)
    monkeypatch.setattr(interpreter, "_implicit_cvt", implicit_cvt)
    monkeypatch.setattr(builder, "create_masked_load", masked_load)
    monkeypatch.setattr(builder, "create_masked_store", masked_store)
    monkeypatch.setattr(builder, "create_get_program_id", get_program_id)
    return move


def results(tensors: tuple[Tensor, ...], before: State, **options: object) -> tuple[Tensor, ...]:
    """Compute outputs, final states, and the gradients of all tensors."""
    leaves = [tensor.clone().requires_grad_() for tensor in (*tensors, before.H, before.U)]
    first = State(H=leaves[6], U=leaves[7])
    o, last = triton_gated_kalmanet(*leaves[:6], num_iter=1, initial_state=first, chunk_size=16, **options)
    total = o.square().sum() + last.H.square().sum() + last.U.square().sum()
    return (o.detach(), last.H.detach(), last.U.detach(), *torch.autograd.grad(total, leaves))


def test_weakness_8_a_sequence_after_many_others_gives_the_same_bits(
    inputs: Make, states, move: Callable[[Place], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    tensors, before = inputs(B=1, T=T, Hq=HEADS, Hk=1, D=16), states(1, HEADS, 16)
    mask = torch.arange(T)[None] != 5
    expected = results(tensors, before, mask=mask)
    place = Place(tokens=2**31, chunks=2**27, sequences=2**27)
    pack = Packing.of

    def far(*call: object) -> Packing:
        near = pack(*call)
        assert near.chunks == CHUNKS
        return replace(
            near,
            cu_seqlens=near.cu_seqlens + place.tokens,
            starts=near.starts + place.chunks,
            sequence=near.sequence + place.sequences,
        )

    monkeypatch.setattr(Packing, "of", far)
    move(place)
    for a, b in zip(results(tensors, before, mask=mask), expected, strict=True):
        assert torch.equal(a, b)


def test_weakness_8_new_tokens_of_a_sequence_after_many_others_give_the_same_bits(
    inputs: Make, states, move: Callable[[Place], None]
) -> None:
    tensors, before = inputs(B=2, T=2, Hq=HEADS, Hk=1, D=4), states(2, HEADS, 4)
    mask = torch.tensor([[True, True], [False, True]])
    expected, after = triton.decode(*tensors, before, mask=mask)
    move(Place(sequences=2**27))
    found, there = triton.decode(*tensors, before, mask=mask)
    assert torch.equal(found, expected)
    assert torch.equal(there.H, after.H)
    assert torch.equal(there.U, after.U)


def test_7_no_kernel_reaches_outside_of_its_tensors(inputs: Make, states, move: Callable[[Place], None]) -> None:
    ends = torch.tensor([0, 0, 1, 17, 19, 19])
    tensors, before = inputs(B=1, T=19, Hq=1, Hk=1, D=5), states(5, 1, 5)
    move(Place())
    for result in results(tensors, before, cu_seqlens=ends):
        assert bool(result.isfinite().all())
    triton.decode(*tensors, State(H=before.H[:1], U=before.U[:1]))
