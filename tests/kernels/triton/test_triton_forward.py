# ruff: noqa: N803 - the names of the paper
"""Forward pass of the Triton kernels over whole sequences against the reference, and invariances.

Numbers in the names refer to the list of tests in kernels/gated_kalmanet/README.md.
"""

from collections.abc import Callable
from itertools import pairwise
from math import prod

import pytest
import torch
from torch import Tensor

from gated_kalmanet import naive, solver
from gated_kalmanet.naive import naive_gated_kalmanet
from gated_kalmanet.state import State
from gated_kalmanet.triton import launch, triton_gated_kalmanet

DEVICE = "cpu" if launch.INTERPRETED else "cuda"
interpreted = pytest.mark.skipif(not launch.INTERPRETED, reason="float64 needs the interpreter")
Make = Callable[..., tuple[Tensor, ...]]
Relative = Callable[[Tensor, Tensor], float]


def call(tensors: tuple[Tensor, ...], **options: object) -> tuple[Tensor, State]:
    tensors = tuple(tensor.to(DEVICE) for tensor in tensors)
    options = {name: x.to(DEVICE) if isinstance(x, Tensor) else x for name, x in options.items()}
    o, state = triton_gated_kalmanet(*tensors, **options)
    return o.cpu(), State(H=state.H.cpu(), U=state.U.cpu())


def cut(tensors: tuple[Tensor, ...], start: int, end: int) -> tuple[Tensor, ...]:
    return tuple(tensor[:, start:end] for tensor in tensors)


def same(found: tuple[Tensor, State], expected: tuple[Tensor, State], tolerance: float) -> None:
    for a, b in zip((found[0], found[1].H, found[1].U), (expected[0], expected[1].H, expected[1].U), strict=True):
        torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance * float(b.abs().max()) if b.numel() else 0)


@interpreted
@pytest.mark.parametrize("r", [30, 5])
def test_18_the_worked_example_to_the_digits_printed(golden, r: int) -> None:
    q, *others = golden.inputs
    o, state = triton_gated_kalmanet(q.clone().requires_grad_(), *others, num_iter=r)
    *_, x, _, f = o.grad_fn.saved_tensors
    known = ~golden.outputs[r].isnan()
    torch.testing.assert_close(o[0, :, 0][known].detach(), golden.outputs[r][known], rtol=0, atol=5.1e-9)
    torch.testing.assert_close(x[0, 3, 0], golden.solutions[r], rtol=0, atol=5.1e-9)
    torch.testing.assert_close(f[0, :, 0], golden.f, rtol=0, atol=5.1e-10)
    torch.testing.assert_close(state.H[0, 0], golden.H, rtol=0, atol=5.1e-9)
    if r == 30:
        torch.testing.assert_close(x[0, 0, 0], golden.first_solution, rtol=0, atol=5.1e-9)


def test_2_errs_at_most_twice_as_much_as_the_definition_in_float32(
    inputs: Make, relative: Relative, family: str
) -> None:
    tensors = inputs(B=1, T=40, Hq=1, Hk=1, D=16, dtype=torch.float32, family=family)
    o, state = naive_gated_kalmanet(*(tensor.double() for tensor in tensors))
    o_naive, state_naive = naive_gated_kalmanet(*tensors)
    o_found, state_found = call(tensors, chunk_size=32)
    for exact, definition, found in (
        (o, o_naive, o_found),
        (state.H, state_naive.H, state_found.H),
        (state.U, state_naive.U, state_found.U),
    ):
        # 1e-7: one rounding, in case the reference has none.
        assert relative(found, exact) <= 2 * relative(definition, exact) + 1e-7


@interpreted
@pytest.mark.parametrize(
    ("shape", "options"),
    [
        ({"B": 2, "T": 1}, {}),
        ({"T": 16, "D": 1}, {}),
        ({"B": 2, "T": 17, "D": 12}, {"num_iter": 1}),
        ({"T": 33, "Hq": 1, "Hk": 3, "D": 20}, {"decay_h": False, "num_iter": 9}),
        ({"T": 21, "Hq": 2, "Hk": 2, "D": 5}, {"solver": "cg", "num_iter": 4}),
        ({"T": 20, "D": 16}, {"num_iter": 0}),
        ({"T": 20, "D": 16}, {"ridge_strength": 0.3, "scale": 2.0, "num_iter": 7}),
        ({"T": 2, "Hq": 1, "D": 192}, {"num_iter": 3}),
        ({"T": 2, "Hq": 1, "D": 256}, {"num_iter": 3}),
    ],
)
def test_2_equals_the_definition_for_any_size_and_option(inputs: Make, states, shape: dict, options: dict) -> None:
    sizes = {"B": 1, "Hq": 2, "Hk": 1, "D": 8, **shape}
    tensors = inputs(**sizes)
    before = states(sizes["B"], max(sizes["Hq"], sizes["Hk"]), sizes["D"])
    same(
        call(tensors, initial_state=before, chunk_size=16, **options),
        naive_gated_kalmanet(*tensors, initial_state=before, **options),
        1e-11,
    )


