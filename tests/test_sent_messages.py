"""Messages of a row are restored to exactly what was sent, from references to texts that other files hold."""

import json
from collections.abc import Mapping
from dataclasses import replace
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from legalrr.annotate.annotate import LAYOUTS, Annotate
from legalrr.errors import UserError
from legalrr.predictions import Prediction
from legalrr.records import (
    Block,
    Case,
    CompletedTurn,
    Completion,
    Document,
    Judgment,
    Message,
    Page,
    Prompt,
    PromptTurn,
    Quote,
)
from legalrr.sent_messages import MessageEncoder, restore
from legalrr.truncate import render_text
from legalrr.verdict import BLANK

WORDS = "The appellant, a tenant of thirty years, says that no notice was served upon him."
LINES = st.sampled_from(["", "x", WORDS, f" {WORDS} ", "Answer with one word only, YES or NO.", "\ud83d"])
TEXT = st.lists(LINES, max_size=5).map("\n".join)
PAGES = tuple(Page(path="a.pdf", number=n, sha256="ab" * 32, start=0, end=0, dpi=72) for n in range(3))


def document(judgment: Judgment, cuts: list[int], *, headings: bool = False) -> Document:
    at = sorted({min(cut, len(judgment.text)) for cut in cuts})
    roles = ("FAC", "FAC", "ISSUE")
    blocks = [
        Block(role=roles[n % 3], start=start, text=judgment.text[start:end])
        for n, (start, end) in enumerate(pairwise(at))
    ]
    return Document(id=judgment.id, scheme="build", headings=headings, blocks=tuple(blocks))


def completion(prompt: Prompt, answer: str, *, asked: int | None = None) -> Completion:
    turns = [CompletedTurn(name=turn.name, text=answer, finish_reason="stop") for turn in prompt.turns[:asked]]
    if prompt.blank is not None:
        turns.insert(0, CompletedTurn(name=BLANK, text="YES", finish_reason="stop"))
    return Completion(id="j", turns=tuple(turns))


def row(encoder: MessageEncoder, case: Case, done: Completion) -> Prediction:
    """A row as it is read from its file."""
    pages = [page.seen() for page in case.document.pages]
    messages, earlier = encoder.encode(case, done, pages)
    shown = [[block.role, block.start, block.start + len(block.text)] for block in case.document.blocks]
    turns = [
        {"name": t.name, "text": t.text, "prompt_tokens": 1, "cached_tokens": 0, "new_tokens": 1} for t in done.turns
    ]
    made = Prediction(
        id="j",
        verdict="allowed",
        reason="matched",
        turns=turns,
        messages=messages,
        earlier=earlier,
        shown=shown,
        pages={"shown": pages},
    )
    return Prediction.from_json(json.loads(json.dumps(made.to_json())), where="test")


def sent(case: Case, done: Completion) -> tuple[list[Any], dict[str, list[Any]]]:
    """What was sent: the last conversation, and the others that are no prefix of it."""
    answers = {turn.name: turn.text for turn in done.turns if turn.name != BLANK}
    turns = {turn.name: [m.fill(answers) for m in turn.messages] for turn in case.prompt.turns if turn.name in answers}
    last = list(turns.values())[-1] if turns else []
    if case.prompt.blank is not None:
        turns = {BLANK: [m.fill(answers) for m in case.prompt.blank.messages], **turns}
    return last, {name: one for name, one in turns.items() if one != last[: len(one)]}


def check(encoder: MessageEncoder, case: Case, done: Completion) -> Prediction:
    made = row(encoder, case, done)
    full = restore(made, text=case.judgment.text, lines=json.loads(json.dumps(encoder.lines)), where="test")
    messages, earlier = sent(case, done)
    assert full.messages == messages
    assert {one["turn"]: one["messages"] for one in full.earlier} == earlier
    assert restore(full, text=None, lines=(), where="test").messages == messages
    return made


