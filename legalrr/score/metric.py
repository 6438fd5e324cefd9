"""What a metric of explanations offers: scores of a generated text against the court's, pair by pair."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

from legalrr.stage import description, digest

Pair = tuple[str, str]
"""A generated text and the court's."""


class Metric(Protocol):
    """Scores generated texts against reference texts. A stage (`legalrr.stage`): its fields are its identity."""

    @property
    def name(self) -> str:
        """Name of the metric; a variant that gives other scores has a name of its own."""

    @property
    def shown(self) -> Mapping[str, str]:
        """Score that tables show -> its heading."""

    @property
    def detail(self) -> str:
        """How it was computed, in words, for the line above a table."""

    def provenance(self) -> Mapping[str, Any]:
        """JSON facts beyond the fields that scores depend on: version of a package, digest of an encoder."""

    def scores(self, pairs: Sequence[Pair]) -> Iterator[Mapping[str, float]]:
        """Scores of each pair, in order, by name; a text without a word scores 0."""


def told(metric: Metric) -> dict[str, Any]:
    """All that tells the scores of a metric from those of another one, as JSON."""
    return {"metric": description(metric), "provenance": dict(metric.provenance())}


def place(metric: Metric) -> str:
    """Name of the folder that the metric's scores are kept in: scores of two encoders never share one."""
    return f"{metric.name}-{digest(told(metric))[:12]}"
