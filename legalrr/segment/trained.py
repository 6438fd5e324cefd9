"""What the trained taggers share around their models: checked options, the model file that is named, spans."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Protocol, TypeVar

from legalrr.errors import UserError
from legalrr.places import resolve
from legalrr.records import Judgment, Segments, Span
from legalrr.roles import scheme as roles_of
from legalrr.segment.card import Card
from legalrr.segment.sentences import split


class Model(Protocol):
    """An opened model."""

    @property
    def card(self) -> Card:
        """Its card."""


M = TypeVar("M", bound=Model)


def check_options(scheme: str, prior_correction: float) -> None:
    """Raises UserError for an unknown scheme, or a correction that is not from 0 to 1."""
    roles_of(scheme, where="segment.scheme")
    if not 0 <= prior_correction <= 1:
        raise UserError(f"{prior_correction}", where="segment.prior_correction", cure="from 0 to 1")


def open_model(load: Callable[[Path, int], M], model: str, *, scheme: str | None) -> M:
    """The model of a tagger.

    Args:
        load: opens a file, given its time of change in nanoseconds, too: so it may keep what it opened, and yet a file
            that was trained anew is opened anew.
        model: config path of the file.
        scheme: scheme of the roles that it has to know; None: any.

    Raises:
        UserError: the file is missing, or of another scheme; and what `load` raises.
    """
    path = resolve(model)
    if not path.is_file():
        raise UserError(
            "no such model", where=str(path), cure="correct segment.model, or train one: legalrr segment train"
        )
    opened = load(path, path.stat().st_mtime_ns)
    if scheme is not None and opened.card.scheme != scheme:
        raise UserError(
            f"the model knows the roles of {opened.card.scheme!r}, not of {scheme!r}",
            where=str(path),
            cure=f"set segment.scheme={opened.card.scheme} or choose another model",
        )
    return opened


def tagged(
    judgment: Judgment, decode: Callable[[Sequence[str]], Sequence[tuple[str, float]]], *, scheme: str
) -> Segments:
    """A span per sentence of the judgment; `decode` gives role and score for each of its sentences."""
    offsets = split(judgment.text)
    decoded = decode([judgment.text[start:end] for start, end in offsets])
    spans = (
        Span(start=start, end=end, role=role, score=score)
        for (start, end), (role, score) in zip(offsets, decoded, strict=True)
    )
    return Segments(id=judgment.id, scheme=scheme, spans=tuple(spans))
