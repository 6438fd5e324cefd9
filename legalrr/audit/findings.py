"""Findings of an audit in sentences: sample sizes, blocks of cells, reference arms and claims."""

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence

from legalrr.audit.audit import Audit, Traced
from legalrr.audit.hypotheses import describe_all
from legalrr.audit.mcnemar_bounds import ArmDifference
from legalrr.audit.sample_size import DENOMINATORS, SampleSize, common_denominators, least_denominator
from legalrr.audit.table import join_numbers, join_words
from legalrr.audit.verdicts import WRONG, Audited, Kind

SUMMARIES = {
    "balance": "no single class balance fits all of them",
    "impossible": "no matrix gives the figures of a cell",
}
"""Verdict on several cells -> its meaning for them together."""
KINDS: Mapping[Kind, str] = {
    "swapped captions": "with swapped captions. Read as other rates than their captions name, the same ones in the "
    "whole block, the figures fit matrices of the stated cases: they can be right as they stand, under other names",
    "no matrix": "that no confusion matrix gives by their captions on the stated cases. A misprint, other cases or "
    "another way to compute them would each explain it, and the table does not determine which",
    "other class shares": "that need other class shares. Each is possible by its captions, but only with a share of "
    "positive cases that the table does not state or the other cells of the dataset do not have",
}
"""Kind of a wrong caption -> description of the cells that have it."""
CAUTION = """\
The audit uses the printed figures alone. It cannot distinguish an error in a caption from one in a figure or in the
stated cases, it does not judge how well a model did, and the authors' own answers would settle each of these."""
LEVEL = 0.05
"""Level at which a difference is called significant."""


def findings(audit: Audit) -> dict[str, list[str]]:
    """Describe all findings by heading; headings without any are left out."""
    found = {
        "Cases": _sample_sizes(audit),
        "Figures": [line for block in blocks(audit) for line in _block(block)],
        "Against the reference arm": list(_references(audit)),
        "Claims": [_claim(one) for one in audit.claims],
    }
    return {heading: lines for heading, lines in found.items() if lines}


def total(audit: Audit) -> str:
    """Count the cells, and those with a wrong caption."""
    wrong = sum(one.verdict in WRONG for one in audit.cells)
    return f"{len(audit.cells)} cells; in {wrong} of them a caption does not hold"


def kinds(audit: Audit) -> list[str]:
    """Describe each kind of cells with a wrong caption: their number, and the blocks that have them."""
    lines = []
    for kind, description in KINDS.items():
        some = [one for one in audit.cells if one.kind == kind]
        if some:
            where = join_words(list(dict.fromkeys(one.cell.title for one in some)))
            cells = "cell" if len(some) == 1 else "cells"
            lines.append(f"{len(some)} {cells} {description} ({where}).")
    return lines


def blocks(audit: Audit) -> list[list[Audited]]:
    """Group the cells by block, in order."""
    found: dict[tuple[str, ...], list[Audited]] = defaultdict(list)
    for one in audit.cells:
        found[one.cell.block].append(one)
    return list(found.values())


def _sample_sizes(audit: Audit) -> list[str]:
    """Describe the sample size of each dataset."""
    return [
        f"{dataset or table}: {_sample_size(size)}"
        for (table, dataset), size in audit.sample_sizes.items()
        if size.n is not None or size.bound is not None
    ]


def _sample_size(size: SampleSize) -> str:
    if size.n is None:
        return f"n is not stated, and no n up to {size.bound} gives every cell's figures."
    how = "the smallest n that gives every cell's figures" if size.found else "as stated"
    cases = f"{size.n} cases ({how})"
    if not size.settled:
        return f"{cases}; the figures do not determine how many of them are positive."
    p = size.positives[0]
    return f"{cases}, {p} positive and {size.n - p} negative; one case is {100 / size.n:.1f} points of accuracy."


def _block(block: Sequence[Audited]) -> Iterator[str]:
    """Describe one block: cells with the same verdict together, impossible denominators, differing sample sizes."""
    verdicts: dict[tuple[object, ...], list[Audited]] = defaultdict(list)
    for one in block:
        verdicts[one.verdict, str(one.hypothesis or ""), one.support, one.runs].append(one)
    title = block[0].cell.title
    for cells in verdicts.values():
        names = join_words([one.cell.components or "unnamed" for one in cells])
        if len(cells) == len(block):
            names = f"all {len(cells)} cells" if len(cells) > 1 else "the only cell"
        yield f"{title}, {names}: {_verdict(cells)}"
    yield from _denominators(block)
    sizes = sorted({one.n for one in block if one.n is not None})
    if len(sizes) > 1:
        yield f"{title}: scored on {sizes[0]} to {sizes[-1]} cases{_best(block)}."


