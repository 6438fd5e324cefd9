"""Prints an audit: findings in sentences, then a table per block of cells, then the differences."""

import sys
from typing import TYPE_CHECKING

from legalrr.audit.audit import Audit
from legalrr.audit.findings import findings, kinds, total
from legalrr.audit.views import cell_views, differences_view
from legalrr.report.views import View

if TYPE_CHECKING:
    from rich.console import Console

PIPE_WIDTH = 200
"""Columns where no terminal says how wide it is."""
SHOWN = (0, 1, 2, 3, 5, 6, 7, 8)
"""Columns of a table of cells that a terminal shows; findings say the rest."""


def show(audit: Audit, console: "Console | None" = None) -> None:
    """Print an audit; to standard output where no console is given."""
    from rich.console import Console

    console = console or Console(width=None if sys.stdout.isatty() else PIPE_WIDTH, highlight=False, markup=False)
    for title, view in cell_views(audit):
        console.print(f"\n{title}", style="bold")
        View(header=_shown(view.header), rows=tuple(_shown(row) for row in view.rows)).show(console)
    found = differences_view(audit.differences)
    if found.rows:
        console.print("\nPaired tests that the figures leave open", style="bold")
        found.show(console)
    for heading, lines in findings(audit).items():
        console.print(f"\n{heading}", style="bold")
        for line in lines:
            console.print(f"- {line}")
    console.print(f"\n{total(audit)}.", style="bold")
    for line in kinds(audit):
        console.print(f"- {line}")


def _shown(cells: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(cells[column] for column in SHOWN)
