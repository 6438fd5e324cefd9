"""Walks through conversations written by hand."""

from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

from legalrr.backbones.echo import EchoBackbone
from legalrr.conversations import refusal_key
from legalrr.plan.walk import CellUse, Walk
from legalrr.protocols import Call, Reply
from legalrr.records import CompletedTurn, Completion
from legalrr.stage import digest
from legalrr.store import Store

Talk = Generator[Call, Reply, Completion]


def call(*texts: str, limit: int = 10, **more: Any) -> Call:
    roles = ("user", "assistant")
    messages = tuple({"role": roles[at % 2], "content": text} for at, text in enumerate(texts))
    return Call(key=digest([limit, *texts]), messages=messages, max_new_tokens=limit, **more)


def talk(first: str, *questions: str, limit: int = 10) -> Talk:
    """A conversation that ends at an overflow or a refusal, as those of a predictor do."""
    texts, turns = [first], []
    for question in (*questions, None):
        reply = yield call(*texts, limit=limit)
        turns.append(CompletedTurn(name="", text=reply.text, finish_reason=reply.finish_reason))
        if question is None or reply.finish_reason == "overflow" or reply.error is not None:
            break
        texts += [reply.text, question]
    return Completion(id="", turns=tuple(turns))


def walk(store: Store | None = None, *, context: int = 1000, retry_errors: bool = False) -> Walk:
    return Walk(engine=EchoBackbone(context=context).load(), store=store, retry_errors=retry_errors)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store", {})


def stored(text: str, prompt_tokens: int, **more: Any) -> dict[str, Any]:
    return Reply(
        text=text,
        finish_reason="stop",
        prompt_tokens=prompt_tokens,
        cached_tokens=0,
        new_tokens=len(text.split()),
        seconds=1.0,
        **more,
    ).as_record()


def test_two_cells_share_their_first_call() -> None:
    found, uses = walk(), {"one": CellUse(), "other": CellUse()}
    walked = found.judgment({"one": talk("a b c", "d"), "other": talk("a b c", "e f", "g")}, uses)
    assert [len(step) for step in walked.steps] == [1, 2, 1]
    assert len(found.calls) == 4
    assert (uses["one"].calls, uses["one"].tokens, uses["one"].quoted) == (2, 3 + 4, 10)
    assert (uses["other"].calls, uses["other"].tokens, uses["other"].quoted) == (3, 3 + 5 + 6, 10 + 20)
    # a b c, then d or e f, then g; the first answer stands once, the second once.
    assert found.distinct_tokens == 3 + 1 + 2 + 1
    assert found.quoted_once == 20


def test_answers_to_different_calls_are_different() -> None:
    found, uses = walk(), {"one": CellUse(), "other": CellUse()}
    found.judgment({"one": talk("a", "c"), "other": talk("b", "c")}, uses)
    assert len(found.calls) == 4


def test_stored_answers_are_quoted(store: Store) -> None:
    first = call("a b")
    store.add([(first.key, stored("x y z", 2))])
    found, uses = walk(store), {"one": CellUse()}
    walked = found.judgment({"one": talk("a b", "c")}, uses)
    assert (uses["one"].tokens, uses["one"].quoted) == (2 + 6, 0)
    ((second,),) = walked.steps
    # What the store has is not in the cache of the model.
    assert (second.tokens, second.fresh) == (6, 6)
    assert found.calls[first.key].written == 3


def test_a_prompt_beyond_the_context_ends_its_conversation() -> None:
    found, uses = walk(context=12), {"one": CellUse(), "other": CellUse()}
    found.judgment({"one": talk("a b c", "d"), "other": talk("a", "d e f g")}, uses)
    assert (uses["one"].calls, uses["one"].too_long) == (0, 1)
    # With an answer of ten tokens the second turn would not fit: that is not known before.
    assert (uses["other"].calls, uses["other"].too_long, uses["other"].maybe_too_long) == (1, 1, 0)
    nearly, uses = walk(context=16), {"one": CellUse()}
    nearly.judgment({"one": talk("a", "d e")}, uses)
    assert (uses["one"].calls, uses["one"].too_long, uses["one"].maybe_too_long) == (2, 0, 1)


@pytest.mark.parametrize(("retry", "calls"), [(False, 0), (True, 2)])
def test_a_stored_refusal_is_final_unless_it_is_retried(store: Store, retry: bool, calls: int) -> None:
    store.add([(refusal_key(call("a").key), stored("", 0, error="a content filter"))])
    found, uses = walk(store, retry_errors=retry), {"one": CellUse()}
    found.judgment({"one": talk("a", "b")}, uses)
    assert uses["one"].calls == calls


def test_answers_that_are_compared_write_nothing() -> None:
    def compare() -> Talk:
        yield call("a b", limit=0, answers=("YES", "NO"))
        return Completion(id="", turns=())

    found, uses = walk(context=3), {"one": CellUse()}
    found.judgment({"one": compare()}, uses)
    assert (uses["one"].calls, uses["one"].limit) == (1, 0)


def test_an_answer_outside_the_messages_of_the_model_is_read_again() -> None:
    def restate() -> Talk:
        first = yield call("a b")
        yield call(f"a b quoted {first.text} end")
        return Completion(id="", turns=())

    found = walk()
    steps = found.judgment({"one": restate()}, {"one": CellUse()}).steps
    (second,) = steps[1]
    assert (second.tokens, second.fresh, second.fresh_quoted) == (4, 2, 10)


def test_text_parts_of_a_message_with_images_are_counted() -> None:
    class Counting:
        context, holds = 1000, None

        def token_ends(self, text: str) -> list[int]:
            return list(range(1, len(text) + 1))

        def prompt_ids(self, call: Call) -> list[int]:
            parts = [part for message in call.messages for part in message["content"]]
            return [ord(letter) for part in parts if part["type"] == "text" for letter in part["text"]]

    def pictured() -> Talk:
        content = [{"type": "text", "text": "ab"}, {"type": "image", "sha256": "", "number": 1, "dpi": 72}]
        first = yield Call(key=digest("one"), messages=({"role": "user", "content": content},), max_new_tokens=5)
        more = [*content, {"type": "text", "text": first.text}]
        yield Call(key=digest("two"), messages=({"role": "user", "content": more},), max_new_tokens=5)
        return Completion(id="", turns=())

    found, use = Walk(engine=Counting(), store=None, retry_errors=False), CellUse()  # type: ignore[arg-type]
    found.judgment({"one": pictured()}, {"one": use})
    assert (use.tokens, use.quoted) == (4, 5)
