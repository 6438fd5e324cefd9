"""Measure the peak memory of prefilling one prompt, by its length, and the memory of its states.

    python benchmarks/memory.py [--tokens 8192,16384,32768] [--chunk 8192]
    python benchmarks/memory.py --sweep 16

The model has the shape of SmolLM2-135M in float32, random weights, and a longer context: memory does not depend on the
weights. Each length runs in its own process, whose peak is counted after the weights are loaded. The excess over the
states is the memory of activations of one chunk, which does not grow with the prompt.

With --sweep, measure the peak memory and the time of `legalrr experiment=quickstart limit=N`, with a new store.
"""

import argparse
import resource
import subprocess
import sys
import time
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tokens", default="8192,16384,32768", help="lengths of the prompt (default %(default)s)")
    parser.add_argument("--chunk", type=int, default=8192, help="tokens per forward pass (default %(default)s)")
    parser.add_argument("--sweep", type=int, metavar="N", help="run the quickstart on N judgments instead")
    options = parser.parse_args()
    if options.sweep is not None:
        _measure_sweep(options.sweep)
        return
    lengths = sorted(int(length) for length in options.tokens.split(","))
    print(
        f"{'tokens':>8}{'peak, MB':>10}{'states, MB':>12}{'states, bytes per token':>26}"
        f"{'peak, bytes per token more':>28}"
    )
    before: tuple[int, int] | None = None
    for length in lengths:
        # A new process: an old one may keep freed memory.
        with get_context("spawn").Pool(1) as pool:
            peak, states = pool.apply(peak_and_states, (length, options.chunk))
        more = "" if before is None else f"{(peak - before[1]) / (length - before[0]):.0f}"
        print(f"{length:>8}{peak / 1e6:>10.0f}{states / 1e6:>12.0f}{states / length:>26.0f}{more:>28}", flush=True)
        before = length, peak


def _measure_sweep(limit: int) -> None:
    command = [sys.executable, "-m", "legalrr", "experiment=quickstart", f"limit={limit}"]
    with TemporaryDirectory() as folder:
        started = time.perf_counter()
        subprocess.run([*command, f"runs={folder}"], check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        seconds = time.perf_counter() - started
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    print(f"{' '.join(command[2:])}: {seconds:.0f} s, peak {peak / 1e9:.2f} GB")


def peak_and_states(length: int, chunk: int) -> tuple[int, int]:
    """Return the peak bytes of a prefill in addition to the weights, and the bytes of its states."""
    import torch
    from shape import smollm2
    from transformers import LlamaForCausalLM

    from legalrr.backbones.local.memory import cache_bytes
    from legalrr.backbones.local.prefill import prefill_tokens
    from legalrr.backbones.local.shared_prefix_attention import NAME, register

    register()
    torch.manual_seed(0)
    config = smollm2(max(8192, length))
    model = LlamaForCausalLM(config).eval()
    model.set_attn_implementation(NAME)
    ids = torch.randint(config.vocab_size, (length,)).tolist()
    with torch.inference_mode():
        prefill_tokens(model, ids[:64], chunk=chunk)
        Path("/proc/self/clear_refs").write_text("5", "ascii")
        least = _peak()
        prefilled = prefill_tokens(model, ids, chunk=chunk)
        peak = _peak()
    assert prefilled.cached == 0
    return peak - least, cache_bytes(config, length, "float32")


def _peak() -> int:
    """Return the peak memory of the process since the last reset, in bytes (Linux: VmHWM, proc(5))."""
    lines = Path("/proc/self/status").read_text("ascii").splitlines()
    (line,) = (line for line in lines if line.startswith("VmHWM"))
    return int(line.split()[1]) * 1024


if __name__ == "__main__":
    main()
