"""The decode kernel against the reference and against the kernels over whole sequences.

Numbers in the names refer to the list of tests in kernels/gated_kalmanet/README.md.
"""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from gated_kalmanet import triton
from gated_kalmanet.naive import naive_gated_kalmanet
from gated_kalmanet.state import State
from gated_kalmanet.triton import launch, triton_gated_kalmanet

interpreted = pytest.mark.skipif(not launch.INTERPRETED, reason="float64 needs the interpreter")
Make = Callable[..., tuple[Tensor, ...]]
Relative = Callable[[Tensor, Tensor], float]
Move = Callable[..., tuple[Tensor, State]]


@pytest.fixture
def decode(device: str) -> Move:
    """Run triton.decode on CPU tensors."""

    def decode(tensors: tuple[Tensor | None, ...], state: State, **options: object) -> tuple[Tensor, State]:
        there = tuple(tensor if tensor is None else tensor.to(device) for tensor in tensors)
        options = {name: x.to(device) if isinstance(x, Tensor) else x for name, x in options.items()}
        o, after = triton.decode(*there, State(H=state.H.to(device), U=state.U.to(device)), **options)
        return o.cpu(), State(H=after.H.cpu(), U=after.U.cpu())

    return decode


def same(found: tuple[Tensor, State], expected: tuple[Tensor, State], tolerance: float) -> None:
    for a, b in zip((found[0], found[1].H, found[1].U), (expected[0], expected[1].H, expected[1].U), strict=True):
        torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance * float(b.abs().max()) if b.numel() else 0)


@interpreted
@pytest.mark.parametrize(
    ("shape", "options"),
    [
        ({"T": 1}, {}),
        ({"T": 4, "Hq": 6, "Hk": 2, "D": 12}, {"num_iter": 9}),
        ({"T": 2, "Hq": 1, "Hk": 3, "D": 20}, {"decay_h": False, "num_iter": 3}),
        ({"T": 3, "D": 5}, {"solver": "cg", "num_iter": 3}),
        ({"T": 2}, {"num_iter": 0}),
        ({"T": 2}, {"ridge_strength": 0.3, "scale": 2.0}),
        ({"T": 0}, {}),
    ],
)
def test_5_new_tokens_equal_the_definition(inputs: Make, states, decode: Move, shape: dict, options: dict) -> None:
    sizes = {"B": 2, "Hq": 2, "Hk": 1, "D": 8, **shape}
    tensors, before = inputs(**sizes), states(2, max(sizes["Hq"], sizes["Hk"]), sizes["D"])
    expected = naive_gated_kalmanet(*tensors, initial_state=before, **options)
    same(decode(tensors, before, **options), expected, 1e-12)


@interpreted
def test_18_the_worked_example_to_the_digits_printed(golden, decode: Move) -> None:
    zeros = torch.zeros(1, 1, 4, 4, dtype=torch.float64)
    o, state = decode(golden.inputs, State(H=zeros, U=zeros))
    torch.testing.assert_close(o[0, :, 0], golden.outputs[30], rtol=0, atol=5.1e-9)
    torch.testing.assert_close(state.H[0, 0], golden.H, rtol=0, atol=5.1e-9)


@pytest.mark.parametrize("sizes", [(1, 1, 1, 1), (3, 1), (4,)])
def test_5_prefill_and_new_tokens_equal_one_call(
    inputs: Make, decode: Move, device: str, sizes: tuple[int, ...]
) -> None:
    tensors = inputs(B=1, T=24, Hq=2, Hk=1, D=16, dtype=torch.float32)
    whole, after = triton_gated_kalmanet(*(tensor.to(device) for tensor in tensors), num_iter=8)
    o, state = triton_gated_kalmanet(*(tensor[:, :20].to(device) for tensor in tensors), num_iter=8)
    outputs, start = [o.cpu()], 20
    for size in sizes:
        o, state = decode(tuple(tensor[:, start : start + size] for tensor in tensors), state, num_iter=8)
        outputs.append(o)
        start += size
    assert start == 24
    same((torch.cat(outputs, dim=1), state), (whole.cpu(), State(H=after.H.cpu(), U=after.U.cpu())), 1e-5)


def test_2_errs_at_most_twice_as_much_as_the_definition_in_float32(
    inputs: Make, states, relative: Relative, decode: Move, family: str
) -> None:
    tensors, before = inputs(B=1, T=3, Hq=1, Hk=1, dtype=torch.float32, family=family), states(1, 1, 8, torch.float32)
    high = State(H=before.H.double(), U=before.U.double())
    exact, _ = naive_gated_kalmanet(*(tensor.double() for tensor in tensors), initial_state=high)
    definition, _ = naive_gated_kalmanet(*tensors, initial_state=before)
    found, _ = decode(tensors, before)
    assert relative(found, exact) <= 2 * relative(definition, exact) + 1e-7


