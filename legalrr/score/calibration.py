"""Whether the probabilities that an arm gives to `allowed` come true: reliability, Brier score, calibration error.

    Brier = mean of (p - y)^2,   y = 1 where the gold outcome is allowed       (Brier 1950)
    ECE   = sum over bins of n_bin / n * |mean p - share allowed|              (Naeini, Cooper, Hauskrecht, AAAI 2015)

Bins are either equally wide, or hold equally many judgments: then their edges are quantiles of p, and equal p share a
bin. ECE depends on the binning, which is why it is named.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from legalrr.records import Scored
from legalrr.score.interval import wilson
from legalrr.score.quantiles import upper_edges

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
