"""What a table prints: figures, and cells of figures of one arm on one set of cases."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Rounding = Literal["nearest", "truncated", "either"]
Scale = Literal["percent", "fraction"]
WHOLE = "all"
"""The subset that is all cases of its dataset."""


@dataclass(frozen=True, kw_only=True)
class Printed:
    """A number as printed."""

    value: float
    """The number, in the scale of the print."""
    decimals: int
    """How many decimals count."""
    rounding: Rounding = "nearest"
    """How it was rounded."""

    def bounds(self) -> tuple[float, float]:
        """Low and high of what is printed as this number; both belong to it, so that no rule for ties is needed."""
        unit = 10.0**-self.decimals
        away = unit if self.value >= 0 else -unit
        nearest = self.value - unit / 2, self.value + unit / 2
        truncated = min(self.value, self.value + away), max(self.value, self.value + away)
        if self.rounding == "either":
            return min(nearest[0], truncated[0]), max(nearest[1], truncated[1])
        return nearest if self.rounding == "nearest" else truncated


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One printed figure."""

    caption: str
    """What it is said to be: a rate (`legalrr.audit.rates.NAMES`), or a score of texts."""
    printed: Printed
    """The number."""
    text: str
    """As it stands in the file."""
    scales: Mapping[float, int]
    """What to divide by (100: a percentage) -> how far-fetched that is."""
    sd: Printed | None
    """Standard deviation over runs, in the same scale; None where none is printed."""
    line: int
    """Where it stands."""

    def bounds(self, scale: float) -> tuple[float, float]:
        """Low and high of the rate."""
        low, high = self.printed.bounds()
        return low / scale, high / scale

    @property
    def scale(self) -> float:
        """The likeliest scale; of two as likely, fractions."""
        return min(self.scales, key=lambda scale: (self.scales[scale], scale))


@dataclass(frozen=True, kw_only=True)
class Cell:
    """What a table prints of one arm of one model on one set of cases."""

    table: str
    """File name of the table."""
    line: int
    """Its first line."""
    dataset: str
    """The cases; "" where nobody says, as for model and components."""
    model: str
    """Who was asked."""
    components: str
    """The arm: which switches were on."""
    subset: str
    """`all`, or the name of the part of the cases that was scored."""
    figures: Mapping[str, Figure]
    """Caption -> figure."""
    n: int | None
    """Cases scored; None where nobody says."""
    positives: int | None
    """Of these, of the positive class."""
    unanswered: int | None
    """Of these, without an answer, and counted as misses; None where it may be any number."""
    runs: int | None
    """Runs that the figures are means of; None where nobody says."""

    @property
    def block(self) -> tuple[str, str, str, str]:
        """The column of a table that it stands in: what was computed the same way."""
        return (self.table, self.dataset, self.model, self.subset)

    @property
    def repeated(self) -> bool:
        """Whether its figures are means over runs."""
        return (self.runs or 1) > 1 or any(figure.sd is not None for figure in self.figures.values())
