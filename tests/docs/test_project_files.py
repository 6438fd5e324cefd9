"""pyproject.toml, CITATION.cff, README.md and the Makefile agree with each other and with the tree."""

import os
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
CITATION = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))


def test_version_title_and_url_are_the_same_everywhere():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    url = PROJECT["urls"]["Source"]
    assert CITATION["url"] == CITATION["repository-code"] == url
    assert CITATION["version"] == PROJECT["version"]
    assert f"version = {{{PROJECT['version']}}}, url = {{{url}}}" in readme
    assert f"title = {{{CITATION['title']}}}" in readme


def test_the_links_of_the_package_begin_with_the_repository():
    source = PROJECT["urls"]["Source"]
    assert all(url.startswith(source) for url in PROJECT["urls"].values())


def make_check(part):
    """Return the commands of `make check` without install."""
    command = ["make", "-n", "--no-print-directory", "-o", "install", "check", f"PART={part}"]
    # The tests may run under make themselves, whose flags would go to this one.
    env = {name: value for name, value in os.environ.items() if name not in ("MAKEFLAGS", "MFLAGS", "MAKELEVEL")}
    return subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=False).stdout


@pytest.mark.parametrize("part", sorted(path.name for path in (ROOT / "legalrr").iterdir() if list(path.glob("*.py"))))
def test_make_check_accepts_every_folder(part):
    lines = make_check(part).splitlines()
    assert f"mypy --follow-imports=silent legalrr/{part}" in lines[-2]
    assert f"tests/{part}" in lines[-1]


def test_make_check_accepts_the_stem_of_a_file():
    lines = make_check("near_duplicates").splitlines()
    assert "legalrr/near_duplicates.py" in lines[-2]
    assert "tests/test_near_duplicates.py" in lines[-1]


def test_the_table_of_the_readme_is_part_of_that_of_the_quickstart():
    rows = [line for line in (ROOT / "README.md").read_text(encoding="utf-8").splitlines() if line.startswith("| ")]
    whole = (ROOT / "docs" / "quickstart.md").read_text(encoding="utf-8").splitlines()
    assert len(rows) >= 4
    assert [row for row in rows if row not in whole] == []
