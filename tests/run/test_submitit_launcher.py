"""Sweeps whose calls are made by jobs of submitit: on this machine, and with stand-ins for the commands of Slurm."""

import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from kill_test import read_tables

import hydra_plugins.submitit_launcher as launching
from legalrr.cli import main

Run = Callable[..., tuple[int, str, str]]
QUICK = ("backbone=echo", "limit=4", "score.resamples=99", "score.permutations=99")
SWEEP = ("-m", "arm=plain,c,majority", *QUICK)
LOCAL = ("hydra/launcher=submitit_local", "hydra.launcher.shards=2")


def jobs_of_slurm(script: str) -> list[str]:
    return sorted(
        re.findall(r"^#SBATCH (--(?:array|partition|gpus-per-node|cpus-per-task|mem|time|qos)=\S+)", script, re.M)
    )


@pytest.mark.slurm
def test_tables_of_a_sweep_of_local_jobs_equal_those_of_one_process(run_hydra: Run, tmp_path: Path) -> None:
    pytest.importorskip("submitit")
    status, out, err = run_hydra(main, "legalrr", *SWEEP, *LOCAL, "hydra.sweep.dir=jobs/sweep/0")
    assert status == 0
    assert "2 shards submitted (local); their logs are in" in err
    assert "shards: 2 finished" in err
    assert "model calls: 0 made, 24 from the store" in out
    run_hydra(main, "legalrr", *SWEEP, "runs=alone", "hydra.sweep.dir=alone/sweep/0")
    assert read_tables(tmp_path / "jobs") == read_tables(tmp_path / "alone")
    assert sorted(path.name[-7:] for path in (tmp_path / "runs/shard").iterdir()) == ["_1-of-2", "_2-of-2"]


@pytest.mark.slurm
def test_failed_jobs_are_named_after_all_have_ended(run_hydra: Run, tmp_path: Path) -> None:
    pytest.importorskip("submitit")
    # One of the two cells has too little context.
    sweep = ("-m", "arm=direct", "backbone.context=2300,8192", *QUICK, *LOCAL)
    status, out, err = run_hydra(main, "legalrr", *sweep, "hydra.launcher.shards=1")
    assert (status, out) == (2, "")
    (log,) = re.findall(r"^shard 1/1 failed: (\S+)$", err, re.MULTILINE)
    assert f"legalrr: {log}: of 1 shards, 1 failed (the same command resumes; hydra.launcher.if_failed=go_on" in err
    assert "more than the budget of" in Path(log).read_text()
    assert not [*tmp_path.rglob("run.json")]
    status, out, _ = run_hydra(main, "legalrr", *sweep, "hydra.launcher.if_failed=go_on")
    assert status == 2
    assert "model calls: 0 made, 4 from the store" in out


@pytest.mark.slurm
@pytest.mark.usefixtures("slurm")
def test_slurm_gets_one_array_with_the_resources_of_the_configuration(run_hydra: Run, tmp_path: Path) -> None:
    pytest.importorskip("submitit")
    options = ("partition=gpu", "gpus_per_node=2", "shards=2", "timeout_min=30", "additional_parameters={qos:long}")
    status, out, _ = run_hydra(
        main, "legalrr", *SWEEP, "hydra/launcher=submitit_slurm", *(f"hydra.launcher.{one}" for one in options)
    )
    assert jobs_of_slurm((tmp_path / "sbatch/script").read_text()) == [
        "--array=0-1%2",
        "--cpus-per-task=8",
        "--gpus-per-node=2",
        "--mem=64GB",
        "--partition=gpu",
        "--qos=long",
        "--time=30",
    ]
    assert status == 0
    assert "model calls: 0 made, 24 from the store" in out


@pytest.mark.slurm
@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("hydra/launcher=submitit_slurm", 'Could not detect "srun".*run this on a machine with sbatch and srun'),
        ("hydra.launcher.timeout_min=soon", 'Parameter "timeout_min" expected type .*correct hydra.launcher'),
    ],
)
def test_what_submitit_refuses_is_one_line(run_hydra: Run, option: str, said: str) -> None:
    pytest.importorskip("submitit")
    status, out, err = run_hydra(main, "legalrr", *SWEEP, *LOCAL, option)
    assert (status, out) == (2, "")
    assert re.search(f"^legalrr: hydra.launcher: {said}", err, re.MULTILINE)


@pytest.mark.parametrize(
    ("option", "said"),
    [
        ("hydra.launcher.shards=0", "hydra.launcher.shards: 0 shards"),
        ("hydra.launcher.if_failed=hope", "hydra.launcher.if_failed: unknown if_failed 'hope' (use stop or go_on)"),
        (
            "hydra.launcher.shards=1",
            'hydra/launcher=submitit_local: submitit is not installed (pip install "legalrr[slurm]")',
        ),
    ],
)
def test_a_wrong_launcher_is_one_line(
    run_hydra: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, option: str, said: str
) -> None:
    monkeypatch.setitem(sys.modules, "submitit", None)
    status, out, err = run_hydra(main, "legalrr", *SWEEP, *LOCAL, option)
    assert (status, out) == (2, "")
    assert f"legalrr: {said}" in err
    assert not (tmp_path / "runs/cache").exists()


def test_a_shard_runs_with_any_launcher(run_hydra: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that a job runs the same command with shard= added."""
    monkeypatch.setitem(sys.modules, "submitit", None)
    status, _, err = run_hydra(main, "legalrr", *SWEEP, *LOCAL, "shard=1/2")
    assert status == 0
    assert "shard 1/2: " in err


class Jobs:
    """Executor with jobs that have the given states, and note what was submitted and cancelled."""

    def __init__(self, *states: str) -> None:
        self.states = states
        self.submitted: list[list[str]] = []
        self.devices: list[str | None] = []
        self.cancelled: list[int] = []

    @contextmanager
    def batch(self) -> Iterator[None]:
        yield

    def submit(self, _: Any, arguments: list[str], __: str, device: str | None) -> Any:
        number = len(self.submitted)
        self.submitted.append(arguments)
        self.devices.append(device)
        state = self.states[number]
        return SimpleNamespace(
            state=state,
            done=lambda: state == "FINISHED",
            exception=lambda: None,
            cancel=lambda check: self.cancelled.append(number),
        )


def test_an_interrupt_cancels_the_jobs(run_hydra: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    jobs = Jobs("RUNNING", "PENDING", "FINISHED")

    def interrupt(_: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(launching, "_executor", lambda *_: jobs)
    monkeypatch.setattr(launching.time, "sleep", interrupt)
    command = (*SWEEP, *LOCAL, "hydra.launcher.shards=3", "hydra.launcher.gpus_per_node=2")
    status, _, err = run_hydra(main, "legalrr", *command)
    assert status == 130
    assert "shards: 1 waiting, 1 running, 1 finished" in err
    assert "run the same command again to resume" in err
    assert jobs.submitted == [[*command, f"shard={number}/3"] for number in (1, 2, 3)]
    assert jobs.devices == ["0", "1", "0"]
    assert jobs.cancelled == [0, 1, 2]
