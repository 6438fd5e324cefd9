"""What options say of the cases behind a table."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from legalrr.audit.figures import WHOLE

SIZES = ("n", "positives", "unanswered", "runs")
"""What may be known of the cases of a cell."""


@dataclass(frozen=True, kw_only=True)
class Sizes:
    """What options say of the cases, above the table's own columns: dataset -> number, "" for every dataset."""

    n: Mapping[str, int | None] = field(default_factory=dict)
    """Cases of the dataset; a subset's own n stays the table's."""
    positives: Mapping[str, int | None] = field(default_factory=dict)
    """Cases of the positive class."""
    unanswered: Mapping[str, int | None] = field(default_factory=dict)
    """Cases without an answer; None: any number."""
    runs: Mapping[str, int | None] = field(default_factory=dict)
    """Runs that figures are means of."""

    def of(self, name: str, labels: Sequence[str]) -> tuple[int | None] | None:
        """What is said of a cell, in a tuple; None where nothing is."""
        said: Mapping[str, int | None] = getattr(self, name)
        dataset, subset = labels[0], labels[3]
        if subset != WHOLE and name in ("n", "positives"):
            return None
        return (said[dataset],) if dataset in said else (said[""],) if "" in said else None


NOTHING_SAID = Sizes()
"""Where the table alone speaks."""