@interpreted
def test_2_without_gates_everything_is_remembered_and_nothing_blended(inputs: Make) -> None:
    q, k, v, beta, *_ = inputs(B=1, T=20)
    found = triton_gated_kalmanet(q, k, v, beta, None, None, num_iter=8)
    same(found, triton_gated_kalmanet(q, k, v, beta, torch.ones_like(beta), torch.zeros_like(beta), num_iter=8), 1e-15)
    same(found, naive_gated_kalmanet(q, k, v, beta, None, None, num_iter=8), 1e-11)


@interpreted
@pytest.mark.parametrize("chunk_size", [16, 32, 128])
def test_3_the_chunk_size_does_not_matter(inputs: Make, chunk_size: int) -> None:
    tensors = inputs(B=1, T=130, Hq=1, Hk=1)
    same(call(tensors, chunk_size=chunk_size, num_iter=4), call(tensors, num_iter=4), 1e-11)


@interpreted
def test_4_the_norm_by_products_is_the_norm_of_h(inputs: Make, family: str) -> None:
    q, *others = inputs(B=1, T=40, Hq=1, Hk=1, family=family)
    o, _ = triton_gated_kalmanet(q.requires_grad_(), *others, num_iter=1, chunk_size=16)
    f = o.grad_fn.saved_tensors[-1]
    for t in (0, 15, 16, 31, 39):
        _, state = naive_gated_kalmanet(*cut((q.detach(), *others), 0, t + 1), num_iter=0)
        torch.testing.assert_close(f[0, t], state.H[0].norm(dim=(-2, -1)), rtol=1e-12, atol=0)


@pytest.mark.parametrize("sizes", [(1, 39), (16, 24), (1, 1, 1, 17, 20), (23, 17)])
def test_6_pieces_of_any_length_equal_one_call(inputs: Make, sizes: tuple[int, ...]) -> None:
    tensors = inputs(B=1, T=40, Hq=1, Hk=1, D=16, dtype=torch.float32)
    state, outputs, start = None, [], 0
    for size in sizes:
        o, state = call(cut(tensors, start, start + size), initial_state=on_device(state), chunk_size=16, num_iter=4)
        outputs.append(o)
        start += size
    assert start == 40
    same((torch.cat(outputs, dim=1), state), call(tensors, chunk_size=32, num_iter=4), 1e-5)


def on_device(state: State | None) -> State | None:
    return None if state is None else State(H=state.H.to(DEVICE), U=state.U.to(DEVICE))


@pytest.mark.parametrize("ends", [[0, 40], [0, 0, 5, 5, 28, 40, 40], [0, 1, 2, 40]])
def test_7_packed_sequences_equal_themselves_alone_bit_by_bit(inputs: Make, states, ends: list[int]) -> None:
    tensors = inputs(B=1, T=40, Hq=1, Hk=1, D=16, dtype=torch.float32)
    before = states(len(ends) - 1, 1, 16, torch.float32)
    options = {"chunk_size": 16, "num_iter": 2}
    o, state = call(tensors, cu_seqlens=torch.tensor(ends), initial_state=on_device(before), **options)
    for n, (start, end) in enumerate(pairwise(ends)):
        mine = State(H=before.H[n : n + 1], U=before.U[n : n + 1])
        alone, after = call(cut(tensors, start, end), initial_state=on_device(mine), **options)
        assert torch.equal(o[:, start:end], alone)
        assert torch.equal(state.H[n], after.H[0])
        assert torch.equal(state.U[n], after.U[0])