def _verdict(cells: Sequence[Audited]) -> str:
    first = cells[0]
    if first.verdict == "mislabelled" and first.hypothesis is not None:
        further = f"; {first.detail}" if first.detail else ""
        return f"{describe_all((first.hypothesis, *first.others))}; {_matrices(cells)}{further}."
    if first.verdict in ("consistent", "ambiguous"):
        if first.runs is not None:
            return f"the captions hold, as means over {first.runs} runs: whole errors give each mean and deviation."
        holds = f"the captions hold; {_matrices(cells)}" if first.counts is not None else "the captions hold"
        if first.verdict == "ambiguous":
            return f"{holds}; but others would fit: {describe_all(first.others)}."
        return f"{holds}, {first.detail}." if first.detail else f"{holds}."
    details: dict[str, list[str]] = defaultdict(list)
    for one in cells:
        details[one.detail].append(one.cell.components)
    if len(details) == 1:
        return f"{first.verdict}: {first.detail}."
    parts = "; ".join(f"{join_words(arms)}: {detail}" for detail, arms in details.items())
    return f"{SUMMARIES.get(first.verdict, first.verdict)}: {parts}."


def _matrices(cells: Sequence[Audited]) -> str:
    counts = sorted({one.counts.shape[1] for one in cells if one.counts is not None})
    if counts == [1]:
        return "one matrix fits each" if len(cells) > 1 else "one matrix fits"
    return f"{join_numbers(counts) if len(counts) == 1 else f'{counts[0]} to {counts[-1]}'} matrices fit"


def _denominators(block: Sequence[Audited]) -> Iterator[str]:
    """Describe captions that no denominator allows, in a block on the same cases with a wrong caption."""
    sizes = {one.n for one in block}
    n = block[0].n
    if len(sizes) > 1 or n is None or not any(one.verdict in WRONG for one in block):
        return
    for caption, cases in DENOMINATORS.items():
        figures = [one.cell.figures[caption] for one in block if caption in one.cell.figures]
        bounds = [figure.bounds(figure.scale) for figure in figures]
        least = sorted({size for size in (least_denominator(one, n) for one in bounds) if size is not None})
        if len(figures) > 1 and not common_denominators(bounds, n):
            yield (
                f"{block[0].cell.title}: as {caption}, its figures are shares of at least "
                f"{join_words([str(size) for size in least])} cases, and no single number of {cases} up to {n} gives "
                "them all."
            )


def _best(block: Sequence[Audited]) -> str:
    caption = next(iter(block[0].cell.figures))
    best = max(block, key=lambda one: one.cell.figures[caption].printed.value if caption in one.cell.figures else -1.0)
    return f"; the best {caption}, {best.cell.figures[caption].text}, is based on {best.n} of them"


def _references(audit: Audit) -> Iterator[str]:
    """Describe the best arm of each block, by right answers, compared with the reference arm."""
    found: dict[tuple[str, ...], list[ArmDifference]] = defaultdict(list)
    for one in audit.differences:
        if one.bounds is not None:
            found[one.arm.cell.block].append(one)
    for block in found.values():
        best = max(block, key=lambda one: (one.bounds.cases[0], -one.bounds.p_least) if one.bounds else (0, 0.0))
        significant = [one.arm.cell.components for one in block if _least_p(one) <= LEVEL]
        result = (
            f"{join_words(significant)} could be significant at {LEVEL}, at best"
            if significant
            else f"by either test, none of the {len(block)} arms can be significant at {LEVEL}"
        )
        yield f"{best.arm.cell.title}: {_ahead(best)}; {result}."


def _least_p(one: ArmDifference) -> float:
    assert one.bounds is not None
    permutation = 1.0 if one.bounds.p_permutation is None else one.bounds.p_permutation
    return min(one.bounds.p_least, permutation)


def _ahead(one: ArmDifference) -> str:
    assert one.bounds is not None
    found, n = one.bounds, one.arm.n
    least, most = found.cases
    cases = str(least) if least == most else f"{least} to {most}"
    permutation = "" if found.p_permutation is None else f", permutation p at least {found.p_permutation:.3g}"
    return (
        f"{one.arm.cell.components} is {cases} of {n} cases ahead of {one.reference.cell.components}: "
        f"McNemar p at least {found.p_least:.3g} (b = {found.b}, c = {found.c}){permutation}"
    )


def _claim(traced: Traced) -> str:
    """Describe one claim and the pairs of cells that it can be about."""
    claim = traced.claim
    head = f"{claim.claim[:1].upper()}{claim.claim[1:]}" + (f" ({claim.source})" if claim.source else "")
    if not traced.found:
        return f"{head}: no two cells of a block differ by this much."
    pairs = []
    for one in traced.found:
        pair = f"{one.arm.cell.title}, {one.arm.cell.components} less {one.reference.cell.components}"
        pairs.append(f"{pair} ({_ahead(one) if one.bounds else f'not testable: {one.reason}'})")
    arms = "; ".join(f"arms printed of {dataset}: {', '.join(names)}" for dataset, names in traced.arms.items())
    only = "only " if len(pairs) == 1 else ""
    return f"{head}: {only}{join_words(pairs, 'or')}; {arms}."
