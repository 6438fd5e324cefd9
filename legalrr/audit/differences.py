"""Each arm of a table against its reference arm: what a paired test of the two could say at best, and at worst."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass

from legalrr.audit.figures import WHOLE
from legalrr.audit.pairs import Bounds, bounds
from legalrr.audit.verdicts import Audited

SAME_CASES = frozenset({WHOLE, "common"})
"""Subsets whose cells are scored on the same cases: all of them, or those that every arm answered."""
MOST_PAIRS = 2_000
"""Pairs of matrices that are gone through."""


@dataclass(frozen=True, kw_only=True)
class Difference:
    """One cell against another of its block."""

    arm: Audited
    reference: Audited
    bounds: Bounds | None
    """What a paired test could say; None where the printed figures leave that open."""
    reason: str = ""
    """Why it is left open, in words."""


def differences(audited: Sequence[Audited], reference: str) -> list[Difference]:
    """Every cell that has a rate of a matrix against the reference arm of its block, where there is one."""
    blocks: dict[tuple[str, ...], list[Audited]] = defaultdict(list)
    for one in audited:
        blocks[one.cell.block].append(one)
    found = []
    for block in blocks.values():
        bases = [one for one in block if one.cell.components == reference]
        found += [difference(one, base) for base in bases for one in block if one is not base and comparable(one)]
    return found


def comparable(one: Audited) -> bool:
    """Whether a cell has figures of which a paired test could be made."""
    return one.runs is not None or one.counts is not None or one.verdict != "unchecked"


def difference(arm: Audited, base: Audited) -> Difference:
    """One cell against another."""
    reason = _why_not(arm, base)
    found = None
    if not reason and arm.counts is not None and base.counts is not None:
        found = bounds(arm.counts, base.counts)
        reason = "" if found else "no two matrices share their class counts"
    return Difference(arm=arm, reference=base, bounds=found, reason=reason)


def _why_not(arm: Audited, base: Audited) -> str:
    cell = arm.cell
    if cell.subset not in SAME_CASES or arm.n != base.n:
        return "not the same cases"
    if cell.repeated or base.cell.repeated:
        return "means over runs: answers to one case are not paired"
    if arm.counts is None or base.counts is None:
        return "no matrix known" if "unchecked" in (arm.verdict, base.verdict) else "no matrix fits"
    if arm.counts[4:].any() or base.counts[4:].any():
        return "some cases are unanswered"
    if arm.counts.shape[1] * base.counts.shape[1] > MOST_PAIRS:
        return "too many matrices fit"
    return ""
