import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from legalrr.errors import UserError
from legalrr.shards import read_lines
from legalrr.store import Store

# The decoder of a model can return a surrogate.
characters = st.text(st.characters(codec=None, exclude_categories=()), max_size=12)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | characters,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(characters, inner, max_size=3),
    max_leaves=8,
)


def only_shard(folder: Path) -> Path:
    (shard,) = folder.glob("*.jsonl")
    return shard


@given(st.dictionaries(characters, values, max_size=6))
def test_any_keys_and_values_round_trip(records: dict[str, Any]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        store = Store(Path(folder), {})
        store.add(records.items())
        store.close()
        again = Store(Path(folder), {})
        assert {key: again[key] for key in records} == records
        assert len(again) == len(store) == len(records)


def test_records_are_available_at_once_and_after_reopening(tmp_path: Path) -> None:
    store = Store(tmp_path / "s", {"class": "x"})
    assert "a" not in store
    store.add([("a", 1), ("b", {"x": [None, "é"]})])
    assert "a" in store
    assert store["b"] == {"x": [None, "é"]}
    assert Store(tmp_path / "s", {})["b"] == {"x": [None, "é"]}


def test_missing_record_raises(tmp_path: Path) -> None:
    with pytest.raises(KeyError):
        Store(tmp_path, {})["a"]


def test_nothing_is_written_when_nothing_is_added(tmp_path: Path) -> None:
    store = Store(tmp_path / "s", {"class": "x"})
    store.add([])
    store.add(iter(()))
    store.close()
    assert not (tmp_path / "s").exists()


def test_key_file_has_the_description_and_is_written_once(tmp_path: Path) -> None:
    first = Store(tmp_path, {"class": "x", "name": "न्याय"})
    first.add([("a", 1)])
    second = Store(tmp_path, {"class": "y"})
    second.add([("b", 1)])
    assert json.loads((tmp_path / "key.json").read_text(encoding="utf-8")) == {"class": "x", "name": "न्याय"}
    assert not list(tmp_path.glob("*.part"))


def test_each_batch_is_on_disk_before_add_returns(tmp_path: Path) -> None:
    store = Store(tmp_path, {})
    store.add([("a", 1)])
    store.add([("b", 2)])
    assert [line[:2] for line in read_lines(only_shard(tmp_path))] == [("a", 1), ("b", 2)]


def test_incomplete_last_line_is_ignored_wherever_it_was_cut(tmp_path: Path) -> None:
    store = Store(tmp_path, {})
    store.add([("a", "first"), ("b", "न्याय \U0001f9d1")])
    store.close()
    shard = only_shard(tmp_path)
    whole = shard.read_bytes()
    first = whole.index(b"\n") + 1
    for cut in range(first, len(whole)):
        shard.write_bytes(whole[:cut])
        torn = Store(tmp_path, {})
        assert torn["a"] == "first"
        assert "b" not in torn, cut
    for cut in range(first):
        shard.write_bytes(whole[:cut])
        assert len(Store(tmp_path, {})) == 0, cut


def test_record_of_an_incomplete_line_is_added_to_a_new_shard(tmp_path: Path) -> None:
    store = Store(tmp_path, {})
    store.add([("a", 1), ("b", 2)])
    store.close()
    shard = only_shard(tmp_path)
    shard.write_bytes(shard.read_bytes()[:-3])
    again = Store(tmp_path, {})
    again.add([("b", 3)])
    again.close()
    assert len(list(tmp_path.glob("*.jsonl"))) == 2
    whole = Store(tmp_path, {})
    assert (whole["a"], whole["b"]) == (1, 3)


@pytest.mark.parametrize(
    "damaged", [b"{", b"", b"[1]", b"3", b'{"key": "a"}', b'{"value": 1}', b'{"key": "\xff", "value": 1}']
)
def test_damaged_line_before_the_last_raises_with_file_and_line(tmp_path: Path, damaged: bytes) -> None:
    good = b'{"key": "a", "value": 1}\n'
    shard = tmp_path / "0.jsonl"
    shard.write_bytes(good + damaged + b"\n" + good)
    with pytest.raises(UserError, match=r"0\.jsonl:2: damaged record"):
        Store(tmp_path, {})


def test_two_writers_have_separate_shards_and_both_are_read(tmp_path: Path) -> None:
    one, two = Store(tmp_path, {}), Store(tmp_path, {})
    one.add([("a", 1)])
    two.add([("b", 2)])
    one.add([("c", 3)])
    assert "b" not in one
    one.close()
    two.close()
    assert len(list(tmp_path.glob("*.jsonl"))) == 2
    merged = Store(tmp_path, {})
    assert [merged[key] for key in "abc"] == [1, 2, 3]


def test_first_shard_by_name_counts_for_records_computed_twice(tmp_path: Path) -> None:
    # Record i is in the shards i, i + 1, ...; written in no order, so that the folder's own order is not that of names.
    for name in (7, 2, 9, 0, 5, 1, 8, 3, 6, 4):
        lines = [json.dumps({"key": str(i), "value": name}) + "\n" for i in range(name + 1)]
        (tmp_path / f"{name}.jsonl").write_text("".join(lines))
    store = Store(tmp_path, {})
    assert {key: store[key] for key in map(str, range(10))} == {str(i): i for i in range(10)}


def test_adding_a_key_again_changes_nothing_now_or_later(tmp_path: Path) -> None:
    store = Store(tmp_path, {})
    store.add([("a", 1)])
    store.add([("a", 2)])
    assert store["a"] == 1
    assert Store(tmp_path, {})["a"] == 1
    assert len(store) == 1


def test_closed_store_can_be_read_and_written_again(tmp_path: Path) -> None:
    store = Store(tmp_path, {})
    store.close()
    store.add([("a", 1)])
    store.close()
    store.close()
    assert store["a"] == 1
    store.add([("b", 2)])
    store.close()
    assert len(Store(tmp_path, {})) == 2


def test_value_that_json_cannot_represent_raises_and_writes_nothing(tmp_path: Path) -> None:
    store = Store(tmp_path, {})
    store.add([("a", 1)])
    with pytest.raises(TypeError):
        store.add([("b", 2), ("c", {1})])
    assert "b" not in store
    store.add([("d", 4)])
    assert [line[:2] for line in read_lines(only_shard(tmp_path))] == [("a", 1), ("d", 4)]
