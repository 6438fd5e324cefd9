"""The meter: measurements of a tiny model, errors, and one measurement per backbone of a sweep."""

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir

from legalrr.backbones.echo import EchoBackbone
from legalrr.backbones.local.backbone import TransformersBackbone, forget_engine
from legalrr.backbones.local.gka_options import GkaOptions
from legalrr.backbones.local.measurements import perplexity
from legalrr.backbones.meter import BackboneMeter
from legalrr.corpora.marked import Marked
from legalrr.errors import UserError
from legalrr.paths import root
from legalrr.run.cell import run_cell
from legalrr.run.pipeline import Pipeline, build_pipeline

SPECIMEN = Marked(name="specimen", folder="$LEGALRR/data/specimen/judgments", scheme="build")
SHORT: dict[str, Any] = {
    "judgments": 2,
    "window": 64,
    "distances": [8, 40],
    "facts": 2,
    "lengths": [16, 64],
    "written": 2,
    "repeats": 2,
}


@pytest.fixture
def backbone(tiny: Path) -> Iterator[TransformersBackbone]:
    yield TransformersBackbone(name="tiny", model=str(tiny), threads=1)
    forget_engine()


def test_all_measurements_except_times_are_reproducible(backbone: TransformersBackbone) -> None:
    found, again = (BackboneMeter(**SHORT).measure(backbone, SPECIMEN) for _ in range(2))
    assert found == json.loads(json.dumps(found))
    assert (found["perplexity"], found["recall"]) == (again["perplexity"], again["recall"])
    assert list(found["recall"]) == ["8", "40"]
    assert [cost["tokens"] for cost in found["cost"]] == [16, 64]
    assert all(cost["prefill"] > 0 and cost["decode"] > 0 for cost in found["cost"])
    # Keys and values of two layers with two heads of 16 numbers, in float32; the last generated token was not computed.
    assert [cost["state"] for cost in found["cost"]] == [2 * 2 * 2 * 16 * 4 * tokens for tokens in (16, 64)]


def test_perplexity_is_measured_on_the_first_tokens_of_drawn_judgments(backbone: TransformersBackbone) -> None:
    meter = BackboneMeter(**SHORT)
    chosen = meter._draw_judgments(backbone, SPECIMEN)
    assert [j.id for j in chosen] == [j.id for j in replace(meter, judgments=5)._draw_judgments(backbone, SPECIMEN)][:2]
    engine = backbone.load()
    expected = perplexity(engine.model, [engine.tokenise(j.text)[:64] for j in chosen])
    assert meter.measure(backbone, SPECIMEN)["perplexity"] == pytest.approx(expected)


