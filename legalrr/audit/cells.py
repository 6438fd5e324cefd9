"""Judges every cell of a dataset: by matrices where its cases are known, else by the class balance it needs."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np

from legalrr.audit.figures import WHOLE, Cell
from legalrr.audit.hypotheses import Fits, Hypothesis, block_hypotheses, fits_among, rates_of
from legalrr.audit.matrices import MOST, Cases
from legalrr.audit.phrases import listed, numbers
from legalrr.audit.repeated import judge_repeated
from legalrr.audit.shares import judge_by_share
from legalrr.audit.universe import Universe, positives
from legalrr.audit.verdicts import Audited, out_of_range, recompute


@dataclass(frozen=True, kw_only=True)
class Lead:
    """What a block of cells says together."""

    first: tuple[Hypothesis, ...]
    """Of the hypotheses that fit most cells, the least far-fetched."""
    leading: tuple[Hypothesis, ...]
    """All that fit as many."""
    support: tuple[int, int]
    """How many cells they fit, and how many there are."""
    rebalanced: tuple[int, ...]
    """Other numbers of positives under which the captions of every cell would hold."""


def audit_cells(cells: Sequence[Cell], cases: Universe) -> list[Audited]:
    """Verdicts on the cells of one dataset, in their order."""
    blocks: dict[tuple[str, ...], list[Cell]] = defaultdict(list)
    for cell in cells:
        blocks[cell.block].append(cell)
    found: dict[int, Audited] = {}
    for block in blocks.values():
        judged = judge_repeated(block, cases) if any(cell.repeated for cell in block) else _once(block, cases)
        found.update({one.cell.line: one for one in judged})
    return [found[cell.line] for cell in cells]


def cases_of(cell: Cell, cases: Universe) -> Cases | None:
    """What is known of the cases behind a cell; None where not even how many they are."""
    if cell.subset == WHOLE and cell.n in (None, cases.n):
        if cases.n is None:
            return None
        return Cases(n=cases.n, positives=cases.positives, unanswered=cell.unanswered)
    if cell.n is None:
        return None if cases.n is None else Cases(n=cases.n, positives=cases.positives, dropped=True)
    if cell.positives is not None:
        return Cases(n=cell.n, positives=(cell.positives,), unanswered=cell.unanswered)
    if cases.n is None or cell.n > cases.n:
        return Cases(n=cell.n, positives=tuple(range(cell.n + 1)), unanswered=cell.unanswered)
    allowed = {
        p for whole in cases.positives for p in range(max(0, cell.n - (cases.n - whole)), min(cell.n, whole) + 1)
    }
    return Cases(n=cell.n, positives=tuple(sorted(allowed)), unanswered=cell.unanswered)


def _once(block: Sequence[Cell], cases: Universe) -> list[Audited]:
    """A block of figures of one run."""
    judged: list[Audited] = []
    found: list[tuple[Fits, Cases]] = []
    unsized: list[Cell] = []
    for cell in block:
        wrong = out_of_range(cell)
        known = cases_of(cell, cases)
        one = fits_among(cell, known) if known is not None and rates_of(cell) and not wrong else None
        if wrong:
            judged.append(Audited(cell=cell, verdict="out of range", detail=wrong))
        elif not rates_of(cell):
            judged.append(
                Audited(cell=cell, verdict="unchecked", detail="scores of texts: within range, no more is told")
            )
        elif known is not None and one is not None:
            found.append((one, known))
        else:
            unsized.append(cell)
    return judged + _by_hypothesis(found, cases) + judge_by_share(unsized, cases)


def _by_hypothesis(found: Sequence[tuple[Fits, Cases]], cases: Universe) -> list[Audited]:
    """A block is what the hypothesis says that fits most of its cells, the least far-fetched among equals."""
    block = [one for one, _ in found]
    fitted = {one: sum(fits.under(one).shape[1] > 0 for fits in block) for one in block_hypotheses(block)}
    most = max(fitted.values(), default=0)
    leading = [one for one, count in fitted.items() if count == most and most]
    least = min((one.cost for one in leading), default=0)
    apart = _apart(found)
    if apart:
        return apart
    lead = Lead(
        first=tuple(one for one in leading if one.cost == least),
        leading=tuple(leading),
        support=(most, len(block)),
        rebalanced=_rebalanced(found) if least or most < len(block) else (),
    )
    return [_judge(one, known, cases, lead) for one, known in found]


def _apart(found: Sequence[tuple[Fits, Cases]]) -> list[Audited]:
    """Cells on the same cases whose captions all hold, but none under a class balance that suits every cell."""
    if (
        len({known for _, known in found}) != 1
        or found[0][1].dropped
        or any(one.cell.subset != WHOLE for one, _ in found)
    ):
        return []
    under = []
    for one, _ in found:
        captions = [hypothesis for hypothesis in one.hypotheses() if not hypothesis.cost]
        under.append({int(p) for hypothesis in captions for p in positives(one.under(hypothesis))})
    if not all(under) or set.intersection(*under):
        return []
    n = found[0][1].n
    return [
        Audited(cell=one.cell, verdict="balance", n=n, detail=_holds_with(balances, n))
        for (one, _), balances in zip(found, under, strict=True)
    ]


def _holds_with(balances: set[int], n: int) -> str:
    return f"its captions hold with {numbers(sorted(balances))} positives of {n}"


def _rebalanced(found: Sequence[tuple[Fits, Cases]]) -> tuple[int, ...]:
    """Numbers of positives under which the captions of all cells hold, where all have the same number of cases."""
    if len({known.n for _, known in found}) != 1 or any(known.dropped for _, known in found):
        return ()
    balances = [_balances(one.cell, known) for one, known in found]
    return tuple(sorted(set.intersection(*balances)))


def _balances(cell: Cell, known: Cases) -> set[int]:
    """Numbers of positives under which a cell's captions hold."""
    anywhere = Cases(n=known.n, positives=tuple(range(known.n + 1)), unanswered=known.unanswered)
    one = fits_among(cell, anywhere, captions_only=True)
    return set() if one is None else {int(p) for p in positives(one.counts)}


