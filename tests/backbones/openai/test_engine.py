import json
import threading
import time
from dataclasses import replace

import pytest

from legalrr.backbones.echo import EchoBackbone
from legalrr.backbones.local.backbone import TransformersBackbone
from legalrr.backbones.openai import engine as openai_engine
from legalrr.backbones.openai import replies
from legalrr.backbones.openai.backbone import OpenAIBackbone
from legalrr.errors import UserError
from legalrr.protocols import Call, Engine

CALLS = [
    Call(
        key=f"k{number}",
        messages=({"role": "user", "content": f"Matter {number}: YES or NO?"},),
        max_new_tokens=16,
    )
    for number in range(24)
]


def backbone(server, **options):
    return OpenAIBackbone(**({"name": "mock", "model": "m", "base_url": server.url, "context": 8192} | options))


def listed(batches):
    return [pair for batch in batches for pair in batch]


def gather(batches, into):
    for batch in batches:
        into += batch


def timeless(pairs):
    return {key: replace(reply, seconds=0.0) for key, reply in pairs}


def answered(calls=CALLS):
    """What a server that answers like the echo backbone says."""
    return timeless(listed(EchoBackbone().load().generate(calls)))


def in_turn(*faults):
    left = iter(faults)
    return lambda body: next(left, None)


def about(number, fault):
    """The fault for every request about one matter."""
    return lambda body: fault if f"Matter {number}:" in body["messages"][0]["content"] else None


def said(status, content, **headers):
    return lambda handler: handler.reply(status, content, **headers)


def chat(message, finish_reason="stop", **usage):
    usage = {"prompt_tokens": 5, "completion_tokens": 3, "total_tokens": 8} | usage
    return {"choices": [{"index": 0, "finish_reason": finish_reason, "message": message}], "usage": usage}


