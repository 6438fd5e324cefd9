"""References of the pages exist: links, commands with their options, choices of the configuration."""

import re
import shlex
import sys
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir

from legalrr import cli

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([*(ROOT / "docs").glob("*.md"), ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"])
HERE = re.compile(r"https://(?:github\.com|raw\.githubusercontent\.com)/legalrr/legalrr(?:/blob)?/main/")
"""Absolute links to a file of this repository, which PyPI needs in README.md."""
LINK = re.compile(r"\]\(([^)\s]+)\)")
CODE = re.compile(r"^(?P<block>(?:[A-Z_]+=\S+ )?(?:\.venv/bin/)?legalrr(?: .*)?)$|`(?P<inline>[^`\n]+)`", re.MULTILINE)
"""A line of a code block that begins with the command, or code in a line."""
COMMAND = re.compile(r"(?:[A-Z_]+=\S+ )?(?:\.venv/bin/)?legalrr(?: (.*))?$")
FORMER = re.compile(rf"legalrr-(?:{'|'.join(cli.COMMANDS)})\b")


def anchors(page):
    """Return the anchors that GitHub assigns to the headings of a page."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def commands():
    """Return (page, sub-command or "", words) of every command line in the pages, without comments."""
    for page in PAGES:
        for found in CODE.finditer(page.read_text(encoding="utf-8")):
            line = re.split(r"\s{2,}[#(]", found["block"] or found["inline"])[0].strip()
            match = COMMAND.match(line)
            if match:
                words = tuple(shlex.split((match[1] or "").split(" > ")[0]))
                named = bool(words) and words[0] in cli.COMMANDS
                yield page.name, words[0] if named else "", words[named:]


COMMANDS = sorted(set(commands()))
COMPOSED = {"": "config", "leakage": "leakage", "prime": "prime"}
"""Configurations of the Hydra commands."""
OWN = "plugins.md"
"""Page whose choices its own test creates (tests/test_plugins.py)."""


def test_the_pages_have_commands_of_every_kind():
    assert {name for _, name, _ in COMMANDS} == {"", *cli.COMMANDS}


@pytest.mark.parametrize("page", [page for page in PAGES if page.name != "CHANGELOG.md"], ids=lambda page: page.name)
def test_no_page_uses_the_former_names(page):
    assert FORMER.findall(page.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_relative_links_and_their_anchors_resolve(page):
    for link in LINK.findall(page.read_text(encoding="utf-8")):
        if link.startswith("http"):
            continue
        check_link(link, page.parent, page)


def test_links_of_the_readme_are_absolute_and_name_files_of_this_repository():
    page = ROOT / "README.md"
    links = LINK.findall(page.read_text(encoding="utf-8"))
    assert [link for link in links if not link.startswith("https://")] == []
    own = [HERE.sub("", link) for link in links if HERE.match(link)]
    assert own
    for link in own:
        check_link(link, ROOT, page)


def check_link(link, folder, page):
    path, _, anchor = link.partition("#")
    target = (folder / path).resolve() if path else page
    assert target.exists(), f"{page.name}: {link}"
    assert not anchor or anchor in anchors(target), f"{page.name}: {link}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_files_that_a_page_names_exist(page):
    named = re.findall(
        r"`((?:legalrr|conf|tests|benchmarks|kernels|docs)/[\w./-]+\.\w+)`", page.read_text(encoding="utf-8")
    )
    assert [name for name in named if "NAME" not in name and not (ROOT / name).is_file()] == []


@pytest.mark.parametrize("former", [False, True], ids=["legalrr data", "legalrr-data"])
@pytest.mark.parametrize(("page", "name", "words"), [one for one in COMMANDS if one[1] not in COMPOSED])
def test_commands_and_their_options_exist(page, name, words, former, monkeypatch, capsys):
    told = ""
    verb = [word for word in words[:1] if not word.startswith("-")]
    for arguments in (["--help"], [*verb, "--help"]):
        monkeypatch.setattr(sys, "argv", [f"legalrr-{name}" if former else "legalrr", *[name][former:], *arguments])
        with pytest.raises(SystemExit) as ended:
            (cli.renamed if former else cli.main)()
        assert ended.value.code == 0
        said = capsys.readouterr()
        assert (f"use `legalrr {name}`" in said.err) == former
        told += said.out
    for option in (word.partition("=")[0] for word in words if word.startswith("-") and word != "-"):
        assert re.search(rf"(?<![\w-]){re.escape(option)}(?![\w-])", told), f"{page}: legalrr {name} has no {option}"


@pytest.mark.parametrize(("page", "name", "words"), [one for one in COMMANDS if one[1] in COMPOSED and one[0] != OWN])
def test_overrides_compose(page, name, words):
    overrides = []
    for word in words:
        key, mark, value = word.partition("=")
        if mark and not key.startswith("-"):
            # For the axis of a sweep, check the last choice.
            overrides.append(f"{key}={value if value.startswith('[') else value.rpartition(',')[2]}")
    with initialize_config_dir(str(ROOT / "conf"), version_base="1.3"):
        assert compose(COMPOSED[name], overrides=overrides)
