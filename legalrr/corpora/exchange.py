"""Judgments with their roles, written for other tools and read back.

    export(corpus.read(None), Path("roles.spacy"), format="docbin")                     # gold roles
    export([with_roles(j, tagger.segment(j))], Path("roles.json"), format="label-studio", tagger="crf")

jsonl          a line per judgment: id, scheme, segment (the tagger), spans; without the text, so not read back
label-studio   tasks that Label Studio imports; `legalrr.corpora.label_studio.LabelStudio` reads them
dataset        a `datasets.Dataset` in a folder, as save_to_disk writes it; `SavedDataset` reads it
docbin         a spaCy DocBin, spans in doc.spans["rhetorical_roles"]; `DocBinFile` reads it

Text, offsets, roles, scores and the facts of a judgment come back as they were; the pages of a PDF do not. Roles that a
tagger found are read as gold only where `tagged` says so.
"""

import json
import logging
import os
import shutil
import zlib
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
from legalrr.corpora.files import require_columns, require_path
from legalrr.corpora.label_studio import to_task
from legalrr.errors import UserError
from legalrr.records import Judgment, Segments, Span
from legalrr.roles import scheme
from legalrr.store import write_atomically

if TYPE_CHECKING:
    from datasets import Dataset
    from spacy.tokens import Doc, DocBin, SpanGroup

LOG = logging.getLogger(__name__)
FORMATS = ("jsonl", "label-studio", "dataset", "docbin")
SPANS_KEY = "rhetorical_roles"
"""Name of the group of spans in `doc.spans`."""
USER_KEY = "legalrr"
"""Key of the judgment's facts in `doc.user_data`."""


def with_roles(judgment: Judgment, segments: Segments) -> Judgment:
    """The judgment with roles that a tagger found, for `export`."""
    return replace(judgment, scheme=segments.scheme, spans=segments.spans)


def export(judgments: Iterable[Judgment], path: Path, *, format: str, tagger: str | None = None) -> int:
    """Write judgments with their roles; the file appears whole or not at all.

    Args:
        judgments: judgments with spans (`with_roles` for those of a tagger).
        path: the file, or for `dataset` the folder, which must not be there yet.
        format: one of `FORMATS`.
        tagger: name of the tagger that found the roles; None: they are gold.

    Returns:
        How many judgments were written.

    Raises:
        UserError: an unknown format, no place for the file, a judgment without roles, or one that no reader would take.
    """
    check_destination(path, format=format)
    ready = list(_require_spans(judgments))
    if format == "jsonl":
        write_atomically(path, "".join(to_json_line(one, tagger=tagger) + "\n" for one in ready))
    elif format == "label-studio":
        tasks = [to_task(one, number, tagger=tagger) for number, one in enumerate(ready, start=1)]
        write_atomically(path, json.dumps(tasks, ensure_ascii=False, indent=1) + "\n")
    elif format == "docbin":
        write_atomically(path, to_docbin(ready, tagger=tagger).to_bytes())
    else:
        part = path.with_name(f".{path.name}.{os.getpid()}.part")
        try:
            to_dataset(ready, tagger=tagger).save_to_disk(str(part))
            part.rename(path)
        finally:
            shutil.rmtree(part, ignore_errors=True)
    return len(ready)


def check_destination(path: Path, *, format: str) -> None:
    """Raises UserError where `export` could not write this format to this path."""
    if format not in FORMATS:
        raise UserError(f"unknown format {format!r}", where=str(path), cure=f"one of {', '.join(FORMATS)}")
    if not path.parent.is_dir():
        raise UserError("no such folder", where=str(path.parent), cure="make it first")
    if format == "dataset" and path.exists():
        raise UserError("it is there already", where=str(path), cure="name a folder that is not there yet")
    if format != "dataset" and path.is_dir():
        raise UserError("it is a folder", where=str(path), cure="name a file")


def to_json_line(judgment: Judgment, *, tagger: str | None) -> str:
    """A judgment's roles as a line of JSON, probabilities to four places."""
    spans = [{**asdict(span), "score": round(span.score, 4)} for span in judgment.spans or ()]
    line = {"id": judgment.id, "scheme": judgment.scheme, "segment": tagger or "gold", "spans": spans}
    return json.dumps(line, ensure_ascii=False)


