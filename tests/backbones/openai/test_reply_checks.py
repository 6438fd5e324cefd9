"""Replies that look right and are not: token counts, the model's name, endings, answers in parts."""

import pytest

from legalrr.backbones.echo import EchoBackbone
from legalrr.backbones.openai.backbone import OpenAIBackbone
from legalrr.conversations import CallList
from legalrr.errors import UserError
from legalrr.protocols import Call

WORDS = 400
CALL = Call(
    key="k",
    messages=({"role": "system", "content": "You judge."}, {"role": "user", "content": "word " * (WORDS - 2)}),
    max_new_tokens=9,
)


def body(content="YES", finish_reason="stop", model="m", **usage):
    return {
        "model": model,
        "choices": [{"index": 0, "finish_reason": finish_reason, "message": {"content": content}}],
        "usage": {"prompt_tokens": 500, "completion_tokens": 2} | usage,
    }


def ask(serve, content, **options):
    server = serve(EchoBackbone().load(), lambda body: lambda handler: handler.reply(200, content))
    asked = {"name": "mock", "model": "m", "context": 1000, "retries": 2, "base_url": server.url} | options
    try:
        ((_, reply),) = [pair for batch in OpenAIBackbone(**asked).load().answer(CallList([CALL])) for pair in batch]
    finally:
        assert len(server.asked) == 1, "no such reply is retried"
    return reply


@pytest.mark.parametrize("usage", [None, {}, {"prompt_tokens": 500}, {"completion_tokens": 2}])
def test_a_reply_without_counts_is_an_error_and_is_not_retried(serve, waits, usage):
    with pytest.raises(UserError, match=r"^call k: .*no token counts \(usage\).*\("):
        ask(serve, body() | {"usage": usage})
    assert waits == []


def test_a_reply_without_the_field_of_counts_is_the_same_error(serve):
    content = body()
    del content["usage"]
    with pytest.raises(UserError, match=r"no token counts \(usage\)"):
        ask(serve, content)


@pytest.mark.parametrize(
    ("usage", "figures"),
    [
        ({"prompt_tokens": 0, "completion_tokens": 0}, ("prompt_tokens=0", "completion_tokens=0")),
        ({"completion_tokens": 0}, ("completion_tokens=0", "3 characters")),
        ({"prompt_tokens": -1}, ("prompt_tokens=-1", "completion_tokens=2")),
        ({"completion_tokens": -3}, ("prompt_tokens=500", "completion_tokens=-3")),
        ({"prompt_tokens_details": {"cached_tokens": 501}}, ("prompt_tokens=500", "cached 501")),
        ({"prompt_tokens_details": {"cached_tokens": -1}}, ("prompt_tokens=500", "cached -1")),
        ({"prompt_tokens": "many"}, ("prompt_tokens='many'",)),
        ({"prompt_tokens": 500.5}, ("prompt_tokens=500.5",)),
    ],
)
def test_impossible_counts_are_an_error_with_the_figures(serve, usage, figures):
    with pytest.raises(UserError, match=r"^call k: ") as failed:
        ask(serve, body(**usage))
    for figure in figures:
        assert figure in str(failed.value)


@pytest.mark.parametrize("counted", [1, WORDS // 2, WORDS - 1])
def test_a_prompt_that_the_server_cut_is_an_error_with_both_figures(serve, counted):
    with pytest.raises(UserError, match=rf"read {counted} prompt tokens.* {WORDS} were sent.*") as failed:
        ask(serve, body(prompt_tokens=counted))
    assert "OLLAMA_CONTEXT_LENGTH=1000" in str(failed.value)


def test_as_many_tokens_as_words_are_a_whole_prompt(serve):
    assert ask(serve, body(prompt_tokens=WORDS)).prompt_tokens == WORDS


def test_a_tokenizer_finds_a_cut_that_words_do_not_show(serve, tiny):
    engine = OpenAIBackbone(name="mock", model="m", context=9000, tokenizer=str(tiny)).load()
    tokens = sum(len(engine.token_ends(message["content"])) for message in CALL.messages)
    assert tokens > 1.2 * WORDS
    assert ask(serve, body(prompt_tokens=tokens), context=9000, tokenizer=str(tiny)).text == "YES"
    with pytest.raises(UserError, match="it cuts prompts"):
        ask(serve, body(prompt_tokens=int(0.85 * tokens)), context=9000, tokenizer=str(tiny))


@pytest.mark.parametrize(
    ("model", "answered"),
    [
        ("m", "m"),
        ("m", ""),
        ("m", None),
        ("gpt-4.1", "gpt-4.1-2025-04-14"),
        ("gpt-4.1-2025-04-14", "gpt-4.1"),
        ("Qwen/Qwen3-8B", "Qwen/Qwen3-8B@main"),
        ("Qwen/Qwen3-8B", "qwen3-8b"),
        ("Qwen/Qwen3-8B", "/models/Qwen/Qwen3-8B"),
        ("llama3.1", "llama3.1:latest"),
    ],
)
def test_a_model_may_be_named_with_its_owner_date_or_revision(serve, model, answered):
    assert ask(serve, body(model=answered), model=model).text == "YES"


@pytest.mark.parametrize(
    ("model", "answered"),
    [
        ("gpt-4.1", "gpt-4.1-mini"),
        ("gpt-4", "gpt-4o"),
        ("gpt-4.1-2025-04-14", "gpt-4.1-2026-01-01"),
        ("Qwen/Qwen3-8B", "other/Qwen3-8B"),
        ("llama3.1:8b", "llama3.1:70b"),
    ],
)
def test_the_reply_of_another_model_is_an_error_with_both_names(serve, model, answered):
    with pytest.raises(UserError, match=f"model {answered}, the request named {model} .*backbone.reply_model"):
        ask(serve, body(model=answered), model=model)
    assert ask(serve, body(model=answered), model=model, reply_model=answered).text == "YES"


@pytest.mark.parametrize(
    ("ending", "new", "reason"),
    [
        ("eos", 2, "stop"),
        ("eos_token", 2, "stop"),
        ("tool_calls", 2, "stop"),
        ("STOP", 2, "stop"),
        (None, 2, "stop"),
        ("", 2, "stop"),
        (None, 9, "length"),
        ("MAX_TOKENS", 9, "length"),
    ],
)
def test_endings_in_other_words_are_a_stop_or_a_length(serve, ending, new, reason):
    reply = ask(serve, body(finish_reason=ending, completion_tokens=new))
    assert (reply.text, reply.finish_reason) == ("YES", reason)


def test_the_parts_of_an_answer_are_joined_without_thoughts(serve):
    parts = [{"type": "thinking", "thinking": [{"type": "text", "text": "NO"}]}, {"type": "text", "text": "YES"}]
    assert ask(serve, body(content=parts)).text == "YES"
