"""Bound the influence of invalid answers on a score or a difference.

The headline rule counts an invalid answer as a miss in the class of its gold outcome and as no answer in the other
class, so an arm whose wrong answers are unreadable avoids false positives. Two bounds limit this advantage:

    wrong    every invalid answer is the other outcome than the gold one: the least macro-F1 that any reading can give
    right    every invalid answer is the gold outcome: the greatest

Under the *unfavourable* bound of a difference, the invalid answers of the better arm are wrong and those of the other
are right; the test is the same (`legalrr.score.permutation`). For an effect, the better arms are those with the switch,
or those without it if the effect is negative.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol, TypeVar

import numpy as np

from legalrr.records import OUTCOMES, Outcome, Scored
from legalrr.score.detectable import LEVEL
from legalrr.score.metrics import codes, macro_f1_of_codes
from legalrr.score.permutation import Swap, swap_p
from legalrr.score.scorer import PredictionScorer, clusters
from legalrr.score.significance import join_by_id, paired_swap

S = TypeVar("S", bound=Scored)


class HasDifference(Protocol):
    """Comparison of two arms (`significance`, `paired_means`), or effect of a switch."""

    @property
    def difference(self) -> float:
        """Score of the arm minus that of the reference."""
        ...

    @property
    def p_permutation(self) -> float:
        """Two-sided permutation p of the difference."""
        ...


@dataclass(frozen=True, kw_only=True)
class Bound:
    """Difference and its test after invalid answers were replaced by an outcome."""

    difference: float
    """Score of the arm minus that of the reference."""
    p_permutation: float
    """Two-sided permutation p of the difference."""

    @classmethod
    def of(cls, swap: Swap, *, scorer: PredictionScorer) -> "Bound":
        """Compute the difference and its p from swappable answers."""
        whole = (side.sample.counts(side.sample.sizes[None]) for side in swap.sides)
        return cls(
            difference=float(swap.statistic(*whole)[0, 0]),
            p_permutation=swap_p(swap, permutations=scorer.permutations, seed=scorer.seed),
        )


def invalid_as_wrong(cases: Sequence[S]) -> list[S]:
    """Return the cases with every invalid answer replaced by the wrong outcome."""
    allowed, dismissed = OUTCOMES
    return _replace_invalid(cases, {allowed: dismissed, dismissed: allowed})


def invalid_as_right(cases: Sequence[S]) -> list[S]:
    """Return the cases with every invalid answer replaced by the gold outcome."""
    return _replace_invalid(cases, {outcome: outcome for outcome in OUTCOMES})


def macro_f1_bounds(cases: Sequence[Scored]) -> tuple[float, float] | None:
    """Compute macro-F1 with all invalid answers wrong, and with all right; None if none is invalid."""
    if not has_invalid(cases):
        return None
    wrong, right = (
        float(macro_f1_of_codes(codes(filled))) for filled in (invalid_as_wrong(cases), invalid_as_right(cases))
    )
    return wrong, right


def has_invalid(*arms: Sequence[Scored]) -> bool:
    """Return whether any answer of the arms is invalid."""
    return any(case.label == "invalid" for cases in arms for case in cases)


def unfavourable(cases: Sequence[S], reference: Sequence[S], *, difference: float) -> tuple[list[S], list[S]]:
    """Return the cases of an arm and its reference with invalid answers resolved against the better of the two.

    Args:
        cases: those of the arm.
        reference: those of the reference arm.
        difference: score of the arm minus that of the reference, by the headline rule.
    """
    if difference >= 0:
        return invalid_as_wrong(cases), invalid_as_right(reference)
    return invalid_as_right(cases), invalid_as_wrong(reference)


def unfavourable_bound(
    runs: Sequence[Sequence[S]], reference: Sequence[Sequence[S]], *, difference: float, scorer: PredictionScorer
) -> Bound | None:
    """Compute the difference of an arm from its reference under the unfavourable bound; None if no answer is invalid.

    Args:
        runs: cases of the arm, in one or more runs.
        reference: cases of the reference arm, in as many runs.
        difference: score of the arm minus that of the reference, by the headline rule.
        scorer: permutations and seed of the test.

    Raises:
        UserError: as `legalrr.score.significance.compare`.
    """
    if not has_invalid(*runs, *reference):
        return None
    filled = [unfavourable(one, other, difference=difference) for one, other in zip(runs, reference, strict=True)]
    cases = join_by_id([*(one for one, _ in filled), *(other for _, other in filled)], where="paired comparison")
    swap = paired_swap(np.stack([codes(run) for run in cases], axis=1), clusters(cases[0]))
    return Bound.of(swap, scorer=scorer)


def p_unfavourable(found: HasDifference, bound: Bound | None) -> float:
    """Return the permutation p of a difference under its unfavourable bound; 1 if the bound reverses the sign.

    Args:
        found: the difference by the headline rule.
        bound: the difference under the unfavourable bound; None if no answer is invalid.
    """
    if bound is None:
        return found.p_permutation
    return bound.p_permutation if bound.difference * found.difference > 0 else 1.0


def significant_under_bound(p_holm: float | None, p_holm_bound: float | None) -> bool:
    """Return whether a difference counts as shown: adjusted p below `LEVEL`, also under the unfavourable bound."""
    return p_holm is not None and p_holm < LEVEL and (p_holm_bound is None or p_holm_bound < LEVEL)


def _replace_invalid(cases: Sequence[S], labels: Mapping[Outcome, Outcome]) -> list[S]:
    return [replace(case, label=labels[case.gold]) if case.label == "invalid" else case for case in cases]
