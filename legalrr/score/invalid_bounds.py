"""How far invalid answers could move a score or a difference: every one wrong, every one right.

The headline counts an invalid answer as a miss in the class of its gold outcome and as no answer in the other class, so
that an arm that leaves its wrong answers unreadable loses false positives. Two bounds tell how much that may be worth:

    wrong    every invalid answer is the other outcome than the gold one: the least macro-F1 that any reading can give
    right    every invalid answer is the gold outcome: the greatest

A difference stands under its *unfavourable* bound: the invalid answers of the better arm are wrong, those of the other
are right, and the test is the same (`legalrr.score.permutation`). Of an effect, the better arms are those with the
switch, or those without it where it is negative.
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
from legalrr.score.significance import joined, paired

S = TypeVar("S", bound=Scored)


class Compared(Protocol):
    """A comparison of two arms (`significance`, `paired_means`), or an effect of a switch."""

    @property
    def difference(self) -> float:
        """Score of the arm less that of the reference."""
        ...

    @property
    def p_permutation(self) -> float:
        """Its two-sided permutation p."""
        ...


@dataclass(frozen=True, kw_only=True)
class Bound:
    """A difference and its test, where invalid answers are given an outcome."""

    difference: float
    """The difference."""
    p_permutation: float
    """Its two-sided permutation p."""

    @classmethod
    def of(cls, swap: Swap, *, scorer: PredictionScorer) -> "Bound":
        """The difference between answers that may be swapped."""
        whole = (side.sample.counts(side.sample.sizes[None]) for side in swap.sides)
        return cls(
            difference=float(swap.statistic(*whole)[0, 0]),
            p_permutation=swap_p(swap, permutations=scorer.permutations, seed=scorer.seed),
        )


def if_wrong(cases: Sequence[S]) -> list[S]:
    """The cases with every invalid answer as the other outcome than the gold one."""
    allowed, dismissed = OUTCOMES
    return _filled(cases, {allowed: dismissed, dismissed: allowed})


def if_right(cases: Sequence[S]) -> list[S]:
    """The cases with every invalid answer as the gold outcome."""
    return _filled(cases, {outcome: outcome for outcome in OUTCOMES})


def macro_f1_bounds(cases: Sequence[Scored]) -> tuple[float, float] | None:
    """Macro-F1 with every invalid answer wrong, and with every one right; None where none is invalid."""
    if not has_invalid(cases):
        return None
    wrong, right = (float(macro_f1_of_codes(codes(filled))) for filled in (if_wrong(cases), if_right(cases)))
    return wrong, right


def has_invalid(*arms: Sequence[Scored]) -> bool:
    """Whether any answer of the arms is invalid."""
    return any(case.label == "invalid" for cases in arms for case in cases)


def unfavourable(cases: Sequence[S], reference: Sequence[S], *, difference: float) -> tuple[list[S], list[S]]:
    """Cases of an arm and of its reference, with the invalid answers against the better of the two.

    Args:
        cases: of the arm.
        reference: of the reference arm.
        difference: score of the arm less that of the reference, by the headline rule.
    """
    if difference >= 0:
        return if_wrong(cases), if_right(reference)
    return if_right(cases), if_wrong(reference)


def unfavourable_bound(
    runs: Sequence[Sequence[S]], reference: Sequence[Sequence[S]], *, difference: float, scorer: PredictionScorer
) -> Bound | None:
    """The difference of an arm from its reference under the unfavourable bound; None where no answer is invalid.

    Args:
        runs: cases of the arm, of one run or several.
        reference: cases of the reference arm, of as many runs.
        difference: score of the arm less that of the reference, by the headline rule.
        scorer: permutations and seed of the test.

    Raises:
        UserError: as `legalrr.score.significance.compare`.
    """
    if not has_invalid(*runs, *reference):
        return None
    filled = [unfavourable(one, other, difference=difference) for one, other in zip(runs, reference, strict=True)]
    cases = joined([*(one for one, _ in filled), *(other for _, other in filled)], where="paired comparison")
    swap = paired(np.stack([codes(run) for run in cases], axis=1), clusters(cases[0]))
    return Bound.of(swap, scorer=scorer)


def p_unfavourable(found: Compared, bound: Bound | None) -> float:
    """The permutation p of a difference under its unfavourable bound; 1 where the bound turns its sign.

    Args:
        found: by the headline rule.
        bound: under the unfavourable bound; None where no answer is invalid.
    """
    if bound is None:
        return found.p_permutation
    return bound.p_permutation if bound.difference * found.difference > 0 else 1.0


def stands(p_holm: float | None, p_holm_bound: float | None) -> bool:
    """Whether a difference counts as shown: its adjusted p is below `LEVEL`, and under the unfavourable bound too."""
    return p_holm is not None and p_holm < LEVEL and (p_holm_bound is None or p_holm_bound < LEVEL)


def _filled(cases: Sequence[S], labels: Mapping[Outcome, Outcome]) -> list[S]:
    return [replace(case, label=labels[case.gold]) if case.label == "invalid" else case for case in cases]
