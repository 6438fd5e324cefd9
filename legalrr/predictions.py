"""The rows of predictions.jsonl: one dataclass, its JSON, and readers that name file and line of what is damaged.

Files of earlier versions lack the fields that came later; each has the default that says so.
"""

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal

from legalrr.errors import UserError
from legalrr.records import OUTCOMES, Outcome

PREDICTIONS = "predictions.jsonl"
LABELS = (*OUTCOMES, "invalid")

Json = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """What a cell answered about one judgment, and all that it sent and showed; the fields in the order of the file."""

    id: str
    """The judgment's id."""
    gold: Outcome | None = None
    """Its outcome; None where the corpus does not say."""
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
    cluster: str = ""
    """Name that the judgment shares with those that it nearly repeats; "": the run is older than the field."""
    verdict: Literal["allowed", "dismissed", "invalid"]
    """What the last answer says."""
    reason: str
    """Why the verdict is what it is (`legalrr.records.Verdict.reason`)."""
    span: Sequence[int] | None = None
    """Where in the last turn's text the verdict was read: start, end."""
    p_allowed: float | None = None
    """Probability of `allowed`, where answers were compared."""
    cut_off: bool = False
    """Whether a turn was cut off."""
    error: str | None = None
    """What a failing engine said."""
    turns: Sequence[Json]
    """The answers, each with the fields of `legalrr.records.CompletedTurn`."""
    messages: Sequence[Json] = ()
    """The conversation of the last turn, as it was sent."""
    earlier: Sequence[Json] = ()
    """The conversations that do not open the last one, by their difference to it (`legalrr.run.folder`)."""
    prompt: str | None = None
    """Digest of all that was to be sent; None for a baseline, and in older files."""
    shown: Sequence[Sequence[Any]] | None = None
    """Role, start and end of every stretch that was shown; None in older files."""
    hidden: Sequence[Sequence[Any]] = ()
    """Start, end, role and reason (`legalrr.records.HideReason`) of every stretch that was hidden."""
    pages: Mapping[str, Any] | None = None
    """The pages shown, hidden and dropped, of a judgment shown as images."""
    dropped_tokens: int = 0
    """Tokens left out to keep within the budget."""
    skipped: bool = False
    """Not asked about at all (overflow policy `skip`)."""

    @classmethod
    def from_json(cls, row: Json, *, where: str) -> "Prediction":
        """A row as it stands in the file; fields that this version does not have are left out.

        Args:
            row: the JSON object.
            where: file and line, for messages.

        Raises:
            UserError: a field is missing, or is not what it has to be.
        """
        values = {name: row[name] for name in FIELDS if row.get(name) is not None}
        for name in ("id", "verdict", "reason", "turns"):
            if name not in values:
                raise damaged(where, f"{name!r} is missing")
        for name, kind in KINDS.items():
            if name in values and not isinstance(values[name], kind):
                raise damaged(where, f"{name!r} is {values[name]!r}")
        if values.get("gold", OUTCOMES[0]) not in OUTCOMES:
            raise damaged(where, f"gold {values['gold']!r} is none of {', '.join(OUTCOMES)}")
        if values["verdict"] not in LABELS:
            raise damaged(where, f"verdict {values['verdict']!r} is none of {', '.join(LABELS)}")
        p_allowed = values.get("p_allowed", 0)
        if not (isinstance(p_allowed, int | float) and 0 <= p_allowed <= 1):
            raise damaged(where, f"p_allowed {p_allowed!r} is no probability")
        for turn in values["turns"]:
            if not isinstance(turn, dict):
                raise damaged(where, "a turn is no JSON object")
            for name in ("prompt_tokens", "cached_tokens", "new_tokens"):
                field(turn, name, int, where)
        try:
            sum(end - start for _, start, end in values.get("shown", ()))
        except (TypeError, ValueError) as error:
            raise damaged(where, "'shown' is no list of blocks") from error
        try:
            sum(end - start for start, end, _, _ in values.get("hidden", ()))
        except (TypeError, ValueError) as error:
            raise damaged(where, "'hidden' is no list of stretches") from error
        return cls(**values)

    def to_json(self) -> dict[str, Any]:
        """The row, as it is written."""
        return {name: getattr(self, name) for name in FIELDS}


FIELDS = tuple(one.name for one in fields(Prediction))
KINDS: Mapping[str, type] = {
    **dict.fromkeys(("id", "verdict", "reason", "court", "kind", "confidence", "cluster", "prompt", "error"), str),
    **dict.fromkeys(("year", "length", "dropped_tokens"), int),
    **dict.fromkeys(("cut_off", "skipped"), bool),
    **dict.fromkeys(("turns", "messages", "earlier"), list),
}
"""What some fields have to be, where they are there."""


def read_predictions(path: Path) -> Iterator[tuple[str, tuple[int, int], Prediction]]:
    """The predictions of one cell, each with file and line for messages, and with its offset and length in bytes.

    Raises:
        UserError: the file is missing, a line is damaged (names file and line), or an id comes twice.
    """
    lines: dict[str, str] = {}
    for where, place, row in _placed(path, "prediction"):
        prediction = Prediction.from_json(row, where=where)
        if prediction.id in lines:
            raise UserError(
                f"duplicate id {prediction.id!r}, first on line {lines[prediction.id].rpartition(':')[2]}",
                where=where,
                cure="run the cell again",
            )
        lines[prediction.id] = where
        yield where, place, prediction


def read_rows(path: Path, what: str) -> Iterator[tuple[str, Json]]:
    """The lines of a file of a run folder as JSON objects, each with its place.

    Args:
        path: the file.
        what: what a line holds, for messages.

    Raises:
        UserError: the file cannot be read, or a line is no JSON object.
    """
    yield from ((where, row) for where, _, row in _placed(path, what))


def _placed(path: Path, what: str) -> Iterator[tuple[str, tuple[int, int], Json]]:
    """As `read_rows`, with offset and length of every line in bytes."""
    try:
        lines = path.read_bytes().split(b"\n")
    except OSError as error:
        raise UserError(f"cannot read the {what}s: {error.strerror}", where=str(path), cure="run the cell") from error
    at = 0
    # The file ends with a newline; whatever follows the last one is a torn line and refused like any other.
    for number, line in enumerate(lines if lines[-1] else lines[:-1], start=1):
        try:
            row = json.loads(line)
        except ValueError as error:
            raise damaged(f"{path}:{number}", "no JSON", what) from error
        if not isinstance(row, dict):
            raise damaged(f"{path}:{number}", "no JSON object", what)
        yield f"{path}:{number}", (at, len(line)), row
        at += len(line) + 1


def field(row: Json, name: str, kind: type, where: str) -> Any:
    """A field of a JSON object; raises UserError naming `where` if it is missing, or of another type."""
    value = row.get(name)
    if not isinstance(value, kind):
        raise damaged(where, f"{name!r} is missing" if value is None else f"{name!r} is {value!r}")
    return value


def damaged(where: str, fault: str, what: str = "prediction") -> UserError:
    """What to say of a damaged line, which holds `what`."""
    return UserError(f"damaged {what}: {fault}", where=where, cure="run the cell again; stored calls are not repeated")
