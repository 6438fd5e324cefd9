"""Read the rows of saved datasets and the documents of spaCy DocBins, of any origin.

The libraries that read these formats raise errors of any type for damaged bytes; here they become UserError with the
file. What a file may contain is checked by `legalrr.corpora.checks`.
"""

import zlib
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from legalrr.corpora.bounded_files import inflated_bound, inflation_error, read_bytes, require_regular
from legalrr.corpora.files import require_columns
from legalrr.errors import UserError

if TYPE_CHECKING:
    from spacy.tokens import Doc

COLUMNS = ("id", "text", "spans")
"""Columns that a saved dataset must have."""
AGAIN = "export the judgments again"
_ERRORS = (zlib.error, OSError, ValueError, TypeError, LookupError, AttributeError, ArithmeticError, MemoryError)
_DAMAGE = (*_ERRORS, RuntimeError, SystemError, AssertionError)


@contextmanager
def _refuse_damage(path: Path, kind: str, writer: str) -> Iterator[None]:
    """Convert the errors of a library that reads a damaged file to UserError."""
    try:
        yield
    except _DAMAGE as error:
        what = " ".join(f"{type(error).__name__} {error}".split())
        raise UserError(
            f"not a {kind}, or damaged: {what}", where=str(path), cure=f"name what {writer} wrote"
        ) from error


def read_saved_rows(path: Path) -> Iterator[tuple[str | None, str, dict[str, Any]]]:
    """Yield the rows of a folder that `save_to_disk` wrote as (split, folder and row for messages, values by column).

    Args:
        path: folder of a `datasets.Dataset`, which has the split None, or of a DatasetDict.

    Raises:
        UserError: not such a folder, a damaged or special file in it, or a column of `COLUMNS` is missing.
    """
    from datasets import Dataset, load_from_disk

    for file in path.rglob("*"):
        if not file.is_dir():
            require_regular(file)
    with _refuse_damage(path, "saved dataset", "save_to_disk"):
        found = load_from_disk(str(path))
        sets = {None: found} if isinstance(found, Dataset) else dict(found)
        for split, rows in sets.items():
            require_columns(rows.column_names, COLUMNS, where=str(path))
            # A format may leave out columns.
            for number, row in enumerate(rows.with_format(None), start=1):
                yield split, f"{path}{f' {split}' if split else ''} row {number}", row


def spans_from_row(value: Any, where: str) -> list[Sequence[Any]]:
    """Return the spans of a row of a saved dataset as (start, end, role, score)."""
    found: list[Sequence[Any]] = []
    if not isinstance(value, Sequence | None):
        raise UserError(f"spans are {value!r}", where=where, cure="write a list of spans")
    for span in value or ():
        match span:
            case {"start": start, "end": end, "role": role}:
                found.append((start, end, role, 1.0 if span.get("score") is None else span["score"]))
            case _:
                raise UserError(f"not a span: {span!r}", where=where, cure="write start, end, role and score")
    return found


@dataclass(frozen=True, kw_only=True)
class Group:
    """A document of a DocBin with one of its span groups."""

    text: str
    """Text of the document."""
    spans: list[Sequence[Any]]
    """(start, end, role, score) of every span."""
    scheme: object
    """Scheme of the roles, if recorded."""
    tagger: object
    """Name of the tagger, if recorded."""
    facts: Mapping[str, Any] | None
    """Facts of the judgment, if recorded."""


def read_groups(path: Path, *, spans_key: str, facts_key: str) -> Iterator[tuple[int, str, Group]]:
    """Yield the documents of a DocBin as (number from 1, file and number for messages, content).

    Args:
        path: file that `DocBin.to_disk` wrote.
        spans_key: name of the group in `doc.spans`.
        facts_key: key of the judgment's facts in `doc.user_data`.

    Raises:
        UserError: not such a file, a damaged one, or a document without the group or with inconsistent attributes.
    """
    for number, doc in enumerate(_read_docs(path), start=1):
        where = f"{path} document {number}"
        with _refuse_damage(path, "DocBin", "DocBin.to_disk"):
            names = list(doc.spans)
            if spans_key not in names:
                raise UserError(
                    f"no span group {spans_key!r}",
                    where=where,
                    cure=f"set spans_key; available: {', '.join(names) or 'none'}",
                )
            group = doc.spans[spans_key]
            tokens = [(span.start_char, span.end_char, span.label_) for span in group]
            text, attrs, facts = doc.text, dict(group.attrs), doc.user_data.get(facts_key)
        if not isinstance(facts, Mapping | None):
            raise UserError(f"facts {facts!r}", where=where, cure=AGAIN)
        spans = _spans_from_group(tokens, attrs, where)
        tagger, scheme = attrs.get("segmenter"), attrs.get("scheme")
        yield number, where, Group(text=text, spans=spans, scheme=scheme, tagger=tagger, facts=facts)


def _read_docs(path: Path) -> Iterator["Doc"]:
    from spacy.tokens import DocBin
    from spacy.vocab import Vocab

    content = read_bytes(path)
    most = inflated_bound(len(content))
    with _refuse_damage(path, "DocBin", "DocBin.to_disk"):
        if len(zlib.decompressobj().decompress(content, most + 1)) > most:
            raise inflation_error(path, most)
        yield from DocBin().from_bytes(content).get_docs(Vocab())


def _spans_from_group(
    tokens: Sequence[tuple[int, int, str]], attrs: Mapping[str, Any], where: str
) -> list[Sequence[Any]]:
    """Return the spans of a group: by its exact offsets, or by its tokens if these were deleted."""
    offsets = attrs.get("offsets", [[start, end] for start, end, _ in tokens])
    scores, rest = attrs.get("scores", [1.0] * len(tokens)), attrs.get("without_token", [])
    if any(not isinstance(one, list | tuple) for one in (offsets, scores, rest)):
        raise UserError("offsets, scores or without_token is not a list", where=where, cure=AGAIN)
    if not len(offsets) == len(scores) == len(tokens):
        raise UserError(
            f"{len(tokens)} spans with {len(offsets)} offsets and {len(scores)} scores",
            where=where,
            cure="after changing spans, delete attrs['offsets'], ['scores'] and ['without_token'] of the group",
        )
    known = [
        (*_items(offset, 2, where), role, score)
        for offset, (_, _, role), score in zip(offsets, tokens, scores, strict=True)
    ]
    return [*known, *(_items(one, 4, where) for one in rest)]


def _items(value: object, count: int, where: str) -> Sequence[Any]:
    if not isinstance(value, list | tuple) or len(value) != count:
        raise UserError(f"{value!r} is not a list of {count} values", where=where, cure=AGAIN)
    return value
