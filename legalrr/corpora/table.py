"""Read judgments from a table: JSON lines, CSV or Parquet files, or a data set on the Hugging Face hub.

Files are read row by row, so that 700,000 judgments need little more memory than one (and their ids). The source of a
row is its line, or its number in a Parquet file or hub data set; both count from 1.

There are two layouts of sentences with roles. A row has a list of sentences and a list of their roles, as in IL-TUR;
or each row is a sentence (`rows: sentences`), as in LegalSeg. The text of the judgment is its sentences joined by a
newline; each sentence is a gold span.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, fields, replace
from itertools import groupby
from pathlib import Path
from typing import Any, ClassVar

from legalrr import paths
from legalrr.corpora.bounded_files import parse_json
from legalrr.corpora.checks import (
    CONFIDENCES,
    check_labels,
    is_blank,
    parse_outcome,
    parse_party,
    select_splits,
    strip_span,
    validate_judgments,
    whole_number,
)
from legalrr.corpora.fetch import hub_rows
from legalrr.corpora.files import Row, read_table_rows, require_path
from legalrr.errors import UserError
from legalrr.hub import resolve_commit
from legalrr.records import Judgment, Span
from legalrr.roles import scheme
from legalrr.stage import check_fields, choice, later, runtime

_YEAR = re.compile(r"[0-9]{1,4}")


@dataclass(frozen=True, kw_only=True)
class Table:
    """Reader of tables with named columns."""

    VERSION: ClassVar[int] = 1

    name: str
    """Name in tables."""
    source: str = choice("files", "files", "hub")
    """`files` (with `file` or `files`) or `hub` (with `hub` and `revision`)."""
    file: str | None = None
    """Config path of a single file; its rows have a split only with `split_column`."""
    files: dict[str, str] = field(default_factory=dict)
    """Split -> config path of its file."""
    hub: str | None = None
    """owner/name of a data set on the hub."""
    revision: str | None = None
    """Branch, tag or commit of the hub data set; None: main. Resolved to a commit before anything runs."""
    pinned: bool = runtime(default=False)
    """Refuse a branch or tag as `revision`, for runs that must be repeatable."""
    config: str | None = None
    """Configuration (subset) of the hub data set."""
    data_files: dict[str, str] = field(default_factory=dict)
    """Split -> file of the hub data set, for files with different columns; empty: as the data set defines."""
    id_column: str | None = "id"
    """Column with the id; null: ids are `<split>-<row>`, rows counted from 1."""
    text_column: str = "text"
    """Column with the text, or with a list of sentences (in CSV as JSON)."""
    label_column: str | None = "label"
    """Column with the label; null: no labels."""
    labels: dict[str, str] = field(default_factory=dict)
    """Published label -> allowed or dismissed; empty: 1 is allowed, 0 is dismissed."""
    confidence_column: str | None = None
    """Column with high, medium or low."""
    party_column: str | None = None
    """Column with appellant, petitioner or plaintiff."""
    party: str | None = None
    """The party that came to the court, whose success the labels encode, for rows without `party_column`; null: taken
    from each judgment."""
    petitioner_column: str | None = None
    """Column with the name of that party."""
    court_column: str | None = None
    """Column with the court."""
    court: str | None = later(default=None)
    """Name of the court, for rows without `court_column`; null: taken from each judgment."""
    year_column: str | None = None
    """Column with the year."""
    kind_column: str | None = None
    """Column with the kind of matter."""
    split_column: str | None = None
    """Column with the split, for a `file` with several splits."""
    spans_column: str | None = None
    """Column with the gold roles: a list of [start, end, role] or {start, end, role}, or of the roles of the sentences;
    in CSV as JSON. With `rows: sentences` the role of the sentence. Blank: none."""
    roles: dict[str, str] | None = field(default=None, metadata={"later": True})
    """Role as published -> code of the scheme, for spellings that are not aliases of the scheme."""
    rows: str = later(default="judgments")
    """`judgments`, or `sentences`: consecutive rows with the same id are the sentences of one judgment."""
    scheme: str | None = None
    """Scheme of the gold roles."""
    split: str | None = None
    """Split that is evaluated."""
    train_split: str | None = None
    """Split that the trained baselines are fitted on."""

    def __post_init__(self) -> None:
        """Raise UserError for invalid or inconsistent options."""
        where = f"corpus {self.name}"
        check_fields(self, where)
        if self.source == "hub" and not self.hub:
            raise UserError("source: hub without hub", where=where, cure="set hub: owner/name")
        if self.source == "files" and (self.file is None) == (not self.files):
            raise UserError("neither or both of file and files", where=where, cure="set file, or files: {split: path}")
        if self.split_column and self.file is None:
            raise UserError(
                "split_column without file", where=where, cure="leave it null: files and hub data sets define splits"
            )
        if self.spans_column and self.scheme is None:
            raise UserError("spans_column without scheme", where=where, cure="set scheme: build or seven")
        if self.rows not in ("judgments", "sentences"):
            raise UserError(f"unknown rows {self.rows!r}", where=where, cure="use judgments or sentences")
        if self.rows == "sentences" and self.id_column is None:
            raise UserError(
                "rows: sentences without id_column", where=where, cure="name the column that numbers the judgments"
            )
        if self.scheme is not None:
            known = scheme(self.scheme, where=f"{where}: scheme")
            for code in (self.roles or {}).values():
                known.code(code, where=f"{where}: roles")
        parse_party(self.party, where=f"{where}: party")
        check_labels(self.labels, where=f"{where}: labels")

    def resolved(self) -> "Table":
        """See `legalrr.protocols.HubStage`."""
        return replace(self, revision=self._commit()) if self.source == "hub" else self

    def _commit(self) -> str:
        return resolve_commit(
            self.hub or "", self.revision, kind="dataset", pinned=self.pinned, where=f"corpus {self.name}: revision"
        )

    def paths(self, split: str | None) -> list[Path]:
        """Return the files that `read(split)` needs, whether or not they exist; [] for a hub data set."""
        if self.source == "hub":
            return []
        if self.file is not None:
            return [paths.resolve(self.file)]
        return [paths.resolve(self.files[one]) for one in select_splits(split, self.files, corpus=self.name)]

    def read(self, split: str | None) -> Iterator[Judgment]:
        """Yield the judgments of a split (None: all) in table order; raise UserError with file and line or row."""
        return validate_judgments(self._judgments(split))

    def _judgments(self, split: str | None) -> Iterator[Judgment]:
        if self.source == "hub":
            splits = hub_rows(
                self.hub or "",
                commit=self._commit(),
                config=self.config,
                data_files=self.data_files,
                split=split,
                columns=self.columns(),
                options=self._options(),
                where=f"corpus {self.name}",
            )
            for one, rows in splits:
                yield from (self._judgment(row, number, where, one) for number, where, row in self._merge(rows))
        elif self.file is not None:
            yield from self._read_single_file(self.file, split)
        else:
            for one in select_splits(split, self.files, corpus=self.name):
                rows = read_table_rows(require_path(self.files[one]), self.columns(), options=self._options())
                yield from (self._judgment(row, number, where, one) for number, where, row in self._merge(rows))

    def _merge(self, rows: Iterable[tuple[int, str, Row]]) -> Iterator[tuple[int, str, Row]]:
        """Make one row of the rows of a judgment, with lists of its sentences and roles."""
        if self.rows == "judgments":
            yield from rows
            return
        lists = [column for column in (self.text_column, self.spans_column) if column is not None]
        shared = [column for column in self.columns() if column not in lists]
        for _, group in groupby(rows, key=lambda row: row[2][self.id_column or ""]):
            (number, first, row), *others = group
            merged = {**row, **{column: [row[column]] for column in lists}}
            for _, where, row in others:
                if differing := [column for column in shared if row[column] != merged[column]]:
                    raise UserError(
                        f"{differing[0]} is {row[differing[0]]!r}, but {merged[differing[0]]!r} at the first sentence",
                        where=where,
                        cure="give all sentences of a judgment the same value",
                    )
                for column in lists:
                    merged[column].append(row[column])
            yield number, first, merged

    def _read_single_file(self, file: str, split: str | None) -> Iterator[Judgment]:
        if self.split_column is None:
            select_splits(split, (), corpus=self.name)
        found = set()
        rows = read_table_rows(require_path(file), self.columns(), options=self._options())
        for number, where, row in self._merge(rows):
            one = _optional_text(row, self.split_column)
            found.add(one)
            if split in (None, one):
                yield self._judgment(row, number, where, one)
        if split is not None:
            select_splits(split, sorted(filter(None, found)), corpus=self.name)

    def columns(self) -> list[str]:
        """Return the required columns."""
        return list(self._options())

    def _options(self) -> dict[str, str]:
        """Return required column -> option that names it; for a column with several uses, the first of them."""
        found: dict[str, str] = {}
        for one in fields(self):
            column = getattr(self, one.name)
            if one.name.endswith("_column") and column is not None:
                found.setdefault(column, f"corpus.{one.name}")
        return found

    def _judgment(self, row: Row, number: int, where: str, split: str | None) -> Judgment:
        sentences = _parse_list(row[self.text_column])
        text = row[self.text_column] if sentences is None else "\n".join(sentences)
        if not isinstance(text, str):
            raise UserError(
                f"{self.text_column} is {type(text).__name__}, not a string",
                where=where,
                cure="give the text, or a list of sentences",
            )
        if self.id_column is None:
            key = f"{split}-{number}" if split else str(number)
        else:
            key = _optional_text(row, self.id_column) or ""
        confidence = _optional_text(row, self.confidence_column)
        if confidence not in (None, *CONFIDENCES):
            raise UserError(
                f"confidence {confidence!r}", where=where, cure=f"one of {', '.join(CONFIDENCES)}, or blank"
            )
        label = row[self.label_column] if self.label_column else None
        spans = self._spans(row[self.spans_column], sentences, where) if self.spans_column else None
        return Judgment(
            id=key,
            text=text,
            outcome=parse_outcome(label, where=where, labels=self.labels),
            party=parse_party(_optional_text(row, self.party_column) or self.party, where=where),
            petitioner=_optional_text(row, self.petitioner_column),
            confidence=confidence,
            court=_optional_text(row, self.court_column) or self.court,
            year=_parse_year(row, self.year_column, where),
            kind=_optional_text(row, self.kind_column),
            source=where,
            split=split,
            scheme=self.scheme if spans is not None else None,
            spans=spans,
        )

    def _spans(self, value: Any, sentences: list[str] | None, where: str) -> tuple[Span, ...] | None:
        if is_blank(value):
            return None
        if isinstance(value, str):
            try:
                value = parse_json(value, where=where)
            except UserError as error:
                raise UserError(
                    f"{self.spans_column} is not valid JSON: {error.what}",
                    where=where,
                    cure="write [[start, end, role], ...]",
                ) from error
            if value is None:
                return None
        if not isinstance(value, list):
            raise UserError(
                f"{self.spans_column} is not a list: {value!r}", where=where, cure="write [[start, end, role], ...]"
            )
        if sentences is not None:
            return self._sentence_spans(value, sentences, where)
        spans = []
        for item in value:
            match item:
                case [int(start), int(end), str(role)] | {"start": int(start), "end": int(end), "role": str(role)}:
                    spans.append(Span(start=start, end=end, role=self._role(role, where)))
                case _:
                    raise UserError(
                        f"not a span: {item!r}",
                        where=where,
                        cure=f"write [start, end, role], or a list of sentences in {self.text_column}",
                    )
        return tuple(sorted(spans, key=lambda span: (span.start, span.end)))

    def _sentence_spans(self, roles: list[Any], sentences: list[str], where: str) -> tuple[Span, ...]:
        if len(roles) != len(sentences):
            raise UserError(
                f"{len(sentences)} sentences but {len(roles)} roles", where=where, cure="give every sentence one role"
            )
        spans, offset = [], 0
        for number, (sentence, role) in enumerate(zip(sentences, roles, strict=True), start=1):
            start, end = strip_span(sentence, 0, len(sentence))
            if start < end:
                spans.append(
                    Span(start=offset + start, end=offset + end, role=self._role(role, f"{where}, sentence {number}"))
                )
            offset += len(sentence) + 1
        return tuple(spans)

    def _role(self, role: object, where: str) -> str:
        """Return the code of a published role, a word or a number."""
        known, name = scheme(self.scheme or "", where=where), str(role)
        code = (self.roles or {}).get(name, name)
        if code not in known and code not in known.aliases:
            raise UserError(
                f"unknown role {name!r}",
                where=where,
                cure=f"say what each role means, as in 'corpus.roles={{{name}: FAC, ...}}'; "
                f"the scheme {known.name!r} has {', '.join(one.code for one in known.roles)}",
            )
        return known.code(code, where=where)


def _parse_list(value: object) -> list[str] | None:
    """Return a list of sentences, also one written as JSON; None if the value is neither."""
    if isinstance(value, str) and value.lstrip().startswith('["'):
        try:
            value = parse_json(value, where="")
        except UserError:
            return None
    if isinstance(value, list) and value and all(isinstance(one, str) for one in value):
        return value
    return None


def _optional_text(row: Row, column: str | None) -> str | None:
    value = row[column] if column else None
    return None if is_blank(value) else str(value)


def _parse_year(row: Row, column: str | None, where: str) -> int | None:
    value = _optional_text(row, column)
    if value is None:
        return None
    # As for labels: blanks in other rows make 1999 to 1999.0.
    value = whole_number(value)
    if not _YEAR.fullmatch(value):
        raise UserError(f"year {value!r}", where=where, cure="write four digits, or leave it blank")
    return int(value)
