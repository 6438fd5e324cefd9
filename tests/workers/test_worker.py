"""A worker in this process: its engine waits for calls while none is under way, and no longer."""

import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from legalrr.backbones.echo import EchoBackbone
from legalrr.conversations import CallList
from legalrr.errors import UserError
from legalrr.protocols import Call, CallQueue, Reply
from legalrr.workers import worker as worker_module
from legalrr.workers.worker import Feed, Worker


def call(key: str) -> Call:
    return Call(key=key, messages=({"role": "user", "content": f"{key}: YES or NO?"},), max_new_tokens=4)


def test_take_returns_at_once_while_a_call_is_under_way() -> None:
    feed = Feed()
    feed.add([call("a"), call("b")])
    assert [one.key for one in feed.take(1)] == ["a"]
    assert [one.key for one in feed.take()] == ["b"]
    assert feed.take() == []


def test_take_waits_for_a_call_while_none_is_under_way() -> None:
    feed = Feed()
    taken: list[Call] = []
    thread = threading.Thread(target=lambda: taken.extend(feed.take()))
    thread.start()
    feed.add([call("a")])
    thread.join(10)
    assert [one.key for one in taken] == ["a"]


REPLY = ("a", Reply(text="", finish_reason="stop", prompt_tokens=1, cached_tokens=0, new_tokens=0, seconds=0.0))


def test_take_waits_for_what_follows_from_answers_that_ended_together() -> None:
    feed = Feed()
    feed.add([call("a"), call("b"), call("c")])
    feed.take()
    feed.answered([REPLY])
    taken: list[Call] = []
    thread = threading.Thread(target=lambda: taken.extend(feed.take()))
    thread.start()
    # A message that was on its way before the driver saw the replies.
    feed.add([call("d")], seen=0)
    feed.add([call("e"), call("f")], seen=1)
    thread.join(10)
    assert [one.key for one in taken] == ["d", "e", "f"]


def test_take_does_not_wait_for_them_when_there_are_enough_calls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(worker_module, "PATIENCE", 60.0)
    feed = Feed()
    feed.add([call("a"), call("b")])
    feed.take(1)
    feed.answered([REPLY])
    assert [one.key for one in feed.take(1)] == ["b"]


def test_a_closed_feed_drops_what_waits_and_ends() -> None:
    feed = Feed()
    feed.add([call("a")])
    feed.close()
    feed.add([call("b")])
    assert feed.take() == []


def test_replies_are_those_of_the_engine_and_end_when_the_run_is_finished() -> None:
    worker = Worker(EchoBackbone(batch=1), str(Path.cwd()))
    calls = [call("a"), call("b")]
    worker.ask(1, calls)
    found = []
    for batch in worker.answers(1):
        found += batch
        if len(found) == 2:
            worker.finish(1)
    assert found == [one for batch in EchoBackbone().load().answer(CallList(calls)) for one in batch]


def test_messages_of_an_earlier_run_do_not_reach_the_next_one() -> None:
    worker = Worker(EchoBackbone(), str(Path.cwd()))
    worker.ask(1, [call("a")])
    worker.ask(2, [call("b")])
    run = worker.answers(2)
    assert [key for key, _ in next(run)] == ["b"]
    worker.finish(2)
    assert list(run) == []


@dataclass(frozen=True, kw_only=True)
class Failing(EchoBackbone):
    """Its engine fails at the first call of its first run."""

    failed: list[int] = field(default_factory=list, metadata={"runtime": True})

    def load(self) -> Any:
        backbone = self

        class Engine:
            def answer(self, queue: CallQueue) -> Iterator[list[tuple[str, Reply]]]:
                if not backbone.failed:
                    backbone.failed.append(1)
                    raise UserError("bad", where=queue.take()[0].key)
                yield from EchoBackbone().load().answer(queue)

        return Engine()


def test_a_worker_goes_on_after_an_error_of_its_engine() -> None:
    worker = Worker(Failing(), str(Path.cwd()))
    worker.ask(1, [call("a")])
    with pytest.raises(UserError, match="a: bad"):
        list(worker.answers(1))
    worker.ask(2, [call("b")])
    assert [key for key, _ in next(worker.answers(2))] == ["b"]
