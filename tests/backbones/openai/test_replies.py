import asyncio
import json
import re

import httpx2
import pytest

from legalrr.backbones.echo import EchoBackbone
from legalrr.backbones.openai.backbone import OpenAIBackbone
from legalrr.backbones.openai.refusals import TEST_CONTENT
from legalrr.backbones.openai.replies import CALL_STATUSES
from legalrr.backbones.openai.transport import require_valid_body
from legalrr.conversations import CallList
from legalrr.errors import UserError
from legalrr.protocols import Call

KEY = "sk-abcdefghij"


def ask(server, **options):
    """Send one call, and return the error."""
    call = Call(key="k", messages=({"role": "user", "content": "YES or NO?"},), max_new_tokens=9)
    asked = {"name": "mock", "model": "m", "context": 1000, "retries": 2, "base_url": server.url} | options
    with pytest.raises(UserError) as failed:
        list(OpenAIBackbone(**asked).load().answer(CallList([call])))
    return str(failed.value)


def failing(serve, status, content, **headers):
    return serve(EchoBackbone().load(), lambda body: lambda handler: handler.reply(status, content, **headers))


@pytest.mark.parametrize(
    ("status", "message", "named"),
    [
        (400, "temperature is not supported", "refuses the request.*temperature is not supported"),
        (403, "not in your country", "refuses the request.*not in your country"),
        (404, "no model m", "does not find the model m: .*no model m.*backbone.model.*/v1"),
        (413, "too big", "refuses the request.*too big"),
        (422, "what?", "refuses the request.*what?"),
    ],
)
def test_permanent_errors_are_not_retried(serve, waits, status, message, named):
    server = failing(serve, status, {"error": {"message": message}})
    error = ask(server, temperature=0.0)
    assert error.startswith("call k: ")
    assert re.search(named, error)
    contents = [body["messages"][0]["content"] for body in server.asked]
    # The refusal of a conversation is followed by a test request.
    assert contents == ["YES or NO?", TEST_CONTENT][: 2 if status in CALL_STATUSES[1:] else 1]
    assert waits == []


def test_a_refused_key_is_named_by_its_variable_and_not_shown(serve, monkeypatch):
    monkeypatch.setenv("LEGALRR_TEST_KEY", KEY)
    server = failing(serve, 401, {"error": {"message": f"Incorrect API key provided: {KEY[:5]}***{KEY[-4:]}"}})
    error = ask(server, api_key_env="LEGALRR_TEST_KEY")
    assert "refuses the key in LEGALRR_TEST_KEY (401)" in error
    assert KEY[:5] not in error
    assert KEY[-4:] not in error
    assert len(server.asked) == 1
    assert "refuses requests without a key (401)" in ask(server)


@pytest.mark.parametrize(
    ("fault", "named"),
    [
        (lambda handler: handler.cut(), "no answer from .*, with up to 2 retries: RemoteProtocolError"),
        (
            lambda handler: handler.reply(200, b"{"),
            "with up to 2 retries: DecodingError malformed reply, body: Invalid JSON",
        ),
        (lambda handler: handler.reply(200, {}), "with up to 2 retries: .*choices: Field required"),
        (
            lambda handler: handler.reply(503, {"error": {"message": "out"}}),
            "does not answer, with up to 2 retries: .*out",
        ),
        (
            lambda handler: handler.reply(429, {"error": {"message": "quota"}}),
            "does not answer, with up to 2 retries: .*quota",
        ),
    ],
)
def test_errors_after_all_retries_have_their_cause(serve, waits, fault, named):
    server = serve(EchoBackbone().load(), lambda body: fault)
    error = ask(server)
    assert error.startswith("call k: ")
    assert re.search(named, error)
    assert (len(server.asked), len(waits)) == (3, 2)


def test_a_timeout_is_named(serve, waits):
    server = serve(EchoBackbone().load(), lambda body: lambda handler: handler.stall())
    error = ask(server, timeout=0.3, retries=0)
    assert "ReadTimeout" in error
    assert "backbone.timeout" in error


def test_an_unreachable_server_is_named_by_its_url(serve, waits):
    server = serve(EchoBackbone().load())
    server.close()
    assert f"no answer from {server.url}, with up to 2 retries: ConnectError" in ask(server)
    assert len(waits) == 2


def test_a_wait_of_more_than_two_minutes_is_not_waited_for(serve, waits):
    server = failing(serve, 429, {"error": {"message": "tokens per day"}}, retry_after="3600")
    error = ask(server)
    assert "asks to wait 3600 s: " in error
    assert "run the same command to resume" in error
    assert (len(server.asked), waits) == (1, [])


def test_a_long_message_is_shortened(serve):
    server = failing(serve, 400, b"<p>" + b"word " * 1000, content_type="text/html")
    assert len(ask(server)) < 600


USAGE = {"prompt_tokens": 1, "completion_tokens": 1}
WHOLE = {"choices": [{"message": {"content": None}}], "usage": USAGE, "whatever": 1}


def look(content, status=200):
    request = httpx2.Request("POST", "http://there/v1")
    asyncio.run(require_valid_body(httpx2.Response(status, content=content, request=request), megabytes=1))


@pytest.mark.parametrize(
    "choice", [{"message": {}}, {"text": ""}, {"message": {"content": "x"}, "text": "x"}, {"text": "\ud83d"}]
)
def test_a_reply_with_an_answer_is_accepted(choice):
    look(json.dumps(WHOLE | {"choices": [choice]}))


@pytest.mark.parametrize(
    ("body", "named"),
    [
        (None, "body"),
        ([], "body"),
        ({"usage": USAGE}, "choices"),
        (WHOLE | {"choices": []}, "choices"),
        (WHOLE | {"choices": [{}]}, r"choices\.0"),
        (WHOLE | {"choices": [{"message": "x"}]}, r"choices\.0"),
        (WHOLE | {"choices": [{"message": {"content": ["x"]}}]}, r"choices\.0"),
    ],
)
def test_a_missing_answer_is_named_by_its_path(body, named):
    with pytest.raises(httpx2.DecodingError, match=f"malformed reply, {named}"):
        look(json.dumps(body))


@pytest.mark.parametrize("content", [b"", b"{", b"\xff\xfe", b"no JSON"])
def test_invalid_json_is_refused(content):
    with pytest.raises(httpx2.DecodingError, match="malformed reply, body: Invalid JSON"):
        look(content)


def test_errors_of_the_server_are_left_to_the_client():
    look(b"no JSON", status=500)
    look(b"", status=307)
