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
import numpy.typing as npt

from legalrr.errors import UserError
from legalrr.records import Scored
from legalrr.score.confusion import Codes, codes, macro_f1_of_codes, macro_f1_of_counts
from legalrr.score.detectable import Population
from legalrr.score.interval import Sample, bca_of_counts, ruled
from legalrr.score.jackknife import jackknife_of_counts
from legalrr.score.prediction import PredictionScorer, clusters
from legalrr.score.significance import difference, joined, paired
from legalrr.score.swap import swap_p


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
    """Why there is no interval, or that the test overrules it; else None."""
    p_permutation: float
    """Two-sided paired permutation p of the difference; 1 where all answers are the same."""
    smallest_detectable: float | None
    """Smallest difference that the test would have found on so many judgments; None where it finds none at all."""


def repeated(runs: Sequence[Sequence[Scored]], *, scorer: PredictionScorer) -> Repeated:
    """Scores runs over the same judgments, joined by id.

    Raises:
        UserError: no judgments, a duplicate id, or an id that not all runs have.
    """
    answers, groups = _answers(runs)
    (spread,) = bca_of_counts(
        [Sample.of(answers, groups)],
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
    swap = paired(*_answers([*runs, *reference]))
    sample = swap.sides[0].sample
    (spread,) = jackknife_of_counts([sample], difference, confidence=scorer.confidence, reach=1.0)
    p = swap_p(swap, permutations=scorer.permutations, seed=scorer.seed)
    spread = ruled(spread, p, scorer.confidence)
    return RepeatedComparison(
        n=len(runs[0]),
        difference=float(difference(sample.counts(sample.sizes[None]))[0, 0]),
        interval=spread.bounds,
        interval_note=spread.note,
        p_permutation=p,
        smallest_detectable=Population(swap=swap).smallest(),
    )


def _answers(runs: Sequence[Sequence[Scored]]) -> tuple[Codes, npt.NDArray[np.int64] | None]:
    """Codes of shape (n, runs), in the order of the ids, and the cluster of each judgment."""
    cases = joined(runs, where="repeated runs")
    return np.stack([codes(run) for run in cases], axis=1), clusters(cases[0])
