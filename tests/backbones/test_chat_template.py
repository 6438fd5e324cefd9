"""Chat templates: their arguments reach them, and a hostile one ends in one line."""

import shutil
import signal
import time
from dataclasses import replace
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir

from legalrr.backbones.local.backbone import TransformersBackbone
from legalrr.backbones.openai.backbone import OpenAIBackbone
from legalrr.backbones.openai.tokens import open_tokens
from legalrr.backbones.vllm import VLLMBackbone
from legalrr.conversations import CallList
from legalrr.errors import UserError
from legalrr.paths import root
from legalrr.protocols import Call
from legalrr.run.pipeline import build_pipeline
from legalrr.stage import description, identity

MESSAGES = ({"role": "user", "content": "Is it so?"},)
CALL = Call(key="k", messages=MESSAGES, max_new_tokens=2)
QWEN = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>\n' }}{% endfor %}"
    "{{ '<|im_start|>assistant\n' }}"
    "{% if enable_thinking is defined and not enable_thinking %}{{ '<think>\n\n</think>\n\n' }}{% endif %}"
)
ENDLESS = "{% for a in range(99999) %}" * 6 + "{% if a < 0 %}x{% endif %}" + "{% endfor %}" * 6
QUIET = {"enable_thinking": False}


@pytest.fixture
def save(tiny: Path, tmp_path: Path):
    """Return a function that saves the tiny model with a chat template."""

    def save(template: str) -> Path:
        folder = Path(shutil.copytree(tiny, tmp_path / "model"))
        (folder / "chat_template.jinja").write_text(template, encoding="utf-8")
        return folder

    return save


def local(folder, **options):
    return TransformersBackbone(**({"name": "m", "model": str(folder)} | options))


def template(folder, **options):
    return local(folder, **options).load().template


def test_arguments_of_the_template_reach_a_local_model(save):
    folder = save(QWEN)
    for arguments, ending in (
        (None, "assistant\n"),
        ({"enable_thinking": True}, "assistant\n"),
        (QUIET, "</think>\n\n"),
    ):
        engine = local(folder, chat_template_kwargs=arguments).load()
        (prompt,), _ = engine._tokenize([CALL])
        assert engine.tokenizer.decode(prompt.ids).endswith(ending)


def test_arguments_of_the_template_reach_the_tokenizer_of_a_server(save):
    tokens = open_tokens(str(save(QWEN)), None, option="backbone", arguments=QUIET)
    assert tokens.tokenizer.decode(tokens.conversation(MESSAGES)).endswith("</think>\n\n")


@pytest.mark.parametrize("backbone", [TransformersBackbone, VLLMBackbone])
def test_arguments_of_the_template_enter_the_identity_and_the_time_limit_does_not(backbone):
    plain = backbone(name="m", model="n")
    assert identity(replace(plain, chat_template_kwargs=QUIET)) != identity(plain)
    assert identity(replace(plain, chat_template_seconds=1.0)) == identity(plain)
    assert "chat_template_kwargs" not in description(plain)["fields"]


@pytest.mark.parametrize("engine", ["local", "vllm", "server"])
def test_arguments_of_the_template_are_given_on_the_command_line(engine):
    with initialize_config_dir(str(root() / "conf"), version_base="1.3"):
        overrides = ["backbone.model=m", "backbone.name=m", "backbone.chat_template_kwargs={enable_thinking: false}"]
        built = build_pipeline(compose("config", ["backbone=local", f"engine={engine}", *overrides])).backbone
    assert built.chat_template_kwargs == QUIET


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        ({"enable_thinkin": False}, "the chat template has no argument enable_thinkin (correct the name"),
        ({"tokenize": False}, "tokenize is set by legalrr (leave it out)"),
    ],
)
def test_an_argument_that_does_not_reach_the_template_is_an_error_before_the_model_is_loaded(save, arguments, fault):
    with pytest.raises(UserError) as failed:
        local(save(QWEN), chat_template_kwargs=arguments).load()
    assert str(failed.value).startswith(f"backbone.chat_template_kwargs: {fault}")


def test_a_template_that_never_ends_is_an_error_that_names_the_time_limit(save):
    engine = local(save(ENDLESS), chat_template_seconds=0.2).load()
    with pytest.raises(UserError) as failed:
        list(engine.answer(CallList([CALL])))
    assert str(failed.value) == (
        "backbone.model: the chat template takes more than 0.2 s for one conversation "
        "(raise backbone.chat_template_seconds, or choose another model)"
    )


def test_a_template_that_computes_for_ever_while_it_is_compiled_is_an_error_too(save):
    tokens = open_tokens(str(save("{{ 7 ** (7 ** 9) }}")), None, option="backbone", seconds=0.2)
    with pytest.raises(UserError, match=r"^backbone\.tokenizer: the chat template takes more than 0\.2 s"):
        tokens.conversation(MESSAGES)


@pytest.mark.parametrize(
    "program",
    [
        "{{ 1 // 0 }}",
        "{{ messages[0]['content'] + 1 }}",
        "{{ messages[7]['content'] }}",
        "{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}",
        "{{ messages.append(1) }}",
        "{% for",
        "{{ range(10 ** 9) }}",
    ],
)
def test_an_error_of_the_template_is_one_line(save, program):
    with pytest.raises(UserError, match=r"^backbone\.model: the chat template rejects this conversation \(user\): \S"):
        list(local(save(program)).load().answer(CallList([CALL])))


def test_the_time_limit_leaves_no_alarm_behind(tiny):
    handler = signal.getsignal(signal.SIGALRM)
    assert template(tiny, chat_template_seconds=0.05).tokenize(MESSAGES)
    assert signal.getsignal(signal.SIGALRM) is handler
    assert signal.getitimer(signal.ITIMER_REAL) == (0.0, 0.0)
    time.sleep(0.06)


@pytest.mark.parametrize("seconds", [0.0, -1.0, float("inf"), float("nan")])
def test_a_time_limit_that_is_none_is_refused_by_name(seconds):
    for backbone, more in ((TransformersBackbone, {}), (VLLMBackbone, {}), (OpenAIBackbone, {"context": 9})):
        with pytest.raises(UserError, match=r"^backbone\.chat_template_seconds: chat_template_seconds is"):
            backbone(name="m", model="n", chat_template_seconds=seconds, **more)
