"""Hybrids as backbones: options, identity, memory, errors."""

import json
import logging
import shutil

import pytest
import torch
from hydra import compose, initialize_config_dir
from safetensors.torch import load_file, save_file
from transformers import AutoTokenizer

from legalrr import paths
from legalrr.backbones.catalogue import main
from legalrr.backbones.facts import card
from legalrr.backbones.local import memory
from legalrr.backbones.local.backbone import TransformersBackbone, forget_engine
from legalrr.backbones.local.checkpoint import model_class, open_checkpoint
from legalrr.backbones.local.gka_model import HybridQwen3Config, gka_layers, gka_modules
from legalrr.backbones.local.gka_options import GkaOptions
from legalrr.backbones.local.memory import cache_bytes, state_bytes, token_bytes, weight_bytes
from legalrr.backbones.local.prefill import prefill_tokens
from legalrr.conversations import CallList
from legalrr.errors import UserError
from legalrr.paths import root
from legalrr.protocols import Call
from legalrr.run.pipeline import build_pipeline
from legalrr.stage import description, identity

HYBRIDS = ("gka_llama", "gka_qwen3_vl", "hybrid_qwen3")


@pytest.fixture(autouse=True)
def no_engine():
    forget_engine()
    yield
    forget_engine()


def loaded(folder, **fields):
    forget_engine()
    return TransformersBackbone(**{"name": "m", "model": str(folder)} | fields).load()


def weighed(engine):
    call = Call(key="k", messages=({"role": "user", "content": "Who built it?"},), answers=("YES", "NO"))
    ((_, reply),) = [pair for batch in engine.answer(CallList([call])) for pair in batch]
    return reply.logprobs["YES"]


def composed(*overrides):
    with initialize_config_dir(str(root() / "conf"), version_base="1.3"):
        return build_pipeline(compose("config", overrides=list(overrides))).backbone


@pytest.mark.parametrize("name", ["llama", "qwen3_vl"])
def test_new_gka_layers_of_any_model_are_reported_as_untrained(save_family, name, tmp_path, caplog):
    folder = save_family(tmp_path, name, num_hidden_layers=4)
    engine = loaded(folder, gka=GkaOptions(layers="every:2", num_iter=5))
    with caplog.at_level(logging.WARNING):
        weighed(engine)
    assert gka_layers(engine.model.config) == (1, 3)
    assert {layer.config.num_iter for layer in gka_modules(engine.model)} == {5}
    assert "layers 1, 3 are new, untrained Gated KalmaNet layers" in caplog.text


def test_new_layers_answer_the_same_after_saving(save_family, tmp_path, caplog):
    folder = save_family(tmp_path / "plain", "qwen3", num_hidden_layers=4)
    engine = loaded(folder, gka=GkaOptions(layers=[0, 2]))
    said = weighed(engine)
    engine.model.save_pretrained(tmp_path / "hybrid")
    AutoTokenizer.from_pretrained(folder).save_pretrained(tmp_path / "hybrid")
    caplog.clear()
    assert weighed(loaded(tmp_path / "hybrid")) == said
    assert "untrained" not in caplog.text


@pytest.mark.parametrize("name", HYBRIDS)
def test_saved_settings_can_be_overridden(family, name):
    said = {
        number: weighed(loaded(family(name), gka=GkaOptions(num_iter=number) if number else GkaOptions()))
        for number in (None, 10, 1)
    }
    # The tiny models are saved with 10.
    assert said[None] == said[10]
    assert abs(said[1] - said[10]) > 1e-3
    naive = weighed(loaded(family(name), gka=GkaOptions(backend="naive")))
    assert naive == pytest.approx(said[10], abs=1e-4)


@pytest.mark.parametrize(
    ("name", "fields", "complaint"),
    [
        ("llama", {"gka": GkaOptions(num_iter=3)}, r"backbone\.gka: the model has no Gated KalmaNet layers .*every:2"),
        ("llama", {"gka": GkaOptions(layers=[2])}, r"backbone\.gka\.layers: no layer 2 among 2"),
        ("phi3", {"gka": GkaOptions(layers=[1])}, r"backbone\.gka\.layers: the attention of phi3"),
        ("gka_llama", {"gka": GkaOptions(layers=[1])}, r"backbone\.gka\.layers: layer 1 is a GKA layer already"),
        ("hybrid_qwen3", {"gka": GkaOptions(layers=[0])}, r"gka\.layers: the attention of hybrid_qwen3"),
    ],
)
def test_impossible_layers_are_refused_before_the_weights_are_read(family, name, fields, complaint, monkeypatch):
    monkeypatch.setattr("legalrr.backbones.local.backbone.open_weights", None)
    with pytest.raises(UserError, match=complaint):
        loaded(family(name), **fields)


