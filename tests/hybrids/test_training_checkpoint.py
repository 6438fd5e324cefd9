"""Checkpoints are complete or absent, and restore what was saved."""

import json
from pathlib import Path

import pytest
import torch

from legalrr.errors import UserError
from legalrr.hybrids.training import Checkpoints, Progress, TrainingLog, optimiser_tensors


def layer(seed: int) -> dict[str, torch.nn.Parameter]:
    torch.manual_seed(seed)
    return {"one": torch.nn.Parameter(torch.randn(3, 2)), "two": torch.nn.Parameter(torch.randn(4))}


def stepped(weights: dict[str, torch.nn.Parameter], optimiser: torch.optim.Adam) -> None:
    optimiser.zero_grad()
    sum((weight**3).sum() for weight in weights.values()).backward()
    optimiser.step()


def test_weights_optimiser_and_progress_are_restored(tmp_path: Path) -> None:
    weights = layer(0)
    optimiser = torch.optim.Adam(weights.values(), lr=0.1)
    stepped(weights, optimiser)
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(Progress(step=1, batches=9, seconds=2.5), weights, optimiser_tensors(optimiser, weights))

    again = layer(1)
    other = torch.optim.Adam(again.values(), lr=0.1)
    found = Checkpoints(tmp_path)
    assert found.progress() == Progress(step=1, batches=9, seconds=2.5)
    found.restore(again)
    found.restore_optimiser(other, again)
    for run in ((weights, optimiser), (again, other)):
        stepped(*run)
        stepped(*run)
    assert all(torch.equal(again[name], weight) for name, weight in weights.items())


def test_saving_deletes_the_previous_checkpoints(tmp_path: Path) -> None:
    checkpoints, weights = Checkpoints(tmp_path), layer(0)
    for step in range(1, 4):
        checkpoints.save(Progress(step=step), weights, {})
    assert [path.name for path in tmp_path.iterdir()] == ["checkpoint-000003"]
    assert checkpoints.progress() == Progress(step=3)
    checkpoints.clear()
    assert checkpoints.progress() is None


@pytest.mark.parametrize("torn", [".checkpoint.7.part", "checkpoint-000002-old"])
def test_an_incomplete_checkpoint_is_ignored(tmp_path: Path, torn: str) -> None:
    checkpoints, weights = Checkpoints(tmp_path), layer(0)
    (tmp_path / torn).mkdir()
    (tmp_path / torn / "state.json").write_text(json.dumps({"step": 9}))
    assert checkpoints.progress() is None
    checkpoints.save(Progress(step=2), weights, {})
    assert checkpoints.progress() == Progress(step=2)


def test_the_newest_of_two_checkpoints_is_read(tmp_path: Path) -> None:
    checkpoints, weights = Checkpoints(tmp_path), layer(0)
    checkpoints.save(Progress(step=1), weights, {})
    (tmp_path / "checkpoint-000001").rename(tmp_path / "kept")
    checkpoints.save(Progress(step=2), weights, {})
    (tmp_path / "checkpoint-000001").rename(tmp_path / "checkpoint-000002")
    (tmp_path / "kept").rename(tmp_path / "checkpoint-000001")
    assert checkpoints.progress() == Progress(step=2)


def test_other_weights_and_damage_are_refused(tmp_path: Path) -> None:
    checkpoints, weights = Checkpoints(tmp_path), layer(0)
    checkpoints.save(Progress(), weights, {})
    with pytest.raises(UserError, match="has other weights"):
        checkpoints.restore({"one": weights["one"]})
    (tmp_path / "checkpoint-000001" / "weights.safetensors").write_bytes(b"torn")
    with pytest.raises(UserError, match="damaged checkpoint"):
        checkpoints.restore(weights)
    (tmp_path / "checkpoint-000001" / "state.json").write_text('{"no_such": 1}')
    with pytest.raises(UserError, match="damaged checkpoint"):
        checkpoints.progress()


def test_the_log_is_truncated_to_a_checkpoint_and_ignores_a_torn_line(tmp_path: Path) -> None:
    journal = TrainingLog(tmp_path)
    assert journal.lines() == []
    for batches in range(1, 5):
        journal.append({"batches": batches, "loss": 1 / 3})
    with journal.path.open("a") as file:
        file.write('{"batches": 5, "lo')
    assert [line["batches"] for line in journal.lines()] == [1, 2, 3, 4]
    journal.truncate(2)
    assert journal.lines() == [{"batches": 1, "loss": 0.333333}, {"batches": 2, "loss": 0.333333}]
