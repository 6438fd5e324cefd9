"""Effects of D, R and C in a report: per group, pooled over backbones and runs on one corpus, and over corpora.

Groups are pooled only if all their settings but corpus and backbone are the same: layout, reading, roles, seed and all
other options.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from legalrr.errors import UserError
from legalrr.report.compare import Group, Report
from legalrr.report.table_view import full_title
from legalrr.report.verdict_readers import run_number
from legalrr.score.cases import AnsweredCase
from legalrr.score.effects import ARMS, Effect, Factorial, effects


@dataclass(frozen=True, kw_only=True)
class Pool:
    """Effects over one or more groups of a report."""

    title: str
    """Name of the pool."""
    groups: tuple[int, ...]
    """Indices of the groups in the report."""
    effects: tuple[Effect, ...]
    """All effects on all measures; empty if they cannot be computed."""
    note: str = ""
    """Reason for missing effects, or the arms left out; else ""."""


@lru_cache(maxsize=1)
def pools(report: Report) -> list[Pool]:
    """Compute the effects of groups with two or more arms of the factorial, then of those that can be pooled."""
    able = [place for place, group in enumerate(report.groups) if len(_arms(group)[0]) > 1]
    found = [_pool(report, full_title(report.groups[place], report), [place]) for place in able]
    alike: dict[object, dict[str, list[int]]] = {}
    for place in able:
        corpora = alike.setdefault(_treatment(report.groups[place]), {})
        corpora.setdefault(report.groups[place].setup.corpus_name, []).append(place)
    for corpora in alike.values():
        for corpus, places in corpora.items():
            if len(places) > 1:
                names = ", ".join(_backbone_name(report.groups[place], report) for place in places)
                found.append(_pool(report, f"{corpus}, pooled over {names}", places))
        if len(corpora) > 1:
            places = [place for members in corpora.values() for place in members]
            found.append(_pool(report, f"pooled over {', '.join(corpora)}", places))
    return found


def _pool(report: Report, named: str, places: Sequence[int]) -> Pool:
    groups = [report.groups[place] for place in places]
    factorials = [
        Factorial(corpus=group.setup.corpus_name, backbone=group.setup.backbone, arms=_arms(group)[0])
        for group in groups
    ]
    notes = dict.fromkeys(note for group in groups for note in _arms(group)[1])
    try:
        found = effects(factorials, scorer=groups[0].rows[0].cell.scorer)
    except UserError as error:
        return Pool(title=named, groups=tuple(places), effects=(), note=error.what)
    return Pool(title=named, groups=tuple(places), effects=tuple(found), note="; ".join(notes))


def _arms(group: Group) -> tuple[dict[str, Sequence[AnsweredCase]], list[str]]:
    """Return the arms of the factorial, and a note on each that is left out, as cells with its switches differ."""
    names = {switches: arm for arm, switches in ARMS.items()}
    cells: dict[str, dict[str, Sequence[AnsweredCase]]] = {}
    for row in group.rows:
        if row.setup.factors is not None:
            cells.setdefault(names[row.setup.factors], {})[row.cell.digest] = row.cases
    several = [f"left out, as several cells of it answer differently: {arm}" for arm in cells if len(cells[arm]) > 1]
    return {arm: next(iter(found.values())) for arm, found in cells.items() if len(found) == 1}, several


def _backbone_name(group: Group, report: Report) -> str:
    run = run_number(group, report) or group.setup.repetition
    return group.setup.backbone if run == 1 else f"{group.setup.backbone} (run {run})"


def _treatment(group: Group) -> tuple[object, ...]:
    setup = group.setup
    ignored = ("corpus.", "segment.", "backbone.")
    options = tuple(sorted(item for item in setup.options.items() if not item[0].startswith(ignored)))
    reread = group.rows[0].cell.reread
    return (setup.segment, setup.layout, setup.reading, setup.overflow, setup.limit, setup.seed, reread, options)
