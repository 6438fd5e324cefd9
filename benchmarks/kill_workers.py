"""Kill Ray workers and the command at random moments: how many tokens are asked twice, which tables differ?

    python benchmarks/kill_workers.py [--workers 2] [--worker-kills 20] [--driver-kills 5]

The model is the echo backbone, a call at a time in each worker, which notes every call before it answers. One sweep
runs undisturbed, the same one with the kills, each after a random number of calls. A kill of a worker loses the call
under way there, and perhaps the reply that is on its way; one of the command loses those of all workers. So about

    2 * (worker kills + driver kills * workers)

calls are made again, 60 by default. The sweep has so many calls, at least 7,500, that these are 0.8 % of it: the tokens
asked must stay below 1.01 of those of the undisturbed sweep. On a machine whose cores are taken by others, the command
falls behind such short calls, and its kills lose more replies: --seconds 0.1 makes them longer. A fault ends with one
line and status 1. It needs Ray.
"""

import argparse
import csv
import math
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from kill_test import Fault, count_stored, read_tables

from legalrr.backbones.echo import EchoBackbone, EchoEngine
from legalrr.conversations import CallList
from legalrr.corpora.catalogue import card
from legalrr.protocols import Call, CallQueue, Reply
from legalrr.stage import runtime

MOST_TOKENS = 1.01
"""Maximum ratio of the tokens asked to those of an undisturbed sweep."""
LOST = 0.008
"""Share of the calls that the kills lose, about, from which the number of judgments follows."""
LENGTH = 1500
"""Characters of a judgment: short ones are prepared fast."""
ARMS = "plain,c,d,dc,r,rc,dr,drc"
CALLS = 20
"""Least number of calls about a judgment in these arms."""
SWEEP = (
    "experiment=paper",
    f"arm={ARMS}",
    "corpus=own_text",
    "segment=crf",
    "backbone=echo",
    "backbone._target_=kill_workers.NotingEcho",
    "workers=ray",
    "workers.tags=false",
    "score.resamples=99",
    "score.permutations=99",
)


@dataclass(frozen=True, kw_only=True)
class NotingEcho(EchoBackbone):
    """The echo backbone, a call at a time; each process notes its calls in a file of its own, by process id."""

    notes: str = runtime(default="")
    """Folder of these files."""

    def load(self) -> "NotingEngine":
        """Return the engine."""
        return NotingEngine(self)


class NotingEngine(EchoEngine):
    """The engine of `NotingEcho`."""

    def __init__(self, backbone: NotingEcho) -> None:
        super().__init__(backbone)
        self._notes = Path(backbone.notes) / str(os.getpid())

    def answer(self, queue: CallQueue) -> Iterator[list[tuple[str, Reply]]]:
        """See `legalrr.protocols.Engine`."""
        while calls := queue.take(1):
            with self._notes.open("a", encoding="ascii") as file:
                file.write(f"{calls[0].key} {self._prompt_tokens(calls[0])}\n")
            yield from super().answer(CallList(calls))

    def _prompt_tokens(self, call: Call) -> int:
        return sum(len(self.token_ends(message["content"])) for message in call.messages)


@dataclass(frozen=True, kw_only=True)
class Sweep:
    """A sweep in a folder, which may be started again and again."""

    folder: Path
    """Folder of its runs and notes."""
    corpus: Path
    """Folder of the judgments and labels.csv."""
    workers: int
    """Number of workers."""
    seconds: float
    """Duration of a call."""

    @property
    def notes(self) -> Path:
        """Folder of the notes of the workers."""
        return self.folder / "notes"

    @contextmanager
    def started(self) -> Iterator[subprocess.Popen[bytes]]:
        """Start the command; it ends with the context."""
        self.notes.mkdir(parents=True, exist_ok=True)
        command = [
            *(sys.executable, "-m", "legalrr", *SWEEP, f"runs={self.folder / 'runs'}"),
            *(f"corpus.folder={self.corpus}", f"corpus.labels={self.corpus / 'labels.csv'}"),
            *(f"workers.count={self.workers}", f"backbone.seconds_per_call={self.seconds}", "backbone.batch=1"),
            f"+backbone.notes={self.notes}",
        ]
        with (self.folder / "log").open("ab") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log)
        try:
            yield process
        finally:
            process.kill()
            process.wait()

    def asked(self) -> list[tuple[str, int]]:
        """Return (key, tokens of the prompt) of each call that a worker has begun."""
        lines = [line.split() for file in self.notes.iterdir() for line in file.read_text("ascii").splitlines()]
        return [(line[0], int(line[1])) for line in lines if len(line) > 1]

    def living(self) -> list[int]:
        """Return the ids of the worker processes that have made a call and still run."""
        return sorted(id for id in map(int, (file.name for file in self.notes.iterdir())) if _is_worker(id))


def _is_worker(process: int) -> bool:
    """Return whether a process is a Ray worker, and not another one that got the same id."""
    try:
        return b"ray::" in Path(f"/proc/{process}/cmdline").read_bytes()
    except OSError:
        return False


@dataclass(frozen=True, kw_only=True)
class WorkerKillReport:
    """What happened in a kill test without a fault."""

    calls: int
    """Number of different calls."""
    repeated: int
    """Number of calls that were made again."""
    tokens: float
    """Tokens asked, in those of the undisturbed sweep."""


