"""Thoughts: the switch of a chat template, contradictions, and budgets in the engines."""

import shutil
from pathlib import Path

import pytest
import torch
from hydra import compose, initialize_config_dir

from legalrr.backbones.local.backbone import TransformersBackbone, forget_engine
from legalrr.backbones.openai.backbone import OpenAIBackbone
from legalrr.backbones.sampling import Generated
from legalrr.backbones.thinking import CLOSED, CLOSING, OPENED, ThoughtBudget, ThoughtCloser, find_switch
from legalrr.backbones.vllm import VLLMBackbone
from legalrr.conversations import CallList
from legalrr.errors import UserError
from legalrr.paths import root
from legalrr.protocols import Call
from legalrr.run.pipeline import build_pipeline
from legalrr.stage import description, identity
from legalrr.verdict import find_reasoning, reasoning_end

SERVED = {"context": 99, "tokenizer": "owner/model"}
BACKBONES = ((TransformersBackbone, {}), (VLLMBackbone, {}), (OpenAIBackbone, SERVED))
TURNS = "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>\n' }}{% endfor %}"
START = TURNS + "{{ '<|im_start|>assistant\n' }}"
EMPTY_THOUGHT = "<think>\n\n</think>\n\n"
EMPTY = "{{ '<think>\n\n</think>\n\n' }}"
QWEN3 = START + "{% if enable_thinking is defined and not enable_thinking %}" + EMPTY + "{% endif %}"
QWEN35 = START + "{% if enable_thinking %}{{ '<think>\n' }}{% else %}" + EMPTY + "{% endif %}"
GRANITE = START + "{% if thinking %}{{ 'Think first.\n' }}{% endif %}"
ALWAYS = START + "{{ '<think>\n' }}"
IDLE = START + "{# enable_thinking #}"
CALL = Call(key="k", messages=({"role": "user", "content": "Is it so?"},), max_new_tokens=4)


def load(folder, **options):
    forget_engine()
    return TransformersBackbone(name="m", model=str(folder), **options).load()


def prompt_end(engine):
    (prompt,), _ = engine._tokenize([CALL])
    return engine.tokenizer.decode(prompt.ids).partition("assistant\n")[2]


@pytest.mark.parametrize(
    ("template", "off", "on"),
    [
        (QWEN3, "<think>\n\n</think>\n\n", ""),
        (QWEN35, "<think>\n\n</think>\n\n", "<think>\n"),
        (GRANITE, "", "Think first.\n"),
    ],
)
def test_off_and_on_set_the_switch_of_the_template(save_thinking, template, off, on):
    assert prompt_end(load(save_thinking(template), thinking="off")) == off
    assert prompt_end(load(save_thinking(template), thinking="on", thinking_tokens=8)) == on


def test_a_name_that_changes_no_prompt_is_no_switch(save_thinking):
    assert find_switch(load(save_thinking(IDLE)).template) is None
    for mode, tokens in (("off", 0), ("on", 8)):
        with pytest.raises(UserError, match=rf"^backbone\.thinking: .* cannot switch thoughts {mode}: it has no"):
            load(save_thinking(IDLE), thinking=mode, thinking_tokens=tokens)


def test_a_model_that_always_thinks_can_be_told_to_but_not_forbidden(save_thinking):
    assert prompt_end(load(save_thinking(ALWAYS), thinking="on", thinking_tokens=8)) == "<think>\n"
    with pytest.raises(UserError, match=r"^backbone\.thinking: .* cannot switch thoughts off"):
        load(save_thinking(ALWAYS), thinking="off")


@pytest.mark.parametrize(("backbone", "more"), BACKBONES)
def test_contradictions_are_refused_by_name(backbone, more):
    for options, message in (
        ({"thinking": "perhaps"}, r"backbone\.thinking: unknown thinking 'perhaps' \(use off, on, budget, or null\)"),
        ({"thinking": "off", "thinking_tokens": 5}, r"backbone\.thinking_tokens: thinking=off with thinking_tokens=5"),
        ({"thinking": "on"}, r"backbone\.thinking_tokens: thinking=on without tokens"),
        ({"thinking": "off", "chat_template_kwargs": {"enable_thinking": True}}, r"backbone\.thinking: .* too"),
    ):
        with pytest.raises(UserError, match=f"^{message}"):
            backbone(name="m", model="n", **more, **options)


