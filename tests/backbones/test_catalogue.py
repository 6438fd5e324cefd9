"""The command `legalrr models` and the metadata of conf/backbone."""

import json
import shutil
from pathlib import Path

import pytest
from huggingface_hub import constants
from transformers import AutoConfig, AutoModelForCausalLM

from legalrr import paths
from legalrr.backbones import catalogue
from legalrr.backbones.catalogue import main
from legalrr.backbones.facts import backbone_names, card
from legalrr.backbones.local.memory import cache_bytes, weight_bytes
from legalrr.cli import run_command
from legalrr.errors import UserError

COMMIT = "a" * 40
OTHER = "b" * 40


@pytest.fixture(autouse=True)
def hub(tmp_path, monkeypatch):
    """An empty hub cache."""
    folder = tmp_path / "hub"
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(folder))
    return folder


@pytest.fixture
def conf(tmp_path, monkeypatch):
    """Function (name, text) that writes a config to an otherwise empty conf/backbone."""
    own = paths.root() / "conf"
    shutil.copytree(own / "engine", tmp_path / "conf" / "engine")
    shutil.copy(own / "models.yaml", tmp_path / "conf")
    monkeypatch.setattr(paths, "root", lambda: tmp_path)

    def write(name: str, text: str) -> None:
        file = tmp_path / "conf" / "backbone" / f"{name}.yaml"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")

    return write


def rows(capsys, *arguments):
    main([*arguments, "--json"])
    return {row["name"]: row for row in map(json.loads, capsys.readouterr().out.splitlines())}


def refused(capsys, *arguments):
    with pytest.raises(SystemExit) as caught:
        run_command("models", [str(argument) for argument in arguments])
    assert caught.value.code == 2
    return capsys.readouterr().err


def cached(hub: Path, source: Path, model: str, commit: str) -> Path:
    """Put a model folder into the hub cache, in the layout of the hub's client."""
    repo = hub / f"models--{model.replace('/', '--')}"
    snapshot = repo / "snapshots" / commit
    snapshot.mkdir(parents=True)
    (repo / "blobs").mkdir(exist_ok=True)
    for file in source.iterdir():
        blob = repo / "blobs" / f"{commit}-{file.name}"
        blob.write_bytes(file.read_bytes())
        (snapshot / file.name).symlink_to(blob)
    return snapshot


def test_all_backbones_are_listed_with_licence_and_local_ones_with_memory(capsys, no_network):
    found = rows(capsys)
    assert list(found) == backbone_names()
    for row in found.values():
        assert row["licence"]
        if row["files"] in ("here", "absent"):
            assert None not in (row["model"], row["context"], row["weights"], row["cache"])
        else:
            assert row["weights"] is row["cache"] is None
    assert found["echo"]["files"] == "none"
    assert found["local"]["files"] == "open"
    assert found["o3_mini"]["files"] == "served"
    assert found["qwen3_vl_8b"]["files"] == "absent"


def test_memory_follows_from_metadata_length_and_dtype(capsys):
    row = rows(capsys, "qwen3_vl_8b", "--length", "1000")["qwen3_vl_8b"]
    assert row["weights"] == 2 * 8_767_123_696
    assert row["cache"] == 1000 * 2 * 36 * 8 * 128 * 2
    wide = rows(capsys, "qwen3_vl_8b", "--length", "3000", "--dtype", "float32")["qwen3_vl_8b"]
    assert (wide["weights"], wide["cache"]) == (2 * row["weights"], 6 * row["cache"])


@pytest.mark.parametrize("name", [name for name in backbone_names() if name.startswith("qwen3_vl")])
def test_a_thinking_model_is_as_large_as_its_instruct_version(name):
    one, other = card(name), card(name.removesuffix("_thinking"))
    assert (one.licence, one.context, one.parameters, one.cache) == (
        other.licence,
        other.context,
        other.parameters,
        other.cache,
    )


def test_a_local_configuration_overrides_metadata(conf, family, capsys):
    folder = family("llama")
    facts = "meta: {licence: mine, context: 9 tokens, parameters: 9, cache: 9 layers of 9 key-value heads of 9}\n"
    conf("mine", f"{facts}model: {folder}\nrevision: null\n")
    row = rows(capsys, "--length", "100", "--dtype", "float16")["mine"]
    config = AutoConfig.from_pretrained(folder)
    assert (row["files"], row["paths"], row["context"]) == ("here", [str(folder)], 512)
    assert row["weights"] == weight_bytes(AutoModelForCausalLM, config, folder, "float16", "none")
    assert row["cache"] == cache_bytes(config, 100, "float16")


def test_metadata_gives_the_same_memory_as_the_configuration(conf, family):
    config = AutoConfig.from_pretrained(family("qwen3"))
    conf("mine", "meta: {cache: 2 layers of 2 key-value heads of 16}\nmodel: me/mine\nrevision: null\n")
    assert card("mine").cache_bytes(77, "float16") == cache_bytes(config, 77, "float16")


def test_a_hub_model_is_local_at_every_complete_commit_of_the_cache(conf, family, hub, capsys):
    conf("mine", "model: me/mine\nrevision: null\n")
    assert rows(capsys)["mine"]["files"] == "absent"
    folders = [cached(hub, family("llama"), "me/mine", commit) for commit in (COMMIT, OTHER)]
    assert rows(capsys)["mine"]["paths"] == [str(folder) for folder in folders]
    (folders[0] / "model.safetensors").unlink()
    assert rows(capsys)["mine"]["paths"] == [str(folders[1])]
    conf("mine", f"model: me/mine\nrevision: {COMMIT}\n")
    assert rows(capsys)["mine"]["files"] == "absent"


