"""What an audit found, in sentences: the cases of each dataset, each block of cells, each reference arm, each claim."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from legalrr.audit.audit import Audit
from legalrr.audit.claims import Traced
from legalrr.audit.denominators import OF, common, least
from legalrr.audit.differences import Difference
from legalrr.audit.phrases import listed, numbers
from legalrr.audit.universe import Universe
from legalrr.audit.verdicts import WRONG, Audited, Kind
from legalrr.audit.words import all_say, says, title

SAID = {"balance": "no one class balance suits all of them", "impossible": "no matrix gives the figures of a cell"}
"""Verdict on several cells -> what it says of them together."""
KINDS: Mapping[Kind, str] = {
    "swapped captions": "with swapped captions. Read as other rates than their captions name, the same ones in the "
    "whole block, the figures fit matrices of the cases said: they can be right as they stand, under other names",
    "no matrix": "that no confusion matrix gives by their captions on the cases said. A misprint, other cases or "
    "another way to compute them would each explain it, and the table does not tell which",
    "other class shares": "that need other class shares. Each is possible by its captions, but only with a share of "
    "positive cases that the table does not say or the other cells of the dataset do not have",
}
"""Kind of a cell in which a caption does not hold -> what is said of such cells."""
CAUTION = """\
The audit reads printed figures alone. It cannot tell a slip in a caption from one in a figure or in what is said of the
cases, it says nothing of how well a model did, and the authors' own answers would settle each of these."""
LEVEL = 0.05
"""Level at which a difference is called significant."""


def cases_found(audit: Audit) -> list[str]:
    """A sentence per dataset on how many cases it has."""
    return [
        f"{dataset or table}: {_cases(found)}"
        for (table, dataset), found in audit.universes.items()
        if found.n is not None or found.bound is not None
    ]


def _cases(found: Universe) -> str:
    if found.n is None:
        return f"n is not said, and no n up to {found.bound} gives every cell's figures."
    how = "the smallest n that gives every cell's figures" if found.found else "as said"
    size = f"{found.n} cases ({how})"
    if not found.settled:
        return f"{size}; the figures do not tell how many of them are positive."
    p = found.positives[0]
    return f"{size}, {p} positive and {found.n - p} negative; one case is {100 / found.n:.1f} points of accuracy."


def blocks(audit: Audit) -> list[list[Audited]]:
    """The cells of each block, in order."""
    found: dict[tuple[str, ...], list[Audited]] = defaultdict(list)
    for one in audit.cells:
        found[one.cell.block].append(one)
    return list(found.values())


def block_found(block: Sequence[Audited]) -> Iterator[str]:
    """Sentences on one block."""
    verdicts: dict[tuple[object, ...], list[Audited]] = defaultdict(list)
    for one in block:
        changes = says(one.hypothesis) if one.hypothesis else ""
        verdicts[one.verdict, changes, one.support, one.runs].append(one)
    for cells in verdicts.values():
        which = "all" if len(cells) == len(block) else listed([one.cell.components or "unnamed" for one in cells])
        yield f"{title(block[0].cell)}, {_cells(which, cells)}: {_told(cells)}"
    yield from _denominators(block)
    sizes = sorted({one.n for one in block if one.n is not None})
    if len(sizes) > 1:
        yield f"{title(block[0].cell)}: scored on {sizes[0]} to {sizes[-1]} cases{_best_of(block)}."


def _denominators(block: Sequence[Audited]) -> Iterator[str]:
    """Captions that no number of cases can bear, where a block on the same cases has wrong ones."""
    sizes = {one.n for one in block}
    n = block[0].n
    if len(sizes) > 1 or n is None or not any(one.verdict in WRONG for one in block):
        return
    for caption, of in OF.items():
        figures = [one.cell.figures[caption] for one in block if caption in one.cell.figures]
        bounds = [figure.bounds(figure.scale) for figure in figures]
        needed = sorted({size for size in (least(one, n) for one in bounds) if size is not None})
        if len(figures) > 1 and not common(bounds, n):
            yield (
                f"{title(block[0].cell)}: as {caption}, its figures are shares of at least "
                f"{listed([str(size) for size in needed])} cases, and no one number of {of} up to {n} gives them all."
            )


def _cells(which: str, cells: Sequence[Audited]) -> str:
    if which == "all":
        return f"all {len(cells)} cells" if len(cells) > 1 else "the only cell"
    return which


