"""Judges means over repeated runs: by the least number of runs that fits most cells of a block."""

from collections.abc import Sequence

from legalrr.audit.figures import Cell
from legalrr.audit.runs import MOST_RUNS, RunCases, fits_runs
from legalrr.audit.universe import Universe
from legalrr.audit.verdicts import Audited, out_of_range


def judge_repeated(block: Sequence[Cell], cases: Universe) -> list[Audited]:
    """Verdicts on a block of means over runs, on cases whose class balance is known."""
    n, said = cases.n, block[0].runs
    if n is None or not cases.settled:
        told = "means over runs; n and class balance are not known"
        return [Audited(cell=cell, verdict="unchecked", n=n, detail=told) for cell in block]
    tried = range(2, MOST_RUNS + 1) if said is None else (said,)
    p = cases.positives[0]

    def fitting(runs: int) -> int:
        return sum(fits_runs(cell, RunCases(n=n, positives=p, runs=runs), means=False) is not None for cell in block)

    # Rates and deviations tell the number of runs; the bounds of macro-F1 are slow, and tell nothing of it.
    runs = max(tried, key=fitting)
    sums = [fits_runs(cell, RunCases(n=n, positives=p, runs=runs)) for cell in block]
    support = (sum(one is not None for one in sums), len(block))
    judged = []
    for cell, one in zip(block, sums, strict=True):
        wrong = out_of_range(cell)
        none = f"no whole errors of {'up to ' if said is None else ''}{tried[-1]} runs give these means"
        judged.append(
            Audited(
                cell=cell,
                verdict="out of range" if wrong else "impossible" if one is None else "consistent",
                n=n,
                support=support,
                runs=None if one is None else runs,
                sums=one,
                detail=wrong or (none if one is None else ""),
            )
        )
    return judged
