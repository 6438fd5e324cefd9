import io
import logging

import pytest

from legalrr.progress import progress


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
