"""docs/api.md runs as it stands, block by block, and prints what it shows."""

import contextlib
import io
import re
from pathlib import Path

PAGE = Path(__file__).resolve().parents[2] / "docs" / "api.md"
BLOCK = re.compile(r"```python\n(.*?)```\n(?:\n```text\n(.*?)```\n)?", re.DOTALL)
NAMES = ("load_corpus", "load_tagger", "build_prompt", "evaluate", "to_pandas", "read_run", "compare", "score")


def test_the_blocks_print_what_the_page_shows(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    blocks = BLOCK.findall(PAGE.read_text(encoding="utf-8"))
    code = "".join(block for block, _ in blocks)
    assert [name for name in NAMES if f".{name}(" not in code] == []
    namespace = {}
    for block, shown in blocks:
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(block, str(PAGE), "exec"), namespace)
        assert printed.getvalue() == shown, block
