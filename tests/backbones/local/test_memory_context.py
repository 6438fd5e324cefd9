import json

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForImageTextToText

from legalrr.backbones.local.backbone import TransformersBackbone, forget_engine
from legalrr.backbones.local.memory import set_context
from legalrr.conversations import CallList
from legalrr.errors import UserError
from legalrr.protocols import Call
from legalrr.stage import identity

ROPE = {"rope_type": "default", "rope_theta": 5e6, "mrope_section": [4, 2, 2], "mrope_interleaved": True}


def qwen(family, folder, spelling):
    """Configuration of Qwen3-VL with its rotary settings under either name."""
    content = json.loads((family("qwen3_vl") / "config.json").read_text())
    text = content["text_config"]
    text.pop("rope_parameters")
    text[spelling] = dict(ROPE)
    if spelling == "rope_scaling":
        text["rope_theta"] = text[spelling].pop("rope_theta")
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps(content))
    return AutoConfig.from_pretrained(folder)


@pytest.mark.parametrize("spelling", ["rope_scaling", "rope_parameters"])
@pytest.mark.parametrize(("context", "factor"), [(524288, 2.0), (786432, 3.0)])
def test_qwen3_vl_extends_its_context_with_the_yarn_of_its_card(family, tmp_path, spelling, context, factor):
    config = qwen(family, tmp_path / "qwen", spelling)
    assert set_context(config, context, option="backbone") == context
    text = config.get_text_config()
    expected = ROPE | {"rope_type": "yarn", "factor": factor, "original_max_position_embeddings": 262144}
    assert {name: text.rope_parameters[name] for name in expected} == expected
    assert text.max_position_embeddings == context
    model = AutoModelForImageTextToText.from_config(config)
    rotary = model.model.language_model.rotary_emb
    assert rotary.rope_type == "yarn"
    # Attention factor of YaRN (Peng et al., arXiv 2309.00071).
    assert rotary.attention_scaling == pytest.approx(0.1 * torch.tensor(factor).log().item() + 1)
    assert rotary.mrope_section == [4, 2, 2]


def test_the_native_context_changes_nothing(family, tmp_path):
    for context in (None, 262144, 1000):
        config = qwen(family, tmp_path / str(context), "rope_parameters")
        assert set_context(config, context, option="backbone") == (context or 262144)
        assert config.get_text_config().rope_parameters == ROPE


@pytest.mark.parametrize(
    ("name", "context", "cure"),
    [("qwen3_vl", 300000, "at most 262144 or 524288 or 786432"), ("llama", 524288, r"at most 512\)")],
)
def test_a_longer_context_without_an_extension_is_an_error(family, name, context, cure):
    config = AutoConfig.from_pretrained(family(name))
    with pytest.raises(UserError, match=rf"backbone\.context: a context of {context} tokens .*{cure}"):
        set_context(config, context, option="backbone")


def test_the_extended_model_is_loaded_and_its_context_is_in_the_identity(family):
    forget_engine()
    backbone = TransformersBackbone(name="m", model=str(family("qwen3_vl")), context=524288)
    engine = backbone.load()
    assert engine.context == 524288
    assert engine.model.config.get_text_config().rope_parameters["factor"] == 2.0
    call = Call(key="k", messages=({"role": "user", "content": "x"},), max_new_tokens=2)
    assert next(engine.answer(CallList([call])))[0][1].new_tokens == 2
    assert identity(backbone) != identity(TransformersBackbone(name="m", model=str(family("qwen3_vl"))))


def logits(config, folder, ids):
    model = AutoModelForCausalLM.from_pretrained(folder, config=config).eval()
    with torch.inference_mode():
        return model(input_ids=torch.tensor([ids]), use_cache=False).logits[0, -1]


@pytest.mark.parametrize(("context", "length"), [(None, 100), (64, 40)])
def test_phis_rotary_factors_depend_on_the_context(family, context, length):
    """The library selects factors by the prompt: long ones beyond 64 tokens. Such prompts are unchanged."""
    folder = family("phi3")
    config = AutoConfig.from_pretrained(folder)
    set_context(config, context, option="backbone")
    ids = list(range(length))
    torch.testing.assert_close(
        logits(config, folder, ids), logits(AutoConfig.from_pretrained(folder), folder, ids), rtol=1e-4, atol=1e-4
    )


def test_a_short_prompt_equals_the_prefix_of_a_long_one(family):
    folder = family("phi3")
    config = AutoConfig.from_pretrained(folder)
    set_context(config, None, option="backbone")
    ids = list(range(40))
    model = AutoModelForCausalLM.from_pretrained(folder, config=config).eval()
    with torch.inference_mode():
        short = model(input_ids=torch.tensor([ids]), use_cache=False).logits[0, -1]
        long = model(input_ids=torch.tensor([ids + list(range(100))]), use_cache=False).logits[0, 39]
    torch.testing.assert_close(short, long, rtol=1e-4, atol=1e-4)


def test_a_window_as_wide_as_the_context_is_removed(family, save_family, tmp_path):
    wide = AutoConfig.from_pretrained(family("phi3"))
    set_context(wide, None, option="backbone")
    assert wide.sliding_window is None
    narrow = AutoConfig.from_pretrained(save_family(tmp_path / "narrow", "mistral", sliding_window=100))
    set_context(narrow, None, option="backbone")
    assert narrow.sliding_window == 100
    set_context(narrow, 100, option="backbone")
    assert narrow.sliding_window is None