def test_an_operator_that_the_device_cannot_run_is_refused_by_name(family, monkeypatch):
    monkeypatch.delenv("TRITON_INTERPRET", raising=False)
    with pytest.raises(UserError, match=r"backbone\.gka\.backend: .* needs a CUDA device, .*gka\.backend=chunk"):
        loaded(family("gka_llama"), gka=GkaOptions(backend="triton"))


def test_quantised_layers_cannot_be_replaced():
    with pytest.raises(UserError, match=r"backbone\.quantization: cannot replace layers with quantised weights"):
        TransformersBackbone(name="m", model="m", quantization="bitsandbytes-int8", gka=GkaOptions(layers=[1]))


def test_a_wrong_option_is_named():
    with pytest.raises(UserError, match=r"^backbone\.gka\.backend: unknown backend 'fast'"):
        TransformersBackbone(name="m", model="m", gka=GkaOptions(backend="fast"))


def test_more_layers_can_be_replaced_in_a_saved_hybrid(family):
    engine = loaded(family("gka_llama"), gka=GkaOptions(layers=[2]))
    weighed(engine)
    assert {layer.config.num_iter for layer in gka_modules(engine.model)} == {10}
    assert gka_layers(engine.model.config) == (1, 2, 3)


@pytest.mark.parametrize("name", HYBRIDS)
def test_weights_of_attention_in_place_of_a_gka_layer_are_refused(family, name, tmp_path):
    for file in family(name).iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    weights = load_file(tmp_path / "model.safetensors")
    mixer = next(key for key in weights if key.endswith("layers.1.self_attn.o_proj.weight") or "1.gka.o_proj" in key)
    extra = mixer.rpartition("layers.1.")[0] + "layers.1.self_attn.q_norm.weight"
    save_file(weights | {extra: torch.ones(16)}, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UserError, match=r"has no place for 1 of its weights, the first one .*layers\.1\.self_attn\.q_"):
        weighed(loaded(tmp_path))
    del weights[mixer]
    save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UserError, match=r"lacks 1 of its weights, the first one .*o_proj"):
        weighed(loaded(tmp_path))


def test_an_unknown_field_in_the_files_is_refused(family, tmp_path):
    for file in family("gka_llama").iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    config = json.loads((tmp_path / "config.json").read_text())
    config["gka_config"]["rank"] = 3
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(UserError, match=r"gka_config: unknown field rank"):
        loaded(tmp_path)


def test_the_identity_of_models_without_gka_has_no_gka_field():
    plain = TransformersBackbone(name="m", model="m")
    assert "gka" not in description(plain)["fields"]
    identities = {
        identity(TransformersBackbone(name="m", model="m", gka=gka))
        for gka in (GkaOptions(), GkaOptions(num_iter=1), GkaOptions(num_iter=5), GkaOptions(layers=[1]))
    }
    assert len(identities) == 4
    one, other = (
        TransformersBackbone(name="m", model="m", gka=GkaOptions(layers="by_importance:1", importance=file))
        for file in ("a.json", "b.json")
    )
    assert identity(one) == identity(other)


def test_a_layer_order_is_provenance(family, tmp_path):
    file = tmp_path / "order.json"
    provenances = []
    for order in ([0, 1], [1, 0]):
        file.write_text(json.dumps({"order": order}))
        gka = GkaOptions(layers="by_importance:1", importance=str(file))
        provenances.append(TransformersBackbone(name="m", model=str(family("llama")), gka=gka).provenance())
    assert provenances[0]["sha256"] == provenances[1]["sha256"]
    assert provenances[0] != provenances[1]


