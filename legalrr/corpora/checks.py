"""What every reader shares: labels, parties, splits, and what a judgment must satisfy.

Whatever is wrong raises UserError with file and line, row or id; nothing is repaired or passed over in silence.
"""

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from legalrr.corpora.files import csv_rows, located
from legalrr.errors import UserError
from legalrr.records import OUTCOMES, PARTIES, Judgment, Outcome, Party, Span
from legalrr.roles import scheme

ZERO_ONE: Mapping[str, Outcome] = {"0": "dismissed", "1": "allowed"}
CONFIDENCES = ("high", "medium", "low")


@dataclass(frozen=True, kw_only=True)
class Label:
    """An outcome as a table of labels states it."""

    outcome: Outcome | None
    """None where the label is blank."""
    confidence: str | None
    """high, medium or low; None where not stated."""


def outcome_of(value: object, *, where: str, labels: Mapping[str, str] | None = None) -> Outcome | None:
    """The outcome that a published label states; None for a blank one.

    Args:
        value: 0 or 1 as a number or text, or a key of `labels`.
        where: file and line, for messages.
        labels: published label -> "allowed" or "dismissed"; without it 1 is allowed and 0 dismissed.
    """
    if value is None or value == "" or (isinstance(value, float) and math.isnan(value)):
        return None
    key = str(int(value)) if isinstance(value, float) and value.is_integer() else str(value).strip()
    known = labels or ZERO_ONE
    if key not in known:
        raise UserError(f"label {key!r} is none of {', '.join(known)}", where=where, cure="1 is allowed, 0 dismissed")
    return cast(Outcome, known[key])


def check_labels(labels: Mapping[str, str], *, where: str) -> None:
    """Raises UserError where a label stands for something else than allowed or dismissed."""
    for label, outcome in labels.items():
        if outcome not in OUTCOMES:
            raise UserError(f"label {label!r} cannot mean {outcome!r}", where=where, cure="write allowed or dismissed")


def read_labels(path: Path, id_column: str) -> dict[str, Label]:
    """Labels by id from a CSV with the columns `id_column`, label and, optionally, confidence."""
    found: dict[str, Label] = {}
    for where, row in csv_rows(path, (id_column, "label")):
        key = row[id_column]
        if key in found:
            raise UserError(f"duplicate id {key!r}", where=where, cure="one row per judgment")
        found[key] = label_of(row, where=where)
    return found


def label_of(row: Mapping[str, str], *, where: str) -> Label:
    """The label of one row with the columns label and, optionally, confidence."""
    confidence = row.get("confidence") or None
    if confidence not in (None, *CONFIDENCES):
        raise UserError(f"confidence {confidence!r}", where=where, cure=f"one of {', '.join(CONFIDENCES)}, or blank")
    return Label(outcome=outcome_of(row["label"], where=where), confidence=confidence)


def joined_labels(path: str | None, id_column: str, ids: Iterable[str]) -> dict[str, Label]:
    """Labels for judgments; raises UserError where the file has a label for none of `ids`. No path: no labels."""
    if path is None:
        return {}
    file = located(path)
    labels = read_labels(file, id_column)
    if labels and labels.keys().isdisjoint(ids):
        raise UserError(
            f"no {id_column} of this file is a judgment of the corpus ({next(iter(labels))!r} is not)",
            where=str(file),
            cure="the id of a judgment is its file's name without .txt",
        )
    return labels


def party_of(value: object, *, where: str) -> Party | None:
    """The party that an outcome refers to, None for a blank; raises UserError for any other word."""
    if value is None or value == "":
        return None
    if value not in PARTIES:
        raise UserError(f"unknown party {value!r}", where=where, cure=f"one of {', '.join(PARTIES)}, or blank")
    return cast(Party, value)


def splits_to_read(split: str | None, available: Iterable[str], *, corpus: str) -> list[str]:
    """The named split, or all that there are; raises UserError for one that the corpus has not."""
    known = list(available)
    if split is None:
        return known
    if split not in known:
        has = f"it has {', '.join(known)}" if known else "it has none: leave split: null"
        raise UserError(f"no split {split!r}", where=f"corpus {corpus}", cure=has)
    return [split]


def trimmed(text: str, start: int, end: int) -> tuple[int, int]:
    """The stretch text[start:end] without white space at its ends."""
    inner = text[start:end]
    return start + len(inner) - len(inner.lstrip()), start + len(inner.rstrip())


def checked(judgments: Iterable[Judgment]) -> Iterator[Judgment]:
    """The same judgments, each of them sound.

    Raises:
        UserError: an id is empty or came before, a text is empty or cannot be encoded, a gold span is out of range,
            overlaps another or has a role that the scheme lacks.
    """
    seen: set[str] = set()
    for judgment in judgments:
        if not judgment.id.strip():
            raise UserError("empty id", where=judgment.source, cure="every judgment of a corpus needs its own id")
        if judgment.id in seen:
            raise UserError(
                f"duplicate id {judgment.id!r}",
                where=judgment.source,
                cure="every judgment of a corpus needs its own id",
            )
        seen.add(judgment.id)
        where = f"{judgment.source}, judgment {judgment.id}"
        if not judgment.text.strip():
            raise UserError("empty judgment", where=where, cure="leave it out, or give its text")
        try:
            judgment.text.encode("utf-8")
        except UnicodeEncodeError as error:
            raise UserError(
                f"half a character (surrogate) at {error.start}", where=where, cure="mend the text"
            ) from error
        if judgment.spans is not None:
            _check_spans(judgment.spans, judgment, where)
        yield judgment


def _check_spans(spans: Sequence[Span], judgment: Judgment, where: str) -> None:
    if judgment.scheme is None:
        raise UserError("gold roles without a scheme", where=where, cure="name the scheme of the roles")
    known, length, last = scheme(judgment.scheme, where=where), len(judgment.text), 0
    for span in spans:
        place = f"{span.role} span [{span.start}, {span.end})"
        if not 0 <= span.start < span.end <= length:
            raise UserError(f"{place} is out of range: the text has {length} characters", where=where)
        if span.start < last:
            raise UserError(f"{place} overlaps the span before it, which ends at {last}", where=where)
        if span.role not in known:
            raise UserError(f"unknown role {span.role!r}", where=where, cure=f"the scheme is {known.name!r}")
        last = span.end
