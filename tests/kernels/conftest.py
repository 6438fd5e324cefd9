# ruff: noqa: N803 - the names of the paper
"""Inputs of the operator, and a worked example of the equations of arXiv 2511.21016 for every implementation."""

from collections.abc import Callable
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor

from gated_kalmanet.config import GatedKalmaNetConfig
from gated_kalmanet.layer import GatedKalmaNet
from gated_kalmanet.naive import normalise
from gated_kalmanet.state import State

Inputs = tuple[Tensor, Tensor, Tensor, Tensor, Tensor, Tensor]

FAMILIES = ("normal", "silu", "power law", "nearly equal keys", "equal keys", "small beta", "no decay", "strong decay")


@dataclass(frozen=True, kw_only=True)
class Golden:
    """Four tokens of one head, D = 4, in float64."""

    inputs: Inputs
    """q, k, v, beta, alpha, g."""
    f: Tensor
    """||H_t||, [4]."""
    H: Tensor
    """The last H, [4, 4]."""
    outputs: dict[int | None, Tensor]
    """num_iter -> o of all tokens, [4, 4], NaN where unknown; None: exact solve."""
    solutions: dict[int | None, Tensor]
    """num_iter -> x of the last token, [4]; None: exact solve."""
    first_solution: Tensor
    """x of the first token after 30 iterations, [4]."""
    gradients: dict[str, Tensor]
    """Gradients of the sum of all outputs with the exact solve, for unit queries and weighted unit keys and values."""

    def check_gradients(self, found: tuple[Tensor, ...]) -> None:
        """Compare the gradients of `inputs` with those derived from the known gradients by the chain rule."""
        dq, dk, dv, dbeta, dalpha, dg = (gradient[0, :, 0] for gradient in found)
        q, k, v, beta = (tensor[0, :, 0] for tensor in self.inputs[:4])
        known, weight = self.gradients, (beta + 1e-6)[:, None]
        close = {"rtol": 0, "atol": 2e-7}
        torch.testing.assert_close(dk, unit_backward(k, weight * known["kt"]), **close)
        torch.testing.assert_close(dv, weight * known["vt"], **close)
        by_beta = (known["kt"] * normalise(k)).sum(-1) + (known["vt"] * v).sum(-1)
        torch.testing.assert_close(dbeta, by_beta, rtol=0, atol=5e-7)
        torch.testing.assert_close(dalpha, known["alpha"], **close)
        torch.testing.assert_close(dg, known["g"], **close)
        there = ~known["qn"].isnan().any(-1)
        torch.testing.assert_close(dq[there], unit_backward(q, known["qn"])[there], **close)


def unit_backward(x: Tensor, dxn: Tensor) -> Tensor:
    """Compute the gradient of x from that of x / (||x|| + 1e-6)."""
    n = x.norm(dim=-1, keepdim=True)
    return dxn / (n + 1e-6) - x * (x * dxn).sum(-1, keepdim=True) / (n * (n + 1e-6) ** 2)


@pytest.fixture(params=FAMILIES)
def family(request: pytest.FixtureRequest) -> str:
    """Every family of inputs, from well-conditioned to nearly singular."""
    return request.param


@pytest.fixture
def inputs() -> Callable[..., Inputs]:
    """Factory of q, k, v, beta, alpha and g."""
    return make


@pytest.fixture
def relative() -> Callable[[Tensor, Tensor], float]:
    """Relative error ||a - b|| / ||b|| in float64."""

    def relative(a: Tensor, b: Tensor) -> float:
        return float((a.double() - b.double()).detach().norm() / b.detach().double().norm())

    return relative


@pytest.fixture
def states() -> Callable[..., State]:
    """Factory of realistic initial states: sums of outer products of unit keys, and of keys and values."""

    def states(N: int, H: int, D: int, dtype: torch.dtype = torch.float64) -> State:
        generator = torch.Generator().manual_seed(7)
        k, v = (torch.randn(N, H, 3 * D, D, dtype=torch.float64, generator=generator) for _ in range(2))
        k = torch.nn.functional.normalize(k, dim=-1)
        return State(H=(k.mT @ k).to(dtype), U=(k.mT @ v).to(dtype))

    return states


@pytest.fixture
def build() -> Callable[..., GatedKalmaNet]:
    """Factory of small layers of width 24 without zero parameters."""

    def build(dtype: torch.dtype = torch.float64, seed: int = 0, **fields: object) -> GatedKalmaNet:
        torch.manual_seed(seed)
        sizes = {"hidden_size": 24, "head_dim": 6, "num_q_heads": 4, "num_k_heads": 2, "num_v_heads": 2}
        layer = GatedKalmaNet(GatedKalmaNetConfig(**{**sizes, **fields}))
        with torch.no_grad():
            for name, parameter in layer.named_parameters():
                if "linearB" in name or "_rep" in name:
                    parameter.normal_()
        return layer.to(dtype)

    return build


