import json
import threading
import time
from dataclasses import replace

import pytest

from legalrr.backbones.echo import EchoBackbone
from legalrr.backbones.openai import replies
from legalrr.backbones.openai import requests as openai_requests
from legalrr.backbones.openai.backbone import OpenAIBackbone
from legalrr.conversations import CallList
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
    """The answers of a server with the echo backbone."""
    return timeless(listed(EchoBackbone().load().answer(CallList(calls))))


def in_turn(*faults):
    left = iter(faults)
    return lambda body: next(left, None)


def about(number, fault):
    """A fault for every request about one matter."""
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
)


def test_it_satisfies_the_protocol(serve):
    assert isinstance(backbone(serve(EchoBackbone().load())).load(), Engine)


def test_every_kind_of_server_failure_is_retried_to_the_same_answers(serve, waits):
    server = serve(EchoBackbone().load(), in_turn(*MISBEHAVIOUR))
    got = listed(backbone(server, concurrency=4, timeout=2.0, retries=12).load().answer(CallList(CALLS)))
    assert sorted(key for key, _ in got) == sorted(call.key for call in CALLS)
    assert timeless(got) == answered()
    assert len(server.asked) >= len(CALLS) + len(MISBEHAVIOUR)
    assert len(waits) == len(server.asked) - len(CALLS)


def test_replies_are_yielded_before_the_slowest_one(serve):
    hold = threading.Event()

    def late(handler):
        assert hold.wait(60)
        # The order of arrival of two requests is not defined.
        own = next(body for body in handler.loopback.asked if "Matter 0:" in body["messages"][0]["content"])
        handler.reply(*handler.loopback.answer(handler.path, own))

    server = serve(EchoBackbone().load(), about(0, late))
    batches = backbone(server, concurrency=2).load().answer(CallList(CALLS[:6]))
    first = listed(next(batches) for _ in range(5))
    hold.set()
    assert {key for key, _ in first} == {call.key for call in CALLS[1:6]}
    assert timeless(first + listed(batches)) == answered(CALLS[:6])


def test_concurrency_limits_the_requests_under_way(serve):
    seen = []

    def look():
        # Wait for a request too many; the duration cannot make the test fail.
        time.sleep(0.2)
        seen.append(len(server.asked))

    together = threading.Barrier(3, look)

    def held(handler):
        together.wait(60)
        handler.reply(200, chat({"content": "YES"}))

    server = serve(EchoBackbone().load(), lambda body: held)
    assert len(listed(backbone(server, concurrency=3).load().answer(CallList(CALLS[:6])))) == 6
    assert seen == [3, 6]


def test_the_wait_follows_the_servers_retry_after(serve, waits):
    server = serve(EchoBackbone().load(), in_turn(said(429, {}, retry_after="7"), said(503, {}, retry_after_ms="40")))
    listed(backbone(server).load().answer(CallList(CALLS[:1])))
    assert waits == [7.0, 0.04]


def test_waits_double_up_to_eight_seconds_less_a_quarter_at_most(serve, waits):
    server = serve(EchoBackbone().load(), in_turn(*[BROKEN] * 4, *[said(200, b"{")] * 3))
    listed(backbone(server, retries=7).load().answer(CallList(CALLS[:1])))
    assert len(waits) == 7
    for wait, longest in zip(waits, (0.5, 1, 2, 4, 8, 8, 8), strict=True):
        assert 0.75 * longest <= wait <= longest


def test_a_failed_call_is_named_after_replies_under_way_are_yielded(serve, waits):
    server = serve(EchoBackbone().load(), about(2, BROKEN))
    got = []
    with pytest.raises(UserError, match=r"^call k2: .*up to 2 retries.*oh"):
        gather(backbone(server, concurrency=3, retries=2).load().answer(CallList(CALLS)), got)
    asked = {body["messages"][0]["content"] for body in server.asked}
    answers = answered()
    assert timeless(got) == {key: answers[key] for key, _ in got}
    assert {key for key, _ in got} | {"k2"} == {call.key for call in CALLS if call.messages[0]["content"] in asked}
    assert set(server.answered.values()) == {1}


