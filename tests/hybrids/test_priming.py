"""A priming run: its output, its options, and that an interruption changes nothing."""

import json
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from legalrr.backbones.local.backbone import TransformersBackbone
from legalrr.backbones.local.gka_options import GkaOptions
from legalrr.conversations import CallList
from legalrr.errors import UserError
from legalrr.hybrids.context import PrimingContext
from legalrr.hybrids.objective import DistillationObjective
from legalrr.hybrids.priming import EVALUATION_POINTS, prime
from legalrr.hybrids.settings import AlignSettings, CheckpointSettings, DistilSettings, PrimeSettings
from legalrr.hybrids.training import Training, TrainingLog
from legalrr.protocols import Call

from .conftest import MadeUp, short

Settings = Callable[..., PrimeSettings]


class Interrupted(BaseException):
    """Raised by the simulated interruption."""


def weights(settings: PrimeSettings) -> dict[str, torch.Tensor]:
    return load_file(Path(settings.folder) / "model" / "model.safetensors")


def losses(settings: PrimeSettings) -> list[dict[str, Any]]:
    return [{k: v for k, v in line.items() if k != "seconds"} for line in TrainingLog(Path(settings.folder)).lines()]


@pytest.fixture(scope="module")
def whole(backbone: TransformersBackbone, tmp_path_factory: pytest.TempPathFactory) -> PrimeSettings:
    """Settings of a run that has finished without interruption."""
    own = short(tmp_path_factory.mktemp("whole") / "run")
    prime(own, MadeUp(), backbone, {})
    return own


def test_a_run_saves_a_model_that_loads_as_backbone_with_card_and_curve(
    whole: PrimeSettings, backbone: TransformersBackbone
) -> None:
    folder = Path(whole.folder)
    card = json.loads((folder / "model" / "card.json").read_text())
    assert card["layers"] == [1, 3]
    assert card["gka"]["num_iter"] == 5
    assert list(card["perplexity"]) == list(EVALUATION_POINTS)
    assert card["stages"]["align"]["steps"] == card["stages"]["distil"]["steps"] == 4
    assert card["stages"]["distil"]["tokens"] == 4 * 48
    assert card["judgments"]["learned_from"] + len(card["judgments"]["held_out"]) == 12
    assert (folder / "curve.svg").read_text().startswith("<?xml")
    assert not list(folder.glob("checkpoint-*"))
    primed = replace(backbone, model=str(folder / "model"), gka=GkaOptions())
    model = primed.load().model
    assert [type(layer.self_attn).__name__ for layer in model.model.layers] == [
        *("LlamaAttention", "GkaAttention", "LlamaAttention", "GkaAttention")
    ]
    call = Call(key="a", messages=({"role": "user", "content": "Allowed?"},), answers=("YES", "NO"))
    ((_, reply),) = [pair for one in primed.load().answer(CallList([call])) for pair in one]
    assert set(reply.logprobs) == {"YES", "NO"}


def test_both_stages_lower_the_loss_and_log_every_step(settings: Settings, backbone: TransformersBackbone) -> None:
    long = settings(align=AlignSettings(steps=25, fit=0, rate=1e-2), distil=DistilSettings(steps=25, rate=3e-3))
    prime(long, MadeUp(), backbone, {})
    lines = losses(long)
    assert [line["step"] for line in lines] == [*range(1, 26)] * 2
    assert [line["batches"] for line in lines] == list(range(1, 51))
    for stage in (lines[:25], lines[25:]):
        assert sum(line["loss"] for line in stage[-5:]) < sum(line["loss"] for line in stage[:5])


def test_a_second_call_returns_the_model_and_other_settings_are_refused(
    whole: PrimeSettings, backbone: TransformersBackbone
) -> None:
    changed = (Path(whole.folder) / "model" / "model.safetensors").stat().st_mtime_ns
    assert prime(whole, MadeUp(), backbone, {})["layers"] == [1, 3]
    assert (Path(whole.folder) / "model" / "model.safetensors").stat().st_mtime_ns == changed
    with pytest.raises(UserError, match=r"another settings.window \(48, now 32\)"):
        prime(replace(whole, window=32), MadeUp(), backbone, {})
    with pytest.raises(UserError, match=r"another backbone\.gka"):
        prime(whole, MadeUp(), replace(backbone, gka=GkaOptions(layers=[0], num_iter=5, chunk_size=16)), {})
    # Checkpoint intervals do not affect the result.
    prime(replace(whole, checkpoint=CheckpointSettings(minutes=1.0)), MadeUp(), backbone, {})


