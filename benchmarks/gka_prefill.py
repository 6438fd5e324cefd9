"""Time the prefill of one layer by text length: attention against Gated KalmaNet.

Both layers have the shape of SmolLM2-135M's (9 heads, 3 key-value heads, D = 64) and random weights, on which the times
do not depend. Projections and rotary embeddings are included. Attention is torch's causal kernel, whose time grows with
the square of the length; a Gated KalmaNet layer computes chunk by chunk, and its time grows linearly. The crossing is
interpolated between measured lengths.
python benchmarks/gka_prefill.py [--plot FILE.svg]
"""

import argparse
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from itertools import pairwise
from math import exp, log
from pathlib import Path

import torch
from clock import seconds
from transformers import LlamaConfig
from transformers.models.llama.modeling_llama import LlamaAttention, LlamaRotaryEmbedding

from gated_kalmanet import GatedKalmaNet, GatedKalmaNetConfig

LENGTHS = (1024, 2048, 4096, 8192, 16384)
STEPS = (30, 10)
"""Chebyshev iterations; the first number is that of the released checkpoints."""
RUNS = 3
CONFIG = LlamaConfig(
    hidden_size=576,
    num_attention_heads=9,
    num_key_value_heads=3,
    max_position_embeddings=LENGTHS[-1],
    attn_implementation="sdpa",
)
ATTENTION = "attention"


def attention() -> Callable[[torch.Tensor], object]:
    """Build an attention layer of Llama with its rotary embedding."""
    layer, rotary = LlamaAttention(CONFIG, 0), LlamaRotaryEmbedding(CONFIG)

    def run(hidden: torch.Tensor) -> object:
        embedded = rotary(hidden, torch.arange(hidden.shape[1])[None])
        return layer(hidden_states=hidden, position_embeddings=embedded, attention_mask=None)

    return run


def kalmanet(steps: int) -> Callable[[torch.Tensor], object]:
    """Build a Gated KalmaNet layer with a number of solver iterations."""
    heads = {"num_q_heads": 9, "num_k_heads": 3, "num_v_heads": 3}
    return GatedKalmaNet(GatedKalmaNetConfig(hidden_size=576, head_dim=64, num_iter=steps, **heads))


def crossing(one: Mapping[int, float], other: Mapping[int, float]) -> float | None:
    """Return the length from which `other` is faster, by log-log interpolation; None if it never is."""
    for shorter, longer in pairwise(sorted(one)):
        before, after = (log(one[length] / other[length]) for length in (shorter, longer))
        if before < 0 <= after:
            return exp(log(shorter) - before * log(longer / shorter) / (after - before))
    return None


def slope(times: Mapping[int, float]) -> float:
    """Return the exponent of the growth of time with length between the two longest texts."""
    shorter, longer = sorted(times)[-2:]
    return log(times[longer] / times[shorter]) / log(longer / shorter)


def plot(found: Mapping[str, Mapping[int, float]], file: Path) -> None:
    """Plot times against lengths."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    with mpl.rc_context({"svg.hashsalt": "gka_prefill", "svg.fonttype": "path"}):
        figure = Figure(figsize=(5.0, 3.4), layout="constrained")
        axes = figure.subplots()
        for name, times in found.items():
            style = {"color": "black", "linestyle": "--"} if name == ATTENTION else {}
            axes.loglog(list(times), [1e3 * time for time in times.values()], marker="o", label=name, **style)
        axes.set(xlabel="tokens", ylabel="milliseconds per layer")
        axes.spines[["top", "right"]].set_visible(False)
        axes.legend(frameon=False)
        figure.savefig(file, metadata={"Date": None})


def main(arguments: Sequence[str] | None = None) -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--plot", type=Path, metavar="FILE.svg", help="file for a plot of the times")
    options = parser.parse_args(arguments)
    torch.manual_seed(0)
    torch.set_grad_enabled(False)
    layers = {ATTENTION: attention()} | {f"GKA, r = {steps}": kalmanet(steps) for steps in STEPS}
    print(f"{torch.get_num_threads()} threads, float32, median of {RUNS}; milliseconds per layer")
    print(f"{'tokens':>8}" + "".join(f"{name:>14}" for name in layers))
    found: dict[str, dict[int, float]] = {name: {} for name in layers}
    for length in LENGTHS:
        hidden = torch.randn(1, length, CONFIG.hidden_size)
        for name, layer in layers.items():
            found[name][length] = seconds(partial(layer, hidden), runs=RUNS)
        print(f"{length:>8}" + "".join(f"{1e3 * found[name][length]:>14.1f}" for name in layers), flush=True)
    for name, times in found.items():
        print(f"{name}: time grows with the length to the power {slope(times):.2f} at the end", end="")
        meets = None if name == ATTENTION else crossing(found[ATTENTION], times)
        print("" if name == ATTENTION else f"; faster from {meets:,.0f} tokens on" if meets else "; never faster here")
    if options.plot is not None:
        plot(found, options.plot)


if __name__ == "__main__":
    main()
