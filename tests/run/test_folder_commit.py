"""The git commit in run.json is that of the checkout, read without git."""

import shutil
import subprocess
from pathlib import Path

import pytest

from legalrr.run.folder import checkout_commit

pytestmark = pytest.mark.skipif(shutil.which("git") is None, reason="needs git")


def git(folder: Path, *arguments: str) -> str:
    command = ["git", "-c", "user.name=a", "-c", "user.email=a@b", *arguments]
    return subprocess.run(command, cwd=folder, check=True, capture_output=True, text=True).stdout.strip()


def test_the_commit_of_a_checkout_is_that_of_git(tmp_path: Path) -> None:
    repository = tmp_path / "repository"
    repository.mkdir()
    git(repository, "init", "-q")
    assert checkout_commit(repository) is None
    git(repository, "commit", "-q", "--allow-empty", "-m", "one")
    commit = git(repository, "rev-parse", "HEAD")
    assert checkout_commit(repository) == commit
    git(repository, "worktree", "add", "-q", "-b", "deep/other", str(tmp_path / "other"))
    git(tmp_path / "other", "commit", "-q", "--allow-empty", "-m", "two")
    assert checkout_commit(tmp_path / "other") == git(tmp_path / "other", "rev-parse", "HEAD") != commit
    git(repository, "pack-refs", "--all")
    assert checkout_commit(repository) == commit
    git(repository, "checkout", "-q", "--detach")
    assert checkout_commit(repository) == commit


def test_outside_a_checkout_there_is_no_commit(tmp_path: Path) -> None:
    assert checkout_commit(tmp_path) is None
    (tmp_path / ".git").mkdir()
    (tmp_path / ".git/HEAD").write_text("ref: refs/heads/none")
    assert checkout_commit(tmp_path) is None
    (tmp_path / ".git/HEAD").write_bytes(b"\xff")
    assert checkout_commit(tmp_path) is None
