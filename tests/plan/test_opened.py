"""Backbones opened to count tokens, and their memory."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from legalrr.backbones.echo import EchoBackbone, EchoEngine
from legalrr.backbones.local.backbone import TransformersBackbone
from legalrr.configuration import compose
from legalrr.errors import UserError
from legalrr.plan import opened
from legalrr.plan.opened import Memory, missing_model, model_memory, open_backbone, stated_facts, stated_memory


@dataclass(frozen=True, kw_only=True)
class OnDevice(EchoBackbone):
    """A backbone that needs a device."""

    device: str = "cuda"

    def load(self) -> EchoEngine:
        if self.device != "cpu":
            raise UserError("no such device", where="backbone.device", cure="use cpu")
        return super().load()


def test_tokens_are_counted_without_the_device() -> None:
    found = open_backbone(OnDevice())
    assert found.note == "backbone.device: no such device (use cpu)"
    assert not found.runs_here
    assert open_backbone(OnDevice(device="cpu")).runs_here


def test_a_backbone_that_counts_nothing_is_refused() -> None:
    class Silent:
        context, holds, can = 10, None, EchoEngine.can

    @dataclass(frozen=True, kw_only=True)
    class Closed(EchoBackbone):
        def load(self) -> Any:
            return Silent()

    with pytest.raises(UserError, match="does not count the tokens of prompts"):
        open_backbone(Closed())


def test_a_model_of_the_hub_is_missing_unless_its_files_are_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def of(model: str) -> str | None:
        return missing_model(compose(overrides=["backbone=local", "backbone.name=x", f"backbone.model={model}"]))

    monkeypatch.setattr(opened, "_snapshots", dict)
    assert of("owner/model") == "owner/model"
    assert of(str(tmp_path)) is None
    assert of("models/one.gguf") is None
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "model.safetensors").write_text("")
    monkeypatch.setattr(opened, "_snapshots", lambda: {"owner/model": {"0" * 40: tmp_path}})
    assert of("owner/model") is None
    for other in ("echo", "o3_mini", "smollm2"):
        assert missing_model(compose(overrides=[f"backbone={other}"])) is None


def test_the_memory_of_a_model_is_that_of_its_configuration(tiny: Path) -> None:
    backbone = TransformersBackbone(name="tiny", model=str(tiny), batch_tokens=100, prefix_cache_gb=0.5)
    small, large = (model_memory(backbone, longest) for longest in (10, 200))
    assert small is not None
    assert large is not None
    # Two layers with two key-value heads of 16, keys and values in float32.
    assert (small.states, large.states) == (100 * 2 * 2 * 2 * 16 * 4, 200 * 2 * 2 * 2 * 16 * 4)
    assert small.cache == 500_000_000
    assert small.fits
    assert model_memory(EchoBackbone(), 10) is None


def test_a_limit_of_memory_limits_the_states(tiny: Path) -> None:
    backbone = TransformersBackbone(name="tiny", model=str(tiny), batch_tokens=10**7)
    free = model_memory(backbone, 10)
    limited = model_memory(replace(backbone, memory_gb=1.5), 10)
    assert free is not None
    assert limited is not None
    assert (free.cache, limited.weights) == (2 * 10**9, free.weights)
    assert limited.cache + limited.states < 1.5e9 < free.states


def test_stated_facts_replace_files_that_are_not_here(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(opened, "_available", lambda device: 80_000_000_000)
    node = compose(overrides=["backbone=mistral_7b"]).backbone
    memory = stated_memory(None, node, 1000)
    assert (memory.weights, memory.fits) == (None, None)


@pytest.mark.parametrize(("available", "fits"), [(100, True), (99, False), (None, None)])
def test_it_fits_if_weights_states_and_cache_do(available: int | None, fits: bool | None) -> None:
    assert Memory(weights=60, states=30, cache=10, available=available, device="cuda").fits is fits


def test_facts_of_another_model_are_not_used() -> None:
    from legalrr.configuration import compose_cells

    ((_, config),) = compose_cells(["backbone=mistral_7b"])
    assert stated_facts(config) is not None
    ((_, other),) = compose_cells(["backbone=mistral_7b", "backbone.model=owner/model"])
    assert stated_facts(other) is None