def test_no_call_is_sent_after_a_permanent_failure(serve, monkeypatch):
    failed = threading.Event()

    def noted(*about):
        failed.set()
        return replies.user_error(*about)

    def held(handler):
        assert failed.wait(60)
        handler.reply(200, chat({"content": "YES"}))

    monkeypatch.setattr(openai_requests, "user_error", noted)
    server = serve(EchoBackbone().load(), lambda body: about(2, said(404, {}))(body) or held)
    got = []
    with pytest.raises(UserError, match=r"^call k2: "):
        gather(backbone(server, concurrency=3).load().answer(CallList(CALLS)), got)
    assert {key for key, _ in got} == {"k0", "k1"}
    assert len(server.asked) == 3


def test_a_resumed_run_requests_no_answer_twice(serve):
    server = serve(EchoBackbone().load())
    batches = backbone(server, concurrency=3).load().answer(CallList(CALLS))
    first = [*next(batches), *next(batches)]
    batches.close()
    rest = [call for call in CALLS if call.key not in dict(first)]
    second = listed(backbone(server, concurrency=3).load().answer(CallList(rest)))
    assert timeless(first + second) == answered()
    once = {json.dumps([dict(call.messages[0])]) for call in CALLS if call.key in dict(first)}
    assert {server.answered[conversation] for conversation in once} == {1}


def test_seconds_sum_to_no_more_than_the_wall_time(serve):
    server = serve(EchoBackbone().load())
    engine = backbone(server).load()
    started = time.perf_counter()
    replies = [reply for _, reply in listed(engine.answer(CallList(CALLS)))]
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
    got = dict(listed(backbone(server, tokenizer="characters:6").load().answer(CallList(CALLS[:3]))))
    assert {key: reply.finish_reason for key, reply in got.items()} == {"k0": "stop", "k1": "overflow", "k2": "stop"}
    assert (got["k1"].text, got["k1"].prompt_tokens, got["k1"].new_tokens) == ("", 4, 0)


def test_a_conversation_beyond_the_context_is_an_overflow_even_if_accepted(serve):
    server = serve(EchoBackbone().load())
    words = len(CALLS[0].messages[0]["content"].split())
    for context, reason in ((words + 16, "stop"), (words + 15, "overflow")):
        ((_, reply),) = listed(backbone(server, context=context).load().answer(CallList(CALLS[:1])))
        assert (reply.finish_reason, reply.prompt_tokens) == (reason, words)
        assert (reply.text == "") == (reason == "overflow")


def test_an_answer_that_was_cut_off_within_a_character_is_an_answer(serve):
    server = serve(EchoBackbone().load(), lambda body: said(200, chat({"content": "YES \ud83d"}, "length")))
    ((_, reply),) = listed(backbone(server).load().answer(CallList(CALLS[:1])))
    assert (reply.text, reply.finish_reason) == ("YES \ud83d", "length")


def test_thoughts_are_counted_but_not_in_the_text(serve):
    message = {"content": "NO", "reasoning_content": "YES, or rather"}
    usage = {"completion_tokens": 40, "completion_tokens_details": {"reasoning_tokens": 38}}
    cached = {"prompt_tokens": 9, "prompt_tokens_details": {"cached_tokens": 4}}
    server = serve(EchoBackbone().load(), lambda body: said(200, chat(message, **usage, **cached)))
    ((_, reply),) = listed(backbone(server, thinking_tokens=100).load().answer(CallList(CALLS[:1])))
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
    ((_, reply),) = listed(backbone(server).load().answer(CallList(CALLS[:1])))
    assert (reply.text, reply.finish_reason) == (text, reason)


@pytest.mark.parametrize(
    ("reply", "named"),
    [
        (chat({"content": "Y"}, "error"), "'error', neither stop nor length"),
        (chat({"content": "Y"}, "length", completion_tokens=17), "17 tokens, 16 were allowed.*backbone.cap=max_tokens"),
    ],
)
def test_an_unusable_answer_is_an_error(serve, reply, named):
    server = serve(EchoBackbone().load(), lambda body: said(200, reply))
    with pytest.raises(UserError, match=f"^call k0: .*{named}"):
        listed(backbone(server).load().answer(CallList(CALLS[:1])))
    assert len(server.asked) == 1


