"""Selecting: which layers are missed least, in the file that `by_importance` reads."""

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
from legalrr.hybrids.layer_selection import replace_attention, select
from legalrr.hybrids.priming import prime
from legalrr.hybrids.settings import PrimeSettings

from .conftest import MadeUp


def test_the_order_goes_by_the_rise_in_loss_and_is_what_by_importance_reads(
    settings: Callable[..., PrimeSettings], backbone: TransformersBackbone, tmp_path: Path
) -> None:
    own = replace(settings(), select=True)
    told = select(own, MadeUp(), backbone, {"command": "legalrr prime --select"})
    file = tmp_path / "run" / "importance" / "importance.json"
    assert json.loads(file.read_text()) == told
    assert sorted(told["order"]) == [0, 1, 2, 3]
    rises = [told["rise"][str(layer)] for layer in told["order"]]
    assert rises == sorted(rises)
    found = told["perplexity"]
    assert told["rise"]["2"] == pytest.approx(log(found["layer_2"]) - log(found["before"]), abs=1e-4)
    assert set(chosen_layers("by_importance:2", 4, file)) == set(told["order"][:2])
    # Both go in one folder.
    primed = replace(backbone, gka=GkaOptions(layers="by_importance:1", importance=str(file), num_iter=5))
    assert prime(settings(), MadeUp(), primed, {})["layers"] == told["order"][:1]


def test_interrupted_it_measures_only_what_is_not_known(
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
    # Five values, and one that was not finished.
    assert len(measured) == 6


def test_a_layer_has_its_attention_again_afterwards(bench: PrimingContext) -> None:
    model = bench.teacher
    before = model.model.layers[2].self_attn
    other = torch.nn.Identity()
    with replace_attention(model, 2, other):
        assert model.model.layers[2].self_attn is other
    assert model.model.layers[2].self_attn is before
