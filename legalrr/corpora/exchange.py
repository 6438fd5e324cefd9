"""Export judgments with roles for other tools, and read them back.

    export(corpus.read(None), Path("roles.spacy"), format="docbin")                     # gold roles
    export([with_roles(j, tagger.segment(j))], Path("roles.json"), format="label-studio", tagger="crf")

jsonl          a line per judgment: id, scheme, segment (the tagger), spans; has no text, so it is not read back
label-studio   tasks for import into Label Studio; `legalrr.corpora.label_studio.LabelStudio` reads them
dataset        a `datasets.Dataset` in a folder, as save_to_disk writes it; `SavedDataset` reads it
docbin         a spaCy DocBin, spans in doc.spans["rhetorical_roles"]; `DocBinFile` reads it

Text, offsets, roles, scores and metadata survive the round trip; the pages of a PDF do not. The roles of a tagger are
read as gold roles only with `tagged`.
"""

import json
import logging
import shutil
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from legalrr import paths
from legalrr.corpora.checks import (
    FACT_NAMES,
    judgment_from_facts,
    judgment_to_facts,
    parse_party,
    select_splits,
    validate_judgments,
)
from legalrr.corpora.exchange_files import read_groups, read_saved_rows, spans_from_row
from legalrr.corpora.files import require_path
from legalrr.errors import UserError, file_errors
from legalrr.files import part_path, require_own, require_writable, write_atomically
from legalrr.records import Judgment, Segments, Span
from legalrr.roles import scheme

if TYPE_CHECKING:
    from datasets import Dataset
    from spacy.tokens import Doc, DocBin, SpanGroup

LOG = logging.getLogger(__name__)
FORMATS = ("jsonl", "label-studio", "dataset", "docbin")
STARTS = {"jsonl": '{"id": ', "label-studio": '[\n {\n  "id": 1,\n  "data": ', "docbin": "x"}
"""How the file of a format begins; DocBin is compressed by zlib."""
SPANS_KEY = "rhetorical_roles"
"""Name of the span group in `doc.spans`."""
USER_KEY = "legalrr"
"""Key of the judgment's facts in `doc.user_data`."""


def with_roles(judgment: Judgment, segments: Segments) -> Judgment:
    """Return the judgment with the roles of a tagger, for `export`."""
    return replace(judgment, scheme=segments.scheme, spans=segments.spans)


def export(judgments: Iterable[Judgment], path: Path, *, format: str, tagger: str | None = None) -> int:
    """Write judgments with their roles, atomically.

    Args:
        judgments: judgments with spans (see `with_roles` for the spans of a tagger).
        path: the file or, for `dataset`, the folder, which must not exist.
        format: one of `FORMATS`.
        tagger: name of the tagger that predicted the roles; None: gold roles.

    Returns:
        Number of judgments written.

    Raises:
        UserError: an unknown format, a path that cannot be written, or a judgment that is invalid or has no roles.
    """
    check_destination(path, format=format)
    validated = list(_require_spans(judgments))
    if format == "jsonl":
        write_atomically(path, "".join(to_json_line(one, tagger=tagger) + "\n" for one in validated))
    elif format == "label-studio":
        # Here, as it imports pydantic, which takes longer than all else that `legalrr segment --help` imports.
        from legalrr.corpora.label_studio import to_task

        tasks = [to_task(one, number, tagger=tagger) for number, one in enumerate(validated, start=1)]
        write_atomically(path, json.dumps(tasks, ensure_ascii=False, indent=1) + "\n")
    elif format == "docbin":
        write_atomically(path, to_docbin(validated, tagger=tagger).to_bytes())
    else:
        part = part_path(path)
        try:
            with file_errors(path):
                to_dataset(validated, tagger=tagger).save_to_disk(str(part))
                part.rename(path)
        finally:
            shutil.rmtree(part, ignore_errors=True)
    return len(validated)


def check_destination(path: Path, *, format: str) -> None:
    """Raise UserError if `export` cannot write this format to this path."""
    if format not in FORMATS:
        raise UserError(f"unknown format {format!r}", where=str(path), cure=f"one of {', '.join(FORMATS)}")
    if not path.parent.is_dir():
        raise UserError("no such folder", where=str(path.parent), cure="create it first")
    if format == "dataset" and path.exists():
        raise UserError("already exists", where=str(path), cure="name a new folder")
    if format != "dataset" and path.is_dir():
        raise UserError("is a folder", where=str(path), cure="name a file")
    if format != "dataset":
        require_own(path, STARTS[format])
    require_writable(path)


