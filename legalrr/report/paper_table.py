"""Lay out a table for a paper, and the further tables with every column as CSV.

The further tables with every column: repeats.csv, readings.csv and explanations.csv; "" where there is nothing.

A table for a paper: blocks of lines over the same columns, each figure with its interval, and footnotes.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from legalrr.report.compare import Group, Report
from legalrr.report.load import VERSION
from legalrr.report.sections import ExplainedRow, ExplainedTurn, explanations
from legalrr.report.verdict_readers import compare_readers, repeats
from legalrr.score.explanation import Measure
from legalrr.score.invalid_bounds import significant_under_bound
from legalrr.tables import Table, fixed, p_exact, p_value

SETUP_COLUMNS = ("corpus", "split", "segment", "backbone", "layout", "reading", "overflow", "limit", "seed")
REPEAT_COLUMNS = (
    *SETUP_COLUMNS,
    *("invalid_answers", "label", "arm", "family", "reference", "runs", "n", "mean", "mean_low", "mean_high"),
    *("interval_note", "sd", "least", "greatest", "invalid_rate", "difference", "difference_low", "difference_high"),
    *("p_permutation", "p_holm", "smallest_detectable", "note", "each", "p_holm_bound", "shown"),
)
"""Columns of repeats.csv; `each` has the macro-F1 of every run, in the order of the runs."""
READING_COLUMNS = (
    *SETUP_COLUMNS,
    *("other_reading", "invalid_answers", "sweep", "job", "label", "arm", "family", "n", "macro_f1", "other_macro_f1"),
    *("difference", "difference_low", "difference_high", "interval_note", "p_permutation", "changed"),
    *("invalid_rate", "other_invalid_rate", "yes_rate", "other_yes_rate"),
    *("reader_version", "other_reader_version", "opposite", "found", "lost"),
)
"""Columns of readings.csv; what begins with `other_` is of the second reading. Of the `changed` answers: opposite
(allowed and dismissed exchanged), found (invalid before) and lost (invalid now)."""
UNTESTED = "not tested: the same answer to everything"
"""Note on the difference of a baseline that answers everything alike."""
EXPLANATION_COLUMNS = (
    *SETUP_COLUMNS,
    *("repetition", "sweep", "job", "label", "arm", "family", "reference", "turn", "score", "detail", "store"),
    *("n", "no_turn", "no_text", "unscored", "cut_off", "words", "court_words", "sources"),
    *("scored", "mean", "mean_low", "mean_high", "interval_note"),
    *("difference_n", "difference", "difference_low", "difference_high", "p_permutation", "p_holm"),
    "smallest_detectable",
)
"""Columns of explanations.csv: a row per cell, turn and score; `scored` of `n` judgments have the score."""


def repeats_csv(report: Report) -> str:
    """A row per arm of each experiment that ran more than once."""
    rows = []
    for one in repeats(report):
        for own in one.rows:
            setup, scores, found = own.first.setup, own.scores, own.comparison
            row = _setup(one.groups[0]) | {"invalid_answers": report.invalid, "runs": len(own.rows), "note": own.note}
            row |= {column: getattr(setup, column) for column in ("label", "arm", "family", "reference")}
            row["invalid_rate"] = fixed(own.invalid_rate, 6)
            if scores is not None:
                row |= {"n": scores.n, "interval_note": scores.interval_note, "sd": fixed(scores.sd, 6)}
                row |= {"mean": fixed(scores.mean, 6), **_interval_columns("mean", scores.interval)}
                row |= {"least": fixed(min(scores.runs), 6), "greatest": fixed(max(scores.runs), 6)}
                row["each"] = " ".join(fixed(score, 6) for score in scores.runs)
            if found is not None:
                row |= {"difference": fixed(found.difference, 6), **_interval_columns("difference", found.interval)}
                row["p_holm"] = p_exact(own.p_holm)
                if own.tested:
                    row["p_permutation"] = p_exact(found.p_permutation)
                    row["smallest_detectable"] = fixed(found.smallest_detectable, 6)
                else:
                    row["note"] = UNTESTED
                row |= {"p_holm_bound": p_exact(own.p_holm_bound), "shown": int(own.shown)}
            rows.append(row)
    return Table.from_records(rows, REPEAT_COLUMNS).csv() if rows else ""


def readings_csv(report: Report) -> str:
    """A row per cell that was read in two ways."""
    rows = []
    for group, some in compare_readers(report):
        for twice in some:
            cell, setup, found = twice.row.cell, twice.row.setup, twice.comparison
            row = _setup(group) | {"other_reading": twice.again.setup.reading, "invalid_answers": report.invalid}
            row |= {"sweep": cell.sweep, "job": cell.job, "label": cell.label, "arm": setup.arm, "family": setup.family}
            row |= {"n": found.n, "changed": twice.changed, "interval_note": found.interval_note}
            row |= {"difference": fixed(found.difference, 6), **_interval_columns("difference", found.interval)}
            row["p_permutation"] = p_exact(found.p_permutation)
            row |= {name: getattr(twice, name) for name in ("opposite", "found", "lost")}
            for prefix, own in (("", twice.row), ("other_", twice.again)):
                row[f"{prefix}reader_version"] = own.setup.options.get(VERSION)
            for prefix, scores in (("", twice.row.scores), ("other_", twice.again.scores)):
                for name in ("macro_f1", "invalid_rate", "yes_rate"):
                    row[f"{prefix}{name}"] = fixed(getattr(scores, name), 6)
            rows.append(row)
    return Table.from_records(rows, READING_COLUMNS).csv() if rows else ""


def explanations_csv(report: Report) -> str:
    """A row per cell, turn and score."""
    rows = [
        _explanation(group, turn, own, measure)
        for group, turns in explanations(report)
        for turn in turns
        for own in turn.rows
        for measure in turn.measures
    ]
    return Table.from_records(rows, EXPLANATION_COLUMNS).csv() if rows else ""


def _explanation(group: Group, turn: ExplainedTurn, own: ExplainedRow, measure: Measure) -> dict[str, object]:
    cell, setup, mean, pair = own.row.cell, own.row.setup, own.means.get(measure), own.pairs.get(measure)
    row = _setup(group) | {"repetition": group.setup.repetition, "sweep": cell.sweep, "job": cell.job}
    row |= {"label": cell.label, "arm": setup.arm, "family": setup.family, "reference": setup.reference}
    row |= {"turn": turn.turn, "score": measure.column, "detail": measure.detail, "store": measure.store}
    row |= {name: getattr(own, name) for name in ("n", "no_turn", "no_text", "unscored", "cut_off")}
    row |= {"words": fixed(own.words, 1), "court_words": fixed(own.court_words, 1)}
    row["sources"] = " ".join(f"{source}={count}" for source, count in sorted(own.sources.items()))
    if mean is not None:
        row |= {"scored": mean.n, "mean": fixed(mean.mean, 6), "interval_note": mean.interval_note}
        row |= _interval_columns("mean", mean.interval)
    if pair is not None:
        found = pair.difference
        row |= {"difference_n": found.n, "difference": fixed(found.difference, 6)}
        row |= {"p_permutation": p_exact(found.p_permutation), "p_holm": p_exact(pair.p_holm)}
        row |= _interval_columns("difference", found.interval)
        row["smallest_detectable"] = fixed(found.smallest_detectable, 6)
    return row


def _setup(group: Group) -> dict[str, object]:
    return {column: getattr(group.setup, column) for column in SETUP_COLUMNS}


def _interval_columns(name: str, interval: tuple[float, float] | None) -> dict[str, object]:
    if interval is None:
        return {}
    return {f"{name}_{end}": fixed(bound, 6) for end, bound in zip(("low", "high"), interval, strict=True)}


SPECIAL = MappingProxyType(
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

    lines = [r"\begin{table*}", r"\centering\small", rf"\caption{{{escaped(sheet.caption)}}}"]
    lines += [rf"\begin{{tabular}}{{l{'r' * len(sheet.columns)}}}", r"\toprule"]
    lines.append(row(["", *map(escaped, sheet.columns)]))
    for block in sheet.blocks:
        title = rf"\textbf{{{escaped(_title(block))}}}{marks(block.notes)}"
        lines += [r"\midrule", rf"\multicolumn{{{width}}}{{l}}{{{title}}} \\"]
        for line in block.lines:
            figures = [line.figures.get(column) for column in sheet.columns]
            values = ["" if one is None else escaped(_value(one, line, sheet)) + marks(one.notes) for one in figures]
            lines.append(row([escaped(line.score) + marks(line.notes), *values]))
            below = ["" if one is None else _interval(one, sheet) for one in figures]
            if any(below):
                lines.append(row(["", *(rf"{{\scriptsize {one}}}" if one else "" for one in below)]))
    lines += [r"\bottomrule", r"\end{tabular}"]
    remarks = [escaped(remark) for remark in sheet.notes]
    remarks += [rf"\textsuperscript{{{n}}} {escaped(note)}" for n, note in enumerate(sheet.footnotes, start=1)]
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


def escaped(text: str) -> str:
    """Text as LaTeX has to have it to show it as it is."""
    return "".join(SPECIAL.get(character, character) for character in text)


def _title(block: TableBlock) -> str:
    return f"{block.title}; {block.source}" if block.source else block.title


def _value(figure: TableNumber, line: Line, sheet: PaperTable) -> str:
    if figure.value is None:
        return "-"
    if not line.percent:
        return f"{figure.value:.1f}"
    star = "*" if significant_under_bound(figure.p_holm, figure.p_holm_bound) else ""
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
