"""Installed package: the wheel, and its commands in an empty folder without a checkout on the path."""

import os
import re
import site
import subprocess
import sys
import sysconfig
import venv
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from legalrr.paths import root

PIP = (sys.executable, "-m", "pip", "--disable-pip-version-check", "--no-input", "--quiet")
SOURCES = {
    "legalrr": "legalrr",
    "conf": "legalrr/conf",
    "data": "legalrr/data",
    "kernels/gated_kalmanet": "gated_kalmanet",
    "hydra_plugins": "hydra_plugins",
}
"""Folder of the checkout -> folder in the wheel."""
FOR_READERS = {".md", ".svg"}
"""File extensions of documentation that a wheel omits."""
FAST = ("score.resamples=99", "score.permutations=99")


@dataclass(frozen=True, kw_only=True)
class Installed:
    """Virtual environment with the wheel, followed on the path by the packages of the running one.

    A .pth file adds these as a plain folder, so that an editable installation in it takes no effect.
    """

    scripts: Path
    packages: Path

    def install(self, wheel: Path) -> None:
        """Install a wheel without its dependencies."""
        python = str(self.scripts / "python")
        subprocess.run(
            [*PIP, "--python", python, "install", "--no-deps", "--no-index", "--no-compile", str(wheel)], check=True
        )

    def run(self, command: str, *arguments: str, cwd: Path, **variables: str) -> str:
        """Run a script of the environment, which must exit with 0; return its standard output."""
        own = {"PYTHONPATH", "LEGALRR_CONF", "LEGALRR_DATA"}
        done = subprocess.run(
            [self.scripts / command, *arguments],
            cwd=cwd,
            env={**{name: value for name, value in os.environ.items() if name not in own}, **variables},
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout


def files_of_the_checkout() -> list[str]:
    """Return the paths of files that git does not ignore."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=root(), capture_output=True, text=True, check=True).stdout
    return [name for name in listed.split("\0") if name and (root() / name).is_file()]


def build(folder: Path, out: Path) -> Path:
    """Build the wheel of a project into `out`."""
    subprocess.run(
        [*PIP, "wheel", "--no-deps", "--no-index", "--no-build-isolation", "--wheel-dir", str(out), str(folder)],
        check=True,
    )
    (wheel,) = out.glob("*.whl")
    return wheel


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the wheel from a copy of the checkout, as a build leaves files behind."""
    copy = tmp_path_factory.mktemp("checkout")
    for name in files_of_the_checkout():
        (copy / name).parent.mkdir(parents=True, exist_ok=True)
        (copy / name).write_bytes((root() / name).read_bytes())
    return build(copy, tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Installed:
    """Install the wheel into a new environment."""
    folder = tmp_path_factory.mktemp("venv")
    venv.create(folder, symlinks=True)
    paths = sysconfig.get_paths("venv", {"base": str(folder), "platbase": str(folder)})
    found = Installed(scripts=Path(paths["scripts"]), packages=Path(paths["purelib"]))
    (found.packages / "running.pth").write_text("\n".join(site.getsitepackages()), encoding="utf-8")
    found.install(wheel)
    return found


def test_the_wheel_has_exactly_the_files_of_the_packages(wheel: Path) -> None:
    expected = {
        target + name.removeprefix(source)
        for name in files_of_the_checkout()
        for source, target in SOURCES.items()
        if name.startswith(f"{source}/") and Path(name).suffix not in FOR_READERS
    }
    with zipfile.ZipFile(wheel) as archive:
        held = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert held == expected
    assert {"legalrr/py.typed", "legalrr/conf/config.yaml", "legalrr/report/html/page.j2"} <= held


def test_imports_come_from_the_installed_package(installed: Installed, tmp_path: Path) -> None:
    code = (
        "from importlib.util import find_spec; from legalrr.paths import root\n"
        "names = ('legalrr', 'gated_kalmanet', 'hydra_plugins.together_launcher')\n"
        "print(*(find_spec(name).origin for name in names), root(), sep='\\n')"
    )
    found = [Path(line) for line in installed.run("python", "-c", code, cwd=tmp_path).splitlines()]
    packages = installed.packages
    assert found == [
        packages / "legalrr" / "__init__.py",
        packages / "gated_kalmanet" / "__init__.py",
        packages / "hydra_plugins" / "together_launcher" / "__init__.py",
        (packages / "legalrr").resolve(),
    ]


def test_every_arm_and_baseline_runs_in_an_empty_folder(installed: Installed, tmp_path: Path) -> None:
    shipped = sorted(file for file in installed.packages.rglob("*") if file.suffix != ".pyc" and file.is_file())
    out = installed.run("legalrr", "experiment=quickstart", "backbone=echo", "limit=4", *FAST, cwd=tmp_path)
    assert "Macro-F1" in out
    assert "Cells without scores" not in out
    (sweep,) = (tmp_path / "runs" / "sweep").iterdir()
    assert f"page: runs/sweep/{sweep.name}/report.html" in out
    assert [entry.name for entry in tmp_path.iterdir()] == ["runs"]
    tables = {file: file.read_bytes() for file in (sweep / "results.md", sweep / "pairs.csv")}
    for file in tables:
        file.unlink()
    installed.run("legalrr", "report", f"runs/sweep/{sweep.name}", cwd=tmp_path)
    assert {file: file.read_bytes() for file in tables} == tables
    assert shipped == sorted(file for file in installed.packages.rglob("*") if file.suffix != ".pyc" and file.is_file())


def test_corpora_schemes_and_published_tables_are_included(installed: Installed, tmp_path: Path) -> None:
    corpora = installed.run("legalrr", "data", "list", cwd=tmp_path)
    assert re.search(r"│ specimen +│ +24 │", corpora)
    assert "RulingByLowerCourt" in installed.run("legalrr", "segment", "roles", cwd=tmp_path)
    published = installed.packages / "legalrr" / "data" / "published" / "khatri2025_prediction.csv"
    assert "mislabelled" in installed.run("legalrr", "audit", str(published), cwd=tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_the_included_taggers_are_found(installed: Installed, tmp_path: Path) -> None:
    code = (
        "import legalrr; judgment = next(iter(legalrr.load_corpus('specimen')))\n"
        "print(*(len(legalrr.load_tagger('crf', scheme=s).segment(judgment).spans) > 1 for s in ('build', 'seven')))"
    )
    assert installed.run("python", "-c", code, cwd=tmp_path) == "True True\n"


def test_a_plugin_package_can_be_installed(
    installed: Installed, save_plugin: Callable[[Path], None], tmp_path: Path
) -> None:
    save_plugin(tmp_path / "plugin")
    installed.install(build(tmp_path / "plugin", tmp_path / "wheel"))
    page = (root() / "docs" / "plugins.md").read_text(encoding="utf-8")
    (code,) = re.findall(r"export LEGALRR_CONF=\"\$\(python -c '(.*)'\)/conf\"", page)
    own = tmp_path / "empty"
    own.mkdir()
    conf = f"{installed.run('python', '-c', code, cwd=own).strip()}/conf"
    assert Path(conf) == installed.packages / "mine" / "conf"
    data = {"LEGALRR_DATA": str(tmp_path / "plugin" / "data")}
    assert "│ bundles " in installed.run("legalrr", "data", "list", "--no-count", cwd=own, LEGALRR_CONF=conf, **data)
    mine = ("corpus=bundles", "segment=keywords", "arm=brief", "backbone=parrot", *FAST)
    assert "brief" in installed.run("legalrr", "--config-dir", conf, *mine, cwd=own, **data)
