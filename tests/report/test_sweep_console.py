import io

from rich.console import Console

from legalrr.report.sweep import show

HALF = "AAADDDDDDAAA"


def printed(folder, **options):
    out = io.StringIO()
    show(folder, Console(file=out, width=200, **options))
    return out.getvalue()


def test_outside_a_terminal_the_table_is_plain(sweep, capsys):
    sweep.cell(0, answers=HALF)
    sweep.cell(1, "dr")
    sweep.failed(2)
    show(sweep.folder)
    text = capsys.readouterr().out
    assert "\x1b" not in text
    assert "─" not in text
    assert "specimen, roles: gold, tiny" in text
    assert "none (reference)" in text
    assert "Holm over the one difference of arms from none" in text
    assert "MemoryError: out of memory" in text


def test_in_a_terminal_the_table_has_lines(sweep):
    sweep.cell(0, answers=HALF)
    text = printed(sweep.folder, force_terminal=True)
    assert "─" in text
    assert "Difference" not in text


def test_labels_are_not_read_as_markup(sweep):
    sweep.cell(0, label="[bold]x[/bold]")
    assert "[bold]x[/bold]" in printed(sweep.folder)