def test_unset_parameters_are_not_sent(serve):
    server = serve(EchoBackbone().load())
    listed(backbone(server).load().answer(CallList(CALLS[:1])))
    listed(
        backbone(server, reasoning_effort="low", seed=3, temperature=0.0, cap="max_tokens", thinking_tokens=50)
        .load()
        .answer(CallList(CALLS[:1]))
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


def test_choices_are_sent_in_the_servers_dialect_and_parsed(serve):
    wrapped = said(200, chat({"content": '{"answer": "NO"}'}))
    plain = said(200, chat({"content": "NO"}))
    for structured, fault in (("structured_outputs", plain), ("json_schema", wrapped)):
        server = serve(EchoBackbone().load(), lambda body, f=fault: f)
        engine = backbone(server, structured=structured).load()
        assert engine.can.structured
        assert {reply.text for _, reply in listed(engine.answer(CallList([*CHOOSING])))} == {"NO"}
        listed(engine.answer(CallList(CALLS[4:5])))
        sent = [
            {key: body[key] for key in ("structured_outputs", "response_format") if key in body}
            for body in server.asked
        ]
        assert sent[-1] == {}
        if structured == "structured_outputs":
            assert sent[:-1] == [{"structured_outputs": {"choice": ["YES", "NO"]}}] * 4
        else:
            held = sent[0]["response_format"]["json_schema"]
            assert (sent[0]["response_format"]["type"], held["strict"]) == ("json_schema", True)
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
def test_a_server_that_ignores_choices_is_an_error(serve, structured, content):
    server = serve(EchoBackbone().load(), lambda body: said(200, chat({"content": content})))
    with pytest.raises(UserError, match=rf"^call k0: .*YES or NO.*ignore {structured}.*backbone\.structured"):
        listed(backbone(server, structured=structured).load().answer(CallList(CHOOSING[:1])))


@pytest.mark.parametrize(
    ("message", "reason", "text"),
    [
        ({"content": '{"answer": "N'}, "length", '{"answer": "N'),
        ({"content": None, "refusal": "I will not."}, "stop", "I will not."),
    ],
)
def test_a_truncated_or_refused_choice_is_returned_unchanged(serve, message, reason, text):
    server = serve(EchoBackbone().load(), lambda body: said(200, chat(message, reason)))
    ((_, reply),) = listed(backbone(server, structured="json_schema").load().answer(CallList(CHOOSING[:1])))
    assert (reply.text, reply.finish_reason) == (text, reason)


def test_choices_are_not_sent_without_structured_output(serve):
    server = serve(EchoBackbone().load())
    with pytest.raises(UserError, match=r"^backbone\.structured: .*structured_outputs, json_schema"):
        listed(backbone(server).load().answer(CallList(CHOOSING)))
    assert server.asked == []


def test_thinking_tokens_are_reserved_in_the_context(serve):
    server = serve(EchoBackbone().load())
    assert backbone(server, context=1000, thinking_tokens=400).load().context == 600


def test_a_call_without_room_for_an_answer_is_refused(serve):
    server = serve(EchoBackbone().load())
    with pytest.raises(ValueError, match=r"k0.*max_new_tokens=0"):
        listed(backbone(server).load().answer(CallList([replace(CALLS[0], max_new_tokens=0)])))
    assert server.asked == []


def test_the_engine_reports_its_abilities(serve):
    server = serve(EchoBackbone().load())
    can = backbone(server).load().can
    assert (can.logprobs, can.structured, can.images, can.seed) == (False, False, False, False)
    assert backbone(server, seed=1).load().can.seed


def test_abandoned_requests_are_cancelled(serve, waits):
    server = serve(
        EchoBackbone().load(), lambda body: None if "Matter 0:" in str(body) else lambda handler: handler.stall()
    )
    batches = backbone(server, concurrency=4, timeout=3.0, retries=1).load().answer(CallList(CALLS[:4]))
    assert [key for key, _ in next(batches)] == ["k0"]
    batches.close()
    # Otherwise they would be retried after three seconds of silence.
    assert len(server.asked) <= 4
