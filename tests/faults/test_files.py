"""Files and folders that cannot be read or written: one line with path, reason and cure, status 2, nothing lost."""

import csv
import errno
import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from legalrr.cli import run_command
from legalrr.errors import FILE_CURES, UserError, file_errors
from legalrr.paths import root
from tests.faults.conftest import QUICK, Command

TABLE = root() / "data" / "published" / "khatri2025_prediction.csv"
LONG = "x" * 300
TRAIN = ("--corpus", "specimen", "--split-spans", "--iterations", "2")
JUDGMENT = "The appellant sold a horse.\n\nIt was lame.\n\nWe allow the appeal.\n"


@pytest.mark.parametrize("number", FILE_CURES)
def test_a_fault_has_path_reason_and_cure(number: int) -> None:
    with pytest.raises(UserError) as raised, file_errors():
        raise OSError(number, "unused", "runs/x")
    assert str(raised.value) == f"runs/x: {os.strerror(number)} ({FILE_CURES[number]})"


@pytest.mark.parametrize("fault", [ConnectionRefusedError(errno.ECONNREFUSED, "x"), TimeoutError(), OSError("odd")])
def test_other_faults_pass_unchanged(fault: OSError) -> None:
    with pytest.raises(type(fault)) as raised, file_errors("runs/x"):
        raise fault
    assert raised.value is fault


@pytest.mark.parametrize("sweep", [False, True], ids=["single", "sweep"])
@pytest.mark.parametrize(
    "place", ["read_only", "a_file", LONG, "disk.img/deep"], ids=["ro", "file", "long", "below a file"]
)
def test_a_folder_of_results_that_cannot_be_written(command: Command, tmp_path: Path, place: str, sweep: bool) -> None:
    (tmp_path / "read_only").mkdir(mode=0o555)
    (tmp_path / "a_file").touch()
    (tmp_path / "disk.img").touch()
    line = command(*["-m"] * sweep, *QUICK, f"runs={place}", unprivileged=True).fault()
    assert line.startswith(f"legalrr: {place}")
    assert line.endswith(")")
    assert not list((tmp_path / "read_only").iterdir())


def test_a_cache_that_cannot_be_written_is_found_before_any_call(command: Command, tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "cache").mkdir(mode=0o555)
    ended = command(*QUICK, "runs=runs", unprivileged=True)
    assert "runs/cache/restructure/" in ended.fault()
    assert "Permission denied (allow access" in ended.err
    assert "predict: " not in ended.err
    (error,) = (tmp_path / "runs").glob("single/*/error.json")
    assert "Permission denied" in json.loads(error.read_bytes())["what"]


def test_a_fault_of_one_cell_leaves_the_others_and_the_tables(command: Command, tmp_path: Path) -> None:
    labels = f"arm.label=first,{LONG},last"
    ended = command("-m", *QUICK, "runs=runs", labels, "hydra.sweep.subdir=${arm.label}")
    assert "File name too long (use shorter names)" in ended.fault()
    (table,) = (tmp_path / "runs").glob("sweep/*/results.csv")
    with table.open(newline="") as file:
        assert [(row["label"], row["status"]) for row in csv.DictReader(file)] == [("first", "done"), ("last", "done")]
    assert (table.parent / "report.html").is_file()


def test_inputs_without_permission(command: Command, tmp_path: Path) -> None:
    for name in ("closed", "denied"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.txt").write_text(JUDGMENT)
    (tmp_path / "denied" / "a.txt").chmod(0)
    (tmp_path / "table.csv").write_bytes(TABLE.read_bytes())
    (tmp_path / "table.csv").chmod(0)
    (tmp_path / "closed").chmod(0)
    for words, named in (
        (("segment", "tag", "denied/a.txt"), "denied/a.txt"),
        (("segment", "tag", "closed"), "closed"),
        (("data", "check", "denied", "--layout", "text"), "denied/a.txt"),
        (("data", "check", "closed", "--layout", "text"), "closed"),
        (("audit", "table.csv"), "table.csv"),
        ((*QUICK, "corpus=own_text", "corpus.folder=denied", "runs=runs"), "denied/a.txt"),
    ):
        line = command(*words, unprivileged=True).fault()
        assert f"{named}: " in line
        assert "Permission denied (allow access to it" in line


@pytest.mark.parametrize(
    "words",
    [
        ["audit", str(TABLE), "--quiet", "--out", "DIR/x"],
        ["segment", "tag", "judgment.txt", "--out", "DIR/x.jsonl"],
        ["segment", "show", "judgment.txt", "--out", "DIR/x.html"],
        ["segment", "export", "--corpus", "specimen", "--format", "dataset", "--out", "DIR/x"],
        ["segment", "train", *TRAIN, "--out", "DIR/x.crfsuite"],
        ["segment", "evaluate", *TRAIN, "--out", "DIR/x"],
        ["segment", "curve", *TRAIN, "--out", "DIR/x"],
    ],
    ids=lambda words: " ".join(words[: 1 + (words[0] == "segment")]),
)
def test_an_output_folder_that_cannot_be_written_is_found_before_the_work(
    command: Command, tmp_path: Path, words: list[str]
) -> None:
    (tmp_path / "judgment.txt").write_text(JUDGMENT)
    (tmp_path / "judgment.txt").chmod(0o644)
    (tmp_path / "closed").mkdir(mode=0o555)
    ended = command(*[word.replace("DIR", "closed") for word in words], unprivileged=True)
    assert "closed/x" in ended.fault()
    assert "Permission denied (" in ended.err
    assert ended.out == ""


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["audit", "DIR"], "cannot read the table: Is a directory (it is a folder: name a file)"),
        (
            ["data", "check", "DIR", "--layout", "label-studio"],
            "not a file but a folder (copy its content to a file)",
        ),
        (["data", "fetch", "lawai50", "--to", "FILE"], "Not a directory (a part of this path is a file"),
        (["segment", "tag", "FILE", "--out", "DIR"], "is a folder (name a file)"),
        (["report", "FILE"], "no such folder (give a folder"),
    ],
    ids=lambda one: " ".join(one) if isinstance(one, list) else "",
)
def test_a_folder_in_place_of_a_file_and_the_reverse(
    words: list[str], named: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    places = {"DIR": tmp_path / "folder", "FILE": tmp_path / "file"}
    places["DIR"].mkdir()
    places["FILE"].write_text(JUDGMENT)
    with pytest.raises(SystemExit) as ended:
        run_command(words[0], [str(places.get(word, word)) for word in words[1:]])
    said = capsys.readouterr().err
    assert ended.value.code == 2
    assert said.count("\n") == 1
    assert named in said


@pytest.mark.parametrize("command_name", ["report", "audit"])
def test_a_file_in_place_of_an_output_folder(
    command_name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], finished: Callable[[], Path]
) -> None:
    (tmp_path / "taken").touch()
    source = TABLE if command_name == "audit" else finished()
    with pytest.raises(SystemExit) as ended:
        run_command(command_name, [str(source), "--quiet", "--out", str(tmp_path / "taken")])
    said = capsys.readouterr().err
    assert ended.value.code == 2
    assert [line for line in said.splitlines() if line.startswith("legalrr")] == said.splitlines()[-1:]
    assert "cannot make this folder: File exists (a file has this name" in said


def test_a_failed_task_of_the_leakage_command_is_one_line(command: Command, tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "cache").mkdir(mode=0o555)
    ended = command("leakage", "backbone=echo", "limit=2", "probe.calls=0", "runs=runs", unprivileged=True)
    assert "runs/cache/" in ended.fault()
