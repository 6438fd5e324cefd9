"""Measure the cost of running the study's arms: the local engine against vLLM and lm-evaluation-harness, in one run.

    LEGALRR_DATA=... python benchmarks/backbones.py [--judgments 20] [--budget 512] [--dtype bfloat16] [--part direct]
        [--vllm .venv-vllm/bin/python] [--lm-eval PYTHON]

For the eight arms (layouts `conversation` and `judgment_first`, the turn limits of quickstart) and for `direct` alone,
on real judgments and the packaged model:

- computed prompt tokens / distinct tokens, the nodes of the prefix tree of all prompts;
- seconds, and those of vLLM's CPU build on the same calls, with the same dtype, both cores bound, libiomp5 loaded first
  (if it is in the environment), a KV cache of 4 GB and prefix caching;
- seconds of lm-eval's `hf` model on the same prompts, turn by turn, with the same dtype, matmul precision and threads.

PYTHON is an interpreter with lm-eval 0.4.13, or one of `make test-vllm`; without it the comparison is skipped.
"""

import argparse
import json
import os
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from hydra import compose, initialize_config_dir

from legalrr.backbones.local.backbone import forget_engine
from legalrr.backbones.local.engine import TransformersEngine
from legalrr.backbones.local.prefill import tokenize_call
from legalrr.paths import root
from legalrr.plan.prefix_tree import PrefixTree
from legalrr.protocols import Call, CallQueue, Reply
from legalrr.run.pipeline import Pipeline, build_pipeline
from legalrr.run.prefetch import prefetch_cells

ARMS = ("plain", "c", "d", "dc", "r", "rc", "dr", "drc")
PARTS = (
    ("conversation", ARMS, ()),
    ("judgment_first", ARMS, ("annotate.layout=judgment_first",)),
    ("direct", ("direct_compare",), ()),
)
"""Name, arms and options of each part."""
CAPS = ("analysis=40", "ratio=24", "ruling=24", "answer=8")


@dataclass
class Listener:
    """Engine wrapper that records calls, a list per request."""

    engine: TransformersEngine
    requests: list[list[Call]] = field(default_factory=list)

    def __getattr__(self, name: str) -> Any:
        """Delegate other attributes to the engine."""
        return getattr(self.engine, name)

    def answer(self, queue: CallQueue) -> Iterator[list[tuple[str, Reply]]]:
        """Record and delegate."""
        return self.engine.answer(_RecordedQueue(queue, self.requests))


@dataclass(frozen=True)
class _RecordedQueue:
    """Queue that records the calls which are taken."""

    queue: CallQueue
    requests: list[list[Call]]

    def take(self, room: int | None = None) -> Sequence[Call]:
        """Record and delegate."""
        taken = self.queue.take(room)
        if taken:
            self.requests.append(list(taken))
        return taken


