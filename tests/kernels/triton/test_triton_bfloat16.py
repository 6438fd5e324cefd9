"""The Triton kernels in bfloat16, against exact solves in float64.

Numbers in the names refer to the list of tests in kernels/gated_kalmanet/README.md.
"""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from gated_kalmanet import naive
from gated_kalmanet.naive import naive_gated_kalmanet
from gated_kalmanet.triton import triton_gated_kalmanet

pytestmark = pytest.mark.usefixtures("bfloat16_products")
Make = Callable[..., tuple[Tensor, ...]]
Relative = Callable[[Tensor, Tensor], float]


@pytest.mark.parametrize("family", ["normal", "silu", "power law", "nearly equal keys", "no decay"])
@pytest.mark.parametrize(("name", "steps"), [("chebyshev", 30), ("cg", 15)])
def test_4_11_bfloat16_is_close_to_an_exact_solve(
    inputs: Make, relative: Relative, device: str, family: str, name: str, steps: int
) -> None:
    tensors = inputs(B=1, T=96, Hq=1, Hk=1, D=128, dtype=torch.bfloat16, family=family)
    q, *others = (tensor.to(device, copy=True) for tensor in tensors)
    o, state = triton_gated_kalmanet(q.requires_grad_(), *others, solver=name, num_iter=steps)
    x, _, f = (kept if kept is None else kept[0, :, 0].detach().cpu() for kept in o.grad_fn.saved_tensors[-3:])
    high = tuple(tensor.double() for tensor in tensors)
    exact, exact_state = naive_gated_kalmanet(*high, solver="exact")
    solution, norms = exact_solutions(*high)
    worst = (x.double() - solution).norm(dim=-1) / solution.norm(dim=-1)
    assert relative(o.cpu(), exact) <= (8e-2 if family == "nearly equal keys" else 1.5e-2)
    assert relative(x, solution) <= 5e-3
    assert float(worst.max()) <= 1.5e-2
    assert relative(state.H.cpu(), exact_state.H) <= 5e-3
    assert relative(f, norms) <= 5e-3


def exact_solutions(q: Tensor, k: Tensor, v: Tensor, beta: Tensor, alpha: Tensor, g: Tensor) -> tuple[Tensor, Tensor]:
    """Compute x and ||H|| of every token of the single row and head."""
    queries, keys = naive.normalise(q)[0, :, 0], ((beta + 1e-6)[..., None] * naive.normalise(k))[0, :, 0]
    h, solutions, norms = torch.zeros(q.shape[-1], q.shape[-1], dtype=q.dtype), [], []
    for query, key, decay in zip(queries, keys, g[0, :, 0].exp(), strict=True):
        h = decay * h + torch.outer(key, key)
        solutions.append(naive.solve(h, query, solver="exact"))
        norms.append(h.norm())
    return torch.stack(solutions), torch.stack(norms)


@pytest.mark.parametrize("family", ["normal", "silu", "power law", "no decay"])
def test_10_gradients_in_bfloat16(inputs: Make, relative: Relative, device: str, family: str) -> None:
    tensors = inputs(B=1, T=70, Hq=1, Hk=1, D=64, dtype=torch.bfloat16, family=family)
    weight = torch.randn(1, 70, 1, 64, generator=torch.Generator().manual_seed(3)).bfloat16()

    def gradients(leaves: list[Tensor], operator: Callable[..., tuple[Tensor, object]], **options: str) -> list[Tensor]:
        leaves = [leaf.requires_grad_() for leaf in leaves]
        o, _ = operator(*leaves, **options)
        return list(torch.autograd.grad((o * weight.to(o)).sum(), leaves))

    expected = gradients([tensor.double() for tensor in tensors], naive_gated_kalmanet, solver="exact")
    found = gradients([tensor.to(device) for tensor in tensors], triton_gated_kalmanet)
    for name, a, b in zip(("q", "k", "v", "beta", "alpha", "g"), found, expected, strict=True):
        assert relative(a.cpu(), b) <= (2e-2 if name in "qkv" else 3e-2), name