def _judge(one: Fits, known: Cases, cases: Universe, lead: Lead) -> Audited:
    own = one.hypotheses()
    suiting = [hypothesis for hypothesis in lead.first if one.under(hypothesis).shape[1]]
    by_block = bool(lead.first) and lead.first[0].cost > 0
    captions = [hypothesis for hypothesis in own if not hypothesis.cost]
    if captions:
        rivals = suiting if by_block else []
        if not by_block and lead.support[0] == lead.support[1]:
            rivals = [rival for rival in lead.leading if rival.of(one.cell).cost]
        return _fitting(one, known, captions, rivals, lead.support if not by_block else (1, lead.support[1]))
    if lead.rebalanced and lead.support[0] < lead.support[1]:
        return Audited(cell=one.cell, verdict="balance", n=known.n, detail=_all_hold_with(lead, known))
    if suiting or own:
        chosen = suiting or [hypothesis for hypothesis in own if hypothesis.cost == own[0].cost]
        judged = _fitting(one, known, chosen, [], lead.support if suiting else (1, lead.support[1]))
        if not lead.rebalanced:
            return judged
        return replace(judged, detail=f"or {_all_hold_with(lead, known)}")
    return _unfit(one.cell, known, cases)


def _all_hold_with(lead: Lead, known: Cases) -> str:
    return f"the captions of all its column hold with {numbers(lead.rebalanced)} positives of {known.n}"


def _fitting(
    one: Fits, known: Cases, chosen: Sequence[Hypothesis], rivals: Sequence[Hypothesis], support: tuple[int, int]
) -> Audited:
    """A cell that the chosen hypotheses fit, all as far-fetched."""
    counts = np.unique(np.concatenate([one.under(hypothesis) for hypothesis in chosen], axis=1), axis=1)
    wrong = chosen[0].cost > 0
    detail = ""
    if wrong and support[0] == 1 < support[1]:
        detail = "this fits no other cell of its column, and may be chance"
    return Audited(
        cell=one.cell,
        verdict="mislabelled" if wrong else "ambiguous" if rivals else "consistent",
        n=known.n,
        hypothesis=chosen[0].of(one.cell),
        support=support,
        others=tuple(dict.fromkeys(other.of(one.cell) for other in (chosen[1:] if wrong else rivals))),
        counts=counts,
        recomputed=recompute(one.cell, counts),
        detail=detail,
    )


def _unfit(cell: Cell, known: Cases, cases: Universe) -> Audited:
    """A cell that no hypothesis fits: under which balance, or with how many cases, would its captions hold?"""
    balances = set() if known.dropped else _balances(cell, known)
    if balances:
        return Audited(cell=cell, verdict="balance", n=known.n, detail=_holds_with(balances, known.n))
    whole = cases.positives if known.n == cases.n else tuple(range(known.n + 1))
    fewer = Cases(n=known.n, positives=whole, dropped=True)
    part = fits_among(cell, fewer, captions_only=True) if fewer.size() <= MOST else None
    if part is not None and part.counts.shape[1]:
        sizes = sorted({int(size) for size in part.counts.sum(axis=0)})
        told = f"its captions hold with {numbers(sizes)} of {known.n} cases"
        return Audited(cell=cell, verdict="other n", n=known.n, detail=told)
    untried = "; fewer cases were not tried, they are too many" if part is None else ""
    return Audited(cell=cell, verdict="impossible", n=known.n, detail=f"{_parts_that_fit(cell, known)}{untried}")


def _parts_that_fit(cell: Cell, known: Cases) -> str:
    """The largest sets of captions that hold together, in words."""
    captions = list(rates_of(cell))
    for size in range(len(captions) - 1, 0, -1):
        held = [part for part in combinations(captions, size) if _holds(cell, part, known)]
        if held:
            return f"of its captions, {listed([listed(part) for part in held], 'or')} alone can hold"
    return "none of its captions can hold"


def _holds(cell: Cell, captions: Sequence[str], known: Cases) -> bool:
    part = replace(cell, figures={caption: cell.figures[caption] for caption in captions})
    one = fits_among(part, known, captions_only=True)
    return one is not None and one.counts.shape[1] > 0
