"""docs/faults.md: every row names a test that exists, and every file of tests/faults is named."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "faults.md").read_text(encoding="utf-8")
ROW = re.compile(r"^\| (?!---|fault \|)(?P<row>.+) \|$", re.MULTILINE)
NAMED = re.compile(r"`(?P<file>tests/[\w/]+\.py)::(?P<name>\w+)`$")
ROWS = [match["row"] for match in ROW.finditer(PAGE)]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.split(" | ")[0])
def test_each_row_ends_in_a_test_that_exists(row: str) -> None:
    named = NAMED.search(row)
    assert named is not None, row
    tree = ast.parse((ROOT / named["file"]).read_text(encoding="utf-8"))
    assert named["name"] in {node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
    assert named["name"].startswith("test_")


def test_every_file_of_tests_of_faults_is_on_the_page() -> None:
    assert ROWS
    for path in (ROOT / "tests" / "faults").glob("test_*.py"):
        assert f"tests/faults/{path.name}::" in PAGE
