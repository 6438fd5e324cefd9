"""Time and memory of a store: open it, look up and add records, relative to all records in memory in the same run.

    python benchmarks/store.py                                 # 10, 100,000 and 1,000,000 records
    python benchmarks/store.py --records 10000000              # the disk needs 1.3 GB

Records of about 100 bytes lie in four shards. Each measurement has a process of its own. Formerly a store held all its
records in memory; that is measured up to --former records, as it needs 1 kB for each of these short ones.
"""

import argparse
import json
import random
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from legalrr.shards import read_lines
from legalrr.stage import digest
from legalrr.store import Store

SHARDS = 4
LOOKUPS = 10_000
ADDED = 100


def key(number: int) -> str:
    """Return the key of a record."""
    return digest(number)


def write_shards(folder: Path, records: int) -> None:
    """Write a store without an index."""
    for shard in range(SHARDS):
        with (folder / f"{shard}.jsonl").open("w", encoding="utf-8") as file:
            for number in range(shard, records, SHARDS):
                file.write(json.dumps({"key": key(number), "value": {"text": f"YES {number}"}}) + "\n")


def measure(kind: str, folder: Path, records: int) -> dict[str, float]:
    """Open a store, look up random records and, in the current way, add some; return seconds and peak memory in MB."""
    draw = random.Random(0)
    keys = [key(draw.randrange(records)) for _ in range(LOOKUPS)]
    started = time.perf_counter()
    store: Any
    if kind == "former":
        store = {line.key: line.value for path in sorted(folder.glob("*.jsonl")) for line in read_lines(path)}
    else:
        store = Store(folder, {})
    opened = time.perf_counter()
    for one in keys:
        assert one in store
        assert store[one]["text"].startswith("YES")
    looked_up = time.perf_counter()
    found = {"open": opened - started, "look up": looked_up - opened}
    if kind == "current":
        # Only after an opening with an index are these what they are for a user.
        for number in range(ADDED):
            store.add([(f"{time.time_ns()}-{number}", {"text": "YES"})])
        found["add"] = (time.perf_counter() - looked_up) / ADDED
        store.close()
    return found | {
        "MB": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1e6 if sys.platform == "darwin" else 1e3)
    }


def in_process(kind: str, folder: Path, records: int) -> dict[str, float]:
    """Return what `measure` does in a new process."""
    command = [sys.executable, __file__, "--measure", kind, "--folder", str(folder), "--records", str(records)]
    return json.loads(subprocess.run(command, check=True, capture_output=True).stdout)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description="Time and memory of a store.")
    parser.add_argument("--records", default="10,100000,1000000", help="numbers of records, with commas")
    parser.add_argument("--former", type=int, default=1_000_000, help="most records of the former way")
    parser.add_argument("--measure", choices=["index", "current", "former"], help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    numbers = [int(number) for number in options.records.split(",")]
    if options.measure:
        print(json.dumps(measure(options.measure, options.folder, numbers[0])))
        return
    print(f"{'':<19}{'open':>9}{f'{LOOKUPS:,} look-ups':>17}{'add one':>9}{'memory':>9}   x former: open  memory")
    for records in numbers:
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            write_shards(folder, records)
            found = {kind: in_process(kind, folder, records) for kind in ("index", "current")}
            former = in_process("former", folder, records) if records <= options.former else None
        if former:
            found["former"] = former
        for kind, row in found.items():
            add = f"{1e3 * row['add']:.2f} ms" if "add" in row else ""
            line = f"{records:>10,} {kind:<8}{row['open']:>7.3f} s{row['look up']:>15.3f} s{add:>9}{row['MB']:>6.0f} MB"
            if former and kind != "former":
                line += f"{row['open'] / former['open']:>17.3f}{row['MB'] / former['MB']:>8.2f}"
            print(line)


if __name__ == "__main__":
    main()
