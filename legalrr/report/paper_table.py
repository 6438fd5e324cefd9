"""Tables for papers: blocks of lines over the same columns, with intervals and footnotes, in three formats."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from legalrr.latex import BOLD, SPAN_WIDTH, box, breakable, column_groups, ems, escape_latex, row, text_width
from legalrr.score.invalid_bounds import significant_under_bound
from legalrr.tables import Table, markdown_line, p_exact, p_value

CSV_COLUMNS = (
    *("block", "source", "score", "column", "value", "low", "high", "n", "interval", "p_holm", "notes", "p"),
    "p_holm_bound",
)

SPACE = 6.0
"""Space of a column beside its text in LaTeX, in points."""
NAME_WIDTH = 110.0
"""Largest width of the name of a score in LaTeX; longer ones have several lines."""
COLUMN_WIDTH = 110.0
"""The same of a column heading."""
TITLE_WIDTH = 220.0
"""The same of the title of a block in a narrower table."""
RAGGED = r"\raggedright "
SMALLER = 0.87
r"""Largest ratio of the widths of a text in `\scriptsize` and in `\small`."""


@dataclass(frozen=True, kw_only=True)
class TableNumber:
    """One number of a table."""

    value: float | None
    """The number, mostly a share or a difference of shares; None if undefined, which a note explains."""
    interval: tuple[float, float] | None = None
    """Its interval, if any."""
    method: str = ""
    """Method of the interval; "" without one."""
    n: int | None = None
    """Number of judgments; None if unknown."""
    p: float | None = None
    """Its p, printed next to the interval; None: not printed."""
    p_holm: float | None = None
    """Adjusted p (of the difference to the reference arm, or of the effect); None without a test."""
    p_holm_bound: float | None = None
    """The same under the unfavourable bound of the invalid answers (`legalrr.score.invalid_bounds`); None without
    invalid answers."""
    notes: tuple[str, ...] = ()
    """Footnotes to the number."""


@dataclass(frozen=True, kw_only=True)
class Line:
    """A score over the columns."""

    score: str
    """Name of the score."""
    figures: Mapping[str, TableNumber]
    """Column -> number; columns that were not run are absent."""
    notes: tuple[str, ...] = ()
    """Footnotes to the line."""
    percent: bool = True
    """Whether the numbers are shares, to be shown in percent."""


@dataclass(frozen=True, kw_only=True)
class TableBlock:
    """Lines on the same judgments and backbone."""

    title: str
    """Title of the block."""
    lines: tuple[Line, ...]
    """Lines, from top to bottom."""
    source: str = ""
    """Publication that printed the numbers; "" for own runs."""
    notes: tuple[str, ...] = ()
    """Footnotes to the block."""


@dataclass(frozen=True, kw_only=True)
class PaperTable:
    """A table for a paper."""

    caption: str
    """Caption."""
    columns: tuple[str, ...]
    """Column headings."""
    blocks: tuple[TableBlock, ...]
    """Blocks, from top to bottom."""
    signed: bool = False
    """Whether the numbers are differences, shown with a sign."""
    notes: tuple[str, ...] = field(default=())
    """Remarks on the whole table, before the footnotes."""

    @property
    def footnotes(self) -> tuple[str, ...]:
        """Distinct footnotes, in the order of their first occurrence."""
        found: dict[str, None] = {}
        for block in self.blocks:
            found |= dict.fromkeys(block.notes)
            for line in block.lines:
                found |= dict.fromkeys(line.notes)
                for column in self.columns:
                    if column in line.figures:
                        found |= dict.fromkeys(line.figures[column].notes)
        return tuple(found)


def markdown(table: PaperTable) -> str:
    """Return the table in Markdown; footnotes are numbers in brackets."""
    marks = _marks(table, "[{}]".format)
    rows: list[tuple[str, ...]] = []
    for block in table.blocks:
        rows.append((f"**{_title(block)}**{marks(block.notes)}", *[""] * len(table.columns)))
        for line in block.lines:
            figures = (line.figures.get(column) for column in table.columns)
            cells = [
                ""
                if one is None
                else f"{_value(one, line, table)} {'; '.join(_below(one, table))}".strip() + marks(one.notes)
                for one in figures
            ]
            rows.append((line.score + marks(line.notes), *cells))
    body = Table(header=("", *table.columns), rows=tuple(rows), numeric=(False, *[True] * len(table.columns)))
    remarks = [*table.notes, *(f"[{number}] {note}" for number, note in enumerate(table.footnotes, start=1))]
    return (
        "\n\n".join(
            [
                markdown_line(table.caption),
                body.markdown(),
                "\n".join(f"- {markdown_line(remark)}" for remark in remarks),
            ]
        ).strip()
        + "\n"
    )


def latex(table: PaperTable) -> str:
    """Return the table in LaTeX (booktabs); intervals are below their numbers.

    It fits both columns of an article in two columns (`legalrr.latex`); where it is too wide, the columns are split
    into groups, one below the other.
    """
    lines_of = [line for block in table.blocks for line in block.lines]
    marks = _mark_width(table)
    names = max((min(NAME_WIDTH, text_width(line.score)) + marks(line.notes) for line in lines_of), default=0.0)
    columns = [_column_width(column, table) for column in table.columns]
    widths = [names, *columns]
    lines = [r"\begin{table*}", rf"\centering\small\setlength{{\tabcolsep}}{{{SPACE / 2:g}pt}}"]
    lines.append(rf"\caption{{{escape_latex(table.caption)}}}")
    for number, group in enumerate(column_groups(widths, 1, SPAN_WIDTH, SPACE)):
        lines += [r"\par\medskip"] if number else []
        width = sum(widths[column] + SPACE for column in group) - SPACE
        lines += _tabular(table, [table.columns[column - 1] for column in group[1:]], max(width, TITLE_WIDTH))
    remarks = [breakable(remark, SPAN_WIDTH / 2) for remark in table.notes]
    remarks += [
        rf"\textsuperscript{{{n}}} {breakable(note, SPAN_WIDTH / 2)}" for n, note in enumerate(table.footnotes, start=1)
    ]
    if remarks:
        lines += [r"\par\medskip", r"\begin{minipage}{\linewidth}\footnotesize\raggedright"]
        # Not a line break: LaTeX reads a bracket or a star after it as its argument.
        lines += [*(rf"{remark}\par" for remark in remarks), r"\end{minipage}"]
    return "\n".join(["% needs \\usepackage{booktabs}", *lines, r"\end{table*}"]) + "\n"


def _tabular(table: PaperTable, columns: Sequence[str], title_width: float) -> list[str]:
    """Return the lines of a tabular with some columns of a table; longer titles of blocks have several lines."""
    marks, mark_width = _marks(table, r"\textsuperscript{{{}}}".format), _mark_width(table)
    width = len(columns) + 1
    lines = [rf"\begin{{tabular}}{{l{'r' * len(columns)}}}", r"\toprule"]
    lines.append(row(["", *(box(column, COLUMN_WIDTH, head=True, right=True) for column in columns)]))
    for block in table.blocks:
        title, alignment, start = escape_latex(_title(block)), "l", ""
        if BOLD * text_width(_title(block)) + mark_width(block.notes) > title_width:
            title, alignment, start = breakable(_title(block), title_width / 2), f"p{{{ems(title_width)}}}", RAGGED
        cell = rf"{start}\textbf{{{title}}}{marks(block.notes)}"
        lines += [r"\midrule", rf"\multicolumn{{{width}}}{{{alignment}}}{{{cell}}} \\"]
        for line in block.lines:
            figures = [line.figures.get(column) for column in columns]
            values = ["" if f is None else escape_latex(_value(f, line, table)) + marks(f.notes) for f in figures]
            lines.append(row([box(line.score, NAME_WIDTH) + marks(line.notes), *values]))
            below = [() if one is None else _below(one, table) for one in figures]
            for level in range(max(map(len, below))):
                cells = (rf"{{\scriptsize {one[level]}}}" if level < len(one) else "" for one in below)
                lines.append(row(["", *cells]))
    return [*lines, r"\bottomrule", r"\end{tabular}"]


def _column_width(column: str, table: PaperTable) -> float:
    """Return an upper bound of the width of a column, in points."""
    marks = _mark_width(table)
    widths = [min(COLUMN_WIDTH, text_width(column))]
    for line in (line for block in table.blocks for line in block.lines if column in line.figures):
        figure = line.figures[column]
        widths.append(text_width(_value(figure, line, table)) + marks(figure.notes))
        widths += [SMALLER * text_width(one) for one in _below(figure, table)]
    return max(widths)


def as_csv(table: PaperTable) -> str:
    """Return the table as CSV: a row per number, unrounded, with its footnotes in words."""
    rows: list[tuple[str, ...]] = []
    for block in table.blocks:
        for line in block.lines:
            for column, one in ((c, line.figures[c]) for c in table.columns if c in line.figures):
                low, high = ("", "") if one.interval is None else (f"{bound:.6f}" for bound in one.interval)
                value = "" if one.value is None else f"{one.value:.6f}"
                p_holm, p, bound = p_exact(one.p_holm), p_exact(one.p), p_exact(one.p_holm_bound)
                notes = "; ".join(dict.fromkeys((*block.notes, *line.notes, *one.notes)))
                size = "" if one.n is None else str(one.n)
                about = (block.title, block.source, line.score, column)
                rows.append((*about, value, low, high, size, one.method, p_holm, notes, p, bound))
    return Table(header=CSV_COLUMNS, rows=tuple(rows)).csv()


FORMATS: Mapping[str, tuple[str, Callable[[PaperTable], str]]] = MappingProxyType(
    {"markdown": ("md", markdown), "latex": ("tex", latex), "csv": ("csv", as_csv)}
)
"""Format -> file extension, and its writer."""


def _title(block: TableBlock) -> str:
    return f"{block.title}; {block.source}" if block.source else block.title


def _value(figure: TableNumber, line: Line, table: PaperTable) -> str:
    if figure.value is None:
        return "-"
    if not line.percent:
        return f"{figure.value:.1f}"
    star = "*" if significant_under_bound(figure.p_holm, figure.p_holm_bound) else ""
    return f"{100 * figure.value:{'+' if table.signed else ''}z.2f}{star}"


def _below(figure: TableNumber, table: PaperTable) -> tuple[str, ...]:
    """Return the interval of a number and its p, each a line below it; empty without an interval."""
    if figure.interval is None:
        return ()
    low, high = (f"{100 * bound:{'+' if table.signed else ''}z.1f}" for bound in figure.interval)
    if figure.p is None:
        return (f"[{low}, {high}]",)
    bound = "" if figure.p_holm_bound is None else f", bound {p_value(figure.p_holm_bound)}"
    return f"[{low}, {high}]", f"p {p_value(figure.p)}, Holm {p_value(figure.p_holm)}{bound}"


def _marks(table: PaperTable, shape: Callable[[str], str]) -> Callable[[tuple[str, ...]], str]:
    numbers = {note: number for number, note in enumerate(table.footnotes, start=1)}

    def marks(notes: tuple[str, ...]) -> str:
        return shape(",".join(str(number) for number in sorted({numbers[note] for note in notes}))) if notes else ""

    return marks


def _mark_width(table: PaperTable) -> Callable[[tuple[str, ...]], float]:
    """Return a function from notes to the width of their numbers in LaTeX, in points."""
    marks = _marks(table, "{}".format)
    return lambda notes: SMALLER * text_width(marks(notes))
