from dataclasses import replace

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForImageTextToText

from legalrr.backbones.local import memory
from legalrr.backbones.local.backbone import TransformersBackbone, forget_engine
from legalrr.backbones.local.memory import cache_bytes, check_memory, state_bytes, state_memory, weight_bytes
from legalrr.backbones.local.prefill import prefill_tokens
from legalrr.errors import UserError


@pytest.mark.parametrize(
    "name", ["llama", "qwen3_vl", "phi3", "gemma3", "qwen3_next", "qwen3_5", "olmo_hybrid", "kimi_linear", "falcon_h1"]
)
def test_states_of_a_prompt_take_the_computed_memory(family, name):
    forget_engine()
    engine = TransformersBackbone(name="m", model=str(family(name)), dtype="bfloat16").load()
    with torch.inference_mode():
        state = prefill_tokens(engine.model, list(range(40)), chunk=100).state
    (part,) = state.parts
    grown = sum(tensor.nbytes for tensor in (*part.keys, *part.values) if tensor is not None)
    assert cache_bytes(engine.model.config, 40, "bfloat16") == grown
    if name != "falcon_h1":
        assert state_bytes(engine.model.config, "bfloat16") == sum(one.nbytes for one in state.snapshots)


def test_without_a_prefix_cache_a_sliding_window_takes_no_more_than_its_width(save_tiny, tmp_path):
    config = AutoConfig.from_pretrained(save_tiny(tmp_path / "sliding", sliding_window=16))
    per_token = 2 * 2 * 2 * 16 * 4
    assert cache_bytes(config, 100, "float32", windowed=True) == 16 * per_token
    assert cache_bytes(config, 100, "float32") == 100 * per_token


@pytest.mark.parametrize(("name", "auto"), [("llama", AutoModelForCausalLM), ("qwen3_vl", AutoModelForImageTextToText)])
def test_weights_take_the_computed_memory(family, name, auto):
    folder = family(name)
    loaded = auto.from_pretrained(folder, dtype=torch.float32)
    config = AutoConfig.from_pretrained(folder)
    weigh = [
        weight_bytes(auto, config, folder, "float32", "none"),
        weight_bytes(auto, config, folder, "float32", "bitsandbytes-int8"),
    ]
    assert weigh == [loaded.get_memory_footprint(return_buffers=False), loaded.num_parameters()]


def test_quantised_weights_take_the_size_of_their_files(family):
    folder = family("llama")
    config = AutoConfig.from_pretrained(folder)
    config.quantization_config = {"quant_method": "fp8"}
    size = (folder / "model.safetensors").stat().st_size
    assert weight_bytes(AutoModelForCausalLM, config, folder, "bfloat16", "none") == size


def test_a_context_that_does_not_fit_is_an_error_with_the_one_that_fits(family, monkeypatch):
    config = AutoConfig.from_pretrained(family("llama"))
    per_token = cache_bytes(config, 1, "float32")
    fields = {"weights": 1000, "dtype": "float32", "device": "cpu", "option": "backbone"}
    monkeypatch.setattr(memory, "available_memory", lambda device: 1000 + 100 * per_token + 7)
    check_memory(config, 100, **fields)
    with pytest.raises(UserError, match=r"backbone\.context: the states of 101 tokens .*: 100 tokens fit"):
        check_memory(config, 101, **fields)
    with pytest.raises(UserError, match=r": 0 tokens fit \(choose a smaller model"):
        check_memory(config, 101, **fields | {"weights": 10**9})


def test_a_window_whose_whole_past_does_not_fit_fits_without_a_prefix_cache(save_tiny, tmp_path, monkeypatch):
    config = AutoConfig.from_pretrained(save_tiny(tmp_path / "sliding", sliding_window=16))
    fields = {"weights": 0, "dtype": "float32", "device": "cpu", "option": "backbone"}
    monkeypatch.setattr(memory, "available_memory", lambda device: cache_bytes(config, 50, "float32"))
    with pytest.raises(UserError, match=r": 50 tokens fit .*, or backbone\.prefix_cache_gb=0, which keeps"):
        check_memory(config, 100, **fields)
    check_memory(config, 100, **fields, windowed=True)


def test_memory_is_checked_before_the_weights_are_loaded(family, monkeypatch):
    monkeypatch.setattr(memory, "available_memory", lambda device: 10**5)
    forget_engine()
    with pytest.raises(UserError, match=r"backbone\.context: the states of 512 tokens"):
        TransformersBackbone(name="m", model=str(family("llama"))).load()


def test_available_memory_is_positive():
    assert memory.available_memory("cpu") == memory.available_memory("auto") > 10**8 or torch.cuda.is_available()


def test_memory_for_states_is_what_libraries_weights_and_activations_leave(family, monkeypatch):
    config = AutoConfig.from_pretrained(family("llama"))
    monkeypatch.setattr(memory, "LIBRARIES", 1_000_000)
    fields = {"weights": 500_000, "dtype": "float32", "chunk": 32, "option": "backbone"}
    head = config.vocab_size * config.hidden_size * 4
    activations = 32 * (6 * config.hidden_size + 3 * config.intermediate_size) * 4
    fixed = 1_000_000 + 500_000 + head + activations
    one = cache_bytes(config, 100, "float32")
    assert state_memory(config, 100, memory=fixed + 2 * one, **fields) == 2 * one
    with pytest.raises(UserError, match=r"^backbone\.memory_gb: .* are too few: .*give at least 0\.\d, or lower"):
        state_memory(config, 100, memory=fixed + 2 * one - 1, **fields)


def test_memory_of_the_process_limits_prefix_cache_and_batches(family, monkeypatch):
    monkeypatch.setattr(memory, "LIBRARIES", 0)
    backbone = TransformersBackbone(name="m", model=str(family("llama")), memory_gb=0.01, prefill_chunk=16)
    forget_engine()
    engine = backbone.load()
    assert 0 < engine.prefixes.capacity < 10_000_000
    token = engine.prefixes.capacity / engine.holds
    assert engine.batch_states == pytest.approx(engine.holds * 2 / 3, abs=1 + 2 / token)
    forget_engine()
    small = replace(backbone, prefix_cache_gb=1e-4).load()
    assert small.prefixes.capacity == 100_000
    assert small.batch_states > engine.batch_states
    forget_engine()
