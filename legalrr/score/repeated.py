"""Several runs of one arm whose answers are drawn: what varies between runs, and what varies with the judgments.

mean          of macro-F1 over the runs
sd            standard deviation of macro-F1 between runs (n - 1): how much one run can mislead
interval      BCa bootstrap over judgments of that mean: all runs of a judgment are resampled together
difference    of two such means, with a jackknife interval; its permutation p swaps all answers of two arms to a
              judgment at once

A run says nothing about other judgments, so runs are no sample size: more of them narrow the first spread alone.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import fmean, stdev

import numpy as np

from legalrr.errors import UserError
from legalrr.records import Scored
from legalrr.score.confusion import Codes, codes, count_codes, macro_f1_of_codes, macro_f1_of_counts
from legalrr.score.interval import Sample, bca_of_counts
from legalrr.score.jackknife import jackknife_of_counts
from legalrr.score.prediction import PredictionScorer
from legalrr.score.significance import difference, joined, reach, swap_p


@dataclass(frozen=True, kw_only=True)
class Repeated:
    """Macro-F1 of several runs."""

    n: int
    """Judgments, the same in all runs."""
    runs: tuple[float, ...]
    """Macro-F1 of each run, in the order given."""
    mean: float
    """Its mean."""
    sd: float | None
    """Its standard deviation between runs; None for a single run."""
    interval: tuple[float, float] | None
    """BCa bootstrap interval of the mean, resampling judgments."""
    interval_note: str | None
    """Why there is no interval; None where there is one."""


@dataclass(frozen=True, kw_only=True)
class RepeatedComparison:
    """Runs of an arm against as many of its reference, on the same judgments."""

    n: int
    """Judgments compared."""
    difference: float
    """Mean macro-F1 of the arm less that of the reference."""
    interval: tuple[float, float] | None
    """Jackknife interval of the difference over judgments (`legalrr.score.jackknife`)."""
    interval_note: str | None
    """Why there is no interval; None where there is one."""
    p_permutation: float
    """Two-sided paired permutation p of the difference; 1 where all answers are the same."""
    smallest_detectable: float | None
    """Smallest difference that these judgments could have shown; None where the standard error is 0 or undefined."""


def repeated(runs: Sequence[Sequence[Scored]], *, scorer: PredictionScorer) -> Repeated:
    """Scores runs over the same judgments, joined by id.

    Raises:
        UserError: no judgments, a duplicate id, or an id that not all runs have.
    """
    answers = _answers(runs)
    (spread,) = bca_of_counts(
        [Sample.of(answers)],
        lambda counts: macro_f1_of_counts(counts).mean(axis=-1, keepdims=True),
        confidence=scorer.confidence,
        resamples=scorer.resamples,
        seed=scorer.seed,
    )
    scores = tuple(float(score) for score in macro_f1_of_codes(answers, axis=0))
    return Repeated(
        n=len(answers),
        runs=scores,
        mean=fmean(scores),
        sd=stdev(scores) if len(scores) > 1 else None,
        interval=spread.bounds,
        interval_note=spread.note,
    )


def compare_repeated(
    runs: Sequence[Sequence[Scored]], reference: Sequence[Sequence[Scored]], *, scorer: PredictionScorer
) -> RepeatedComparison:
    """Compares runs of an arm with as many of its reference.

    Raises:
        UserError: as `repeated`, or not as many runs.
    """
    if len(runs) != len(reference):
        raise UserError(
            f"{len(runs)} runs against {len(reference)} of the reference",
            where="paired comparison",
            cure="run both as often",
        )
    answers = _answers([*runs, *reference])
    spread = jackknife_of_counts(Sample.of(answers), difference, confidence=scorer.confidence, reach=1.0)
    return RepeatedComparison(
        n=len(answers),
        difference=float(difference(count_codes(answers, axis=0)[:, None])[0, 0]),
        interval=spread.bounds,
        interval_note=spread.note,
        p_permutation=swap_p(answers, scorer),
        smallest_detectable=reach() * spread.standard_error if spread.standard_error else None,
    )


def _answers(runs: Sequence[Sequence[Scored]]) -> Codes:
    """Codes of shape (n, runs), in the order of the ids."""
    return np.stack([codes(run) for run in joined(runs, where="repeated runs")], axis=1)
