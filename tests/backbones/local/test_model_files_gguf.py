import logging
from pathlib import Path

import pytest

from legalrr.backbones.local import model_files
from legalrr.backbones.local.backbone import TransformersBackbone, forget_engine
from legalrr.backbones.local.model_files import convert_gguf
from legalrr.conversations import CallList
from legalrr.errors import UserError
from legalrr.protocols import Call


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("LEGALRR_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def source(tmp_path):
    path = tmp_path / "m.gguf"
    path.write_bytes(b"GGUF")
    return path


@pytest.fixture
def conversions(monkeypatch):
    """Stand-in for the conversion that counts calls."""
    done = []

    def convert(path, folder, dtype, option):
        folder.mkdir()
        (folder / "model.safetensors").write_bytes(b"weights")
        done.append(folder)

    monkeypatch.setattr(model_files, "_convert", convert)
    return done


def test_the_environment_sets_the_cache_folder(monkeypatch, tmp_path):
    monkeypatch.setenv("LEGALRR_CACHE", str(tmp_path))
    assert model_files.cache_root() == tmp_path
    monkeypatch.delenv("LEGALRR_CACHE")
    monkeypatch.setenv("HOME", str(tmp_path))
    assert model_files.cache_root() == tmp_path / ".cache" / "legalrr"


def test_a_file_is_converted_once_per_content_and_dtype(cache, source, conversions, caplog):
    with caplog.at_level(logging.INFO):
        first = convert_gguf(source, "float32", option="backbone")
    assert "converting m.gguf" in caplog.text
    assert convert_gguf(source, "float32", option="backbone") == first
    assert len(conversions) == 1
    assert convert_gguf(source, "bfloat16", option="backbone") != first
    source.write_bytes(b"GGUF2")
    assert convert_gguf(source, "float32", option="backbone") != first
    assert len(conversions) == 3
    assert all(folder.parent == cache / "models" for folder in [first])


def test_an_incomplete_conversion_is_redone(cache, source, conversions):
    folder = convert_gguf(source, "float32", option="backbone")
    (folder / model_files.COMPLETE_MARKER).unlink()
    (folder / "model.safetensors").write_bytes(b"wei")
    assert convert_gguf(source, "float32", option="backbone") == folder
    assert (folder / "model.safetensors").read_bytes() == b"weights"


def test_a_conversion_that_fails_leaves_nothing(cache, source, monkeypatch):
    def fail(path, folder, dtype, option):
        folder.mkdir()
        (folder / "model.safetensors").write_bytes(b"wei")
        raise KeyboardInterrupt

    monkeypatch.setattr(model_files, "_convert", fail)
    with pytest.raises(KeyboardInterrupt):
        convert_gguf(source, "float32", option="backbone")
    assert list((cache / "models").iterdir()) == []


def test_the_second_process_uses_the_folder_of_the_first(cache, source, monkeypatch, conversions):
    convert = model_files._convert

    def overtaken(path, folder, dtype, option):
        monkeypatch.setattr(model_files, "_convert", convert)
        winner = convert_gguf(source, "float32", option="backbone")
        (winner / "winner").touch()
        convert(path, folder, dtype, option)

    monkeypatch.setattr(model_files, "_convert", overtaken)
    folder = convert_gguf(source, "float32", option="backbone")
    assert (folder / "winner").exists()
    assert len(conversions) == 2


def test_a_folder_that_cannot_be_renamed_is_an_error(cache, source, monkeypatch, conversions):
    def refuse(path, target):
        raise PermissionError(f"no right to make {target}")

    monkeypatch.setattr(Path, "rename", refuse)
    with pytest.raises(PermissionError, match="no right to make"):
        convert_gguf(source, "float32", option="backbone")


@pytest.mark.parametrize("content", [b"GGUF", b"something else" * 9])
def test_a_file_that_is_not_gguf_is_refused(cache, source, content):
    source.write_bytes(content)
    with pytest.raises(UserError, match=r"backbone\.model: transformers cannot read .*m\.gguf"):
        convert_gguf(source, "float32", option="backbone")


def write_gguf(path):
    """A Llama of one layer with zero attention and a vocabulary of bytes, two merges and two special tokens."""
    import numpy as np
    from gguf import GGUFWriter, TokenType
    from tokenizers import pre_tokenizers

    tokens = [*sorted(pre_tokenizers.ByteLevel.alphabet()), "ap", "st", "<|im_start|>", "<|im_end|>"]
    writer = GGUFWriter(path, "llama")
    writer.add_context_length(96)
    writer.add_embedding_length(32)
    writer.add_block_count(1)
    writer.add_feed_forward_length(32)
    writer.add_head_count(2)
    writer.add_head_count_kv(2)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_freq_base(10000.0)
    writer.add_vocab_size(len(tokens))
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre("smollm")
    writer.add_token_list(tokens)
    writer.add_token_types([TokenType.NORMAL] * (len(tokens) - 2) + [TokenType.CONTROL] * 2)
    writer.add_token_merges(["a p", "s t"])
    writer.add_bos_token_id(len(tokens) - 2)
    writer.add_eos_token_id(len(tokens) - 1)
    writer.add_chat_template(
        "{% for m in messages %}<|im_start|>{{ m['role'] + '\n' + m['content'] }}<|im_end|>\n{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    )
    random = np.random.default_rng(5)

    def add(name, *shape):
        writer.add_tensor(name, random.normal(size=shape).astype(np.float32))

    add("token_embd.weight", len(tokens), 32)
    add("output_norm.weight", 32)
    for name in ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"):
        add(f"blk.0.{name}.weight", 32, 32)
    add("blk.0.attn_norm.weight", 32)
    add("blk.0.ffn_norm.weight", 32)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


@pytest.mark.usefixtures("no_network")
def test_a_gguf_file_answers_like_the_model_that_transformers_dequantises(cache, tmp_path):
    import torch
    from transformers import AutoModelForCausalLM

    path = tmp_path / "tiny.gguf"
    write_gguf(path)
    forget_engine()
    engine = TransformersBackbone(name="tiny", model=str(path)).load()
    call = Call(key="k", messages=({"role": "user", "content": "Is the appeal allowed?"},), max_new_tokens=8)
    ((_, reply),) = next(engine.answer(CallList([call])))
    assert engine.context == 96
    assert engine.tokenizer.model_max_length == 96
    direct = AutoModelForCausalLM.from_pretrained(tmp_path, gguf_file=path.name, dtype=torch.float32)
    loaded = engine.model.state_dict()
    assert all(torch.equal(tensor, loaded[name]) for name, tensor in direct.state_dict().items())
    assert reply.new_tokens == 8
    # One token per byte, three special tokens, and one token each for "ap" and "st".
    assert reply.prompt_tokens == len("user\nIs the appeal allowed?\nassistant\n") + 3 - 2
