# ruff: noqa: N803, N806 - the names of the paper
"""The layer: parameters of the released checkpoints, formulas of the paper, decode, precision and errors.

Numbers in the names refer to the list of tests in kernels/gated_kalmanet/README.md.
"""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from gated_kalmanet.backends import operator
from gated_kalmanet.config import GatedKalmaNetConfig
from gated_kalmanet.layer import GatedKalmaNet
from gated_kalmanet.naive import naive_gated_kalmanet
from gated_kalmanet.state import LayerCache

SIZES = {"hidden_size": 24, "head_dim": 6, "num_q_heads": 4, "num_k_heads": 2, "num_v_heads": 2}
Build = Callable[..., GatedKalmaNet]
CLOSE = {"rtol": 1e-9, "atol": 1e-12}
"""Tolerance in float64: the solve and the output norm each amplify rounding errors by some hundreds."""
SWITCHES = [
    {},
    {"use_gate": False},
    {"use_alpha_connection": False},
    {"use_v_conv": False},
    {"use_beta_gate": False},
    {"use_forgetting_gate": False},
    {"use_forgetting_gate_kk": False},
    {"gla_rescale": False},
    {"num_iter": 0},
    {"num_iter": 3, "ridge_strength": 0.1},
    {"kv_proj_rank": 5},
    {"kv_proj_rank": 5, "kv_learnable_residual": True},
    {"num_q_heads": 2, "num_k_heads": 4, "num_v_heads": 4},
]


def read(B: int = 2, T: int = 30, dtype: torch.dtype = torch.float64, seed: int = 1) -> Tensor:
    return torch.randn(B, T, 24, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)).to(dtype)


def test_17_parameters_have_the_names_and_shapes_of_the_8b_checkpoint() -> None:
    sizes = {"hidden_size": 4096, "head_dim": 128, "num_q_heads": 32, "num_k_heads": 8, "num_v_heads": 8}
    with torch.device("meta"):
        layer = GatedKalmaNet(GatedKalmaNetConfig(**sizes))
    assert {name: tuple(value.shape) for name, value in layer.state_dict().items()} == {
        "q_proj.weight": (4096, 4096),
        "k_proj.weight": (1024, 4096),
        "v_proj.weight": (1024, 4096),
        "a_proj.weight": (32, 4096),
        "b_proj.weight": (32, 4096),
        "b_proj.bias": (32,),
        "alpha_proj.weight": (32, 4096),
        "alpha_proj.bias": (32,),
        "A_log": (32,),
        "dt_bias": (32,),
        "q_conv1d.weight": (4096, 1, 4),
        "k_conv1d.weight": (1024, 1, 4),
        "v_conv1d.weight": (1024, 1, 4),
        "g_proj.weight": (4096, 4096),
        "o_norm.weight": (128,),
        "o_proj.weight": (4096, 4096),
    }
    assert not list(layer.buffers())
    assert sum(parameter.numel() for parameter in layer.parameters()) == pytest.approx(59.1e6, rel=1e-3)


def test_17_a_learned_expansion_of_keys_and_values_adds_its_own(build: Build) -> None:
    plain, learned = build(), build(kv_proj_rank=3, kv_learnable_residual=True)
    added = {
        name: tuple(learned.state_dict()[name].shape) for name in set(learned.state_dict()) - set(plain.state_dict())
    }
    assert added == {
        "proj_k.linearA.weight": (3, 12),
        "proj_k.linearB.weight": (24, 3),
        "proj_v.linearA.weight": (3, 12),
        "proj_v.linearB.weight": (24, 3),
        "k_rep": (4, 2),
        "v_rep": (4, 2),
    }
    # At initialisation the expansion adds 0, so the layer equals the plain one.
    torch.manual_seed(0)
    fresh = GatedKalmaNet(GatedKalmaNetConfig(**SIZES, kv_proj_rank=3, kv_learnable_residual=True))
    plain.load_state_dict(fresh.state_dict(), strict=False)
    torch.testing.assert_close(fresh.double()(read()), plain(read()))


