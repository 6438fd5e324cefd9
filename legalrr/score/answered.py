"""Reads predictions.jsonl: one judged case per line, checked field by field, so that scores rest on this file alone."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from legalrr.errors import UserError
from legalrr.records import OUTCOMES, Scored
from legalrr.score.about import About, about

LABELS = (*OUTCOMES, "invalid")


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


@dataclass(frozen=True, kw_only=True)
class Answers:
    """The predictions of one cell."""

    cases: tuple[Answered, ...]
    """What is scored: all judgments whose outcome is known, in the order of the file."""
    unlabelled: int = 0
    """Judgments whose outcome nobody knows; they are in no score."""
    about: Mapping[str, About] = field(default_factory=dict)
    """Id -> what is known of the judgment, for the cases that are scored."""


def read_answers(path: Path) -> Answers:
    """The predictions of one cell from its predictions.jsonl.

    Raises:
        UserError: the file is missing, a line is damaged (names file and line), or an id comes twice.
    """
    cases: list[Answered] = []
    known: dict[str, About] = {}
    lines: dict[str, int] = {}
    unlabelled = 0
    for number, row in _rows(path):
        where = f"{path}:{number}"
        key = _field(row, "id", str, where)
        if key in lines:
            raise UserError(f"duplicate id {key!r}, first on line {lines[key]}", where=where, cure="run the cell again")
        lines[key] = number
        if row.get("gold") is None:
            unlabelled += 1
        else:
            cases.append(answered(row, where=where))
            known[key] = about(row, where=where)
    return Answers(cases=tuple(cases), unlabelled=unlabelled, about=known)


def answered(row: Mapping[str, Any], *, where: str) -> Answered:
    """One labelled row of predictions.jsonl as a judged case; raises UserError naming `where` for a damaged row."""
    gold, label = row.get("gold"), _field(row, "verdict", str, where)
    if gold not in OUTCOMES:
        raise _damaged(where, f"gold {gold!r} is none of {', '.join(OUTCOMES)}")
    if label not in LABELS:
        raise _damaged(where, f"verdict {label!r} is none of {', '.join(LABELS)}")
    p_allowed = row.get("p_allowed")
    if p_allowed is not None and not (isinstance(p_allowed, int | float) and 0 <= p_allowed <= 1):
        raise _damaged(where, f"p_allowed {p_allowed!r} is no probability")
    turns = _field(row, "turns", list, where)
    if not all(isinstance(turn, dict) for turn in turns):
        raise _damaged(where, "a turn is no JSON object")
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
    )


def _rows(path: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    try:
        lines = path.read_bytes().split(b"\n")
    except OSError as error:
        raise UserError(
            f"cannot read the predictions: {error.strerror}", where=str(path), cure="run the cell"
        ) from error
    # The file ends with a newline; whatever follows the last one is a torn line and refused like any other.
    for number, line in enumerate(lines if lines[-1] else lines[:-1], start=1):
        try:
            row = json.loads(line)
        except ValueError as error:
            raise _damaged(f"{path}:{number}", "no JSON") from error
        if not isinstance(row, dict):
            raise _damaged(f"{path}:{number}", "no JSON object")
        yield number, row


def _field(row: Mapping[str, Any], name: str, kind: type, where: str) -> Any:
    value = row.get(name)
    if not isinstance(value, kind):
        raise _damaged(where, f"{name!r} is missing" if value is None else f"{name!r} is {value!r}")
    return value


def _damaged(where: str, what: str) -> UserError:
    return UserError(
        f"damaged prediction: {what}", where=where, cure="run the cell again; stored calls are not repeated"
    )
