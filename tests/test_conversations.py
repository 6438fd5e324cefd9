"""Conversations under way at the same time."""

import itertools
import random
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from legalrr.backbones.echo import EchoBackbone
from legalrr.conversations import CallList, Conversation, ConversationGroup, answer_calls, run_conversations
from legalrr.errors import UserError
from legalrr.protocols import Call, CallQueue, Engine, Reply
from legalrr.records import Completion
from legalrr.store import Store


@dataclass
class Recorder:
    """Engine that records its calls."""

    engine: Engine
    asked: list[Call] = field(default_factory=list)

    holds = None

    def answer(self, queue: CallQueue) -> Iterator[list[tuple[str, Reply]]]:
        while calls := queue.take():
            self.asked += calls
            yield from self.engine.answer(CallList(calls))


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
        run_conversations(
            [ConversationGroup(conversations=conversations)],
            store,
            engine,
            fresh=set(),
            used=lambda key: None,
            advance=lambda count: None,
        )
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

    holds = None

    def answer(self, queue: CallQueue) -> Iterator[list[tuple[str, Reply]]]:
        for one in queue.take():
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
        made = list(answer_calls(calls, store, engine, fresh=set(), retried=retried))
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


@dataclass
class Slots:
    """Engine with places for `room` calls (None: for all that wait); `ends` gives the place of each that ends."""

    room: int | None
    ends: Iterator[int]
    holds: int | None = None
    asked: list[str] = field(default_factory=list)
    under_way: list[list[str]] = field(default_factory=list)
    """Keys under way before each answer."""

    def answer(self, queue: CallQueue) -> Iterator[list[tuple[str, Reply]]]:
        held: list[str] = []
        while True:
            taken = queue.take(None if self.room is None else self.room - len(held))
            held += [one.key for one in taken]
            self.asked += [one.key for one in taken]
            if not held:
                return
            self.under_way.append(list(held))
            key = held.pop(next(self.ends) % len(held))
            yield [(key, reply(f"answer to {key}"))]


def talk(*keys: str) -> Conversation:
    """Make calls with these keys; the result has their answers as id."""
    texts = []
    for key in keys:
        answer = yield call(key, final=key == keys[-1])
        texts.append(answer.text)
    return Completion(id="; ".join(texts), turns=())


def lead(folder: Path, engine: Slots, groups: list[dict[str, tuple[str, ...]]], **options) -> dict[str, str]:
    """Run conversations, given by name as the keys of their calls, in a new store; return the answers by name."""
    store = Store(folder, {})
    made = (
        ConversationGroup(conversations={name: talk(*keys) for name, keys in group.items()}, tokens=lambda: 10)
        for group in groups
    )
    quiet = {"fresh": set(), "used": lambda key: None, "advance": lambda count: None}
    try:
        return {name: found.id for name, found in run_conversations(made, store, engine, **(quiet | options))}
    finally:
        store.close()


def test_a_conversation_does_not_wait_for_the_others(tmp_path):
    engine = Slots(2, iter([0, 0, 1, 1, 0]))
    lead(tmp_path, engine, [{"short": ("a",)}, {"long": ("b1", "b2", "b3")}, {"slow": ("c",)}])
    assert engine.under_way == [["a", "b1"], ["b1", "c"], ["c", "b2"], ["c", "b3"], ["c"]]


groups_of_keys = st.lists(
    st.lists(st.lists(st.sampled_from("abcdefg"), min_size=1, max_size=4, unique=True), max_size=3), max_size=5
)


@given(groups_of_keys, st.integers(1, 6) | st.none(), st.integers(0, 9), st.sampled_from([None, 0, 25]))
def test_any_order_of_answers_gives_the_same_results_and_makes_each_call_once(
    tmp_path_factory, groups, room, seed, holds
):
    places = random.Random(seed)
    engine = Slots(room, iter(lambda: places.randrange(100), None), holds=holds)
    named = [{f"{g}.{c}": tuple(keys) for c, keys in enumerate(group)} for g, group in enumerate(groups)]
    folder, used, advanced = tmp_path_factory.mktemp("store"), [], []
    got = lead(folder, engine, named, used=used.append, advance=advanced.append, most=2)
    assert got == {
        name: "; ".join(f"answer to {key}" for key in keys) for group in named for name, keys in group.items()
    }
    wanted = [key for group in groups for keys in group for key in keys]
    assert sorted(engine.asked) == sorted(set(wanted))
    assert (sorted(used), sum(advanced)) == (sorted(wanted), len(wanted))
    again = Slots(room, iter([]))
    assert lead(folder, again, named) == got
    assert again.asked == []


def test_groups_start_only_while_the_states_of_all_under_way_fit(tmp_path):
    groups = [{name: (f"{name}1", f"{name}2")} for name in "abcd"]
    for holds, most in ((25, 2), (5, 1), (None, 4), (0, 4)):
        engine = Slots(None, itertools.repeat(0), holds=holds)
        lead(tmp_path / str(holds), engine, groups)
        assert max(map(len, engine.under_way)) == most


def test_no_more_groups_are_under_way_than_allowed_unless_the_engine_asks_for_more_calls(tmp_path):
    groups = [{name: (f"{name}1", f"{name}2")} for name in "abcd"]
    for room, most in ((None, 2), (3, 3)):
        engine = Slots(room, itertools.repeat(0))
        lead(tmp_path / str(room), engine, groups, most=2)
        assert max(map(len, engine.under_way)) == most


def test_groups_are_not_made_before_they_are_needed(tmp_path):
    made: list[str] = []

    def groups() -> Iterator[ConversationGroup[str, Completion]]:
        for name in "abc":
            made.append(name)
            yield ConversationGroup(conversations={name: talk(name)})

    seen = []
    store = Store(tmp_path, {})
    for name, _ in run_conversations(
        groups(),
        store,
        Slots(1, itertools.repeat(0)),
        fresh=set(),
        used=lambda key: None,
        advance=lambda count: None,
    ):
        seen.append((name, list(made)))
    store.close()
    assert seen == [("a", ["a"]), ("b", ["a", "b"]), ("c", ["a", "b", "c"])]
