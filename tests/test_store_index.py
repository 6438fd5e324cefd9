"""The index of a store: whatever happens to it and to the shards, a store has what the lines of the shards say."""

import json
import logging
import os
import subprocess
import sys
import tempfile
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from legalrr.errors import UserError
from legalrr.index_file import IndexFile
from legalrr.store import SPILL, Store
from legalrr.store_index import StoreIndex

FEW = 3
"""Number of unindexed records of these stores: nearly all are indexed."""
KEYS = [f"key {number}" for number in range(40)] + ["\ud800", ""]

store_number = st.integers(0, 2)
positions = st.floats(0, 1)
operations = st.one_of(
    st.tuples(st.just("add"), store_number, st.lists(st.sampled_from(KEYS), min_size=1, max_size=9)),
    st.tuples(st.just("close"), store_number),
    st.tuples(st.just("open"), store_number),
    st.tuples(st.just("check"), store_number),
    st.tuples(st.just("cut shard"), positions, positions),
    st.tuples(st.just("delete line"), positions, positions),
    st.tuples(st.just("delete shard"), positions),
    st.tuples(st.just("damage index"), positions, positions, st.integers(1, 255)),
    st.tuples(st.just("cut index"), positions, positions),
    st.tuples(st.just("delete index"), positions),
)


def records(folder: Path) -> dict[str, Any]:
    """Return the records of a folder, as the slow reference: all shards by name, the first line with a key counts."""
    found: dict[str, Any] = {}
    for path in sorted(folder.glob("*.jsonl")):
        for line in path.read_bytes().split(b"\n")[:-1]:
            record = json.loads(line)
            found.setdefault(record["key"], record["value"])
    return found


def check(store: Store) -> None:
    """Check that a store has the records of its folder."""
    truth = records(store.folder)
    assert len(store) == len(truth)
    for key in KEYS:
        assert (key in store) == (key in truth), key
        if key in truth:
            assert store[key] == truth[key]
            assert store[key] == truth[key]


def index_files(folder: Path) -> list[Path]:
    return sorted((folder / "index").glob("*.index"))


