"""A disk that is full from any write on: one line, no torn file, and the rerun has the tables of an undisturbed run."""

import csv
import errno
import gzip
import io
import json
import os
import random
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import yaml

from legalrr.errors import UserError
from legalrr.store import Store
from tests.faults.conftest import Command

EVERY = int(os.environ.get("LEGALRR_FUZZ", "0"))
"""`LEGALRR_FUZZ=1 pytest tests/faults/test_full_disk.py` tries every write."""
SAMPLED = 3
SOURCE = (Path(__file__).with_name("full_disk.py")).read_text(encoding="utf-8")
SWEEP = (
    "-m",
    "arm=direct,majority",
    "backbone=echo",
    "backbone.batch=3",
    "limit=6",
    "reference=direct",
    "score.resamples=99",
    "score.permutations=99",
    "runs=runs",
)
NEVER = 10**9


def full_from(folder: Path, first: int) -> str:
    return f"{SOURCE}\ninstall({str(folder / 'runs')!r}, {first})"


def sweeps(folder: Path) -> list[Path]:
    return sorted((folder / "runs" / "sweep").iterdir()) if (folder / "runs" / "sweep").is_dir() else []


def tables(folder: Path) -> dict[str, object]:
    """Read the tables of the last sweep, without the columns of seconds."""
    last = sweeps(folder)[-1]
    found: dict[str, object] = {
        path.name: path.read_bytes() for path in last.iterdir() if path.suffix in (".md", ".tex")
    }
    for name in ("results.csv", "pairs.csv"):
        with (last / name).open(newline="") as file:
            found[name] = [{k: v for k, v in row.items() if "seconds" not in k} for row in csv.DictReader(file)]
    return found


def calls(folder: Path) -> Counter[str]:
    """Count each stored call."""
    found: Counter[str] = Counter()
    for shard in (folder / "runs" / "cache" / "predict").glob("*/*.jsonl"):
        found.update(json.loads(line)["key"] for line in shard.read_bytes().split(b"\n")[:-1])
    return found


def check_whole(folder: Path) -> None:
    """Check that every file is whole; the store may have an incomplete last line, which it ignores."""
    for path in (folder / "runs").rglob("*"):
        assert ".part" not in path.name
        # The file of the claims on calls has no content, only locks.
        if path.is_dir() or path.suffix == ".log" or path.name == "claims":
            continue
        content = path.read_bytes()
        assert content, path
        if path.parent.parent.parent.name == "cache" and path.suffix == ".jsonl":
            Store(path.parent, {})
        elif path.suffix == ".jsonl":
            assert [json.loads(line) for line in content.decode().split("\n")[:-1]]
            assert content.endswith(b"\n")
        elif path.suffix == ".json":
            json.loads(content)
        elif path.suffix == ".yaml":
            assert yaml.safe_load(content) is not None
            assert content.endswith(b"\n") or path.name == "overrides.yaml"
        elif path.suffix == ".gz":
            gzip.decompress(content)
        else:
            assert content.endswith((b"\n", b"</html>")), path


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("undisturbed")


def test_a_full_disk_at_any_write_tears_nothing_and_the_rerun_is_the_same(
    command: Command, tmp_path: Path, undisturbed: Path
) -> None:
    ended = command(*SWEEP, setup=full_from(tmp_path, NEVER))
    assert ended.status == 0, ended.err
    number = int((tmp_path / "writes").read_text())
    (tmp_path / "runs").rename(undisturbed / "runs")
    check_whole(undisturbed)
    whole, made = tables(undisturbed), calls(undisturbed)
    assert len(made) == 6
    draw = random.Random(5)
    chosen = range(1, number + 1) if EVERY else sorted({1, number, *draw.sample(range(2, number), SAMPLED - 2)})
    for first in chosen:
        ended = command(*SWEEP, setup=full_from(tmp_path, first))
        assert "No space left on device (free space on its disk" in ended.fault(), (first, ended.err)
        check_whole(tmp_path)
        assert set(calls(tmp_path)) <= set(made), first
        again = command(*SWEEP)
        assert again.status == 0, (first, again.err)
        assert tables(tmp_path) == whole, first
        assert calls(tmp_path) == made, first
        (tmp_path / "runs").rename(tmp_path / f"checked-{first}")


def test_a_store_goes_on_after_a_failed_write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(tmp_path / "s", {})
    store.add([("a", 1)])
    torn = len('{"key": "b", "value": 2}\n{"key": "c"')

    class Full(io.FileIO):
        def write(self, data: Any) -> int:
            super().write(memoryview(data)[:torn])
            raise OSError(errno.ENOSPC, "full")

    store.close()
    monkeypatch.setattr("legalrr.store.FileIO", Full)
    with pytest.raises(UserError, match="s: No space left on device"):
        store.add([("b", 2), ("c", 3)])
    assert "b" not in store
    monkeypatch.undo()
    store.add([("d", 4)])
    store.close()
    again = Store(tmp_path / "s", {})
    assert {key: again[key] for key in "abd"} == {"a": 1, "b": 2, "d": 4}
    assert "c" not in again


def test_a_store_that_is_opened_for_nothing_leaves_no_shard(tmp_path: Path) -> None:
    store = Store(tmp_path, {})
    store.require_writable()
    assert len(list(tmp_path.glob("*.jsonl"))) == 1
    store.close()
    assert not list(tmp_path.glob("*.jsonl"))
