"""A sweep that is killed goes on where it stopped: same tables, no finished call made twice."""

import csv
import json
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

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


def sweep(folder: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "legalrr", *SWEEP, f"runs={folder}"]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def tables(folder: Path) -> dict[str, object]:
    """The tables of the last sweep, without the columns of seconds."""
    last = max((folder / "sweep").iterdir())
    found: dict[str, object] = {f.name: f.read_bytes() for f in last.iterdir() if f.suffix in (".md", ".tex", ".svg")}
    for name in ("results.csv", "pairs.csv"):
        with (last / name).open(newline="") as file:
            rows = [{k: v for k, v in row.items() if not k.startswith("seconds")} for row in csv.DictReader(file)]
        found[name] = rows
    return found


def calls(folder: Path) -> Counter[str]:
    """How often every finished call stands in the store; a torn last line was never finished."""
    found: Counter[str] = Counter()
    for shard in (folder / "cache" / "predict").glob("*/*.jsonl"):
        found.update(json.loads(line)["key"] for line in shard.read_bytes().split(b"\n")[:-1])
    return found


def test_killed_ten_times_the_tables_are_those_of_an_undisturbed_run(tmp_path: Path) -> None:
    started = time.monotonic()
    assert sweep(tmp_path / "whole").wait() == 0
    whole = time.monotonic() - started
    draw = random.Random(7)
    interrupted = 0
    for _ in range(KILLS):
        process = sweep(tmp_path / "torn")
        time.sleep(draw.uniform(0.2, 0.9) * whole)
        process.send_signal(signal.SIGKILL)
        interrupted += process.wait() == -signal.SIGKILL
    assert sweep(tmp_path / "torn").wait() == 0
    assert interrupted > 0
    assert tables(tmp_path / "torn") == tables(tmp_path / "whole")
    assert calls(tmp_path / "torn") == calls(tmp_path / "whole")
    assert set(calls(tmp_path / "torn").values()) == {1}
