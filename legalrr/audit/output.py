"""Output of an audit: printed to a console, or written as audit.md, audit.csv and audit_pairs.csv."""

from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING

from legalrr.audit.audit import Audit
from legalrr.audit.findings import CAUTION, blocks, findings, kinds, total
from legalrr.audit.mcnemar_bounds import ArmDifference
from legalrr.audit.rates import NAMES
from legalrr.audit.table import join_words
from legalrr.audit.verdicts import FURTHER, Audited
from legalrr.errors import one_line
from legalrr.tables import Table, markdown_line, standard_output, write_files

if TYPE_CHECKING:
    from rich.console import Console

RULES = """\
For every cell, the confusion matrices whose rates, rounded as printed, are its figures: first by its captions, then by
the rates that these are mistaken for. A caption that some matrix fits is never called wrong; a fit does not prove it.
The positive class is the one whose misses are FNR (in legalrr: allowed)."""
CELL_RULES = """\
Macro-F1, FPR, FNR and accuracy are recomputed from the matrices that fit, in percent, from least to most where these
differ. In brackets: the exact 95 % interval for this number of cases (Clopper-Pearson; for macro-F1 and accuracy the
corners of those of FPR and FNR), over all matrices that fit."""
PAIR_RULES = """\
Right answers of the arm less those of the reference arm, on the same cases. Which cases these are is not printed; p is
the range of the exact McNemar p over all ways in which both can coincide, and the least exact permutation p of the
difference in macro-F1, each before any correction for the number of comparisons."""
CELL_COLUMNS = (
    *("table", "line", "dataset", "model", "components", "subset", "n", "runs", "verdict", "supported", "of", "is"),
    *("or", "detail", "matrices", "tp", "fp", "fn", "tn", "unanswered_positive", "unanswered_negative"),
    *("fp_over_runs", "fn_over_runs"),
)
PAIR_COLUMNS = (
    *("table", "dataset", "model", "subset", "components", "reference", "n", "cases_least", "cases_most", "b", "c"),
    *("p_mcnemar_least", "p_mcnemar_most", "p_permutation_least", "reason"),
)
CELLS = ("Arm", "n", "Printed", "Verdict", "What it is", "TP / FP / FN / TN", "Macro-F1", "FPR", "FNR", "Accuracy")
DIFFERENCES = ("Cells", "Arm", "Cases ahead", "b, c at best", "McNemar p", "Permutation p", "Why not")
SHOWN = (0, 1, 2, 3, 5, 6, 7, 8)
"""Columns of a table of cells that are printed to a console; the findings state the others."""
PIPE_WIDTH = 200
"""Columns where standard output is not a terminal."""


def show(audit: Audit, console: "Console | None" = None) -> None:
    """Print an audit: a table per block, the differences, then the findings; to standard output by default."""
    console = console or standard_output(PIPE_WIDTH)
    for title, table in cell_tables(audit):
        console.print(f"\n{one_line(title)}", style="bold")
        Table(header=_shown(table.header), rows=tuple(map(_shown, table.rows))).show(console)
    found = difference_table(audit.differences)
    if found.rows:
        console.print("\nPaired tests that the figures leave open", style="bold")
        found.show(console)
    for heading, lines in findings(audit).items():
        console.print(f"\n{one_line(heading)}", style="bold")
        for line in lines:
            console.print(f"- {one_line(line)}")
    console.print(f"\n{total(audit)}.", style="bold")
    for line in kinds(audit):
        console.print(f"- {one_line(line)}")


def write(audit: Audit, folder: Path) -> list[Path]:
    """Write audit.md, audit.csv (a row per cell) and audit_pairs.csv (a row per difference); return their paths.

    Raises:
        UserError: the folder cannot be made, or has files of these names that no audit wrote.
    """
    texts = {"audit.md": page(audit), "audit.csv": cells_csv(audit), "audit_pairs.csv": pairs_csv(audit)}
    return write_files(folder, texts, own=("audit.csv", "table,line,dataset,"))


def page(audit: Audit) -> str:
    """Render an audit in Markdown."""
    from jinja2 import Environment, StrictUndefined

    template = files("legalrr.audit").joinpath("page.j2").read_text(encoding="utf-8")
    # Markdown is not HTML: the template escapes lines with `line`, and `Table` its cells.
    environment = Environment(undefined=StrictUndefined, autoescape=False, keep_trailing_newline=True)
    environment.filters["line"] = markdown_line
    return environment.from_string(template).render(
        tables=audit.tables,
        rules=RULES,
        total=total(audit),
        kinds=(lines := kinds(audit)),
        number=("no", "one", "two", "three")[len(lines)],
        caution=CAUTION,
        findings=findings(audit),
        cell_rules=CELL_RULES,
        cells=cell_tables(audit),
        pair_rules=PAIR_RULES,
        differences=difference_table(audit.differences),
    )


def cells_csv(audit: Audit) -> str:
    """Render the cells as CSV; rates are fractions, unknown values are empty."""
    captions = list(dict.fromkeys(caption for one in audit.cells for caption in one.cell.figures))
    rates = [name for name in NAMES if name in FURTHER or name in captions]
    columns = [
        *CELL_COLUMNS,
        *(f"printed_{caption}" for caption in captions),
        *(f"{name}_{end}" for name in rates for end in ("least", "most", "low", "high")),
        "kind",
    ]
    return Table.from_records(map(_cell_record, audit.cells), columns).csv()


