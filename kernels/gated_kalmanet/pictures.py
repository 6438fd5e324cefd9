"""Figure of the README: convergence of the solver, and recall of the layer with and without the solve.

    python -m gated_kalmanet.pictures FOLDER

writes FOLDER/gated_kalmanet.svg and prints its numbers. All random numbers come from fixed seeds, on a CPU.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from gated_kalmanet import naive, solver
from gated_kalmanet.chunk import chunk_gated_kalmanet

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from torch import Tensor

RIDGE = 0.02
STEPS = (0, 1, 2, 3, 4, 6, 8, 10, 12, 15, 18, 21, 25, 30, 35, 40)
STORED = (4, 8, 16, 32, 48, 64, 96, 128, 192, 256)
DIM = 64
COLOURS = {"Chebyshev": "#0072b2", "conjugate gradients": "#d55e00", "Chebyshev, bound": "#000000"}
LAYERS = {
    30: ("GKA, 30 iterations", "#0072b2"),
    1: ("GKA, 1 iteration", "#56b4e9"),
    0: ("linear attention (0 iterations)", "#d55e00"),
}


def keys_and_values(n: int, seed: int) -> tuple[Tensor, Tensor]:
    """Create n keys and values like those of a layer, [n, DIM]: keys are outputs of a SiLU, so their mean is not 0."""
    generator = torch.Generator().manual_seed(seed)
    k, v = (torch.randn(n, DIM, dtype=torch.float64, generator=generator) for _ in range(2))
    return torch.nn.functional.silu(k), v


def errors(method: str) -> list[float]:
    """Compute the largest ||x_r - x|| / ||x|| over the tokens of four sequences, for every r of `STEPS`."""
    found = [0.0] * len(STEPS)
    for seed in range(4):
        k, _ = keys_and_values(256, seed)
        keys = naive.normalise(k)
        H = (keys[:, :, None] * keys[:, None]).cumsum(0)[::8]  # noqa: N806
        q = naive.normalise(keys_and_values(len(H), seed + 100)[0])
        exact = naive.solve(H, q, solver="exact")
        for place, r in enumerate(STEPS):
            error = (naive.solve(H, q, r, RIDGE, method) - exact).norm(dim=-1) / exact.norm(dim=-1)
            found[place] = max(found[place], float(error.max()))
    return found


def recall(n: int, num_iter: int, seeds: int = 4) -> float:
    """Compute the fraction of n stored keys whose output is nearer to their own value than to any other value.

    The keys are stored one per token and then queried by tokens that store nothing (beta = 0), without decay.
    """
    right = 0
    for seed in range(seeds):
        k, v = keys_and_values(n, seed)
        gates = torch.cat([torch.ones(n), torch.zeros(n)]).double().view(1, 2 * n, 1)
        q, k, padded = (torch.cat(pair)[None, :, None] for pair in ((k, k), (k, k), (v, torch.zeros_like(v))))
        o, _ = chunk_gated_kalmanet(q, k, padded, gates, None, None, num_iter=num_iter, ridge_strength=RIDGE)
        near = torch.nn.functional.normalize(o[0, n:, 0], dim=-1) @ torch.nn.functional.normalize(v, dim=-1).T
        right += int((near.argmax(-1) == torch.arange(n)).sum())
    return right / (n * seeds)


def draw_errors(axes: Axes) -> None:
    """Draw the left panel: error against iterations."""
    lines = {
        "Chebyshev, bound": [solver.chebyshev_bound(r, RIDGE) for r in STEPS],
        "Chebyshev": errors("chebyshev"),
        "conjugate gradients": errors("cg"),
    }
    for name, line in lines.items():
        print(name, *(f"{r}:{value:.1e}" for r, value in zip(STEPS, line, strict=True)))
        # The bound is tight: draw it wide, so that it is visible under the line of Chebyshev.
        style = {"linewidth": 6, "alpha": 0.3} if name == "Chebyshev, bound" else {"marker": "o", "markersize": 3}
        axes.semilogy(STEPS, line, color=COLOURS[name], label=name, **style)
    axes.axhline(2**-8, color="#999999", linewidth=0.8)
    axes.annotate("resolution of bfloat16", (40, 2**-8), ha="right", va="bottom", fontsize=8, color="#555555")
    axes.set(
        xlabel="products with H",
        ylabel="largest relative error of x",
        ylim=(1e-8, 2),
        title="Solver convergence",
    )
    axes.legend(frameon=False, fontsize=8, loc="lower left")


def draw_recall(axes: Axes) -> None:
    """Draw the right panel: recall against the number of stored pairs."""
    for num_iter, (name, colour) in LAYERS.items():
        line = [100 * recall(n, num_iter) for n in STORED]
        print(name, *(f"{n}:{value:.0f}%" for n, value in zip(STORED, line, strict=True)))
        axes.plot(STORED, line, color=colour, marker="o", markersize=3, label=name)
    axes.axvline(DIM, color="#999999", linewidth=0.8)
    axes.annotate(f" D = {DIM}", (DIM, 45), fontsize=8, color="#555555")
    axes.set(xlabel="stored pairs", ylabel="recall, %", ylim=(0, 104), title="Recall of stored pairs")
    axes.legend(frameon=False, fontsize=8, loc="lower left", bbox_to_anchor=(0.3, 0))


def main(folder: Path) -> None:
    """Draw both panels into one file."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    # Make the file reproducible.
    with mpl.rc_context({"svg.hashsalt": "gated_kalmanet", "svg.fonttype": "path"}):
        figure = Figure(figsize=(9, 3.4), layout="constrained")
        left, right = figure.subplots(1, 2)
        draw_errors(left)
        draw_recall(right)
        for axes in (left, right):
            axes.spines[["top", "right"]].set_visible(False)
        figure.savefig(folder / "gated_kalmanet.svg", metadata={"Date": None})


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit("usage: python -m gated_kalmanet.pictures FOLDER")
    main(Path(sys.argv[1]))
