"""The command `legalrr plan`."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from legalrr.cli import main
from legalrr.plan import output

Run = Callable[..., tuple[int, str, str]]
ECHO = ("backbone=echo", "limit=2")


def test_it_prints_cells_calls_and_power_and_makes_no_run(run_hydra: Run, tmp_path: Path) -> None:
    status, out, _ = run_hydra(main, "legalrr", "plan", "experiment=paper", "arm=plain,drc", *ECHO)
    assert status == 0
    assert [line.split()[:2] for line in out.splitlines()[1:3]] == [["0", "none"], ["1", "D/R/C"]]
    assert "time, echo: about 0 s" in out
    assert "power, specimen: 2 judgments (1 allowed, 1 dismissed)" in out
    assert out.splitlines()[-1] == "run it: legalrr experiment=paper arm=plain,drc backbone=echo limit=2"
    assert not list(tmp_path.glob("runs/s*"))
    assert not list(tmp_path.glob("runs/cache/predict/*/*.jsonl"))


def test_the_command_that_it_prints_runs_a_sweep(run_hydra: Run) -> None:
    _, out, _ = run_hydra(main, "legalrr", "plan", "-m", "arm=direct,majority", *ECHO, "--no-calibration")
    command = out.splitlines()[-1].removeprefix("run it: legalrr ").split()
    assert command[0] == "-m"
    assert run_hydra(main, "legalrr", *command, "score.resamples=99")[0] == 0


def test_many_cells_are_added_up_by_corpus_and_backbone(run_hydra: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(output, "MOST_CELLS", 2)
    status, out, _ = run_hydra(main, "legalrr", "plan", "arm=direct,plain,majority", *ECHO, "--no-calibration")
    assert status == 0
    shown = [line.split() for line in out.splitlines()[1:3]]
    assert [row[:5] for row in shown] == [["2", "specimen", "echo", "2", "6"], ["1", "specimen", "no", "calls", "2"]]


def test_json_has_the_whole_plan(run_hydra: Run) -> None:
    speed = ("--tokens-per-second", "1000,10", "--cluster", "gpus=2,machine=2,lease=1,price=3")
    arguments = ("arm=plain,majority", "--json", *speed, *ECHO)
    status, out, _ = run_hydra(main, "legalrr", "plan", *arguments)
    assert status == 0
    found = json.loads(out)
    assert [cell["use"]["calls"] for cell in found["cells"]] == [4, 0]
    (backbone,) = found["backbones"]
    assert (backbone["calls"], backbone["to_make"]) == (4, 4)
    cluster = backbone["duration"]["cluster"]
    assert backbone["duration"]["most"] > cluster["most"] >= backbone["duration"]["most"] / 2
    assert (cluster["workers"], cluster["machine"], cluster["price"]) == (2, 2, 3)


@pytest.mark.parametrize("place", [0, 2])
def test_prompts_take_an_id_before_or_after_the_overrides(run_hydra: Run, tmp_path: Path, place: int) -> None:
    arguments = ["arm=direct", *ECHO[:1], "--out", "prompts.html"]
    arguments[place:place] = ["--prompts", *(["tax-2"] if place else [])]
    status, out, _ = run_hydra(main, "legalrr", "plan", *arguments)
    assert (status, out) == (0, "prompts.html\n")
    page = (tmp_path / "prompts.html").read_text("utf-8")
    assert ("tax-2" in page) == bool(place)
    # The same command writes it again, but not over a file of others.
    assert run_hydra(main, "legalrr", "plan", *arguments)[0] == 0
    (tmp_path / "prompts.html").write_text("mine")
    assert run_hydra(main, "legalrr", "plan", *arguments)[0] == 2


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (("--out", "x.html"), "--out: a page is made of prompts (add --prompts)"),
        (("--tokens-per-second", "fast"), "--tokens-per-second: 'fast' is not two numbers above 0"),
        (("--tokens-per-second", "0,5"), "--tokens-per-second: '0,5' is not two numbers above 0"),
        (("--cluster", "workers=0"), "--cluster: 'workers=0' does not describe workers"),
        (("--cluster", "workers=2,machine=none"), "--cluster: 'workers=2,machine=none' does not describe workers"),
        (("--cluster", "workers=2,threads=0"), "--cluster: 'workers=2,threads=0' does not describe workers"),
        (("--cluster", "nodes=4"), "--cluster: 'nodes=4' does not describe workers"),
        (("arm=majorty",), "arm=majorty: no arm 'majorty' (did you mean arm=majority?)"),
        (("limit", "=", "4"), "an override with spaces"),
    ],
)
def test_invalid_arguments_are_one_line(run_hydra: Run, arguments: tuple[str, ...], said: str) -> None:
    status, _, err = run_hydra(main, "legalrr", "plan", *arguments)
    assert status == 2
    assert said in err
    assert "Traceback" not in err


def test_an_unknown_option_is_refused(run_hydra: Run) -> None:
    status, _, err = run_hydra(main, "legalrr", "plan", "arm=direct", "--quick")
    assert status == 2
    assert "--quick" in err
