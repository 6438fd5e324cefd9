"""Conversations that run in step."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from legalrr.backbones.echo import EchoBackbone
from legalrr.conversations import Conversation, answer_calls, run_conversations
from legalrr.errors import UserError
from legalrr.protocols import Call, Engine, Reply
from legalrr.records import Completion
from legalrr.store import Store


@dataclass
class Recorder:
    """Engine that records its calls."""

    engine: Engine
    asked: list[Call] = field(default_factory=list)

    def generate(self, calls: Sequence[Call]) -> Iterator[list[tuple[str, Reply]]]:
        self.asked += calls
        return self.engine.generate(calls)


def call(key: str, *, final: bool) -> Call:
    return Call(key=key, messages=({"role": "user", "content": key},), max_new_tokens=4, final=final)


def conversation(*calls: Call) -> Conversation:
    for one in calls:
        reply = yield one
        assert reply.prompt_tokens
    return Completion(id=calls[-1].key, turns=())


def run(tmp_path: Path, conversations: dict[str, Conversation]) -> list[Call]:
    engine = Recorder(EchoBackbone().load())
    store = Store(tmp_path, {"stage": "calls"})
    list(
        run_conversations(conversations, store, engine, fresh=set(), used=lambda key: None, advance=lambda count: None)
    )
    store.close()
    return engine.asked


def test_a_call_that_only_some_conversations_end_with_is_not_final(tmp_path):
    short, long = (call("a", final=True),), (call("a", final=False), call("b", final=True))
    for name, conversations in (("one", (short, long)), ("other", (long, short))):
        asked = run(tmp_path / name, {str(n): conversation(*calls) for n, calls in enumerate(conversations)})
        assert [(one.key, one.final) for one in asked] == [("a", False), ("b", True)]


def test_a_call_that_all_conversations_end_with_is_final(tmp_path):
    asked = run(tmp_path, {name: conversation(call("a", final=True)) for name in "xy"})
    assert [(one.key, one.final) for one in asked] == [("a", True)]


@dataclass
class Filter:
    """Engine of one call per batch that refuses some keys, and fails at the call `fails_at`."""

    refuses: set[str]
    fails_at: int = 0
    asked: list[str] = field(default_factory=list)

    def generate(self, calls: Sequence[Call]) -> Iterator[list[tuple[str, Reply]]]:
        for one in calls:
            self.asked.append(one.key)
            if len(self.asked) == self.fails_at:
                raise UserError("the server is gone")
            error = f"{one.key} is refused" if one.key in self.refuses else None
            text = "" if error else f"answer to {one.key}"
            yield [(one.key, reply(text, error))]


def reply(text: str, error: str | None = None) -> Reply:
    return Reply(
        text=text, finish_reason="stop", prompt_tokens=1, cached_tokens=0, new_tokens=1, seconds=0.0, error=error
    )


def answers(folder: Path, engine: Filter, keys: str, retried: set[str] | None = None) -> dict[str, str | None]:
    """Get the answers in a new store of the folder; return key -> error."""
    store = Store(folder, {})
    calls = [call(key, final=True) for key in keys]
    try:
        made = [pair for b in answer_calls(calls, store, engine, fresh=set(), retried=retried) for pair in b]
    finally:
        store.close()
    assert len(made) == len(keys)
    return {key: reply.error for key, reply in made}


def test_a_refused_call_is_not_made_again(tmp_path):
    engine = Filter({"b"})
    expected = {"a": None, "b": "b is refused", "c": None}
    assert answers(tmp_path, engine, "abc") == expected
    assert answers(tmp_path, engine, "abc") == expected
    assert engine.asked == ["a", "b", "c"]


def test_a_refused_call_is_made_again_once_per_process_on_request(tmp_path):
    assert answers(tmp_path, Filter({"b", "c"}), "abc") == {"a": None, "b": "b is refused", "c": "c is refused"}
    engine, retried = Filter({"c"}), set()
    expected = {"a": None, "b": None, "c": "c is refused"}
    for _ in range(3):
        assert answers(tmp_path, engine, "abc", retried) == expected
    assert engine.asked == ["b", "c"]
    assert answers(tmp_path, engine, "abc") == expected
    assert engine.asked == ["b", "c"]


def test_refusals_before_a_failure_are_stored_only_if_an_answer_followed(tmp_path):
    """A broken server refuses every call until the engine gives up."""
    with pytest.raises(UserError, match="gone"):
        answers(tmp_path, Filter(set("bdef"), fails_at=6), "abcdef")
    engine = Filter(set())
    assert answers(tmp_path, engine, "abcdef") == {**dict.fromkeys("acdef"), "b": "b is refused"}
    assert engine.asked == ["d", "e", "f"]


def test_an_answer_is_stored_without_a_field_for_errors(tmp_path):
    """So that the stores of earlier versions and of this one are alike."""
    answers(tmp_path, Filter({"b"}), "ab")
    store = Store(tmp_path, {})
    assert "error" not in store["a"]
    assert Reply(**store["a"]) == reply("answer to a")
    assert len(store) == 2
