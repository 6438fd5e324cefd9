"""Measure linear layers of torch and packed ones, for products with few rows (decoding) and many (prefill).

    python benchmarks/linear.py [--threads 1] [--rows 1,4,10,24,2048]

The layers are those of SmolLM2-135M in float32, with random weights; the head computes at most 24 rows. The two kinds
take turns, and the lower third of the times counts, as other work on the machine only adds to a time.
"""

import argparse
import time

import torch
from torch import nn

from legalrr.backbones.local.packed_linear import PackedLinear

SHAPES = ((576, 576), (576, 192), (576, 192), (576, 576), (576, 1536), (576, 1536), (1536, 576))
"""Input and output features of the linear layers of one block."""
BLOCKS = 30
HEAD = (576, 49152)


def main() -> None:
    """Print the times."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1, help="threads of torch (default %(default)s)")
    parser.add_argument("--rows", default="1,4,10,24,2048", help="rows of the products (default %(default)s)")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.manual_seed(0)
    plain = [nn.Linear(*shape, bias=False) for shape in (*SHAPES * BLOCKS, HEAD)]
    packed = [PackedLinear(layer) for layer in plain]
    print(f"{'rows':>6}{'torch, ms':>12}{'packed, ms':>12}{'ratio':>8}")
    for rows in map(int, options.rows.split(",")):
        seconds: dict[str, list[float]] = {"torch": [], "packed": []}
        for _ in range(3 if rows > 100 else 12):
            for name, layers in (("torch", plain), ("packed", packed)):
                seconds[name].append(_time(layers, rows))
        one, other = (sorted(times)[len(times) // 3] for times in seconds.values())
        print(f"{rows:>6}{1e3 * one:>12.1f}{1e3 * other:>12.1f}{other / one:>8.2f}", flush=True)


def _time(layers: list[nn.Linear] | list[PackedLinear], rows: int) -> float:
    inputs = {size: torch.randn(rows, size) for size in (576, 1536)}
    with torch.inference_mode():
        started = time.perf_counter()
        for layer in layers:
            given = inputs[layer.in_features]
            layer(given[:24] if layer.out_features == HEAD[1] else given)
        return time.perf_counter() - started


if __name__ == "__main__":
    main()
