"""Judgments annotated by hand: a YAML header, then the text with a marker where a role starts.

    ---
    id: rent-1
    party: appellant
    outcome: allowed
    ---
    [PREAMBLE] IN THE HIGH COURT ...

    [FAC] 1. The appellant is a tenant. [RLC] The Rent Controller ...

A marker is a role's code in square brackets, followed by one space or newline; both are taken out of the text. Its role
runs to the next marker; white space at the ends is not part of the span. Any other word in capitals in brackets is an
error: it is a role misspelt. (One capital, as in "[T]he", is text.) The specimen that ships has this layout.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

import yaml

from legalrr import places
from legalrr.corpora.checks import checked, party_of, splits_to_read, trimmed
from legalrr.corpora.files import located, read_text, text_files
from legalrr.errors import UserError
from legalrr.records import Judgment, Span
from legalrr.roles import Scheme, scheme
from legalrr.stage import later

TEXT_KEYS = ("title", "court", "kind", "petitioner", "group")
KEYS = ("id", "year", "party", "outcome", *TEXT_KEYS)
MARKER = re.compile(r"\[([A-Z][A-Z_]+)\]")
HEADER = re.compile(r"---\n(.*?\n)---\n", re.DOTALL)


@dataclass(frozen=True, kw_only=True)
class Marked:
    """Reads judgments in the marked layout."""

    VERSION: ClassVar[int] = 1

    name: str
    """Name in tables."""
    folder: str
    """Config path of the folder with the *.txt files."""
    scheme: str = "build"
    """Scheme of the roles."""
    split: str | None = None
    """Always null: such a folder has no splits."""
    train_split: str | None = None
    """Always null."""
    party: str | None = later(default=None)
    """The party that came to the court, for judgments whose header does not say it; null: as each judgment says."""
    court: str | None = later(default=None)
    """Name of the court, for judgments whose header does not say it; null: as each judgment says."""

    def __post_init__(self) -> None:
        """Raises UserError for an unknown scheme or party."""
        scheme(self.scheme, where=f"corpus {self.name}: scheme")
        party_of(self.party, where=f"corpus {self.name}: party")

    def paths(self, split: str | None) -> list[Path]:
        """The folder; it need not exist."""
        splits_to_read(split, (), corpus=self.name)
        return [places.resolve(self.folder)]

    def read(self, split: str | None) -> Iterator[Judgment]:
        """All judgments, in natural order of their files; raises UserError with file and line."""
        return checked(self._judgments(split))

    def _judgments(self, split: str | None) -> Iterator[Judgment]:
        splits_to_read(split, (), corpus=self.name)
        for path in text_files(located(self.folder)):
            one = parse(read_text(path), roles=scheme(self.scheme), source=str(path))
            party = one.party or party_of(self.party, where=self.name)
            yield replace(one, party=party, court=one.court or self.court)


def parse(content: str, *, roles: Scheme, source: str) -> Judgment:
    """One judgment from the content of a file.

    Args:
        content: header and body, lines ended by newlines.
        roles: scheme of the markers.
        source: the file's name, for messages.
    """
    header = HEADER.match(content)
    if header is None:
        raise UserError("no header", where=f"{source}:1", cure="start with a YAML header between two lines ---")
    fields = _fields(header.group(1), source)
    text, spans = _body(content, header.end(), roles, source)
    outcome = fields.get("outcome")
    if outcome not in (None, "allowed", "dismissed"):
        raise UserError(f"outcome {outcome!r}", where=source, cure="write allowed or dismissed, or leave it out")
    year = fields.get("year")
    if year is not None and type(year) is not int:
        raise UserError(f"year {year!r}", where=source, cure="write four digits")
    return Judgment(
        id=str(fields["id"]),
        text=text,
        outcome=outcome,
        party=party_of(fields.get("party"), where=source),
        petitioner=_text(fields, "petitioner"),
        court=_text(fields, "court"),
        year=year,
        kind=_text(fields, "kind"),
        group=_text(fields, "group"),
        source=f"{source}:1",
        scheme=roles.name,
        spans=spans,
    )


def _fields(header: str, source: str) -> dict[str, object]:
    try:
        fields = yaml.safe_load(header)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = 2 + mark.line if mark else 2
        reason = getattr(error, "problem", None) or "no YAML"
        raise UserError(f"bad header: {reason}", where=f"{source}:{line}", cure="quote values with a colon") from error
    if not isinstance(fields, dict) or "id" not in fields:
        raise UserError("no id in the header", where=f"{source}:2", cure="write id: and a name of its own")
    if unknown := [str(key) for key in fields if key not in KEYS]:
        raise UserError(f"unknown key {unknown[0]!r}", where=f"{source}:2", cure=f"the header has {', '.join(KEYS)}")
    for key in TEXT_KEYS:
        if not isinstance(fields.get(key), str | None):
            raise UserError(f"{key} is no text: {fields[key]!r}", where=f"{source}:2", cure="put it in quotes")
    return fields


def _text(fields: Mapping[str, object], key: str) -> str | None:
    value = fields.get(key)
    return value if isinstance(value, str) else None


def _body(content: str, begin: int, roles: Scheme, source: str) -> tuple[str, tuple[Span, ...]]:
    """The text without its markers, and its spans."""
    markers = list(MARKER.finditer(content, begin))
    first = markers[0].start() if markers else len(content)
    if content[begin:first].strip() or not markers:
        line = content.count("\n", 0, begin) + 1
        raise UserError(
            "text before the first marker", where=f"{source}:{line}", cure="start with a role, as [PREAMBLE]"
        )
    pieces: list[str] = []
    spans: list[Span] = []
    offset = 0
    for marker, following in zip(markers, [*markers[1:], None], strict=True):
        where = f"{source}:{content.count(chr(10), 0, marker.start()) + 1}"
        code = roles.code(marker.group(1), where=where)
        after = marker.end()
        if content[after : after + 1] not in (" ", "\n") or not content[marker.start() - 1].isspace():
            raise UserError(f"{marker.group()} stands inside a word", where=where, cure="put a space on both sides")
        piece = content[after + 1 : following.start() if following else len(content)]
        start, end = trimmed(piece, 0, len(piece))
        if start >= end:
            raise UserError(f"no text under {marker.group()}", where=where, cure="take the marker out")
        spans.append(Span(start=offset + start, end=offset + end, role=code))
        pieces.append(piece)
        offset += len(piece)
    return "".join(pieces), tuple(spans)
