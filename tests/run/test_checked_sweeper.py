"""The folders of a sweep's cells: names of the user's own, one cell each, and cells that run in other processes."""

import csv
import json
import os
import pickle
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from hydra._internal.core_plugins.basic_launcher import BasicLauncher
from hydra.core.utils import JobReturn

from legalrr.cli import main, run_command
from legalrr.configuration import compose_cells

Run = Callable[..., tuple[int, str, str]]
QUICK = ("backbone=echo", "limit=2", "score.resamples=99", "score.permutations=99")


def table(folder: Path) -> list[tuple[str, str, str]]:
    """Read job, arm and status of each row of results.csv."""
    with (folder / "results.csv").open(newline="") as file:
        return [(row["job"], row["arm"] or row["label"], row["status"]) for row in csv.DictReader(file)]


@pytest.mark.parametrize(
    "subdir",
    [
        "arm_${arm.id}",
        "${arm.id}/seed/${seed}",
        ".${arm.id}",
        "${hydra.job.override_dirname}",
        "${hydra:job.override_dirname}",
        "2025 ${arm.id}",
        "0${hydra.job.num}",
    ],
)
def test_cells_in_folders_of_any_name_have_tables(run_hydra: Run, tmp_path: Path, subdir: str) -> None:
    status, out, err = run_hydra(main, "legalrr", "-m", "arm=direct,plain", *QUICK, f"hydra.sweep.subdir={subdir}")
    (sweep,) = (tmp_path / "runs/sweep").iterdir()
    assert status == 0
    assert "legalrr: " not in err
    assert table(sweep) == [("0", "direct", "done"), ("1", "plain", "done")]
    assert "model calls: 6 made, 0 from the store" in out
    (sweep / "results.csv").unlink()
    assert run_hydra(lambda: run_command("report", [str(sweep), "--quiet"]), "legalrr")[0] == 0
    # Logged before the first cell, by the configuration of Hydra itself.
    assert err.index("prefetch: ") < err.index("[0] ")
    assert len(table(sweep)) == 2
    assert run_hydra(lambda: run_command("explain", [str(sweep)]), "legalrr")[0] == 0


@pytest.mark.parametrize(
    ("subdir", "said"),
    [
        ("seed_${seed}", "cells 0 and 2 would share the folder seed_1"),
        (".", "cells 0 and 1 would share the folder ."),
        ("${arm.id}", "cells 0 and 1 would share the folder direct"),
        ("../${hydra.job.num}", "../0 is outside the folder of the sweep"),
        ("/tmp/${hydra.job.num}", "/tmp/0 is outside the folder of the sweep"),
        ("${no_such}", "no_such"),
    ],
)
@pytest.mark.parametrize("launcher", ["together", "basic"])
def test_a_shared_folder_is_refused_before_anything_runs(
    run_hydra: Run, tmp_path: Path, subdir: str, said: str, launcher: str
) -> None:
    sweep = ("arm=direct,plain", "seed=1,2", *QUICK, f"hydra/launcher={launcher}")
    status, _, err = run_hydra(main, "legalrr", "-m", *sweep, f"hydra.sweep.subdir={subdir}")
    (line,) = [line for line in err.splitlines() if line.startswith("legalrr: ")]
    assert status == 2
    assert said in line
    assert "Traceback" not in err
    assert not (tmp_path / "runs/cache").exists()


@pytest.mark.parametrize("launcher", ["together", "basic"])
def test_a_missing_key_is_one_line_before_any_cell_runs(
    run_hydra: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, launcher: str
) -> None:
    monkeypatch.delenv("LEGALRR_TEST_KEY", raising=False)
    sweep = (
        "arm=majority,direct,plain",
        "backbone=local",
        "engine=server",
        "backbone.model=m",
        f"hydra/launcher={launcher}",
    )
    status, out, err = run_hydra(main, "legalrr", "-m", *sweep, "backbone.api_key_env=LEGALRR_TEST_KEY")
    assert (status, out) == (2, "")
    assert [line for line in err.splitlines() if "LEGALRR_TEST_KEY" in line] == [
        "legalrr: backbone.api_key_env: the environment variable LEGALRR_TEST_KEY, the key for "
        "http://localhost:8000/v1, is not set (export LEGALRR_TEST_KEY=..., or name another variable)"
    ]
    assert not [*tmp_path.rglob("error.json"), *tmp_path.rglob("run.json"), *tmp_path.rglob("cache")]


