"""Architectures of late 2026: all arms of an experiment get the same replies with shared prefixes as without.

The judgment is cut to a few words and the models are random, so only equality is tested.
"""

from dataclasses import replace

import pytest

from legalrr.backbones.local.backbone import TransformersBackbone
from legalrr.run.pipeline import build_pipeline, call_store
from legalrr.run.prefetch import prefetch
from legalrr.stage import identity

ARCHITECTURES = ("gemma3", "olmo3", "qwen3_next", "qwen3_5", "olmo_hybrid", "kimi_linear")
DIRECT = ("direct", "direct_choose", "direct_compare", "direct_calibrated")
ARMS = ("plain", "d", "r", "dr", "c", "dc", "rc", "drc", *DIRECT)
SHORT = ("limit=1", "restructure.overflow=middle", "restructure.budget=120")
KEPT = ("text", "finish_reason", "prompt_tokens", "new_tokens")
CONTEXT = 16384
TOLERANCE = 1e-4


@pytest.fixture(scope="module")
def pipelines():
    """The cells of all arms."""
    from hydra import compose, initialize_config_dir

    from legalrr.paths import root

    tokens = [f"annotate.tokens.{turn}=8" for turn in ("analysis", "ratio", "ruling", "answer")]
    with initialize_config_dir(str(root() / "conf"), version_base="1.3"):
        return [build_pipeline(compose("config", [f"arm={arm}", *SHORT, *tokens])) for arm in ARMS]


def answer_all(pipelines, backbone, folder):
    """Make the calls of all arms; return the replies by call."""
    cells = [replace(one, backbone=backbone, settings=replace(one.settings, runs=str(folder))) for one in pipelines]
    fresh = {identity(backbone): set()}
    prefetch(cells, fresh)
    store = call_store(cells[0])
    return {key: store[key] for key in fresh[identity(backbone)]}


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_all_arms_get_the_same_replies_with_and_without_shared_prefixes(pipelines, save_family, tmp_path, name):
    # A vocabulary of bytes makes prompts of thousands of tokens.
    folder = save_family(tmp_path / "model", name, max_position_embeddings=CONTEXT)
    backbone = TransformersBackbone(name="tiny", model=str(folder), prefill_chunk=1000)
    shared = answer_all(pipelines, backbone, tmp_path / "shared")
    alone = answer_all(pipelines, replace(backbone, prefix_cache_gb=0.0, batch_tokens=1), tmp_path / "alone")
    assert len(alone) > len(ARMS)
    assert shared.keys() == alone.keys()
    for key, reply in alone.items():
        assert [shared[key][kept] for kept in KEPT] == [reply[kept] for kept in KEPT]
        assert shared[key]["logprobs"] == (reply["logprobs"] and pytest.approx(reply["logprobs"], abs=TOLERANCE))
    assert all(reply["finish_reason"] != "overflow" for reply in alone.values())
    assert any(reply["cached_tokens"] for reply in shared.values())
