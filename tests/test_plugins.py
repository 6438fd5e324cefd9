"""User-defined choices: the plug-in package of docs/plugins.md, and invalid values of LEGALRR_CONF."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from legalrr import UserError, paths
from legalrr.configuration import compose
from legalrr.paths import choices, root

Legalrr = Callable[..., "subprocess.CompletedProcess[str]"]


@pytest.fixture
def plugin(save_plugin: Callable[[Path], None], tmp_path: Path) -> Path:
    """Create the package that the page shows; return its configuration."""
    save_plugin(tmp_path / "plugin")
    return tmp_path / "plugin" / "mine" / "conf"


@pytest.fixture
def legalrr(plugin: Path, tmp_path: Path) -> Legalrr:
    """Return a function (*arguments, **environment) that runs the command in an empty folder with the plug-in."""

    def run(*arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
        paths = os.pathsep.join([str(tmp_path / "plugin"), str(root()), str(root() / "kernels")])
        env = {**os.environ, "PYTHONPATH": paths, "LEGALRR_DATA": str(tmp_path / "plugin" / "data"), **environment}
        return subprocess.run(
            [sys.executable, *arguments], cwd=tmp_path, env=env, capture_output=True, text=True, check=False
        )

    return run


def test_a_plugin_adds_a_corpus_an_arm_a_tagger_and_a_backbone(legalrr: Legalrr, plugin: Path, tmp_path: Path) -> None:
    conf = {"LEGALRR_CONF": str(plugin)}
    listed = legalrr("-m", "legalrr", "data", "list", "--no-count", **conf)
    assert "each after a line of equals signs" in " ".join(listed.stdout.replace("│", " ").split())
    assert "parrot" in legalrr("-m", "legalrr", "models", "parrot", **conf).stdout
    assert "brief" in legalrr("-m", "legalrr", "--help", **conf).stdout
    mine = ("corpus=bundles", "segment=keywords", "arm=brief", "backbone=parrot", "score.resamples=99")
    done = legalrr("-m", "legalrr", *mine, **conf)
    assert done.returncode == 0, done.stderr
    assert "brief" in done.stdout
    (folder,) = (tmp_path / "runs" / "single").iterdir()
    said = legalrr(
        "-c",
        "import legalrr; run = legalrr.evaluate(corpus='bundles', arm='brief', backbone='parrot', overrides="
        "['segment=keywords', 'score.resamples=99']); print(run.scores.n, run.cell.setup.segment)\n"
        "j = next(iter(legalrr.load_corpus('bundles'))); print(len(legalrr.load_tagger('keywords').segment(j).spans))\n"
        f"print(legalrr.read_run({str(folder)!r}).to_pandas().shape[0])",
        **conf,
    )
    assert said.stdout.split() == ["2", "keywords", "4", "2"], said.stderr


def test_config_dir_does_the_same_for_an_experiment(legalrr: Legalrr, plugin: Path, tmp_path: Path) -> None:
    mine = ("corpus=bundles", "segment=keywords", "arm=brief", "backbone=parrot", "score.resamples=99")
    relative = str(plugin.relative_to(tmp_path))
    done = legalrr("-m", "legalrr", "--config-dir", relative, *mine)
    assert done.returncode == 0, done.stderr


def test_without_the_folder_its_choices_do_not_exist(legalrr: Legalrr) -> None:
    done = legalrr("-m", "legalrr", "corpus=bundles", "backbone=echo")
    assert done.returncode == 2
    assert "bundles" in done.stderr


def test_a_missing_folder_is_a_one_line_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LEGALRR_CONF", "no_such_folder")
    with pytest.raises(UserError, match=r"^LEGALRR_CONF=no_such_folder: no such folder"):
        paths.conf_folders()


def test_the_name_of_a_built_in_choice_raises(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "corpus").mkdir()
    (tmp_path / "corpus" / "specimen.yaml").write_text("name: specimen\n", encoding="utf-8")
    monkeypatch.setenv("LEGALRR_CONF", str(tmp_path))
    with pytest.raises(UserError, match="corpus=specimen is defined twice"):
        choices("corpus")
    with pytest.raises(UserError, match="corpus=specimen is defined twice"):
        compose()