BUSY = said(429, {"error": {"message": "slow down"}}, retry_after="0.5")
BROKEN = said(500, {"error": {"message": "oh"}})
MISBEHAVIOUR = (
    BUSY,
    BROKEN,
    said(503, b"<html>no</html>", content_type="text/html"),
    lambda handler: handler.cut(),
    lambda handler: handler.cut(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 99\r\n\r\n{"),
    lambda handler: handler.stall(),
    said(200, b'{"choices": [{"mess'),
    said(200, b""),
    said(200, b"fine", content_type="text/plain"),
    said(200, {"error": {"message": "a failure that calls itself a success"}}),
    said(200, {"choices": [], "usage": {"prompt_tokens": 1, "completion_tokens": 1}}),
    said(200, {"choices": [{"message": {"content": "YES"}, "finish_reason": "stop"}]}),
)


def test_it_satisfies_the_protocol(serve):
    assert isinstance(backbone(serve(EchoBackbone().load())).load(), Engine)


def test_a_server_that_misbehaves_in_every_way_answers_every_call_once_and_rightly(serve, waits):
    server = serve(EchoBackbone().load(), in_turn(*MISBEHAVIOUR))
    got = listed(backbone(server, concurrency=4, timeout=2.0, retries=12).load().generate(CALLS))
    assert sorted(key for key, _ in got) == sorted(call.key for call in CALLS)
    assert timeless(got) == answered()
    assert len(server.asked) >= len(CALLS) + len(MISBEHAVIOUR)
    assert len(waits) == len(server.asked) - len(CALLS)


def test_replies_come_back_before_the_slowest_one(serve):
    hold = threading.Event()

    def late(handler):
        assert hold.wait(60)
        # Which of two requests came first is the network's choice.
        own = next(body for body in handler.loopback.asked if "Matter 0:" in body["messages"][0]["content"])
        handler.reply(*handler.loopback.answer(handler.path, own))

    server = serve(EchoBackbone().load(), about(0, late))
    batches = backbone(server, concurrency=2).load().generate(CALLS[:6])
    first = listed(next(batches) for _ in range(5))
    hold.set()
    assert {key for key, _ in first} == {call.key for call in CALLS[1:6]}
    assert timeless(first + listed(batches)) == answered(CALLS[:6])


def test_as_many_requests_are_under_way_as_are_allowed_and_no_more(serve):
    seen = []

    def look():
        # A moment for a request too many; how long it is cannot make the test fail.
        time.sleep(0.2)
        seen.append(len(server.asked))

    together = threading.Barrier(3, look)

    def held(handler):
        together.wait(60)
        handler.reply(200, chat({"content": "YES"}))

    server = serve(EchoBackbone().load(), lambda body: held)
    assert len(listed(backbone(server, concurrency=3).load().generate(CALLS[:6]))) == 6
    assert seen == [3, 6]


def test_the_wait_is_the_one_that_the_server_asks_for(serve, waits):
    server = serve(EchoBackbone().load(), in_turn(said(429, {}, retry_after="7"), said(503, {}, retry_after_ms="40")))
    listed(backbone(server).load().generate(CALLS[:1]))
    assert waits == [7.0, 0.04]


def test_waits_double_up_to_eight_seconds_less_a_quarter_at_most(serve, waits):
    server = serve(EchoBackbone().load(), in_turn(*[BROKEN] * 4, *[said(200, b"{")] * 3))
    listed(backbone(server, retries=7).load().generate(CALLS[:1]))
    assert len(waits) == 7
    for wait, longest in zip(waits, (0.5, 1, 2, 4, 8, 8, 8), strict=True):
        assert 0.75 * longest <= wait <= longest


def test_a_call_that_fails_for_good_is_named_after_what_was_under_way_came_back(serve, waits):
    server = serve(EchoBackbone().load(), about(2, BROKEN))
    got = []
    with pytest.raises(UserError, match=r"^call k2: .*up to 2 retries.*oh"):
        gather(backbone(server, concurrency=3, retries=2).load().generate(CALLS), got)
    asked = {body["messages"][0]["content"] for body in server.asked}
    answers = answered()
    assert timeless(got) == {key: answers[key] for key, _ in got}
    assert {key for key, _ in got} | {"k2"} == {call.key for call in CALLS if call.messages[0]["content"] in asked}
    assert set(server.answered.values()) == {1}


def test_after_a_call_that_failed_for_good_no_other_is_begun(serve, monkeypatch):
    failed = threading.Event()

    def noted(*about):
        failed.set()
        return replies.user_error(*about)

    def held(handler):
        assert failed.wait(60)
        handler.reply(200, chat({"content": "YES"}))

    monkeypatch.setattr(openai_engine, "user_error", noted)
    server = serve(EchoBackbone().load(), lambda body: about(2, said(404, {}))(body) or held)
    got = []
    with pytest.raises(UserError, match=r"^call k2: "):
        gather(backbone(server, concurrency=3).load().generate(CALLS), got)
    assert {key for key, _ in got} == {"k0", "k1"}
    assert len(server.asked) == 3


def test_broken_off_and_begun_again_no_answer_is_asked_for_twice(serve):
    server = serve(EchoBackbone().load())
    batches = backbone(server, concurrency=3).load().generate(CALLS)
    first = [*next(batches), *next(batches)]
    batches.close()
    rest = [call for call in CALLS if call.key not in dict(first)]
    second = listed(backbone(server, concurrency=3).load().generate(rest))
    assert timeless(first + second) == answered()
    once = {json.dumps([dict(call.messages[0])]) for call in CALLS if call.key in dict(first)}
    assert {server.answered[conversation] for conversation in once} == {1}


def test_seconds_add_up_to_no_more_than_the_time_that_passed(serve):
    server = serve(EchoBackbone().load())
    engine = backbone(server).load()
    started = time.perf_counter()
    replies = [reply for _, reply in listed(engine.generate(CALLS))]
    assert 0 < sum(reply.seconds for reply in replies) <= time.perf_counter() - started
    assert min(reply.seconds for reply in replies) >= 0


@pytest.mark.parametrize(
    "error",
    [
        {"error": {"message": "too long", "code": "context_length_exceeded"}},
        {"error": {"message": "too long", "code": 400, "type": "exceed_context_size_error"}},
        {"error": {"message": "too long", "code": 400, "type": "BadRequestError", "param": "input_tokens"}},
    ],
    ids=["OpenAI", "llama.cpp", "vLLM"],
)
def test_a_conversation_that_the_server_refuses_for_its_length_is_an_overflow(serve, error):
    server = serve(EchoBackbone().load(), about(1, said(400, error)))
    got = dict(listed(backbone(server, tokenizer="characters:6").load().generate(CALLS[:3])))
    assert {key: reply.finish_reason for key, reply in got.items()} == {"k0": "stop", "k1": "overflow", "k2": "stop"}
    assert (got["k1"].text, got["k1"].prompt_tokens, got["k1"].new_tokens) == ("", 4, 0)


def test_a_conversation_beyond_the_context_is_an_overflow_though_the_server_took_it(serve):
    server = serve(EchoBackbone().load())
    words = len(CALLS[0].messages[0]["content"].split())
    for context, reason in ((words + 16, "stop"), (words + 15, "overflow")):
        ((_, reply),) = listed(backbone(server, context=context).load().generate(CALLS[:1]))
        assert (reply.finish_reason, reply.prompt_tokens) == (reason, words)
        assert (reply.text == "") == (reason == "overflow")


def test_an_answer_that_was_cut_off_within_a_character_is_an_answer(serve):
    server = serve(EchoBackbone().load(), lambda body: said(200, chat({"content": "YES \ud83d"}, "length")))
    ((_, reply),) = listed(backbone(server).load().generate(CALLS[:1]))
    assert (reply.text, reply.finish_reason) == ("YES \ud83d", "length")


def test_what_is_thought_is_counted_and_not_quoted(serve):
    message = {"content": "NO", "reasoning_content": "YES, or rather"}
    usage = {"completion_tokens": 40, "completion_tokens_details": {"reasoning_tokens": 38}}
    cached = {"prompt_tokens": 9, "prompt_tokens_details": {"cached_tokens": 4}}
    server = serve(EchoBackbone().load(), lambda body: said(200, chat(message, **usage, **cached)))
    ((_, reply),) = listed(backbone(server, thinking_tokens=100).load().generate(CALLS[:1]))
    assert (reply.text, reply.prompt_tokens, reply.cached_tokens, reply.new_tokens) == ("NO", 9, 4, 40)


@pytest.mark.parametrize(
    ("message", "reason", "text"),
    [
        ({"content": None, "refusal": "I will not."}, "stop", "I will not."),
        ({"content": None}, "length", ""),
        ({"content": "", "refusal": None}, "stop", ""),
    ],
)
def test_a_refusal_is_the_answer_and_an_empty_one_is_empty(serve, message, reason, text):
    server = serve(EchoBackbone().load(), lambda body: said(200, chat(message, reason)))
    ((_, reply),) = listed(backbone(server).load().generate(CALLS[:1]))
    assert (reply.text, reply.finish_reason) == (text, reason)


@pytest.mark.parametrize(
    ("reply", "named"),
    [
        (chat({"content": "Y"}, "content_filter"), "content_filter"),
        (chat({"content": "Y"}, "length", completion_tokens=17), "17 tokens where 16.*backbone.cap=max_tokens"),
    ],
)
def test_an_answer_that_is_none_is_an_error(serve, reply, named):
    server = serve(EchoBackbone().load(), lambda body: said(200, reply))
    with pytest.raises(UserError, match=f"^call k0: .*{named}"):
        listed(backbone(server).load().generate(CALLS[:1]))
    assert len(server.asked) == 1


def test_what_is_left_open_is_not_sent(serve):
    server = serve(EchoBackbone().load())
    listed(backbone(server).load().generate(CALLS[:1]))
    listed(
        backbone(server, reasoning_effort="low", seed=3, temperature=0.0, cap="max_tokens", thinking_tokens=50)
        .load()
        .generate(CALLS[:1])
    )
    messages = [dict(message) for message in CALLS[0].messages]
    assert server.asked[0] == {"model": "m", "messages": messages, "max_completion_tokens": 16}
    assert server.asked[1] == {
        "model": "m",
        "messages": messages,
        "max_tokens": 66,
        "reasoning_effort": "low",
        "seed": 3,
        "temperature": 0.0,
    }


CHOOSING = [replace(call, choices=("YES", "NO")) for call in CALLS[:4]]


def test_choices_are_told_in_the_words_of_the_server_and_read_from_its_answer(serve):
    wrapped = said(200, chat({"content": '{"answer": "NO"}'}))
    plain = said(200, chat({"content": "NO"}))
    for structured, fault in (("structured_outputs", plain), ("json_schema", wrapped)):
        server = serve(EchoBackbone().load(), lambda body, f=fault: f)
        engine = backbone(server, structured=structured).load()
        assert engine.can.structured
        assert {reply.text for _, reply in listed(engine.generate([*CHOOSING]))} == {"NO"}
        listed(engine.generate(CALLS[4:5]))
        told = [
            {key: body[key] for key in ("structured_outputs", "response_format") if key in body}
            for body in server.asked
        ]
        assert told[-1] == {}
        if structured == "structured_outputs":
            assert told[:-1] == [{"structured_outputs": {"choice": ["YES", "NO"]}}] * 4
        else:
            held = told[0]["response_format"]["json_schema"]
            assert (told[0]["response_format"]["type"], held["strict"]) == ("json_schema", True)
            assert held["schema"]["properties"]["answer"]["enum"] == ["YES", "NO"]
            assert held["schema"]["required"] == ["answer"]


@pytest.mark.parametrize(
    ("structured", "content"),
    [
        ("structured_outputs", "I say NO"),
        ("json_schema", "NO"),
        ("json_schema", '{"answer": "maybe"}'),
        ("json_schema", '{"answer": ["NO"]}'),
        ("json_schema", '["NO"]'),
    ],
)
def test_a_server_that_passes_over_the_choices_is_named(serve, structured, content):
    server = serve(EchoBackbone().load(), lambda body: said(200, chat({"content": content})))
    with pytest.raises(UserError, match=rf"^call k0: .*YES or NO.*not to know {structured}.*backbone\.structured"):
        listed(backbone(server, structured=structured).load().generate(CHOOSING[:1]))


@pytest.mark.parametrize(
    ("message", "reason", "text"),
    [
        ({"content": '{"answer": "N'}, "length", '{"answer": "N'),
        ({"content": None, "refusal": "I will not."}, "stop", "I will not."),
    ],
)
def test_a_choice_that_was_cut_off_or_refused_is_left_as_it_is(serve, message, reason, text):
    server = serve(EchoBackbone().load(), lambda body: said(200, chat(message, reason)))
    ((_, reply),) = listed(backbone(server, structured="json_schema").load().generate(CHOOSING[:1]))
    assert (reply.text, reply.finish_reason) == (text, reason)


def test_a_server_that_cannot_be_told_choices_is_sent_none(serve):
    server = serve(EchoBackbone().load())
    with pytest.raises(UserError, match=r"^backbone\.structured: .*structured_outputs, json_schema"):
        listed(backbone(server).load().generate(CHOOSING))
    assert server.asked == []


def test_room_to_think_in_is_kept_free_in_the_context(serve):
    server = serve(EchoBackbone().load())
    assert backbone(server, context=1000, thinking_tokens=400).load().context == 600


def test_a_call_without_room_for_an_answer_is_refused(serve):
    server = serve(EchoBackbone().load())
    with pytest.raises(ValueError, match=r"k0.*max_new_tokens=0"):
        listed(backbone(server).load().generate([replace(CALLS[0], max_new_tokens=0)]))
    assert server.asked == []


def test_it_says_what_it_can(serve):
    server = serve(EchoBackbone().load())
    can = backbone(server).load().can
    assert (can.logprobs, can.structured, can.images, can.seed) == (False, False, False, False)
    assert backbone(server, seed=1).load().can.seed


def compared(*answers):
    messages = ({"role": "system", "content": "A judge."}, {"role": "user", "content": "Is it so?"})
    return [Call(key="q", messages=messages, answers=answers)]


@pytest.fixture
def local(tiny):
    return TransformersBackbone(name="tiny", model=str(tiny)).load()


def weigh(tiny):
    """Function (token ids) that gives the log-probability of each but the first, from one plain forward."""
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(tiny).eval()

    def weighed(ids):
        with torch.inference_mode():
            logits = model(torch.tensor([ids])).logits[0].log_softmax(-1)
        return [logits[place, token].item() for place, token in enumerate(ids[1:])]

    return weighed


def test_echoed_log_probabilities_are_those_of_the_same_model_in_process(serve, waits, tiny, local):
    server = serve(EchoBackbone().load(), weigh=weigh(tiny))
    engine = backbone(server, logprobs="echo", tokenizer=str(tiny), context=512).load()
    calls = compared("YES", "NO", " certainly not")
    ((_, far),), ((_, near),) = listed(engine.compare(calls)), listed(local.compare(calls))
    # Both compute in float32, which sums in another order where a prompt is read in other parts.
    assert far.logprobs == pytest.approx(near.logprobs, abs=1e-4)
    assert list(far.logprobs) == ["YES", "NO", " certainly not"]
    assert (far.prompt_tokens, far.new_tokens, far.finish_reason) == (near.prompt_tokens, 0, "stop")


def test_compared_answers_that_do_not_fit_are_an_overflow_and_not_sent(serve, tiny):
    server = serve(EchoBackbone().load(), weigh=weigh(tiny))
    engine = backbone(server, logprobs="echo", tokenizer=str(tiny), context=10).load()
    ((_, reply),) = listed(engine.compare(compared("YES")))
    assert (reply.finish_reason, reply.logprobs, server.asked) == ("overflow", None, [])


def test_a_server_that_echoes_nothing_is_refused_by_name(serve, tiny):
    told = {"index": 0, "finish_reason": "length", "text": "x", "logprobs": {"token_logprobs": [-1.0]}}
    usage = {"prompt_tokens": 9, "completion_tokens": 1, "total_tokens": 10}
    for choice in (told, told | {"logprobs": None}):
        server = serve(EchoBackbone().load(), lambda body, c=choice: said(200, {"choices": [c], "usage": usage}))
        engine = backbone(server, logprobs="echo", tokenizer=str(tiny), context=512).load()
        with pytest.raises(UserError, match=r"^call q: .*log-probabilities.*predict.scoring=generate"):
            listed(engine.compare(compared("YES")))


def test_without_log_probabilities_comparing_is_refused_by_name(serve):
    engine = backbone(serve(EchoBackbone().load())).load()
    with pytest.raises(UserError, match=r"^backbone.logprobs: .*predict.scoring=generate"):
        listed(engine.compare(compared("YES")))


def test_answers_of_a_model_behind_a_server_are_those_of_the_model_in_process(serve, waits, local):
    server = serve(local)
    calls = [replace(call, max_new_tokens=4) for call in CALLS[:6]]
    far = timeless(listed(backbone(server, context=512).load().generate(calls)))
    near = timeless(listed(local.generate(calls)))
    for key, reply in far.items():
        assert (reply.text, reply.finish_reason) == (near[key].text, near[key].finish_reason)


def test_what_nobody_waits_for_any_more_is_broken_off(serve, waits):
    server = serve(
        EchoBackbone().load(), lambda body: None if "Matter 0:" in str(body) else lambda handler: handler.stall()
    )
    batches = backbone(server, concurrency=4, timeout=3.0, retries=1).load().generate(CALLS[:4])
    assert [key for key, _ in next(batches)] == ["k0"]
    batches.close()
    # Left alone, they would have been made anew after three seconds of silence.
    assert len(server.asked) <= 4
