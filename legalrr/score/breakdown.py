"""Break scores down by what is known of the judgments, and compute calibration.

Whether the probabilities that an arm gives to `allowed` come true: reliability, Brier score, calibration error.

    Brier = mean of (p - y)^2,   y = 1 where the gold outcome is allowed       (Brier 1950)
    ECE   = sum over bins of n_bin / n * |mean p - share allowed|              (Naeini, Cooper, Hauskrecht, AAAI 2015)

Bins are either equally wide, or hold equally many judgments: then their edges are quantiles of p, and equal p share a
bin. ECE depends on the binning, which is why it is named.

Where an arm goes wrong: its scores by what is known of the judgments, from predictions.jsonl alone.
"""

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


@dataclass(frozen=True, kw_only=True)
class Bin:
    """Judgments with about the same p."""

    low: float
    """Lower edge of p; belongs to the bin before, or to this one where it is the first."""
    high: float
    """Upper edge; belongs to the bin."""
    n: int
    """Judgments; more than 0."""
    mean_p: float
    """Mean of p."""
    share_allowed: float
    """Share of them whose gold outcome is allowed."""
    interval: tuple[float, float]
    """Wilson interval of that share."""


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """Calibration of one arm."""

    n: int
    """Judgments with a p."""
    without: int
    """Judgments that have none; they are in no figure here."""
    brier: float
    """Brier score; 0 is best."""
    brier_of_share: float
    """Brier score of saying the share of allowed every time: what has to be beaten."""
    ece: float
    """Expected calibration error; 0 is best."""
    binning: Binning
    """How the bins were made."""
    bins: tuple[Bin, ...]
    """Bins that hold a judgment, by rising p."""


def calibration(
    cases: Sequence[Scored], *, bins: int = 10, binning: Binning = "equal-width", confidence: float = 0.95
) -> Calibration | None:
    """Calibration of an arm; None where no case has a p.

    Args:
        cases: its cases.
        bins: how many bins, at most; more than 0.
        binning: how they are made.
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


CONFIDENCES = ("high", "medium", "low")
"""Order of the parts by confidence."""
UNKNOWN = "not stated"
"""Part of the judgments of which a property is not known; it comes last."""


@dataclass(frozen=True, kw_only=True)
class Part:
    """The scores of some judgments."""

    name: str
    """What they have in common."""
    n: int
    """How many they are; more than 0."""
    macro_f1: float
    """Macro-F1 of these judgments alone; low where they have but one outcome."""
    interval: tuple[float, float] | None
    """Its interval (`legalrr.score.scorer`)."""
    interval_note: str | None
    """Why there is no interval; None where there is one."""
    accuracy: float
    """Share answered right."""
    accuracy_interval: tuple[float, float]
    """Its Wilson interval."""
    yes_rate: float
    """Share answered allowed."""
    gold_rate: float
    """Share whose gold outcome is allowed."""
    invalid_rate: float
    """Share of invalid answers."""


@dataclass(frozen=True, kw_only=True)
class Breakdown:
    """The scores of an arm by one property."""

    by: str
    """A key of `PROPERTIES`, or `roles`."""
    overlapping: bool
    """Whether a judgment can be in several parts, as with roles."""
    parts: tuple[Part, ...]
    """Parts that hold a judgment: numbers rising, confidence from high to low, else the largest first. Empty where the
    property is known of no judgment."""


PROPERTIES: Mapping[str, Callable[[JudgmentMetadata], int | str | None]] = MappingProxyType(
    {
        "length": lambda about: about.length,
        "shown": lambda about: about.shown,
        "year": lambda about: about.year,
        "court": lambda about: about.court,
        "kind": lambda about: about.kind,
        "confidence": lambda about: about.confidence,
    }
)
"""Property -> its value; `roles` comes beside them."""


def breakdown(
    cases: Sequence[Scored], known: Mapping[str, JudgmentMetadata], by: str, *, scorer: PredictionScorer, bins: int = 4
) -> Breakdown:
    """The scores of an arm by a property of the judgments.

    Args:
        cases: the cases of the arm.
        known: id -> what is known of the judgment; ids that lack are judgments of which nothing is known.
        by: length, shown, year (cut into bins of about equally many judgments), court, kind, confidence, or roles (the
            judgments in which a role is shown, and those in which it is not).
        scorer: confidence, resamples and seed of the intervals.
        bins: how many bins numbers are cut into, at most.

    Raises:
        UserError: no such property.
    """
    nothing = JudgmentMetadata()
    if by == "roles":
        members = _by_role([(case, known.get(case.id, nothing).roles) for case in cases])
    elif by in PROPERTIES:
        pairs = [(case, PROPERTIES[by](known.get(case.id, nothing))) for case in cases]
        members = _by_value(pairs, bins)
    else:
        choices = ", ".join((*PROPERTIES, "roles"))
        raise UserError(f"no property {by!r}", where="breakdown", cure=f"choose from {choices}")
    parts = [_part(name, inside, scorer) for name, inside in members.items() if inside]
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
        sizes = {name: named.count(name) for name in set(named)}
        names = sorted(sizes, key=lambda name: (_rank(name), -sizes[name], name))
    members: dict[str, list[Scored]] = {name: [] for name in [*(n for n in names if n != UNKNOWN), UNKNOWN]}
    for (case, _), name in zip(pairs, named, strict=True):
        members[name].append(case)
    return members


def _rank(name: str) -> int:
    return CONFIDENCES.index(name) if name in CONFIDENCES else len(CONFIDENCES)


def _by_role(pairs: Sequence[tuple[Scored, frozenset[str] | None]]) -> dict[str, list[Scored]]:
    roles = [role for _, shown in pairs if shown is not None for role in shown]
    members: dict[str, list[Scored]] = {}
    for role in sorted(set(roles), key=lambda role: (-roles.count(role), role)):
        members[f"with {role}"] = [case for case, shown in pairs if shown is not None and role in shown]
        members[f"without {role}"] = [case for case, shown in pairs if shown is not None and role not in shown]
    if members:
        members[UNKNOWN] = [case for case, shown in pairs if shown is None]
    return members


def _part(name: str, cases: Sequence[Scored], scorer: PredictionScorer) -> Part:
    n = len(cases)
    answers = codes(cases)
    (spread,) = arm_intervals(
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
        interval=spread.bounds,
        interval_note=spread.note,
        accuracy=right / n,
        accuracy_interval=wilson(right, n, confidence=scorer.confidence),
        yes_rate=int(counts[0] + counts[3]) / n,
        gold_rate=int(counts[:3].sum()) / n,
        invalid_rate=int(counts[2] + counts[5]) / n,
    )
