"""Names that a terminal, a page, LaTeX or a spreadsheet could act on are text in every file of a sweep."""

import csv
import gzip
import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import pandas as pd
import pytest
import yaml
from markdown_it import MarkdownIt

from legalrr.cli import main
from legalrr.tables import csv_cell

Run = Callable[..., tuple[int, str, str]]

HOSTILE = (
    "\n\\input{planted}\r\n=cmd()|\x1b[31m\x1b]0;title\x07\x9b2J<script>planted()</script>![i](http://x)%&\u2028\u202e"
)
CONTROLS = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
"""Control characters other than tab and line feed."""
ARMS = {"planted_plain": "None", "planted_formula": f"=cmd(){HOSTILE}", "planted_bracket": f"[x]{HOSTILE}"}
"""Arm -> its label; the first is the reference."""
CORPUS, BACKBONE = f"@corpus{HOSTILE}", f"+backbone{HOSTILE}"


def plant(folder: Path) -> Path:
    """Write a corpus, arms and a backbone with hostile names; return the folder of the configuration."""
    rows = [
        {
            "id": f"=id{number}{HOSTILE}",
            "text": f"The appellant filed appeal {number} about a lease. The court heard both sides {7 * number} times",
            "label": number % 2,
        }
        for number in range(6)
    ]
    (folder / "cases.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    corpus = {"_target_": "legalrr.corpora.table.Table", "name": CORPUS, "file": str(folder / "cases.jsonl")}
    files = {"corpus/planted": {"defaults": ["own_table", "_self_"], **corpus}}
    files["backbone/planted"] = {"defaults": ["echo", "_self_"], "name": BACKBONE, "invalid_every": 5}
    for number, (arm, label) in enumerate(ARMS.items()):
        files[f"arm/{arm}"] = {
            "arm": {"id": arm, "label": label, "family": "arm"},
            "annotate": {"define": bool(number), "chain": False},
        }
    for name, content in files.items():
        path = folder / "conf" / f"{name}.yaml"
        path.parent.mkdir(parents=True, exist_ok=True)
        head = "# @package _global_\n" if name.startswith("arm/") else ""
        path.write_text(head + yaml.safe_dump(content, sort_keys=False))
    return folder / "conf"


@pytest.fixture
def planted(run_hydra: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, str, str]:
    """Run a sweep; return its folder, and what it printed on standard output and standard error."""
    monkeypatch.setenv("LEGALRR_CONF", str(plant(tmp_path)))
    chosen = ("corpus=planted", "backbone=planted", "segment=crf", "reference=planted_plain")
    fast = ("score.resamples=99", "score.permutations=99")
    arms = f"arm={','.join(ARMS)},majority"
    status, out, err = run_hydra(main, "legalrr", "-m", arms, *chosen, *fast, "hydra.sweep.dir=runs/planted")
    assert status == 0, err
    return tmp_path / "runs" / "planted", out, err


def test_planted_names_are_text_in_every_file(planted: tuple[Path, str, str]) -> None:
    folder, out, err = planted
    checked = {"": check_jsonl, ".csv": check_csv, ".md": check_markdown, ".tex": check_latex, ".svg": check_svg}
    checked |= {".html": check_html, ".json": check_json, ".jsonl": check_jsonl, ".yaml": check_yaml, ".log": check_log}
    checked |= {".gz": check_gzip}
    names = set()
    for path in folder.rglob("*"):
        if path.is_file():
            checked[path.suffix](path)
            names.add(path.name)
    assert names >= {"results.csv", "pairs.csv", "results.md", "results.tex", "macro_f1.svg", "report.html"}
    assert not CONTROLS.search(out + err)
    assert "=cmd()" in out
    assert not any(line.startswith("\\input") for line in (out + err).splitlines())


def test_planted_names_do_not_become_missing_in_pandas(planted: tuple[Path, str, str]) -> None:
    folder, _, _ = planted
    cells = pd.read_csv(folder / "results.csv")
    assert list(cells.label) == [*map(csv_cell, ARMS.values()), "majority"]
    arms = cells[cells.family == "arm"].pivot(index="label", columns="backbone", values="macro_f1")
    assert list(arms.columns) == [csv_cell(BACKBONE)]
    assert set(arms.index) == set(map(csv_cell, ARMS.values()))
    assert arms.notna().all().all()


def check_csv(path: Path) -> None:
    text = path.read_text("utf-8")
    assert not CONTROLS.search(text)
    with path.open(encoding="utf-8", newline="") as file:
        header, *rows = csv.reader(file)
    assert rows
    assert all(len(row) == len(header) for row in rows)
    for cell in (cell for row in (header, *rows) for cell in row if cell[:1] in tuple("=+-@\t")):
        assert cell == "-" or isinstance(float(cell), float)
    read = pd.read_csv(path)
    assert read.shape == (len(rows), len(header))
    assert [str(label) for label in read.label] == [row[header.index("label")] for row in rows]
    for column in ("n", "macro_f1", "difference"):
        assert column not in read or pd.api.types.is_numeric_dtype(read[column])


def check_markdown(path: Path) -> None:
    text = path.read_text("utf-8")
    assert not CONTROLS.search(text)
    assert "\u202e" not in text
    tokens = MarkdownIt("commonmark", {"html": True}).enable("table").parse(text)
    kinds = {token.type for outer in tokens for token in (outer, *(outer.children or ()))}
    assert "table_open" in kinds
    assert not kinds & {"html_block", "html_inline", "link_open", "image"}
    shown = [token.content for token in tokens if token.type == "inline"]
    # One heading of the group, and two tables with a row for each name.
    assert sum(text.startswith("@corpus") for text in shown) == 1
    assert sum(text.startswith("=cmd()") for text in shown) == 2
    lengths = re.findall(r"<tr>.*?</tr>", MarkdownIt().enable("table").render(text), re.DOTALL)
    assert {len(re.findall("<t[hd]", row)) for row in lengths} == {
        len(line.split(" | ")) for line in text.splitlines() if line.startswith("| ---")
    }


def check_latex(path: Path) -> None:
    text = path.read_text("utf-8")
    assert not CONTROLS.search(text)
    lines = [line for line in text.split("\n") if line and not line.startswith("%")]
    commands = {name for line in lines for name in re.findall(r"\\([A-Za-z]+)", line)}
    rules, boxes = {"toprule", "midrule", "bottomrule"}, {"parbox", "raggedright", "raggedleft", "strut", "allowbreak"}
    layout = {"begin", "end", "begingroup", "endgroup", "small", "noindent", "par", "medskip"}
    assert commands == {*layout, *rules, *boxes, "textbackslash", "textless", "textgreater", "textbar"}
    assert not any(re.search(r"(?<!\\)%", line) for line in lines)
    assert not any(line.lstrip().startswith(("[", "*")) for line in lines)


def check_svg(path: Path) -> None:
    text = path.read_text("utf-8")
    assert not CONTROLS.search(text)
    assert not {element.tag.rpartition("}")[2] for element in ET.fromstring(text).iter()} & {"script", "image", "a"}


class Tags(HTMLParser):
    """Collects the elements of a page, and the texts of its scripts."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[str] = []
        self.scripts: list[str] = []
        self.start = True

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [name for name, _ in attrs]

    def handle_data(self, data: str) -> None:
        if self.tags[-1:] == ["script"]:
            self.scripts.append(data)


def check_html(path: Path) -> None:
    text = path.read_text("utf-8")
    assert not CONTROLS.search(text)
    parser = Tags()
    parser.feed(text)
    assert not any(script.strip() == "planted()" for script in parser.scripts)
    assert not any(name.startswith("on") for name in parser.attributes)
    assert not set(parser.tags) & {"img", "iframe", "object", "link", "base", "form"}
    assert 'content="default-src' in text


def check_json(path: Path) -> None:
    text = path.read_text("utf-8")
    assert not CONTROLS.search(text)
    json.loads(text)


def check_jsonl(path: Path) -> None:
    lines = path.read_text("utf-8").split("\n")
    assert lines.pop() == ""
    rows: list[dict[str, Any]] = [json.loads(line) for line in lines]
    assert not any(CONTROLS.search(line) for line in lines)
    assert all(row["id"].startswith("=id") and row["id"].endswith(HOSTILE) for row in rows if "id" in row)


def check_gzip(path: Path) -> None:
    rows = [json.loads(line) for line in gzip.decompress(path.read_bytes()).decode("ascii").splitlines()]
    assert all(row["id"].endswith(HOSTILE) for row in rows)


def check_yaml(path: Path) -> None:
    text = path.read_text("utf-8")
    assert not CONTROLS.search(text)
    yaml.safe_load(text)


def check_log(path: Path) -> None:
    text = path.read_text("utf-8")
    assert not CONTROLS.search(text)
    assert all(line.startswith("[") for line in text.splitlines())
