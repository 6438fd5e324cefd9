"""Kill a sweep at random moments and start it again until it is done: which calls are made twice, which tables differ?

    python benchmarks/kill_test.py --kills 100

The model is a server in this process, which answers as the echo backbone does and counts the calls. Each round runs one
sweep in a folder of its own, until a start ends without a kill; rounds follow until there were enough kills. A
fault ends with one line and status 1.
"""

import argparse
import csv
import json
import multiprocessing
import random
import signal
import sys
import tempfile
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from legalrr.backbones.echo import EchoBackbone
from legalrr.conversations import CallList
from legalrr.protocols import Call
from legalrr.stage import digest

CONCURRENCY = 3
SWEEP = (
    "experiment=paper",
    "arm=plain,c,direct,majority",
    "backbone=local",
    "engine=server",
    "backbone.model=echo",
    f"backbone.concurrency={CONCURRENCY}",
    "backbone.retries=0",
    "backbone.api_key_env=LEGALRR_KILL_TEST",
    "limit=8",
    "score.resamples=99",
    "score.permutations=99",
)
PRELOADED = [
    "hydra",
    "openai",
    "legalrr.backbones.openai.engine",
    "legalrr.hiding.hide",
    "legalrr.run.prefetch",
    "legalrr.report.figures",
    "legalrr.report.sweep",
    "sklearn.metrics",
]
PROGRAM = """
import os, sys
sys.argv = {arguments}
os.environ["LEGALRR_KILL_TEST"] = {name!r}
null = os.open(os.devnull, os.O_WRONLY)
os.dup2(null, 1)
os.dup2(null, 2)
from legalrr.cli import main
main()
"""


class Handler(BaseHTTPRequestHandler):
    """Handler of one chat request."""

    protocol_version = "HTTP/1.1"
    owner: "CountingServer"

    def handle(self) -> None:
        """Handle the requests of a connection, until it ends or its process is killed."""
        with suppress(ConnectionError):
            super().handle()

    def do_POST(self) -> None:
        """Answer, after the time that a call takes."""
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        data = json.dumps(self.owner.answer(body, self.headers["Authorization"].removeprefix("Bearer "))).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:
        """Log nothing."""


