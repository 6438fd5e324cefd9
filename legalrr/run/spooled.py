"""Judgments and roles in temporary files, one in memory at a time, and what selections of judgments need.

The records come back equal to what was put in. Documents (`legalrr.run.documents`) refer to the text of their judgment.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any, overload

from legalrr.corpora.files import describe_doubt
from legalrr.errors import UserError
from legalrr.page_images import image_pages
from legalrr.records import Block, Case, Document, Hidden, Judgment, Outcome, Page, Segments, Span
from legalrr.spool import SpooledRecords

_TUPLES = ("spans", "pages")
_PLAIN = tuple(one.name for one in fields(Judgment) if one.name not in _TUPLES)


@dataclass(frozen=True, kw_only=True, slots=True)
class JudgmentFacts:
    """What a selection of judgments depends on."""

    id: str
    """The judgment's id."""
    outcome: Outcome | None
    """Its outcome."""
    has_roles: bool
    """Whether it has gold roles."""
    pictured: bool
    """Whether a model sees pages of it as images."""
    doubtful: bool
    """Whether it does not seem to be in English."""


class CorpusJudgments(Mapping[str, Judgment]):
    """All judgments of a split, by id.

    Args:
        judgments: the judgments, as they are read.
        folder: of the temporary file.

    Raises:
        UserError: a duplicate id, or as the reader does.
    """

    def __init__(self, judgments: Iterable[Judgment], folder: Path | None = None) -> None:
        self._records = SpooledRecords(judgment_to_json, judgment_from_json, folder)
        facts = []
        for one in judgments:
            if one.id in self._records:
                raise UserError(
                    f"duplicate id {one.id!r}", where=one.source, cure="every judgment of a corpus needs its own id"
                )
            self._records.add(one.id, one)
            facts.append(
                JudgmentFacts(
                    id=one.id,
                    outcome=one.outcome,
                    has_roles=one.spans is not None,
                    pictured=bool(image_pages(one.pages)),
                    doubtful=bool(describe_doubt(one.text)),
                )
            )
        self.facts: Sequence[JudgmentFacts] = facts
        """Facts of each, in the order of the corpus."""

    def __getitem__(self, id: str) -> Judgment:
        """Return a judgment; raises KeyError."""
        return self._records[id]

    def __contains__(self, id: object) -> bool:
        """Whether there is a judgment with this id."""
        return id in self._records

    def __iter__(self) -> Iterator[str]:
        """Yield the ids in the order of the corpus."""
        return iter(self._records)

    def __len__(self) -> int:
        """Number of judgments."""
        return len(self._records)


class SelectedJudgments(Sequence[Judgment]):
    """Some judgments of a corpus, each read when it is asked for.

    Args:
        corpus: all judgments by id.
        facts: those of the selected ones, in order.
    """

    def __init__(self, corpus: Mapping[str, Judgment], facts: Sequence[JudgmentFacts]) -> None:
        self.corpus = corpus
        self.facts = facts

    @cached_property
    def ids(self) -> Mapping[str, None]:
        """The ids, in order."""
        return {one.id: None for one in self.facts}

    def where(self, condition: Callable[[JudgmentFacts], bool]) -> "SelectedJudgments":
        """Return those that fulfil a condition."""
        return SelectedJudgments(self.corpus, [one for one in self.facts if condition(one)])

    def find(self, id: str) -> Judgment | None:
        """Return the judgment with an id; None if it is not selected."""
        return self.corpus[id] if id in self.ids else None

    def __len__(self) -> int:
        """Number of judgments."""
        return len(self.facts)

    @overload
    def __getitem__(self, at: int) -> Judgment: ...

    @overload
    def __getitem__(self, at: slice) -> "SelectedJudgments": ...

    def __getitem__(self, at: int | slice) -> "Judgment | SelectedJudgments":
        """Return a judgment, or a part of the selection."""
        if isinstance(at, slice):
            return SelectedJudgments(self.corpus, self.facts[at])
        return self.corpus[self.facts[at].id]

    def __iter__(self) -> Iterator[Judgment]:
        """Yield the judgments."""
        return (self.corpus[one.id] for one in self.facts)


