"""Planted facts: their distance, reproducibility and recall."""

import random

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from legalrr.backbones.local.measurements import (
    CHOICES,
    LEAD,
    PLANTED,
    QUESTION,
    Fact,
    fact_overhead,
    plant_fact,
    recalls_fact,
)


def tokenise(text: str) -> list[int]:
    return list(text.encode())


@given(distance=st.integers(1, 60), seed=st.integers(0, 9))
def test_the_fact_is_planted_at_the_distance_from_the_question(distance: int, seed: int) -> None:
    text = [500 + i for i in range(200)]
    fact = plant_fact(text, tokenise, distance=distance, draw=random.Random(seed))
    planted = [place for place, token in enumerate(fact.prompt) if token < 256]
    first, end = planted[0], len(fact.prompt) - len(tokenise(QUESTION))
    last = max(place for place in planted if place < end)
    assert first == LEAD
    assert end - last - 1 == distance
    assert bytes(fact.prompt[first : last + 1]).decode() == PLANTED.format(code=bytes(fact.codes[0]).decode().strip())
    assert len({tuple(code) for code in fact.codes}) == CHOICES
    assert {len(code) + len(fact.prompt) for code in fact.codes} == {fact_overhead(tokenise) + distance}
    hidden = [token for token in fact.prompt if token >= 500]
    assert hidden == list(range(hidden[0], hidden[0] + LEAD + distance))


def test_facts_are_reproducible_and_a_short_text_is_refused() -> None:
    text = list(range(300, 400))
    one, other = (plant_fact(text, tokenise, distance=9, draw=random.Random(3)) for _ in range(2))
    assert one == other
    with pytest.raises(ValueError, match="the text has 100 tokens, 132 are needed"):
        plant_fact(text, tokenise, distance=100, draw=random.Random(3))


@pytest.mark.parametrize("right", [0, 2])
def test_a_fact_is_recalled_if_its_code_is_the_most_probable(monkeypatch: pytest.MonkeyPatch, right: int) -> None:
    class Read:
        state = None
        logits = torch.zeros(1)

    logprobs = [-2.0] * CHOICES
    logprobs[right] = -1.0
    monkeypatch.setattr("legalrr.backbones.local.measurements.prefill_tokens", lambda *_, **__: Read)
    monkeypatch.setattr("legalrr.backbones.local.measurements.answer_logprobs", lambda *_: logprobs)
    fact = Fact(prompt=[1], codes=[[2]] * CHOICES)
    assert recalls_fact(None, fact, chunk=8) is (right == 0)
