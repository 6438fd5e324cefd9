"""Rows of predictions.jsonl: one dataclass, its JSON form, and readers that report file and line of damage.

Files of earlier versions lack newer fields; the default of each such field says that it is missing.
"""

import reprlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any, Literal

from legalrr.errors import UserError, file_errors
from legalrr.records import OUTCOMES, Outcome
from legalrr.typed_json import Bounds, JsonError, Shape, load_json, parse

PREDICTIONS = "predictions.jsonl"
LABELS = (*OUTCOMES, "invalid")

Json = Mapping[str, Any]
Count = Annotated[int, Bounds(0)]
"""A number of characters or tokens, or an offset."""
TEXTS = ("name", "text")
"""Fields of a turn that every row with messages has."""


@dataclass(frozen=True, kw_only=True)
class _Turn:
    """Fields of a turn in the file; older rows lack some."""

    name: str | None = None
    text: str | None = None
    finish_reason: str | None = None
    prompt_tokens: Count
    cached_tokens: Count
    new_tokens: Count
    seconds: Annotated[float, Bounds(0)] = 0.0
    logprobs: Mapping[str, float] | None = None


@dataclass(frozen=True, kw_only=True)
class _ContentPart:
    """A part of a message with page images: a text, or the number and resolution of a page."""

    type: Literal["text", "image"]
    text: str = ""
    number: int | None = None
    dpi: int | None = None


@dataclass(frozen=True, kw_only=True)
class _Image:
    """The image of a page."""

    sha256: str
    number: Count
    dpi: Count | None = None


@dataclass(frozen=True, kw_only=True)
class _Reference:
    """A part of a message that another file or field holds (`legalrr.sent_messages`); one field is set."""

    lines: tuple[Count, Count] | None = None
    shown: tuple[Count, Count] | None = None
    judgment: tuple[Count, Count] | None = None
    turn: str | None = None
    page: Count | None = None
    image: Annotated[Json, Shape(_Image)] | None = None


@dataclass(frozen=True, kw_only=True)
class _Message:
    """A message as it was sent: its parts, or in files of format 1 its content."""

    role: str
    parts: Sequence[str | Annotated[Json, Shape(_Reference)]] | None = None
    content: str | Sequence[Annotated[Json, Shape(_ContentPart)]] | None = None


@dataclass(frozen=True, kw_only=True)
class _Earlier:
    """A conversation; in files of format 1 the difference to the last one: role, number of shared characters, rest."""

    turn: str
    messages: Sequence[
        tuple[str, Count, str | Sequence[Annotated[Json, Shape(_ContentPart)]]] | Annotated[Json, Shape(_Message)]
    ]


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """Prediction of a cell for one judgment, with all that was sent and shown; fields in the order of the file."""

    id: str
    """The judgment's id."""
    gold: Outcome | None = None
    """The gold outcome; None if unknown."""
    court: str | None = None
    """Name of the court."""
    year: Annotated[int, Bounds(0, 9999)] | None = None
    """Year of the decision."""
    kind: str | None = None
    """Kind of matter, as in the corpus."""
    confidence: str | None = None
    """Confidence of the annotator in the outcome: high, medium or low."""
    length: Count | None = None
    """Characters of the full judgment."""
    cluster: str = ""
    """Cluster of near-duplicates; "": the run predates the field."""
    verdict: Literal["allowed", "dismissed", "invalid"]
    """The predicted outcome."""
    reason: str
    """Reason of the verdict (`legalrr.records.Verdict.reason`)."""
    span: Annotated[Sequence[int], Shape(tuple[Count, Count])] | None = None
    """Offsets of the verdict in the text of the last turn: start, end."""
    p_allowed: Annotated[float, Bounds(0, 1)] | None = None
    """Probability of `allowed`; None unless answers were compared."""
    cut_off: bool = False
    """Whether a turn was cut off."""
    error: str | None = None
    """Error message of the engine."""
    turns: Sequence[Annotated[Json, Shape(_Turn)]]
    """The answers, each with the fields of `legalrr.records.CompletedTurn`."""
    messages: Sequence[Annotated[Json, Shape(_Message)]] = ()
    """Conversation of the last turn, without the texts that other files hold (`legalrr.sent_messages`)."""
    earlier: Sequence[Annotated[Json, Shape(_Earlier)]] = ()
    """Earlier conversations that are not a prefix of the last one."""
    prompt: str | None = None
    """Digest of the prompt; None for a baseline, and in older files."""
    shown: Sequence[Annotated[Sequence[Any], Shape(tuple[str, Count, Count])]] | None = None
    """Role, start and end of every visible passage; None in older files."""
    hidden: Sequence[Annotated[Sequence[Any], Shape(tuple[Count, Count, str, str])]] = ()
    """Start, end, role and reason (`legalrr.records.HideReason`) of every hidden passage."""
    pages: Mapping[str, Any] | None = None
    """Pages shown, hidden and dropped, of a judgment shown as images."""
    dropped_tokens: Count = 0
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
        try:
            found = parse(cls, row)
        except JsonError as fault:
            raise damaged_line(where, str(fault)) from fault
        for _, start, end in found.shown or ():
            _check_passage(start, end, where)
        for start, end, *_ in (*found.hidden, found.span or (0, 0)):
            _check_passage(start, end, where)
        if found.messages and not all(isinstance(turn.get(name), str) for turn in found.turns for name in TEXTS):
            raise damaged_line(where, f"a turn lacks {' or '.join(map(repr, TEXTS))}")
        for message in found.messages:
            _check_message(message, where)
        for earlier in found.earlier:
            for message in earlier["messages"]:
                if isinstance(message, dict):
                    _check_message(message, where)
        return found

    def to_json(self) -> dict[str, Any]:
        """Return the row of the file."""
        return {name: getattr(self, name) for name in FIELDS}