class Cases(Sequence[Case]):
    """Cases of judgments, built when they are asked for; one stays until it is removed.

    Args:
        ids: ids of the judgments, in order.
        build: builds the case of a judgment.
    """

    def __init__(self, ids: Iterable[str], build: Callable[[str], Case]) -> None:
        self._ids = list(ids)
        self._build = build
        self._open: dict[str, Case] = {}

    def __len__(self) -> int:
        """Number of cases."""
        return len(self._ids)

    @overload
    def __getitem__(self, at: int) -> Case: ...

    @overload
    def __getitem__(self, at: slice) -> list[Case]: ...

    def __getitem__(self, at: int | slice) -> "Case | list[Case]":
        """Return a case, or a list of some; raises UserError if one cannot be built."""
        if isinstance(at, slice):
            return [self._get(id) for id in self._ids[at]]
        return self._get(self._ids[at])

    def _get(self, id: str) -> Case:
        if id not in self._open:
            self._open[id] = self._build(id)
        return self._open[id]

    def pop(self, id: str) -> Case:
        """Return the case of a judgment, and remove it."""
        case = self._get(id)
        del self._open[id]
        return case


def judgment_to_json(judgment: Judgment) -> dict[str, Any]:
    """Return a judgment as JSON values."""
    spans = judgment.spans
    return {
        **{name: getattr(judgment, name) for name in _PLAIN},
        "spans": None if spans is None else [[s.start, s.end, s.role, s.score] for s in spans],
        "pages": [asdict(page) for page in judgment.pages],
    }


def judgment_from_json(id: str, value: Mapping[str, Any]) -> Judgment:
    """Return the judgment with these JSON values."""
    spans, pages = value["spans"], tuple(Page(**page) for page in value["pages"])
    return Judgment(**{**value, "id": id, "spans": None if spans is None else _spans(spans), "pages": pages})


def segments_to_json(segments: Segments) -> dict[str, Any]:
    """Return roles as JSON values."""
    return {"scheme": segments.scheme, "spans": [[s.start, s.end, s.role, s.score] for s in segments.spans]}


def segments_from_json(id: str, value: Mapping[str, Any]) -> Segments:
    """Return the roles with these JSON values, which the store of segmenters has, too."""
    return Segments(id=id, scheme=value["scheme"], spans=_spans(value["spans"]))


def _spans(values: Iterable[Sequence[Any]]) -> tuple[Span, ...]:
    return tuple(Span(start=a, end=b, role=role, score=score) for a, b, role, score in values)


class SpooledSegments(SpooledRecords[Segments]):
    """Roles of judgments.

    Args:
        folder: of the temporary file.
    """

    def __init__(self, folder: Path | None = None) -> None:
        super().__init__(segments_to_json, segments_from_json, folder)
        self.schemes: set[str] = set()
        """Role schemes of all of them."""

    def add(self, id: str, record: Segments) -> None:
        """Add the roles of a judgment that has none."""
        super().add(id, record)
        self.schemes.add(record.scheme)


def document_to_json(judgment: Judgment, document: Document) -> dict[str, Any]:
    """Return the document of a judgment as JSON values, without what the judgment has."""
    value = {one.name: getattr(document, one.name) for one in fields(Document) if one.name != "id"}
    value["blocks"] = [
        [one.role, one.start, len(one.text), None if judgment.text.startswith(one.text, one.start) else one.text]
        for one in document.blocks
    ]
    value["hidden"] = [[one.start, one.end, one.role, one.reason] for one in document.hidden]
    value["pages"] = [asdict(page) for page in document.pages]
    value["hidden_pages"] = [asdict(page) for page in document.hidden_pages]
    return value


def document_from_json(judgment: Judgment, value: Mapping[str, Any]) -> Document:
    """Return the document of a judgment with these JSON values."""
    return Document(
        **{
            **value,
            "id": judgment.id,
            "blocks": tuple(
                Block(role=role, start=start, text=judgment.text[start : start + text] if other is None else other)
                for role, start, text, other in value["blocks"]
            ),
            "hidden": tuple(Hidden(start=a, end=b, role=role, reason=why) for a, b, role, why in value["hidden"]),
            "pages": tuple(Page(**page) for page in value["pages"]),
            "hidden_pages": tuple(Page(**page) for page in value["hidden_pages"]),
        }
    )
