import csv
import io
import subprocess
import sys
from itertools import pairwise

import pytest
from markdown_it import MarkdownIt
from rich.console import Console

from legalrr.audit.audit import Settings, audit
from legalrr.audit.cli import main
from legalrr.audit.findings import findings
from legalrr.audit.output import page, show
from legalrr.audit.table import Sizes
from legalrr.cli import run_command
from legalrr.tables import csv_cell

SAID = Settings(sizes=Sizes(n={"": 44}, positives={"": 22}))


@pytest.fixture
def path(printed, table):
    matrices = {"none": (16, 8, 6, 14), "D|x": (18, 7, 4, 15)}
    return table(
        *[{"model": "mine", "components": arm, **printed(one)} for arm, one in matrices.items()],
        {"model": "mine", "components": "odd", "macro_f1": "50.01", "fpr": "33.00", "fnr": "10.00"},
    )


def test_the_command_prints_its_findings_and_writes_three_files(path, tmp_path, capsys):
    out = tmp_path / "deep" / "audit"
    main([str(path), "--n", "44", "--positives", "22", "--out", str(out)])
    output = capsys.readouterr().out
    assert "18 / 7 / 4 / 15" in output
    assert "3 cells; in 1 of them a caption does not hold." in output
    assert output.splitlines()[-3:] == [str(out / name) for name in ("audit.md", "audit.csv", "audit_pairs.csv")]
    with (out / "audit.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["verdict"] for row in rows] == ["consistent", "consistent", "impossible"]
    assert [rows[1][name] for name in ("tp", "fp", "fn", "tn", "macro_f1_least")] == ["18", "7", "4", "15", "0.748832"]
    assert float(rows[1]["macro_f1_low"]) < 0.748832 < float(rows[1]["macro_f1_high"])
    with (out / "audit_pairs.csv").open(newline="") as file:
        pair = next(csv.DictReader(file))
    assert (pair["components"], pair["reference"], pair["p_mcnemar_least"]) == ("D|x", "none", "0.250000")


def test_the_page_keeps_the_columns_with_any_label(path):
    text = page(audit([path], settings=SAID))
    rows = [line.replace("\\|", "").count("|") for line in text.splitlines() if line.startswith("| D\\|x")]
    assert rows == [11]


def test_a_terminal_shows_the_same_tables(path):
    console = Console(force_terminal=True, width=160, file=io.StringIO())
    show(audit([path], settings=SAID), console)
    output = console.file.getvalue()
    assert "a caption does not hold" in output
    assert "\N{BOX DRAWINGS LIGHT HORIZONTAL}" in output


def test_options_by_dataset_names_and_rounding_reach_the_audit(table, capsys):
    path = table(
        {"dataset": "a", "components": "x", "F1": "74.8", "fpr": "31.8", "fnr": "18.1"},
        {"dataset": "b", "components": "x", "F1": "74.8", "fpr": "31.8", "fnr": "18.1"},
    )
    options = ["--n", "a=44", "--n", "b=44", "--positives", "22", "--as", "F1=macro_f1", "--scale", "percent"]
    main([str(path), *options, "--rounding", "truncated"])
    output = capsys.readouterr().out
    assert output.count("18 / 7 / 4 / 15") == 2
    assert "in 0 of them" in output
    main([str(path), *options, "--rounding", "nearest", "--unanswered", "a=1", "--runs", "b=2"])
    assert "2 cells; in" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--n", "x"], "--n: 'x' is not a number (such as --n 44 or --n test=44)"),
        (["--n", "0"], "--n: '0' is not a number"),
        (["--runs", "any"], "--runs: 'any' is not a number"),
        (["--as", "f1"], "--as: 'f1' does not name a rate"),
        (["--max-n", "1"], "--max-n: cannot search up to 1 cases"),
        (["--claims", "none.csv"], "none.csv: cannot read the claims"),
    ],
)
def test_wrong_options_are_one_line_and_status_2(path, options, message, capsys):
    with pytest.raises(SystemExit, match=r"^2$"):
        run_command("audit", [str(path), *options])
    error = capsys.readouterr().err
    assert error.startswith(f"legalrr audit: {message}")
    assert error.count("\n") == 1


def test_a_folder_that_cannot_be_made_is_reported(path, tmp_path, capsys):
    (tmp_path / "file").touch()
    with pytest.raises(SystemExit, match=r"^2$"):
        run_command("audit", [str(path), "--n", "44", "--out", str(tmp_path / "file" / "x"), "--quiet"])
    assert "cannot make this folder" in capsys.readouterr().err


def test_ambiguous_cells_and_a_searched_n_are_reported(table):
    rows = [{"components": str(number), "accuracy": "75.00", "macro_f1": "75.00"} for number in range(2)]
    output = findings(audit([table(*rows)], settings=Settings()))
    how = "the smallest n that gives every cell's figures"
    assert output["Cases"] == [
        f"table.csv: 8 cases ({how}); the figures do not determine how many of them are positive."
    ]
    assert "but others would fit" in output["Figures"][0]


def test_help_names_the_columns_and_loads_none_of_the_heavy_libraries(capsys):
    with pytest.raises(SystemExit, match="0"):
        main(["--help"])
    output = capsys.readouterr().out
    assert "--positives" in output
    assert "audit_pairs.csv" in output
    code = (
        "import sys, legalrr.audit.cli;"
        "print([m for m in ('numpy', 'pandas', 'scipy', 'matplotlib', 'hydra', 'rich') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_planted_names_are_text_on_the_page_in_csv_and_in_the_terminal(printed, table, tmp_path, capsys):
    planted = "=cmd()\n## Heading\x1b[2J<script>x</script>|![i](http://x)"
    matrices = {"none": (16, 8, 6, 14), planted: (18, 7, 4, 15)}
    path = table(*[{"model": planted, "components": arm, **printed(one)} for arm, one in matrices.items()])
    out = tmp_path / "audit"
    main([str(path), "--n", "44", "--positives", "22", "--out", str(out)])
    output = capsys.readouterr().out
    assert "\x1b" not in output
    assert not any(line.startswith("## Heading") for line in output.splitlines())
    tokens = MarkdownIt("commonmark", {"html": True}).enable("table").parse((out / "audit.md").read_text("utf-8"))
    kinds = {token.type for outer in tokens for token in (outer, *(outer.children or ()))}
    assert not kinds & {"html_block", "html_inline", "link_open", "image"}
    headings = [two.content for one, two in pairwise(tokens) if one.type == "heading_open"]
    assert "Heading" not in headings
    for name in ("audit.csv", "audit_pairs.csv"):
        text = (out / name).read_text("utf-8")
        assert "\x1b" not in text
        rows = list(csv.DictReader(io.StringIO(text)))
        assert {row["model"] for row in rows} == {csv_cell(planted)}