def make(
    B: int = 2,
    T: int = 40,
    Hq: int = 4,
    Hk: int = 2,
    D: int = 8,
    dtype: torch.dtype = torch.float64,
    family: str = "normal",
    seed: int = 0,
) -> Inputs:
    """Create random inputs of a family, the same in every dtype up to rounding."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator, dtype=torch.float64)

    q, k, v = normal(B, T, Hq, D), normal(B, T, Hk, D), normal(B, T, Hk, D)
    beta, alpha, g = (normal(B, T, max(Hq, Hk)) for _ in range(3))
    if family == "silu":
        q, k, v = (torch.nn.functional.silu(x) for x in (q, k, v))
    if family == "power law":
        k = k * torch.arange(1, D + 1, dtype=torch.float64) ** -1.5
    if family == "nearly equal keys":
        k = k[:, :1] + 1e-2 * k
    if family == "equal keys":
        k = k[:, :1].expand_as(k).clone()
    beta = 1e-4 * beta.sigmoid() if family == "small beta" else beta.sigmoid()
    g = {"no decay": 0.0, "strong decay": 5.0}.get(family, 0.1) * -g.exp()
    high = torch.float64 if dtype == torch.float64 else torch.float32
    return q.to(dtype), k.to(dtype), v.to(dtype), beta.to(dtype), alpha.sigmoid().to(dtype), g.to(high)


@pytest.fixture
def golden() -> Golden:
    """Return the worked example."""

    def rows(*numbers: float) -> Tensor:
        return torch.tensor(numbers, dtype=torch.float64).view(-1, 4)

    nan = float("nan")
    return Golden(
        inputs=(
            rows(1, 2, 0, -1, 0, 1, 1, 1, 2, -1, 1, 0, 1, 1, -1, 3)[None, :, None],
            rows(1, 0, 1, 0, 0, 2, 0, 1, 1, 1, 1, 1, 3, 0, -1, 1)[None, :, None],
            rows(1, 2, 3, 4, -1, 0, 1, 2, 2, 2, -2, 0, 0, 1, 0, -1)[None, :, None],
            rows(0.5, 0.25, 0.75, 1).view(1, 4, 1),
            rows(1, 0.5, 0.25, 0.75).view(1, 4, 1),
            rows(-0.1, -0.2, -0.05, -0.3).view(1, 4, 1),
        ),
        f=rows(0.250000646, 0.214012909, 0.705313634, 1.223741523)[0],
        H=rows(
            *(0.99447961, 0.10417774, -0.09643101, 0.37690539),
            *(0.10417774, 0.13941239, 0.10417774, 0.12179506),
            *(-0.09643101, 0.10417774, 0.26720587, 0.01326852),
            *(0.37690539, 0.12179506, 0.01326852, 0.20389562),
        ),
        outputs={
            30: rows(
                *(0.14155280, 0.28310559, 0.42465839, 0.56621119),
                *(-0.07248887, 0.24178081, 0.55605049, 0.87032017),
                *(0.42392234, 0.51594709, 0.17319871, 0.48261002),
                *(0.29598244, 0.38670004, -1.18915483, -1.10199680),
            ),
            5: rows(*(nan,) * 12, 0.24351769, 0.39860961, -1.35458407, -1.31674298),
            None: rows(*(nan,) * 12, 0.29590299, 0.38661460, -1.18886801, -1.10173996),
        },
        solutions={
            30: rows(-4.44506590, -4.73490081, -1.39314195, 13.73559071)[0],
            5: rows(-4.10056126, -0.92674813, -3.16190746, 11.62478310)[0],
            None: rows(-4.44383629, -4.73306435, -1.39301614, 13.73154085)[0],
        },
        first_solution=rows(41.61236839, 163.24650995, -40.01088658, -81.62325498)[0],
        gradients={
            "kt": rows(
                *(-0.4763406, 4.6419319, -2.6917725, 2.3967279),
                *(-3.7919244, -3.6390309, -5.8531180, 3.6124400),
                *(-0.8495048, 1.5069482, -0.9026054, -0.7426089),
                *(0.4036332, 0.2409977, -1.4238282, 0.9456196),
            ),
            "vt": rows(0.3768482, 0.6845453, 0.5143682, 0.2788933).T.expand(4, 4),
            "qn": rows(3.4662122, 0, 3.4662122, 0, *(nan,) * 8, 1.5189330, -0.0149788, 2.5677812, -1.5022544),
            "alpha": rows(1.0542297, 2.2581592, 2.1791104, -2.5028113)[0],
            "g": rows(0, 0.3820731, 0.1151846, -0.4725035)[0],
        },
    )
