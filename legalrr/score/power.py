"""How many judgments a difference between two arms would need, from how often they disagreed.

With p10 the share of judgments that only the arm gets right and p01 that of the reference, the difference of their
accuracies is d = p10 - p01 and their discordance psi = p10 + p01. The exact McNemar test looks at the discordant
judgments alone, so its power at n judgments is

    sum over m of P[M = m] P[test rejects | m],   M ~ Binomial(n, psi),   only the arm right ~ Binomial(m, p10 / psi)

(Connor 1987, doi 10.2307/2531968; Miettinen 1968, doi 10.2307/2528021, gives the normal approximation from which the
search for n starts). For a difference of macro-F1 see `legalrr.score.significance.judgments_needed`.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from legalrr.score.detectable import LEVEL, POWER
from legalrr.score.significance import Comparison

SIZES = tuple(round(10 ** (1 + step / 12)) for step in range(49))
"""Numbers of judgments at which a curve is drawn: 10 to 100,000, evenly on a logarithmic axis."""
MOST = 10_000_000
"""Where the search for a number of judgments gives up."""
TAIL = 1e-12
"""Probability left out on each side when summing over the number of discordant judgments."""


@dataclass(frozen=True, kw_only=True)
class PowerCurve:
    """What numbers of judgments could show, were the arms to differ by this much in accuracy."""

    difference: float
    """Accuracy of the arm less that of the reference."""
    discordance: float
    """Share of judgments that just one of the two gets right; at least the size of the difference."""
    sizes: tuple[int, ...]
    """Numbers of judgments."""
    power: tuple[float, ...]
    """Probability that the exact McNemar test finds the difference at `LEVEL`, for each of these numbers."""
    needed: int | None
    """Judgments for power `POWER`; None without a difference, or where over `MOST` would be needed."""


def power_curve(found: Comparison, difference: float | None = None, sizes: Sequence[int] = SIZES) -> PowerCurve:
    """The power curve of a comparison.

    Args:
        found: the comparison whose discordance is taken for the true one.
        difference: difference of accuracies to be found, between -1 and 1; None: the one observed.
        sizes: numbers of judgments.
    """
    difference = (found.b - found.c) / found.n if difference is None else difference
    # A difference cannot be larger than the discordance that it is made of.
    discordance = max((found.b + found.c) / found.n, abs(difference))
    return PowerCurve(
        difference=difference,
        discordance=discordance,
        sizes=tuple(sizes),
        power=tuple(mcnemar_power(difference, discordance, n) for n in sizes),
        needed=mcnemar_judgments(difference, discordance),
    )


def mcnemar_power(difference: float, discordance: float, n: int) -> float:
    """Probability that the two-sided exact McNemar test at `LEVEL` rejects.

    Args:
        difference: true difference of accuracies, between -discordance and discordance.
        discordance: true share of judgments that just one of the two arms gets right.
        n: judgments.
    """
    from scipy import stats

    if discordance == 0:
        return 0.0
    low, high = stats.binom.ppf([TAIL, 1 - TAIL], n, discordance)
    m = np.arange(max(low, 1), high + 1)
    # The largest count on the smaller side that is still significant, for each m; -1 where none is.
    last = stats.binom.ppf(LEVEL / 2, m, 0.5)
    last = np.where(stats.binom.cdf(last, m, 0.5) <= LEVEL / 2, last, last - 1)
    share = (1 + difference / discordance) / 2
    rejects = stats.binom.cdf(last, m, share) + stats.binom.sf(m - last - 1, m, share)
    return float(stats.binom.pmf(m, n, discordance) @ rejects)


def mcnemar_judgments(difference: float, discordance: float) -> int | None:
    """Judgments with which the power of the exact McNemar test passes `POWER`; see `PowerCurve.needed`."""
    from scipy import stats

    if difference == 0:
        return None
    gap = discordance - difference**2
    upper, lower = stats.norm.ppf(1 - LEVEL / 2) * math.sqrt(discordance), stats.norm.ppf(POWER) * math.sqrt(gap)
    guess = ((upper + lower) / difference) ** 2
    if guess > MOST:
        return None
    below, above = 0, math.ceil(guess)
    while mcnemar_power(difference, discordance, above) < POWER:
        below, above = above, math.ceil(above * 1.25)
    while above - below > 1:
        middle = (below + above) // 2
        if mcnemar_power(difference, discordance, middle) < POWER:
            below = middle
        else:
            above = middle
    return above
