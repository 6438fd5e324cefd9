"""The tables of an audit as strings: its cells, block by block, and the differences to the reference arm."""

from collections.abc import Sequence

from legalrr.audit.audit import Audit
from legalrr.audit.differences import Difference
from legalrr.audit.findings import blocks
from legalrr.audit.phrases import listed
from legalrr.audit.verdicts import Audited
from legalrr.audit.words import recomputed, says, title
from legalrr.report.views import View

CELLS = ("Arm", "n", "Printed", "Verdict", "What it is", "TP / FP / FN / TN", "Macro-F1", "FPR", "FNR", "Accuracy")
DIFFERENCES = ("Cells", "Arm", "Cases ahead", "b, c at best", "McNemar p", "Permutation p", "Why not")


def cell_views(audit: Audit) -> list[tuple[str, View]]:
    """A table per block with a cell that was checked, with its title."""
    return [
        (f"{title(block[0].cell)} ({block[0].cell.table})", View(header=CELLS, rows=tuple(map(_row, block))))
        for block in blocks(audit)
        if any(one.verdict != "unchecked" for one in block)
    ]


def _row(one: Audited) -> tuple[str, ...]:
    return (
        one.cell.components,
        "" if one.n is None else str(one.n),
        " / ".join(_printed(one)),
        one.verdict,
        _what(one),
        matrices(one),
        *(recomputed(one.recomputed, name) for name in ("macro_f1", "fpr", "fnr", "accuracy")),
    )


def _printed(one: Audited) -> list[str]:
    return [f"{caption} {figure.text}" for caption, figure in one.cell.figures.items()]


def _what(one: Audited) -> str:
    said = says(one.hypothesis) if one.hypothesis else ""
    runs = "" if one.runs is None else f"means over {one.runs} runs"
    return "; ".join(part for part in (said, runs, one.detail) if part)


def matrices(one: Audited) -> str:
    """The matrix that fits, how many do, or the errors over all runs."""
    if one.sums is not None and len(one.sums.fp) == len(one.sums.fn) == 1:
        return f"FP {one.sums.fp[0]}, FN {one.sums.fn[0]} in all"
    if one.counts is None:
        return ""
    if one.counts.shape[1] > 1:
        return f"{one.counts.shape[1]} fit"
    tp, fp, fn, tn, xp, xn = (int(count) for count in one.counts[:, 0])
    missing = f", unanswered {xp} + {xn}" if xp or xn else ""
    return f"{tp} / {fp} / {fn} / {tn}{missing}"


def differences_view(found: Sequence[Difference]) -> View:
    """Each arm against the reference arm; those that cannot be tested for one reason share a row."""
    rows = [_difference(one) for one in found if one.bounds is not None]
    untold: dict[tuple[str, str], list[str]] = {}
    for one in found:
        if one.bounds is None:
            untold.setdefault((title(one.arm.cell), one.reason), []).append(one.arm.cell.components)
    rows += [(name, listed(arms), "", "", "", "", reason) for (name, reason), arms in untold.items()]
    return View(header=DIFFERENCES, rows=tuple(rows))


def _difference(one: Difference) -> tuple[str, ...]:
    assert one.bounds is not None
    found = one.bounds
    least, most = found.cases
    return (
        title(one.arm.cell),
        f"{one.arm.cell.components} less {one.reference.cell.components}",
        f"{least:+d}" if least == most else f"{least:+d} to {most:+d}",
        f"{found.b}, {found.c}",
        f"{found.p_least:.3f} to {found.p_most:.3f}",
        "" if found.p_permutation is None else f"at least {found.p_permutation:.3f}",
        "",
    )
