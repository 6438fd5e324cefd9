"""The command `legalrr`: its sub-commands, their former names, and help that loads no Hydra."""

import json
import logging
import subprocess
import sys
import tomllib
from collections.abc import Callable
from importlib import import_module
from pathlib import Path

import pytest

from legalrr.cli import COMMANDS, main, renamed
from legalrr.paths import root

Run = Callable[..., tuple[int, str, str]]
FORMER = [name for name in COMMANDS if name != "plan"]
"""Commands that had a name of their own."""


def run(
    function: Callable[[], None], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *words: str
) -> tuple[int, str, str]:
    """Return exit status, standard output and standard error of a command line."""
    monkeypatch.setattr(sys, "argv", list(words))
    with pytest.raises(SystemExit) as ended:
        function()
    said = capsys.readouterr()
    return int(ended.value.code or 0), said.out, said.err


@pytest.mark.parametrize("words", [[], ["--help"], ["-h"]])
def test_no_arguments_print_the_help(
    words: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    status, out, _ = run(main, monkeypatch, capsys, "legalrr", *words)
    assert status == 0
    listed = [line.split()[0] for line in out.split("Commands:")[1].split("\n\n")[0].splitlines() if line.strip()]
    assert listed == list(COMMANDS)
    assert "legalrr experiment=quickstart" in out
    assert "quickstart" in out.split("experiment:")[1]
    assert max(map(len, out.splitlines())) <= 120


def test_help_loads_neither_hydra_nor_numpy() -> None:
    command = [sys.executable, "-X", "importtime", "-m", "legalrr", "--help"]
    done = subprocess.run(command, cwd=root(), capture_output=True, text=True, check=True)
    names = {line.split("|")[-1].strip() for line in done.stderr.splitlines() if line.startswith("import time:")}
    assert not names & {"hydra", "omegaconf", "yaml", "numpy", "torch", "pandas"}


def test_help_of_an_experiment_lists_its_options(run_hydra: Run) -> None:
    status, out, _ = run_hydra(main, "legalrr", "arm=rc", "--help")
    assert status == 0
    assert "also_hide: []" in out


def test_shell_completion_lists_the_choices(run_hydra: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    status, out, _ = run_hydra(main, "legalrr", "-sc", "install=bash")
    assert status == 0
    assert out.split()[-1] == "legalrr"
    monkeypatch.setenv("COMP_LINE", "legalrr experiment=q")
    status, out, _ = run_hydra(main, "legalrr", "-sc", "query=bash")
    assert out.split() == ["experiment=quickstart"]


def test_a_typo_names_the_nearest_command(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    status, _, err = run(main, monkeypatch, capsys, "legalrr", "reprot", "runs")
    assert status == 2
    assert err == "legalrr: 'reprot' is neither a command nor an override OPTION=VALUE (did you mean report?)\n"
    _, _, err = run(main, monkeypatch, capsys, "legalrr", "xyz")
    assert "the commands are data, segment" in err


def test_a_sub_command_exits_with_its_status_and_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    status, _, err = run(main, monkeypatch, capsys, "legalrr", "report", "no_such_folder")
    assert status == 2
    assert err.startswith("legalrr report: no_such_folder: no such folder (")
    assert err.count("\n") == 1


def test_an_interrupt_is_one_line(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def interrupted() -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("legalrr.corpora.cli.main", interrupted)
    status, _, err = run(main, monkeypatch, capsys, "legalrr", "data", "list")
    assert (status, err) == (130, "legalrr data: interrupted; run the same command again to resume\n")


def test_a_message_in_the_log_of_a_sub_command_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def warn() -> None:
        logging.getLogger("legalrr.corpora").warning("skipped %s", "a\nlegalrr data: \x1b[31mforged")

    monkeypatch.setattr("legalrr.corpora.cli.main", warn)
    monkeypatch.setattr(logging.getLogger(), "handlers", [])
    status, _, err = run(main, monkeypatch, capsys, "legalrr", "data", "list")
    assert (status, err) == (0, "skipped a␊legalrr data: ␛[31mforged\n")


def test_a_name_in_the_summary_of_a_corpus_is_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    rows = [{"id": f"{name}\nlabels", "text": "The appeal is allowed.", "label": "1"} for name in "ab"]
    (tmp_path / "t.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    check = ("data", "check", str(tmp_path / "t.jsonl"), "--layout", "table")
    status, out, _ = run(main, monkeypatch, capsys, "legalrr", *check)
    assert status == 0
    assert "b␊labels has the same text as a␊labels" in out
    assert sum(line.startswith("labels") for line in out.splitlines()) == 1


@pytest.mark.parametrize("name", FORMER)
def test_the_former_name_works_and_prints_the_new_one(name: str, run_hydra: Run) -> None:
    status, out, err = run_hydra(renamed, f"/usr/bin/legalrr-{name}", "--help")
    assert status == 0
    assert f"legalrr {name}" in out
    assert err.splitlines()[0] == f"legalrr-{name} will be removed in the next release: use `legalrr {name}`"


def test_the_scripts_are_the_command_and_the_former_names() -> None:
    project = tomllib.loads((root() / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    former = {f"legalrr-{name}": "legalrr.cli:renamed" for name in FORMER}
    assert project["scripts"] == {"legalrr": "legalrr.cli:main", **former}
    for module, _ in COMMANDS.values():
        assert callable(import_module(module).main)


def test_a_sweep_starts_in_a_fresh_process(tmp_path: Path) -> None:
    # Hydra scans its plugins once per process; the classes of this package have to be imported after that.
    command = [sys.executable, "-m", "legalrr", "-m", "arm=direct,majority", "backbone=echo", "limit=4", "runs=runs"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert len(list((tmp_path / "runs" / "sweep").glob("*/*/run.json"))) == 2
