"""`experiment=gka`: attention and hybrids with several numbers of solver iterations, in one table."""

import csv
import sys
from pathlib import Path

import pytest
import torch
from hydra.core.global_hydra import GlobalHydra

from legalrr.backbones.local.backbone import forget_engine
from legalrr.cli import main


@pytest.fixture(scope="module")
def long(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a tiny Llama of four layers with one token per byte and a context for a prompt."""
    from transformers import AutoConfig, AutoTokenizer, GenerationConfig, LlamaForCausalLM

    folder = tmp_path_factory.mktemp("long")
    config = AutoConfig.from_pretrained(tiny)
    config.num_hidden_layers, config.max_position_embeddings = 4, 16384
    config.hidden_size, config.intermediate_size, config.head_dim = 16, 16, 4
    torch.manual_seed(0)
    model = LlamaForCausalLM(config)
    model.generation_config = GenerationConfig(eos_token_id=config.eos_token_id)
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(tiny).save_pretrained(folder)
    return folder


def test_attention_and_hybrids_share_one_table(
    long: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(
        sys,
        "argv",
        [
            *("legalrr", "experiment=gka", "backbone=local", "backbone.name=long", f"backbone.model={long}", "limit=1"),
            *("arm=direct_compare", "measure.window=64", "measure.lengths=[32]", "measure.distances=[16]"),
            *("measure.facts=1", "measure.judgments=1", "score.resamples=9", "score.permutations=9"),
            *("restructure.overflow=middle", "restructure.budget=100", "hydra.sweep.dir=runs/sweep/one"),
            "backbone.gka={layers:[]},{layers:'every:2',num_iter:5}",
        ],
    )
    GlobalHydra.instance().clear()
    with pytest.raises(SystemExit) as ended:
        main()
    forget_engine()
    assert not ended.value.code
    printed = capsys.readouterr().out
    assert "Recall: a code of four digits" in printed
    assert "long, GKA every:2, r = 5" in printed
    with (tmp_path / "runs/sweep/one/measured.csv").open(newline="") as file:
        attention, hybrid = csv.DictReader(file)
    assert (attention["layers"], hybrid["layers"]) == ("attention", "GKA every:2, r = 5")
    assert attention["perplexity"] != hybrid["perplexity"]
    # Keys and values of four layers with two heads of 4 numbers, in float32.
    assert int(attention["state_32"]) == 4 * 2 * 2 * 4 * 4 * 32
