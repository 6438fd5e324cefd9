"""Shards: processes that do not talk to each other make the calls of a sweep, and one more prints its tables."""

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kill_test import read_tables

import legalrr.backbones.local.backbone as local
from legalrr.backbones.local.backbone import forget_engine
from legalrr.cli import main
from legalrr.configuration import compose
from legalrr.errors import UserError
from legalrr.report.load import find_cells
from legalrr.run.cell import PreparedCell, run_cell
from legalrr.run.measurement import StageTimer
from legalrr.run.pipeline import build_pipeline
from legalrr.run.shard import Shard, read_shard

Run = Callable[..., tuple[int, str, str]]
QUICK = ("backbone=echo", "segment=crf", "limit=6", "score.resamples=99", "score.permutations=99")
SWEEP = ("-m", "arm=plain,c,direct_compare,majority,tfidf_lr", *QUICK)


@given(corpus=st.text(), id=st.text(), count=st.integers(1, 40))
def test_a_judgment_belongs_to_exactly_one_shard(corpus: str, id: str, count: int) -> None:
    assert sum(Shard(number=number, count=count).takes(corpus, id) for number in range(1, count + 1)) == 1


def test_shards_are_about_equal_and_differ_between_corpora() -> None:
    ids = [f"case-{number}" for number in range(4000)]
    sizes = [sum(Shard(number=n, count=8).takes("one", id) for id in ids) for n in range(1, 9)]
    assert 400 < min(sizes) < max(sizes) < 600
    first = Shard(number=1, count=8)
    assert [first.takes("one", id) for id in ids] != [first.takes("other", id) for id in ids]


