"""Number 17 of the specification of the released checkpoints: a tiny one with exactly their names."""

import copy
import json
from dataclasses import fields

import pytest
import torch
from safetensors.torch import save_file
from transformers import AutoConfig, AutoModelForCausalLM, Qwen3Config, Qwen3ForCausalLM

from gated_kalmanet import GatedKalmaNetConfig
from legalrr.backbones.local.checkpoint import open_config
from legalrr.backbones.local.gka_model import GkaAttention, HybridQwen3Config
from legalrr.errors import UserError

HIDDEN, WIDE, VOCABULARY, QUERIES, KEYS, SIZE, ALL = 64, 96, 259, 4, 2, 16, 64
THETA = 5e6
ROPES = {
    "new": {"rope_parameters": {"rope_type": "default", "rope_theta": THETA}},
    "old": {"rope_theta": THETA, "rope_scaling": None},
}
LAYER = {
    "input_layernorm.weight": (HIDDEN,),
    "post_attention_layernorm.weight": (HIDDEN,),
    "mlp.gate_proj.weight": (WIDE, HIDDEN),
    "mlp.up_proj.weight": (WIDE, HIDDEN),
    "mlp.down_proj.weight": (HIDDEN, WIDE),
}
ATTENTION = {
    "self_attn.q_proj.weight": (QUERIES * SIZE, HIDDEN),
    "self_attn.k_proj.weight": (KEYS * SIZE, HIDDEN),
    "self_attn.v_proj.weight": (KEYS * SIZE, HIDDEN),
    "self_attn.o_proj.weight": (HIDDEN, QUERIES * SIZE),
    "self_attn.q_norm.weight": (SIZE,),
    "self_attn.k_norm.weight": (SIZE,),
}
GKA = {
    "gka.q_proj.weight": (QUERIES * SIZE, HIDDEN),
    "gka.k_proj.weight": (KEYS * SIZE, HIDDEN),
    "gka.v_proj.weight": (KEYS * SIZE, HIDDEN),
    "gka.a_proj.weight": (QUERIES, HIDDEN),
    "gka.g_proj.weight": (QUERIES * SIZE, HIDDEN),
    "gka.o_proj.weight": (HIDDEN, QUERIES * SIZE),
    "gka.b_proj.weight": (QUERIES, HIDDEN),
    "gka.b_proj.bias": (QUERIES,),
    "gka.alpha_proj.weight": (QUERIES, HIDDEN),
    "gka.alpha_proj.bias": (QUERIES,),
    "gka.q_conv1d.weight": (QUERIES * SIZE, 1, 4),
    "gka.k_conv1d.weight": (KEYS * SIZE, 1, 4),
    "gka.v_conv1d.weight": (KEYS * SIZE, 1, 4),
    "gka.A_log": (QUERIES,),
    "gka.dt_bias": (QUERIES,),
    "gka.o_norm.weight": (SIZE,),
}


def shapes(pattern="*-GKA-*-GKA"):
    """All weights of a released checkpoint, by name."""
    named = {"model.embed_tokens.weight": (VOCABULARY, HIDDEN), "model.norm.weight": (HIDDEN,)}
    for number, symbol in enumerate(pattern.split("-")):
        own = LAYER | (ATTENTION if symbol == "*" else GKA)
        named |= {f"model.layers.{number}.{name}": shape for name, shape in own.items()}
    return named | {"lm_head.weight": (VOCABULARY, HIDDEN)}


def content(**changes):
    """A config.json like the released ones."""
    sizes = {"hidden_size": HIDDEN, "head_dim": SIZE, "num_q_heads": QUERIES, "num_k_heads": KEYS, "num_v_heads": KEYS}
    switches = {f.name: f.default for f in fields(GatedKalmaNetConfig) if f.name not in {*sizes, "backend"}}
    return {
        "architectures": ["HybridQwen3ForCausalLM"],
        "model_type": "hybrid_qwen3",
        "hybrid_override_pattern": "*-GKA-*-GKA",
        "layer_types": ["*", "GKA", "*", "GKA"],
        "gka_config": sizes | switches,
        "vocab_size": VOCABULARY,
        "hidden_size": HIDDEN,
        "intermediate_size": WIDE,
        "num_hidden_layers": 4,
        "num_attention_heads": QUERIES,
        "num_key_value_heads": KEYS,
        "head_dim": SIZE,
        "hidden_act": "silu",
        "rms_norm_eps": 1e-6,
        "tie_word_embeddings": False,
        "max_position_embeddings": 512,
        "bos_token_id": 256,
        "eos_token_id": 258,
        "dtype": "bfloat16",
        **ROPES["new"],
    } | changes


def written(folder, **changes):
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps(content(**changes)))
    return folder


@pytest.fixture(scope="module")
def released(tmp_path_factory):
    """A folder with a configuration and all weights in bfloat16, like the released ones."""
    folder = written(tmp_path_factory.mktemp("released"))
    generator = torch.Generator().manual_seed(7)
    weights = {name: torch.randn(shape, generator=generator) * 0.2 for name, shape in shapes().items()}
    for name in weights:
        if name.endswith("norm.weight"):
            weights[name] += 1
    save_file({name: weight.to(torch.bfloat16) for name, weight in weights.items()}, folder / "model.safetensors")
    return folder


@pytest.fixture(scope="module")
def model(released):
    return AutoModelForCausalLM.from_pretrained(released, dtype=torch.float32).eval()


@pytest.fixture(scope="module")
def ids():
    return torch.randint(3, 250, (1, 40), generator=torch.Generator().manual_seed(1))


