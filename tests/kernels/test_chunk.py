# ruff: noqa: N803, N806 - the names of the paper
"""The chunk-wise implementation against the reference: values, states, gradients and invariances.

Numbers in the names refer to the list of tests in kernels/gated_kalmanet/README.md.
"""

from collections.abc import Callable
from itertools import pairwise

import pytest
import torch
from torch import Tensor

from gated_kalmanet import chunk, chunk_forward, naive
from gated_kalmanet.chunk import chunk_gated_kalmanet
from gated_kalmanet.chunk_forward import Decay, norm
from gated_kalmanet.naive import naive_gated_kalmanet
from gated_kalmanet.state import State

Make = Callable[..., tuple[Tensor, ...]]
Relative = Callable[[Tensor, Tensor], float]
LENGTHS = (1, 2, 15, 16, 63, 64, 65, 127, 200, 1024)
HEADS = ((4, 2), (2, 2), (2, 4), (3, 1))


def worst(found: tuple[Tensor, State], expected: tuple[Tensor, State], relative: Relative) -> float:
    pairs = zip((found[0], found[1].H, found[1].U), (expected[0], expected[1].H, expected[1].U), strict=True)
    return max(relative(a, b) for a, b in pairs)


@pytest.mark.parametrize("T", LENGTHS)
def test_2_it_equals_the_definition_in_float64_at_every_length(inputs: Make, relative: Relative, T: int) -> None:
    batch, steps = inputs(T=T, Hq=2, Hk=1), {"num_iter": 10}
    assert worst(chunk_gated_kalmanet(*batch, **steps), naive_gated_kalmanet(*batch, **steps), relative) <= 1e-11


@pytest.mark.parametrize(("solver", "num_iter"), [("chebyshev", 30), ("chebyshev", 3), ("chebyshev", 0), ("cg", 12)])
def test_2_it_equals_the_definition_in_float64_for_every_family(
    inputs: Make, relative: Relative, family: str, solver: str, num_iter: int
) -> None:
    batch, kind = inputs(T=35, family=family), {"solver": solver, "num_iter": num_iter}
    found = chunk_gated_kalmanet(*batch, chunk_size=16, **kind)
    # Conjugate gradients divide by the residual, which is a rounding error after convergence.
    allowed = 1e-11 if solver == "chebyshev" else 1e-8
    assert worst(found, naive_gated_kalmanet(*batch, **kind), relative) <= allowed


def test_2_in_float32_it_is_as_good_as_the_definition(inputs: Make, relative: Relative, family: str) -> None:
    batch = inputs(B=1, T=40, family=family, dtype=torch.float32)
    exact = naive_gated_kalmanet(*(tensor.double() for tensor in batch))[0]
    error = relative(naive_gated_kalmanet(*batch)[0], exact)
    # Below some roundings of the inputs (2^-24) the error of the reference is random.
    assert relative(chunk_gated_kalmanet(*batch, chunk_size=16)[0], exact) <= 2 * max(error, 8 * 2**-24)
    # With nearly equal keys, the solve subtracts numbers that are 1 / a = 50 times as large as the result.
    assert error <= (5e-5 if "equal" in family or family == "strong decay" else 1e-5)


@pytest.mark.parametrize("D", [1, 3, 16, 40])
@pytest.mark.parametrize(("Hq", "Hk"), HEADS)
def test_2_heads_and_head_dimensions_are_free(
    inputs: Make, states: Callable[..., State], relative: Relative, Hq: int, Hk: int, D: int
) -> None:
    batch = inputs(T=21, Hq=Hq, Hk=Hk, D=D)
    start = states(2, max(Hq, Hk), D)
    found = chunk_gated_kalmanet(*batch, chunk_size=8, initial_state=start, scale=1.0)
    assert worst(found, naive_gated_kalmanet(*batch, initial_state=start, scale=1.0), relative) <= 1e-11


@pytest.mark.parametrize("switch", [{"decay_h": False}, {"alpha": None}, {"g": None}, {"alpha": None, "g": None}])
def test_2_every_switch_means_what_it_means_in_the_definition(
    inputs: Make, states: Callable[..., State], relative: Relative, switch: dict[str, bool | None]
) -> None:
    q, k, v, beta, alpha, g = inputs()
    kind = {"alpha": alpha, "g": g, "initial_state": states(2, 4, 8), **switch}
    found = chunk_gated_kalmanet(q, k, v, beta, chunk_size=16, **kind)
    assert worst(found, naive_gated_kalmanet(q, k, v, beta, **kind), relative) <= 1e-11