@given(
    text=TEXT,
    cuts=st.lists(st.integers(0, 400), max_size=6),
    headings=st.booleans(),
    around=st.lists(st.one_of(TEXT, st.sampled_from(["document", "quote", "page", "other page"])), max_size=6),
    other=TEXT,
    answer=TEXT,
    learned=st.booleans(),
)
def test_every_message_is_restored(
    text: str, cuts: list[int], headings: bool, around: list[str], other: str, answer: str, learned: bool
) -> None:
    judgment = Judgment(id="j", text=text)
    shown = document(judgment, cuts, headings=headings)
    named: Mapping[str, Any] = {
        "document": render_text(shown),
        "quote": Quote(turn="analysis"),
        "page": PAGES[0],
        "other page": PAGES[2],
    }
    parts = tuple(named.get(one, one) for one in around)
    first = (Message(role="user", parts=(other, *(one for one in parts if not isinstance(one, Quote)))),)
    last = (*first[: len(cuts) % 2], Message(role="user", parts=parts))
    turns = (
        PromptTurn(name="analysis", messages=first, max_new_tokens=9),
        PromptTurn(name="answer", messages=last, max_new_tokens=9),
    )
    pictured = any(isinstance(one, Page) for one in parts)
    shown = replace(shown, pages=PAGES[:2] if pictured else ())
    case = Case(judgment=judgment, document=shown, prompt=Prompt(id="j", turns=turns))
    check(MessageEncoder(case if learned else None), case, completion(case.prompt, answer))


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("switches", [{"chain": True, "define": True}, {"direct": True}, {}], ids=str)
@pytest.mark.parametrize("system", ["own", "first_user"])
def test_the_prompts_of_all_layouts_are_restored_from_small_rows(
    layout: str, switches: Mapping[str, bool], system: str
) -> None:
    annotate = Annotate(layout=layout, system=system, **switches)  # type: ignore[arg-type]
    encoder = None
    for number in range(2):
        sentences = [f"Sentence {number}.{n} of the judgment is about a horse that was lame." for n in range(60)]
        judgment = Judgment(id="j", text=" ".join(sentences), petitioner=f"Petitioner {number}")
        shown = document(judgment, [0, 900, 1700, 2600], headings=number == 1)
        case = Case(judgment=judgment, document=shown, prompt=annotate.annotate(judgment, shown))
        encoder = encoder or MessageEncoder(case)
        for asked in range(1, len(case.prompt.turns) + 1):
            made = check(encoder, case, completion(case.prompt, "A horse has to be sound. \ud83d", asked=asked))
            conversations = 1 + len(made.earlier)
            assert len(json.dumps([made.messages, made.earlier])) < 900 * conversations


def test_a_document_whose_words_are_not_those_of_the_judgment_stays_as_it_is() -> None:
    judgment = Judgment(id="j", text=WORDS)
    shown = Document(id="j", scheme="build", headings=False, blocks=(Block(role="FAC", start=0, text=WORDS.upper()),))
    turn = PromptTurn(name="answer", messages=(Message(role="user", parts=(WORDS.upper(),)),), max_new_tokens=1)
    case = Case(judgment=judgment, document=shown, prompt=Prompt(id="j", turns=(turn,)))
    made = check(MessageEncoder(), case, completion(case.prompt, "YES"))
    assert made.messages[0]["parts"] == [WORDS.upper()]


def test_a_baseline_has_no_messages() -> None:
    judgment = Judgment(id="j", text=WORDS)
    case = Case(judgment=judgment, document=document(judgment, []), prompt=Prompt(id="j", turns=()))
    done = Completion(id="j", turns=(CompletedTurn(name="answer", text="YES", finish_reason="stop"),))
    assert MessageEncoder().encode(case, done) == ([], [])


@pytest.mark.parametrize(
    ("part", "said"),
    [
        ({"lines": [0, 1]}, "refers to 0 to 1 of prompt_lines"),
        ({"shown": [1, 2]}, "refers to 1 to 2 of shown"),
        ({"judgment": [3, 99]}, "refers to 3 to 99 of the judgment"),
        ({"turn": "ratio"}, "no answer of turn 'ratio'"),
        ({"page": 0}, "refers to 0 to 1 of pages.shown"),
        ({"page": 0, "turn": "answer"}, "is no part of a message"),
        ({"pages": 0}, "is no part of a message"),
        ({"lines": [-1, 1]}, "messages[0].parts[0].lines[0]' is -1"),
        ({}, "is no part of a message"),
    ],
)
def test_a_part_that_refers_to_nothing_is_named(part: Mapping[str, Any], said: str) -> None:
    turn = {"name": "answer", "text": "YES", "prompt_tokens": 1, "cached_tokens": 0, "new_tokens": 1}
    damaged = {
        "id": "j",
        "verdict": "allowed",
        "reason": "matched",
        "turns": [turn],
        "shown": [["FAC", 0, 4]],
        "messages": [{"role": "user", "parts": [part]}],
    }
    with pytest.raises(UserError) as caught:
        restore(Prediction.from_json(damaged, where="p:1"), text="word", lines=(), where="p:1")
    assert said in caught.value.what
    assert caught.value.where == "p:1"


def test_a_missing_text_is_named_with_its_cure() -> None:
    made = Prediction(
        id="j",
        verdict="allowed",
        reason="matched",
        turns=[],
        shown=[["FAC", 0, 4]],
        messages=[{"role": "user", "parts": [{"shown": [0, 1]}]}],
    )
    with pytest.raises(UserError, match=r"p:1: the messages refer to the text of the judgment.*copy the file"):
        restore(made, text=None, lines=(), where="p:1")
