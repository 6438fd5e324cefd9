"""Claims, and answers that two processes need at the same time."""

import logging
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from legalrr import claims, conversations
from legalrr.conversations import answer_calls
from legalrr.protocols import Call, CallQueue, Reply
from legalrr.store import Store

OTHER = """
import sys
from pathlib import Path
from legalrr.store import Store
store = Store(Path(sys.argv[1]), {})
print(*sorted(store.claim(sys.argv[2:])), flush=True)
for line in sys.stdin:
    store.add([(line.strip(), {"text": "of the other", "finish_reason": "stop", "prompt_tokens": 1, "cached_tokens": 0,
                               "new_tokens": 1, "seconds": 0.0})])
    print("stored", flush=True)
"""
Other = subprocess.Popen[str]


@pytest.fixture
def claimed(tmp_path: Path) -> Iterator[Callable[..., Other]]:
    """Function that starts another process: it claims keys in a store, and stores an answer to each key it is given."""
    started = []

    def start(*keys: str) -> Other:
        other = subprocess.Popen(
            [sys.executable, "-c", OTHER, str(tmp_path), *keys],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            bufsize=1,
        )
        started.append(other)
        assert read(other).split() == sorted(keys)
        return other

    yield start
    for other in started:
        with other:
            other.kill()


def read(other: Other) -> str:
    assert other.stdout is not None
    return other.stdout.readline()


def write(other: Other, line: str) -> None:
    assert other.stdin is not None
    other.stdin.write(line)


def test_a_claimed_key_cannot_be_claimed_by_another_process_until_that_ends(tmp_path, claimed):
    store = Store(tmp_path, {})
    other = claimed("a", "b")
    assert store.claim(["a", "b", "c"]) == {"c"}
    other.kill()
    other.wait()
    assert store.claim(["a", "b", "c"]) == {"a", "b", "c"}
    store.close()


def test_released_and_closed_claims_are_free(tmp_path, claimed):
    store = Store(tmp_path, {})
    assert store.claim(["a", "b"]) == {"a", "b"}
    store.release(["a", "never claimed"])
    claimed("a")
    store.close()
    claimed("b")
    store.release(["b"])


def test_claims_alone_are_not_records(tmp_path):
    store = Store(tmp_path, {"stage": "x"})
    store.claim(["a"])
    store.close()
    assert len(Store(tmp_path, {})) == 0
    assert {path.name for path in tmp_path.iterdir()} == {"claims", "key.json"}


def test_refresh_finds_what_others_added_since(tmp_path, claimed):
    store, other = Store(tmp_path, {}), claimed()
    store.add([("mine", 1)])
    for key in "ab":
        write(other, f"{key}\n")
        assert read(other) == "stored\n"
        assert key not in store
        store.refresh()
        assert store[key]["text"] == "of the other"
    assert store["mine"] == 1
    assert len(store) == 3


def test_a_line_that_is_being_written_is_read_when_it_is_complete(tmp_path):
    store = Store(tmp_path, {})
    shard = tmp_path / "0.jsonl"
    line = b'{"key": "b", "value": "\xe0\xa4\xa8"}\n'
    for cut in range(len(line)):
        shard.write_bytes(b'{"key": "a", "value": 1}\n' + line[:cut])
        store.refresh()
        assert ("a" in store, "b" in store) == (True, False)
    shard.write_bytes(b'{"key": "a", "value": 1}\n' + line)
    store.refresh()
    assert store["b"] == "\u0928"


def test_a_damaged_line_found_later_has_its_number(tmp_path):
    store = Store(tmp_path, {})
    shard = tmp_path / "0.jsonl"
    shard.write_bytes(b'{"key": "a", "value": 1}\n')
    store.refresh()
    shard.write_bytes(b'{"key": "a", "value": 1}\n{"key": "b", "value": 1}\n{\n')
    with pytest.raises(Exception, match=r"0\.jsonl:3: damaged record"):
        store.refresh()


class Counting:
    """Engine that records the keys of its calls."""

    def __init__(self) -> None:
        self.asked: list[str] = []

    holds = None

    def answer(self, queue: CallQueue) -> Iterator[list[tuple[str, Reply]]]:
        for call in queue.take():
            self.asked.append(call.key)
            answer = Reply(
                text="mine", finish_reason="stop", prompt_tokens=1, cached_tokens=0, new_tokens=1, seconds=0.0
            )
            yield [(call.key, answer)]


def calls(keys: str) -> list[Call]:
    return [Call(key=key, messages=({"role": "user", "content": key},), max_new_tokens=4) for key in keys]


def test_calls_of_another_process_are_waited_for_after_the_own_ones(tmp_path, claimed, monkeypatch, caplog):
    monkeypatch.setattr(conversations, "POLL", 0.01)
    other, engine, store = claimed("b", "d"), Counting(), Store(tmp_path, {})
    texts: dict[str, str] = {}
    with caplog.at_level(logging.INFO, "legalrr"):
        for key, reply in answer_calls(calls("abcd"), store, engine, fresh=set()):
            texts[key] = reply.text
            if set(texts) == {"a", "c"}:
                # All others are done, so the next batch is that of the other process.
                threading.Timer(0.05, write, (other, "b\nd\n")).start()
    assert engine.asked == ["a", "c"]
    assert texts == {"a": "mine", "b": "of the other", "c": "mine", "d": "of the other"}
    assert caplog.messages == ["another process makes 2 of these calls: waiting for its answers"]


def test_calls_of_a_process_that_dies_are_taken_over(tmp_path, claimed, monkeypatch):
    monkeypatch.setattr(conversations, "POLL", 0.01)
    other, engine, store = claimed("b", "d"), Counting(), Store(tmp_path, {})
    write(other, "b\n")
    read(other)
    threading.Timer(0.05, other.kill).start()
    got = dict(answer_calls(calls("abcd"), store, engine, fresh=set()))
    assert engine.asked == ["a", "c", "d"]
    assert {key: reply.text for key, reply in got.items()} == {
        "a": "mine",
        "b": "of the other",
        "c": "mine",
        "d": "mine",
    }


@pytest.mark.parametrize("error", [OSError(37, "No locks available"), OSError(95, "Operation not supported")])
def test_where_files_cannot_be_locked_every_claim_is_granted_and_said(tmp_path, claimed, monkeypatch, caplog, error):
    fcntl = pytest.importorskip("fcntl")
    claimed("a")

    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr(fcntl, "lockf", fail)
    store = Store(tmp_path, {})
    with caplog.at_level(logging.INFO, "legalrr"):
        assert store.claim(["a", "b"]) == {"a", "b"}
        store.release(["a", "b"])
        store.close()
    (line,) = caplog.messages
    assert line.startswith(f"{tmp_path / 'claims'} cannot be locked ({error})")


def test_a_file_that_cannot_be_opened_does_not_look_like_a_claim_of_another_process(tmp_path, caplog):
    (tmp_path / "claims").mkdir()
    with caplog.at_level(logging.INFO, "legalrr"):
        assert Store(tmp_path, {}).claim(["a"]) == {"a"}
    assert "cannot be locked" in caplog.text


def test_offsets_are_in_the_range_of_a_lock():
    assert all(0 <= claims._offset(key) < 2**62 for key in ("", "a", "\ud800", "k" * 999))