@pytest.mark.parametrize(("dtype", "allowed"), [(torch.float64, 1e-11), (torch.float32, 2e-5)])
@pytest.mark.parametrize("C", [1, 16, 32, 128])
def test_3_the_chunk_size_does_not_matter(
    inputs: Make, relative: Relative, C: int, dtype: torch.dtype, allowed: float
) -> None:
    batch = inputs(T=200, dtype=dtype)
    found = chunk_gated_kalmanet(*batch, chunk_size=C)
    assert worst(found, chunk_gated_kalmanet(*batch), relative) <= allowed


def test_3_neither_does_the_memory_that_it_may_take(
    inputs: Make, states: Callable[..., State], relative: Relative, monkeypatch: pytest.MonkeyPatch
) -> None:
    q, k, v, beta, alpha, g = (tensor[:1] for tensor in inputs(T=90))
    ends = torch.tensor([0, 7, 7, 50, 61, 90])
    kind = {"cu_seqlens": ends, "initial_state": states(5, 4, 8), "chunk_size": 8}
    leaves = [tensor.requires_grad_() for tensor in (q, k, v, beta, alpha, g)]
    whole = chunk_gated_kalmanet(*leaves, **kind)
    gradients = torch.autograd.grad(whole[0].sum() + whole[1].H.sum(), leaves)
    # Memory for one chunk, for two, and for four, which is less than all chunks.
    for chunks in (1, 2, 4):
        monkeypatch.setattr(chunk, "workspace", lambda device, n=chunks: n * chunk.chunk_bytes(4, 8, 8, torch.float64))
        parts = chunk_gated_kalmanet(*leaves, **kind)
        assert worst(parts, whole, relative) <= 1e-14
        for a, b in zip(torch.autograd.grad(parts[0].sum() + parts[1].H.sum(), leaves), gradients, strict=True):
            assert relative(a, b) <= 1e-12


@pytest.mark.parametrize(("dtype", "allowed"), [(torch.float64, 1e-12), (torch.float32, 1e-6), (torch.bfloat16, 5e-3)])
def test_4_the_norm_of_h_is_found_without_forming_it(
    inputs: Make, states: Callable[..., State], relative: Relative, family: str, dtype: torch.dtype, allowed: float
) -> None:
    _, k, v, beta, _, g = inputs(B=1, Hq=1, Hk=1, T=32, D=16, family=family)
    start = states(1, 1, 16)
    direct, state = [], start
    for t in range(32):
        token = (tensor[:, t : t + 1] for tensor in (k, k, v, beta, beta, g))
        _, state = naive_gated_kalmanet(*token, num_iter=0, initial_state=state)
        direct.append(state.H.norm())
    # bfloat16 inputs are accumulated in float32.
    high = torch.float32 if dtype == torch.bfloat16 else dtype
    decay = Decay.of(g[:, :, 0].to(high)[:, None])
    weights = ((beta.to(dtype).to(high) + 1e-6) ** 2)[:, :, 0][:, None]
    keys = naive.normalise(k.to(dtype).to(high))[:, :, 0]
    found = norm(keys, decay.start, decay.between * weights[..., None, :], start.H.to(high))
    assert relative(found[0, 0], torch.stack(direct)) <= allowed


@pytest.mark.parametrize("T", [1, 63, 64, 65])
def test_5_single_steps_after_a_prefill_equal_the_whole(inputs: Make, relative: Relative, T: int) -> None:
    batch = inputs(T=T + 6, dtype=torch.float32)
    o, state = chunk_gated_kalmanet(*(tensor[:, :T] for tensor in batch))
    outputs = [o]
    for t in range(T, T + 6):
        o, state = chunk_gated_kalmanet(*(tensor[:, t : t + 1] for tensor in batch), initial_state=state)
        outputs.append(o)
    assert worst((torch.cat(outputs, 1), state), chunk_gated_kalmanet(*batch), relative) <= 1e-5