def slurm(index: int, first: int = 1, last: int = 16, step: int = 1, count: int | None = None) -> dict[str, str]:
    return {
        "SLURM_ARRAY_TASK_ID": str(index),
        "SLURM_ARRAY_TASK_MIN": str(first),
        "SLURM_ARRAY_TASK_MAX": str(last),
        "SLURM_ARRAY_TASK_STEP": str(step),
        "SLURM_ARRAY_TASK_COUNT": str((last - first) // step + 1 if count is None else count),
    }


GRID_ENGINE = {"SGE_TASK_ID": "6", "SGE_TASK_FIRST": "2", "SGE_TASK_LAST": "10", "SGE_TASK_STEPSIZE": "2"}


@pytest.mark.parametrize(
    ("text", "environment", "shard"),
    [
        ("3/16", {}, "3/16"),
        ("1/1", slurm(5), "1/1"),
        ("array", slurm(3), "3/16"),
        ("array", slurm(0, 0, 15), "1/16"),
        ("array", slurm(15, 0, 15), "16/16"),
        ("array/4", slurm(8, 0, 15, 4, 4), "3/4"),
        ("array/16", slurm(16), "16/16"),
        ("array/1", slurm(9, 9, 9), "1/1"),
        ("array/5", GRID_ENGINE, "3/5"),
        ("array/4", {"PBS_ARRAY_INDEX": "4"}, "4/4"),
        ("array/4", {"JOB_COMPLETION_INDEX": "0"}, "1/4"),
        ("array/4", {"JOB_COMPLETION_INDEX": "3", "SGE_TASK_ID": "undefined"}, "4/4"),
    ],
)
def test_a_task_of_an_array_knows_its_shard(text: str, environment: Mapping[str, str], shard: str) -> None:
    assert str(read_shard(text, environment)) == shard


@pytest.mark.parametrize(
    ("text", "environment", "said"),
    [
        ("0/4", {}, "no shard 0/4"),
        ("5/4", {}, "no shard 5/4"),
        ("0/0", {}, "no shard 0/0"),
        ("array", {}, "none of SLURM_ARRAY_TASK_ID"),
        ("array", {"SGE_TASK_ID": "undefined"}, "not a task of a job array"),
        ("array", {"JOB_COMPLETION_INDEX": "3"}, "Kubernetes does not tell the number of tasks .*array/16"),
        ("array", {"PBS_ARRAY_INDEX": "3"}, "PBS does not tell the number of tasks"),
        ("array/4", {"JOB_COMPLETION_INDEX": "4"}, "no shard 5/4"),
        ("array/4", {"PBS_ARRAY_INDEX": "0"}, "no shard 0/4"),
        ("array/8", slurm(3), "not one of 8 in equal steps"),
        # --array=1,2,9: no step leads from task to task.
        ("array", slurm(9, 1, 9, 1, 3), "give the array as one range"),
        ("array", slurm(6, 1, 16, 3), "not one of 6 in equal steps"),
        # --array=3, --array=1 and --array=5-8: failed tasks that are submitted again.
        ("array", slurm(3, 3, 3), "task 3 of 3 to 3 .Slurm.: these may be a part .*shard=array/1 if"),
        ("array", slurm(1, 1, 1), "may be a part of a larger array"),
        ("array", slurm(6, 5, 8), "may be a part of a larger array .write shard=array/4 if"),
        ("array", GRID_ENGINE, "task 6 of 2 to 10 .Grid Engine.: these may be a part"),
        ("array/16", slurm(3, 3, 3), "not one of 16 in equal steps"),
        ("array", slurm(3) | GRID_ENGINE, "a task of several job arrays: SLURM_ARRAY_TASK_ID, SGE_TASK_ID"),
    ],
)
def test_what_is_no_shard_is_refused(text: str, environment: Mapping[str, str], said: str) -> None:
    with pytest.raises(UserError, match=said):
        read_shard(text, environment)


@given(st.text() | st.from_regex(r"(array)?/?[0-9]*/?[0-9]*", fullmatch=True))
def test_any_text_is_a_shard_or_refused(text: str) -> None:
    try:
        shard = read_shard(text, {})
    except UserError:
        return
    assert [shard.number, shard.count] == [int(part) for part in text.split("/")]


def test_tables_of_three_shards_and_a_last_run_equal_those_of_one_process(run_hydra: Run, tmp_path: Path) -> None:
    for number in (1, 2, 3):
        status, out, err = run_hydra(main, "legalrr", *SWEEP, f"shard={number}/3")
        assert (status, out) == (0, "")
        assert f"shard {number}/3: " in err
        assert "the same command without shard= prints the tables" in err
    status, out, _ = run_hydra(main, "legalrr", *SWEEP, "hydra.sweep.dir=joined/sweep/0")
    assert status == 0
    assert "model calls: 0 made, 42 from the store" in out
    run_hydra(main, "legalrr", *SWEEP, "runs=alone", "hydra.sweep.dir=alone/sweep/0")
    assert read_tables(tmp_path / "joined") == read_tables(tmp_path / "alone")
    # Each call was made by one shard.
    stored = [line for path in tmp_path.glob("runs/cache/predict/*/*.jsonl") for line in path.read_text().splitlines()]
    assert len(stored) == len(set(stored)) == 6 * (2 + 3 + 1)


def test_the_run_after_the_shards_loads_no_weights(
    run_hydra: Run, tmp_path: Path, tiny: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = shutil.copytree(tiny, tmp_path / "model")
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps(config | {"max_position_embeddings": 16384}))
    command = (
        *("arm=direct", "backbone=local", "backbone.name=tiny", f"backbone.model={model}", "backbone.threads=1"),
        *("restructure.overflow=middle", "restructure.budget=120", "annotate.tokens.answer=2", *QUICK[1:], "limit=1"),
    )
    status, _, err = run_hydra(main, "legalrr", *command, "shard=1/1")
    assert status == 0, err
    forget_engine()
    monkeypatch.setattr(local, "open_weights", None)
    status, out, _ = run_hydra(main, "legalrr", *command)
    assert (status, "model calls: 0 made, 1 from the store" in out) == (0, True)


def test_a_shard_leaves_a_log_and_no_cells(run_hydra: Run, tmp_path: Path) -> None:
    run_hydra(main, "legalrr", *SWEEP, "shard=2/3", "hydra.sweep.dir=elsewhere")
    run_hydra(main, "legalrr", "arm=plain", *QUICK, "shard=1/3")
    sweep, single = sorted((tmp_path / "runs/shard").iterdir(), key=lambda path: path.name[-6:], reverse=True)
    assert (sweep.name[-7:], single.name[-7:]) == ("_2-of-3", "_1-of-3")
    for folder, share in ((sweep, "shard 2/3"), (single, "shard 1/3")):
        assert [path.name for path in folder.iterdir()] == ["legalrr.log"]
        assert share in (folder / "legalrr.log").read_text()
    assert find_cells(tmp_path / "runs/shard") == []
    assert not (tmp_path / "elsewhere").exists()
    assert not [*tmp_path.rglob("run.json"), *tmp_path.rglob("results.csv"), *tmp_path.rglob(".hydra")]


def test_the_sample_is_drawn_before_it_is_shared_out(tmp_path: Path) -> None:
    def ids(*overrides: str) -> list[str]:
        config = compose(overrides=[*QUICK, f"runs={tmp_path}", *overrides])
        judgments, counts = PreparedCell(pipeline=build_pipeline(config), timer=StageTimer()).judgments(None)
        assert counts["taken"] == len(judgments)
        return [one.id for one in judgments]

    shares = [ids("arm=majority", f"shard={number}/3") for number in (1, 2, 3)]
    assert sorted(id for share in shares for id in share) == sorted(ids("arm=majority"))
    assert len(shares[0]) < 6


def test_a_shard_has_no_scores(tmp_path: Path) -> None:
    pipeline = build_pipeline(compose(overrides=[*QUICK, "shard=1/2"]))
    with pytest.raises(UserError, match="a shard has no scores"):
        run_cell(pipeline, tmp_path / "cell")
    assert not [*tmp_path.iterdir()]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("-m", "arm=plain,c", "shard=1/2,2/2"), "legalrr: shard: a shard is not an axis of a sweep"),
        (("-m", "arm=plain,c", "shard=3/2"), "legalrr: shard: no shard 3/2"),
        (("arm=plain", "shard=3"), "legalrr: shard: '3' is not a shard"),
    ],
)
def test_a_wrong_shard_is_one_line(run_hydra: Run, tmp_path: Path, options: tuple[str, ...], said: str) -> None:
    status, out, err = run_hydra(main, "legalrr", *options, *QUICK)
    assert (status, out) == (2, "")
    (line,) = [line for line in err.splitlines() if line.startswith("legalrr")]
    assert line.startswith(said)
    assert not (tmp_path / "runs/cache").exists()


def test_cells_that_fail_in_a_shard_are_named_and_the_others_run(run_hydra: Run, tmp_path: Path) -> None:
    """Cell 0 has too little context for its judgments, and cell 2 is invalid."""
    grids = "hydra.sweeper.grids=[{backbone.context:'2300,8192'},{verdict.reading:study,predict.scoring:compare}]"
    status, _, err = run_hydra(main, "legalrr", "-m", grids, "arm=direct", *QUICK, "shard=1/1")
    first, last = [line for line in err.splitlines() if line.startswith("legalrr: ")]
    assert status == 2
    assert "verdict.reading=study needs the text" in first
    assert "more than the budget of" in last
    assert "shard 1/1: 6 judgments, " in err
    assert "model calls made. The same command resumes." in err
    # The other command, of which this one was a shard, prints the tables of cell 1 without a call.
    status, out, _ = run_hydra(main, "legalrr", "-m", grids, "arm=direct", *QUICK)
    assert status == 2
    assert "model calls: 0 made, 6 from the store" in out
