"""Exact intervals of shares (Clopper and Pearson 1934, doi 10.1093/biomet/26.4.404)."""

from typing import Any

import numpy as np
import numpy.typing as npt


def share_intervals(parts: npt.NDArray[Any], wholes: npt.NDArray[Any], level: float = 0.95) -> npt.NDArray[np.float64]:
    """Clopper-Pearson intervals of shares, shapes (m,) to (2, m); 0 to 1 of nothing."""
    from scipy.special import betaincinv

    tail = (1 - level) / 2
    # The beta distribution ends where a parameter is 0; there the bound is 0 or 1.
    low = np.where(parts > 0, betaincinv(np.where(parts > 0, parts, 1), wholes - parts + 1, tail), 0.0)
    high = np.where(parts < wholes, betaincinv(parts + 1, np.where(parts < wholes, wholes - parts, 1), 1 - tail), 1.0)
    return np.stack([low, high])