def test_5_in_bfloat16_too(inputs: Make, relative: Relative) -> None:
    batch = inputs(T=70, dtype=torch.bfloat16)
    whole, end = chunk_gated_kalmanet(*batch)
    o, state = chunk_gated_kalmanet(*(tensor[:, :66] for tensor in batch))
    outputs = [o]
    for t in range(66, 70):
        o, state = chunk_gated_kalmanet(*(tensor[:, t : t + 1] for tensor in batch), initial_state=state)
        outputs.append(o)
    assert whole.dtype == torch.bfloat16
    assert relative(torch.cat(outputs, 1), whole) <= 2e-2
    assert state.H.dtype == torch.float32
    assert relative(state.H, end.H) <= 1e-5


@pytest.mark.parametrize("ends", [(0, 1, 2, 3, 100), (0, 37, 99, 100), (0, 64, 65, 100), (0, 50, 50, 100)])
def test_6_a_sequence_may_be_cut_anywhere(
    inputs: Make, states: Callable[..., State], relative: Relative, ends: tuple[int, ...]
) -> None:
    batch = inputs(T=100, dtype=torch.float32)
    state, outputs = states(2, 4, 8, torch.float32), []
    whole = chunk_gated_kalmanet(*batch, initial_state=state)
    for start, end in pairwise(ends):
        o, state = chunk_gated_kalmanet(*(tensor[:, start:end] for tensor in batch), initial_state=state)
        outputs.append(o)
    assert worst((torch.cat(outputs, 1), state), whole, relative) <= 1e-5


@pytest.mark.parametrize("dtype", [torch.int32, torch.int64])
def test_7_packed_sequences_do_not_see_each_other(
    inputs: Make, states: Callable[..., State], relative: Relative, dtype: torch.dtype
) -> None:
    batch = inputs(B=1, T=150, dtype=torch.float32)
    ends, start = [0, 1, 1, 70, 134, 150], states(5, 4, 8, torch.float32)
    packed, state = chunk_gated_kalmanet(*batch, cu_seqlens=torch.tensor(ends, dtype=dtype), initial_state=start)
    for n, (a, b) in enumerate(pairwise(ends)):
        own = State(H=start.H[n : n + 1], U=start.U[n : n + 1])
        alone, last = chunk_gated_kalmanet(*(tensor[:, a:b] for tensor in batch), initial_state=own)
        torch.testing.assert_close(packed[:, a:b], alone, rtol=1e-6, atol=1e-6 * float(packed.abs().max()))
        assert relative(state.H[n : n + 1], last.H) <= 1e-6
        assert relative(state.U[n : n + 1], last.U) <= 1e-6


@pytest.mark.parametrize("form", [chunk_gated_kalmanet, naive_gated_kalmanet])
def test_7_padding_changes_nothing_and_may_hold_anything(inputs: Make, relative: Relative, form: Callable) -> None:
    batch = inputs(B=3, T=40, dtype=torch.float32)
    mask = torch.ones(3, 40, dtype=torch.bool)
    mask[0, :13] = False  # left
    mask[1, 29:] = False  # right
    mask[2, [0, 5, 6, 39]] = False  # holes
    dirty = [tensor.masked_fill(~mask.view(3, 40, *(1,) * (tensor.ndim - 2)), torch.nan) for tensor in batch[:3]]
    o, state = form(*dirty, *batch[3:], mask=mask)
    assert o[~mask].abs().max() == 0
    for row, keep in enumerate(mask):
        alone, last = form(*(tensor[row : row + 1, keep] for tensor in batch))
        assert relative(o[row, keep], alone[0]) <= 1e-6
        assert relative(state.H[row], last.H[0]) <= 1e-6
        assert relative(state.U[row], last.U[0]) <= 1e-6


def test_8_rows_and_heads_do_not_know_their_place(inputs: Make) -> None:
    batch = inputs(B=3, Hq=4, Hk=4)
    o, state = chunk_gated_kalmanet(*batch)
    rows, heads = torch.tensor([2, 0, 1]), torch.tensor([3, 1, 0, 2])
    again, moved = chunk_gated_kalmanet(*(tensor[rows][:, :, heads] for tensor in batch))
    assert torch.equal(again, o[rows][:, :, heads])
    assert torch.equal(moved.H, state.H[rows][:, heads])


