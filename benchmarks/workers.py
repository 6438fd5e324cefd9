"""Measure the speed-up of four Ray workers over one, with a model that takes a fixed time per call.

    python benchmarks/workers.py [--workers 4] [--judgments 48] [--turns 3] [--latency 0.2]

Both run the same conversations with a new store, after their workers have started. A sleeping model needs no core, so
the ratio shows what leases, messages and the store cost, on any machine. The slowest worker has more than its share of
the judgments unless their number is a multiple of the workers.
"""

import argparse
import tempfile
import time
from collections.abc import Generator, Iterator
from pathlib import Path

from legalrr.backbones.echo import EchoBackbone
from legalrr.conversations import CallList, ConversationGroup, run_conversations
from legalrr.protocols import Call, Reply
from legalrr.stage import digest
from legalrr.store import Store
from legalrr.workers.engine import SharedEngine
from legalrr.workers.ray_workers import RayWorkers


def main() -> None:
    """Print the times and their ratio."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workers", type=int, default=4, help="number of workers (default %(default)s)")
    parser.add_argument("--judgments", type=int, default=48, help="number of conversations (default %(default)s)")
    parser.add_argument("--turns", type=int, default=3, help="calls of a conversation (default %(default)s)")
    parser.add_argument("--latency", type=float, default=0.2, help="seconds of a call (default %(default)s)")
    options = parser.parse_args()
    backbone = EchoBackbone(seconds_per_call=options.latency, batch=1)
    seconds = {}
    for count in (1, options.workers):
        engine = RayWorkers(count=count, cpus=0).open(backbone)
        _start(engine, count)
        seconds[count] = _run(engine, options.judgments, options.turns)
        ideal = options.judgments * options.turns * options.latency / count
        print(f"{count} workers: {seconds[count]:.2f} s; the latencies alone: {ideal:.2f} s")
        del engine
    print(f"speed-up: {seconds[1] / seconds[options.workers]:.2f}")


def _call(judgment: int, turn: int) -> Call:
    message = {"role": "user", "content": f"Judgment {judgment}, turn {turn}"}
    return Call(key=digest([judgment, turn]), messages=(message,), max_new_tokens=8, about=str(judgment))


def _conversation(judgment: int, turns: int) -> Generator[Call, Reply, None]:
    for turn in range(turns):
        yield _call(judgment, turn)


def _groups(judgments: int, turns: int) -> Iterator[ConversationGroup[int, None]]:
    for judgment in range(judgments):
        yield ConversationGroup(conversations={judgment: _conversation(judgment, turns)})


def _start(engine: SharedEngine, count: int) -> None:
    """Make calls until all workers are ready."""
    while not engine.state().startswith(f"{count} of"):
        for _ in engine.answer(CallList([_call(-1, 0)])):
            pass


def _run(engine: SharedEngine, judgments: int, turns: int) -> float:
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder), {})
        started = time.perf_counter()
        led = run_conversations(
            _groups(judgments, turns),
            store,
            engine,
            fresh=set(),
            used=lambda key: None,
            advance=lambda count: None,
            most=judgments,
        )
        assert sum(1 for _ in led) == judgments
        seconds = time.perf_counter() - started
        store.close()
    return seconds


if __name__ == "__main__":
    main()
