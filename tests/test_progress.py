import io
import logging
import re
import threading
import time
from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest

from legalrr.progress import BEATS, _Count, progress, working


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def _only_caplog_listens(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> None:
    """Remove root handlers left by a run of the program, which write to their own streams."""
    monkeypatch.setattr(logging.getLogger(), "handlers", [caplog.handler])


def test_without_a_terminal_one_line_is_logged_at_the_end(
    caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    with caplog.at_level(logging.INFO, "legalrr"), progress("predict", 5, "calls") as advance:
        advance(2)
        advance(3)
        assert not caplog.records
    (record,) = caplog.records
    assert record.getMessage().startswith("predict: 5 calls in ")
    assert capsys.readouterr().err == ""


def test_on_a_terminal_label_count_and_rate_are_shown(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "100")
    with caplog.at_level(logging.INFO, "legalrr"), progress("predict", 5, "calls") as advance:
        advance(4)
        advance(1)
    shown = terminal.getvalue()
    assert "predict" in shown
    assert "5/5" in shown
    assert "calls/s" in shown
    assert [r.getMessage()[:16] for r in caplog.records] == ["predict: 5 calls"]


@pytest.mark.parametrize("stream", [io.StringIO, Terminal])
def test_no_units_print_nothing(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, stream: type[io.StringIO]
) -> None:
    err = stream()
    monkeypatch.setattr("sys.stderr", err)
    with caplog.at_level(logging.INFO, "legalrr"), progress("predict", 0, "calls"):
        pass
    assert not caplog.records
    assert err.getvalue() == ""


def test_error_inside_propagates_without_a_final_line(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "legalrr"), pytest.raises(KeyError), progress("predict", 5, "calls"):
        raise KeyError
    assert not caplog.records


def lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records]


def wait_for(caplog: pytest.LogCaptureFixture, count: int) -> list[str]:
    """Wait until there are `count` lines, and return them."""
    until = time.monotonic() + 20
    while len(caplog.records) < count and time.monotonic() < until:
        time.sleep(0.002)
    return lines(caplog)[:count]


def heartbeats() -> int:
    return sum(thread.name == "progress" for thread in threading.enumerate())


def test_without_a_terminal_lines_come_while_one_unit_is_under_way(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "legalrr"), progress("predict", 96, "calls", first=0, interval=0.01):
        assert wait_for(caplog, 3) == ["predict: 0/96 calls, none finished for 0 s"] * 3
    assert lines(caplog)[-1].startswith("predict: 0 calls in ")
    assert heartbeats() == 0


def test_a_line_has_count_rate_time_left_and_time_since_the_last_unit(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "legalrr"), progress("predict", 96, "calls", interval=0.01) as advance:
        advance(32)
        (line,) = wait_for(caplog, 1)
    assert re.fullmatch(r"predict: 32/96 calls, [\d.e+]+ calls/s, about 0 s left; last finished 0 s ago", line), line


def test_a_line_says_how_long_a_hung_server_has_not_answered(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 1000.0
    monkeypatch.setattr("legalrr.progress.time.perf_counter", lambda: now)
    count = _Count("predict", 100, "calls")
    now += 50
    count.add(20)
    assert count.line() == "predict: 20/100 calls, 0.4 calls/s, about 3 min 20 s left; last finished 0 s ago"
    now += 130
    assert count.line().endswith("; last finished 2 min 10 s ago")
    for _ in range(BEATS):
        now += 30
        last = count.line()
    assert last == "predict: 20/100 calls, none finished for 7 min 10 s"


def test_the_rate_forgets_a_burst_of_stored_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr("legalrr.progress.time.perf_counter", lambda: now)
    count = _Count("predict", 10_000, "calls")
    count.add(5000)
    for _ in range(2 * BEATS):
        now += 30
        count.add(3)
        line = count.line()
    assert "5060/10000 calls, 0.1 calls/s, about 13 h 43 min left" in line


@pytest.mark.parametrize(
    "started",
    [
        lambda: progress("predict", 5, "calls", first=0, interval=0.01),
        lambda: working("load", first=0, interval=0.01),
    ],
)
@pytest.mark.parametrize("error", [KeyError, KeyboardInterrupt])
def test_heartbeat_ends_with_an_exception(
    started: Callable[[], AbstractContextManager[object]], error: type[BaseException], caplog: pytest.LogCaptureFixture
) -> None:
    def interrupted() -> None:
        with started():
            assert heartbeats() == 1
            raise error

    with caplog.at_level(logging.INFO, "legalrr"), pytest.raises(error):
        interrupted()
    assert heartbeats() == 0


def test_work_without_units_has_lines_too(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "legalrr"), working("load smollm2", first=0, interval=0.01):
        assert wait_for(caplog, 2) == ["load smollm2: 0 s so far"] * 2


def test_on_a_terminal_work_without_units_has_a_spinner(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    monkeypatch.setenv("TERM", "xterm")
    with caplog.at_level(logging.INFO, "legalrr"), working("load [smollm2]", first=0, interval=0.01):
        assert heartbeats() == 0
    assert "load [smollm2]" in terminal.getvalue()
    assert not caplog.records


def test_a_line_and_a_bar_end_with_the_detail(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    count = _Count("predict", 5, "calls", lambda: "3 of 4 workers")
    count.add(2)
    assert count.line().endswith("; 3 of 4 workers")
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    monkeypatch.setenv("COLUMNS", "160")
    with progress("predict", 5, "calls", detail=lambda: "3 of 4 workers") as advance:
        advance(2)
    assert "3 of 4 workers" in terminal.getvalue()