def fill(folder: Path, number: int, **options: Any) -> Store:
    """Add records to a new store, some at a time, and close it."""
    store = Store(folder, {}, **options)
    keys = iter(range(number))
    while batch := list(islice(keys, max(number // 10, 1))):
        store.add((f"key {key}", key) for key in batch)
    store.close()
    return store


class Model:
    """Stores on one folder, and what happens to the files below them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.stores = [Store(folder, {}, unindexed=FEW) for _ in range(3)]
        self.count = 0

    def add(self, number: int, keys: list[str]) -> None:
        # An edit that leaves the size is found by look-ups alone: lines of different batches have different lengths.
        self.stores[number].add((key, (self.count, key, "x" * self.count)) for key in keys)
        for key in keys:
            # Another store may have been first, whether this one knows of it yet or not.
            assert self.stores[number][key][1] == key
        self.count += 1

    def close(self, number: int) -> None:
        self.stores[number].close()

    def open(self, number: int) -> None:
        self.stores[number].close()
        self.stores[number] = Store(self.folder, {}, unindexed=FEW)
        check(self.stores[number])

    def check(self, number: int) -> None:
        self.stores[number].refresh()
        check(self.stores[number])

    def closed_shards(self) -> list[Path]:
        """Return the shards that no store writes to."""
        for store in self.stores:
            store.close()
        return sorted(self.folder.glob("*.jsonl"))

    def cut_shard(self, which: float, at: float) -> None:
        if path := choose(self.closed_shards(), which):
            os.truncate(path, int(at * path.stat().st_size))

    def delete_line(self, which: float, at: float) -> None:
        if path := choose(self.closed_shards(), which):
            lines = path.read_bytes().splitlines(keepends=True)
            if lines:
                lines.pop(int(at * (len(lines) - 1)))
            path.write_bytes(b"".join(lines))

    def delete_shard(self, which: float) -> None:
        if path := choose(self.closed_shards(), which):
            path.unlink()

    def damage_index(self, which: float, at: float, by: int) -> None:
        if path := choose(index_files(self.folder), which):
            data = bytearray(path.read_bytes())
            if data:
                data[int(at * (len(data) - 1))] ^= by
            path.write_bytes(data)

    def cut_index(self, which: float, at: float) -> None:
        if path := choose(index_files(self.folder), which):
            os.truncate(path, int(at * path.stat().st_size))

    def delete_index(self, which: float) -> None:
        if path := choose(index_files(self.folder), which):
            path.unlink()


def choose(paths: list[Path], which: float) -> Path | None:
    return paths[int(which * (len(paths) - 1))] if paths else None


@settings(max_examples=60, deadline=None)
@given(st.lists(operations, max_size=25))
def test_any_history_of_a_store_equals_its_lines(history: list[tuple[Any, ...]]) -> None:
    with tempfile.TemporaryDirectory() as name:
        model = Model(Path(name))
        for operation, *arguments in history:
            getattr(model, operation.replace(" ", "_"))(*arguments)
        for number in range(3):
            model.check(number)
            model.open(number)


def test_an_old_store_without_an_index_gets_one(tmp_path: Path) -> None:
    fill(tmp_path, 50)
    assert not index_files(tmp_path)
    for _ in range(2):
        check(Store(tmp_path, {}, unindexed=FEW))
        assert len(index_files(tmp_path)) == 1


def test_a_store_with_few_records_needs_no_index(tmp_path: Path) -> None:
    fill(tmp_path, FEW - 1, unindexed=FEW)
    assert {path.suffix for path in tmp_path.iterdir()} == {".json", ".jsonl"}


def test_files_of_the_index_are_few_and_merged(tmp_path: Path) -> None:
    store = Store(tmp_path, {}, unindexed=FEW)
    for number in range(0, 300, 4):
        store.add((str(one), one) for one in range(number, number + 4))
        assert len(index_files(tmp_path)) <= 6
    assert [store[str(number)] for number in range(300)] == list(range(300))
    assert sum(IndexFile(path.open("rb"), path.name).entries for path in index_files(tmp_path)) == 300
    assert not list((tmp_path / "index").glob(".*"))


def test_an_opening_does_not_read_what_is_indexed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(tmp_path, 30, unindexed=10)
    Store(tmp_path, {}, unindexed=10).add([("key 30", 30)])
    read = []
    monkeypatch.setattr("legalrr.store.key_digest", lambda key: read.append(key) or 0)
    Store(tmp_path, {}, unindexed=10)
    assert read == [f"key {number}" for number in range(24, 31)]


def test_a_damaged_line_that_is_indexed_is_found_by_its_look_up(tmp_path: Path) -> None:
    fill(tmp_path, 200, unindexed=FEW)
    (shard,) = tmp_path.glob("*.jsonl")
    lines = shard.read_bytes().split(b"\n")
    lines[4] = b"x" * len(lines[4])
    shard.write_bytes(b"\n".join(lines))
    store = Store(tmp_path, {}, unindexed=FEW)
    assert store["key 3"] == 3
    with pytest.raises(UserError, match=rf"{shard.name}:5: damaged record"):
        store["key 4"]


def test_a_key_that_was_edited_is_found_under_its_new_name(tmp_path: Path) -> None:
    fill(tmp_path, 200, unindexed=FEW)
    (shard,) = tmp_path.glob("*.jsonl")
    shard.write_bytes(shard.read_bytes().replace(b'"key 4"', b'"KEY 4"'))
    for _ in range(2):
        store = Store(tmp_path, {}, unindexed=FEW)
        assert "key 4" not in store
        assert store["KEY 4"] == 4
        assert len(store) == 200


def test_the_index_of_a_copied_store_is_used(tmp_path: Path) -> None:
    fill(tmp_path / "a", 50, unindexed=FEW)
    for path in sorted((tmp_path / "a").rglob("*.*")):
        copied = tmp_path / "b" / path.relative_to(tmp_path / "a")
        copied.parent.mkdir(parents=True, exist_ok=True)
        copied.write_bytes(path.read_bytes())
    before = [path.name for path in index_files(tmp_path / "b")]
    check(Store(tmp_path / "b", {}, unindexed=FEW))
    assert [path.name for path in index_files(tmp_path / "b")] == before != []


def test_equal_digests_of_different_keys_are_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("store", "shards"):
        monkeypatch.setattr(f"legalrr.{module}.key_digest", lambda key: 7)
    store = fill(tmp_path, 400, unindexed=FEW)
    assert [store[f"key {number}"] for number in range(400)] == list(range(400))
    assert "other" not in store


def test_without_an_index_that_can_be_written_all_records_are_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "index").write_text("a file")
    with caplog.at_level(logging.INFO, "legalrr"):
        store = fill(tmp_path, FEW * SPILL * 3, unindexed=FEW)
    assert "the index cannot be written" in caplog.text
    assert "kept in memory" not in caplog.text
    check_all(store, FEW * SPILL * 3)
    check_all(Store(tmp_path, {}, unindexed=FEW), FEW * SPILL * 3)

    def full(**_: object) -> None:
        raise OSError(28, "full")

    monkeypatch.setattr("tempfile.TemporaryFile", full)
    with caplog.at_level(logging.INFO, "legalrr"):
        check_all(Store(tmp_path, {}, unindexed=FEW), FEW * SPILL * 3)
    assert "kept in memory" in caplog.text


def check_all(store: Store, number: int) -> None:
    assert len(store) == number
    assert [store[f"key {key}"] for key in range(number)] == list(range(number))


def test_a_folder_that_is_read_only_is_left_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(tmp_path, 60)
    before = sorted(tmp_path.rglob("*"))
    monkeypatch.setattr(os, "access", lambda *_: False)
    check_all(Store(tmp_path, {}, unindexed=FEW), 60)
    assert sorted(tmp_path.rglob("*")) == before


def test_a_disk_that_is_full_midway_leaves_no_file_and_the_records_are_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = fill(tmp_path, 4, unindexed=FEW)
    before = index_files(tmp_path)

    def full(_: int) -> None:
        raise OSError(28, "full")

    written = StoreIndex._write_shared

    def write(*arguments: Any) -> IndexFile:
        with monkeypatch.context() as context:
            context.setattr(os, "fsync", full)
            return written(*arguments)

    monkeypatch.setattr(StoreIndex, "_write_shared", write)
    for key in range(4, 20):
        store.add([(f"key {key}", key)])
    check_all(store, 20)
    assert index_files(tmp_path) == before
    assert not list((tmp_path / "index").glob(".*"))


LOCKED = """
import sys
from pathlib import Path
from legalrr.claims import Claims
claims = Claims(Path(sys.argv[1]) / "index" / "lock")
print(claims.take(["index"]), flush=True)
sys.stdin.read()
"""


def test_while_another_process_writes_the_index_a_process_goes_on_without(tmp_path: Path) -> None:
    pytest.importorskip("fcntl")
    (tmp_path / "index").mkdir()
    other = subprocess.Popen(
        [sys.executable, "-c", LOCKED, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    with other:
        assert other.stdout is not None
        assert other.stdout.readline() == "{'index'}\n"
        store = fill(tmp_path, 50, unindexed=FEW)
        assert not index_files(tmp_path)
        check_all(store, 50)
        other.kill()
    # What it kept for itself goes into the index of all.
    store.add([(f"key {key}", key) for key in range(50, 60)])
    check_all(store, 60)
    (path,) = index_files(tmp_path)
    assert IndexFile(path.open("rb"), path.name).entries == 60


def test_a_file_that_another_process_has_merged_meanwhile_is_not_missed(tmp_path: Path) -> None:
    first = fill(tmp_path, 5, unindexed=FEW)
    other = Store(tmp_path, {}, unindexed=FEW)
    first.add([(f"key {key}", key) for key in range(5, 30)])
    assert other["key 4"] == 4
    other.refresh()
    check_all(other, 30)
    other.add([(f"key {key}", key) for key in range(30, 40)])
    check_all(other, 40)
    first.refresh()
    check_all(first, 40)


def test_a_shard_that_was_removed_under_its_writer_is_replaced(tmp_path: Path) -> None:
    store = Store(tmp_path, {}, unindexed=FEW)
    store.add([("a", 1)])
    next(tmp_path.glob("*.jsonl")).unlink()
    store.add([("b", 2)])
    store.refresh()
    assert "a" not in store
    assert store["b"] == 2
    assert records(tmp_path) == {"b": 2}


WRITER = """
import sys
from pathlib import Path
from legalrr.store import Store
store = Store(Path(sys.argv[1]), {}, unindexed=3)
for number in range(40):
    store.add([(f"{sys.argv[2]} {number}", number), (f"both {number}", number)])
    store.refresh()
    assert all(store[f"{sys.argv[2]} {one}"] == one for one in range(number))
"""


def test_many_writers_index_the_same_store_at_once(tmp_path: Path) -> None:
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, str(tmp_path), name]) for name in "abc"]
    assert [writer.wait() for writer in writers] == [0, 0, 0]
    for store in (Store(tmp_path, {}, unindexed=FEW), Store(tmp_path, {})):
        assert len(store) == 4 * 40
        assert all(store[f"{name} {number}"] == number for name in ("a", "b", "c", "both") for number in range(40))
    assert len(list(tmp_path.glob("*.jsonl"))) == 3
    assert not list((tmp_path / "index").glob(".*"))
