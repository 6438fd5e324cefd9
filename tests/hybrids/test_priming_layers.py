"""Layer selection: the order of importance, in the file that `by_importance` reads."""

import json
from collections.abc import Callable
from dataclasses import replace
from math import log
from pathlib import Path

import pytest
import torch

from legalrr.backbones.local.backbone import TransformersBackbone
from legalrr.backbones.local.gka_options import GkaOptions, chosen_layers
from legalrr.hybrids.context import PrimingContext
from legalrr.hybrids.priming import prime, replace_attention, select
from legalrr.hybrids.settings import PrimeSettings

from .conftest import MadeUp


def test_the_order_follows_the_rise_in_loss_and_by_importance_reads_it(
    settings: Callable[..., PrimeSettings], backbone: TransformersBackbone, tmp_path: Path
) -> None:
    own = replace(settings(), select=True)
    result = select(own, MadeUp(), backbone, {"command": "legalrr prime --select"})
    file = tmp_path / "run" / "importance" / "importance.json"
    assert json.loads(file.read_text()) == result
    assert sorted(result["order"]) == [0, 1, 2, 3]
    rises = [result["rise"][str(layer)] for layer in result["order"]]
    assert rises == sorted(rises)
    found = result["perplexity"]
    assert result["rise"]["2"] == pytest.approx(log(found["layer_2"]) - log(found["before"]), abs=1e-4)
    assert set(chosen_layers("by_importance:2", 4, file)) == set(result["order"][:2])
    # Selection and priming share a folder.
    primed = replace(backbone, gka=GkaOptions(layers="by_importance:1", importance=str(file), num_iter=5))
    assert prime(settings(), MadeUp(), primed, {})["layers"] == result["order"][:1]


def test_a_resumed_selection_measures_only_what_is_missing(
    settings: Callable[..., PrimeSettings], backbone: TransformersBackbone, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = replace(settings(), select=True)
    measured: list[object] = []
    right = PrimingContext.perplexity

    def counted(self: PrimingContext, model: object) -> float:
        measured.append(model)
        if len(measured) == 4:
            raise KeyboardInterrupt
        return right(self, model)

    monkeypatch.setattr(PrimingContext, "perplexity", counted)
    with pytest.raises(KeyboardInterrupt):
        select(own, MadeUp(), backbone, {})
    select(own, MadeUp(), backbone, {})
    # Five values, one of them measured twice.
    assert len(measured) == 6


def test_replace_attention_restores_the_layer_afterwards(context: PrimingContext) -> None:
    model = context.teacher
    before = model.model.layers[2].self_attn
    other = torch.nn.Identity()
    with replace_attention(model, 2, other):
        assert model.model.layers[2].self_attn is other
    assert model.model.layers[2].self_attn is before
