"""Tables of strings, rendered as Markdown, LaTeX, CSV and on a terminal, and number formats for their cells.

Each format is escaped, so that a name is text in all of them: `markdown_line`, `csv_cell`, `legalrr.latex`, and
`legalrr.errors` for the terminal.
"""

import csv
import errno
import io
import os
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from legalrr.errors import one_line, printable, printable_lines
from legalrr.files import make_folder, require_own, write_atomically
from legalrr.latex import Tabular
from legalrr.streams import STDOUT

if TYPE_CHECKING:
    from rich.console import Console

_TAG = re.compile(r"<(?=[A-Za-z/!?])")
NULL_WORDS = frozenset(
    {"#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "<NA>", "N/A", "NA"}
    | {"NULL", "NaN", "None", "n/a", "nan", "null"}
)
"""Cells that pandas reads as missing."""
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|[+-]?inf", re.ASCII)
# As a spreadsheet reads the start of a cell, with the full-width forms, which it reads in the same way.
_FORMULA = re.compile(r"[\s']*[=+\-@\uff1d\uff0b\uff0d\uff20]|'*[\t\r\n]")
_FORMULA_INSIDE = re.compile(r"(;\s*)(?=[=@\uff1d\uff20]|[+\-\uff0b\uff0d][^\s\d.])")


def markdown_line(text: str) -> str:
    """Escape a line of text for Markdown: no raw HTML, links or images, control characters visible.

    Emphasis and code are left, as names often have their marks.
    """
    return _TAG.sub("&lt;", one_line(text).replace("\\", r"\\")).replace("](", r"]\(")


def csv_cell(text: str) -> str:
    """Return a cell of a CSV file, which spreadsheets read as text or a number and pandas not as missing.

    An apostrophe is put before a text that begins like a formula (=, +, -, @, also after spaces or apostrophes; tab,
    line break) and before a null word (None, NA, nan, ...). Numbers and a single "-" stay. To undo: remove the first
    apostrophe where the rest, by itself, would get one. A formula after a semicolon within a text gets one too: where
    spreadsheets write decimal commas, semicolons separate cells. Of control characters only tab and line feed are kept.
    """
    text = printable(text).replace("\r", "\u240d")
    if text.lstrip("'") in NULL_WORDS or (_FORMULA.match(text) and text != "-" and not _NUMBER.fullmatch(text)):
        text = "'" + text
    return _FORMULA_INSIDE.sub(r"\1'", text)


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
            return "| " + " | ".join(markdown_line(cell).replace("|", r"\|") for cell in cells) + " |"

        marks = ["---:" if self.is_number(column) else "---" for column in range(len(self.header))]
        return "\n".join([line(self.header), line(marks), *(line(row) for row in self.rows)])

    def latex(self) -> str:
        """Render as LaTeX, in tabulars that fit the text of an article (`legalrr.latex.Tabular`)."""
        numeric = [self.is_number(column) for column in range(len(self.header))]
        return Tabular(header=self.header, rows=self.rows, numeric=numeric).render()

    def csv(self) -> str:
        """Render as CSV with a header line and lines ending in a newline; see `csv_cell`."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerows(map(csv_cell, cells) for cells in (self.header, *self.rows))
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

        shown = printable_lines if grid else one_line
        table = Grid(show_lines=lines)
        if not grid:
            table = Grid(box=box.SIMPLE_HEAD if console.is_terminal else None, pad_edge=False)
        for number, column in enumerate(self.header):
            table.add_column(
                Text(shown(column)),
                justify="right" if self.is_number(number) else "left",
                overflow="fold" if grid else "ellipsis",
            )
        for row in self.rows:
            table.add_row(*(Text(shown(cell)) for cell in row))
        console.print(table)


def standard_output(pipe_width: int) -> "Console":
    """Open a console on standard output that prints strings without markup and control characters.

    Args:
        pipe_width: columns if standard output is not a terminal (rich assumes 80).
    """
    from rich.console import Console
    from rich.text import Text

    class PlainConsole(Console):
        def render_str(self, text: str, **options: Any) -> Text:
            return super().render_str(printable_lines(text), **options)

        def on_broken_pipe(self) -> None:
            # The command itself ends quietly, with another status than rich.
            raise BrokenPipeError(errno.EPIPE, os.strerror(errno.EPIPE), STDOUT)

    plain: dict[str, Any] = {"highlight": False, "markup": False, "emoji": False}
    console = PlainConsole(**plain)
    return console if console.is_terminal else PlainConsole(width=pipe_width, **plain)


def write_files(folder: Path, texts: Mapping[str, str], *, own: tuple[str, str] | None = None) -> list[Path]:
    """Write files by name into a folder, each whole or not at all; return their paths.

    Args:
        folder: the folder; created if needed.
        texts: content by name.
        own: name of one of them and how it begins, which shows that earlier files are of the same command; files of
            others are not overwritten. None: all are.

    Raises:
        UserError: the folder cannot be made, a file cannot be written, or one is not from an earlier call.
    """
    names = list(texts)
    make_folder(folder)
    if own is not None:
        mark, start = own
        require_own(folder / mark, start, [folder / name for name in texts])
        # The mark is written first, so that a killed command can be repeated.
        texts = {mark: texts[mark], **texts}
    for name, text in texts.items():
        write_atomically(folder / name, text)
    return [folder / name for name in names]


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
