"""A folder belongs to one run, also if several runs start at once."""

import csv
import multiprocessing
from collections.abc import Callable
from pathlib import Path

import pytest

from legalrr.cli import main, run_command

Run = Callable[..., tuple[int, str, str]]
QUICK = ("arm=direct", "backbone=echo", "limit=2", "score.resamples=99", "score.permutations=99")
FILES = {"run.json", "predictions.jsonl", "judgments.jsonl.gz", "scores.json", "report.html"}
PROGRAM = """
import os, sys
sys.argv = {arguments}
null = os.open(os.devnull, os.O_WRONLY)
os.dup2(null, 1)
os.dup2(null, 2)
from legalrr.cli import main
main()
"""


def start_together(commands: list[tuple[str, ...]]) -> list[int | None]:
    """Run commands at once, from a server that has imported their libraries; return their exit statuses."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["hydra", "legalrr.run.prefetch", "legalrr.report.sweep", "sklearn.metrics"])
    programs = [PROGRAM.format(arguments=["legalrr", *command]) for command in commands]
    processes = [context.Process(target=exec, args=(program,)) for program in programs]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    return [process.exitcode for process in processes]


def test_eight_runs_and_two_sweeps_started_at_once_are_all_complete(tmp_path: Path) -> None:
    # The stamp has no seconds, so that all start within one.
    single = (*QUICK, f"runs={tmp_path}", "hydra.run.dir=${runs}/single/${now:%Y-%m}")
    swept = ("-m", *QUICK, "arm=direct,plain", f"runs={tmp_path}", "hydra.sweep.dir=${runs}/sweep/${now:%Y-%m}")
    assert start_together([single] * 8 + [swept] * 2) == [0] * 10
    singles, sweeps = ([*(tmp_path / name).iterdir()] for name in ("single", "sweep"))
    assert (len(singles), len(sweeps)) == (8, 2)
    for folder in singles:
        assert {file.name for file in folder.iterdir()} >= FILES
        assert not list(folder.glob("*.part"))
    for folder in sweeps:
        with (folder / "results.csv").open(newline="") as file:
            assert sorted((row["arm"], row["status"]) for row in csv.DictReader(file)) == [
                ("direct", "done"),
                ("plain", "done"),
            ]


@pytest.mark.parametrize("stamp", ["${now:%Y}", "mine-${now:%Y}/deep"])
@pytest.mark.parametrize("mode", ["run", "sweep"])
def test_a_stamp_that_is_taken_gets_a_number(run_hydra: Run, tmp_path: Path, mode: str, stamp: str) -> None:
    named = f"hydra.{mode}.dir=${{runs}}/{stamp}"
    for _ in range(3):
        assert run_hydra(main, "legalrr", *["-m"] * (mode == "sweep"), *QUICK, named)[0] == 0
    scores = [path.relative_to(tmp_path / "runs") for path in (tmp_path / "runs").rglob("scores.json")]
    depth = stamp.count("/")
    names = sorted(path.parts[depth] for path in scores)
    assert names == [names[0], f"{names[0]}-2", f"{names[0]}-3"]


def test_a_default_folder_has_a_readable_stamp(run_hydra: Run, tmp_path: Path) -> None:
    assert run_hydra(main, "legalrr", *QUICK)[0] == 0
    (folder,) = (tmp_path / "runs/single").iterdir()
    day, clock = folder.name.split("_")
    assert [len(part) for part in (*day.split("-"), *clock.split("-"))] == [4, 2, 2, 2, 2, 2]


def test_a_folder_named_without_a_stamp_is_used_as_it_is(run_hydra: Run, tmp_path: Path) -> None:
    for _ in range(2):
        assert run_hydra(main, "legalrr", *QUICK, "hydra.run.dir=runs/mine")[0] == 0
    assert [path.name for path in (tmp_path / "runs").iterdir() if path.name != "cache"] == ["mine"]


@pytest.mark.parametrize("name", ["a b", "it's", "x=1,y=[2]", "back\\slash", "ünï"])
def test_any_name_of_the_folder_of_results_works_for_sweeps(run_hydra: Run, tmp_path: Path, name: str) -> None:
    quoted = name.replace("'", "\\'")
    status, out, _ = run_hydra(main, "legalrr", "-m", *QUICK, f"runs='{quoted}'")
    (sweep,) = (tmp_path / name / "sweep").iterdir()
    assert status == 0
    assert (sweep / "0" / "scores.json").is_file()
    assert f"report: {name}/sweep/{sweep.name}/results.md" in out


def test_runs_of_the_leakage_command_have_folders_of_their_own(run_hydra: Run, tmp_path: Path) -> None:
    named = "hydra.run.dir=${runs}/leakage/${now:%Y}"
    for _ in range(2):
        assert run_hydra(lambda: run_command("leakage", [*QUICK[1:3], "probe.calls=0", named]), "legalrr")[0] == 0
    assert len(list((tmp_path / "runs/leakage").glob("*/run.json"))) == 2