def test_a_key_that_no_cell_needs_may_be_missing(
    run_hydra: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("LEGALRR_TEST_KEY", raising=False)
    sweep = ("arm=majority,last_lines", "backbone=local", "engine=server", "backbone.model=m", *QUICK[1:])
    assert run_hydra(main, "legalrr", "-m", *sweep, "backbone.api_key_env=LEGALRR_TEST_KEY")[0] == 0


def test_a_server_that_is_down_is_one_line_for_all_cells(run_hydra: Run, tmp_path: Path) -> None:
    sweep = (
        "arm=direct,plain,c",
        "backbone=local",
        "engine=server",
        "backbone.model=m",
        "backbone.base_url=http://127.0.0.1:9/v1",
    )
    status, _, err = run_hydra(main, "legalrr", "-m", *sweep, *QUICK[1:])
    assert status == 2
    (line,) = [line for line in err.splitlines() if line.startswith("legalrr: ")]
    assert line.startswith(
        "legalrr: cells 0, 1, 2: backbone.base_url: no answer from http://127.0.0.1:9/v1, with up to 2 "
    )


def test_a_failed_cell_in_a_folder_of_its_own_is_in_the_table(run_hydra: Run, tmp_path: Path) -> None:
    sweep = ("backbone.context=2300,8192", "arm=direct", "backbone=echo", "limit=6")
    status, _, _ = run_hydra(main, "legalrr", "-m", *sweep, "hydra.sweep.subdir=context_${backbone.context}")
    (folder,) = (tmp_path / "runs/sweep").iterdir()
    assert status == 2
    assert sorted(table(folder)) == [("0", "backbone.context=2300", "failed"), ("1", "direct", "done")]


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> str:
    """Override for a launcher that runs a pickled copy of the task, as one with worker processes does."""
    launch = BasicLauncher.launch

    def launch_copy(
        self: BasicLauncher, job_overrides: Sequence[Sequence[str]], initial_job_idx: int
    ) -> Sequence[JobReturn]:
        copy: Any = pickle.loads(pickle.dumps(self.task_function))
        copy._process = os.getpid() + 1
        self.task_function = copy
        returned: Sequence[JobReturn] = launch(self, job_overrides, initial_job_idx)
        return returned

    monkeypatch.setattr(BasicLauncher, "launch", launch_copy)
    return "hydra/launcher=basic"


def test_cells_that_run_in_other_processes_have_tables(run_hydra: Run, tmp_path: Path, elsewhere: str) -> None:
    status, out, _ = run_hydra(main, "legalrr", "-m", elsewhere, "arm=direct,plain", *QUICK)
    (sweep,) = (tmp_path / "runs/sweep").iterdir()
    assert status == 0
    assert table(sweep) == [("0", "direct", "done"), ("1", "plain", "done")]
    assert "model calls: 6 made, 0 from the store" in out
    assert f"page: runs/sweep/{sweep.name}/report.html" in out


def test_a_cell_that_fails_in_another_process_keeps_the_tables(run_hydra: Run, tmp_path: Path, elsewhere: str) -> None:
    sweep = ("arm=direct", "backbone.context=2300,8192", "backbone=echo", "limit=6")
    status, out, err = run_hydra(main, "legalrr", "-m", elsewhere, *sweep)
    (folder,) = (tmp_path / "runs/sweep").iterdir()
    assert status == 2
    assert sum(line.startswith("legalrr: ") for line in err.splitlines()) == 1
    assert sorted(table(folder)) == [("0", "backbone.context=2300", "failed"), ("1", "direct", "done")]
    assert "report: " in out
    assert json.loads((folder / "0/error.json").read_text())["type"] == "UserError"


GRIDS = "hydra.sweeper.grids=[{arm:direct},{arm:'plain,direct',seed:'range(1,3)'}]"


def test_a_sweep_of_two_grids_runs_the_cells_of_both(run_hydra: Run, tmp_path: Path) -> None:
    assert run_hydra(main, "legalrr", "-m", GRIDS, *QUICK)[0] == 0
    (sweep,) = (tmp_path / "runs/sweep").iterdir()
    ran = [(sweep / str(number) / ".hydra/overrides.yaml").read_text("utf-8") for number in range(5)]
    own = [[line.removeprefix("- ") for line in text.splitlines()] for text in ran]
    assert [[one for one in cell if one.startswith(("arm", "seed"))] for cell in own] == [
        ["arm=direct"],
        ["arm=plain", "seed=1"],
        ["arm=plain", "seed=2"],
        ["arm=direct", "seed=1"],
        ["arm=direct", "seed=2"],
    ]
    # The same cells, composed without a run.
    composed = compose_cells([GRIDS, "hydra.mode=MULTIRUN", *QUICK])
    assert [(config.arm.id, config.seed) for _, config in composed] == [
        ("direct", 0),
        ("plain", 1),
        ("plain", 2),
        ("direct", 1),
        ("direct", 2),
    ]


def test_an_axis_of_the_command_line_replaces_that_of_every_grid() -> None:
    composed = compose_cells([GRIDS, "hydra.mode=MULTIRUN", "arm=c", "seed=4"])
    assert [(config.arm.id, config.seed) for _, config in composed] == [("c", 4)]