def to_json_line(judgment: Judgment, *, tagger: str | None) -> str:
    """Return the roles of a judgment as a line of JSON, scores rounded to four decimal places."""
    spans = [{**asdict(span), "score": round(span.score, 4)} for span in judgment.spans or ()]
    line = {"id": judgment.id, "scheme": judgment.scheme, "segment": tagger or "gold", "spans": spans}
    return json.dumps(line, ensure_ascii=False)


def to_dataset(judgments: Iterable[Judgment], *, tagger: str | None = None) -> "Dataset":
    """Build a `datasets.Dataset` with the columns text, tagger, spans (start, end, role, score) and `FACT_NAMES`.

    Raises UserError as `export` does.
    """
    from datasets import Dataset, Features, Value

    columns: dict[str, Any] = {name: Value("int64" if name == "year" else "string") for name in ("text", *FACT_NAMES)}
    columns["tagger"] = Value("string")
    columns["spans"] = [
        {"start": Value("int64"), "end": Value("int64"), "role": Value("string"), "score": Value("float64")}
    ]
    rows = [
        {
            **judgment_to_facts(one),
            "text": one.text,
            "tagger": tagger,
            "spans": [asdict(span) for span in one.spans or ()],
        }
        for one in _require_spans(judgments)
    ]
    return Dataset.from_dict({name: [row[name] for row in rows] for name in columns}, features=Features(columns))


def to_docbin(judgments: Iterable[Judgment], *, tagger: str | None = None) -> "DocBin":
    """Build a spaCy DocBin of judgments with roles, tokenized by spaCy's blank English pipeline.

    Raises UserError as `export` does.
    """
    import spacy
    from spacy.tokens import DocBin

    tokenize = spacy.blank("en").tokenizer
    docbin = DocBin(store_user_data=True)
    for one in _require_spans(judgments):
        doc = tokenize(one.text)
        if doc.text != one.text:
            raise UserError("spaCy's tokens do not restore the text", where=one.id, cure="choose another format")
        doc.spans[SPANS_KEY] = span_group(doc, one.spans or (), scheme_name=str(one.scheme), tagger=tagger)
        doc.user_data[USER_KEY] = judgment_to_facts(one)
        docbin.add(doc)
    return docbin


def span_group(
    doc: "Doc", spans: Sequence[Span], *, scheme_name: str, tagger: str | None, key: str = SPANS_KEY
) -> "SpanGroup":
    """Build a span group of whole tokens, with the exact character offsets in its `attrs`.

    Args:
        doc: the document.
        spans: roles with character offsets, ordered and disjoint.
        scheme_name: scheme of the roles.
        tagger: name of the tagger; None: gold roles.
        key: name of the group.

    Returns:
        The group. `attrs`: scheme; segmenter (the tagger); scores and offsets, one per span; without_token, if any:
        [start, end, role, score] of the spans that contain no token.
    """
    from spacy.tokens import Span as DocSpan
    from spacy.tokens import SpanGroup

    tokens = [(token.idx, token.idx + len(token)) for token in doc]
    found = align_to_tokens(tokens, [(span.start, span.end) for span in spans])
    aligned = {number for _, _, number in found}
    rest = [[s.start, s.end, s.role, s.score] for number, s in enumerate(spans) if number not in aligned]
    return SpanGroup(
        doc,
        name=key,
        spans=[DocSpan(doc, first, end, label=spans[number].role) for first, end, number in found],
        attrs={
            "scheme": scheme_name,
            "segmenter": tagger,
            "scores": [spans[number].score for _, _, number in found],
            "offsets": [[spans[number].start, spans[number].end] for _, _, number in found],
            **({"without_token": rest} if rest else {}),
        },
    )


def align_to_tokens(tokens: Sequence[tuple[int, int]], spans: Iterable[tuple[int, int]]) -> list[tuple[int, int, int]]:
    """Convert character spans to token spans: a token belongs to the first span that it overlaps.

    Args:
        tokens: half-open character offsets of the tokens, ordered and disjoint.
        spans: half-open character offsets of the spans, ordered and disjoint.

    Returns:
        (first token, one past the last token, index of the span), ordered and disjoint; a span without tokens is
        omitted.
    """
    found = []
    at = 0
    for number, (start, end) in enumerate(spans):
        while at < len(tokens) and tokens[at][1] <= start:
            at += 1
        first = at
        while at < len(tokens) and tokens[at][0] < end:
            at += 1
        if at > first:
            found.append((first, at, number))
    return found