def main() -> None:
    """Measure and print the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--judgments", type=int, default=20, help="number of judgments (default 20)")
    parser.add_argument("--corpus", default="build", help="annotated corpus (default build)")
    parser.add_argument("--budget", type=int, help="tokens of a judgment to show (default: all that fit)")
    parser.add_argument("--matmul-precision", default="highest", help="precision of float32 products (default highest)")
    parser.add_argument("--dtype", default="float32", help="dtype of weights and states (default float32)")
    parser.add_argument("--option", action="append", default=[], help="further option of the local engine's cells")
    parser.add_argument("--vllm", metavar="PYTHON", help="interpreter with vLLM's CPU build")
    parser.add_argument("--lm-eval", metavar="PYTHON", help="interpreter with lm-eval 0.4.13")
    parser.add_argument("--part", choices=[name for name, _, _ in PARTS], help="measure only this part")
    parser.add_argument("--batch", default="auto", help="batch size of lm-eval (default auto)")
    options = parser.parse_args()
    budget = [] if options.budget is None else [f"restructure.budget={options.budget}"]
    common_options = [f"corpus={options.corpus}", f"limit={options.judgments}", "restructure.overflow=middle", *budget]
    common_options.append(f"backbone.dtype={options.dtype}")
    local_options = [f"backbone.matmul_precision={options.matmul_precision}", *options.option]
    print(
        f"{options.judgments} judgments of {options.corpus}, the packaged model, {options.dtype}, "
        f"matmul_precision {options.matmul_precision}, threads {torch.get_num_threads()}",
        flush=True,
    )
    for name, arms, more in PARTS:
        if options.part not in (None, name):
            continue
        caps = [f"annotate.tokens.{cap}" for cap in CAPS]
        with TemporaryDirectory() as folder:
            overrides = [[f"arm={arm}", *common_options, *caps, *more, f"runs={folder}"] for arm in arms]
            seconds = _measure(name, [_cell(*one, *local_options) for one in overrides], Path(folder), options)
            if options.vllm is not None:
                other = _vllm([[*one, "engine=vllm", f"runs={folder}/vllm"] for one in overrides], folder, options)
                print(f"  vLLM: {other:.1f} s, ours / vLLM {seconds / other:.2f}", flush=True)


def _cell(*overrides: str) -> Pipeline:
    with initialize_config_dir(str(root() / "conf"), version_base="1.3"):
        return build_pipeline(compose("config", list(overrides)))


def _vllm(overrides: Sequence[Sequence[str]], folder: str, options: argparse.Namespace) -> float:
    """Return the seconds that vLLM takes for the calls of cells."""
    calls, out = Path(folder, "cells.json"), Path(folder, "vllm.json")
    calls.write_text(json.dumps(overrides), "utf-8")
    library = Path(options.vllm).parents[1] / "lib" / "libiomp5.so"
    environment = {
        **{name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"},
        "VLLM_CPU_OMP_THREADS_BIND": f"0-{torch.get_num_threads() - 1}",
        "LEGALRR_DATA": str(Path(os.environ["LEGALRR_DATA"]).resolve()),
        **({"LD_PRELOAD": str(library.resolve())} if library.is_file() else {}),
    }
    command = [options.vllm, str(Path(__file__).with_name("vllm_side.py")), str(calls), str(out)]
    subprocess.run(command, check=True, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    return float(json.loads(out.read_text("utf-8"))["seconds"])


def _measure(name: str, cells: Sequence[Pipeline], folder: Path, options: argparse.Namespace) -> float:
    """Print the tokens and seconds of the local engine, and those of lm-eval; return the former seconds."""
    # A new engine has an empty prefix cache.
    forget_engine()
    engine = cells[0].backbone.load()
    assert isinstance(engine, TransformersEngine)
    engine.model  # noqa: B018 - loaded before the clock starts
    listener = Listener(engine)
    started = time.perf_counter()
    prefetch_cells(cells, listener, set())
    seconds = time.perf_counter() - started
    prompts = [
        tokenize_call(call, engine.template, thinking_tokens=0, option="backbone").ids
        for calls in listener.requests
        for call in calls
    ]
    tree = PrefixTree()
    for prompt in prompts:
        tree.add(prompt)
    distinct = tree.tokens
    computed = engine.tokens_read
    whole = sum(map(len, prompts))
    print(
        f"{name}, {len(cells)} cells: {len(prompts)} calls, {whole:,} prompt tokens, {distinct:,} distinct, "
        f"{computed:,} computed: {computed / distinct:.3f} per distinct token; {seconds:.1f} s",
        flush=True,
    )
    if options.lm_eval is None:
        return seconds
    other = _lm_eval(engine, listener.requests, folder, options)
    print(
        f"  lm-eval {other['version']}, batch {options.batch}: {other['seconds']:.1f} s, "
        f"speed-up {other['seconds'] / seconds:.2f}",
        flush=True,
    )
    return seconds


def _lm_eval(
    engine: TransformersEngine, requests: Sequence[Sequence[Call]], folder: Path, options: argparse.Namespace
) -> dict[str, Any]:
    turns = [
        [
            {
                "context": engine.tokenizer.apply_chat_template(
                    [dict(message) for message in call.messages], tokenize=False, add_generation_prompt=True
                ),
                "new": call.max_new_tokens,
                "answers": list(call.answers),
            }
            for call in calls
        ]
        for calls in requests
    ]
    (folder / "requests.json").write_text(json.dumps(turns), "utf-8")
    command = [options.lm_eval, str(Path(__file__).with_name("lm_eval_side.py")), str(folder / "requests.json")]
    command += [
        engine.model.config._name_or_path,
        options.batch,
        str(torch.get_num_threads()),
        options.matmul_precision,
        str(folder / "out.json"),
    ]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    result: dict[str, Any] = json.loads((folder / "out.json").read_text("utf-8"))
    return result


if __name__ == "__main__":
    main()
