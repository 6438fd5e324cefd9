"""How fast tokens are read after a past that is held, by split attention and by torch's one kernel under a mask.

The shapes are those of SmolLM2-135M, with random weights: what is measured does not depend on them. `anew` is the time
to read past and new tokens together from nothing.

python benchmarks/attention.py
"""

import statistics
import time
from collections.abc import Callable
from functools import partial

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from legalrr.backbones.attention import register
from legalrr.backbones.reading import read

RUNS = 5
CASES = ((100, 1400), (600, 1500), (2000, 500), (6000, 200))
"""Tokens that are held, and new ones."""
CONFIG = LlamaConfig(
    vocab_size=49152,
    hidden_size=576,
    intermediate_size=1536,
    num_hidden_layers=30,
    num_attention_heads=9,
    num_key_value_heads=3,
    max_position_embeddings=8192,
    tie_word_embeddings=True,
)


def seconds(run: Callable[[], object]) -> float:
    """Median wall time of a call after one to warm up, in seconds."""
    run()
    times = []
    for _ in range(RUNS):
        started = time.perf_counter()
        run()
        times.append(time.perf_counter() - started)
    return statistics.median(times)


def main() -> None:
    """Print the table."""
    register()
    torch.manual_seed(0)
    model = LlamaForCausalLM(CONFIG).eval()
    print(f"{torch.get_num_threads()} threads, float32, median of {RUNS}")
    print(
        f"{'held':>6}{'new':>6}{'anew, s':>10}{'sdpa, s':>10}{'split, s':>10}{'sdpa / split':>14}{'anew / split':>14}"
    )
    for past, new in CASES:
        ids = torch.randint(CONFIG.vocab_size, (past + new,)).tolist()
        found = {}
        with torch.inference_mode():
            held = read(model, ids[:past], chunk=8192).state
            for attention in ("sdpa", "split"):
                model.set_attn_implementation(attention)
                found[attention] = seconds(partial(read, model, ids, held, chunk=8192))
            anew = seconds(partial(read, model, ids, chunk=8192))
        sdpa, split = found["sdpa"], found["split"]
        print(f"{past:>6}{new:>6}{anew:>10.2f}{sdpa:>10.2f}{split:>10.2f}{sdpa / split:>14.2f}{anew / split:>14.2f}")


if __name__ == "__main__":
    main()
