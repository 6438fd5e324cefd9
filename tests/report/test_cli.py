import os
import shutil
import subprocess
import sys

import pytest

from legalrr.cli import run_command
from legalrr.report.cli import main


def test_tables_are_rebuilt_next_to_each_folder(sweep, another, capsys):
    sweep.cell(0)
    another.cell(0, "dr")
    main([str(another.folder), str(sweep.folder)])
    assert (sweep.folder / "results.md").is_file()
    assert (another.folder / "results.md").is_file()
    printed = capsys.readouterr().out
    assert "none (reference)" in printed
    assert printed.index(str(sweep.folder / "results.csv")) < printed.index(str(another.folder / "results.csv"))


def test_out_gives_one_joint_set_in_the_order_of_the_paths(sweep, another, tmp_path, capsys):
    sweep.cell(0)
    another.cell(0, "dr", "AAADDDDDDAAA")
    out = tmp_path / "deep" / "joint"
    main([str(another.folder), str(sweep.folder), "--out", str(out), "--quiet"])
    text = (out / "results.csv").read_text().splitlines()
    assert [line.split(",")[:4] for line in text[1:]] == [["1", "0", "none", "plain"], ["2", "0", "D/R", "dr"]]
    assert not (sweep.folder / "results.csv").exists()
    assert capsys.readouterr().out.splitlines()[0] == str(out / "results.csv")


def test_the_page_is_written_next_to_the_tables(sweep, tmp_path, capsys):
    sweep.cell(0)
    main([str(sweep.folder), "--out", str(tmp_path / "out"), "--quiet", "--texts", "0"])
    assert capsys.readouterr().out.splitlines()[-1] == str(tmp_path / "out" / "report.html")
    assert 'id="t0-0"' not in (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    main([str(sweep.folder), "--quiet"])
    assert 'id="t0-0"' in (sweep.folder / "report.html").read_text(encoding="utf-8")


@pytest.mark.parametrize("texts", ["-1", "nan", "inf"])
def test_an_invalid_page_size_is_rejected(texts, sweep, capsys):
    sweep.cell(0)
    with pytest.raises(SystemExit, match=r"^2$"):
        run_command("report", [str(sweep.folder), "--texts", texts])
    assert "megabytes (give 0 or more)" in capsys.readouterr().err
    assert not (sweep.folder / "results.csv").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--sample", "-1"], "--sample: -1 judgments (give 0 or more)"),
        (["--id", "nobody"], "--id: no judgment 'nobody' (give an id of predictions.jsonl)"),
        (["--id", "case-1", "--texts", "0"], "--texts: no room for the texts of --id"),
    ],
)
def test_an_invalid_sample_of_texts_is_rejected(options, message, sweep, capsys):
    sweep.cell(0)
    with pytest.raises(SystemExit, match=r"^2$"):
        run_command("report", [str(sweep.folder), *options])
    assert message in capsys.readouterr().err


def test_a_page_has_the_texts_of_the_sample_and_of_named_judgments(sweep, capsys):
    sweep.cell(0)

    def texts(*options: str) -> int:
        main([str(sweep.folder), "--quiet", *options])
        return (sweep.folder / "report.html").read_text(encoding="utf-8").count('id="t0-')

    assert texts("--sample", "0", "--id", "case-3", "--id", "case-4") == 2
    assert texts("--sample", "5", "--id", "case-3") == 6
    assert texts("--texts", "1") == 12


def test_a_folder_without_cells_gives_one_line_and_status_2(tmp_path, capsys):
    with pytest.raises(SystemExit, match=r"^2$"):
        run_command("report", [str(tmp_path)])
    printed = capsys.readouterr().err
    assert printed.startswith(f"legalrr report: {tmp_path}: no cells (")
    assert printed.count("\n") == 1


def test_help_names_files_and_options(capsys):
    with pytest.raises(SystemExit, match="0"):
        main(["--help"])
    printed = capsys.readouterr().out
    assert "--out" in printed
    assert "pairs.csv" in printed


def test_help_loads_no_heavy_libraries():
    code = (
        "import sys, legalrr.report.cli;"
        "print([m for m in ('pandas', 'scipy', 'sklearn', 'matplotlib', 'hydra', 'rich') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_subcommand_runs(sweep):
    sweep.cell(0)
    done = subprocess.run(
        [sys.executable, "-m", "legalrr", "report", "--quiet", str(sweep.folder)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")


BLOCKED = """\
import sys


class Blocked:
    def find_spec(self, name, path=None, target=None):
        if name.split(".")[0] in ("torch", "transformers", "triton", "spacy", "datasets", "accelerate"):
            raise ModuleNotFoundError(f"{name} is not installed here")


sys.meta_path.insert(0, Blocked())
"""


def test_all_tables_rebuild_from_a_copied_folder_without_model_libraries(sweep, tmp_path):
    for job, (arm, answers) in enumerate({"plain": "AAADDDDDDAAA", "dr": "AAAADDDDDDAA", "d": "AAADDDDDDDAA"}.items()):
        sweep.cell(job, arm, answers)
    elsewhere = shutil.move(sweep.folder, tmp_path / "copied")
    (tmp_path / "bare").mkdir()
    (tmp_path / "bare" / "sitecustomize.py").write_text(BLOCKED)
    paths = os.pathsep.join([str(tmp_path / "bare"), *(path for path in sys.path if path)])
    code = (
        "import sys; from legalrr.report.cli import main;"
        "[main([sys.argv[1], *more.split()]) for more in sys.argv[2:]];"
        "print([m for m in ('torch', 'transformers') if m in sys.modules])"
    )
    kinds = ("--quiet", "--table prediction --format latex --against published", "--table effects --format csv")
    done = subprocess.run(
        [sys.executable, "-c", code, str(elsewhere), *kinds],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": paths},
    )
    assert (done.stderr, done.returncode) == ("", 0)
    assert done.stdout.splitlines()[-1] == "[]"
    assert "\\toprule" in done.stdout
    assert (tmp_path / "copied" / "results.md").is_file()


def test_table_prints_or_writes_one_table_and_nothing_else(sweep, tmp_path, capsys):
    sweep.cell(0, "plain", "AAADDDDDDAAA")
    main([str(sweep.folder), "--table", "prediction"])
    printed = capsys.readouterr().out
    assert "| Macro-F1 |" in printed
    assert not (sweep.folder / "results.md").exists()
    out = tmp_path / "deep" / "paper"
    for form, ending in (("markdown", "md"), ("latex", "tex"), ("csv", "csv")):
        main([str(sweep.folder), "--table", "prediction", "--format", form, "--out", str(out)])
        assert capsys.readouterr().out.strip() == str(out / f"prediction.{ending}")
    assert (out / "prediction.md").read_text() == printed
    assert sorted(path.name for path in out.iterdir()) == ["prediction.csv", "prediction.md", "prediction.tex"]


def test_against_needs_a_table(sweep, capsys):
    sweep.cell(0)
    with pytest.raises(SystemExit, match=r"^2$"):
        run_command("report", [str(sweep.folder), "--against", "published"])
    assert "name one with --table" in capsys.readouterr().err
