"""Benchmark the operator against the throughput of the machine and against softmax attention.

    python -m gated_kalmanet.bench --device cuda [--plot FILE.svg]

Times a large matrix product and a copy, which bound the speed of every kernel. Then times prefill and decode with the
implementations that suit the device, causal softmax attention and, if flash-linear-attention is installed, MesaNet, a
closely related layer; r is the number of Chebyshev iterations. Column "machine" is the minimal time at the measured
throughput (arithmetic or memory traffic, whichever is longer) divided by the measured time. Column "attention" is the
speed-up over softmax attention (in decode: with the longest past). Times are medians of repeated runs. On a CPU the
sizes are small and the dtype is float32.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from gated_kalmanet.bench_cases import (
    ATTENTION,
    BOTH,
    DECODE,
    FORWARD,
    SIZES,
    Case,
    Sizes,
    decode_cases,
    prefill_cases,
)

STAGES = (FORWARD, BOTH, DECODE)

if TYPE_CHECKING:
    from rich.table import Table


@dataclass(frozen=True, kw_only=True)
class Ceilings:
    """Throughput of the machine."""

    product: float
    """Operations per second of a matrix product of random matrices."""
    copy: float
    """Bytes read and written per second by a copy."""

    @classmethod
    def of(cls, sizes: Sizes, device: str) -> Ceilings:
        """Time a matrix product and a copy."""
        n = sizes.square
        a, b = (torch.randn(n, n, device=device, dtype=sizes.dtype) for _ in range(2))
        source = torch.randn(16 * n, n, device=device, dtype=sizes.dtype)
        target = torch.empty_like(source)
        return cls(
            product=2 * n**3 / seconds(lambda: a @ b, device),
            copy=2 * source.nbytes / seconds(lambda: target.copy_(source), device),
        )

    def least(self, case: Case) -> float:
        """Compute the minimal time of a case in seconds: arithmetic or memory traffic, whichever is longer."""
        return max(case.flops / self.product, case.bytes / self.copy)


@dataclass(frozen=True, kw_only=True)
class Row:
    """One row of the table."""

    name: str
    stage: str
    size: int
    seconds: float
    least: float


def seconds(run: Callable[[], object], device: str) -> float:
    """Measure the median time of a call: by events on a GPU; on a CPU over three calls or a third of a second."""
    if device == "cuda":
        from triton.testing import do_bench

        return do_bench(run, return_mode="median") / 1e3
    run()
    times: list[float] = []
    while len(times) < 3 or sum(times) < 1 / 3:
        started = time.perf_counter()
        run()
        times.append(time.perf_counter() - started)
    return statistics.median(times)


def measure(cases: Iterable[Case], ceilings: Ceilings, device: str) -> list[Row]:
    """Time the cases in order."""
    rows = []
    for case in cases:
        with torch.set_grad_enabled(case.stage == BOTH):
            taken = seconds(case.run, device)
        rows.append(Row(name=case.name, stage=case.stage, size=case.size, seconds=taken, least=ceilings.least(case)))
    return rows


def table(rows: list[Row], title: str) -> Table:
    """Format the rows as a table, grouped by stage and size."""
    from rich.table import Table

    attention = {(row.stage, row.size): row.seconds for row in rows if row.name.startswith(ATTENTION)}
    result = Table(title=title, title_justify="left")
    result.add_column("", no_wrap=True)
    result.add_column("", no_wrap=True)
    for name in ("ms", "machine", "attention"):
        result.add_column(name, justify="right", no_wrap=True)
    groups = sorted({(STAGES.index(row.stage), row.size) for row in rows})
    for stage, size in groups:
        result.add_section()
        label = f"{STAGES[stage]}, {size:,}"
        for row in rows:
            if (row.stage, row.size) != (STAGES[stage], size):
                continue
            beside = attention.get((row.stage, row.size))
            times = "" if beside is None else f"{beside / row.seconds:.2f} x"
            share = f"{row.least / row.seconds:.0%}"
            result.add_row(label, row.name, f"{1e3 * row.seconds:,.3f}", share, times)
            label = ""
    return result


def plot(rows: list[Row], file: Path) -> None:
    """Plot times against lengths, one panel per stage."""
    import matplotlib as mpl
    from matplotlib.figure import Figure

    stages = [stage for stage in STAGES if any(row.stage == stage for row in rows)]
    with mpl.rc_context({"svg.hashsalt": "gated_kalmanet", "svg.fonttype": "path"}):
        figure = Figure(figsize=(4.2 * len(stages), 3.6), layout="constrained")
        for axes, stage in zip(figure.subplots(1, len(stages), squeeze=False)[0], stages, strict=True):
            for name in dict.fromkeys(row.name for row in rows if row.stage == stage):
                points = sorted((row.size, 1e3 * row.seconds) for row in rows if (row.stage, row.name) == (stage, name))
                style = {"color": "black", "linestyle": "--"} if name.startswith(ATTENTION) else {}
                axes.loglog(*zip(*points, strict=True), marker="o", markersize=3, label=name, **style)
            unit = "sequences, one new token each" if stage == DECODE else "tokens"
            axes.set(title=stage, xlabel=unit, ylabel="milliseconds")
            axes.spines[["top", "right"]].set_visible(False)
            axes.legend(frameon=False, fontsize=7)
        figure.savefig(file, metadata={"Date": None})


def main(arguments: list[str] | None = None) -> None:
    """Run the benchmark: print the table and plot the times."""
    from rich.console import Console

    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--device", choices=sorted(SIZES), required=True)
    parser.add_argument("--plot", type=Path, metavar="FILE.svg", help="file of the plot of the times")
    options = parser.parse_args(arguments)
    device: str = options.device
    if device == "cuda" and not torch.cuda.is_available():
        parser.error("--device cuda: PyTorch sees no CUDA device here; use --device cpu")
    if options.plot is not None and not options.plot.resolve().parent.is_dir():
        parser.error(f"--plot {options.plot}: the folder does not exist")
    torch.manual_seed(0)
    sizes = SIZES[device]
    ceilings = Ceilings.of(sizes, device)
    rows = measure((*prefill_cases(sizes, device), *decode_cases(sizes, device)), ceilings, device)
    machine = torch.cuda.get_device_name() if device == "cuda" else f"{torch.get_num_threads()} threads"
    console = Console()
    console.print(
        table(
            rows,
            f"{machine}: matrix product {ceilings.product / 1e12:.3g} TFLOP/s, copy {ceilings.copy / 1e9:.3g} GB/s\n"
            f"{sizes.heads} heads, {sizes.key_heads} of keys, D = {sizes.dim}, {sizes.dtype}; tokens, or sequences",
        )
    )
    times = {row.name: row.seconds for row in rows if (row.stage, row.size) == (FORWARD, sizes.tokens[-1])}
    if "naive, r = 30" in times:
        ratio = times["naive, r = 30"] / times["chunk, r = 30"]
        console.print(f"speed-up of chunk over naive at {sizes.tokens[-1]:,} tokens: {ratio:.0f}")
    if options.plot is not None:
        plot(rows, options.plot)
        console.print(f"plot: {options.plot}")


if __name__ == "__main__":
    main()
