"""Hypotheses of what printed figures are, and which matrices fit each: the heart of the audit.

A hypothesis says of every caption of a block what rate its figures are, and in what scale. A matrix fits it in a cell
if each rate, rounded as printed, is the figure. One that fits every cell of a block by other rates than the captions',
where the captions fit none, is hard to come by through chance; one that fits a single cell is not.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
import numpy.typing as npt

from legalrr.audit.figures import Cell, Figure
from legalrr.audit.matrices import MOST, Cases, Integers, narrowed, two_of_one_side, within
from legalrr.audit.rates import MISTAKEN, NAMES, rate


@dataclass(frozen=True, kw_only=True)
class Option:
    """What a figure may be."""

    rate: str
    """The rate."""
    scale: float
    """1 for a fraction, 100 for a percentage."""
    cost: int
    """How far-fetched it is; 0 for what the caption says."""


@dataclass(frozen=True)
class Hypothesis:
    """What the figures of a block are: caption -> option."""

    options: tuple[tuple[str, Option], ...]

    @property
    def cost(self) -> int:
        """How far-fetched it is; 0: the captions are right."""
        return sum(option.cost for _, option in self.options)

    def changes(self) -> dict[str, str]:
        """Caption -> what it is instead, in words; captions that are right are left out."""
        told = {}
        for caption, option in self.options:
            if option.rate != caption:
                told[caption] = NAMES[option.rate]
            elif option.cost:
                told[caption] = f"{NAMES[option.rate]} as a fraction among percentages"
        return told

    def of(self, cell: Cell) -> "Hypothesis":
        """What it says of the captions that a cell has."""
        return Hypothesis(tuple((caption, option) for caption, option in self.options if caption in cell.figures))


def options(figure: Figure) -> Iterator[Option]:
    """What a figure may be, by its caption first."""
    for name, far in {figure.caption: 0, **MISTAKEN[figure.caption]}.items():
        for scale, mistaken in figure.scales.items():
            yield Option(rate=name, scale=scale, cost=far + mistaken)


def rates_of(cell: Cell) -> dict[str, Figure]:
    """The figures of a cell that are rates of a matrix."""
    return {caption: figure for caption, figure in cell.figures.items() if caption in NAMES}


@dataclass(frozen=True, kw_only=True, eq=False)
class Fits:
    """The matrices that fit the figures of a cell, each figure as one option or another."""

    cell: Cell
    counts: Integers
    """Shape (6, m)."""
    fitting: Mapping[str, Mapping[Option, npt.NDArray[np.bool_]]]
    """Caption -> option -> which of the matrices it fits, shape (m,)."""

    def under(self, hypothesis: Hypothesis) -> Integers:
        """The matrices that fit a hypothesis, shape (6, k)."""
        mask = np.ones(self.counts.shape[1], dtype=bool)
        for caption, option in hypothesis.of(self.cell).options:
            fit = self.fitting[caption].get(option)
            if fit is None:
                return self.counts[:, :0]
            mask &= fit
        return self.counts[:, mask]

    def hypotheses(self) -> list[Hypothesis]:
        """All that at least one matrix fits, the least far-fetched first."""
        found = [
            Hypothesis(tuple(zip(self.fitting, chosen, strict=True)))
            for chosen in product(*(options for options in self.fitting.values()))
        ]
        kept = [one for one in found if self.under(one).shape[1]]
        return sorted(kept, key=lambda one: one.cost)


def fits(cell: Cell, counts: Integers, *, captions_only: bool = False) -> Fits:
    """Those of some matrices, shape (6, m), that fit a cell's figures as some option each."""
    figures = rates_of(cell)
    masks: dict[str, dict[Option, npt.NDArray[np.bool_]]] = {}
    # What leaves fewest matrices at least cost comes first.
    for caption in sorted(figures, key=lambda name: len(MISTAKEN[name])):
        found = {}
        for option in options(figures[caption]):
            if not (captions_only and option.cost):
                found[option] = within(rate(option.rate, counts), figures[caption].bounds(option.scale))
        some = np.any(list(found.values()), axis=0)
        counts = counts[:, some]
        masks = {name: {one: fit[some] for one, fit in own.items()} for name, own in masks.items()}
        masks[caption] = {one: fit[some] for one, fit in found.items() if fit.any()}
    return Fits(cell=cell, counts=counts, fitting={caption: masks[caption] for caption in figures})


def fits_among(cell: Cell, cases: Cases, *, captions_only: bool = False) -> Fits | None:
    """The same from what is known of the cases; None where the matrices are too many and no two rates narrow them."""
    if cases.size() <= MOST:
        return fits(cell, cases.matrices(), captions_only=captions_only)
    if cases.dropped or cases.unanswered != 0:
        return None
    return _narrowed_fits(cell, cases, captions_only=captions_only)


def _narrowed_fits(cell: Cell, cases: Cases, *, captions_only: bool) -> Fits | None:
    """Hypotheses without two rates of one side are not looked at; None where the captions are among these."""
    figures = rates_of(cell).values()
    choices = [[option for option in options(one) if not (captions_only and option.cost)] for one in figures]
    pairs: dict[tuple[tuple[str, tuple[float, float]], ...], None] = {}
    for chosen in product(*choices):
        bounds = {option.rate: one.bounds(option.scale) for option, one in zip(chosen, figures, strict=True)}
        pair = two_of_one_side(bounds)
        if pair is None and not any(option.cost for option in chosen):
            return None
        if pair is not None:
            pairs[tuple(pair.items())] = None
    found = [narrowed(cases, dict(pair)) for pair in pairs]
    counts = np.unique(np.concatenate(found, axis=1), axis=1)
    return fits(cell, counts, captions_only=captions_only)


def block_hypotheses(block: Sequence[Fits]) -> list[Hypothesis]:
    """All hypotheses that fit some cell, as hypotheses of the whole block; the least far-fetched first.

    A cell that lacks a caption leaves open what that caption is; then it is what other cells say.
    """
    found: dict[str, dict[Option, None]] = {}
    for one in block:
        for caption, own in one.fitting.items():
            found.setdefault(caption, {}).update(dict.fromkeys(own))
    chosen = [Hypothesis(tuple(zip(found, picked, strict=True))) for picked in product(*found.values())]
    return sorted(chosen, key=lambda one: one.cost)