@pytest.mark.parametrize("at", [0, 3, 6, 9])
def test_an_interrupted_run_resumes_to_the_same_weights(
    at: int,
    whole: PrimeSettings,
    settings: Settings,
    backbone: TransformersBackbone,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    torn, left = settings(), at

    def interrupted(function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **kwargs: Any) -> Any:
            nonlocal left
            if left == 0:
                raise Interrupted
            left -= 1
            return function(*args, **kwargs)

        return call

    with monkeypatch.context() as patch:
        patch.setattr(Training, "_step", interrupted(Training._step))
        patch.setattr(Training, "save", interrupted(Training.save))
        with pytest.raises(Interrupted):
            prime(torn, MadeUp(), backbone, {})
    prime(torn, MadeUp(), backbone, {})
    expected = weights(whole)
    assert weights(torn).keys() == expected.keys()
    assert all(torch.equal(tensor, expected[name]) for name, tensor in weights(torn).items())
    assert losses(torn) == losses(whole)


KILLED = """
import sys
from tests.hybrids.conftest import MadeUp, short
from legalrr.backbones.local.gka_options import GkaOptions
from legalrr.backbones.local.backbone import TransformersBackbone
from legalrr.hybrids.priming import prime
from legalrr.hybrids.settings import AlignSettings, CheckpointSettings, DistilSettings, HeldOut, PrimeSettings
own = {settings}
backbone = {backbone}
prime(own, MadeUp(), backbone, {{}})
"""


def test_a_killed_run_resumes_to_the_same_weights(
    settings: Settings, backbone: TransformersBackbone, tmp_path: Path
) -> None:
    long = settings(
        align=AlignSettings(steps=25, fit=1), distil=DistilSettings(steps=25), checkpoint=CheckpointSettings(steps=3)
    )
    whole = replace(long, folder=str(tmp_path / "whole"))
    prime(whole, MadeUp(), backbone, {})
    script = KILLED.format(settings=long, backbone=backbone)
    process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    wanted, journal = random.Random(7).randint(5, 45), Path(long.folder) / "loss.jsonl"
    while process.poll() is None and (not journal.is_file() or journal.read_bytes().count(b"\n") < wanted):
        time.sleep(0.005)
    process.send_signal(signal.SIGKILL)
    assert process.wait() == -signal.SIGKILL
    prime(long, MadeUp(), backbone, {})
    assert all(torch.equal(tensor, weights(whole)[name]) for name, tensor in weights(long).items())


def test_a_stage_ends_when_its_minutes_are_over(
    settings: Settings, backbone: TransformersBackbone, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 0.0

    def tick() -> float:
        nonlocal now
        now += 1.0
        return now

    def measured(self: PrimingContext, model: object) -> float:
        for _ in range(5):
            tick()
        return 9.0

    # Only the clock of the run is patched, so that other users of the time do not advance it.
    monkeypatch.setattr("legalrr.hybrids.training.time", SimpleNamespace(perf_counter=tick))
    monkeypatch.setattr(PrimingContext, "perplexity", measured)
    timed = settings(minutes=2.0, align=AlignSettings(share=0.25, fit=0), distil=DistilSettings())
    card = prime(timed, MadeUp(), backbone, {})
    lines = TrainingLog(Path(timed.folder)).lines()
    ends = {stage: max(line["seconds"] for line in lines if line["stage"] == stage) for stage in ("align", "distil")}
    assert 20 <= ends["align"] <= 36
    assert 90 <= ends["distil"] <= 120
    assert card["minutes"] <= 2.1
    assert lines[-1]["factor"] < 0.2


def test_rest_rate_trains_all_other_weights(settings: Settings, backbone: TransformersBackbone, four: Path) -> None:
    free = settings(distil=DistilSettings(steps=3, rest_rate=1e-3))
    prime(free, MadeUp(), backbone, {})
    before, after = load_file(four / "model.safetensors"), weights(free)
    for name in ("model.embed_tokens.weight", "model.layers.0.self_attn.q_proj.weight", "model.norm.weight"):
        assert not torch.equal(before[name], after[name])


def test_without_rest_rate_all_other_weights_are_unchanged(whole: PrimeSettings, four: Path) -> None:
    before, after = load_file(four / "model.safetensors"), weights(whole)
    same = [name for name in before if ".1.self_attn" not in name and ".3.self_attn" not in name]
    assert all(torch.equal(before[name], after[name]) for name in same)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"dtype": "bfloat16"}, r"backbone\.dtype: weights in bfloat16"),
        ({"device": "auto"}, r"backbone\.device: cannot prime on auto"),
        ({"device": "cuda"}, r"backbone\.device: accelerate found cpu, not cuda"),
        ({"gka": GkaOptions(layers=[7])}, r"backbone\.gka\.layers: no layer 7"),
        ({"gka": GkaOptions()}, r"backbone\.gka\.layers: no layer is named"),
    ],
)
@pytest.mark.skipif(torch.cuda.is_available(), reason="one case needs a machine without CUDA")
def test_a_backbone_that_cannot_be_primed_is_refused(
    settings: Settings, backbone: TransformersBackbone, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(UserError, match=message):
        prime(settings(), MadeUp(), replace(backbone, **changes), {})


def test_a_window_longer_than_the_context_is_refused(settings: Settings, backbone: TransformersBackbone) -> None:
    with pytest.raises(UserError, match="window: a window of 300 tokens exceeds the context of the model, 256"):
        prime(settings(window=300), MadeUp(), backbone, {})


def test_bf16_has_bfloat16_products_and_float32_weights(
    settings: Settings, backbone: TransformersBackbone, monkeypatch: pytest.MonkeyPatch
) -> None:
    from accelerate.state import AcceleratorState

    seen = []
    backward = DistillationObjective.backward

    def noted(self: DistillationObjective, batch: Any) -> dict[str, float]:
        handle = self.student.model.layers[0].mlp.register_forward_hook(lambda *args: seen.append(args[2].dtype))
        try:
            return backward(self, batch)
        finally:
            handle.remove()

    monkeypatch.setattr(DistillationObjective, "backward", noted)
    AcceleratorState._reset_state(True)
    try:
        low = settings(precision="bf16")
        prime(low, MadeUp(), backbone, {})
    finally:
        AcceleratorState._reset_state(True)
    assert set(seen) == {torch.bfloat16}
    assert {tensor.dtype for tensor in weights(low).values()} == {torch.float32}