@pytest.mark.parametrize(("Hq", "Hk"), HEADS)
def test_9_shared_heads_equal_expanded_ones(inputs: Make, relative: Relative, Hq: int, Hk: int) -> None:
    q, k, v, beta, alpha, g = inputs(Hq=Hq, Hk=Hk, dtype=torch.float32)
    H = max(Hq, Hk)
    expanded = (naive.expand(tensor, H) for tensor in (q, k, v))
    shared = chunk_gated_kalmanet(q, k, v, beta, alpha, g)
    assert worst(shared, chunk_gated_kalmanet(*expanded, beta, alpha, g), relative) <= 1e-6


def test_11_in_bfloat16_the_error_is_that_of_the_inputs(inputs: Make, relative: Relative, family: str) -> None:
    batch = inputs(T=130, family=family, dtype=torch.bfloat16)
    exact, _ = naive_gated_kalmanet(*(tensor.double() for tensor in batch), solver="exact")
    # The solve and the states are float32: the error is that of 30 iterations (3.2e-4 of x) and of rounding o (2^-9).
    allowed = 8e-2 if "equal" in family else 1.5e-2
    assert relative(chunk_gated_kalmanet(*batch)[0], exact) <= allowed


@pytest.mark.parametrize("form", [chunk_gated_kalmanet, naive_gated_kalmanet])
def test_11_autocast_does_not_reach_the_solve(inputs: Make, form: Callable) -> None:
    leaves = [tensor.requires_grad_() for tensor in inputs(T=20, dtype=torch.float32)]
    o, state = form(*leaves)
    gradients = torch.autograd.grad(o.sum() + state.H.sum(), leaves)
    with torch.autocast("cpu", torch.bfloat16):
        again, moved = form(*leaves)
    for a, b in zip(torch.autograd.grad(again.sum() + moved.H.sum(), leaves), gradients, strict=True):
        torch.testing.assert_close(a, b)
    assert torch.equal(again, o)
    assert torch.equal(moved.H, state.H)


@pytest.mark.parametrize("T", [16_384, 131_072])
def test_12_a_long_past_that_is_never_forgotten_does_no_harm(relative: Relative, T: int) -> None:
    generator = torch.Generator().manual_seed(0)
    q, k, v = (torch.randn(1, T, 1, 8, generator=generator) for _ in range(3))
    beta = torch.ones(1, T, 1)
    o, state = chunk_gated_kalmanet(q, k, v, beta, None, None, chunk_size=256)
    assert bool(o.isfinite().all())
    keys = naive.normalise(k[0, :, 0].double()) * (1 + 1e-6)
    values = (1 + 1e-6) * v[0, :, 0].double()
    # Error of a sum of T terms in float32.
    assert relative(state.H[0, 0], keys.T @ keys) <= T * 2**-24
    x = naive.solve(keys.T @ keys, naive.normalise(q[0, -1, 0].double()), solver="exact")
    assert relative(o[0, -1, 0], 8**-0.5 * (values.T @ (keys @ x))) <= 1.5e-2


@pytest.mark.parametrize("keys", ["equal", "one-hot"])
def test_12_degenerate_keys_do_no_harm(relative: Relative, keys: str) -> None:
    generator = torch.Generator().manual_seed(0)
    k = torch.ones(1, 120, 1, 8) if keys == "equal" else torch.eye(8).repeat(15, 1).view(1, 120, 1, 8)
    q, v = (torch.randn(1, 120, 1, 8, generator=generator) for _ in range(2))
    gates = torch.ones(1, 120, 1)
    o, _ = chunk_gated_kalmanet(q, k, v, gates, None, None)
    exact, _ = naive_gated_kalmanet(*(x.double() for x in (q, k, v, gates)), None, None)
    assert relative(o, exact) <= 1e-4


def test_13_a_change_of_basis_of_queries_and_keys_changes_nothing(inputs: Make, relative: Relative) -> None:
    q, k, *rest = inputs(T=100, dtype=torch.float32)
    basis = torch.linalg.qr(torch.randn(8, 8, generator=torch.Generator().manual_seed(0))).Q
    o, _ = chunk_gated_kalmanet(q, k, *rest)
    assert relative(chunk_gated_kalmanet(q @ basis, k @ basis, *rest)[0], o) <= 1e-5


