"""What servers say about a request that they refuse: its length, a parameter, a role."""

import re

import pytest

from legalrr.backbones.echo import EchoBackbone
from legalrr.backbones.openai.backbone import OpenAIBackbone
from legalrr.backbones.openai.replies import LENGTH, NOT_LENGTH, ROLE
from legalrr.conversations import CallList
from legalrr.errors import UserError
from legalrr.protocols import Call

CALL = Call(
    key="k",
    messages=({"role": "system", "content": "You judge."}, {"role": "user", "content": "YES or NO?"}),
    max_new_tokens=9,
)
TOO_LONG = (
    "This model's maximum context length is 4096 tokens. However, you requested 9000 tokens (8984 in the messages, 16 "
    "in the completion). Please reduce the length of the messages or completion.",
    "Trying to keep the first 4938 tokens when context the overflows. However, the model is loaded with context length "
    "of only 4096 tokens, which is not enough.",
    "The number of tokens to keep from the initial prompt is greater than the context length.",
    "the request exceeds the available context size. try increasing the context size or enable context shift",
    "request (9000 tokens) exceeds the available context size (4096 tokens), try increasing it",
    "The decoder prompt (length 9000) is longer than the maximum model length of 4096. Make sure that `max_model_len` "
    "is no smaller than the number of text tokens.",
    "'max_tokens' or 'max_completion_tokens' is too large: 500. This model's maximum context length is 4096 tokens and "
    "your request has 4000 input tokens",
    "You passed 9000 input tokens and requested 16 output tokens. However, the model's context length is only 4096",
    "Input validation error: `inputs` tokens + `max_new_tokens` must be <= 4096. Given: 9000 `inputs` tokens",
    "Input validation error: `inputs` must have less than 4095 tokens. Given: 9000",
    "prompt is too long: 210000 tokens > 200000 maximum",
    "input length and `max_tokens` exceed context limit: 199000 + 8192 > 200000",
    "Prompt contains 40000 tokens and 0 draft tokens, too large for model with 32768 maximum context length",
    "The input token count (1200000) exceeds the maximum number of tokens allowed (1048576).",
    "This model's maximum prompt length is 131072 but the request contains 537812 tokens.",
    "The input (5000 tokens) is longer than the model's context length (4096 tokens).",
    "Requested token count exceeds the model's maximum context length of 4096 tokens.",
    "Requested tokens (9000) exceed context window of 4096",
    "Input is too long for requested model.",
    "too many tokens: size limit exceeded by 400 tokens. Try using shorter or fewer inputs",
    "Range of input length should be [1, 30720]",
    "The prompt is too long: 10000, model maximum context length: 8191",
    "Request body too large for gpt-4o model. Max size: 8000 tokens.",
    "the input length exceeds the context length",
    "Prompt exceeds max length",
    "Invalid request: Your request exceeded model token limit: 8192",
    "invalid params, context window exceeds limit",
    "Prompt length (5000) exceeds maximum input length (4096)",
    "Prompt length 9000 is greater than max_seq_len 4096",
    "Please reduce the length of the messages or completion.",
)
OTHERWISE = (
    "temperature is not supported",
    "Request too large for model `m` on tokens per minute (TPM): Limit 6000, Requested 10000",
    "max_tokens is too large: 100000. This model supports at most 16384 completion tokens",
    "Request payload size exceeds the limit: 20971520 bytes.",
    "This request requires more credits, or fewer max_tokens. You requested up to 16384 tokens",
    "[{'type': 'extra_forbidden', 'loc': ('body', 'max_completion_tokens'), 'msg': 'Extra inputs are not permitted'}]",
    "Unsupported value: 'temperature' does not support 0.0 with this model. Only the default (1) value is supported.",
    "System role not supported",
    "413 Request Entity Too Large",
    "The response was filtered due to the prompt triggering Azure OpenAI's content management policy.",
    "Invalid schema for response_format 'answer'",
    "CUDA out of memory for a sequence of more than 4096 tokens",
)
NO_SYSTEM = (
    "System role not supported",
    "Jinja Exception: System role not supported",
    "Conversation roles must alternate user/assistant/user/assistant/...",
    "Only user and assistant roles are supported!",
    "Unsupported value: 'messages[0].role' does not support 'system' with this model.",
    "Developer instruction is not enabled for models/gemma-3-27b-it",
    "system messages are not supported by this model",
)


