import json
import math
import subprocess
import sys

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from legalrr.backbones.echo import EchoBackbone
from legalrr.conversations import CallList
from legalrr.errors import UserError
from legalrr.protocols import Backbone, Call, Engine, PromptTokens
from legalrr.stage import identity

at_any_speed = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])


def ask(text, key=None, new=16, **fields):
    return Call(key=key or text, messages=({"role": "user", "content": text},), max_new_tokens=new, **fields)


def replies(batches):
    return {key: reply for batch in batches for key, reply in batch}


QUESTIONS = [ask(f"Matter {number}: answer YES or NO.") for number in range(200)]


def test_it_satisfies_the_protocols():
    assert isinstance(EchoBackbone(), Backbone)
    assert isinstance(EchoBackbone().load(), Engine)
    assert isinstance(EchoBackbone().load(), PromptTokens)


def test_a_prompt_has_an_id_per_word_and_as_many_as_the_reply_counts():
    engine, call = EchoBackbone().load(), ask("one two three")
    first, second, third = engine.prompt_ids(call)
    assert engine.prompt_ids(ask("one two four"))[:2] == [first, second]
    assert third not in engine.prompt_ids(ask("one two four"))
    assert replies(engine.answer(CallList([call])))[call.key].prompt_tokens == 3


def test_a_question_with_yes_and_no_is_answered_by_one_of_them():
    got = replies(EchoBackbone().load().answer(CallList(QUESTIONS)))
    assert {reply.text for reply in got.values()} == {"YES", "NO"}
    assert {reply.finish_reason for reply in got.values()} == {"stop"}


def test_yes_or_no_is_the_more_probable_answer():
    engine = EchoBackbone().load()
    written = replies(engine.answer(CallList(QUESTIONS)))
    weighed = replies(engine.answer(CallList([ask(call.key, answers=("YES", "NO")) for call in QUESTIONS])))
    for key, reply in weighed.items():
        assert written[key].text == max(reply.logprobs, key=reply.logprobs.get)
        assert math.fsum(math.exp(value) for value in reply.logprobs.values()) == pytest.approx(1)


def test_a_choice_is_the_most_probable_one():
    engine = EchoBackbone(invalid_every=1, cut_every=1).load()
    assert engine.can.structured
    chosen = replies(engine.answer(CallList([ask(f"Matter {n}", choices=("it is", "no")) for n in range(50)])))
    weighed = replies(engine.answer(CallList([ask(f"Matter {n}", answers=("it is", "no")) for n in range(50)])))
    assert {key: reply.text for key, reply in chosen.items()} == {
        key: max(reply.logprobs, key=reply.logprobs.get) for key, reply in weighed.items()
    }
    assert {reply.text for reply in chosen.values()} == {"it is", "no"}
    cut = replies(engine.answer(CallList([ask("Matter", new=1, choices=("it is",))])))["Matter"]
    assert (cut.text, cut.finish_reason) == ("it", "length")


@at_any_speed
@given(st.text(), st.integers(1, 30))
def test_answers_are_within_the_limit_and_the_same_every_time(text, new):
    first, second = (
        replies(EchoBackbone().load().answer(CallList([ask(text, key="k", new=new)])))["k"] for _ in range(2)
    )
    assert first == second
    assert 1 <= first.new_tokens <= new
    assert first.new_tokens == len(first.text.split())
    assert first.prompt_tokens == len(text.split())


def test_the_configured_share_is_invalid_or_cut():
    got = replies(EchoBackbone(invalid_every=4, cut_every=5).load().answer(CallList(QUESTIONS)))
    invalid = [r for r in got.values() if r.finish_reason == "stop" and r.text not in ("YES", "NO")]
    cut = [r for r in got.values() if r.finish_reason == "length"]
    assert 0 < len(invalid) < 100
    assert 0 < len(cut) < 100
    assert {reply.new_tokens for reply in cut} == {16}


def test_a_call_that_does_not_fit_is_an_overflow():
    engine = EchoBackbone(context=10).load()
    got = replies(engine.answer(CallList([ask("a b c", new=7), ask("a b c d", new=7)])))
    assert [reply.finish_reason == "overflow" for reply in got.values()] == [False, True]
    got = replies(
        engine.answer(CallList([ask("a b c", answers=["x"]), ask("a b c d e f g h i", answers=["x", "x y"])]))
    )
    assert [reply.finish_reason for reply in got.values()] == ["stop", "overflow"]


def test_batches_have_the_configured_size():
    batches = list(EchoBackbone(batch=3, seconds_per_call=0.0).load().answer(CallList(QUESTIONS[:7])))
    assert [len(batch) for batch in batches] == [3, 3, 1]


def test_token_ends_are_ends_of_words():
    assert EchoBackbone().load().token_ends(" one  two\n") == [4, 9]


def test_speed_and_name_are_not_in_the_identity():
    assert identity(EchoBackbone(batch=1, seconds_per_call=2.0, name="mock")) == identity(EchoBackbone())
    assert identity(EchoBackbone(context=9)) != identity(EchoBackbone())
    assert EchoBackbone().provenance() == {}


@pytest.mark.parametrize("field", ["context", "invalid_every", "cut_every", "seconds_per_call", "batch"])
def test_numbers_out_of_range_are_refused_by_name(field):
    with pytest.raises(UserError, match=f"backbone.{field}: {field} is -1"):
        EchoBackbone(**{field: -1})


def test_answers_are_the_same_in_another_process():
    program = (
        "import json; from legalrr.backbones.echo import EchoBackbone\n"
        "from legalrr.conversations import CallList; from legalrr.protocols import Call\n"
        "call = Call(key='k', messages=({'role': 'user', 'content': 'x'},), max_new_tokens=16)\n"
        "print(json.dumps(next(EchoBackbone().load().answer(CallList([call])))[0][1].text))"
    )
    said = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout
    assert json.loads(said) == replies(EchoBackbone().load().answer(CallList([ask("x")])))["x"].text
