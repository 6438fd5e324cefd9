# ruff: noqa: N803, N806 - the names of the paper
"""Invalid calls raise an error that names the argument, in every implementation; valid ones do not."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from gated_kalmanet import naive
from gated_kalmanet.checks import check, compute_dtype, offsets
from gated_kalmanet.chunk import chunk_gated_kalmanet
from gated_kalmanet.config import GatedKalmaNetConfig
from gated_kalmanet.naive import naive_gated_kalmanet
from gated_kalmanet.state import State

Make = Callable[..., tuple[Tensor, ...]]
NAMES = ("q", "k", "v", "beta", "alpha", "g")


@pytest.fixture(params=[naive_gated_kalmanet, chunk_gated_kalmanet], ids=["naive", "chunk"])
def form(request: pytest.FixtureRequest) -> Callable:
    return request.param


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("q", lambda x: x[0], r"q must be \[batch, tokens, heads, head dim\], not \(40, 4, 8\)"),
        ("k", lambda x: x[:, :-1], r"k must be \(2, 40, 2, 8\)"),
        ("k", lambda x: x[..., :-1], r"k must be \(2, 40, 2, 8\)"),
        ("k", lambda x: x[:, :, :1], r"v must be \(2, 40, 1, 8\)"),
        ("v", lambda x: x[..., :-1], r"v must be \(2, 40, 2, 8\)"),
        ("q", lambda x: x[:, :, :3], "q has 3 heads and k 2"),
        ("beta", lambda x: x[..., :2], r"beta must be \[batch, tokens, expanded heads\] \(2, 40, 4\)"),
        ("alpha", lambda x: x[:1], "alpha must be"),
        ("g", lambda x: x[..., 0], "g must be"),
        ("g", lambda x: -x, "g must be a finite log decay of at most 0"),
        ("g", lambda x: x.masked_fill(x < -0.5, -torch.inf), "finite"),
        ("g", lambda x: x.masked_fill(x < -0.5, torch.nan), "finite"),
    ],
)
def test_an_impossible_tensor_is_refused_by_its_name(
    inputs: Make, form: Callable, name: str, change: Callable[[Tensor], Tensor], message: str
) -> None:
    given = dict(zip(NAMES, inputs(), strict=True))
    given[name] = change(given[name])
    with pytest.raises(ValueError, match=message):
        form(**given)


@pytest.mark.parametrize("name", NAMES)
def test_float16_is_refused_with_the_reason(inputs: Make, form: Callable, name: str) -> None:
    given = dict(zip(NAMES, inputs(dtype=torch.float32), strict=True))
    given[name] = given[name].half()
    with pytest.raises(TypeError, match=f"{name} is float16, which the operator does not support: x of .* 65504"):
        form(**given)


def test_11_float16_would_indeed_overflow_at_a_beta_of_1e_4() -> None:
    # One token: H = beta^2 kn kn^T, and a query orthogonal to the key is divided by lambda = a beta^2.
    H = torch.zeros(2, 2, dtype=torch.float64)
    H[0, 0] = 1e-8
    assert float(naive.solve(H, torch.tensor([0.0, 1.0], dtype=torch.float64))[1]) > torch.finfo(torch.float16).max


@pytest.mark.parametrize(
    ("name", "dtype"),
    [("q", torch.int64), ("k", torch.float64), ("v", torch.bfloat16), ("g", torch.bfloat16), ("beta", torch.float64)],
)
def test_mixed_dtypes_are_refused(inputs: Make, form: Callable, name: str, dtype: torch.dtype) -> None:
    given = dict(zip(NAMES, inputs(dtype=torch.float32), strict=True))
    given[name] = given[name].to(dtype)
    with pytest.raises(TypeError, match=f"must be .*not {dtype}"):
        form(**given)


def test_gates_may_be_float32_beside_bfloat16(inputs: Make, form: Callable) -> None:
    q, k, v, beta, alpha, g = inputs(dtype=torch.bfloat16)
    o, state = form(q, k, v, beta.float(), alpha.float(), g)
    assert (o.dtype, state.H.dtype, state.U.dtype) == (torch.bfloat16, torch.float32, torch.float32)
    assert compute_dtype(torch.float64) == torch.float64


@pytest.mark.parametrize(
    ("argument", "message"),
    [
        ({"num_iter": -1}, "num_iter must be at least 0"),
        ({"ridge_strength": 0.0}, "ridge_strength must be above 0"),
        ({"ridge_strength": float("nan")}, "ridge_strength must be above 0"),
        ({"solver": "jacobi"}, "solver must be one of chebyshev, cg.* not 'jacobi'"),
        ({"mask": torch.ones(2, 40)}, r"mask must be bool of \(2, 40\)"),
        ({"mask": torch.ones(2, 39, dtype=torch.bool)}, "mask must be bool"),
        ({"cu_seqlens": torch.tensor([0, 40])}, "cu_seqlens packs sequences into a batch of 1, not of 2"),
    ],
)
def test_an_impossible_argument_is_refused(
    inputs: Make, form: Callable, argument: dict[str, object], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        form(*inputs(), **argument)


@pytest.mark.parametrize(
    ("ends", "message"),
    [
        (torch.tensor([0, 30, 20, 40]), "must not decrease: 30 is followed by 20 at position 2"),
        (torch.tensor([0, 30]), "must run from 0 to 40, the number of tokens, not from 0 to 30"),
        (torch.tensor([1, 40]), "not from 1 to 40"),
        (torch.tensor([0.0, 40.0]), "int32 or int64"),
        (torch.tensor([[0, 40]]), "int32 or int64"),
        (torch.tensor([], dtype=torch.int64), "int32 or int64"),
    ],
)
def test_impossible_ends_of_packed_sequences_are_refused(
    inputs: Make, form: Callable, ends: Tensor, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        form(*inputs(B=1), cu_seqlens=ends)


def test_padding_of_packed_sequences_is_refused(inputs: Make, form: Callable) -> None:
    mask, ends = torch.ones(1, 40, dtype=torch.bool), torch.tensor([0, 40])
    with pytest.raises(ValueError, match="cannot be combined"):
        form(*inputs(B=1), mask=mask, cu_seqlens=ends)


def test_an_impossible_state_is_refused(inputs: Make, form: Callable) -> None:
    good = torch.zeros(2, 4, 8, 8, dtype=torch.float64)
    with pytest.raises(ValueError, match=r"initial_state\.U must be \(2, 4, 8, 8\), not \(1, 4, 8, 8\)"):
        form(*inputs(), initial_state=State(H=good, U=good[:1]))
    with pytest.raises(TypeError, match=r"initial_state\.H must be torch\.float64"):
        form(*inputs(), initial_state=State(H=good.float(), U=good))


def test_tensors_on_two_devices_are_refused(inputs: Make) -> None:
    q, k, v, beta, alpha, g = inputs()
    with pytest.raises(ValueError, match="v is on meta and q on cpu: move them to one device"):
        check(q, k, v.to("meta"), beta, alpha, g, num_iter=30, ridge_strength=0.02, solver="chebyshev")


def test_chunks_hold_at_least_one_token(inputs: Make) -> None:
    with pytest.raises(ValueError, match="chunk_size must be at least 1, not 0"):
        chunk_gated_kalmanet(*inputs(), chunk_size=0)


def test_the_exact_solver_is_for_the_definition_alone(inputs: Make) -> None:
    with pytest.raises(ValueError, match="solver must be one of chebyshev, cg, not 'exact'"):
        chunk_gated_kalmanet(*inputs(), solver="exact")


@pytest.mark.parametrize("T", [0, 1])
def test_an_empty_or_short_sequence_and_a_zero_key_are_fine(inputs: Make, form: Callable, T: int) -> None:
    q, k, v, beta, alpha, g = inputs(T=T)
    o, _ = form(q, torch.zeros_like(k), v, beta, alpha, g)
    assert o.shape == (2, T, 4, 8)
    assert bool((o == 0).all())


def test_ends_of_packed_sequences_may_repeat() -> None:
    assert offsets(torch.tensor([0, 0, 3, 3]), 3) == [0, 0, 3, 3]


@pytest.mark.parametrize(
    ("field", "message"),
    [
        ({"num_q_heads": 3}, "num_q_heads 3 and num_k_heads 2: one must be a multiple of the other"),
        ({"num_v_heads": 4}, "num_v_heads must equal num_k_heads, 2, not 4"),
        ({"head_dim": 0}, "head_dim must be at least 1"),
        ({"num_iter": -1}, "num_iter must be at least 0"),
        ({"ridge_strength": -0.1}, "ridge_strength must be above 0"),
        ({"solver_type": "exact"}, "solver_type must be chebyshev or cg, not 'exact'"),
        ({"backend": "cuda"}, "backend must be one of naive, chunk, triton, not 'cuda'"),
        ({"kv_proj_rank": 0}, "kv_proj_rank must be at least 1"),
        ({"kv_learnable_residual": True}, "kv_learnable_residual needs kv_proj_rank"),
    ],
)
def test_an_impossible_layer_is_refused_when_it_is_described(field: dict[str, object], message: str) -> None:
    sizes = {"hidden_size": 16, "head_dim": 4, "num_q_heads": 4, "num_k_heads": 2, "num_v_heads": 2}
    with pytest.raises(ValueError, match=message):
        GatedKalmaNetConfig(**{**sizes, **field})