@pytest.mark.parametrize("j", [0, 15, 16, 39])
def test_14_what_comes_later_changes_no_bit_of_what_was_before(inputs: Make, j: int) -> None:
    batch = inputs(dtype=torch.float32)
    o, _ = chunk_gated_kalmanet(*batch, chunk_size=16)
    changed = [tensor.clone() for tensor in batch]
    for tensor in changed:
        tensor[:, j] = tensor[:, j] * 0.5 - 0.1
    again, _ = chunk_gated_kalmanet(*changed, chunk_size=16)
    assert torch.equal(again[:, :j], o[:, :j])
    assert not torch.equal(again[:, j], o[:, j])


def test_15_empty_input_and_zero_keys_are_not_errors(inputs: Make, states: Callable[..., State]) -> None:
    start = states(2, 4, 8)
    o, state = chunk_gated_kalmanet(*inputs(T=0), initial_state=start)
    assert o.shape == (2, 0, 4, 8)
    assert torch.equal(state.H, start.H)
    nothing = (tensor[:1, :0] for tensor in inputs())
    o, state = chunk_gated_kalmanet(*nothing, cu_seqlens=torch.tensor([0]))
    assert (o.shape, state.H.shape) == ((1, 0, 4, 8), (0, 4, 8, 8))
    q, k, v, beta, alpha, g = inputs(dtype=torch.float32)
    k[:, :3] = 0
    leaves = [tensor.requires_grad_() for tensor in (q, k, v, beta, alpha, g)]
    o, _ = chunk_gated_kalmanet(*leaves)
    assert o[:, :3].abs().max() == 0
    for gradient in torch.autograd.grad(o.sum(), leaves):
        assert bool(gradient.isfinite().all())


@pytest.mark.parametrize("kind", [{"alpha": 0}, {"num_iter": 0}])
def test_15_alpha_0_is_linear_attention(inputs: Make, relative: Relative, kind: dict[str, int]) -> None:
    q, k, v, beta, alpha, g = inputs(T=70)
    blend = torch.zeros_like(alpha) if "alpha" in kind else alpha
    o, _ = chunk_gated_kalmanet(q, k, v, beta, blend, g, num_iter=kind.get("num_iter", 30))
    assert relative(o, naive_gated_kalmanet(q, k, v, beta, alpha, g, num_iter=0)[0]) <= 1e-12


@pytest.mark.parametrize("size", [1, 3, 64])
@pytest.mark.parametrize("r", [30, 5])
def test_18_the_worked_example_has_the_published_numbers(
    golden, r: int, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    solved = []

    def forward(*chunks: object) -> tuple[Tensor, Tensor, Tensor]:
        solved.append(chunk_forward.forward(*chunks))
        return solved[-1]

    monkeypatch.setattr(chunk, "forward", forward)
    o, state = chunk_gated_kalmanet(*golden.inputs, num_iter=r, chunk_size=size)
    known = ~golden.outputs[r].isnan()
    torch.testing.assert_close(o[0, :, 0][known], golden.outputs[r][known], rtol=0, atol=5.1e-9)
    torch.testing.assert_close(state.H[0, 0], golden.H, rtol=0, atol=5.1e-9)
    ((_, x, f),) = solved
    x, f = x.flatten(0, 2)[:4], f.flatten()[:4]
    torch.testing.assert_close(f, golden.f, rtol=0, atol=5.1e-10)
    torch.testing.assert_close(x[3], golden.solutions[r], rtol=0, atol=5.1e-9)
    if r == 30:
        torch.testing.assert_close(x[0], golden.first_solution, rtol=0, atol=5.1e-9)


def test_18_the_worked_example_has_the_published_gradients(golden) -> None:
    leaves = [tensor.clone().requires_grad_() for tensor in golden.inputs]
    o, _ = chunk_gated_kalmanet(*leaves, num_iter=80, chunk_size=3)
    golden.check_gradients(torch.autograd.grad(o.sum(), leaves))


def test_18_conjugate_gradients_solve_the_worked_example_in_four_steps(golden) -> None:
    o, _ = chunk_gated_kalmanet(*golden.inputs, num_iter=4, solver="cg")
    torch.testing.assert_close(o[0, 3, 0], golden.outputs[None][3], rtol=0, atol=5.1e-9)
