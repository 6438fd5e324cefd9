import subprocess
import sys

import pytest

from legalrr.backbones.local.backbone import TransformersBackbone, forget_engine
from legalrr.backbones.sampling import CardSampling
from legalrr.conversations import CallList
from legalrr.errors import UserError
from legalrr.protocols import Backbone, Call
from legalrr.stage import identity

COMMIT = "0123456789abcdef0123456789abcdef01234567"
CALL = Call(key="k", messages=({"role": "user", "content": "x"},), max_new_tokens=2)


def make(**fields):
    return TransformersBackbone(**({"name": "m", "model": "somewhere"} | fields))


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("dtype", "auto"),
        ("attention", "flash"),
        ("quantization", "int8"),
        ("decoding", "beam"),
        ("matmul_precision", "low"),
        ("device", "gpu"),
        ("device", "cuda:"),
        ("context", 0),
        ("batch_tokens", 0),
        ("batch_prefill", 0),
        ("threads", 0),
        ("prefill_chunk", 0),
        ("thinking_tokens", -1),
        ("prefix_cache_gb", -1.0),
    ],
)
def test_impossible_values_are_refused_by_name(field, value):
    with pytest.raises(UserError, match=rf"^backbone\.{field}: .*{value}"):
        make(**{field: value})


def test_sampling_needs_a_card():
    with pytest.raises(UserError, match=r"^backbone\.card: decoding=card needs sampling settings .*temperature, top_p"):
        make(decoding="card")
    with pytest.raises(UserError, match=r"^backbone\.card\.top_p: top_p is 2"):
        make(card=CardSampling(temperature=1.0, top_p=2.0))
    assert isinstance(make(decoding="card", card=CardSampling(temperature=0.7)), Backbone)


def test_split_attention_is_refused_on_devices_without_a_kernel():
    with pytest.raises(UserError, match=r"^backbone\.attention: split has no kernel for mps .use sdpa"):
        make(device="mps")
    assert make(device="mps", attention="sdpa").device == "mps"


