"""Two readings of the same answers side by side: how much of a score is the model's, and how much the reader's."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

from legalrr.report.cells import VERSION
from legalrr.report.groups import Group, Report, Row
from legalrr.score.significance import Comparison, compare


@dataclass(frozen=True, kw_only=True)
class ReadTwice:
    """A cell under two readings."""

    row: Row
    """As it ran."""
    again: Row
    """Read anew."""
    changed: int
    """Judgments whose verdict the other reading changes, of those that both rows have."""
    opposite: int
    """Of these, those that it turns into the opposite."""
    found: int
    """Of these, those that were invalid as the cell ran."""
    lost: int
    """Of these, those that are invalid read anew."""
    comparison: Comparison
    """Read anew less as it ran, on the judgments that both rows have."""


@lru_cache(maxsize=1)
def readings(report: Report) -> list[tuple[Group, tuple[ReadTwice, ...]]]:
    """Per group that was read anew: the group as it ran, and its rows under both readings; baselines too."""
    first = {_key(row): (group, row) for group in report.groups for row in group.rows if not row.cell.reread}
    found = []
    for group in report.groups:
        again = [row for row in group.rows if row.cell.reread]
        known = [(first[_key(row)], row) for row in again if _key(row) in first]
        if known:
            twice = tuple(_twice(own, row) for (_, own), row in known)
            found.append((known[0][0][0], tuple(one for one in twice if one is not None)))
    return found


def names(rows: Sequence[ReadTwice]) -> tuple[str, str]:
    """What the two readings are called; with versions of the reader where these alone differ."""
    first, again = str(rows[0].row.setup.reading), str(rows[0].again.setup.reading)
    if first != again:
        return first, again
    versions = [row.setup.options.get(VERSION, "unknown") for row in (rows[0].row, rows[0].again)]
    return f"{first} (version {versions[0]})", f"{again} (version {versions[1]})"


def summary(rows: Sequence[ReadTwice]) -> str:
    """How many answers the other reading reads anew, in a sentence."""
    total = sum(row.comparison.n for row in rows)
    told = {
        "into the opposite": sum(row.opposite for row in rows),
        "that were invalid": sum(row.found for row in rows),
        "that are invalid now": sum(row.lost for row in rows),
    }
    kinds = ", ".join(f"{count} {what}" for what, count in told.items())
    return f"{sum(row.changed for row in rows)} of {total} answers are read anew: {kinds}"


def unread(report: Report) -> Sequence[Row]:
    """The rows of groups read anew that have no text to read, as they compared the probabilities of answers."""
    again = {_key(row) for group in report.groups for row in group.rows if row.cell.reread}
    if not again:
        return []
    return [
        row
        for group in report.groups
        for row in group.rows
        if _key(row) not in again and row.setup.scoring not in (None, "generate")
    ]


def _key(row: Row) -> tuple[object, ...]:
    return row.cell.sweep, row.cell.job, row.setup.arm


def _twice(row: Row, again: Row) -> ReadTwice | None:
    labels = [{case.id: case.label for case in one.cases} for one in (row, again)]
    both = labels[0].keys() & labels[1].keys()
    if not both:
        return None
    pairs = [(labels[0][key], labels[1][key]) for key in both if labels[0][key] != labels[1][key]]
    found, lost = (sum(pair[side] == "invalid" for pair in pairs) for side in (0, 1))
    cases = [[case for case in one.cases if case.id in both] for one in (again, row)]
    return ReadTwice(
        row=row,
        again=again,
        changed=len(pairs),
        opposite=len(pairs) - found - lost,
        found=found,
        lost=lost,
        comparison=compare(*cases, scorer=row.cell.scorer),
    )