def _told(cells: Sequence[Audited]) -> str:
    first = cells[0]
    if first.verdict == "mislabelled" and first.hypothesis is not None:
        further = f"; {first.detail}" if first.detail else ""
        return f"{all_say((first.hypothesis, *first.others))}; {_matrices(cells)}{further}."
    if first.verdict in ("consistent", "ambiguous"):
        if first.runs is not None:
            return f"the captions hold, as means over {first.runs} runs: whole errors give each mean and deviation."
        told = f"the captions hold; {_matrices(cells)}" if first.counts is not None else "the captions hold"
        if first.verdict == "ambiguous":
            return f"{told}; but others would fit: {all_say(first.others)}."
        return f"{told}, {first.detail}." if first.detail else f"{told}."
    details: dict[str, list[str]] = defaultdict(list)
    for one in cells:
        details[one.detail].append(one.cell.components)
    if len(details) == 1:
        return f"{first.verdict}: {first.detail}."
    told = "; ".join(f"{listed(arms)}: {detail}" for detail, arms in details.items())
    return f"{SAID.get(first.verdict, first.verdict)}: {told}."


def _matrices(cells: Sequence[Audited]) -> str:
    counts = sorted({one.counts.shape[1] for one in cells if one.counts is not None})
    if counts == [1]:
        return "one matrix fits each" if len(cells) > 1 else "one matrix fits"
    return f"{numbers(counts) if len(counts) == 1 else f'{counts[0]} to {counts[-1]}'} matrices fit"


def _best_of(block: Sequence[Audited]) -> str:
    caption = next(iter(block[0].cell.figures))
    best = max(block, key=lambda one: one.cell.figures[caption].printed.value if caption in one.cell.figures else -1.0)
    return f"; the best {caption}, {best.cell.figures[caption].text}, rests on {best.n} of them"


def reference_found(audit: Audit) -> Iterator[str]:
    """A sentence per block on its best arm against the reference arm, by right answers."""
    found: dict[tuple[str, ...], list[Difference]] = defaultdict(list)
    for one in audit.differences:
        if one.bounds is not None:
            found[one.arm.cell.block].append(one)
    for block in found.values():
        best = max(block, key=lambda one: (one.bounds.cases[0], -one.bounds.p_least) if one.bounds else (0, 0.0))
        able = [one for one in block if one.bounds is not None and _least_p(one) <= LEVEL]
        told = (
            f"{listed([one.arm.cell.components for one in able])} could be significant at {LEVEL}, at best"
            if able
            else f"neither test can call any of the {len(block)} arms significant at {LEVEL}"
        )
        yield f"{title(best.arm.cell)}: {_ahead(best)}; {told}."


def _least_p(one: Difference) -> float:
    assert one.bounds is not None
    permutation = 1.0 if one.bounds.p_permutation is None else one.bounds.p_permutation
    return min(one.bounds.p_least, permutation)


def _ahead(one: Difference) -> str:
    assert one.bounds is not None
    found, n = one.bounds, one.arm.n
    least, most = found.cases
    cases = str(least) if least == most else f"{least} to {most}"
    permutation = "" if found.p_permutation is None else f", permutation p at least {found.p_permutation:.3g}"
    return (
        f"{one.arm.cell.components} is {cases} of {n} cases ahead of {one.reference.cell.components}: "
        f"McNemar p at least {found.p_least:.3g} (b = {found.b}, c = {found.c}){permutation}"
    )


def claim_found(traced: Traced) -> str:
    """A sentence on one claim."""
    claim = traced.claim
    head = f"{claim.claim[:1].upper()}{claim.claim[1:]}" + (f" ({claim.source})" if claim.source else "")
    if not traced.found:
        return f"{head}: no two cells of a block differ so."
    told = []
    for one in traced.found:
        pair = f"{title(one.arm.cell)}, {one.arm.cell.components} less {one.reference.cell.components}"
        told.append(f"{pair} ({_ahead(one) if one.bounds else f'not to be tested: {one.reason}'})")
    arms = "; ".join(f"arms printed of {dataset}: {', '.join(names)}" for dataset, names in traced.arms.items())
    only = "only " if len(told) == 1 else ""
    return f"{head}: {only}{listed(told, 'or')}; {arms}."


def wrong(audit: Audit) -> int:
    """How many cells have a caption that does not hold."""
    return sum(one.verdict in WRONG for one in audit.cells)


def total(audit: Audit) -> str:
    """How many cells there are, and in how many a caption does not hold."""
    return f"{len(audit.cells)} cells; in {wrong(audit)} of them a caption does not hold"


def kinds(audit: Audit) -> list[str]:
    """A sentence for each kind of the cells in which a caption does not hold, with their number and where they are."""
    told = []
    for kind, what in KINDS.items():
        some = [one for one in audit.cells if one.kind == kind]
        if some:
            where = listed(list(dict.fromkeys(title(one.cell) for one in some)))
            cells = "cell" if len(some) == 1 else "cells"
            told.append(f"{len(some)} {cells} {what} ({where}).")
    return told


def findings(audit: Audit) -> dict[str, list[str]]:
    """All sentences by heading; headings without any are left out."""
    found = {
        "Cases": cases_found(audit),
        "Figures": [line for block in blocks(audit) for line in block_found(block)],
        "Against the reference arm": list(reference_found(audit)),
        "Claims": [claim_found(one) for one in audit.claims],
    }
    return {heading: lines for heading, lines in found.items() if lines}
