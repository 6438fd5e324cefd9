import subprocess
import sys

import pytest

from legalrr.report.__main__ import main


def test_tables_are_rebuilt_next_to_each_folder(sweep, another, capsys):
    sweep.cell(0)
    another.cell(0, "dr")
    assert main([str(another.folder), str(sweep.folder)]) == 0
    assert (sweep.folder / "results.md").is_file()
    assert (another.folder / "results.md").is_file()
    told = capsys.readouterr().out
    assert "None (reference)" in told
    assert told.index(str(sweep.folder / "results.csv")) < told.index(str(another.folder / "results.csv"))


def test_out_gives_one_joint_set_in_the_order_of_the_paths(sweep, another, tmp_path, capsys):
    sweep.cell(0)
    another.cell(0, "dr", "AAADDDDDDAAA")
    out = tmp_path / "deep" / "joint"
    assert main([str(another.folder), str(sweep.folder), "--out", str(out), "--quiet"]) == 0
    text = (out / "results.csv").read_text().splitlines()
    assert [line.split(",")[:4] for line in text[1:]] == [["1", "0", "None", "plain"], ["2", "0", "D/R", "dr"]]
    assert not (sweep.folder / "results.csv").exists()
    assert capsys.readouterr().out.splitlines()[0] == str(out / "results.csv")


def test_a_folder_without_cells_is_one_line_and_status_2(tmp_path, capsys):
    assert main([str(tmp_path)]) == 2
    told = capsys.readouterr().err
    assert told.startswith(f"legalrr-report: {tmp_path}: no cells (")
    assert told.count("\n") == 1


def test_help_names_files_and_options(capsys):
    with pytest.raises(SystemExit, match="0"):
        main(["--help"])
    told = capsys.readouterr().out
    assert "--out" in told
    assert "pairs.csv" in told


def test_help_loads_none_of_the_heavy_libraries():
    code = (
        "import sys, legalrr.report.__main__;"
        "print([m for m in ('pandas', 'scipy', 'sklearn', 'matplotlib', 'hydra', 'rich') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_module_runs_as_a_command(sweep):
    sweep.cell(0)
    done = subprocess.run(
        [sys.executable, "-m", "legalrr.report", "--quiet", str(sweep.folder)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
