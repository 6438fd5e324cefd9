"""Count judgments, arms, backbones, cells and tokens of a report, for the head of results.md and of the page.

Both heads have these counts, so that they agree. Judgments are those that a score is of: with an outcome, and not left
out by the policy for invalid answers. A cell whose answers were read a second time counts once.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from legalrr.report.compare import Report
from legalrr.report.load import NO_BACKBONE
from legalrr.report.table_view import missing_cells


@dataclass(frozen=True, kw_only=True)
class Fact:
    """A count with what it counts."""

    count: int
    """The count."""
    what: str
    """Name of what is counted, in the singular or plural."""
    about: str
    """Details."""


def facts(report: Report) -> list[Fact]:
    """Return the counts of a report, in the order in which they are shown."""
    rows = [row for group in report.groups for row in group.rows]
    arms = {row.setup.arm for row in rows if row.setup.family == "arm"}
    others = {row.setup.arm for row in rows if row.setup.family != "arm"}
    backbones = dict.fromkeys(row.setup.backbone for row in rows if row.setup.backbone != NO_BACKBONE)
    cells = [cell for cell in report.cells if not cell.reread]
    missing = len({id(cell) for cell, _ in missing_cells(report)} & {id(cell) for cell in cells})
    tokens = sum(case.prompt_tokens + case.new_tokens for cell in cells if cell.answers for case in cell.answers.cases)
    judgments = _judgments(report)
    outcomes = "; ".join(
        f"{name}: {list(gold.values()).count('allowed')} allowed, {list(gold.values()).count('dismissed')} dismissed"
        for name, gold in judgments
    )
    return [
        Fact(count=sum(len(gold) for _, gold in judgments), what="judgments", about=outcomes),
        Fact(
            count=len(arms),
            what="arm" if len(arms) == 1 else "arms",
            about=_others(len(others)),
        ),
        Fact(count=len(backbones), what="backbone" if len(backbones) == 1 else "backbones", about=", ".join(backbones)),
        Fact(
            count=len(cells),
            what="cell" if len(cells) == 1 else "cells",
            about=f"{missing} without scores" if missing else "all with scores",
        ),
        Fact(count=tokens, what="tokens", about="read and written"),
    ]


def summary_line(report: Report) -> str:
    """Return the counts of a report as one line."""
    return ", ".join(f"{one.count} {one.what}" + (f" ({one.about})" if one.about else "") for one in facts(report))


def _others(count: int) -> str:
    if not count:
        return "of the experiment"
    return "and 1 baseline or probe" if count == 1 else f"and {count} baselines and probes"


def _judgments(report: Report) -> list[tuple[str, Mapping[str, str]]]:
    """Return the corpora, each with the gold outcomes of its scored judgments by id."""
    found: dict[object, tuple[str, dict[str, str]]] = {}
    for row in (row for group in report.groups for row in group.rows):
        options = tuple(sorted((k, v) for k, v in row.setup.options.items() if k.startswith("corpus.")))
        key = (row.setup.corpus, row.setup.split, options)
        _, gold = found.setdefault(key, (row.setup.corpus_name, {}))
        gold.update((case.id, case.gold) for case in row.cases)
    return list(found.values())
