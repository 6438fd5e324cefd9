"""Cuts numbers into bins that hold about equally many of them."""

import numpy as np

from legalrr.score.confusion import Floats


def upper_edges(values: Floats, bins: int) -> Floats:
    """Upper edges of at most `bins` bins, rising and distinct; each is one of the values, equal values share a bin.

    A value belongs to the first bin whose upper edge is not below it: `np.searchsorted(edges, values)`.
    """
    return np.unique(np.quantile(values, np.linspace(0, 1, bins + 1)[1:], method="inverted_cdf"))
