"""Summarize a report: counts for the heads of results.md and of the page, and warnings on arms that mean little.

Both heads have these counts, so that they agree. Judgments are those that a score is of: with an outcome, and not left
out by the policy for invalid answers. A cell whose answers were read a second time counts once.

A warning names the arms of which most answers are cut off, too long for the context, or refused. Their
scores mean little.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from legalrr.report.compare import Report
from legalrr.report.load import NO_BACKBONE, RunResult, Setup
from legalrr.report.table_view import TURNS, missing_cells, setup_title
from legalrr.tables import share

MOST = 0.5
"""Share of the judgments of an arm above which there is a warning."""
THINKING = "backbone.thinking_tokens"
"""Option with the tokens that a model may think before an answer."""


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


@dataclass(frozen=True, kw_only=True)
class ArmWarning:
    """A warning on arms with the same cause under the same settings."""

    title: str
    """Corpus, segmenter and backbone."""
    cause: str
    """What happened to most answers."""
    arms: tuple[tuple[str, int, int], ...]
    """Labels of the arms, each with the number of judgments concerned and of all."""
    cure: str
    """What to set."""

    @property
    def text(self) -> str:
        """The warning, in one line."""
        arms = ", ".join(f"{label} {share(part / n)} % ({part} of {n})" for label, part, n in self.arms)
        little = "The scores of these arms mean little"
        return f"Most answers are {self.cause}: {arms}; {self.title}. {little}: {self.cure}."


def arm_warnings(report: Report) -> list[ArmWarning]:
    """Return the warnings of a report: by settings, then cause, each with its arms in the order of the cells."""
    found: dict[tuple[str, str], list[RunResult]] = {}
    for cell in report.cells:
        if cell.setup is not None and cell.answers is not None and not cell.reread:
            for cause, count in _CAUSES.items():
                if count(cell) > MOST * len(cell.answers.cases):
                    found.setdefault((setup_title(cell.setup), cause), []).append(cell)
    return [
        ArmWarning(
            title=title,
            cause=cause,
            arms=tuple((cell.label, _CAUSES[cause](cell), len(cell.answers.cases)) for cell in cells if cell.answers),
            cure=_cure(cause, cells),
        )
        for (title, cause), cells in found.items()
    ]


def _reason(name: str) -> Callable[[RunResult], int]:
    return lambda cell: cell.scores.invalid.get(name, 0) if cell.scores else 0


CUT_OFF = "cut off at their limit of tokens"
OVERFLOW = "missing, as the judgment is longer than the context"
REFUSED = "missing, as the request was refused or failed"
_CAUSES: Mapping[str, Callable[[RunResult], int]] = MappingProxyType(
    {
        CUT_OFF: lambda cell: cell.answers.cut_off if cell.answers else 0,
        OVERFLOW: _reason("overflow"),
        REFUSED: _reason("error"),
    }
)
"""Cause -> function that counts the judgments of a cell with it."""


def _cure(cause: str, cells: list[RunResult]) -> str:
    if cause == OVERFLOW:
        return "set restructure.overflow=middle or by_role, or use a backbone with a longer context"
    if cause == REFUSED:
        return "the field error in predictions.jsonl has the reasons, and retry_errors=true makes the calls again"
    lengths: dict[str, set[int]] = {}
    for cell in cells:
        if cell.setup is not None and cell.answers is not None:
            for turn in cell.answers.cut_turns.keys() & cell.setup.tokens.keys():
                lengths.setdefault(turn, set()).add(cell.setup.tokens[turn])
    ordered = sorted(lengths, key=lambda turn: (TURNS.index(turn) if turn in TURNS else len(TURNS), turn))
    limits = [f"annotate.tokens.{turn} (now {' or '.join(map(str, sorted(lengths[turn])))})" for turn in ordered]
    thinking = sorted({value for cell in cells if (value := _thinking(cell.setup))})
    if thinking:
        limits = [", ".join(limits or ["annotate.tokens"]), f"{THINKING} (now {' or '.join(thinking)})"]
        return "raise " + " and ".join(limits)
    return "raise " + ", ".join(limits or ["annotate.tokens"])


def _thinking(setup: Setup | None) -> str | None:
    value = None if setup is None else setup.options.get(THINKING)
    return value if value not in (None, "0", "null") else None