@pytest.mark.parametrize("left", [0, 3, 20])
def test_7_padding_changes_nothing_whatever_it_holds(inputs: Make, left: int) -> None:
    tensors = inputs(B=1, T=37, Hq=1, Hk=1, D=16, dtype=torch.float32)
    right = 22 - left
    padded = tuple(
        torch.nn.functional.pad(x, (0, 0) * (x.ndim - 2) + (left, right), value=torch.nan) for x in tensors[:5]
    )
    padded += (torch.nn.functional.pad(tensors[5], (0, 0, left, right), value=-3.0),)
    mask = torch.zeros(1, 59, dtype=torch.bool)
    mask[:, left : left + 37] = True
    o, state = call(padded, mask=mask, chunk_size=16, num_iter=2)
    assert (o[~mask] == 0).all()
    same((o[:, left : left + 37], state), call(tensors, chunk_size=16, num_iter=2), 2e-5)


def test_8_permuted_rows_and_heads_give_permuted_results_bit_by_bit(inputs: Make) -> None:
    tensors = inputs(B=3, T=20, Hq=3, Hk=3, dtype=torch.float32)
    rows, heads = torch.tensor([2, 0, 1]), torch.tensor([1, 2, 0])
    o, state = call(tensors, num_iter=2)
    turned, after = call(tuple(x[rows][:, :, heads] for x in tensors), num_iter=2)
    assert torch.equal(turned, o[rows][:, :, heads])
    assert torch.equal(after.H, state.H[rows][:, heads])
    assert torch.equal(after.U, state.U[rows][:, heads])


@pytest.mark.parametrize(("Hq", "Hk"), [(6, 2), (2, 6), (4, 1)])
def test_9_shared_heads_equal_expanded_ones_bit_by_bit(inputs: Make, Hq: int, Hk: int) -> None:
    q, k, v, *gates = inputs(B=1, T=20, Hq=Hq, Hk=Hk, dtype=torch.float32)
    expanded = tuple(naive.expand(x, max(Hq, Hk)) for x in (q, k, v))
    assert torch.equal(call((q, k, v, *gates), num_iter=2)[0], call((*expanded, *gates), num_iter=2)[0])


def test_11_float16_is_refused_with_the_reason(inputs: Make) -> None:
    with pytest.raises(TypeError, match="65504"):
        call(tuple(tensor.half() for tensor in inputs()))


@pytest.mark.parametrize("scale", [1e5, 1e-9])
def test_12_the_size_of_a_long_history_does_not_matter(inputs: Make, states, relative: Relative, scale: float) -> None:
    tensors = inputs(B=1, T=20, Hq=2, Hk=1, dtype=torch.float32, family="no decay")
    before = states(1, 2, 8)
    before = State(H=scale * before.H, U=scale * before.U)
    o, _ = naive_gated_kalmanet(*(tensor.double() for tensor in tensors), initial_state=before)
    found, _ = call(tensors, initial_state=on_device(State(H=before.H.float(), U=before.U.float())))
    assert relative(found, o) <= 1e-5


def test_12_one_hot_keys_are_read_back(relative: Relative) -> None:
    eye = torch.eye(16)[None, :, None]
    values = torch.randn(1, 16, 1, 16, generator=torch.Generator().manual_seed(0))
    ones, zeros = torch.ones(1, 16, 1), torch.zeros(1, 16, 1)
    o, _ = call((eye[:, -1:], eye[:, -1:], values[:, -1:], ones[:, -1:], ones[:, -1:], zeros[:, -1:]), scale=1.0)
    torch.testing.assert_close(o, values[:, -1:] / 1.02, rtol=4e-4, atol=4e-4)
    found, _ = call((eye, eye, values, ones, ones, zeros))
    assert relative(found, naive_gated_kalmanet(eye, eye, values, ones, ones, zeros)[0]) <= 1e-5


@interpreted
def test_13_with_a_single_token_the_output_is_the_closed_form(inputs: Make) -> None:
    q, k, v, beta, _, g = inputs(B=1, T=1, Hq=1, Hk=1)
    o, _ = triton_gated_kalmanet(q, k, v, beta, None, g, scale=1.0)
    expected = (naive.normalise(q) * naive.normalise(k)).sum(-1, keepdim=True) / 1.02 * v
    torch.testing.assert_close(o, expected, rtol=solver.chebyshev_bound(30, 0.02) * 2, atol=0)


def test_13_a_change_of_basis_of_queries_and_keys_does_not_show(inputs: Make, relative: Relative) -> None:
    q, k, *others = inputs(B=1, T=40, Hq=2, Hk=1, dtype=torch.float32)
    turn = torch.linalg.qr(torch.randn(8, 8, generator=torch.Generator().manual_seed(1)))[0]
    assert relative(call((q @ turn, k @ turn, *others))[0], call((q, k, *others))[0]) <= 1e-5


