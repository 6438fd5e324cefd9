"""Paired comparison of two arms on the same judgments: how large a difference is, and what could have been seen.

difference            macro-F1 of the arm less that of the reference, with a BCa bootstrap interval over judgments
permutation p         the two answers to a judgment are swapped at random; two-sided
McNemar p             exact binomial test of b = c: only the arm right, only the reference right
Holm                  step-down correction over a family of tests (Holm 1979)
smallest detectable   (z_.975 + z_.8) * SE: the true difference that a two-sided 5 % test would have found with
                      power 0.8, with SE the bootstrap standard error of the observed difference
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from legalrr.errors import UserError
from legalrr.records import Scored, by_id
from legalrr.score.confusion import Codes, Floats, codes, count_codes, macro_f1_of_codes, macro_f1_of_counts
from legalrr.score.interval import BATCH_CELLS, bca
from legalrr.score.prediction import PredictionScorer

LEVEL = 0.05
"""Significance level, two-sided."""
POWER = 0.8
"""Power for which the smallest detectable difference is stated."""
NAMED = 5
"""How many ids a message names at most."""


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """An arm against its reference on the same judgments."""

    n: int
    """Judgments compared."""
    difference: float
    """Macro-F1 of the arm less that of the reference."""
    interval: tuple[float, float] | None
    """BCa bootstrap interval of the difference."""
    interval_note: str | None
    """Why there is no interval; None where there is one."""
    p_permutation: float
    """Two-sided paired permutation p of the difference; 1 where all answers are the same."""
    p_mcnemar: float
    """Two-sided exact McNemar p of being right; 1 where b + c = 0."""
    b: int
    """Judgments that only the arm gets right."""
    c: int
    """Judgments that only the reference gets right."""
    smallest_detectable: float | None
    """Smallest difference that these judgments could have shown; None where the standard error is 0 or undefined."""


def compare(cases: Sequence[Scored], reference: Sequence[Scored], *, scorer: PredictionScorer) -> Comparison:
    """Compares two arms judgment by judgment, joined by id.

    Raises:
        UserError: no judgments, a duplicate id, an id that only one has, or two gold outcomes for one id.
    """
    from scipy import stats

    first, second = _joined(cases, reference)
    arm, base = codes(first), codes(second)
    spread = bca((arm, base), _difference, confidence=scorer.confidence, resamples=scorer.resamples, seed=scorer.seed)
    right = [case.label == case.gold for case in first], [case.label == case.gold for case in second]
    b = sum(x and not y for x, y in zip(*right, strict=True))
    c = sum(y and not x for x, y in zip(*right, strict=True))
    reach = float(stats.norm.ppf(1 - LEVEL / 2) + stats.norm.ppf(POWER))
    return Comparison(
        n=len(first),
        difference=float(_difference(arm, base)),
        interval=spread.bounds,
        interval_note=spread.note,
        p_permutation=_permutation_p(arm, base, scorer),
        p_mcnemar=float(stats.binomtest(b, b + c).pvalue) if b + c else 1.0,
        b=b,
        c=c,
        smallest_detectable=reach * spread.standard_error if spread.standard_error else None,
    )


def holm(values: Sequence[float]) -> list[float]:
    """Holm-adjusted p of one family, in the order given (Holm 1979, Scand. J. Statist. 6, 65-70)."""
    adjusted = [0.0] * len(values)
    floor = 0.0
    for rank, index in enumerate(sorted(range(len(values)), key=lambda i: values[i])):
        floor = max(floor, min(1.0, (len(values) - rank) * values[index]))
        adjusted[index] = floor
    return adjusted


def _joined(cases: Sequence[Scored], reference: Sequence[Scored]) -> tuple[list[Scored], list[Scored]]:
    first, second = by_id(cases), by_id(reference)
    lone = sorted(first.keys() ^ second.keys())
    if lone:
        more = f" and {len(lone) - NAMED} more" if len(lone) > NAMED else ""
        raise UserError(
            f"judgments that only one of the two has: {', '.join(lone[:NAMED])}{more}",
            where="paired comparison",
            cure="compare runs over the same judgments: same corpus, split, limit; overflow other than skip",
        )
    if not first:
        raise UserError("no labelled judgments", where="paired comparison", cure="use a corpus with outcomes")
    for key in first:
        if first[key].gold != second[key].gold:
            raise UserError(f"two gold outcomes for {key!r}", where="paired comparison", cure="run both on one corpus")
    keys = sorted(first)
    return [first[key] for key in keys], [second[key] for key in keys]


def _difference(arm: Codes, base: Codes, axis: int = -1) -> Floats:
    return macro_f1_of_codes(arm, axis) - macro_f1_of_codes(base, axis)


def _permutation_p(arm: Codes, base: Codes, scorer: PredictionScorer) -> float:
    """Exact where there are at most `permutations` ways to swap, else (1 + as extreme) / (1 + permutations)."""
    from scipy import stats

    differ = arm != base
    # Swapping the only pair that differs turns the sign of the difference, which is as extreme.
    if np.count_nonzero(differ) < 2:
        return 1.0
    # Swapping two equal answers changes nothing, so only the others are permuted, on top of these counts.
    same = count_codes(arm[~differ])

    def statistic(x: Codes, y: Codes, axis: int = -1) -> Floats:
        shape = (6,) + (1,) * (x.ndim - 1)
        fixed = same.reshape(shape)
        return macro_f1_of_counts(count_codes(x, axis) + fixed) - macro_f1_of_counts(count_codes(y, axis) + fixed)

    result = stats.permutation_test(
        (arm[differ], base[differ]),
        statistic,
        permutation_type="samples",
        vectorized=True,
        n_resamples=scorer.permutations,
        batch=max(1, BATCH_CELLS // int(np.count_nonzero(differ))),
        rng=np.random.default_rng(scorer.seed),
    )
    return float(result.pvalue)