def logits(model, ids, **arguments):
    with torch.inference_mode():
        return model(input_ids=ids, **arguments).logits


def test_17_weights_have_exactly_the_names_and_shapes_of_the_released_ones(model):
    assert {name: tuple(weight.shape) for name, weight in model.state_dict().items()} == shapes()


def test_17_every_weight_of_a_released_checkpoint_is_loaded(released):
    loaded, report = AutoModelForCausalLM.from_pretrained(released, output_loading_info=True, dtype=torch.bfloat16)
    assert not any(report[fault] for fault in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    raised = {name for name, weight in loaded.state_dict().items() if weight.dtype == torch.float32}
    assert raised == {f"model.layers.{layer}.gka.{name}" for layer in (1, 3) for name in ("A_log", "dt_bias")}
    # bfloat16 weights as float32, before any computation.
    decay = loaded.model.layers[1].gka.A_log
    assert torch.equal(decay, decay.bfloat16().float())


def test_17_a_saved_model_loads_with_the_same_logits(model, ids, tmp_path):
    model.save_pretrained(tmp_path)
    again = AutoModelForCausalLM.from_pretrained(tmp_path, dtype=torch.float32).eval()
    assert torch.equal(logits(again, ids), logits(model, ids))


def test_17_greedy_decoding_equals_recomputing_all_tokens_at_each_step(model, ids):
    written = model.generate(ids[:, :10], max_new_tokens=8, do_sample=False, eos_token_id=None, pad_token_id=258)
    anew = ids[:, :10]
    for _ in range(8):
        anew = torch.cat([anew, logits(model, anew, use_cache=False)[:, -1:].argmax(-1)], 1)
    assert torch.equal(written, anew)


@pytest.mark.parametrize("rope", ROPES)
def test_17_a_configuration_round_trips_in_both_forms_of_rope_parameters(rope, tmp_path):
    plain = {key: value for key, value in content().items() if key not in ROPES["new"]}
    (tmp_path / "config.json").write_text(json.dumps(plain | ROPES[rope]))
    config = AutoConfig.from_pretrained(tmp_path)
    assert config.rope_parameters == ROPES["new"]["rope_parameters"]
    assert config.layer_types == ["full_attention", "linear_attention"] * 2
    config.save_pretrained(tmp_path / "again")
    saved = json.loads((tmp_path / "again" / "config.json").read_text())
    assert {key: saved[key] for key in content()} == content()
    again = AutoConfig.from_pretrained(tmp_path / "again").to_dict()
    assert again | {"_name_or_path": ""} == config.to_dict() | {"_name_or_path": ""}


def test_without_gka_layers_it_is_qwen3(ids):
    pattern = {"hybrid_override_pattern": "*-*-*-*", "layer_types": ["*"] * 4}
    plain = content(**pattern)
    config = Qwen3Config(**{key: value for key, value in plain.items() if key not in (*pattern, "model_type")})
    torch.manual_seed(0)
    qwen3 = Qwen3ForCausalLM(config).eval()
    hybrid = AutoModelForCausalLM.from_config(HybridQwen3Config(**plain), dtype=torch.float32).eval()
    hybrid.load_state_dict(qwen3.state_dict())
    assert torch.equal(logits(hybrid, ids), logits(qwen3, ids))


def test_a_gka_layer_of_the_model_equals_its_definition(model, ids):
    exact = copy.deepcopy(model).double()
    numbers = content()["gka_config"] | {"backend": "naive"}
    reference = GkaAttention(GatedKalmaNetConfig(**numbers), 1).double().eval()
    weights = exact.state_dict()
    reference.load_state_dict({name.removeprefix("gka."): weights[f"model.layers.1.{name}"] for name in GKA})
    seen = {}
    exact.model.layers[1].gka.register_forward_hook(
        lambda module, args, kwargs, output: seen.update(hidden=kwargs["hidden_states"], output=output[0]),
        with_kwargs=True,
    )
    logits(exact, ids)
    with torch.inference_mode():
        wanted, _ = reference(hidden_states=seen["hidden"])
    assert (seen["output"] - wanted).abs().max() < 1e-9 * wanted.abs().max()


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"hybrid_override_pattern": "*-GKA-GDN-M2"}, r"override_pattern: layers of type 'GDN', 'M2' \(.*attention"),
        ({"hybrid_override_pattern": "*-GKA*-*-GKA"}, r"layers of type 'GKA\*'"),
        ({"hybrid_override_pattern": "*-SWA-*-BMF"}, r"layers of type 'BMF', 'SWA'"),
        ({"hybrid_override_pattern": None}, r"layers of type ''"),
        ({"hybrid_override_pattern": "*-GKA-*"}, r"3 symbols for 4 layers"),
        ({"use_sliding_window": True}, r"use_sliding_window: attention with a sliding window"),
        ({"gka_config": {"num_iter": 30, "rank": 3}}, r"gka_config: unknown field rank of GKA layers"),
        ({"gka_config": {"backend": "triton"}}, r"gka_config: unknown field backend"),
        ({"gka_config": {"num_q_heads": 8}}, r"gka_config: num_q_heads is 8, and the model's own is 4"),
        ({"gka_config": {"num_iter": -3}}, r"gka_config: num_iter must be at least 0"),
        ({"gka_config": {"solver_type": "lu"}}, r"gka_config: solver_type must be chebyshev or cg"),
    ],
)
def test_unsupported_layers_are_refused_by_name(changes, complaint, tmp_path):
    with pytest.raises(UserError, match=complaint):
        open_config(written(tmp_path / "refused", **changes))
