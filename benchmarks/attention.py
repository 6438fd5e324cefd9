"""Time the prefill of tokens after a cached prefix: split attention, and torch's kernel with a mask.

The model has the shape of SmolLM2-135M and random weights, on which the times do not depend. `full` is the time to
prefill cached and new tokens together without a cache.

python benchmarks/attention.py
"""

from functools import partial

import torch
from clock import seconds
from shape import smollm2
from transformers import LlamaForCausalLM

from legalrr.backbones.local.prefill import prefill_tokens
from legalrr.backbones.local.shared_prefix_attention import register

RUNS = 5
CASES = ((100, 1400), (600, 1500), (2000, 500), (6000, 200))
"""Numbers of cached and new tokens."""


def main() -> None:
    """Print the table."""
    register()
    torch.manual_seed(0)
    model = LlamaForCausalLM(smollm2(8192)).eval()
    print(f"{torch.get_num_threads()} threads, float32, median of {RUNS}")
    print(
        f"{'cached':>6}{'new':>6}{'full, s':>10}{'sdpa, s':>10}{'split, s':>10}{'sdpa / split':>14}{'full / split':>14}"
    )
    for past, new in CASES:
        ids = torch.randint(model.config.vocab_size, (past + new,)).tolist()
        times = {}
        with torch.inference_mode():
            prefix = prefill_tokens(model, ids[:past], chunk=8192).state
            for attention in ("sdpa", "split"):
                model.set_attn_implementation(attention)
                times[attention] = seconds(partial(prefill_tokens, model, ids, prefix, chunk=8192), runs=RUNS)
            full = seconds(partial(prefill_tokens, model, ids, chunk=8192), runs=RUNS)
        sdpa, split = times["sdpa"], times["split"]
        print(f"{past:>6}{new:>6}{full:>10.2f}{sdpa:>10.2f}{split:>10.2f}{sdpa / split:>14.2f}{full / split:>14.2f}")


if __name__ == "__main__":
    main()