def _check_passage(start: int, end: int, where: str) -> None:
    if start > end:
        raise damaged_line(where, f"a passage ends before it starts: {start} to {end}")


def _check_message(message: Json, where: str) -> None:
    parts = message.get("parts")
    if (parts is None) == (message.get("content") is None):
        raise damaged_line(where, "a message needs either parts or content")
    for part in parts or ():
        if not isinstance(part, str) and not (
            len(part) == 1 and REFERENCES.issuperset(part) and None not in part.values()
        ):
            raise damaged_line(where, f"{reprlib.repr(part)} is no part of a message")


REFERENCES = frozenset(one.name for one in fields(_Reference))
FIELDS = tuple(one.name for one in fields(Prediction))


def read_predictions(path: Path) -> Iterator[tuple[str, tuple[int, int], Prediction]]:
    """Yield the predictions of one cell, each with file and line, and with its offset and length in bytes.

    Raises:
        UserError: a missing file, a damaged line (names file and line), or a duplicate id.
    """
    lines: dict[str, int] = {}
    for number, (where, place, row) in enumerate(_read_lines(path, "prediction"), start=1):
        prediction = Prediction.from_json(row, where=where)
        first = lines.setdefault(prediction.id, number)
        if first != number:
            raise UserError(
                f"duplicate id {prediction.id!r}, first on line {first}", where=where, cure="run the cell again"
            )
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
    """Yield as `read_rows`, also with offset and length of every line in bytes; one line is in memory at a time."""
    doing = f"cannot read the {what}s"
    at = 0
    with file_errors(path, doing=doing):
        try:
            file = path.open("rb")
        except FileNotFoundError as error:
            raise UserError(f"{doing}: {error.strerror}", where=str(path), cure="run the cell") from error
        with file:
            for number, whole in enumerate(file, start=1):
                line = whole.removesuffix(b"\n")
                try:
                    row = load_json(line)
                except ValueError as error:
                    raise damaged_line(f"{path}:{number}", "not JSON", what) from error
                if not isinstance(row, dict):
                    raise damaged_line(f"{path}:{number}", "not a JSON object", what)
                yield f"{path}:{number}", (at, len(line)), row
                at += len(whole)


def field(row: Json, name: str, kind: type, where: str) -> Any:
    """Return a field of a JSON object; raises UserError at `where` if it is missing or of another type."""
    value = row.get(name)
    if not isinstance(value, kind):
        raise damaged_line(where, f"{name!r} is missing" if value is None else f"{name!r} is {value!r}")
    return value


def damaged_line(where: str, fault: str, what: str = "prediction") -> UserError:
    """Build the error for a damaged line, whose content is `what`."""
    return UserError(f"damaged {what}: {fault}", where=where, cure="run the cell again; stored calls are not repeated")