def test_parameters_start_where_the_paper_starts_them(build: Build) -> None:
    layer = build(num_q_heads=512, num_k_heads=512, num_v_heads=512, head_dim=1)
    rate, dt = layer.A_log.detach().exp(), functional.softplus(layer.dt_bias).detach()
    assert 0 < float(rate.min()) < 1 < 15 < float(rate.max()) < 16
    assert 1e-3 * 0.999 <= float(dt.min()) < 2e-3
    assert 0.05 < float(dt.max()) <= 0.1 * 1.001
    assert torch.equal(layer.o_norm.weight, torch.ones(1))
    assert layer.A_log._no_weight_decay
    assert layer.dt_bias._no_weight_decay


@pytest.mark.parametrize("switch", SWITCHES)
def test_17_the_layer_is_the_formulas_of_the_paper(build: Build, switch: dict[str, object]) -> None:
    layer, h = build(**switch), read()
    torch.testing.assert_close(layer(h), by_the_paper(layer, h), **CLOSE)


@pytest.mark.parametrize("switch", SWITCHES)
def test_5_every_kind_of_layer_decodes(build: Build, switch: dict[str, object]) -> None:
    layer, h, cache = build(**switch), read(T=12), LayerCache()
    with torch.no_grad():
        pieces = [layer(h[:, :8], cache=cache), *(layer(h[:, t : t + 1], cache=cache) for t in range(8, 12))]
        torch.testing.assert_close(torch.cat(pieces, 1), layer(h), **CLOSE)


def by_the_paper(layer: GatedKalmaNet, h: Tensor) -> Tensor:
    """Compute section 2 of README.md line by line, with the reference operator."""
    config, p = layer.config, layer.state_dict()
    H, D = max(config.num_q_heads, config.num_k_heads), config.head_dim

    def convolve(x: Tensor, weight: Tensor) -> Tensor:
        y = torch.zeros_like(x)
        for t in range(x.shape[1]):
            for j in range(4):
                if t - 3 + j >= 0:
                    y[:, t] += weight[:, 0, j] * x[:, t - 3 + j]
        return y * torch.sigmoid(y)

    def heads(x: Tensor) -> Tensor:
        return x.reshape(*x.shape[:2], -1, D)

    q = heads(convolve(h @ p["q_proj.weight"].T, p["q_conv1d.weight"]))
    k = convolve(h @ p["k_proj.weight"].T, p["k_conv1d.weight"])
    v = h @ p["v_proj.weight"].T
    v = convolve(v, p["v_conv1d.weight"]) if config.use_v_conv else v
    expanded = []
    for name, x in (("k", k), ("v", v)):
        shared = heads(x)
        if config.kv_proj_rank:
            repeat = p.get(f"{name}_rep", torch.eye(2, dtype=h.dtype).repeat_interleave(2, 0))
            low = x @ p[f"proj_{name}.linearA.weight"].T
            shared = torch.einsum("eh,bthd->bted", repeat, shared)
            shared = shared + heads((low * low.sigmoid()) @ p[f"proj_{name}.linearB.weight"].T)
        expanded.append(shared)
    beta = torch.ones(*h.shape[:2], H, dtype=h.dtype)
    if config.use_beta_gate:
        beta = torch.sigmoid(h @ p["b_proj.weight"].T + p["b_proj.bias"])
    alpha = g = None
    if config.use_alpha_connection:
        alpha = torch.sigmoid(h @ p["alpha_proj.weight"].T + p["alpha_proj.bias"])
    if config.use_forgetting_gate:
        g = -p["A_log"].exp() * torch.log1p(torch.exp(h @ p["a_proj.weight"].T + p["dt_bias"]))
    o, _ = naive_gated_kalmanet(
        q, *expanded, beta, alpha, g,
        num_iter=config.num_iter, ridge_strength=config.ridge_strength, decay_h=config.use_forgetting_gate_kk,
        scale=D**-0.5 if config.gla_rescale else 1.0,
    )  # fmt: skip
    y = o * (o.square().mean(-1, keepdim=True) + config.norm_eps).rsqrt() * p["o_norm.weight"]
    if config.use_gate:
        z = heads(h @ p["g_proj.weight"].T)
        y = y * z * torch.sigmoid(z)
    return y.flatten(2) @ p["o_proj.weight"].T


