"""Sizes that conf/backbone states follow from the shape of each model, as its config.json gives it.

The number of parameters depends on every size below, so that a wrong one gives another number.
"""

import pytest
import torch
from transformers import CONFIG_MAPPING, AutoModelForCausalLM, AutoModelForImageTextToText

import legalrr.backbones.local.gka_model  # noqa: F401  # registers hybrid_qwen3
from legalrr.backbones.facts import card
from legalrr.backbones.local.memory import cache_bytes, state_bytes

QWEN3 = {"head_dim": 128, "num_key_value_heads": 8, "vocab_size": 151936}
MOE = {"head_dim": 128, "num_key_value_heads": 4, "vocab_size": 151936, "num_experts": 128}
LARGE = {"depth": 27, "hidden_size": 1152, "intermediate_size": 4304, "deepstack_visual_indexes": [8, 16, 24]}
SMALL = {"depth": 24, "hidden_size": 1024, "intermediate_size": 4096, "deepstack_visual_indexes": [5, 11, 17]}
"""Image encoders of Qwen3-VL."""
QWEN35 = {"num_key_value_heads": 2, "linear_num_value_heads": 16, "tie_word_embeddings": True}
SIGLIP = {"hidden_size": 1152, "intermediate_size": 4304, "num_hidden_layers": 27, "num_attention_heads": 16}
SIGLIP |= {"image_size": 896, "patch_size": 14, "vision_use_head": False}
"""Image encoder of Gemma 3."""
PHI14 = {"num_hidden_layers": 40, "hidden_size": 5120, "intermediate_size": 17920, "num_attention_heads": 40}
PHI14 |= {"pad_token_id": None}
PHI = {"num_hidden_layers": 32, "hidden_size": 3072, "intermediate_size": 8192, "pad_token_id": None}
LLAMA = {"num_hidden_layers": 32, "hidden_size": 4096, "intermediate_size": 14336, "num_key_value_heads": 8}


def layers(number, hidden, inner, heads):
    """Fields of a decoder."""
    return {
        "num_hidden_layers": number,
        "hidden_size": hidden,
        "intermediate_size": inner,
        "num_attention_heads": heads,
    }