@dataclass(frozen=True, kw_only=True)
class _ExportReader(ABC):
    """Base of the readers of exported judgments."""

    VERSION: ClassVar[int] = 1

    name: str
    """Name in tables."""
    scheme: str | None = None
    """Scheme of the roles; null: the scheme recorded with each judgment."""
    tagged: bool = False
    """Whether to read the roles of a tagger as gold roles; false: such judgments have no gold roles."""
    split: str | None = None
    """Split that is evaluated."""
    train_split: str | None = None
    """Split that the trained baselines are fitted on."""
    party: str | None = None
    """The party that came to the court, for judgments that do not record it: appellant, petitioner or plaintiff."""
    court: str | None = None
    """Name of the court, for judgments that do not record it."""

    def __post_init__(self) -> None:
        """Raise UserError for an unknown scheme or party."""
        if self.scheme is not None:
            scheme(self.scheme, where=f"corpus {self.name}: scheme")
        parse_party(self.party, where=f"corpus {self.name}: party")

    def read(self, split: str | None) -> Iterator[Judgment]:
        """Yield the judgments of a split (None: all) in file order; raise UserError with file and number."""
        return validate_judgments(self._read_split(split))

    def _read_split(self, split: str | None) -> Iterator[Judgment]:
        found: set[str | None] = set()
        ignored = 0
        for one, tagger in self._judgments():
            found.add(one.split)
            ignored += tagger is not None and not self.tagged
            if split in (None, one.split):
                party = one.party or parse_party(self.party, where=self.name)
                yield replace(one, party=party, court=one.court or self.court)
        if ignored:
            LOG.info("%s: ignored the predicted roles of %d judgments; tagged=true reads them", self.name, ignored)
        if split is not None:
            select_splits(split, sorted(filter(None, found)), corpus=self.name)

    def _judgment(
        self, facts: Mapping[str, Any], text: object, spans: list[Sequence[Any]], tagger: object, where: str
    ) -> tuple[Judgment, object]:
        kept = None if tagger is not None and not self.tagged else spans
        return judgment_from_facts(facts, text=text, spans=kept, where=where, scheme_name=self.scheme), tagger

    @abstractmethod
    def _judgments(self) -> Iterator[tuple[Judgment, object]]:
        """Yield all judgments, each with the tagger that predicted its roles, or None."""


@dataclass(frozen=True, kw_only=True)
class SavedDataset(_ExportReader):
    """Reader of a `datasets.Dataset` or DatasetDict saved to disk, with the columns of `to_dataset`.

    The columns id, text and spans (a list of start, end, role and, optionally, score) are required. Without a column
    `split`, the splits of a DatasetDict are those of the corpus.
    """

    folder: str
    """Config path of the folder."""

    def paths(self, split: str | None) -> list[Path]:
        """Return the folder, whether or not it exists."""
        return [paths.resolve(self.folder)]

    def _judgments(self) -> Iterator[tuple[Judgment, object]]:
        path = require_path(self.folder)
        for split, where, row in read_saved_rows(path):
            facts = row if row.get("split") is not None else {**row, "split": split}
            yield self._judgment(facts, row["text"], spans_from_row(row["spans"], where), row.get("tagger"), where)


@dataclass(frozen=True, kw_only=True)
class DocBinFile(_ExportReader):
    """Reader of a spaCy DocBin, written by `export` or with documents tagged by the component `rhetorical_roles`.

    Offsets are taken from the group's `attrs` or, if these were deleted after a correction of the spans, from the
    tokens. The id of a document without stored facts is its number.
    """

    file: str
    """Config path of the file."""
    spans_key: str = SPANS_KEY
    """Name of the group in `doc.spans`."""

    def paths(self, split: str | None) -> list[Path]:
        """Return the file, whether or not it exists."""
        return [paths.resolve(self.file)]

    def _judgments(self) -> Iterator[tuple[Judgment, object]]:
        path = require_path(self.file)
        for number, where, found in read_groups(path, spans_key=self.spans_key, facts_key=USER_KEY):
            facts = {"id": str(number), "scheme": found.scheme} if found.facts is None else found.facts
            yield self._judgment(facts, found.text, found.spans, found.tagger, where)


def _require_spans(judgments: Iterable[Judgment]) -> Iterator[Judgment]:
    for one in validate_judgments(judgments):
        if one.spans is None or one.scheme is None:
            raise UserError("no roles to write", where=f"{one.source}: {one.id}", cure="tag or omit this judgment")
        yield one
