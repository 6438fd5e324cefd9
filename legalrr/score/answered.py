"""Reads predictions.jsonl: one judged case per line, checked field by field, so that scores rest on this file alone.

The file holds every answer as it came, so that another reading of the answers needs no model.
"""

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from legalrr.errors import UserError
from legalrr.records import OUTCOMES, CompletedTurn, Completion, Scored
from legalrr.score.about import About, about
from legalrr.verdict import ANSWER, VerdictReader

LABELS = (*OUTCOMES, "invalid")
JUDGMENTS = "judgments.jsonl.gz"
"""File beside it, of the judgments that a cell is about."""
PARTY_UNKNOWN = "party unknown"
"""Among the counts in run.json: judgments of which nothing shown tells which party came that the question is about."""


@dataclass(frozen=True, kw_only=True)
class Answered(Scored):
    """A judged case with what it took to answer it."""

    reason: str
    """Why the label is what it is (`legalrr.records.Verdict.reason`)."""
    prompt_tokens: int = 0
    """Tokens sent, over all turns."""
    cached_tokens: int = 0
    """Of these, how many a cache already held."""
    new_tokens: int = 0
    """Tokens written, over all turns."""
    dropped_tokens: int = 0
    """Tokens of the judgment left out to keep within the budget."""
    skipped: bool = False
    """Not asked about at all (overflow policy `skip`); its verdict is invalid by overflow."""
    prompt: str | None = None
    """Digest of all that was sent about it; None where the row does not tell, and for what asks no model."""


@dataclass(frozen=True, kw_only=True)
class Answers:
    """The predictions of one cell."""

    cases: tuple[Answered, ...]
    """What is scored: all judgments whose outcome is known, in the order of the file."""
    unlabelled: int = 0
    """Judgments whose outcome nobody knows; they are in no score."""
    about: Mapping[str, About] = field(default_factory=dict)
    """Id -> what is known of the judgment, for the cases that are scored."""
    places: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    """Id of each case -> where its row lies in the file: offset and length, in bytes."""
    hidden: Mapping[str, int] = field(default_factory=dict)
    """Reason (`legalrr.records.HideReason`) -> stretches hidden for it, over all cases."""
    hidden_length: int = 0
    """Characters hidden, over all cases."""


def read_answers(path: Path, reader: VerdictReader | None = None) -> Answers:
    """The predictions of one cell from its predictions.jsonl.

    Args:
        path: the file.
        reader: reads the answers anew; None: the verdicts are those in the file.

    Raises:
        UserError: the file is missing, a line is damaged (names file and line), or an id comes twice.
    """
    cases: list[Answered] = []
    known: dict[str, About] = {}
    lines: dict[str, str] = {}
    places: dict[str, tuple[int, int]] = {}
    hidden: list[tuple[str, int]] = []
    unlabelled = 0
    for where, place, row in _placed_rows(path, "prediction"):
        key = _field(row, "id", str, where)
        if key in lines:
            raise UserError(
                f"duplicate id {key!r}, first on line {lines[key].rpartition(':')[2]}",
                where=where,
                cure="run the cell again",
            )
        lines[key] = where
        if row.get("gold") is None:
            unlabelled += 1
        else:
            cases.append(answered(row if reader is None else reread(row, reader, where=where), where=where))
            known[key] = about(row, where=where)
            places[key] = place
            hidden += _hidden(row, where)
    return Answers(
        cases=tuple(cases),
        unlabelled=unlabelled,
        about=known,
        places=places,
        hidden=Counter(reason for reason, _ in hidden),
        hidden_length=sum(length for _, length in hidden),
    )


def reread(row: Mapping[str, Any], reader: VerdictReader, *, where: str) -> Mapping[str, Any]:
    """A row of predictions.jsonl with the verdict that `reader` finds in its answers; raises UserError naming `where`
    for a damaged row."""
    turns = tuple(
        CompletedTurn(
            name=_field(turn, "name", str, where),
            text=_field(turn, "text", str, where),
            finish_reason=_field(turn, "finish_reason", str, where),
            logprobs=turn.get("logprobs"),
        )
        for turn in _field(row, "turns", list, where)
    )
    completion = Completion(id=_field(row, "id", str, where), turns=turns, error=row.get("error"))
    verdict = reader.read_turn(completion, ANSWER)
    told = {"verdict": verdict.label, "reason": verdict.reason, "span": verdict.span, "p_allowed": verdict.p_allowed}
    return {**row, **told}


def answered(row: Mapping[str, Any], *, where: str) -> Answered:
    """One labelled row of predictions.jsonl as a judged case; raises UserError naming `where` for a damaged row."""
    gold, label = row.get("gold"), _field(row, "verdict", str, where)
    if gold not in OUTCOMES:
        raise damaged(where, f"gold {gold!r} is none of {', '.join(OUTCOMES)}")
    if label not in LABELS:
        raise damaged(where, f"verdict {label!r} is none of {', '.join(LABELS)}")
    p_allowed = row.get("p_allowed")
    if p_allowed is not None and not (isinstance(p_allowed, int | float) and 0 <= p_allowed <= 1):
        raise damaged(where, f"p_allowed {p_allowed!r} is no probability")
    turns = _field(row, "turns", list, where)
    if not all(isinstance(turn, dict) for turn in turns):
        raise damaged(where, "a turn is no JSON object")
    return Answered(
        id=_field(row, "id", str, where),
        gold=gold,
        label=label,
        reason=_field(row, "reason", str, where),
        cut_off=any(turn.get("finish_reason") == "length" for turn in turns),
        p_allowed=p_allowed,
        prompt_tokens=sum(_field(turn, "prompt_tokens", int, where) for turn in turns),
        cached_tokens=sum(_field(turn, "cached_tokens", int, where) for turn in turns),
        new_tokens=sum(_field(turn, "new_tokens", int, where) for turn in turns),
        dropped_tokens=_field({"dropped_tokens": 0, **row}, "dropped_tokens", int, where),
        skipped=_field({"skipped": False, **row}, "skipped", bool, where),
        cluster=_field({"cluster": "", **row}, "cluster", str, where),
        prompt=None if row.get("prompt") is None else _field(row, "prompt", str, where),
    )


def read_rows(path: Path, what: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """The lines of a file of a run folder as JSON objects, each with its place.

    Args:
        path: the file.
        what: what a line holds, for messages.

    Raises:
        UserError: the file cannot be read, or a line is no JSON object.
    """
    yield from ((where, row) for where, _, row in _placed_rows(path, what))


def _hidden(row: Mapping[str, Any], where: str) -> list[tuple[str, int]]:
    """Reason and length of every hidden stretch; none where the row does not tell."""
    try:
        return [(reason, end - start) for start, end, _, reason in row.get("hidden", [])]
    except (TypeError, ValueError) as error:
        raise damaged(where, "'hidden' is no list of stretches") from error


def _placed_rows(path: Path, what: str) -> Iterator[tuple[str, tuple[int, int], Mapping[str, Any]]]:
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


def _field(row: Mapping[str, Any], name: str, kind: type, where: str) -> Any:
    value = row.get(name)
    if not isinstance(value, kind):
        raise damaged(where, f"{name!r} is missing" if value is None else f"{name!r} is {value!r}")
    return value


def damaged(where: str, fault: str, what: str = "prediction") -> UserError:
    """What to say of a damaged line, which holds `what`."""
    return UserError(f"damaged {what}: {fault}", where=where, cure="run the cell again; stored calls are not repeated")
