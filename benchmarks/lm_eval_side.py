"""Run the prompts of benchmarks/backbones.py in lm-eval's `hf` model, turn by turn.

python lm_eval_side.py REQUESTS.json MODEL_FOLDER BATCH THREADS PRECISION OUT.json
"""

import json
import sys
import time
from importlib.metadata import version
from pathlib import Path

import torch
from lm_eval.api.instance import Instance
from lm_eval.models.huggingface import HFLM


def main() -> None:
    """Run the prompts, and write the seconds."""
    requests, model, batch, threads, precision, out = sys.argv[1:]
    torch.set_num_threads(int(threads))
    torch.set_float32_matmul_precision(precision)
    engine = HFLM(pretrained=model, dtype="float32", device="cpu", batch_size=batch)
    turns = json.loads(Path(requests).read_text("utf-8"))
    _run(engine, [turns[0][0] | {"context": "The appeal", "new": 2}])
    started = time.perf_counter()
    for turn in turns:
        _run(engine, turn)
    seconds = time.perf_counter() - started
    Path(out).write_text(json.dumps({"seconds": seconds, "version": version("lm_eval")}), "utf-8")


def _run(engine: HFLM, turn: list[dict]) -> None:
    generated = [
        Instance(
            request_type="generate_until",
            doc={},
            arguments=(call["context"], {"until": [], "max_gen_toks": call["new"], "do_sample": False}),
            idx=0,
        )
        for call in turn
        if not call["answers"]
    ]
    compared = [
        Instance(request_type="loglikelihood", doc={}, arguments=(call["context"], answer), idx=0)
        for call in turn
        for answer in call["answers"]
    ]
    if generated:
        engine.generate_until(generated)
    if compared:
        engine.loglikelihood(compared)


if __name__ == "__main__":
    main()
