"""The Python blocks of the pages run as they stand and print what is shown; the README's prompt is a real one."""

import contextlib
import io
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BLOCK = re.compile(r"```python\n(.*?)```\n(?:\n```text\n(.*?)```)?", re.DOTALL)
NAMES = ("load_corpus", "load_tagger", "build_prompt", "evaluate", "to_pandas", "read_run", "compare", "score")


def blocks(page):
    return BLOCK.findall((ROOT / page).read_text(encoding="utf-8"))


def run(block, namespace):
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(block, "page", "exec"), namespace)
    return printed.getvalue()


@pytest.mark.parametrize("page", ["docs/api.md", "docs/taggers.md"])
def test_the_blocks_print_what_the_page_shows(page, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    namespace = {}
    assert blocks(page)
    for block, shown in blocks(page):
        assert run(block, namespace) == shown, block


def test_the_page_about_python_uses_every_function():
    code = "".join(block for block, _ in blocks("docs/api.md"))
    assert [name for name in NAMES if f".{name}(" not in code] == []


@pytest.mark.model
def test_the_block_of_the_readme_runs(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    ((block, _),) = blocks("README.md")
    namespace = {}
    said = run(block, namespace)
    assert str(namespace["run"].path) in said
    assert len(namespace["run"].to_pandas()) == 4


def test_the_prompt_of_the_readme_is_a_real_one(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    ((block, _),) = blocks("README.md")
    before = block.partition("run = ")[0]
    prompt = " ".join(run(before, {}).split())
    (shown,) = re.findall(r"```text\n(.*?)```", text, re.DOTALL)
    place = 0
    for part in shown.split("[...]"):
        words = " ".join(part.split())
        place = prompt.find(words, place)
        assert place >= 0, words
        place += len(words)