def hybrid(number, hidden, inner, heads):
    """Fields of a Qwen3 with Gated KalmaNet in every second layer."""
    fields = QWEN3 | layers(number, hidden, inner, heads) | {"tie_word_embeddings": False, "gka_config": {}}
    return fields | {"hybrid_override_pattern": "-".join(["*", "GKA"] * (number // 2))}


def gemma(number, hidden, inner, heads, pairs, size):
    """Fields of a Gemma 3, with its image encoder."""
    fields = {"num_key_value_heads": pairs, "head_dim": size, "vocab_size": 262208}
    return ("gemma3", SIGLIP, True, fields | layers(number, hidden, inner, heads))


SHAPES = {
    "qwen3_0_6b": ("qwen3", None, True, QWEN3 | layers(28, 1024, 3072, 16)),
    "qwen3_1_7b": ("qwen3", None, True, QWEN3 | layers(28, 2048, 6144, 16)),
    "qwen3_4b": ("qwen3", None, True, QWEN3 | layers(36, 2560, 9728, 32)),
    "qwen3_8b": ("qwen3", None, False, QWEN3 | layers(36, 4096, 12288, 32)),
    "qwen3_14b": ("qwen3", None, False, QWEN3 | layers(40, 5120, 17408, 40)),
    "qwen3_32b": ("qwen3", None, False, QWEN3 | layers(64, 5120, 25600, 64)),
    "qwen3_next_80b_a3b": ("qwen3_next", None, False, {}),
    "qwen3_5_9b": ("qwen3_5_text", None, False, {}),
    "gemma_3_1b": (
        "gemma3_text",
        None,
        True,
        {"num_key_value_heads": 1, "head_dim": 256, "vocab_size": 262144} | layers(26, 1152, 6912, 4),
    ),
    "gemma_3_4b": gemma(34, 2560, 10240, 8, 4, 256),
    "gemma_3_12b": gemma(48, 3840, 15360, 16, 8, 256),
    "gemma_3_27b": gemma(62, 5376, 21504, 32, 16, 128),
    "phi_4": ("phi3", None, False, PHI14 | {"num_key_value_heads": 10, "vocab_size": 100352}),
    "qwen3_vl_2b": ("qwen3_vl", SMALL, True, QWEN3 | layers(28, 2048, 6144, 16)),
    "qwen3_vl_4b": ("qwen3_vl", SMALL, True, QWEN3 | layers(36, 2560, 9728, 32)),
    "qwen3_vl_8b": ("qwen3_vl", LARGE, False, QWEN3 | layers(36, 4096, 12288, 32)),
    "qwen3_vl_32b": ("qwen3_vl", LARGE, False, QWEN3 | layers(64, 5120, 25600, 64)),
    "qwen3_vl_30b_a3b": (
        "qwen3_vl_moe",
        LARGE,
        False,
        MOE | layers(48, 2048, 6144, 32) | {"moe_intermediate_size": 768},
    ),
    "qwen3_vl_235b_a22b": (
        "qwen3_vl_moe",
        LARGE,
        False,
        MOE | layers(94, 4096, 12288, 64) | {"moe_intermediate_size": 1536},
    ),
    "llama_3_1_8b": ("llama", None, False, LLAMA | {"vocab_size": 128256}),
    "mistral_7b": ("mistral", None, False, LLAMA | {"vocab_size": 32768}),
    "phi_3_mini_128k": ("phi3", None, False, PHI | {"vocab_size": 32064, "num_attention_heads": 32}),
    "phi_4_mini": (
        "phi3",
        None,
        True,
        PHI | {"vocab_size": 200064, "num_attention_heads": 24, "num_key_value_heads": 8},
    ),
    "gka_hqwen3_8b": ("hybrid_qwen3", None, False, hybrid(36, 4096, 12288, 32)),
    "gka_hqwen3_32b": ("hybrid_qwen3", None, False, hybrid(64, 5120, 25600, 64)),
}
"""Model -> architecture, image encoder, whether input and output share an embedding, text."""


@pytest.mark.parametrize("name", SHAPES)
def test_parameters_and_cache_follow_from_the_shape_of_the_model(name):
    kind, vision, tied, text = SHAPES[name]
    if vision is None:
        config = CONFIG_MAPPING[kind](**text | {"tie_word_embeddings": tied})
    else:
        if kind.startswith("qwen3_vl"):
            vision |= {"num_heads": 16, "patch_size": 16, "out_hidden_size": text["hidden_size"]}
        config = CONFIG_MAPPING[kind](
            text_config=text | {"tie_word_embeddings": tied}, vision_config=vision, tie_word_embeddings=tied
        )
    with torch.device("meta"):
        model = (AutoModelForCausalLM if vision is None else AutoModelForImageTextToText).from_config(config)
    facts = card(name)
    assert sum(weight.numel() for weight in model.parameters()) == facts.parameters
    used = cache_bytes(config, 50, "bfloat16") + state_bytes(config, "bfloat16")
    assert used == facts.cache_bytes(50, "bfloat16")
    assert not set(facts.uncertain) & {"parameters", "cache", "state"}


@pytest.mark.parametrize(
    ("name", "kind", "text"),
    [
        ("olmo_hybrid_7b", "olmo_hybrid", {}),
        (
            "kimi_linear_48b_a3b",
            "kimi_linear",
            {"layer_types": ["linear_attention" if (n + 1) % 4 and n < 26 else "full_attention" for n in range(27)]},
        ),
        ("qwen3_5_0_8b", "qwen3_5_text", QWEN35 | layers(24, 1024, 3584, 8)),
        ("qwen3_5_2b", "qwen3_5_text", QWEN35 | layers(24, 2048, 6144, 8)),
        ("qwen3_5_4b", "qwen3_5_text", {"tie_word_embeddings": True} | layers(32, 2560, 9216, 16)),
        ("qwen3_8_27b", "qwen3_5_text", {"linear_num_value_heads": 48} | layers(64, 5120, 17408, 24)),
    ],
)
def test_uncertain_sizes_agree_with_each_other(name, kind, text):
    config = CONFIG_MAPPING[kind](**text)
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(config)
    facts = card(name)
    assert sum(weight.numel() for weight in model.parameters()) == facts.parameters
    used = cache_bytes(config, 50, "bfloat16") + state_bytes(config, "bfloat16")
    assert used == facts.cache_bytes(50, "bfloat16")
    assert "parameters" in facts.uncertain