@pytest.mark.parametrize(
    ("override", "layers"),
    [("[1,3]", (1, 3)), ("every:2", "every:2"), ("[by_importance:8]", ("by_importance:8",)), ("[]", ())],
)
def test_layers_are_chosen_on_the_command_line(override, layers):
    backbone = composed(
        "backbone=local", "backbone.model=/m", f"backbone.gka.layers={override}", "backbone.gka.num_iter=5"
    )
    assert backbone.gka == GkaOptions(layers=layers, num_iter=5)
    assert backbone != composed("backbone=local", "backbone.model=/m")


@pytest.mark.parametrize(
    "name", ["gka_hqwen3_8b", "gka_hqwen3_8b_reasoner", "gka_hqwen3_32b", "gka_hqwen3_32b_reasoner"]
)
def test_metadata_of_the_released_models_follows_from_their_sizes(name, capsys):
    large = "32b" in name
    layers, heads = (64, 64) if large else (36, 32)
    config = HybridQwen3Config(
        hidden_size=5120 if large else 4096,
        intermediate_size=25600 if large else 12288,
        num_hidden_layers=layers,
        num_attention_heads=heads,
        num_key_value_heads=8,
        hybrid_override_pattern="-".join(["*", "GKA"] * (layers // 2)),
    )
    one = card(name)
    auto = model_class(config, option="backbone")
    assert weight_bytes(auto, config, root(), "bfloat16", "none") == one.weight_bytes("bfloat16")
    states = state_bytes(config, "bfloat16")
    assert one.cache_bytes(1000, "bfloat16") == cache_bytes(config, 1000, "bfloat16") + states
    matrices = 2 * (layers // 2) * heads * 128 * 128 * 4
    assert matrices < states < 1.02 * matrices
    backbone = composed(f"backbone={name}", f"backbone.revision={'a' * 40}", "backbone.gka.num_iter=10")
    assert backbone.gka == GkaOptions(num_iter=10, backend="triton")
    assert (backbone.thinking_tokens > 0) == name.endswith("reasoner")
    main([name, "--length", "1000", "--json"])
    assert json.loads(capsys.readouterr().out)["cache"] == one.cache_bytes(1000, "bfloat16")


@pytest.mark.parametrize("name", HYBRIDS)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_states_of_a_prompt_take_the_computed_memory(family, name, dtype):
    engine = loaded(family(name), dtype=dtype)
    config = engine.model.config
    with torch.inference_mode():
        state = prefill_tokens(engine.model, list(range(40)), chunk=100).state
    assert sum(kept.nbytes for kept in state.snapshots) == state_bytes(config, dtype)
    assert sum(state.memory.values()) == cache_bytes(config, 40, dtype) + state_bytes(config, dtype)
    assert token_bytes(config, dtype) == cache_bytes(config, 1, dtype) + state_bytes(config, dtype) // 1024
    assert engine.holds == int(2e9) // token_bytes(config, dtype)


def test_recurrent_states_count_in_the_memory_check(family, monkeypatch):
    checkpoint = open_checkpoint(str(family("gka_llama")), None, dtype="float32", option="backbone")
    config = checkpoint.config
    weights = weight_bytes(checkpoint.auto, config, checkpoint.folder, "float32", "none")
    need = weights + state_bytes(config, "float32") + cache_bytes(config, 512, "float32")
    monkeypatch.setattr(memory, "available_memory", lambda device: need)
    assert loaded(family("gka_llama")).context == 512
    monkeypatch.setattr(memory, "available_memory", lambda device: need - 1)
    with pytest.raises(UserError, match=r"backbone\.context: the states of 512 tokens .*: 511 tokens fit"):
        loaded(family("gka_llama"))


def test_a_hybrid_folder_is_listed_by_its_configuration(family, tmp_path, monkeypatch, capsys):
    folder = tmp_path / "conf" / "backbone"
    folder.mkdir(parents=True)
    shutil.copy(root() / "conf" / "models.yaml", tmp_path / "conf")
    monkeypatch.setattr(paths, "root", lambda: tmp_path)
    (folder / "mine.yaml").write_text(f"meta: {{licence: mine}}\nmodel: {family('hybrid_qwen3')}\nrevision: null\n")
    main(["mine", "--length", "100", "--dtype", "float32", "--json"])
    checkpoint = open_checkpoint(str(family("hybrid_qwen3")), None, dtype="float32", option="backbone")
    wanted = cache_bytes(checkpoint.config, 100, "float32") + state_bytes(checkpoint.config, "float32")
    assert json.loads(capsys.readouterr().out)["cache"] == wanted