def test_constructing_a_backbone_does_not_import_torch():
    program = (
        "import sys; from legalrr.backbones.local.backbone import TransformersBackbone as T; T(name='n', model='m')\n"
        "print(sorted({'torch', 'transformers'} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout == "[]\n"


def test_options_of_speed_are_not_in_the_identity():
    memory = {"batch_tokens": 1, "batch_prefill": 9, "prefill_chunk": 9, "prefix_cache_gb": 0.0}
    quick = make(device="cuda:1", threads=3, name="other", **memory)
    assert identity(quick) == identity(make())
    changes = {"dtype": "bfloat16", "context": 9, "thinking_tokens": 1, "seed": 1, "quantization": "bitsandbytes-int8"}
    assert len({identity(make(**{name: value})) for name, value in changes.items()} | {identity(make())}) == 6


def test_provenance_is_the_digest_of_local_files_or_the_commit_of_a_hub_model(tiny):
    assert set(make(model=str(tiny)).provenance()) == {"sha256"}
    assert make(model="owner/model", revision=COMMIT).provenance() == {"revision": COMMIT}


@pytest.mark.usefixtures("no_network")
def test_a_local_folder_is_read_without_the_network(tiny):
    forget_engine()
    assert next(make(model=str(tiny)).load().answer(CallList([CALL])))


def test_equal_backbones_share_one_engine(tiny):
    forget_engine()
    first = make(model=str(tiny)).load()
    assert make(model=str(tiny)).load() is first
    assert make(model=str(tiny), context=64).load().context == 64
    assert make(model=str(tiny)).load() is not first


def test_the_default_context_is_the_native_one(tiny):
    assert make(model=str(tiny)).load().context == 512
    with pytest.raises(UserError, match=r"backbone\.context: a context of 513 tokens .*at most 512"):
        make(model=str(tiny), context=513).load()


@pytest.mark.parametrize("device", ["cuda:99", "cuda:7"])
def test_a_missing_device_is_an_error(tiny, device):
    with pytest.raises(UserError, match=rf"backbone\.device: no device {device}"):
        make(model=str(tiny), device=device).load()


def test_the_weights_have_the_configured_dtype_and_attention(tiny):
    import torch

    model = make(model=str(tiny), dtype="bfloat16", attention="eager").load().model
    assert {tensor.dtype for tensor in model.parameters()} == {torch.bfloat16}
    assert model.config._attn_implementation == "eager"
    assert not model.training


def test_attention_that_is_not_installed_is_an_error(tiny, monkeypatch):
    from transformers import AutoModelForCausalLM

    def missing(*_, **__):
        raise ImportError("FlashAttention2 has been toggled on, but it cannot be used")

    monkeypatch.setattr(AutoModelForCausalLM, "from_pretrained", missing)
    forget_engine()
    with pytest.raises(UserError, match=r"backbone\.attention: attention flash_attention_2 is not installed.*use sdpa"):
        next(make(model=str(tiny), attention="flash_attention_2").load().answer(CallList([CALL])))


def test_quantisation_without_its_package_is_an_error(tiny, monkeypatch):
    from legalrr.backbones.local import weights

    monkeypatch.setattr(weights, "find_spec", lambda name: None)
    forget_engine()
    with pytest.raises(UserError, match=r"backbone\.quantization: .* needs the package bitsandbytes.*pip install"):
        make(model=str(tiny), quantization="bitsandbytes-int4").load()


def test_device_auto_spreads_the_layers(tiny, monkeypatch):
    from transformers import AutoModelForCausalLM

    load, asked = AutoModelForCausalLM.from_pretrained, []
    monkeypatch.setattr(
        AutoModelForCausalLM, "from_pretrained", lambda *a, **kw: asked.append(kw["device_map"]) or load(*a, **kw)
    )
    for device in ("auto", "cpu"):
        forget_engine()
        assert next(make(model=str(tiny), device=device).load().answer(CallList([CALL])))[0][1].new_tokens == 2
    assert asked == ["auto", None]


def test_thinking_tokens_as_long_as_the_context_are_refused(tiny):
    forget_engine()
    with pytest.raises(UserError, match=r"backbone\.thinking_tokens: thinking_tokens is 512, and the context 512"):
        make(model=str(tiny), thinking_tokens=512).load()


def test_split_is_refused_for_a_model_without_sdpa(tiny, monkeypatch):
    from transformers import LlamaForCausalLM

    monkeypatch.setattr(LlamaForCausalLM, "_supports_sdpa", False)
    forget_engine()
    with pytest.raises(
        UserError, match=r"backbone\.attention: llama does not support replacing its attention function .use eager"
    ):
        next(make(model=str(tiny)).load().answer(CallList([CALL])))


def test_layers_that_cannot_be_continued_need_a_run_without_prefix_cache(save_tiny, tmp_path, monkeypatch):
    from legalrr.backbones.local import cache

    monkeypatch.setattr(cache, "CONTINUABLE_LAYERS", frozenset({"DynamicLayer"}))
    folder = save_tiny(tmp_path / "sliding", sliding_window=16)
    with pytest.raises(UserError, match=r"backbone\.prefix_cache_gb: .* cannot be reused .*DynamicSlidingWindowLayer"):
        make(model=str(folder)).load()
    ((_, reply),) = next(make(model=str(folder), prefix_cache_gb=0.0).load().answer(CallList([CALL])))
    assert reply.new_tokens == 2


def test_a_model_without_a_chat_template_is_refused(save_tiny, tmp_path):
    folder = save_tiny(tmp_path / "base")
    (folder / "chat_template.jinja").unlink()
    with pytest.raises(UserError, match=r"backbone\.model: .* has no chat template"):
        make(model=str(folder)).load()


def test_a_tokenizer_without_offsets_is_refused(tiny, monkeypatch):
    from transformers import PreTrainedTokenizerFast

    monkeypatch.setattr(PreTrainedTokenizerFast, "is_fast", False)
    forget_engine()
    with pytest.raises(UserError, match=r"the tokenizer of .* has no character offsets"):
        make(model=str(tiny)).load()


def test_a_damaged_configuration_is_an_error(save_tiny, tmp_path):
    folder = save_tiny(tmp_path / "broken")
    (folder / "config.json").write_text('{"model_type": ')
    with pytest.raises(UserError, match=r"backbone\.model: transformers cannot load"):
        make(model=str(folder)).load()


def test_damaged_weights_are_an_error(save_tiny, tmp_path):
    folder = save_tiny(tmp_path / "torn")
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(UserError, match=r"backbone\.model: transformers cannot load"):
        next(make(model=str(folder)).load().answer(CallList([CALL])))


def test_missing_weights_are_an_error(save_tiny, tmp_path):
    from safetensors.torch import load_file, save_file

    folder = save_tiny(tmp_path / "holes")
    weights = load_file(folder / "model.safetensors")
    del weights["model.layers.1.mlp.up_proj.weight"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UserError, match=r"lacks 1 of its weights, the first one model\.layers\.1\.mlp\.up_proj"):
        next(make(model=str(folder)).load().answer(CallList([CALL])))