def test_a_missing_shard_makes_a_download_incomplete(conf, family, hub, capsys):
    conf("mine", "model: me/mine\nrevision: null\n")
    folder = cached(hub, family("llama"), "me/mine", COMMIT)
    index = {"weight_map": {"a": "model.safetensors", "b": "model-2.safetensors"}}
    (folder / catalogue.INDEX).write_text(json.dumps(index))
    assert rows(capsys)["mine"]["files"] == "absent"
    (folder / "model-2.safetensors").write_bytes((folder / "model.safetensors").read_bytes())
    assert rows(capsys)["mine"]["files"] == "here"
    (folder / catalogue.INDEX).write_text("{")
    said = refused(capsys)
    assert catalogue.INDEX in said
    assert "download the model again" in said
    conf("mine", "model: me/other\nrevision: null\n")
    assert rows(capsys)["mine"]["files"] == "absent"


def test_missing_metadata_is_unknown(conf, capsys):
    conf("mine", "model: me/mine\nrevision: null\n")
    row = rows(capsys)["mine"]
    assert [row[key] for key in ("licence", "context", "weights", "cache")] == [None] * 4
    main([])
    shown = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert "mine me/mine ? ? ? - not here" in shown


def test_the_table_shows_memory_and_marks_a_length_beyond_the_context(capsys):
    main(["mistral_7b", "o3_mini", "--length", "40000"])
    shown = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert "40,000 tokens" in shown
    assert "32,768 19.7 (14.5 + 5.2) local, vllm, not here" in shown
    assert "beyond its context server" in shown
    assert "200,000 - - on a server" in shown
    assert "downloaded by the first run" in shown


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["no_such"], ["no backbone 'no_such'", "qwen3_vl_8b"]),
        (["--length", "0"], ["--length", "at least 1"]),
        (["--length", "long"], ["--length", "'long'"]),
        (["--dtype", "int8"], ["--dtype", "bfloat16"]),
    ],
)
def test_bad_input_is_refused_by_name(arguments, words, capsys):
    said = refused(capsys, *arguments)
    assert all(word in said for word in words)


@pytest.mark.parametrize(
    ("line", "key"),
    [
        ("meta: {context: many}", "context"),
        ("meta: {parameters: 9.e+9}", "parameters"),
        ("meta: {parameters: '9e9'}", "parameters"),
        ("meta: {parameters: ','}", "parameters"),
        ("meta: {cache: 9 layers}", "cache"),
        ("# Context: many", "context"),
    ],
)
def test_an_unreadable_entry_names_its_file(conf, line, key):
    conf("mine", f"{line}\nmodel: me/mine\n")
    with pytest.raises(UserError, match=rf"mine\.yaml: cannot read meta\.{key} .*write {key}: "):
        card("mine")


def test_a_folder_without_weights_is_not_local(conf, tmp_path, capsys):
    (tmp_path / "empty").mkdir()
    conf("mine", f"model: {tmp_path / 'empty'}\nrevision: null\n")
    assert rows(capsys)["mine"]["files"] == "absent"


@pytest.mark.model
def test_metadata_of_the_packaged_model_equals_its_file():
    from legalrr.backbones.local.checkpoint import open_checkpoint

    one = card("smollm2")
    checkpoint = open_checkpoint(one.model, None, dtype="float32", option="backbone")
    config = checkpoint.config
    assert config.max_position_embeddings == one.context
    assert cache_bytes(config, 50, "float32") == one.cache_bytes(50, "float32")
    weights = weight_bytes(checkpoint.auto, config, checkpoint.folder, "float32", "none")
    assert weights == one.weight_bytes("float32")


def test_uncertain_facts_are_marked_until_local_files_give_them(conf, family, capsys):
    facts = "licence: mine, cache: 2 layers of 2 key-value heads of 16, source: 'https://x.org', read: 2026-11"
    uncertain = "uncertain: 'licence, context, cache'"
    conf("far", f"meta: {{{facts}, context: 512, parameters: 9000, {uncertain}}}\nmodel: me/mine\nrevision: null\n")
    conf("near", f"meta: {{{facts}, context: 512, {uncertain}}}\nmodel: {family('llama')}\nrevision: null\n")
    found = rows(capsys)
    assert found["far"]["uncertain"] == ["licence", "context", "cache"]
    assert found["near"]["uncertain"] == ["licence"]
    assert {(row["source"], row["read"]) for row in found.values()} == {("https://x.org", "2026-11")}
    main(["far", "near", "--length", "100"])
    shown = capsys.readouterr().out
    far, near = [line for line in shown.splitlines() if "│ far" in line or "│ near" in line]
    assert [far.count(" ? "), near.count(" ? ")] == [3, 1]
    assert "a value with ? was not checked" in shown


def test_an_unknown_uncertain_fact_names_the_known_ones(conf):
    conf("mine", "meta: {uncertain: size}\nmodel: me/mine\n")
    with pytest.raises(UserError, match=r"mine\.yaml: meta\.uncertain names no fact 'size' .*licence, context"):
        card("mine")


def test_the_engines_of_a_model_are_listed(capsys):
    found = rows(capsys, "qwen3_vl_8b_fp8", "gka_hqwen3_8b", "local", "echo")
    assert {name: row["engines"] for name, row in found.items()} == {
        "qwen3_vl_8b_fp8": ["vllm", "server"],
        "gka_hqwen3_8b": ["local"],
        "local": ["local", "server", "vllm"],
        "echo": [],
    }


def test_former_choices_are_not_listed():
    assert not {"vllm_local", "vllm_qwen3_vl_8b", "openai_local"} & set(backbone_names())
