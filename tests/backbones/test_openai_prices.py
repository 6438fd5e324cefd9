import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from legalrr.backbones.openai import OpenAIBackbone
from legalrr.backbones.openai_prices import Prices
from legalrr.errors import UserError
from legalrr.protocols import Reply

PRICES = Prices(input=2.0, cached_input=0.5, output=8.0)


def reply(prompt=0, cached=0, new=0, reason="stop"):
    return Reply(text="", finish_reason=reason, prompt_tokens=prompt, cached_tokens=cached, new_tokens=new, seconds=0.0)


def test_a_million_of_each_costs_the_three_prices():
    assert PRICES.cost([reply(prompt=2_000_000, cached=1_000_000, new=1_000_000)]) == 10.5
    assert PRICES.cost([]) == 0.0


@given(st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 10**6), st.integers(0, 10**6))))
def test_the_cost_of_many_is_the_sum_of_their_costs(counts):
    replies = [reply(prompt=fresh + cached, cached=cached, new=new) for fresh, cached, new in counts]
    assert PRICES.cost(replies) == pytest.approx(math.fsum(PRICES.cost([one]) for one in replies))


def test_turns_cost_what_their_replies_cost():
    one = reply(prompt=70, cached=30, new=5)
    assert PRICES.cost([one.as_turn("answer")]) == PRICES.cost([one])


def test_a_refused_conversation_is_free_and_one_beyond_the_context_costs_its_usage():
    assert PRICES.cost([reply(prompt=10**6, reason="overflow")]) == 0.0
    assert PRICES.cost([reply(prompt=10**6, new=1, reason="overflow")]) == pytest.approx(2.000008)


@pytest.mark.parametrize(
    ("prices", "known"),
    [
        (Prices(input=1.0, output=1.0), {"prompt": 1, "new": 1}),
        (Prices(cached_input=1.0), {"prompt": 1, "cached": 1}),
        (Prices(), {}),
    ],
)
def test_a_price_that_is_missing_matters_where_it_is_needed(prices, known):
    assert prices.cost([reply(**known)]) is not None
    assert prices.cost([reply(prompt=2, cached=1, new=1)]) is None


def test_a_backbone_without_prices_knows_no_cost():
    options = {"name": "mock", "model": "m", "context": 100}
    assert OpenAIBackbone(**options).cost([reply(new=1)]) is None
    assert OpenAIBackbone(**options, prices=PRICES).cost([reply(new=1)]) == pytest.approx(8e-6)


@pytest.mark.parametrize("price", [-1.0, math.nan, math.inf])
@pytest.mark.parametrize("which", ["input", "cached_input", "output"])
def test_what_is_no_price_is_refused_by_name(which, price):
    with pytest.raises(UserError, match=f"^backbone.prices.{which}: {which} is"):
        Prices(**{which: price})
