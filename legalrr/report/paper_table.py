"""A table for a paper: blocks of lines over the same columns, each figure with its interval, and footnotes."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from legalrr.score.invalid_bounds import stands
from legalrr.tables import Table, p_exact, p_value

LATEX_ESCAPES = MappingProxyType(
    {
        "\\": r"\textbackslash{}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        "<": r"\textless{}",
        ">": r"\textgreater{}",
        "|": r"\textbar{}",
        **{character: "\\" + character for character in "&%$#_{}"},
    }
)
"""What LaTeX reads otherwise than it is written."""
CSV_COLUMNS = (
    *("block", "source", "score", "column", "value", "low", "high", "n", "interval", "p_holm", "notes", "p"),
    "p_holm_bound",
)


@dataclass(frozen=True, kw_only=True)
class TableNumber:
    """One number of a table."""

    value: float | None
    """The number, mostly a share or a difference of shares; None where it does not exist, which a note explains."""
    interval: tuple[float, float] | None = None
    """Its interval; None where there is none."""
    method: str = ""
    """How the interval was made; "" without one."""
    n: int | None = None
    """Judgments of the cell; None where nobody knows."""
    p: float | None = None
    """Its p, to be shown beside it; None: it has none, or only the star tells of it."""
    p_holm: float | None = None
    """Adjusted p (of its difference to the reference arm, or of the effect); None where nothing was tested."""
    p_holm_bound: float | None = None
    """The same under the unfavourable bound of the invalid answers (`legalrr.score.invalid_bounds`); None where no
    answer is invalid."""
    notes: tuple[str, ...] = ()
    """Footnotes to it."""


@dataclass(frozen=True, kw_only=True)
class Line:
    """A score over the columns."""

    score: str
    """Its name."""
    figures: Mapping[str, TableNumber]
    """Column -> figure; a column that lacks was not run."""
    notes: tuple[str, ...] = ()
    """Footnotes to all of them."""
    percent: bool = True
    """Whether figures are shares, which are shown in percent; else they are shown as they are."""


@dataclass(frozen=True, kw_only=True)
class TableBlock:
    """Lines about the same judgments and the same backbone."""

    title: str
    """What they are about."""
    lines: tuple[Line, ...]
    """The lines, in order."""
    source: str = ""
    """Where they are printed; "" for what was run here."""
    notes: tuple[str, ...] = ()
    """Footnotes to all of them."""


@dataclass(frozen=True, kw_only=True)
class PaperTable:
    """A table for a paper."""

    caption: str
    """What it shows, and how."""
    columns: tuple[str, ...]
    """Headings."""
    blocks: tuple[TableBlock, ...]
    """Blocks, from top to bottom."""
    signed: bool = False
    """Whether figures are differences and carry a sign."""
    notes: tuple[str, ...] = field(default=())
    """Remarks on the whole, beside the footnotes."""

    @property
    def footnotes(self) -> tuple[str, ...]:
        """All footnotes, each once, in the order in which they are met."""
        met: dict[str, None] = {}
        for block in self.blocks:
            met |= dict.fromkeys(block.notes)
            for line in block.lines:
                met |= dict.fromkeys(line.notes)
                for column in self.columns:
                    if column in line.figures:
                        met |= dict.fromkeys(line.figures[column].notes)
        return tuple(met)


def markdown(sheet: PaperTable) -> str:
    """The table in Markdown; footnotes are numbers in brackets."""

    marks = _marks(sheet, "[{}]".format)
    rows: list[tuple[str, ...]] = []
    for block in sheet.blocks:
        rows.append((f"**{_title(block)}**{marks(block.notes)}", *[""] * len(sheet.columns)))
        for line in block.lines:
            figures = (line.figures.get(column) for column in sheet.columns)
            cells = [
                "" if one is None else f"{_value(one, line, sheet)} {_interval(one, sheet)}".strip() + marks(one.notes)
                for one in figures
            ]
            rows.append((line.score + marks(line.notes), *cells))
    table = Table(header=("", *sheet.columns), rows=tuple(rows), numeric=(False, *[True] * len(sheet.columns)))
    remarks = [*sheet.notes, *(f"[{number}] {note}" for number, note in enumerate(sheet.footnotes, start=1))]
    return "\n\n".join([sheet.caption, table.markdown(), "\n".join(f"- {remark}" for remark in remarks)]).strip() + "\n"


def latex(sheet: PaperTable) -> str:
    """The table for LaTeX with the package booktabs; intervals stand below their figures."""
    marks = _marks(sheet, r"\textsuperscript{{{}}}".format)
    width = len(sheet.columns) + 1

    def row(cells: list[str]) -> str:
        return " & ".join(cells) + r" \\"

    lines = [r"\begin{table*}", r"\centering\small", rf"\caption{{{escape_latex(sheet.caption)}}}"]
    lines += [rf"\begin{{tabular}}{{l{'r' * len(sheet.columns)}}}", r"\toprule"]
    lines.append(row(["", *map(escape_latex, sheet.columns)]))
    for block in sheet.blocks:
        title = rf"\textbf{{{escape_latex(_title(block))}}}{marks(block.notes)}"
        lines += [r"\midrule", rf"\multicolumn{{{width}}}{{l}}{{{title}}} \\"]
        for line in block.lines:
            figures = [line.figures.get(column) for column in sheet.columns]
            values = [
                "" if one is None else escape_latex(_value(one, line, sheet)) + marks(one.notes) for one in figures
            ]
            lines.append(row([escape_latex(line.score) + marks(line.notes), *values]))
            below = ["" if one is None else _interval(one, sheet) for one in figures]
            if any(below):
                lines.append(row(["", *(rf"{{\scriptsize {one}}}" if one else "" for one in below)]))
    lines += [r"\bottomrule", r"\end{tabular}"]
    remarks = [escape_latex(remark) for remark in sheet.notes]
    remarks += [rf"\textsuperscript{{{n}}} {escape_latex(note)}" for n, note in enumerate(sheet.footnotes, start=1)]
    if remarks:
        lines += [r"\par\medskip", r"\begin{minipage}{\linewidth}\footnotesize"]
        # Not by a line break: a bracket or a star after one would be read as its argument.
        lines += [*(rf"{remark}\par" for remark in remarks), r"\end{minipage}"]
    return "\n".join(["% needs \\usepackage{booktabs}", *lines, r"\end{table*}"]) + "\n"


def as_csv(sheet: PaperTable) -> str:
    """A row per figure, with what the other formats round or leave out; footnotes in words."""
    rows: list[tuple[str, ...]] = []
    for block in sheet.blocks:
        for line in block.lines:
            for column, one in ((c, line.figures[c]) for c in sheet.columns if c in line.figures):
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
"""Format -> ending of its files, and what writes it."""


def escape_latex(text: str) -> str:
    """Text as LaTeX has to have it to show it as it is."""
    return "".join(LATEX_ESCAPES.get(character, character) for character in text)


def _title(block: TableBlock) -> str:
    return f"{block.title}; {block.source}" if block.source else block.title


def _value(figure: TableNumber, line: Line, sheet: PaperTable) -> str:
    if figure.value is None:
        return "-"
    if not line.percent:
        return f"{figure.value:.1f}"
    star = "*" if stands(figure.p_holm, figure.p_holm_bound) else ""
    return f"{100 * figure.value:{'+' if sheet.signed else ''}z.2f}{star}"


def _interval(figure: TableNumber, sheet: PaperTable) -> str:
    if figure.interval is None:
        return ""
    low, high = (f"{100 * bound:{'+' if sheet.signed else ''}z.1f}" for bound in figure.interval)
    p = "" if figure.p is None else f"; p {p_value(figure.p)}, Holm {p_value(figure.p_holm)}"
    bound = "" if figure.p is None or figure.p_holm_bound is None else f", bound {p_value(figure.p_holm_bound)}"
    return f"[{low}, {high}]{p}{bound}"


def _marks(sheet: PaperTable, shape: Callable[[str], str]) -> Callable[[tuple[str, ...]], str]:
    numbers = {note: number for number, note in enumerate(sheet.footnotes, start=1)}

    def marks(notes: tuple[str, ...]) -> str:
        return shape(",".join(str(number) for number in sorted({numbers[note] for note in notes}))) if notes else ""

    return marks