def ask(server, **options):
    asked = {"name": "mock", "model": "m", "context": 1000, "retries": 2, "base_url": server.url} | options
    ((_, reply),) = [pair for batch in OpenAIBackbone(**asked).load().answer(CallList([CALL])) for pair in batch]
    return reply


def failure(server, **options):
    with pytest.raises(UserError) as failed:
        ask(server, **options)
    return str(failed.value)


def failing(serve, status, content, **headers):
    return serve(EchoBackbone().load(), lambda body: lambda handler: handler.reply(status, content, **headers))


@pytest.mark.parametrize("words", TOO_LONG)
def test_refusals_for_length_are_recognized_in_every_wording(words):
    assert LENGTH.search(words)
    assert not NOT_LENGTH.search(words)
    assert not ROLE.search(words)


@pytest.mark.parametrize("words", OTHERWISE)
def test_other_refusals_are_not_taken_for_refusals_for_length(words):
    assert not LENGTH.search(words) or NOT_LENGTH.search(words)


@pytest.mark.parametrize("words", NO_SYSTEM)
def test_refusals_of_a_system_message_are_recognized_in_every_wording(words):
    assert ROLE.search(words)


@pytest.mark.parametrize(
    ("status", "content"),
    [
        (400, {"object": "error", "message": TOO_LONG[0], "type": "BadRequestError", "param": None, "code": 400}),
        (400, {"error": TOO_LONG[1]}),
        (413, {"error": {"message": TOO_LONG[22], "code": "tokens_limit_reached"}}),
        (422, {"error": TOO_LONG[9], "error_type": "validation"}),
        (500, {"error": {"code": 500, "message": TOO_LONG[3], "type": "server_error"}}),
        (200, {"error": {"message": TOO_LONG[10]}}),
        (400, {"detail": [{"msg": TOO_LONG[15]}]}),
        (400, TOO_LONG[12].encode()),
    ],
)
def test_a_refusal_for_length_is_an_overflow_without_retries(serve, waits, status, content):
    server = failing(serve, status, content)
    assert ask(server).finish_reason == "overflow"
    assert (len(server.asked), waits) == (1, [])


@pytest.mark.parametrize(
    ("status", "content"),
    [
        (400, {"error": "no such luck"}),
        (400, {"detail": "no such luck"}),
        (422, {"detail": [{"loc": ["body"], "msg": "no such luck"}]}),
        (400, [{"error": {"message": "no such luck"}}]),
        (400, b"no such luck"),
        (500, {"error": {"message": "no such luck"}}),
        (200, {"error": {"message": "no such luck", "code": 429}}),
        (200, {"error": "no such luck"}),
    ],
)
def test_the_words_of_the_server_reach_the_user(serve, waits, status, content):
    error = failure(failing(serve, status, content))
    assert "no such luck" in error
    assert "malformed" not in error


@pytest.mark.parametrize(
    ("words", "cure"),
    [
        (OTHERWISE[5], "backbone.cap=max_tokens"),
        (OTHERWISE[6], "backbone.temperature=null"),
        (OTHERWISE[2].replace("max_tokens", "max_completion_tokens"), "lower annotate.tokens"),
        ("Unrecognized request argument supplied: reasoning_effort", "backbone.reasoning_effort=null"),
        *[(words, "annotate.system=first_user") for words in NO_SYSTEM],
    ],
)
@pytest.mark.parametrize("status", [400, 500])
def test_the_cure_names_the_option_that_the_server_refuses(serve, waits, words, cure, status):
    server = failing(serve, status, {"error": {"message": words}})
    assert f"{cure}" in failure(server, temperature=0.0, reasoning_effort="low")
    if cure.startswith("annotate"):
        assert (len(server.asked), waits) == (1, [])


def test_the_cure_for_the_older_cap_is_the_newer_one(serve):
    words = "Unsupported parameter: 'max_tokens' is not supported with this model. Use 'max_completion_tokens' instead."
    error = failure(failing(serve, 400, {"error": {"message": words}}), cap="max_tokens")
    assert re.search(r"backbone\.cap=max_completion_tokens", error)
