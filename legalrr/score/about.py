"""What is known of a judgment beside its outcome, as a row of predictions.jsonl tells it."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from legalrr.errors import UserError


@dataclass(frozen=True, kw_only=True)
class About:
    """What is known of a judgment. None: the corpus does not say, or the run is older than the field."""

    court: str | None = None
    """Name of the court."""
    year: int | None = None
    """Year of the decision."""
    kind: str | None = None
    """Kind of matter, as the corpus has it."""
    confidence: str | None = None
    """How sure the label's reader was: high, medium or low."""
    length: int | None = None
    """Characters of the whole judgment."""
    shown: int | None = None
    """Characters of it that were shown."""
    roles: frozenset[str] | None = None
    """Roles of what was shown; without text that no span covers."""


def about(row: Mapping[str, Any], *, where: str) -> About:
    """What a row of predictions.jsonl tells of its judgment; raises UserError naming `where` for a damaged row."""
    texts = {name: row.get(name) for name in ("court", "kind", "confidence")}
    numbers = {name: row.get(name) for name in ("year", "length")}
    for kind, values in ((str, texts), (int, numbers)):
        for name, value in values.items():
            if value is not None and not isinstance(value, kind):
                raise UserError(f"damaged prediction: {name!r} is {value!r}", where=where, cure="run the cell again")
    shown = row.get("shown")
    if shown is None:
        return About(**texts, **numbers)
    try:
        blocks = [(role, end - start) for role, start, end in shown]
    except (TypeError, ValueError) as error:
        raise UserError(
            "damaged prediction: 'shown' is no list of blocks", where=where, cure="run the cell again"
        ) from error
    return About(
        **texts,
        **numbers,
        shown=sum(length for _, length in blocks),
        roles=frozenset(role for role, _ in blocks if role),
    )
