"""Compute calibration, and scores by judgment metadata, from predictions.jsonl alone.

Calibration compares the probabilities p that an arm gives to `allowed` with the outcomes:

    Brier = mean of (p - y)^2,   y = 1 if the gold outcome is allowed          (Brier 1950)
    ECE   = sum over bins of n_bin / n * |mean p - share allowed|              (Naeini, Cooper, Hauskrecht, AAAI 2015)

Bins have equal width, or about equally many judgments: their edges are then quantiles of p, and equal p share a bin.
ECE depends on the binning, so the binning is recorded.

A breakdown scores the parts of the judgments that share a value of a property, such as court, year or length.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Literal

import numpy as np

from legalrr.errors import UserError
from legalrr.records import Scored
from legalrr.score.cases import JudgmentMetadata
from legalrr.score.intervals import Sample, upper_edges, wilson
from legalrr.score.metrics import codes, count_codes, macro_f1_of_counts
from legalrr.score.scorer import PredictionScorer, arm_intervals, clusters

Binning = Literal["equal-width", "equal-mass"]
CONFIDENCES = ("high", "medium", "low")
"""Order of the parts by confidence."""
UNKNOWN = "not stated"
"""Name of the part with an unknown property; it comes last."""


@dataclass(frozen=True, kw_only=True)
class Bin:
    """Bin of judgments with similar p."""

    low: float
    """Lower edge of p; included in the first bin only."""
    high: float
    """Upper edge of p; included."""
    n: int
    """Judgments; more than 0."""
    mean_p: float
    """Mean of p."""
    share_allowed: float
    """Share of judgments with the gold outcome allowed."""
    interval: tuple[float, float]
    """Wilson interval of that share."""


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """Calibration of one arm."""

    n: int
    """Judgments with a p."""
    without: int
    """Judgments without a p; they are left out."""
    brier: float
    """Brier score; 0 is best."""
    brier_of_share: float
    """Brier score of the constant prediction that equals the share of allowed: the baseline."""
    ece: float
    """Expected calibration error; 0 is best."""
    binning: Binning
    """Rule for the edges of the bins."""
    bins: tuple[Bin, ...]
    """Non-empty bins, by ascending p."""


def calibration(
    cases: Sequence[Scored], *, bins: int = 10, binning: Binning = "equal-width", confidence: float = 0.95
) -> Calibration | None:
    """Compute the calibration of an arm; None if no case has a p.

    Args:
        cases: cases of the arm.
        bins: greatest number of bins; more than 0.
        binning: bins of equal width, or with about equally many judgments.
        confidence: coverage of the intervals.
    """
    known = [(case.p_allowed, case.gold == "allowed") for case in cases if case.p_allowed is not None]
    if not known:
        return None
    p, allowed = (np.array(column, dtype=np.float64) for column in zip(*known, strict=True))
    highs = np.linspace(0, 1, bins + 1)[1:] if binning == "equal-width" else upper_edges(p, bins)
    lows = [0.0 if binning == "equal-width" else float(p.min()), *highs[:-1]]
    places = np.searchsorted(highs, p)
    found = []
    for place in np.unique(places):
        inside = places == place
        n, successes = int(inside.sum()), int(allowed[inside].sum())
        found.append(
            Bin(
                low=float(lows[place]),
                high=float(highs[place]),
                n=n,
                mean_p=float(p[inside].mean()),
                share_allowed=successes / n,
                interval=wilson(successes, n, confidence=confidence),
            )
        )
    share = float(allowed.mean())
    return Calibration(
        n=len(p),
        without=len(cases) - len(p),
        brier=float(np.mean((p - allowed) ** 2)),
        brier_of_share=share * (1 - share),
        ece=sum(one.n / len(p) * abs(one.mean_p - one.share_allowed) for one in found),
        binning=binning,
        bins=tuple(found),
    )


@dataclass(frozen=True, kw_only=True)
class Part:
    """Scores of the judgments that share a value of a property."""

    name: str
    """Value of the property."""
    n: int
    """Judgments; more than 0."""
    macro_f1: float
    """Macro-F1 of these judgments alone; low if they all have the same outcome."""
    interval: tuple[float, float] | None
    """Interval of macro-F1 (`legalrr.score.scorer`)."""
    interval_note: str | None
    """Reason for a missing interval; else None."""
    accuracy: float
    """Share answered correctly."""
    accuracy_interval: tuple[float, float]
    """Wilson interval of the accuracy."""
    yes_rate: float
    """Share answered allowed."""
    gold_rate: float
    """Share with the gold outcome allowed."""
    invalid_rate: float
    """Share of invalid answers."""


@dataclass(frozen=True, kw_only=True)
class Breakdown:
    """Scores of an arm by one property."""

    by: str
    """A key of `PROPERTIES`, or `roles`."""
    overlapping: bool
    """Whether a judgment can be in several parts, as with roles."""
    parts: tuple[Part, ...]
    """Non-empty parts: numbers ascending, confidence from high to low, others by size. Empty if the property is unknown
    for all judgments."""


PROPERTIES: Mapping[str, Callable[[JudgmentMetadata], int | str | None]] = MappingProxyType(
    {
        "length": lambda metadata: metadata.length,
        "shown": lambda metadata: metadata.shown,
        "year": lambda metadata: metadata.year,
        "court": lambda metadata: metadata.court,
        "kind": lambda metadata: metadata.kind,
        "confidence": lambda metadata: metadata.confidence,
    }
)
"""Property -> function of the metadata; the property `roles` is handled separately."""


def breakdown(
    cases: Sequence[Scored],
    metadata: Mapping[str, JudgmentMetadata],
    by: str,
    *,
    scorer: PredictionScorer,
    bins: int = 4,
    most: int | None = None,
) -> Breakdown:
    """Score an arm by a property of the judgments.

    Args:
        cases: the cases of the arm.
        metadata: id -> metadata of the judgment; may lack ids.
        by: length, shown, year (bins with about equally many judgments), court, kind, confidence, or roles (judgments
            with a role in the prompt, and those without).
        scorer: confidence, resamples and seed of the intervals.
        bins: greatest number of bins for numbers.
        most: greatest number of parts, the first ones; None: all.

    Raises:
        UserError: unknown property.
    """
    unknown = JudgmentMetadata()
    if by == "roles":
        members = _by_role([(case, metadata.get(case.id, unknown).roles) for case in cases])
    elif by in PROPERTIES:
        pairs = [(case, PROPERTIES[by](metadata.get(case.id, unknown))) for case in cases]
        members = _by_value(pairs, bins)
    else:
        choices = ", ".join((*PROPERTIES, "roles"))
        raise UserError(f"unknown property {by!r}", where="breakdown", cure=f"use {choices}")
    filled = [(name, inside) for name, inside in members.items() if inside]
    parts = [_score_part(name, inside, scorer) for name, inside in filled[:most]]
    return Breakdown(by=by, overlapping=by == "roles", parts=tuple(parts))


def _by_value(pairs: Sequence[tuple[Scored, int | str | None]], bins: int) -> dict[str, list[Scored]]:
    values = [value for _, value in pairs if value is not None]
    if not values:
        return {}
    numbers = np.array([value for value in values if isinstance(value, int)], dtype=np.float64)
    if len(numbers) == len(values):
        highs = upper_edges(numbers, bins)
        lows = [numbers.min(), *(numbers[numbers > high].min() for high in highs[:-1])]
        names = [
            f"{low:.0f}" if low == high else f"{low:.0f} to {high:.0f}" for low, high in zip(lows, highs, strict=True)
        ]
        places = iter(np.searchsorted(highs, numbers).tolist())
        named = [UNKNOWN if value is None else names[next(places)] for _, value in pairs]
    else:
        named = [UNKNOWN if value is None else str(value) for _, value in pairs]
        sizes = Counter(named)
        names = sorted(sizes, key=lambda name: (_rank(name), -sizes[name], name))
    members: dict[str, list[Scored]] = {name: [] for name in [*(n for n in names if n != UNKNOWN), UNKNOWN]}
    for (case, _), name in zip(pairs, named, strict=True):
        members[name].append(case)
    return members


def _rank(name: str) -> int:
    return CONFIDENCES.index(name) if name in CONFIDENCES else len(CONFIDENCES)


def _by_role(pairs: Sequence[tuple[Scored, frozenset[str] | None]]) -> dict[str, list[Scored]]:
    sizes = Counter(role for _, shown in pairs if shown is not None for role in shown)
    members: dict[str, list[Scored]] = {}
    for role in sorted(sizes, key=lambda role: (-sizes[role], role)):
        members[f"with {role}"] = [case for case, shown in pairs if shown is not None and role in shown]
        members[f"without {role}"] = [case for case, shown in pairs if shown is not None and role not in shown]
    if members:
        members[UNKNOWN] = [case for case, shown in pairs if shown is None]
    return members


def _score_part(name: str, cases: Sequence[Scored], scorer: PredictionScorer) -> Part:
    n = len(cases)
    answers = codes(cases)
    (interval,) = arm_intervals(
        Sample.of(answers, clusters(cases)),
        macro_f1_of_counts,
        confidence=scorer.confidence,
        resamples=scorer.resamples,
        seed=scorer.seed,
    )
    counts = count_codes(answers)
    right = int(counts[0] + counts[4])
    return Part(
        name=name,
        n=n,
        macro_f1=float(macro_f1_of_counts(counts)),
        interval=interval.bounds,
        interval_note=interval.note,
        accuracy=right / n,
        accuracy_interval=wilson(right, n, confidence=scorer.confidence),
        yes_rate=int(counts[0] + counts[3]) / n,
        gold_rate=int(counts[:3].sum()) / n,
        invalid_rate=int(counts[2] + counts[5]) / n,
    )
