"""Conversations that run in step."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from legalrr.backbones.echo import EchoBackbone
from legalrr.predictors import Conversation, run_conversations
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
