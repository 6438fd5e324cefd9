"""A killed sweep resumes: same tables, no finished call made twice. Two equal sweeps at once make each call once."""

import json
from collections import Counter
from pathlib import Path

import pytest
from kill_test import (
    CONCURRENCY,
    CountingServer,
    Fault,
    Start,
    SweepRunner,
    check_calls,
    count_stored,
    kill_sweeps,
    read_tables,
)

KILLS = 2


def test_killed_sweeps_have_the_tables_of_an_undisturbed_one(tmp_path: Path) -> None:
    found = kill_sweeps(tmp_path, kills=KILLS, seed=7)
    assert found.kills == KILLS
    assert found.distinct > 8
    assert 0 <= found.repeated <= KILLS * CONCURRENCY


@pytest.mark.parametrize(
    ("before", "after", "asked"),
    [("ab", "ab", "a"), ("", "ab", "aba"), ("", "a", "abcde")],
)
def test_a_call_that_is_made_twice_is_a_fault(before: str, after: str, asked: str) -> None:
    start = Start(name="x", before=frozenset(before), after=frozenset(after))
    with pytest.raises(Fault):
        check_calls(start, list(asked))
    check_calls(start, [])


def test_two_equal_sweeps_at_once_make_each_call_once(tmp_path: Path) -> None:
    with CountingServer(seconds=0.02) as server:
        runner = SweepRunner(server)
        both = [
            runner.sweep(tmp_path / "runs", name, f"hydra.sweep.dir={tmp_path}/{name}/sweep/0") for name in ("a", "b")
        ]
        alone = runner.sweep(tmp_path / "alone", "alone")
        for process in (*both, alone):
            process.join()
            assert process.exitcode == 0
    asked = Counter(server.asked["a"] + server.asked["b"])
    assert set(asked) == set(server.asked["alone"]) == set(count_stored(tmp_path / "runs"))
    assert set(asked.values()) == {1}
    assert set(count_stored(tmp_path / "runs").values()) == {1}
    for name in ("a", "b"):
        assert read_tables(tmp_path / name) == read_tables(tmp_path / "alone")
    made = {
        name: sum(json.loads(path.read_text("utf-8"))["calls"]["made"] for path in (tmp_path / name).rglob("run.json"))
        for name in ("a", "b")
    }
    assert made == {name: len(server.asked[name]) for name in ("a", "b")}