class CountingServer:
    """A server with OpenAI's API that records the calls of each process; a context manager.

    Args:
        seconds: time that a call takes.
    """

    def __init__(self, seconds: float) -> None:
        self.asked: defaultdict[str, list[str]] = defaultdict(list)
        """Name of a process -> keys of its calls in the store."""
        self._seconds = seconds
        self._engine = EchoBackbone().load()
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), type("Bound", (Handler,), {"owner": self}))
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True)

    @property
    def url(self) -> str:
        """Base URL."""
        return f"http://127.0.0.1:{self._server.server_address[1]}/v1"

    def __enter__(self) -> Self:
        """Start to serve."""
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Stop to serve."""
        self._server.shutdown()
        self._server.server_close()

    def answer(self, body: Mapping[str, Any], name: str) -> dict[str, Any]:
        """Return the answer to a chat request of the process `name`."""
        tokens, messages = body["max_completion_tokens"], body["messages"]
        key = digest({"generate": tokens, "messages": messages})
        with self._lock:
            self.asked[name].append(key)
        time.sleep(self._seconds)
        call = Call(key=key, messages=tuple(messages), max_new_tokens=tokens)
        ((_, reply),) = [pair for batch in self._engine.answer(CallList([call])) for pair in batch]
        choice = {
            "index": 0,
            "finish_reason": reply.finish_reason,
            "message": {"role": "assistant", "content": reply.text},
        }
        usage = {"prompt_tokens": reply.prompt_tokens, "completion_tokens": reply.new_tokens}
        return {
            "id": "one",
            "object": "chat.completion",
            "created": 0,
            "model": body["model"],
            "choices": [choice],
            "usage": usage | {"total_tokens": reply.prompt_tokens + reply.new_tokens},
        }


class SweepRunner:
    """Starts sweeps as processes that have the libraries imported, which takes most of the time of such a small sweep.

    Args:
        server: answers the calls.
    """

    def __init__(self, server: CountingServer) -> None:
        self._server = server
        self._context: ForkServerContext = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(PRELOADED)
        # The first process starts the fork server.
        self._start("").join()

    def sweep(self, folder: Path, name: str, *more: str) -> ForkServerProcess:
        """Start a sweep with results in `folder`; the server records its calls under `name`."""
        arguments = ["legalrr", *SWEEP, f"runs={folder}", f"backbone.base_url={self._server.url}", *more]
        return self._start(PROGRAM.format(arguments=arguments, name=name))

    def _start(self, program: str) -> ForkServerProcess:
        process = self._context.Process(target=exec, args=(program,))
        process.start()
        return process


def read_tables(folder: Path) -> dict[str, object]:
    """Read the tables of the last sweep in a folder of runs, without the columns of seconds."""
    last = max((folder / "sweep").iterdir(), key=lambda path: path.stat().st_mtime_ns)
    found: dict[str, object] = {f.name: f.read_bytes() for f in last.iterdir() if f.suffix in (".md", ".tex", ".svg")}
    for name in ("results.csv", "pairs.csv"):
        with (last / name).open(newline="") as file:
            rows = [{k: v for k, v in row.items() if not k.startswith("seconds")} for row in csv.DictReader(file)]
        found[name] = rows
    return found


def count_stored(folder: Path) -> Counter[str]:
    """Count the answers to each call in a folder of runs; an incomplete last line is not an answer."""
    found: Counter[str] = Counter()
    for shard in (folder / "cache" / "predict").glob("*/*.jsonl"):
        found.update(json.loads(line)["key"] for line in shard.read_bytes().split(b"\n")[:-1])
    return found


@dataclass(frozen=True, kw_only=True)
class Start:
    """One start of a sweep that was killed or ended without a kill."""

    name: str
    """Name of the process."""
    before: frozenset[str]
    """Keys of the answers that were stored when it started."""
    after: frozenset[str]
    """Keys of the answers that were stored when it ended."""


class Fault(Exception):  # noqa: N818
    """Something that a killed sweep must not do."""


@dataclass(frozen=True, kw_only=True)
class KillReport:
    """What happened in a kill test without a fault."""

    kills: int
    """Number of killed processes."""
    rounds: int
    """Number of finished sweeps."""
    distinct: int
    """Number of different calls of a sweep."""
    repeated: int
    """Number of calls that were under way when a process was killed, and were made again."""


def kill_sweeps(folder: Path, *, kills: int, seed: int, seconds: float = 0.02) -> KillReport:
    """Kill sweeps at random moments; each is started again until it ends without a kill.

    Every other kill comes after a random number of calls, as most of the time of such a small sweep passes without one.

    Args:
        folder: an empty folder.
        kills: number of kills.
        seed: seed of the moments.
        seconds: time that a call takes.

    Raises:
        Fault: a call was made although its answer was stored, more calls were lost than were under way, or the tables
            differ from those of an undisturbed sweep.
    """
    draw, starts, killed, number = random.Random(seed), list[Start](), 0, count()
    with CountingServer(seconds) as server:
        runner = SweepRunner(server)
        begun = time.monotonic()
        _require_success(runner.sweep(folder / "whole", "whole"))
        whole, distinct = time.monotonic() - begun, len(count_stored(folder / "whole"))
        for round_number in count():
            runs, ended = folder / f"round-{round_number}", False
            while not ended:
                before, name = frozenset(count_stored(runs)), f"start-{next(number)}"
                process = runner.sweep(runs, name)
                if killed >= kills:
                    process.join()
                elif killed % 2 or len(before) == distinct:
                    process.join(draw.uniform(0, whole))
                else:
                    _wait_for_calls(process, server.asked[name], draw.randint(1, distinct - len(before)))
                process.kill()
                process.join()
                ended = process.exitcode != -signal.SIGKILL
                killed += not ended
                starts.append(Start(name=name, before=before, after=frozenset(count_stored(runs))))
            _require_success(process)
            _compare_rounds(folder / "whole", runs)
            if killed >= kills:
                break
    # A request may reach the server when its process is already dead, so they are counted at the end.
    for start in starts:
        check_calls(start, server.asked[start.name])
    made = sum(len(server.asked[start.name]) for start in starts)
    rounds = round_number + 1
    return KillReport(kills=killed, rounds=rounds, distinct=distinct, repeated=made - rounds * distinct)


def _wait_for_calls(process: ForkServerProcess, asked: list[str], number: int) -> None:
    """Wait until a process has made a number of calls, or has ended."""
    while len(asked) < number and process.is_alive():
        time.sleep(0.002)


def _require_success(process: ForkServerProcess) -> None:
    process.join()
    if process.exitcode != 0:
        raise Fault(f"a sweep ended with status {process.exitcode}")


def _compare_rounds(whole: Path, runs: Path) -> None:
    expected, found = read_tables(whole), read_tables(runs)
    for name in sorted(expected.keys() | found.keys()):
        if expected.get(name) != found.get(name):
            raise Fault(f"{name} of {runs} differs from that of {whole}")
    if count_stored(whole) != count_stored(runs):
        raise Fault(f"the stored calls of {runs} differ from those of {whole}")


def check_calls(start: Start, asked: list[str]) -> None:
    """Raise Fault unless a process made only calls without an answer, each once, and lost only those under way."""
    if again := start.before.intersection(asked):
        raise Fault(f"{start.name} made {len(again)} calls with stored answers")
    if len(set(asked)) < len(asked):
        raise Fault(f"{start.name} made calls twice")
    lost = set(asked) - start.after
    if len(lost) > CONCURRENCY:
        raise Fault(f"{start.name} lost {len(lost)} calls; {CONCURRENCY} were under way")


def main() -> None:
    """Run the kill test, and print what happened."""
    parser = argparse.ArgumentParser(description="Kill sweeps at random moments, and check calls and tables.")
    parser.add_argument("--kills", type=int, default=100, help="number of kills (default: 100)")
    parser.add_argument("--seed", type=int, default=7, help="seed of the moments (default: 7)")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        try:
            found = kill_sweeps(Path(folder), kills=options.kills, seed=options.seed)
        except Fault as fault:
            print(f"kill-test: {fault}", file=sys.stderr)
            sys.exit(1)
    print(
        f"{found.kills} kills in {found.rounds} sweeps of {found.distinct} calls: {found.repeated} calls under way"
        " at a kill were made again, no other; tables and stored calls are those of an undisturbed sweep"
    )


if __name__ == "__main__":
    main()
