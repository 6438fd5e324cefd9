"""Writes an audit: audit.md to be read, audit.csv with a row per cell, audit_pairs.csv with a row per difference."""

import csv
import io
from collections.abc import Iterable, Mapping, Sequence
from importlib.resources import files
from pathlib import Path

from legalrr.audit.audit import Audit
from legalrr.audit.differences import Difference
from legalrr.audit.findings import CAUTION, findings, kinds, total
from legalrr.audit.rates import NAMES
from legalrr.audit.verdicts import FURTHER, Audited
from legalrr.audit.views import cell_views, differences_view
from legalrr.audit.words import says
from legalrr.store import make_folder, write_atomically

RULES = """\
For every cell, the confusion matrices whose rates, rounded as printed, are its figures: first by its captions, then by
what these are mistaken for. A caption that some matrix fits is never called wrong; that one fits does not make it true.
The positive class is the one whose misses are FNR (in legalrr: allowed)."""
READING = """\
Macro-F1, FPR, FNR and accuracy are recomputed from the matrices that fit, in percent, from least to most where these
differ. In brackets: the exact 95 % interval that so many cases allow (Clopper-Pearson; for macro-F1 and accuracy the
corners of those of FPR and FNR), over all matrices that fit."""
PAIR_RULES = """\
Cases that the arm gets right less those that the reference arm does, on the same cases. Which cases these are is not
printed; p is the range of the exact McNemar p over all ways in which both can fall together, and the least exact
permutation p of the difference in macro-F1, each before any correction for the number of comparisons."""
CELL_COLUMNS = (
    *("table", "line", "dataset", "model", "components", "subset", "n", "runs", "verdict", "supported", "of", "is"),
    *("or", "detail", "matrices", "tp", "fp", "fn", "tn", "unanswered_positive", "unanswered_negative"),
    *("fp_over_runs", "fn_over_runs"),
)
PAIR_COLUMNS = (
    *("table", "dataset", "model", "subset", "components", "reference", "n", "cases_least", "cases_most", "b", "c"),
    *("p_mcnemar_least", "p_mcnemar_most", "p_permutation_least", "reason"),
)


def write(audit: Audit, folder: Path) -> list[Path]:
    """Writes the three files into a folder, which it makes; returns their paths.

    Raises:
        UserError: the folder cannot be made.
    """
    make_folder(folder)
    texts = {"audit.md": page(audit), "audit.csv": cells_csv(audit), "audit_pairs.csv": pairs_csv(audit)}
    for name, text in texts.items():
        write_atomically(folder / name, text)
    return [folder / name for name in texts]


def page(audit: Audit) -> str:
    """The audit in Markdown."""
    from jinja2 import Environment, StrictUndefined

    template = files("legalrr.audit").joinpath("page.j2").read_text(encoding="utf-8")
    # The text is Markdown, which nothing escapes but the mark of a column.
    environment = Environment(undefined=StrictUndefined, autoescape=False, keep_trailing_newline=True)
    return environment.from_string(template).render(
        tables=audit.tables,
        rules=RULES,
        total=total(audit),
        kinds=(told := kinds(audit)),
        number=("no", "one", "two", "three")[len(told)],
        caution=CAUTION,
        findings=findings(audit),
        reading=READING,
        views=cell_views(audit),
        pair_rules=PAIR_RULES,
        differences=differences_view(audit.differences),
    )


def cells_csv(audit: Audit) -> str:
    """A row per cell; rates are fractions, empty means not known."""
    captions = list(dict.fromkeys(caption for one in audit.cells for caption in one.cell.figures))
    rates = [name for name in NAMES if name in FURTHER or name in captions]
    columns = [
        *CELL_COLUMNS,
        *(f"printed_{caption}" for caption in captions),
        *(f"{name}_{end}" for name in rates for end in ("least", "most", "low", "high")),
        "kind",
    ]
    return _csv(columns, map(_cell, audit.cells))


def _cell(one: Audited) -> dict[str, object]:
    cell = one.cell
    row: dict[str, object] = {name: getattr(cell, name) for name in CELL_COLUMNS[:6]}
    row |= {"n": one.n, "runs": one.runs, "verdict": one.verdict, "detail": one.detail, "kind": one.kind}
    row |= {"supported": one.support[0] or None, "of": one.support[1] or None}
    row["is"] = says(one.hypothesis) if one.hypothesis else ""
    row["or"] = " / ".join(says(other) for other in one.others)
    row |= {f"printed_{caption}": figure.text for caption, figure in cell.figures.items()}
    if one.counts is not None:
        row["matrices"] = one.counts.shape[1]
        if one.counts.shape[1] == 1:
            names = ("tp", "fp", "fn", "tn", "unanswered_positive", "unanswered_negative")
            row |= dict(zip(names, map(int, one.counts[:, 0]), strict=True))
    if one.sums is not None:
        row |= {"fp_over_runs": _only(one.sums.fp), "fn_over_runs": _only(one.sums.fn)}
    for name, found in one.recomputed.items():
        low, high = found.interval or (None, None)
        ends = {"least": found.low, "most": found.high, "low": low, "high": high}
        row |= {f"{name}_{end}": None if value is None else f"{value:.6f}" for end, value in ends.items()}
    return row


def pairs_csv(audit: Audit) -> str:
    """A row per arm and reference arm."""
    return _csv(PAIR_COLUMNS, map(_pair, audit.differences))


def _pair(one: Difference) -> dict[str, object]:
    cell, found = one.arm.cell, one.bounds
    row: dict[str, object] = {name: getattr(cell, name) for name in PAIR_COLUMNS[:5]}
    row |= {"reference": one.reference.cell.components, "n": one.arm.n, "reason": one.reason}
    if found is not None:
        row |= {"cases_least": found.cases[0], "cases_most": found.cases[1], "b": found.b, "c": found.c}
        row |= {"p_mcnemar_least": f"{found.p_least:.6f}", "p_mcnemar_most": f"{found.p_most:.6f}"}
        if found.p_permutation is not None:
            row["p_permutation_least"] = f"{found.p_permutation:.6f}"
    return row


def _only(values: Sequence[int]) -> int | None:
    return values[0] if len(values) == 1 else None


def _csv(columns: Sequence[str], rows: Iterable[Mapping[str, object]]) -> str:
    text = io.StringIO()
    writer = csv.DictWriter(text, columns, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()
