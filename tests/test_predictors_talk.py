"""Talks that are led in step."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from legalrr.backbones.echo import EchoBackbone
from legalrr.predictors import Conversation, run_conversations
from legalrr.protocols import Call, Engine, Reply
from legalrr.records import Completion
from legalrr.store import Store


@dataclass
class Noting:
    """Passes calls on and keeps them."""

    engine: Engine
    asked: list[Call] = field(default_factory=list)

    def generate(self, calls: Sequence[Call]) -> Iterator[list[tuple[str, Reply]]]:
        self.asked += calls
        return self.engine.generate(calls)


def call(key: str, *, final: bool) -> Call:
    return Call(key=key, messages=({"role": "user", "content": key},), max_new_tokens=4, final=final)


def talk(*calls: Call) -> Conversation:
    for one in calls:
        reply = yield one
        assert reply.prompt_tokens
    return Completion(id=calls[-1].key, turns=())


def led(tmp_path: Path, talks: dict[str, Conversation]) -> list[Call]:
    engine = Noting(EchoBackbone().load())
    store = Store(tmp_path, {"stage": "calls"})
    list(run_conversations(talks, store, engine, fresh=set(), used=lambda key: None, advance=lambda count: None))
    store.close()
    return engine.asked


def test_a_call_that_only_some_conversations_end_with_is_not_final(tmp_path):
    short, long = (call("a", final=True),), (call("a", final=False), call("b", final=True))
    for name, talks in (("one", (short, long)), ("other", (long, short))):
        asked = led(tmp_path / name, {str(n): talk(*calls) for n, calls in enumerate(talks)})
        assert [(one.key, one.final) for one in asked] == [("a", False), ("b", True)]


def test_a_call_that_all_conversations_end_with_is_final(tmp_path):
    asked = led(tmp_path, {name: talk(call("a", final=True)) for name in "xy"})
    assert [(one.key, one.final) for one in asked] == [("a", True)]
