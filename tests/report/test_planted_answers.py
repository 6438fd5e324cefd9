"""Answers of a model, reasons of a server and names in printed tables are text in what every command writes."""

import csv
import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from markdown_it import MarkdownIt

from legalrr.audit import cli as audit_cli
from legalrr.corpora.exchange import export
from legalrr.records import Judgment, Span
from legalrr.report import cli as report_cli

from .test_planted_names import CONTROLS, HOSTILE, check_html, check_json, check_svg

PLANTED = f"=cmd(){HOSTILE}"


def check_csv(path: Path) -> None:
    text = path.read_text("utf-8")
    assert not CONTROLS.search(text)
    with path.open(encoding="utf-8", newline="") as file:
        header, *rows = csv.reader(file)
    assert rows
    assert all(len(row) == len(header) for row in rows)
    for cell in (cell for row in rows for cell in row if cell[:1] in tuple("=+-@\t")):
        assert cell == "-" or isinstance(float(cell), float)


def check_markdown(path: Path) -> None:
    text = path.read_text("utf-8")
    assert not CONTROLS.search(text)
    tokens = MarkdownIt("commonmark", {"html": True}).enable("table").parse(text)
    kinds = {token.type for outer in tokens for token in (outer, *(outer.children or ()))}
    assert not kinds & {"html_block", "html_inline", "link_open", "image"}
    assert not any(token.content.strip().startswith("\\input") for token in tokens if token.type == "inline")


def check_latex(path: Path) -> None:
    text = path.read_text("utf-8")
    assert not CONTROLS.search(text)
    lines = [line for line in text.split("\n") if not line.startswith("%")]
    assert not any(re.search(r"\\input|(?<!\\)%|\\planted", line) for line in lines)


CHECKS: dict[str, Callable[[Path], None]] = {
    ".csv": check_csv,
    ".md": check_markdown,
    ".tex": check_latex,
    ".svg": check_svg,
    ".html": check_html,
    ".json": check_json,
}


def check_printed(said: str) -> None:
    assert not CONTROLS.search(said)
    assert not any(line.startswith("\\input") for line in said.splitlines())


def command(capsys: pytest.CaptureFixture[str], *arguments: object) -> None:
    """Run a command, and check what it prints."""
    mains = {"report": report_cli.main, "audit": audit_cli.main}
    mains[str(arguments[0])]([str(one) for one in arguments[1:]])
    said = capsys.readouterr()
    check_printed(said.out + said.err)


@pytest.fixture
def planted(sweep) -> Path:
    """A sweep with a hostile label, answers, reasons of a server, ids, and a cell that failed with hostile words."""
    turn = {"prompt_tokens": 9, "cached_tokens": 0, "new_tokens": 1, "seconds": 0.1}
    turns = [{"name": "answer", "text": f"YES {PLANTED}", "finish_reason": "length", **turn}]
    sweep.cell(0, "plain", "AAADDDDDDAAA", label=PLANTED, row={"turns": turns})
    sweep.cell(1, "dr", "-" * 12, label=f"[x]{PLANTED}", row={"turns": turns, "reason": "error", "error": PLANTED})
    sweep.failed(2, what=PLANTED, overrides=(f"'arm={json.dumps(PLANTED)[1:-1]}'",))
    for number in range(2):
        path = sweep.folder / str(number) / "predictions.jsonl"
        rows = [json.loads(line) for line in path.read_text().splitlines()]
        path.write_text("".join(json.dumps({**row, "id": f"{row['id']}{PLANTED}"}) + "\n" for row in rows))
        (sweep.folder / str(number) / "scores.json").write_text("{}")
    return sweep.folder


def test_answers_and_reasons_are_text_in_every_file_of_a_report(planted, tmp_path, capsys) -> None:
    out = tmp_path / "out"
    command(capsys, "report", planted, "--reading", "study", "--out", out)
    for form in ("markdown", "latex", "csv"):
        command(capsys, "report", planted, "--table", "prediction", "--format", form, "--out", out / "paper")
    written = [path for path in out.rglob("*") if path.is_file()]
    for path in written:
        CHECKS[path.suffix](path)
    assert {path.name for path in written} >= {
        *("results.csv", "results.md", "results.tex", "pairs.csv", "readings.csv", "report.html", "macro_f1.svg"),
        *("prediction.md", "prediction.tex", "prediction.csv"),
    }
    assert "Most answers are missing, as the request was refused" in (out / "results.md").read_text()
    assert "MemoryError: =cmd()" in (out / "results.md").read_text()


def test_names_of_a_printed_table_are_text_in_every_file_of_an_audit(tmp_path, capsys) -> None:
    table = tmp_path / "printed.csv"
    with table.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["dataset", "model", "components", "macro_f1", "fpr", "fnr"])
        for arm in ("none", f"D{PLANTED}"):
            writer.writerow([f"data{PLANTED}", PLANTED, arm, "68.18", "36.36", "27.27"])
    command(capsys, "audit", table, "--n", "44", "--positives", "22", "--out", tmp_path / "out")
    written = sorted((tmp_path / "out").iterdir())
    assert {path.suffix for path in written} == {".md", ".csv"}
    for path in written:
        CHECKS[path.suffix](path)


def judgment(id: str) -> Judgment:
    values: dict[str, Any] = {"id": id, "source": "planted", "text": f"The lease ended. {HOSTILE.strip()}"}
    return Judgment(**values, scheme="build", spans=(Span(start=0, end=16, role="FAC"),), court=PLANTED)


@pytest.mark.parametrize(("form", "name"), [("label-studio", "roles.json"), ("jsonl", "roles.jsonl")])
def test_names_and_texts_are_strings_in_exported_roles(tmp_path, form: str, name: str) -> None:
    export([judgment(PLANTED), judgment(f"[x]{PLANTED}")], tmp_path / name, format=form)
    text = (tmp_path / name).read_text("utf-8")
    assert not re.search(r"[\x00-\x08\x0b-\x1f\x7f]", text)
    read = json.loads(text) if form == "label-studio" else [json.loads(line) for line in text.split("\n") if line]
    assert len(read) == 2
    assert PLANTED in set(strings(read))


def strings(value: Any) -> Iterator[str]:
    """Yield the strings of a JSON value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for one in value.values() if isinstance(value, dict) else value:
            yield from strings(one)