def to_dataset(judgments: Iterable[Judgment], *, tagger: str | None = None) -> "Dataset":
    """Make a `datasets.Dataset` of judgments with roles: text, tagger, spans (start, end, role, score) and the facts.

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
    """Make a spaCy DocBin of judgments with roles, tokenized by spaCy's blank English pipeline.

    Raises UserError as `export` does.
    """
    import spacy
    from spacy.tokens import DocBin

    tokenize = spacy.blank("en").tokenizer
    kept = DocBin(store_user_data=True)
    for one in _require_spans(judgments):
        doc = tokenize(one.text)
        if doc.text != one.text:
            raise UserError("spaCy's tokens do not give the text back", where=one.id, cure="choose another format")
        doc.spans[SPANS_KEY] = span_group(doc, one.spans or (), scheme_name=str(one.scheme), tagger=tagger)
        doc.user_data[USER_KEY] = judgment_to_facts(one)
        kept.add(doc)
    return kept


def span_group(
    doc: "Doc", spans: Sequence[Span], *, scheme_name: str, tagger: str | None, key: str = SPANS_KEY
) -> "SpanGroup":
    """Roles as a group of spans of whole tokens, with the exact ones in its `attrs`.

    Args:
        doc: the document.
        spans: roles in characters of its text, ordered and disjoint.
        scheme_name: scheme of the roles.
        tagger: name of what found them; None: they are gold.
        key: name of the group.

    Returns:
        The group. `attrs`: scheme, segmenter (the tagger), scores and offsets, one per span; without_token, which is
        left out where it is empty: [start, end, role, score] of the spans that no token belongs to.
    """
    from spacy.tokens import Span as DocSpan
    from spacy.tokens import SpanGroup

    tokens = [(token.idx, token.idx + len(token)) for token in doc]
    found = align_to_tokens(tokens, [(span.start, span.end) for span in spans])
    taken = {number for _, _, number in found}
    rest = [[s.start, s.end, s.role, s.score] for number, s in enumerate(spans) if number not in taken]
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
    """Spans in characters as spans in tokens: a token belongs to the first span that it overlaps.

    Args:
        tokens: half-open character offsets of the tokens, ordered and disjoint.
        spans: half-open character offsets of the spans, ordered and disjoint.

    Returns:
        (first token, one past the last token, number of the span), ordered and disjoint; a span that no token belongs
        to is left out.
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
    """What the readers of exported judgments share."""

    VERSION: ClassVar[int] = 1

    name: str
    """Name in tables."""
    scheme: str | None = None
    """Scheme of the roles; null: as the judgments say."""
    tagged: bool = False
    """Whether roles that a tagger found are read as gold roles; false: such judgments have none."""
    split: str | None = None
    """Split that is evaluated."""
    train_split: str | None = None
    """Split that the learning baselines train on."""
    party: str | None = None
    """The party that came to the court, for judgments that do not say it: appellant, petitioner or plaintiff."""
    court: str | None = None
    """Name of the court, for judgments that do not say it."""

    def __post_init__(self) -> None:
        """Raises UserError for an unknown scheme or party."""
        if self.scheme is not None:
            scheme(self.scheme, where=f"corpus {self.name}: scheme")
        parse_party(self.party, where=f"corpus {self.name}: party")

    def read(self, split: str | None) -> Iterator[Judgment]:
        """Judgments of a split (None: all) in the order of the file; raises UserError with file and number."""
        return validate_judgments(self._of_split(split))

    def _of_split(self, split: str | None) -> Iterator[Judgment]:
        found: set[str | None] = set()
        untaken = 0
        for one, tagger in self._judgments():
            found.add(one.split)
            untaken += tagger is not None and not self.tagged
            if split in (None, one.split):
                party = one.party or parse_party(self.party, where=self.name)
                yield replace(one, party=party, court=one.court or self.court)
        if untaken:
            LOG.info(
                "%s: the roles of %d judgments are a tagger's and not read; tagged=true reads them", self.name, untaken
            )
        if split is not None:
            select_splits(split, sorted(filter(None, found)), corpus=self.name)

    def _judgment(
        self, facts: Mapping[str, Any], text: object, spans: list[Sequence[Any]], tagger: object, where: str
    ) -> tuple[Judgment, object]:
        kept = None if tagger is not None and not self.tagged else spans
        return judgment_from_facts(facts, text=text, spans=kept, where=where, scheme_name=self.scheme), tagger

    @abstractmethod
    def _judgments(self) -> Iterator[tuple[Judgment, object]]:
        """All judgments, each with the tagger that found its roles, or None."""


