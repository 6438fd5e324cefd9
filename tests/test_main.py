"""Command `legalrr`: tables, one-line errors with exit status 2, and no heavy imports for --help."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from legalrr.cli import main
from legalrr.paths import root
from legalrr.run.pipeline import Pipeline

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(run_hydra: Run) -> Run:
    """Run the command in a temporary folder; return exit status, standard output and standard error."""
    return partial(run_hydra, main, "legalrr")


def complaint(err: str) -> list[str]:
    return [line for line in err.splitlines() if line.startswith("legalrr: ")]


QUICK = ("backbone=echo", "limit=6", "score.resamples=99", "score.permutations=99")


def test_a_single_cell_writes_its_folder_and_prints_its_table(run: Run, tmp_path: Path) -> None:
    status, out, _ = run("arm=dc", *QUICK)
    (folder,) = (tmp_path / "runs/single").iterdir()
    assert status == 0
    assert "D/C" in out
    assert {"run.json", "predictions.jsonl", "scores.json", "legalrr.log"} <= {f.name for f in folder.iterdir()}
    record = json.loads((folder / "run.json").read_text())
    assert record["counts"] == {"read": 24, "taken": 6, "scored": 6, "party unknown": 0}
    assert record["calls"] == {"made": 24, "stored": 0}
    rows = [json.loads(line) for line in (folder / "predictions.jsonl").read_text().splitlines()]
    assert [turn["name"] for turn in rows[0]["turns"]] == ["analysis", "ratio", "ruling", "answer"]


def test_the_second_run_of_a_sweep_makes_no_call_and_the_same_tables(run: Run, tmp_path: Path) -> None:
    sweep = ("experiment=paper", "arm=plain,c,majority", *QUICK)
    for stamp in ("first", "second"):
        status, out, _ = run(*sweep, f"hydra.sweep.dir=runs/sweep/{stamp}")
        assert status == 0
        assert f"report: runs/sweep/{stamp}/results.md" in out
        assert f"page: runs/sweep/{stamp}/report.html" in out
    assert "model calls: 0 made, 36 from the store" in out
    first, second = (tmp_path / "runs/sweep" / stamp for stamp in ("first", "second"))
    made = [json.loads((second / str(n) / "run.json").read_text())["calls"]["made"] for n in range(3)]
    assert made == [0, 0, 0]
    for table in ("results.md", "results.tex", "pairs.csv", "macro_f1.svg"):
        assert (first / table).read_bytes() == (second / table).read_bytes()


def test_arms_with_and_without_the_chain_share_their_first_call(run: Run, tmp_path: Path) -> None:
    run("experiment=paper", "arm=plain,c", *QUICK)
    (sweep,) = (tmp_path / "runs/sweep").iterdir()
    calls = json.loads((sweep / "1" / "run.json").read_text())["calls"]
    assert calls == {"made": 18, "stored": 6}


def test_one_failing_cell_keeps_the_other_cells_and_the_tables(run: Run, tmp_path: Path) -> None:
    status, out, err = run("-m", "arm=plain,direct", "backbone.context=2300,8192", *QUICK)
    (sweep,) = (tmp_path / "runs/sweep").iterdir()
    assert status == 2
    assert [(sweep / str(n) / "scores.json").exists() for n in range(4)] == [False, True, False, True]
    assert "legalrr.records" not in err
    assert "budget" in complaint(err)[0]
    assert all("restructure.overflow" in line for line in complaint(err))
    assert "failed" in (sweep / "results.csv").read_text()
    assert json.loads((sweep / "0" / "error.json").read_text())["type"] == "UserError"
    assert "Traceback" in (sweep / "0" / "legalrr.log").read_text()
    assert "direct" in out


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["no_such_option=1"], "no_such_option"),
        (["annotate.chian=true"], "chian"),
        (["arm=no_such_arm"], "no_such_arm"),
        (["limit=few"], "few"),
        (["annotate.define=maybe"], "annotate"),
        (["predict=model", "predict.scoring=guess"], "predict.scoring"),
        (["corpus=lawai50"], "LEGALRR_DATA"),
        (["corpus=own_text", "corpus.folder=no_such_folder"], "no_such_folder"),
        (["backbone=echo", "backbone.context=700"], "backbone"),
        (["restructure.also_hide=[FACTS]", "backbone=echo"], "FACTS"),
        (
            ["arm=direct", "predict.scoring=calibrated", "annotate.direct=false", "backbone=echo"],
            "annotate.direct=true",
        ),
    ],
)
def test_bad_input_is_one_line_and_exit_status_2(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, arguments: list[str], named: str
) -> None:
    monkeypatch.setenv("LEGALRR_DATA", str(tmp_path / "no_such_data"))
    status, _, err = run(*arguments)
    assert status == 2
    (line,) = complaint(err)
    assert named in line
    assert err.endswith(line + "\n")
    assert not {"Traceback", "Error"} & set(err.split())


def test_an_interrupted_sweep_keeps_its_tables_and_says_how_to_resume(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    from legalrr.run import cell

    whole = cell.run_cell

    def interrupted(pipeline: Pipeline, *rest: Any, **named: Any) -> Mapping[str, Any]:
        if pipeline.settings.arm.id == "c":
            raise KeyboardInterrupt
        return whole(pipeline, *rest, **named)

    monkeypatch.setattr("legalrr.run.prefetch.run_cell", interrupted)
    status, out, err = run("experiment=paper", "arm=plain,d,c", *QUICK)
    (sweep,) = (tmp_path / "runs/sweep").iterdir()
    assert status == 130
    assert "interrupted" in complaint(err)[0]
    assert "none (reference)" in out
    # In half a minute before the interruption, only the table of the first cell was written.
    assert "| D |" in (sweep / "results.md").read_text()


def test_a_sweep_interrupted_before_its_first_cell_says_how_to_resume(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupted(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("legalrr.run.prefetch.prefetch", interrupted)
    status, _, err = run("experiment=paper", "arm=plain,c", *QUICK)
    assert status == 130
    assert "run the same command again to resume" in complaint(err)[0]


@pytest.mark.parametrize("name", ["SIGTERM", "SIGHUP"])
@pytest.mark.parametrize("function", ["run_cell", "prefetch"])
def test_a_terminated_sweep_keeps_its_tables_and_says_how_to_resume(
    run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, name: str, function: str
) -> None:
    from legalrr.run import prefetch

    number = getattr(signal, name)
    before = signal.getsignal(number)
    whole = getattr(prefetch, function)

    def terminated(*arguments: Any, **named: Any) -> Any:
        result = whole(*arguments, **named)
        os.kill(os.getpid(), number)
        return result

    monkeypatch.setattr(prefetch, function, terminated)
    status, _, err = run("experiment=paper", "arm=plain,d,c", *QUICK)
    (sweep,) = (tmp_path / "runs/sweep").iterdir()
    assert status == 128 + number
    assert complaint(err) == ["legalrr: terminated; run the same command again to resume"]
    assert "Traceback" not in err
    assert (sweep / "results.md").exists() == (function == "run_cell")
    assert signal.getsignal(number) is before


def test_a_terminated_single_run_and_sub_command_exit_with_143(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def terminated(*_: object, **__: object) -> None:
        os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr("legalrr.run.prefetch.run_cell", terminated)
    status, _, err = run(*QUICK)
    assert (status, complaint(err)) == (143, ["legalrr: terminated; run the same command again to resume"])
    monkeypatch.setattr("legalrr.corpora.cli.main", terminated)
    status, _, err = run("data", "list")
    assert (status, err) == (143, "legalrr data: terminated; run the same command again to resume\n")


def test_an_ignored_signal_stays_ignored(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        monkeypatch.setattr("legalrr.corpora.cli.main", lambda: os.kill(os.getpid(), signal.SIGHUP))
        assert run("data", "list")[0] == 0
    finally:
        signal.signal(signal.SIGHUP, before)


def test_a_sweep_without_prefetch_has_the_same_tables(run: Run, tmp_path: Path) -> None:
    sweep = ("experiment=paper", "arm=plain,c,direct_compare", *QUICK)
    for launcher in ("together", "basic"):
        folder = f"runs/sweep/{launcher}"
        _, out, _ = run(*sweep, f"hydra/launcher={launcher}", f"hydra.sweep.dir={folder}", f"runs={launcher}")
        assert "model calls: 36 made, 6 from the store" in out
    one, other = (tmp_path / "runs/sweep" / launcher for launcher in ("together", "basic"))
    for table in ("results.md", "pairs.csv", "macro_f1.svg"):
        assert (one / table).read_bytes() == (other / table).read_bytes()


def test_a_bug_is_not_reported_as_bad_input(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr("legalrr.run.prefetch.run_cell", broken)
    with pytest.raises(ZeroDivisionError):
        run("backbone=echo")


def test_judgments_without_outcome_are_predicted_and_not_scored(run: Run, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "one.txt").write_text("The appellant sold a horse. It was lame.\n", encoding="utf-8")
    status, _, _ = run("corpus=own_text", "corpus.folder=mine", "segment=crf", "arm=direct", "backbone=echo")
    (folder,) = (tmp_path / "runs/single").iterdir()
    (row,) = [json.loads(line) for line in (folder / "predictions.jsonl").read_text().splitlines()]
    assert status == 0
    assert row["gold"] is None
    assert row["verdict"] in ("allowed", "dismissed")


def test_missing_gold_roles_name_the_cure(run: Run, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "one.txt").write_text("The appellant sold a horse. It was lame.\n", encoding="utf-8")
    status, _, err = run("corpus=own_text", "corpus.folder=mine", "backbone=echo")
    assert status == 2
    assert "segment=crf" in complaint(err)[0]


def test_tagged_roles_come_from_the_store_the_second_time(run: Run, tmp_path: Path) -> None:
    for _ in range(2):
        assert run("segment=crf", "arm=majority", "limit=3")[0] == 0
    shards = list((tmp_path / "runs/cache/segment").glob("*/*.jsonl"))
    assert len(shards) == 1
    assert len(shards[0].read_text().splitlines()) == 3


def test_help_imports_nothing_heavy() -> None:
    command = [sys.executable, "-X", "importtime", "-m", "legalrr", "--help"]
    done = subprocess.run(command, cwd=root(), capture_output=True, text=True, check=True)
    loaded = {line.split("|")[-1].strip() for line in done.stderr.splitlines() if line.startswith("import time:")}
    assert not loaded & {
        "torch",
        "transformers",
        "triton",
        "spacy",
        "matplotlib",
        "pandas",
        "sklearn",
        "scipy",
        "datasets",
    }
    assert "legalrr experiment=quickstart" in done.stdout