@pytest.mark.parametrize(("backbone", "more"), BACKBONES)
def test_thinking_enters_the_identity_unless_it_is_null(backbone, more):
    plain, off = (backbone(name="m", model="n", thinking=mode, **more) for mode in (None, "off"))
    assert "thinking" not in description(plain)["fields"]
    assert identity(plain) != identity(off)


@pytest.mark.parametrize("engine", ["local", "vllm", "server"])
@pytest.mark.parametrize(("word", "mode"), [("off", "off"), ("false", "off"), ("null", None)])
def test_thinking_is_given_on_the_command_line(tiny, engine, word, mode):
    with initialize_config_dir(str(root() / "conf"), version_base="1.3"):
        overrides = [f"engine={engine}", "backbone.model=m", "backbone.name=m", f"backbone.thinking={word}"]
        overrides += [f"backbone.tokenizer={tiny}"] if engine == "server" else []
        built = build_pipeline(compose("config", ["backbone=local", *overrides])).backbone
    assert built.thinking == mode


@pytest.mark.parametrize("template", [QWEN3, QWEN35])
def test_without_thoughts_answers_are_compared_and_read_from_their_start(save_thinking, template):
    engine = load(save_thinking(template), thinking="off")
    assert engine.can.logprobs
    assert engine.can.structured
    ((_, reply),) = next(engine.answer(CallList([CALL])))
    assert reasoning_end(reply.text) == 0
    assert not load(save_thinking(template), thinking="on", thinking_tokens=8).can.logprobs


@pytest.mark.parametrize("family", ["qwen3", "qwen3_5_text"])
def test_a_later_turn_that_drops_the_empty_thought_continues_from_the_end_of_the_question(
    save_family, tmp_path, family
):
    """Also with recurrent layers, which continue only where they were copied."""
    folder = save_family(tmp_path / "model", family)
    (folder / "chat_template.jinja").write_text(QWEN35, encoding="utf-8")
    engine = load(folder, thinking="off")
    ((_, first),) = next(engine.answer(CallList([CALL])))
    quoted = ({"role": "assistant", "content": "YES"}, {"role": "user", "content": "Why?"})
    later = Call(key="later", messages=(*CALL.messages, *quoted), max_new_tokens=4)
    ((_, reply),) = next(engine.answer(CallList([later])))
    assert reply.cached_tokens == first.prompt_tokens - len(EMPTY_THOUGHT)
    ((_, alone),) = next(load(folder, thinking="off", prefix_cache_gb=0.0).answer(CallList([later])))
    assert reply.text == alone.text


def test_an_unfinished_thought_that_began_in_the_prompt_is_marked_in_the_answer(save_thinking):
    ((_, reply),) = next(load(save_thinking(QWEN35), thinking="on", thinking_tokens=8).answer(CallList([CALL])))
    assert reply.text.startswith(OPENED)
    assert find_reasoning(reply.text).unfinished == 0


@pytest.mark.parametrize("fields", [{}, {"prefix_cache_gb": 0.0}])
@pytest.mark.parametrize("tokens", [5, 40])
def test_a_budget_closes_a_thought_that_began_in_the_prompt_and_lets_the_model_answer(save_thinking, tokens, fields):
    folder = save_thinking(QWEN35)
    calls = [CALL, Call(key="other", messages=({"role": "user", "content": "A wall?"},), max_new_tokens=4)]
    engine = load(folder, thinking="budget", thinking_tokens=tokens, **fields)
    closing = len(engine.tokenise(CLOSING))
    limited = {key: reply for batch in engine.answer(CallList(calls)) for key, reply in batch}
    free = load(folder, thinking="on", thinking_tokens=tokens + closing, **fields)
    closed = []
    for key, reply in (pair for batch in free.answer(CallList(calls)) for pair in batch):
        text = limited[key].text
        assert limited[key].new_tokens <= tokens + closing + CALL.max_new_tokens
        if CLOSING in text:
            # A character may be cut at the limit.
            thought = text.partition(CLOSING)[0].rstrip("\ufffd")
            assert reply.text.startswith(thought)
            assert text[reasoning_end(text) :] == text.partition(CLOSED)[2]
            closed.append(key)
        else:
            assert text == reply.text
    assert closed