@dataclass(frozen=True, kw_only=True)
class SavedDataset(_ExportReader):
    """Reads a `datasets.Dataset` or DatasetDict that was saved to disk, with the columns that `to_dataset` makes.

    Needed are id, text and spans (a list of start, end, role and, optionally, score); the facts may lack. The splits of
    a DatasetDict are the corpus' own where there is no column `split`.
    """

    folder: str
    """Config path of the folder."""

    def paths(self, split: str | None) -> list[Path]:
        """The folder; it need not exist."""
        return [paths.resolve(self.folder)]

    def _judgments(self) -> Iterator[tuple[Judgment, object]]:
        from datasets import Dataset, load_from_disk

        path = require_path(self.folder)
        try:
            found = load_from_disk(str(path))
        except (OSError, ValueError, KeyError, TypeError) as error:
            what = " ".join(str(error).split())
            raise UserError(
                f"not a saved dataset: {what}", where=str(path), cure="name a folder that save_to_disk wrote"
            ) from error
        sets = {None: found} if isinstance(found, Dataset) else dict(found)
        for split, rows in sets.items():
            require_columns(rows.column_names, ("id", "text", "spans"), where=str(path))
            for number, row in enumerate(rows, start=1):
                where = f"{path}{f' {split}' if split else ''} row {number}"
                facts = row if row.get("split") is not None else {**row, "split": split}
                yield self._judgment(facts, row["text"], _spans_from_row(row["spans"], where), row.get("tagger"), where)


@dataclass(frozen=True, kw_only=True)
class DocBinFile(_ExportReader):
    """Reads a spaCy DocBin: one that `export` wrote, or of documents that the component `rhetorical_roles` tagged.

    Spans go by the exact offsets in the group's `attrs`; where those were deleted, as after a correction of the spans,
    by their tokens. A document without the facts of a judgment has its number as id.
    """

    file: str
    """Config path of the file."""
    spans_key: str = SPANS_KEY
    """Name of the group in `doc.spans`."""

    def paths(self, split: str | None) -> list[Path]:
        """The file; it need not exist."""
        return [paths.resolve(self.file)]

    def _judgments(self) -> Iterator[tuple[Judgment, object]]:
        from spacy.tokens import DocBin
        from spacy.vocab import Vocab

        path = require_path(self.file)
        vocab = Vocab()
        try:
            docs = list(DocBin().from_bytes(path.read_bytes()).get_docs(vocab))
        except (zlib.error, OSError, ValueError, KeyError, TypeError, IndexError) as error:
            what = " ".join(str(error).split())
            raise UserError(
                f"not a DocBin: {what}", where=str(path), cure="name a file that DocBin.to_disk wrote"
            ) from error
        for number, doc in enumerate(docs, start=1):
            where = f"{path} document {number}"
            if self.spans_key not in doc.spans:
                known = ", ".join(doc.spans) or "none"
                raise UserError(
                    f"no group of spans {self.spans_key!r}", where=where, cure=f"set spans_key; it has {known}"
                )
            group = doc.spans[self.spans_key]
            facts = doc.user_data.get(USER_KEY)
            if facts is None:
                facts = {"id": str(number), "scheme": group.attrs.get("scheme")}
            yield self._judgment(facts, doc.text, _spans_from_group(group, where), group.attrs.get("segmenter"), where)


def _spans_from_row(value: Any, where: str) -> list[Sequence[Any]]:
    found: list[Sequence[Any]] = []
    for span in value or ():
        match span:
            case {"start": start, "end": end, "role": role}:
                found.append((start, end, role, 1.0 if span.get("score") is None else span["score"]))
            case _:
                raise UserError(f"no span: {span!r}", where=where, cure="write start, end, role and score")
    return found


def _spans_from_group(group: "SpanGroup", where: str) -> list[Sequence[Any]]:
    offsets = group.attrs.get("offsets", [[span.start_char, span.end_char] for span in group])
    scores = group.attrs.get("scores", [1.0] * len(group))
    if not len(offsets) == len(scores) == len(group):
        raise UserError(
            f"{len(group)} spans with {len(offsets)} offsets and {len(scores)} scores",
            where=where,
            cure="where spans were changed, delete attrs['offsets'], ['scores'] and ['without_token'] of the group",
        )
    known = [(*offset, span.label_, score) for offset, span, score in zip(offsets, group, scores, strict=True)]
    return [*known, *group.attrs.get("without_token", [])]


def _require_spans(judgments: Iterable[Judgment]) -> Iterator[Judgment]:
    for one in validate_judgments(judgments):
        if one.spans is None or one.scheme is None:
            raise UserError("no roles to write", where=f"{one.source}: {one.id}", cure="tag it, or leave it out")
        yield one
