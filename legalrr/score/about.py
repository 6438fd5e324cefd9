"""What is known of a judgment beside its outcome, as a row of predictions.jsonl tells it."""

from dataclasses import dataclass

from legalrr.predictions import Prediction


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


def about(prediction: Prediction) -> About:
    """What a prediction tells of its judgment."""
    known = {name: getattr(prediction, name) for name in ("court", "year", "kind", "confidence", "length")}
    if prediction.shown is None:
        return About(**known)
    return About(
        **known,
        shown=sum(end - start for _, start, end in prediction.shown),
        roles=frozenset(role for role, _, _ in prediction.shown if role),
    )
