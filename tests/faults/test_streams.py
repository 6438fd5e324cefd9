"""Closed, full and ASCII standard streams: a quiet end or one line, and all files of a run."""

import io
import json
import logging
import os
from pathlib import Path

import pytest

from legalrr.streams import ESCAPE, LogFile
from tests.faults.conftest import QUICK, Command

CLOSED_PIPE = "read, write = os.pipe(); os.close(read); os.dup2(write, {0})"
FULL = "os.dup2(os.open('/dev/full', os.O_WRONLY), {0})"
CLOSED = "os.close({0}); sys.{1} = sys.__{1}__ = None"
ASCII = "for stream in (sys.stdout, sys.stderr): stream.reconfigure(encoding='ascii', errors='strict')"
needs_dev_full = pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")


def scores(folder: Path) -> list[Path]:
    return list((folder / "runs").glob("*/*/scores.json"))


@pytest.mark.parametrize(
    "words", [["--help"], ["data", "list", "--no-count"], ["data", "--help"], ["arm=direct", "--cfg", "job"]]
)
def test_a_reader_that_stops_early_ends_a_command_quietly(command: Command, words: list[str]) -> None:
    ended = command(*words, setup=CLOSED_PIPE.format(1))
    assert (ended.status, ended.err) == (141, "")


def test_a_run_with_a_closed_pipe_writes_all_its_files(command: Command, tmp_path: Path) -> None:
    ended = command(*QUICK, "runs=runs", setup=CLOSED_PIPE.format(1))
    assert ended.status == 141
    assert "Traceback" not in ended.err
    assert not [line for line in ended.err.splitlines() if line.startswith("legalrr:")]
    (scored,) = scores(tmp_path)
    assert (scored.parent / "report.html").is_file()


@needs_dev_full
@pytest.mark.parametrize("words", [["--help"], ["data", "list", "--no-count"], ["data", "--help"]])
def test_full_standard_output_is_one_line(command: Command, words: list[str]) -> None:
    ended = command(*words, setup=FULL.format(1))
    assert "standard output: No space left on device (" in ended.fault()


@needs_dev_full
def test_a_run_with_full_standard_output_writes_all_its_files(command: Command, tmp_path: Path) -> None:
    assert "standard output: No space left on device" in command(*QUICK, "runs=runs", setup=FULL.format(1)).fault()
    (scored,) = scores(tmp_path)
    assert (scored.parent / "report.html").is_file()


@needs_dev_full
@pytest.mark.parametrize("setup", [FULL, CLOSED_PIPE])
def test_standard_error_that_cannot_be_written_does_not_stop_a_run(
    command: Command, tmp_path: Path, setup: str
) -> None:
    ended = command(*QUICK, "runs=runs", setup=setup.format(2))
    assert ended.status == 0
    assert "model calls: 2 made" in ended.out


@pytest.mark.parametrize("names", [["stderr"], ["stdin", "stdout", "stderr"]])
def test_closed_streams_do_not_stop_a_run_or_reach_its_files(
    command: Command, tmp_path: Path, names: list[str]
) -> None:
    numbers = {"stdin": 0, "stdout": 1, "stderr": 2}
    ended = command(*QUICK, "runs=runs", setup="\n".join(CLOSED.format(numbers[name], name) for name in names))
    assert ended.status == 0
    (scored,) = scores(tmp_path)
    assert json.loads(scored.read_bytes())
    for path in scored.parent.iterdir():
        assert path.is_dir() or b"model calls: 2 made" not in path.read_bytes()


def test_an_error_with_closed_standard_error_is_not_printed_elsewhere(command: Command) -> None:
    ended = command("reprot", setup=CLOSED.format(2, "stderr"))
    assert (ended.status, ended.out) == (2, "")


def test_an_ascii_terminal_gets_escapes_that_are_valid_json(command: Command, tmp_path: Path) -> None:
    (tmp_path / "é\U0001f9d1.txt").write_text("The appellant sold a horse. We allow the appeal.", encoding="utf-8")
    ended = command("segment", "tag", tmp_path / "é\U0001f9d1.txt", setup=ASCII)
    assert ended.status == 0, ended.err
    assert r'"\u00e9\ud83e\uddd1"' in ended.out
    assert json.loads(ended.out)["id"] == "é\U0001f9d1"


def test_an_error_on_an_ascii_terminal_is_one_line(command: Command) -> None:
    assert r"runs\u00e9" in command("report", "runsé", setup=ASCII).fault()


def test_an_argument_that_the_locale_cannot_decode_names_the_cure(command: Command) -> None:
    ended = command(*QUICK, "runs=r", setup="sys.argv[-1] = os.fsdecode(b'runs=\\xc3\\xbc')[:5] + '\\udcc3\\udcbc'")
    assert "PYTHONUTF8=1" in ended.fault()


def test_a_surrogate_of_a_file_name_is_escaped() -> None:
    stream = io.TextIOWrapper(io.BytesIO(), encoding="utf-8", errors=ESCAPE)
    stream.write("a\udcff")
    stream.flush()
    assert stream.buffer.getvalue() == b"a\\udcff"  # type: ignore[attr-defined]


def test_a_log_file_that_cannot_be_written_is_said_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    handler = LogFile(str(tmp_path / "no" / "x.log"))
    logger = logging.getLogger("legalrr.test")
    logger.addHandler(handler)
    try:
        logger.warning("first")
        logger.warning("second")
    finally:
        logger.removeHandler(handler)
    said = [record.message for record in caplog.records]
    assert len(said) == 3
    assert "x.log: No such file or directory" in said[0] + said[1]


def test_a_log_file_has_any_name_of_a_judgment(tmp_path: Path) -> None:
    handler = LogFile(str(tmp_path / "x.log"))
    handler.emit(logging.LogRecord("x", logging.INFO, "", 0, "न्याय \udcff", (), None))
    handler.close()
    assert (tmp_path / "x.log").read_text(encoding="utf-8") == "न्याय \\udcff\n"