def test_14_what_comes_later_changes_no_bit_of_what_came_before(inputs: Make) -> None:
    tensors = inputs(B=1, T=40, Hq=2, Hk=1, dtype=torch.float32)
    changed = tuple(tensor.clone() for tensor in tensors)
    for tensor in changed:
        tensor[:, 21] *= 0.5
    o, o_changed = (call(x, chunk_size=32, num_iter=5)[0] for x in (tensors, changed))
    assert torch.equal(o[:, :21], o_changed[:, :21])
    assert not torch.equal(o[:, 21:], o_changed[:, 21:])


@pytest.mark.parametrize("zero", [0, 17])
def test_15_zero_keys_and_queries_are_finite(inputs: Make, zero: int) -> None:
    q, k, *others = inputs(B=1, T=20, Hq=2, Hk=1, dtype=torch.float32)
    k[:, zero], q[:, 3] = 0, 0
    found = call((q, k, *others), chunk_size=16, num_iter=8)
    if zero == 0:
        assert (found[0][:, 0] == 0).all()
    assert (found[0][:, 3] == 0).all()
    same(found, naive_gated_kalmanet(q, k, *others, num_iter=8), 1e-5)


@pytest.mark.parametrize("shape", [{"T": 0}, {"B": 0}])
def test_15_no_tokens_leave_the_states_as_they_are(inputs: Make, states, shape: dict[str, int]) -> None:
    tensors = inputs(**{"B": 2, "T": 3, "dtype": torch.float32, **shape})
    before = states(tensors[0].shape[0], 4, 8, torch.float32)
    o, after = call(tensors, initial_state=on_device(before))
    assert o.shape == (*tensors[0].shape[:2], 4, 8)
    assert prod(o.shape) == 0
    assert torch.equal(after.H, before.H)
    assert torch.equal(after.U, before.U)


def test_15_alpha_of_zero_is_num_iter_of_zero(inputs: Make, relative: Relative) -> None:
    q, k, v, beta, alpha, g = inputs(B=1, T=40, dtype=torch.float32)
    linear, _ = call((q, k, v, beta, alpha, g), num_iter=0)
    assert relative(call((q, k, v, beta, torch.zeros_like(alpha), g))[0], linear) <= 1e-6


def test_offsets_beyond_the_tokens_do_not_reach_outside(inputs: Make) -> None:
    from gated_kalmanet.checks import Sizes
    from gated_kalmanet.triton.call import Packing

    size = Sizes(B=1, T=20, Hq=1, Hk=1, H=1, D=8, N=3)
    packing = Packing.of(size, torch.tensor([0, 90, -5, 20]), 16, torch.device("cpu"))
    assert packing.cu_seqlens.max() <= 20
    assert packing.cu_seqlens.min() >= 0
    assert packing.starts.max() <= packing.chunks


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"chunk_size": 24}, "chunk_size must be a power of two"),
        ({"chunk_size": 8}, "of at least 16"),
        ({"solver": "exact"}, "solver must be one of chebyshev, cg"),
    ],
)
def test_an_impossible_option_is_named(inputs: Make, options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        call(inputs(B=1, T=2, dtype=torch.float32), **options)


def test_a_head_dimension_without_room_is_refused(inputs: Make) -> None:
    with pytest.raises(ValueError, match="head dimension 257"):
        call(inputs(B=1, T=1, Hq=1, Hk=1, D=257, dtype=torch.float32))


def test_a_cpu_without_the_interpreter_is_refused(monkeypatch: pytest.MonkeyPatch, inputs: Make) -> None:
    monkeypatch.setattr(launch, "INTERPRETED", False)
    with pytest.raises(ValueError, match="q is on cpu, where the Triton kernels do not run"):
        triton_gated_kalmanet(*inputs(dtype=torch.float32))


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="a CUDA graph needs a GPU")
def test_20_a_cuda_graph_captures_a_forward_pass(inputs: Make) -> None:
    tensors = tuple(x.cuda() for x in inputs(B=1, T=200, Hq=4, Hk=2, D=64, dtype=torch.bfloat16))
    expected, _ = triton_gated_kalmanet(*tensors)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        o, _ = triton_gated_kalmanet(*tensors)
    o.zero_()
    graph.replay()
    assert torch.equal(o, expected)
