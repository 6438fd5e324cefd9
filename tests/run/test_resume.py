"""A killed sweep resumes: same tables, no finished call made twice."""

import csv
import json
import multiprocessing
import random
import signal
import time
from collections import Counter
from multiprocessing.context import ForkServerContext, ForkServerProcess
from pathlib import Path

import pytest

KILLS = 10
SWEEP = (
    "experiment=paper",
    "arm=plain,c,direct,majority",
    "backbone=echo",
    "backbone.seconds_per_call=0.02",
    "backbone.batch=3",
    "limit=8",
    "score.resamples=99",
    "score.permutations=99",
)
PRELOADED = [
    "hydra",
    "legalrr.hiding.hide",
    "legalrr.run.prefetch",
    "legalrr.report.figures",
    "legalrr.report.sweep",
    "sklearn.metrics",
]
PROGRAM = """
import os, sys
sys.argv = {arguments}
null = os.open(os.devnull, os.O_WRONLY)
os.dup2(null, 1)
os.dup2(null, 2)
from legalrr.cli import main
main()
"""


@pytest.fixture(scope="module")
def server() -> ForkServerContext:
    """Fork server with imported libraries, whose import takes most of the time of such a small sweep."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(PRELOADED)
    # The first process starts the server.
    assert status(start(context, "")) == 0
    return context


def start(server: ForkServerContext, program: str) -> ForkServerProcess:
    process = server.Process(target=exec, args=(program,))
    process.start()
    return process


def status(process: ForkServerProcess) -> int | None:
    """Wait for the process to end; return its exit status."""
    process.join()
    return process.exitcode


def sweep(server: ForkServerContext, folder: Path) -> ForkServerProcess:
    return start(server, PROGRAM.format(arguments=["legalrr", *SWEEP, f"runs={folder}"]))


def tables(folder: Path) -> dict[str, object]:
    """Read the tables of the last sweep, without the columns of seconds."""
    last = max((folder / "sweep").iterdir())
    found: dict[str, object] = {f.name: f.read_bytes() for f in last.iterdir() if f.suffix in (".md", ".tex", ".svg")}
    for name in ("results.csv", "pairs.csv"):
        with (last / name).open(newline="") as file:
            rows = [{k: v for k, v in row.items() if not k.startswith("seconds")} for row in csv.DictReader(file)]
        found[name] = rows
    return found


def calls(folder: Path) -> Counter[str]:
    """Count each finished call in the store; a torn last line is unfinished."""
    found: Counter[str] = Counter()
    for shard in (folder / "cache" / "predict").glob("*/*.jsonl"):
        found.update(json.loads(line)["key"] for line in shard.read_bytes().split(b"\n")[:-1])
    return found


def test_a_sweep_killed_ten_times_has_the_tables_of_an_undisturbed_one(
    tmp_path: Path, server: ForkServerContext
) -> None:
    begun = time.monotonic()
    assert status(sweep(server, tmp_path / "whole")) == 0
    whole = time.monotonic() - begun
    draw = random.Random(7)
    interrupted = 0
    for _ in range(KILLS):
        process = sweep(server, tmp_path / "torn")
        time.sleep(draw.uniform(0.2, 0.9) * whole)
        process.kill()
        interrupted += status(process) == -signal.SIGKILL
    assert status(sweep(server, tmp_path / "torn")) == 0
    assert interrupted > 0
    assert tables(tmp_path / "torn") == tables(tmp_path / "whole")
    assert calls(tmp_path / "torn") == calls(tmp_path / "whole")
    assert set(calls(tmp_path / "torn").values()) == {1}
