"""What the pages point at is there: links, commands with their options, choices of the configuration."""

import re
import shlex
import tomllib
from importlib import import_module
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*(ROOT / "docs").glob("*.md"), ROOT / "README.md", ROOT / "CONTRIBUTING.md"])
SCRIPTS = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["scripts"]
LINK = re.compile(r"\]\(([^)\s]+)\)")
CODE = re.compile(r"^ {4}(?P<block>.+)$|`(?P<inline>[^`\n]+)`", re.MULTILINE)
COMMAND = re.compile(r"(?:[A-Z_]+=\S+ )?(?:\.venv/bin/)?(legalrr[a-z-]*)(?: (.*))?$")


def anchors(page):
    """The anchors that GitHub gives to the headings of a page."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def commands():
    """(page, script, words) of every command line in the pages, comments left out."""
    for page in PAGES:
        for found in CODE.finditer(page.read_text(encoding="utf-8")):
            line = re.split(r"\s{2,}[#(]", found["block"] or found["inline"])[0].strip()
            match = COMMAND.match(line)
            if match:
                yield page.name, match[1], tuple(shlex.split((match[2] or "").split(" > ")[0]))


COMMANDS = sorted(set(commands()))
COMPOSED = {"legalrr": "config", "legalrr-leakage": "leakage", "legalrr-prime": "prime"}
"""Configurations of the commands that are Hydra's."""


def test_the_pages_have_commands_of_every_script():
    assert {script for _, script, _ in COMMANDS} == set(SCRIPTS)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_relative_links_and_their_anchors_resolve(page):
    for link in LINK.findall(page.read_text(encoding="utf-8")):
        if link.startswith("http"):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.exists(), f"{page.name}: {link}"
        assert not anchor or anchor in anchors(target), f"{page.name}: {link}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_that_a_page_names_exist(page):
    named = re.findall(
        r"`((?:legalrr|conf|tests|benchmarks|kernels|docs)/[\w./-]+\.\w+)`", page.read_text(encoding="utf-8")
    )
    assert [name for name in named if "NAME" not in name and not (ROOT / name).is_file()] == []


@pytest.mark.parametrize(("page", "script", "words"), [one for one in COMMANDS if one[1] not in COMPOSED])
def test_commands_and_their_options_exist(page, script, words, capsys):
    module, _, name = SCRIPTS[script].partition(":")
    told = ""
    for arguments in (["--help"], [*words[:1], "--help"]):
        with pytest.raises(SystemExit):
            getattr(import_module(module), name)(arguments)
        told += capsys.readouterr().out
    for option in (word.partition("=")[0] for word in words if word.startswith("-") and word != "-"):
        assert re.search(rf"(?<![\w-]){re.escape(option)}(?![\w-])", told), f"{page}: {script} has no {option}"


@pytest.mark.parametrize(("page", "script", "words"), [one for one in COMMANDS if one[1] in COMPOSED])
def test_overrides_compose(page, script, words):
    overrides = []
    for word in words:
        key, mark, value = word.partition("=")
        if mark and not key.startswith("-"):
            # Of an axis of a sweep, the last choice is as good as any.
            overrides.append(f"{key}={value if value.startswith('[') else value.rpartition(',')[2]}")
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        assert compose(COMPOSED[script], overrides=overrides)
