"""Tables of strings, rendered as Markdown, LaTeX, CSV and on a terminal, and number formats for their cells."""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from legalrr.store import make_folder, write_atomically

if TYPE_CHECKING:
    from rich.console import Console


@dataclass(frozen=True, kw_only=True)
class Table:
    """A table of strings."""

    header: tuple[str, ...]
    """Names of the columns."""
    rows: tuple[tuple[str, ...], ...]
    """Cells, row by row; each row has a cell per column."""
    numeric: tuple[bool, ...] | None = None
    """Whether each column is numeric; None: inferred from its cells."""

    @classmethod
    def from_records(cls, records: Iterable[Mapping[str, object]], columns: Sequence[str]) -> "Table":
        """Build a table from a mapping per row; None and missing keys become empty cells.

        Raises:
            ValueError: a record has a key that is not a column.
        """
        rows = []
        for record in records:
            if unknown := record.keys() - set(columns):
                raise ValueError(f"no column for {', '.join(sorted(unknown))}")
            rows.append(tuple("" if (value := record.get(column)) is None else str(value) for column in columns))
        return cls(header=tuple(columns), rows=tuple(rows))

    def is_number(self, column: int) -> bool:
        """Return whether a column is numeric, and thus aligned right; empty cells do not count."""
        if self.numeric is not None:
            return self.numeric[column]
        filled = [row[column] for row in self.rows if row[column]]
        return bool(filled) and all(cell[0] in "+-<0123456789" for cell in filled)

    def markdown(self) -> str:
        """Render as Markdown, without a final newline."""

        def line(cells: Iterable[str]) -> str:
            return "| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |"

        marks = ["---:" if self.is_number(column) else "---" for column in range(len(self.header))]
        return "\n".join([line(self.header), line(marks), *(line(row) for row in self.rows)])

    def latex(self) -> str:
        """Render as a LaTeX tabular with the rules of booktabs."""
        import pandas as pd

        frame = pd.DataFrame(self.rows, columns=list(self.header))
        alignment = "".join("r" if self.is_number(column) else "l" for column in range(len(self.header)))
        return frame.to_latex(index=False, escape=True, column_format=alignment)

    def csv(self) -> str:
        """Render as CSV with a header line and lines ending in a newline."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(self.header)
        writer.writerows(self.rows)
        return text.getvalue()

    def show(self, console: "Console", *, grid: bool = False, lines: bool = False) -> None:
        """Print the table.

        Args:
            console: where to print.
            grid: draw a box and wrap wide cells; False: a rule below the header in a terminal, plain columns
                elsewhere.
            lines: draw a line between the rows of a grid, for cells with several lines.
        """
        from rich import box
        from rich.table import Table as Grid
        from rich.text import Text

        table = Grid(show_lines=lines)
        if not grid:
            table = Grid(box=box.SIMPLE_HEAD if console.is_terminal else None, pad_edge=False)
        for number, column in enumerate(self.header):
            table.add_column(
                Text(column),
                justify="right" if self.is_number(number) else "left",
                overflow="fold" if grid else "ellipsis",
            )
        for row in self.rows:
            table.add_row(*(Text(cell) for cell in row))
        console.print(table)


def standard_output(pipe_width: int) -> "Console":
    """Open a console on standard output that prints text without markup.

    Args:
        pipe_width: columns if standard output is not a terminal (rich assumes 80).
    """
    from rich.console import Console

    console = Console(highlight=False, markup=False)
    return console if console.is_terminal else Console(width=pipe_width, highlight=False, markup=False)


def write_files(folder: Path, texts: Mapping[str, str]) -> list[Path]:
    """Write files by name into a folder, each whole or not at all; return their paths.

    Raises:
        UserError: the folder cannot be made.
    """
    make_folder(folder)
    for name, text in texts.items():
        write_atomically(folder / name, text)
    return [folder / name for name in texts]


def fixed(value: float | None, digits: int = 3) -> str:
    """Format a number with a fixed number of decimals; "" for None."""
    return "" if value is None else f"{value:z.{digits}f}"


def share(value: float | None) -> str:
    """Format a share as a percentage without its sign; "" for None."""
    return "" if value is None else f"{100 * value:.1f}"


def p_value(p: float | None) -> str:
    """Format a p-value with four decimals, never as 0; "" for None."""
    return "" if p is None else f"{p:.4f}" if p >= 0.0001 else "< 0.0001"


def p_exact(p: float | None) -> str:
    """Format a p-value with six decimals, or as a power of ten where that would be 0; "" for None."""
    return "" if p is None else f"{p:.6f}" if p >= 0.000001 else f"{p:.1e}"


def bounds(interval: tuple[float, float] | None) -> str:
    """Format an interval in brackets; [-] for None."""
    return "[-]" if interval is None else f"[{interval[0]:z.3f}, {interval[1]:z.3f}]"