def test_a_thought_is_closed_only_if_it_is_open():
    budget = ThoughtBudget(tokens=3, in_prompt=False, opened=7, closed=8, closing=(5, 8))
    rows = [[7, 1, 1], [1, 1, 1], [7, 8, 1], [7, 9, 9]]

    def scores(rows, before):
        """Scores after rows of tokens, of which the first `before` are from an earlier call of `generate`."""
        generated = Generated(before=[row[:before] for row in rows], width=1)
        ids = torch.tensor([[0, *row[before:]] for row in rows])
        return ThoughtCloser(budget, ends=[9], generated=generated)(ids, torch.zeros(len(rows), 10))

    for before in (0, 2):
        for extra, forced in (((), 5), ((5,), 8)):
            found = scores([row + list(extra) for row in rows], before)
            assert found[0].argmax() == forced
            assert found[0].isinf().sum() == 9
            assert not found[1:].any()
        for early_or_late in (rows[0][:2], [*rows[0], 5, 8]):
            assert not scores([early_or_late], before).any()


def served(folder, **options):
    backbone = OpenAIBackbone(name="m", model="n", context=999, tokenizer=str(folder), **options)
    return backbone.load()._requests.parameters


def test_a_server_is_sent_the_switch_of_the_template_of_its_model(save_thinking):
    assert served(save_thinking(QWEN3), thinking="off") == {"chat_template_kwargs": {"enable_thinking": False}}
    kept = {"chat_template_kwargs": {"enable_thinking": True, "tools": []}}
    other = {"chat_template_kwargs": {"tools": []}}
    assert served(save_thinking(QWEN3), thinking="on", thinking_tokens=9, **other) == kept
    assert served(save_thinking(ALWAYS), thinking="on", thinking_tokens=9) == {}
    with pytest.raises(UserError, match=r"^backbone\.thinking: .* cannot switch thoughts off"):
        served(save_thinking(IDLE), thinking="off")


def test_a_server_limits_thoughts_if_it_has_a_parameter_for_it(save_thinking):
    options = {"thinking": "budget", "thinking_tokens": 9}
    with pytest.raises(UserError, match=r"^backbone\.thought_cap: thinking=budget needs a server that limits thoughts"):
        served(save_thinking(QWEN3), **options)
    sent = served(save_thinking(QWEN3), **options, thought_cap="thinking_token_budget")
    assert sent == {"chat_template_kwargs": {"enable_thinking": True}, "thinking_token_budget": 9}


def test_a_server_without_the_tokenizer_of_its_model_has_no_switch():
    with pytest.raises(UserError, match=r"^backbone\.tokenizer: thinking=off sets .* characters:3 does not have"):
        OpenAIBackbone(name="m", model="n", context=99, thinking="off")
    with pytest.raises(UserError, match=r"^backbone\.thinking: thinking=off with reasoning_effort=high"):
        OpenAIBackbone(name="m", model="n", context=99, tokenizer="a/b", thinking="off", reasoning_effort="high")


def test_a_budget_needs_tags_that_are_tokens_and_stay_in_an_answer(tiny, tmp_path):
    folder = Path(shutil.copytree(tiny, tmp_path / "model"))
    (folder / "chat_template.jinja").write_text(QWEN3, encoding="utf-8")
    with pytest.raises(UserError, match=r"^backbone\.thinking: the tokenizer has no token <think> that stays"):
        load(folder, thinking="budget", thinking_tokens=8)