def pairs_csv(audit: Audit) -> str:
    """Render the differences as CSV, a row per arm and reference arm."""
    return Table.from_records(map(_pair_record, audit.differences), PAIR_COLUMNS).csv()


def cell_tables(audit: Audit) -> list[tuple[str, Table]]:
    """Tabulate each block with a cell that was checked; with its title."""
    return [
        (f"{block[0].cell.title} ({block[0].cell.table})", Table(header=CELLS, rows=tuple(map(_cell_row, block))))
        for block in blocks(audit)
        if any(one.verdict != "unchecked" for one in block)
    ]


def difference_table(found: Sequence[ArmDifference]) -> Table:
    """Tabulate the differences; arms that cannot be tested for the same reason share a row."""
    rows = [_difference_row(one) for one in found if one.bounds is not None]
    untested: dict[tuple[str, str], list[str]] = {}
    for one in found:
        if one.bounds is None:
            untested.setdefault((one.arm.cell.title, one.reason), []).append(one.arm.cell.components)
    rows += [(title, join_words(arms), "", "", "", "", reason) for (title, reason), arms in untested.items()]
    return Table(header=DIFFERENCES, rows=tuple(rows))


def _shown(cells: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(cells[column] for column in SHOWN)


def _cell_row(one: Audited) -> tuple[str, ...]:
    runs = "" if one.runs is None else f"means over {one.runs} runs"
    return (
        one.cell.components,
        "" if one.n is None else str(one.n),
        " / ".join(f"{caption} {figure.text}" for caption, figure in one.cell.figures.items()),
        one.verdict,
        "; ".join(part for part in (str(one.hypothesis or ""), runs, one.detail) if part),
        _matrices(one),
        *(str(one.recomputed.get(name, "")) for name in ("macro_f1", "fpr", "fnr", "accuracy")),
    )


def _matrices(one: Audited) -> str:
    """The matrix that fits, the number of matrices, or the errors over all runs."""
    if one.sums is not None and len(one.sums.fp) == len(one.sums.fn) == 1:
        return f"FP {one.sums.fp[0]}, FN {one.sums.fn[0]} in all"
    if one.counts is None:
        return ""
    if one.counts.shape[1] > 1:
        return f"{one.counts.shape[1]} fit"
    tp, fp, fn, tn, xp, xn = (int(count) for count in one.counts[:, 0])
    missing = f", unanswered {xp} + {xn}" if xp or xn else ""
    return f"{tp} / {fp} / {fn} / {tn}{missing}"


def _difference_row(one: ArmDifference) -> tuple[str, ...]:
    assert one.bounds is not None
    found = one.bounds
    least, most = found.cases
    return (
        one.arm.cell.title,
        f"{one.arm.cell.components} less {one.reference.cell.components}",
        f"{least:+d}" if least == most else f"{least:+d} to {most:+d}",
        f"{found.b}, {found.c}",
        f"{found.p_least:.3f} to {found.p_most:.3f}",
        "" if found.p_permutation is None else f"at least {found.p_permutation:.3f}",
        "",
    )


def _cell_record(one: Audited) -> dict[str, object]:
    cell = one.cell
    row: dict[str, object] = {name: getattr(cell, name) for name in CELL_COLUMNS[:6]}
    row |= {"n": one.n, "runs": one.runs, "verdict": one.verdict, "detail": one.detail, "kind": one.kind}
    row |= {"supported": one.support[0] or None, "of": one.support[1] or None}
    row["is"] = one.hypothesis
    row["or"] = " / ".join(map(str, one.others))
    row |= {f"printed_{caption}": figure.text for caption, figure in cell.figures.items()}
    if one.counts is not None:
        row["matrices"] = one.counts.shape[1]
        if one.counts.shape[1] == 1:
            names = ("tp", "fp", "fn", "tn", "unanswered_positive", "unanswered_negative")
            row |= dict(zip(names, map(int, one.counts[:, 0]), strict=True))
    if one.sums is not None:
        row |= {"fp_over_runs": _single(one.sums.fp), "fn_over_runs": _single(one.sums.fn)}
    for name, found in one.recomputed.items():
        low, high = found.interval or (None, None)
        ends = {"least": found.low, "most": found.high, "low": low, "high": high}
        row |= {f"{name}_{end}": None if value is None else f"{value:.6f}" for end, value in ends.items()}
    return row


def _pair_record(one: ArmDifference) -> dict[str, object]:
    cell, found = one.arm.cell, one.bounds
    row: dict[str, object] = {name: getattr(cell, name) for name in PAIR_COLUMNS[:5]}
    row |= {"reference": one.reference.cell.components, "n": one.arm.n, "reason": one.reason}
    if found is not None:
        row |= {"cases_least": found.cases[0], "cases_most": found.cases[1], "b": found.b, "c": found.c}
        row |= {"p_mcnemar_least": f"{found.p_least:.6f}", "p_mcnemar_most": f"{found.p_most:.6f}"}
        if found.p_permutation is not None:
            row["p_permutation_least"] = f"{found.p_permutation:.6f}"
    return row


def _single(values: Sequence[int]) -> int | None:
    return values[0] if len(values) == 1 else None
