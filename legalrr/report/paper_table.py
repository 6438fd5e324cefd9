"""Tables for papers: blocks of lines over the same columns, with intervals and footnotes, in three formats."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from legalrr.score.invalid_bounds import significant_under_bound
from legalrr.tables import LATEX_ESCAPES, Table, escape_latex, markdown_line, p_exact, p_value

ESCAPES = MappingProxyType({**LATEX_ESCAPES, "<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}"})
"""Escapes of LaTeX, also of the characters that its former default fonts lack."""
CSV_COLUMNS = (
    *("block", "source", "score", "column", "value", "low", "high", "n", "interval", "p_holm", "notes", "p"),
    "p_holm_bound",
)


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
                "" if one is None else f"{_value(one, line, table)} {_interval(one, table)}".strip() + marks(one.notes)
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
    """Return the table in LaTeX (booktabs); intervals are below their numbers."""
    marks = _marks(table, r"\textsuperscript{{{}}}".format)
    width = len(table.columns) + 1

    def row(cells: list[str]) -> str:
        return " & ".join(cells) + r" \\"

    lines = [r"\begin{table*}", r"\centering\small", rf"\caption{{{_escaped(table.caption)}}}"]
    lines += [rf"\begin{{tabular}}{{l{'r' * len(table.columns)}}}", r"\toprule"]
    lines.append(row(["", *map(_escaped, table.columns)]))
    for block in table.blocks:
        title = rf"\textbf{{{_escaped(_title(block))}}}{marks(block.notes)}"
        lines += [r"\midrule", rf"\multicolumn{{{width}}}{{l}}{{{title}}} \\"]
        for line in block.lines:
            figures = [line.figures.get(column) for column in table.columns]
            values = ["" if one is None else _escaped(_value(one, line, table)) + marks(one.notes) for one in figures]
            lines.append(row([_escaped(line.score) + marks(line.notes), *values]))
            below = ["" if one is None else _interval(one, table) for one in figures]
            if any(below):
                lines.append(row(["", *(rf"{{\scriptsize {one}}}" if one else "" for one in below)]))
    lines += [r"\bottomrule", r"\end{tabular}"]
    remarks = [_escaped(remark) for remark in table.notes]
    remarks += [rf"\textsuperscript{{{n}}} {_escaped(note)}" for n, note in enumerate(table.footnotes, start=1)]
    if remarks:
        lines += [r"\par\medskip", r"\begin{minipage}{\linewidth}\footnotesize"]
        # Not a line break: LaTeX reads a bracket or a star after it as its argument.
        lines += [*(rf"{remark}\par" for remark in remarks), r"\end{minipage}"]
    return "\n".join(["% needs \\usepackage{booktabs}", *lines, r"\end{table*}"]) + "\n"


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


def _escaped(text: str) -> str:
    return escape_latex(text, ESCAPES)


def _title(block: TableBlock) -> str:
    return f"{block.title}; {block.source}" if block.source else block.title


def _value(figure: TableNumber, line: Line, table: PaperTable) -> str:
    if figure.value is None:
        return "-"
    if not line.percent:
        return f"{figure.value:.1f}"
    star = "*" if significant_under_bound(figure.p_holm, figure.p_holm_bound) else ""
    return f"{100 * figure.value:{'+' if table.signed else ''}z.2f}{star}"


def _interval(figure: TableNumber, table: PaperTable) -> str:
    if figure.interval is None:
        return ""
    low, high = (f"{100 * bound:{'+' if table.signed else ''}z.1f}" for bound in figure.interval)
    p = "" if figure.p is None else f"; p {p_value(figure.p)}, Holm {p_value(figure.p_holm)}"
    bound = "" if figure.p is None or figure.p_holm_bound is None else f", bound {p_value(figure.p_holm_bound)}"
    return f"[{low}, {high}]{p}{bound}"


def _marks(table: PaperTable, shape: Callable[[str], str]) -> Callable[[tuple[str, ...]], str]:
    numbers = {note: number for number, note in enumerate(table.footnotes, start=1)}

    def marks(notes: tuple[str, ...]) -> str:
        return shape(",".join(str(number) for number in sorted({numbers[note] for note in notes}))) if notes else ""

    return marks