def test_the_state_of_a_hybrid_does_not_grow_in_its_new_layer(backbone: TransformersBackbone) -> None:
    hybrid = replace(backbone, gka=GkaOptions(layers=[1], chunk_size=16))
    costs = BackboneMeter(**SHORT).measure(hybrid, SPECIMEN)["cost"]
    grown = costs[1]["state"] - costs[0]["state"]
    assert grown == 2 * 2 * 16 * 4 * (64 - 16)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"judgments": 0}, r"measure\.judgments: judgments is 0"),
        ({"window": 1}, r"measure\.window"),
        ({"repeats": 0}, r"measure\.repeats"),
        ({"lengths": [0]}, r"measure\.lengths: a number below 1"),
        ({"distances": [-1]}, r"measure\.distances"),
    ],
)
def test_an_impossible_value_is_refused(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        BackboneMeter(**(SHORT | changes))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"window": 513}, r"measure\.window: 513 tokens"),
        ({"lengths": [511]}, r"measure\.lengths: 511 tokens plus 2 exceed"),
        ({"distances": [400]}, r"measure\.distances: 400 tokens"),
    ],
)
def test_lengths_beyond_the_context_are_refused(
    backbone: TransformersBackbone, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        BackboneMeter(**(SHORT | changes)).measure(backbone, SPECIMEN)


def test_a_backbone_without_access_to_its_model_is_refused() -> None:
    with pytest.raises(UserError, match="does not give access to its model"):
        BackboneMeter(**SHORT).measure(EchoBackbone(name="echo"), SPECIMEN)


@pytest.fixture
def primed(tmp_path: Path, save_tiny: Callable[..., Path]) -> Callable[..., Path]:
    """Function (corpus, held-out ids, split) that returns the folder of a tiny model with the card of a primed one."""

    def make(corpus: str, held_out: list[str], split: str | None = None) -> Path:
        folder = save_tiny(tmp_path / f"primed-{corpus}-{split}")
        card = {"corpus": corpus, "split": split, "judgments": {"held_out": held_out}}
        (folder / "card.json").write_text(json.dumps(card))
        return folder

    return make


def test_priming_judgments_are_not_read_and_other_models_can_skip_them_too(
    backbone: TransformersBackbone, primed: Callable[..., Path]
) -> None:
    folder = primed("specimen", ["constitutional-1", "constitutional-2"])
    model = replace(backbone, model=str(folder))
    with pytest.raises(UserError, match=r"measure\.held_out: tiny was primed on judgments of specimen"):
        BackboneMeter(**SHORT).measure(model, SPECIMEN)
    meter = BackboneMeter(**SHORT, held_out=str(folder / "card.json"))
    for one in (model, backbone):
        assert {j.id for j in meter._draw_judgments(one, SPECIMEN)} == {"constitutional-1", "constitutional-2"}
    for elsewhere in (primed("other", []), primed("specimen", [], "train")):
        assert len(BackboneMeter(**SHORT)._draw_judgments(replace(backbone, model=str(elsewhere)), SPECIMEN)) == 2


def test_an_invalid_card_is_refused(
    backbone: TransformersBackbone, primed: Callable[..., Path], tmp_path: Path
) -> None:
    with pytest.raises(UserError, match="no such card"):
        BackboneMeter(**SHORT, held_out=str(tmp_path / "none.json")).measure(backbone, SPECIMEN)
    with pytest.raises(UserError, match="no judgment to read"):
        BackboneMeter(**SHORT, held_out=str(primed("specimen", []) / "card.json")).measure(backbone, SPECIMEN)
    (tmp_path / "damaged.json").write_text("{}")
    with pytest.raises(UserError, match="not a card of a primed model"):
        BackboneMeter(**SHORT, held_out=str(tmp_path / "damaged.json")).measure(backbone, SPECIMEN)


def pipeline(*overrides: str) -> Pipeline:
    with initialize_config_dir(str(root() / "conf"), version_base="1.3"):
        return build_pipeline(compose("config", overrides=list(overrides)))


def test_cells_with_the_same_backbone_measure_it_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    calls = []

    def measure(self: BackboneMeter, backbone: object, corpus: object) -> dict[str, object]:
        calls.append(backbone)
        return {"perplexity": float(len(calls)), "recall": {}, "cost": [], "device": "cpu", "threads": 1}

    monkeypatch.setattr(BackboneMeter, "measure", measure)
    own = ["backbone=echo", "measure=reading", "limit=1", f"runs={tmp_path}", "score.resamples=9"]
    found = [
        run_cell(pipeline(*own, *more), tmp_path / name)
        for name, more in (
            ("direct", ["arm=direct"]),
            ("compared", ["arm=direct_compare"]),
            ("other", ["arm=direct", "backbone.context=8000"]),
            ("baseline", ["arm=majority"]),
        )
    ]
    assert [record.get("measured", {}).get("perplexity") for record in found] == [1.0, 1.0, 2.0, None]
    assert "measure" in found[0]["stages"]
    assert "measure" not in found[3]["stages"]


def test_without_a_meter_nothing_is_measured() -> None:
    assert pipeline("backbone=echo").measures is None
