"""Compute what the tests of the report will be able to find, before there are answers.

The report computes the smallest detectable difference from the answers (`legalrr.score.detectable`). Before a run they
are assumed: two arms that are right on the same share of each outcome and disagree on a stated share of the judgments,
half of them in favour of each arm. Near-duplicates are one unit, as in the test.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from legalrr.records import OUTCOMES, Outcome
from legalrr.score.detectable import Population
from legalrr.score.significance import paired_swap

DISAGREEMENT = 0.2
"""Assumed share of judgments on which exactly one of two arms is right."""
ACCURACY = 0.65
"""Assumed share of judgments that each arm gets right."""
MANY = 1000
"""Judgments from which that number is computed, so that it does not depend on the rounding of few."""
DIFFERENCE = 0.05
"""Difference of macro-F1 for which the number of judgments is stated."""


@dataclass(frozen=True, kw_only=True)
class Power:
    """Power of the comparison of two arms on one corpus."""

    corpus: str
    """Name of the corpus."""
    judgments: int
    """Judgments with an outcome."""
    outcomes: Mapping[str, int]
    """Outcome -> judgments."""
    clusters: int
    """Units of the test: judgments, with near-duplicates as one."""
    smallest: float | None
    """Smallest difference of macro-F1 that the permutation test finds with power 0.8; None: it finds none."""
    needed: int | None
    """Units needed for a difference of `DIFFERENCE`; None: more than ten million."""


def power(corpus: str, outcomes: Sequence[Outcome], clusters: Sequence[str]) -> Power:
    """Compute the power for judgments with these outcomes and clusters, in the same order."""
    counts: dict[str, int] = {outcome: outcomes.count(outcome) for outcome in OUTCOMES}
    units = len(set(clusters))
    # Answers to the judgments of a cluster are assumed to be alike: one of each cluster is taken.
    firsts = dict(zip(reversed(clusters), reversed(outcomes), strict=True))
    taken = [list(firsts.values()).count(outcome) for outcome in OUTCOMES]
    many = [round(MANY * count / max(units, 1)) for count in taken]
    comparable = all(taken)
    return Power(
        corpus=corpus,
        judgments=len(outcomes),
        outcomes=counts,
        clusters=units,
        smallest=_population(taken).smallest() if comparable else None,
        needed=_population(many).needed(DIFFERENCE) if comparable and all(many) else None,
    )


def _population(sizes: Sequence[int]) -> Population:
    """Return the assumed answers to so many judgments of each outcome."""
    return Population(swap=paired_swap(np.concatenate([_pairs(row, n) for row, n in enumerate(sizes)])))


def _pairs(row: int, n: int) -> np.ndarray:
    """Return confusion codes of two arms on n judgments of an outcome, shape (n, 2); row: 0 allowed, 1 dismissed."""
    right, wrong = (0, 1) if row == 0 else (4, 3)
    one_sided = round(n * DISAGREEMENT / 2)
    both_wrong = min(round(n * (1 - ACCURACY - DISAGREEMENT / 2)), n - 2 * one_sided)
    pairs = [(right, wrong)] * one_sided + [(wrong, right)] * one_sided + [(wrong, wrong)] * both_wrong
    return np.array(pairs + [(right, right)] * (n - len(pairs)), dtype=np.int8).reshape(n, 2)