def test_10_a_gradient_reaches_every_parameter(build: Build) -> None:
    layer = build(kv_proj_rank=3, kv_learnable_residual=True)
    layer(read()).square().sum().backward()
    for name, parameter in layer.named_parameters():
        assert parameter.grad is not None, name
        assert bool(parameter.grad.isfinite().all()), name
        assert parameter.grad.abs().max() > 0, name


def test_17_a_checkpoint_in_bfloat16_has_its_decay_computed_in_float32(build: Build) -> None:
    layer, h = build(torch.bfloat16), read(dtype=torch.bfloat16)
    _, _, g = layer.gates(h)
    exact = -layer.A_log.double().exp() * functional.softplus(layer.a_proj(h).double() + layer.dt_bias.double())
    assert g.dtype == torch.float32
    torch.testing.assert_close(g.double(), exact, rtol=1e-6, atol=0)


def test_11_bfloat16_is_near_float64(build: Build) -> None:
    low, h = build(torch.bfloat16), read(dtype=torch.bfloat16)
    high = GatedKalmaNet(low.config).double()
    high.load_state_dict(low.state_dict())
    with torch.no_grad():
        expected, found = high(h.double()), low(h).double()
    # Projections, convolutions, norm and output each round once, to 2^-9.
    assert float((found - expected).norm() / expected.norm()) <= 3e-2


def test_11_the_layer_trains_under_autocast(build: Build) -> None:
    layer, h = build(torch.float32), read(dtype=torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        y = layer(h)
    y.float().square().sum().backward()
    with torch.no_grad():
        assert float((y - layer(h)).norm() / layer(h).norm()) <= 3e-2
    for name, parameter in layer.named_parameters():
        assert bool(parameter.grad.isfinite().all()), name


def test_float16_is_refused_with_the_reason(build: Build) -> None:
    with pytest.raises(TypeError, match="hidden is float16, which the operator does not support: x of"):
        build(torch.float16)(read(dtype=torch.float16))


def test_an_impossible_call_says_what_is_wrong(build: Build) -> None:
    layer, ends = build(), torch.tensor([0, 30])
    with pytest.raises(ValueError, match=r"hidden must be \[batch, tokens, 24\], not \(2, 30, 23\)"):
        layer(read()[..., :23])
    with pytest.raises(ValueError, match="cu_seqlens and a cache cannot be combined"):
        layer(read(B=1), cu_seqlens=ends, cache=LayerCache())
    with pytest.raises(ValueError, match="mask must be bool"):
        layer(read(), mask=torch.ones(2, 30))


def test_every_backend_is_taken_by_its_name(build: Build) -> None:
    naive_layer, chunk_layer = build(backend="naive"), build()
    h = read()
    torch.testing.assert_close(naive_layer(h), chunk_layer(h), **CLOSE)
    assert operator("naive", h.device, 64) is naive_gated_kalmanet


def test_a_backend_that_cannot_run_here_says_why(build: Build, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    with pytest.raises(ValueError, match="backend 'triton' needs a CUDA device, and the tensors are on cpu"):
        build(backend="triton")(read())
    monkeypatch.setattr("gated_kalmanet.backends.find_spec", lambda name: None)
    with pytest.raises(ValueError, match="backend 'triton' needs the package triton"):
        build(backend="triton")(read())