def kill_workers(
    folder: Path, *, workers: int, worker_kills: int, driver_kills: int, seed: int, seconds: float = 0.02
) -> WorkerKillReport:
    """Kill workers and the command of a sweep, each at a random moment; it is started again until it ends.

    Args:
        folder: an empty folder.
        workers: number of workers.
        worker_kills: number of kills of a worker.
        driver_kills: number of kills of the command.
        seed: seed of the moments.
        seconds: time that a call takes.

    Raises:
        Fault: a call with a stored answer was made, too many tokens were asked, or the tables differ from those of an
            undisturbed sweep.
    """
    lost = 2 * (worker_kills + driver_kills * workers)
    corpus = folder / "corpus"
    _write_corpus(corpus, max(2, math.ceil(lost / LOST / CALLS)))
    whole, killed = (
        Sweep(folder=folder / name, corpus=corpus, workers=workers, seconds=seconds) for name in ("whole", "killed")
    )
    with whole.started() as process:
        _require_success(process, whole)
    expected = whole.asked()
    distinct, tokens = len(expected), sum(one for _, one in expected)
    draw = random.Random(seed)
    kinds = ["worker"] * worker_kills + ["driver"] * driver_kills
    draw.shuffle(kinds)
    moments = sorted(draw.sample(range(1, distinct), len(kinds)))
    plan = list(zip(kinds, moments, strict=True))
    while plan:
        with killed.started() as process:
            while plan and process.poll() is None:
                kind, moment = plan[0]
                if len(killed.asked()) < moment or not (living := killed.living()):
                    time.sleep(0.05)
                    continue
                plan.pop(0)
                if kind == "driver":
                    break
                os.kill(draw.choice(living), signal.SIGKILL)
            else:
                _require_success(process, killed)
    return _compare(whole, killed, distinct=distinct, tokens=tokens)


def _write_corpus(folder: Path, judgments: int) -> None:
    """Write the judgments of the specimen, again and again under other ids, and outcomes."""
    reader = card("specimen").reader()
    assert reader is not None
    texts = [judgment.text[:LENGTH] for judgment in reader.read(None)]
    folder.mkdir()
    with (folder / "labels.csv").open("w", newline="", encoding="utf-8") as file:
        rows = csv.writer(file)
        rows.writerow(("id", "label"))
        for number in range(judgments):
            name = f"case-{number:04d}"
            text = f"Appeal No. {number} of 2001.\n\n{texts[number % len(texts)]}"
            (folder / f"{name}.txt").write_text(text, encoding="utf-8")
            rows.writerow((name, number % 2))


def _require_success(process: subprocess.Popen[bytes], sweep: Sweep) -> None:
    if process.wait() != 0:
        last = (sweep.folder / "log").read_text("utf-8", "replace").splitlines()[-1:]
        raise Fault(f"a sweep ended with status {process.returncode}: {''.join(last)}")


def _compare(whole: Sweep, killed: Sweep, *, distinct: int, tokens: int) -> WorkerKillReport:
    found, expected = read_tables(killed.folder / "runs"), read_tables(whole.folder / "runs")
    for name in sorted(expected.keys() | found.keys()):
        if expected.get(name) != found.get(name):
            raise Fault(f"{name} of the killed sweep differs from that of the undisturbed one")
    if count_stored(killed.folder / "runs") != count_stored(whole.folder / "runs"):
        raise Fault("the stored calls of the killed sweep differ from those of the undisturbed one")
    asked = killed.asked()
    ratio = sum(one for _, one in asked) / tokens
    report = WorkerKillReport(calls=distinct, repeated=len(asked) - distinct, tokens=ratio)
    if ratio > MOST_TOKENS:
        raise Fault(f"{ratio:.4f} of the tokens of one pass were asked, {report.repeated} of {distinct} calls again")
    return report


@contextmanager
def ray_cluster(cpus: int) -> Iterator[None]:
    """Start a Ray cluster of processes, whose workers can import this file."""
    from ray.cluster_utils import Cluster

    here = os.pathsep.join([str(Path(__file__).resolve().parent), os.environ.get("PYTHONPATH", "")])
    os.environ.update(PYTHONPATH=here.rstrip(os.pathsep), RAY_USAGE_STATS_ENABLED="0")
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": cpus, "include_dashboard": False})
    os.environ["RAY_ADDRESS"] = cluster.address
    try:
        yield
    finally:
        cluster.shutdown()


def main() -> None:
    """Run the kill test, and print what happened."""
    parser = argparse.ArgumentParser(description="Kill workers and the command, and check tokens and tables.")
    parser.add_argument("--workers", type=int, default=2, help="number of workers (default: 2)")
    parser.add_argument("--worker-kills", type=int, default=20, help="number of kills of a worker (default: 20)")
    parser.add_argument("--driver-kills", type=int, default=5, help="number of kills of the command (default: 5)")
    parser.add_argument("--seed", type=int, default=7, help="seed of the moments (default: 7)")
    parser.add_argument("--seconds", type=float, default=0.02, help="time that a call takes (default: 0.02)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, ray_cluster(options.workers):
        try:
            found = kill_workers(
                Path(folder),
                workers=options.workers,
                worker_kills=options.worker_kills,
                driver_kills=options.driver_kills,
                seed=options.seed,
                seconds=options.seconds,
            )
        except Fault as fault:
            print(f"kill-workers: {fault}", file=sys.stderr)
            sys.exit(1)
    print(
        f"{options.worker_kills} kills of a worker and {options.driver_kills} of the command in a sweep of "
        f"{found.calls} calls: {found.repeated} calls were made again, {found.tokens:.4f} of the tokens of one pass "
        "asked; tables and stored calls are those of an undisturbed sweep"
    )


if __name__ == "__main__":
    main()
