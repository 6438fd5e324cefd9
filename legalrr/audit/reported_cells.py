"""Records of what a table reports: figures, and cells of figures of one arm on one set of cases."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

Rounding = Literal["nearest", "truncated", "either"]
Scale = Literal["percent", "fraction"]
WHOLE = "all"
"""Subset of a cell that covers all cases of its dataset."""


@dataclass(frozen=True, kw_only=True)
class Printed:
    """A number as printed."""

    value: float
    """The number, in the scale of the print."""
    decimals: int
    """Number of significant decimals."""
    rounding: Rounding = "nearest"
    """How it was rounded."""

    def bounds(self) -> tuple[float, float]:
        """Low and high of what is printed as this number; both are included, so no rule for ties is needed."""
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
    """Its caption: a rate (`legalrr.audit.rates.NAMES`), or a score of texts."""
    printed: Printed
    """The number."""
    text: str
    """The number as it stands in the file."""
    scales: Mapping[float, int]
    """Divisor (100: a percentage) -> how far-fetched it is; 0 is the most plausible."""
    sd: Printed | None
    """Standard deviation over runs, in the same scale; None where none is printed."""
    line: int
    """Line of the file."""

    def bounds(self, scale: float) -> tuple[float, float]:
        """Low and high of the rate."""
        low, high = self.printed.bounds()
        return low / scale, high / scale

    @property
    def scale(self) -> float:
        """The most plausible divisor; of two equally plausible ones, that of fractions."""
        return min(self.scales, key=lambda scale: (self.scales[scale], scale))


@dataclass(frozen=True, kw_only=True)
class ReportedCell:
    """What a table prints of one arm of one model on one set of cases."""

    table: str
    """File name of the table."""
    line: int
    """Its first line."""
    dataset: str
    """Name of the dataset; "" where the table has none, as for model and components."""
    model: str
    """Name of the model."""
    components: str
    """The arm: which switches were on."""
    subset: str
    """`all`, or the name of the part of the cases that was scored."""
    figures: Mapping[str, Figure]
    """Caption -> figure."""
    n: int | None
    """Cases scored; None where it is not stated."""
    positives: int | None
    """Of these, cases of the positive class."""
    unanswered: int | None
    """Of these, cases without an answer, counted as misses; None: any number."""
    runs: int | None
    """Runs that the figures are means of; None where it is not stated."""

    @property
    def block(self) -> tuple[str, str, str, str]:
        """Table, dataset, model and subset: the column of a table, whose figures were computed the same way."""
        return (self.table, self.dataset, self.model, self.subset)

    @property
    def title(self) -> str:
        """Title of the block: dataset, model and subset, as far as the table names them."""
        subset = "" if self.subset == WHOLE else self.subset
        return ", ".join(part for part in (self.dataset, self.model, subset) if part) or self.table

    @property
    def repeated(self) -> bool:
        """Whether its figures are means over runs."""
        return (self.runs or 1) > 1 or any(figure.sd is not None for figure in self.figures.values())


def join_words(parts: Sequence[str], conjunction: str = "and") -> str:
    """Join words into a phrase: "a, b and c"."""
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} {conjunction} {parts[-1]}" if parts else ""


def join_numbers(values: Sequence[int]) -> str:
    """Join sorted whole numbers, consecutive ones as a range: "1 to 3 or 7"."""
    parts: list[list[int]] = []
    for value in values:
        if parts and value == parts[-1][-1] + 1:
            parts[-1].append(value)
        else:
            parts.append([value])
    return join_words([str(part[0]) if len(part) == 1 else f"{part[0]} to {part[-1]}" for part in parts], "or")
