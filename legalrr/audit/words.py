"""Names and numbers as sentences and tables of the audit say them."""

import math
from collections.abc import Mapping, Sequence

from legalrr.audit.figures import WHOLE, Cell
from legalrr.audit.hypotheses import Hypothesis
from legalrr.audit.phrases import listed
from legalrr.audit.verdicts import Recomputed


def title(cell: Cell) -> str:
    """The block of a cell: dataset, model and subset, as far as the table names them."""
    subset = "" if cell.subset == WHOLE else cell.subset
    return ", ".join(part for part in (cell.dataset, cell.model, subset) if part) or cell.table


def says(hypothesis: Hypothesis) -> str:
    """What figures are instead of what their captions say."""
    return listed([f"{caption} is {what}" for caption, what in hypothesis.changes().items()])


def all_say(hypotheses: Sequence[Hypothesis]) -> str:
    """What figures are by some hypotheses: caption by caption where these are all combinations, else one by one."""
    said: dict[str, dict[str, None]] = {}
    for one in hypotheses:
        for caption, what in one.changes().items():
            said.setdefault(caption, {})[what] = None
    if math.prod(len(names) for names in said.values()) != len(hypotheses):
        return listed([says(one) for one in hypotheses], "or")
    return listed([f"{caption} is {listed(list(names), 'or')}" for caption, names in said.items()])


def percent(value: float, decimals: int = 2) -> str:
    """A share as a percentage without its sign."""
    return f"{100 * value:.{decimals}f}"


def spread(found: Recomputed) -> str:
    """A rate of the matrices that fit: one figure where they agree as printed, else from least to most."""
    low, high = percent(found.low), percent(found.high)
    return low if low == high else f"{low} to {high}"


def exact(found: Recomputed) -> str:
    """Its exact interval in brackets; "" where there is none."""
    return "" if found.interval is None else f"[{percent(found.interval[0], 1)}, {percent(found.interval[1], 1)}]"


def recomputed(values: Mapping[str, Recomputed], name: str) -> str:
    """A recomputed rate with its interval; "" where there is none."""
    return f"{spread(values[name])} {exact(values[name])}".strip() if name in values else ""
