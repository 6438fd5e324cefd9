import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForImageTextToText

from legalrr.backbones.local import memory
from legalrr.backbones.local.backbone import TransformersBackbone, forget_engine
from legalrr.backbones.local.memory import cache_bytes, check_memory, weight_bytes
from legalrr.backbones.local.prefill import prefill_tokens
from legalrr.errors import UserError


@pytest.mark.parametrize("name", ["llama", "qwen3_vl", "phi3", "qwen3_next", "falcon_h1"])
def test_states_of_a_prompt_take_the_computed_memory(family, name):
    forget_engine()
    engine = TransformersBackbone(name="m", model=str(family(name)), dtype="bfloat16").load()
    with torch.inference_mode():
        state = prefill_tokens(engine.model, list(range(40)), chunk=100).state
    grown = sum(tensor.nbytes for tensor in (*state.keys, *state.values) if tensor is not None)
    assert cache_bytes(engine.model.config, 40, "bfloat16") == grown


def test_a_sliding_window_takes_no_more_than_its_width(save_tiny, tmp_path):
    config = AutoConfig.from_pretrained(save_tiny(tmp_path / "sliding", sliding_window=16))
    assert cache_bytes(config, 100, "float32") == cache_bytes(config, 16, "float32") == 16 * 2 * 2 * 2 * 16 * 4


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


def test_memory_is_checked_before_the_weights_are_loaded(family, monkeypatch):
    monkeypatch.setattr(memory, "available_memory", lambda device: 10**5)
    forget_engine()
    with pytest.raises(UserError, match=r"backbone\.context: the states of 512 tokens"):
        TransformersBackbone(name="m", model=str(family("llama"))).load()


def test_available_memory_is_positive():
    assert memory.available_memory("cpu") == memory.available_memory("auto") > 10**8 or torch.cuda.is_available()
