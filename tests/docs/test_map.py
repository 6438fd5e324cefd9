"""docs/map.md: its sentences are in the README, and its files define the names."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ROW = re.compile(r"^\| (?P<sentence>.+) \| `(?P<file>[^`]+)` \| `(?P<name>[^`]+)` \|$", re.MULTILINE)
ROWS = [match.groups() for match in ROW.finditer((ROOT / "docs" / "map.md").read_text(encoding="utf-8"))]
README = " ".join((ROOT / "README.md").read_text(encoding="utf-8").split())


def test_there_are_twenty_sentences_about_different_names():
    assert len({sentence for sentence, _, _ in ROWS}) == len({(file, name) for _, file, name in ROWS}) == 20


@pytest.mark.parametrize(("sentence", "file", "name"), ROWS, ids=[name for _, _, name in ROWS])
def test_sentence_is_in_the_readme_and_file_defines_the_name(sentence, file, name):
    assert sentence in README
    tree = ast.parse((ROOT / file).read_text(encoding="utf-8"))
    defined = {node.name for node in tree.body if isinstance(node, ast.ClassDef | ast.FunctionDef)}
    assert name in defined
    assert not name.startswith("_")
