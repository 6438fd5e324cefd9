"""Temporary files that killed processes left are removed when their folder is written next."""

import multiprocessing
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from legalrr.files import OLD_SECONDS, PART, part_path, write_atomically

KILLED = """
import os, signal, sys
from pathlib import Path
from legalrr import files
os.fsync = lambda number: os.kill(os.getpid(), signal.SIGKILL)
files.write_atomically(Path(sys.argv[1]), "never whole")
"""


def dead_process() -> int:
    """Return the number of a process that has ended."""
    process = multiprocessing.get_context("fork").Process(target=int)
    process.start()
    process.join()
    assert process.pid is not None
    return process.pid


def host() -> str:
    found = PART.fullmatch(part_path(Path("x")).name)
    assert found is not None
    return found["host"]


def left(folder: Path, name: str, *, age: float = 0.0) -> Path:
    path = folder / name
    path.write_text("torn")
    os.utime(path, (time.time() - age,) * 2)
    return path


def test_the_file_of_a_killed_process_is_removed_by_the_next_write(tmp_path: Path) -> None:
    killed = subprocess.run([sys.executable, "-c", KILLED, str(tmp_path / "x.json")], check=False)
    assert killed.returncode == -signal.SIGKILL
    (part,) = tmp_path.iterdir()
    assert PART.fullmatch(part.name)
    write_atomically(tmp_path / "other.json", "{}")
    assert [path.name for path in tmp_path.iterdir()] == ["other.json"]


@pytest.mark.parametrize("process", [os.getpid(), os.getppid(), 1], ids=["own", "parent", "init"])
def test_the_file_of_a_running_process_stays(tmp_path: Path, process: int) -> None:
    part = left(tmp_path, f".x.json.{host()}-{process}.part", age=2 * OLD_SECONDS)
    former = left(tmp_path, f".x.json.{process}.part", age=2 * OLD_SECONDS)
    write_atomically(tmp_path / "y.json", "{}")
    assert part.exists()
    assert former.exists()


def test_the_file_of_another_host_stays(tmp_path: Path) -> None:
    part = left(tmp_path, f".x.json.{'0' * 8}-{dead_process()}.part", age=2 * OLD_SECONDS)
    write_atomically(tmp_path / "x.json", "{}")
    assert part.exists()


def test_a_file_of_the_former_form_is_removed_only_if_it_is_old(tmp_path: Path) -> None:
    process = dead_process()
    old = left(tmp_path, f".x.json.{process}.part", age=2 * OLD_SECONDS)
    new = left(tmp_path, f".y.json.{process}.part")
    write_atomically(tmp_path / "x.json", "{}")
    assert not old.exists()
    assert new.exists()


@pytest.mark.parametrize(
    "name", [".part", "x.part", ".x.part", ".x.12", "..12.part", ".x.json.abc-12.part", ".x.-1.part"]
)
def test_files_of_other_names_stay(tmp_path: Path, name: str) -> None:
    path = left(tmp_path, name, age=2 * OLD_SECONDS)
    write_atomically(tmp_path / "x.json", "{}")
    assert path.exists()


def test_a_folder_of_a_dead_process_is_removed_whole(tmp_path: Path) -> None:
    folder = tmp_path / f".roles.{host()}-{dead_process()}.part"
    folder.mkdir()
    (folder / "data.arrow").touch()
    write_atomically(tmp_path / "x.json", "{}")
    assert [path.name for path in tmp_path.iterdir()] == ["x.json"]


def test_a_number_that_no_process_can_have_is_of_a_dead_one(tmp_path: Path) -> None:
    part = left(tmp_path, f".x.json.{host()}-{'9' * 40}.part")
    write_atomically(tmp_path / "x.json", "{}")
    assert not part.exists()


def test_a_write_that_fails_leaves_the_former_content_and_no_temporary_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x.json"
    write_atomically(path, "former")

    def full(_: int) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(KeyboardInterrupt):
        write_atomically(path, "new")
    assert [one.name for one in tmp_path.iterdir()] == ["x.json"]
    assert path.read_text() == "former"


def test_no_other_module_names_temporary_files_of_its_own() -> None:
    # `.part` of a download is the same for every process, which resumes it.
    source = Path(__file__).resolve().parents[2] / "legalrr"
    named = {path.name for path in source.rglob("*.py") if re.search(r"getpid\(\).*\.part", path.read_text("utf-8"))}
    assert named == {"files.py"}
