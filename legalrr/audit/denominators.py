"""Whether the figures of a column can be shares of one number of cases: the plainest test of a caption.

FPR is a share of the negatives, FNR of the positives, and a column has one number of each. The figure 28.00 needs a
multiple of 25 cases, 36.84 one of 19: no number of negatives up to 44 gives both.
"""

import math
from collections.abc import Sequence

from legalrr.audit.matrices import SLACK

OF = {"fpr": "negatives", "tnr": "negatives", "fnr": "positives", "tpr": "positives"}
"""Rate -> the cases that it is a share of, the same for all cells on the same cases."""


def shares_of(size: int, bounds: tuple[float, float]) -> bool:
    """Whether some whole number of `size` cases is a share within bounds."""
    return math.floor((bounds[1] + SLACK) * size) >= math.ceil((bounds[0] - SLACK) * size)


def common(bounds: Sequence[tuple[float, float]], most: int) -> list[int]:
    """The numbers of cases up to `most` of which all figures can be shares."""
    return [size for size in range(1, most + 1) if all(shares_of(size, one) for one in bounds)]


def least(bounds: tuple[float, float], most: int) -> int | None:
    """The smallest number of cases of which a figure can be a share; None where it is above `most`."""
    return next(iter(common([bounds], most)), None)
