"""Rows of predictions.jsonl: one dataclass, its JSON form, and readers that report file and line of damage.

Files of earlier versions lack newer fields; the default of each such field says that it is missing.
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
    """Prediction of a cell for one judgment, with all that was sent and shown; fields in the order of the file."""

    id: str
    """The judgment's id."""
    gold: Outcome | None = None
    """The gold outcome; None if unknown."""
    court: str | None = None
    """Name of the court."""
    year: int | None = None
    """Year of the decision."""
    kind: str | None = None
    """Kind of matter, as in the corpus."""
    confidence: str | None = None
    """Confidence of the annotator in the outcome: high, medium or low."""
    length: int | None = None
    """Characters of the full judgment."""
    cluster: str = ""
    """Cluster of near-duplicates; "": the run predates the field."""
    verdict: Literal["allowed", "dismissed", "invalid"]
    """The predicted outcome."""
    reason: str
    """Reason of the verdict (`legalrr.records.Verdict.reason`)."""
    span: Sequence[int] | None = None
    """Offsets of the verdict in the text of the last turn: start, end."""
    p_allowed: float | None = None
    """Probability of `allowed`; None unless answers were compared."""
    cut_off: bool = False
    """Whether a turn was cut off."""
    error: str | None = None
    """Error message of the engine."""
    turns: Sequence[Json]
    """The answers, each with the fields of `legalrr.records.CompletedTurn`."""
    messages: Sequence[Json] = ()
    """Conversation of the last turn, as sent."""
    earlier: Sequence[Json] = ()
    """Earlier conversations that are not a prefix of the last one, as differences to it (`legalrr.run.folder`)."""
    prompt: str | None = None
    """Digest of the prompt; None for a baseline, and in older files."""
    shown: Sequence[Sequence[Any]] | None = None
    """Role, start and end of every visible passage; None in older files."""
    hidden: Sequence[Sequence[Any]] = ()
    """Start, end, role and reason (`legalrr.records.HideReason`) of every hidden passage."""
    pages: Mapping[str, Any] | None = None
    """Pages shown, hidden and dropped, of a judgment shown as images."""
    dropped_tokens: int = 0
    """Tokens dropped to fit the budget."""
    skipped: bool = False
    """Whether the overflow policy `skip` excluded the judgment."""

    @classmethod
    def from_json(cls, row: Json, *, where: str) -> "Prediction":
        """Build a prediction from a row of the file; ignore fields unknown to this version.

        Args:
            row: the JSON object.
            where: file and line, for messages.

        Raises:
            UserError: a field is missing or invalid.
        """
        values = {name: row[name] for name in FIELDS if row.get(name) is not None}
        for name in ("id", "verdict", "reason", "turns"):
            if name not in values:
                raise damaged_line(where, f"{name!r} is missing")
        for name, kind in KINDS.items():
            if name in values and not isinstance(values[name], kind):
                raise damaged_line(where, f"{name!r} is {values[name]!r}")
        if values.get("gold", OUTCOMES[0]) not in OUTCOMES:
            raise damaged_line(where, f"gold {values['gold']!r} is none of {', '.join(OUTCOMES)}")
        if values["verdict"] not in LABELS:
            raise damaged_line(where, f"verdict {values['verdict']!r} is none of {', '.join(LABELS)}")
        p_allowed = values.get("p_allowed", 0)
        if not (isinstance(p_allowed, int | float) and 0 <= p_allowed <= 1):
            raise damaged_line(where, f"p_allowed {p_allowed!r} is not a probability")
        for turn in values["turns"]:
            if not isinstance(turn, dict):
                raise damaged_line(where, "a turn is not a JSON object")
            for name in ("prompt_tokens", "cached_tokens", "new_tokens"):
                field(turn, name, int, where)
        try:
            sum(end - start for _, start, end in values.get("shown", ()))
        except (TypeError, ValueError) as error:
            raise damaged_line(where, "'shown' is not a list of blocks") from error
        try:
            sum(end - start for start, end, _, _ in values.get("hidden", ()))
        except (TypeError, ValueError) as error:
            raise damaged_line(where, "'hidden' is not a list of passages") from error
        return cls(**values)

    def to_json(self) -> dict[str, Any]:
        """Return the row of the file."""
        return {name: getattr(self, name) for name in FIELDS}


FIELDS = tuple(one.name for one in fields(Prediction))
KINDS: Mapping[str, type] = {
    **dict.fromkeys(("id", "verdict", "reason", "court", "kind", "confidence", "cluster", "prompt", "error"), str),
    **dict.fromkeys(("year", "length", "dropped_tokens"), int),
    **dict.fromkeys(("cut_off", "skipped"), bool),
    **dict.fromkeys(("turns", "messages", "earlier"), list),
}
"""Field -> required type, for fields that are present."""


def read_predictions(path: Path) -> Iterator[tuple[str, tuple[int, int], Prediction]]:
    """Yield the predictions of one cell, each with file and line, and with its offset and length in bytes.

    Raises:
        UserError: a missing file, a damaged line (names file and line), or a duplicate id.
    """
    lines: dict[str, str] = {}
    for where, place, row in _read_lines(path, "prediction"):
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
    """Yield the lines of a file of a run folder as JSON objects, each with file and line.

    Args:
        path: the file.
        what: content of a line, for messages.

    Raises:
        UserError: the file cannot be read, or a line is not a JSON object.
    """
    yield from ((where, row) for where, _, row in _read_lines(path, what))


def _read_lines(path: Path, what: str) -> Iterator[tuple[str, tuple[int, int], Json]]:
    """Yield as `read_rows`, also with offset and length of every line in bytes."""
    try:
        lines = path.read_bytes().split(b"\n")
    except OSError as error:
        raise UserError(f"cannot read the {what}s: {error.strerror}", where=str(path), cure="run the cell") from error
    at = 0
    # The file ends with a newline; text after the last one is an incomplete line, and an error.
    for number, line in enumerate(lines if lines[-1] else lines[:-1], start=1):
        try:
            row = json.loads(line)
        except ValueError as error:
            raise damaged_line(f"{path}:{number}", "not JSON", what) from error
        if not isinstance(row, dict):
            raise damaged_line(f"{path}:{number}", "not a JSON object", what)
        yield f"{path}:{number}", (at, len(line)), row
        at += len(line) + 1


def field(row: Json, name: str, kind: type, where: str) -> Any:
    """Return a field of a JSON object; raises UserError at `where` if it is missing or of another type."""
    value = row.get(name)
    if not isinstance(value, kind):
        raise damaged_line(where, f"{name!r} is missing" if value is None else f"{name!r} is {value!r}")
    return value


def damaged_line(where: str, fault: str, what: str = "prediction") -> UserError:
    """Build the error for a damaged line, whose content is `what`."""
    return UserError(f"damaged {what}: {fault}", where=where, cure="run the cell again; stored calls are not repeated")