def test_7_padding_changes_nothing_whatever_it_holds(inputs: Make, states, decode: Move) -> None:
    tensors, before = inputs(B=2, T=4, Hq=2, Hk=1, dtype=torch.float32), states(2, 2, 8, torch.float32)
    mask = torch.tensor([[False, True, True, False], [False] * 4])
    padded = tuple(x.masked_fill(~mask.view(2, 4, *(1,) * (x.ndim - 2)), torch.nan) for x in tensors[:5])
    o, after = decode((*padded, tensors[5]), before, mask=mask)
    assert (o[~mask] == 0).all()
    mine = State(H=before.H[:1], U=before.U[:1])
    alone, state = decode(tuple(x[:1, 1:3] for x in tensors), mine)
    torch.testing.assert_close(o[:1, 1:3], alone)
    torch.testing.assert_close(after.H[0], state.H[0])
    torch.testing.assert_close(after.U[0], state.U[0])
    assert torch.equal(after.H[1], before.H[1])
    assert torch.equal(after.U[1], before.U[1])


@interpreted
def test_without_gates_everything_is_remembered_and_nothing_blended(inputs: Make, states, decode: Move) -> None:
    (q, k, v, beta, alpha, g), before = inputs(B=1, T=2), states(1, 4, 8)
    explicit = decode((q, k, v, beta, torch.ones_like(alpha), torch.zeros_like(g)), before)
    same(decode((q, k, v, beta, None, None), before), explicit, 1e-14)


def test_15_a_zero_key_and_an_empty_state_give_zero(inputs: Make, decode: Move) -> None:
    q, k, *others = inputs(B=1, T=2, Hq=2, Hk=1, dtype=torch.float32)
    k[:, 0] = 0
    zeros = torch.zeros(1, 2, 8, 8)
    o, _ = decode((q, k, *others), State(H=zeros, U=zeros))
    assert (o[:, 0] == 0).all()
    assert o.isfinite().all()
    assert (o[:, 1] != 0).any()


def test_states_are_written_over_only_if_asked(inputs: Make, states, device: str) -> None:
    tensors = tuple(tensor.to(device) for tensor in inputs(B=1, T=2, dtype=torch.float32))
    before = states(1, 4, 8, torch.float32)
    before = State(H=before.H.to(device), U=before.U.to(device))
    kept = State(H=before.H.clone(), U=before.U.clone())
    o, after = triton.decode(*tensors, before)
    assert torch.equal(before.H, kept.H)
    assert torch.equal(before.U, kept.U)
    o_inplace, same_state = triton.decode(*tensors, before, inplace=True)
    assert same_state is before
    assert torch.equal(o_inplace, o)
    assert torch.equal(before.H, after.H)
    assert torch.equal(before.U, after.U)


def test_states_that_cannot_be_written_over_are_refused(inputs: Make, states, device: str) -> None:
    tensors = tuple(tensor.to(device) for tensor in inputs(B=1, T=1, dtype=torch.float32))
    before = states(1, 4, 8, torch.float32)
    turned = State(H=before.H.to(device), U=before.U.to(device).mT)
    with pytest.raises(ValueError, match=r"state\.U is not contiguous"):
        triton.decode(*tensors, turned, inplace=True)


def test_a_gradient_is_refused_by_the_name_of_the_argument(inputs: Make, states, decode: Move) -> None:
    q, k, *others = inputs(B=1, T=1, dtype=torch.float32)
    with pytest.raises(ValueError, match="k requires a gradient, which decode does not compute"):
        decode((q, k.requires_grad_(), *others), states(1, 4, 8, torch.float32))
    with torch.no_grad():
        decode((q, k, *others), states(1, 4, 8, torch.float32))


def test_11_float16_is_refused_with_the_reason(inputs: Make, states, decode: Move) -> None:
    with pytest.raises(TypeError, match="65504"):
        decode(tuple(tensor.half() for tensor in inputs(B=1, T=1)), states(1, 4, 8, torch.float32))


def test_11_bfloat16_inputs_are_computed_with_in_float32(
    inputs: Make, states, relative: Relative, decode: Move
) -> None:
    tensors, before = inputs(B=1, T=3, Hq=2, Hk=1, dtype=torch.bfloat16), states(1, 2, 8, torch.float32)
    wide = tuple(tensor.float() for tensor in tensors)
    o, after = decode(tensors, before)
    expected, state = decode(wide, before)
    # One rounding of the output, which the interpreter truncates.
    assert relative(o, expected) <= 2**-8
    assert torch.equal(after.H, state.H)
    assert torch.equal(after.U, state.U)
