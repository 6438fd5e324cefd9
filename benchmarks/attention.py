"""How fast tokens are read after a past that is held, by split attention and by torch's one kernel under a mask.

The shapes are those of SmolLM2-135M, with random weights: what is measured does not depend on them. `anew` is the time
to read past and new tokens together from nothing.

python benchmarks/attention.py
"""

from functools import partial

import torch
from clock import seconds
from shape import smollm2
from transformers import LlamaForCausalLM

from legalrr.backbones.local.prefill import prefill_tokens
from legalrr.backbones.local.shared_prefix import register

RUNS = 5
CASES = ((100, 1400), (600, 1500), (2000, 500), (6000, 200))
"""Tokens that are held, and new ones."""


def main() -> None:
    """Print the table."""
    register()
    torch.manual_seed(0)
    model = LlamaForCausalLM(smollm2(8192)).eval()
    print(f"{torch.get_num_threads()} threads, float32, median of {RUNS}")
    print(
        f"{'held':>6}{'new':>6}{'anew, s':>10}{'sdpa, s':>10}{'split, s':>10}{'sdpa / split':>14}{'anew / split':>14}"
    )
    for past, new in CASES:
        ids = torch.randint(model.config.vocab_size, (past + new,)).tolist()
        found = {}
        with torch.inference_mode():
            held = prefill_tokens(model, ids[:past], chunk=8192).state
            for attention in ("sdpa", "split"):
                model.set_attn_implementation(attention)
                found[attention] = seconds(partial(prefill_tokens, model, ids, held, chunk=8192), runs=RUNS)
            anew = seconds(partial(prefill_tokens, model, ids, chunk=8192), runs=RUNS)
        sdpa, split = found["sdpa"], found["split"]
        print(f"{past:>6}{new:>6}{anew:>10.2f}{sdpa:>10.2f}{split:>10.2f}{sdpa / split:>14.2f}{anew / split:>14.2f}")


if __name__ == "__main__":
    main()
