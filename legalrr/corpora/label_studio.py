"""Read and write the JSON layout of Label Studio exports, which BUILD / LegalEval uses.

    [{"id": 7, "data": {"text": ...}, "meta": {"group": "Tax"},
      "annotations": [{"result": [{"value": {"start": 0, "end": 12, "text": ..., "labels": ["PREAMBLE"]}}]}]}]

Ids are `<split>-<index>-<id>`, as one id of BUILD's train split occurs twice. BUILD publishes no outcomes; the CSV with
outcomes was annotated for this project: index and id (which must agree), kind, label, confidence, duplicate_of.

`to_task` writes this layout. Label Studio preserves the content of `data`, so id and facts of a judgment are stored
there:

    {"id": 1, "data": {"text": ..., "judgment": {"id": "rent-1", "outcome": "allowed", ..., "scheme": "build"}}, ...}

Gold roles are annotations. The roles of a tagger are predictions, which Label Studio offers for correction; corrected
roles are annotations.
Source: Kalamkar et al., Corpus for Automatic Structuring of Legal Documents, LREC 2022.
"""

import json
import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

from legalrr import paths
from legalrr.corpora.checks import (
    Label,
    judgment_from_facts,
    judgment_to_facts,
    parse_label,
    parse_party,
    select_splits,
    validate_judgments,
)
from legalrr.corpora.files import read_csv_rows, read_text, require_path
from legalrr.errors import UserError
from legalrr.records import Judgment, Span
from legalrr.roles import scheme
from legalrr.stage import later

LOG = logging.getLogger(__name__)
KINDS = ("appeal_or_petition", "trial", "unclear")
COLUMNS = ("index", "id", "kind", "label", "confidence", "duplicate_of")
FACTS_KEY = "judgment"
"""Key under `data` of the facts that `to_task` writes."""


@dataclass(frozen=True, kw_only=True)
class OutcomeRow:
    """A row of the outcomes CSV."""

    id: str
    """Id in the export, checked against the index."""
    kind: str
    """appeal_or_petition, trial or unclear; in a first-instance trial "allowed" has no meaning."""
    label: Label
    """The outcome, if any."""
    duplicate_of: str
    """Id of the judgment with the same text, or ""."""


@dataclass(frozen=True, kw_only=True)
class LabelStudio:
    """Reader of Label Studio exports."""

    VERSION: ClassVar[int] = 1

    name: str
    """Name in tables."""
    files: dict[str, str]
    """Split -> config path of its JSON file. Only the files of the splits read must exist."""
    outcomes: dict[str, str] = field(default_factory=dict)
    """Split -> config path of its outcomes CSV; a split without one has no outcomes."""
    split: str | None = None
    """Split that is evaluated."""
    train_split: str | None = None
    """Split that the trained baselines are fitted on."""
    scheme: str = "build"
    """Scheme of the roles."""
    party: str | None = None
    """The party that came to the court, whose success the labels encode: appellant, petitioner or plaintiff; null:
    taken from each judgment."""
    court: str | None = later(default=None)
    """Name of the court of all judgments; null: taken from each judgment."""
    tagged: bool = later(default=False)
    """Whether to read the predictions of a tagger as gold roles, in place of the annotations."""

    def __post_init__(self) -> None:
        """Raise UserError for an unknown scheme or party, or for outcomes of a split without a file."""
        scheme(self.scheme, where=f"corpus {self.name}: scheme")
        parse_party(self.party, where=f"corpus {self.name}: party")
        for split in self.outcomes:
            select_splits(split, self.files, corpus=f"{self.name}: outcomes")

    def paths(self, split: str | None) -> list[Path]:
        """Return the files that `read(split)` needs, whether or not they exist."""
        return [paths.resolve(self.files[one]) for one in select_splits(split, self.files, corpus=self.name)]

    def read(self, split: str | None) -> Iterator[Judgment]:
        """Yield the judgments of a split (None: all) in file order; duplicates are skipped and logged."""
        return validate_judgments(self._judgments(split))

    def _judgments(self, split: str | None) -> Iterator[Judgment]:
        for one in select_splits(split, self.files, corpus=self.name):
            path = require_path(self.files[one])
            tasks = _read_tasks(path)
            outcomes = _read_outcomes(require_path(self.outcomes[one]), len(tasks)) if one in self.outcomes else {}
            repeated = []
            for index, task in enumerate(tasks):
                where = f"{path} item {index}"
                key = f"{one}-{index}-{_require_key(task, 'id', where)}"
                exported = isinstance(task.get("data"), dict) and FACTS_KEY in task["data"]
                outcome = outcomes.get(index)
                if outcome and outcome.id != str(task["id"]):
                    raise UserError(
                        f"index {index} has the id {outcome.id!r} in the outcomes and {task['id']!r} in the export",
                        where=where,
                        cure="use the outcomes of this file",
                    )
                if outcome and outcome.duplicate_of:
                    repeated.append(key)
                    continue
                if exported:
                    yield self._exported(task, one, where, outcome)
                else:
                    yield self._judgment(task, key, one, where, outcome)
            if repeated:
                LOG.info("%s: skipped %d duplicate judgments: %s", self.name, len(repeated), ", ".join(repeated))

    def _judgment(
        self, task: Mapping[str, Any], key: str, split: str, where: str, outcome: OutcomeRow | None
    ) -> Judgment:
        text = _require_key(_require_key(task, "data", where), "text", where)
        if not isinstance(text, str):
            raise UserError("data.text is not a string", where=where)
        spans = self._spans(task, text, where)
        group = task.get("meta", {}).get("group")
        kinds = [kind for kind in (group, outcome.kind if outcome else None) if kind]
        label = outcome.label if outcome else Label(outcome=None, confidence=None)
        return Judgment(
            id=key,
            text=text,
            outcome=label.outcome,
            confidence=label.confidence,
            party=parse_party(self.party, where=self.name),
            court=self.court,
            kind=", ".join(kinds) or None,
            source=where,
            split=split,
            scheme=self.scheme if spans else None,
            spans=spans or None,
        )

    def _exported(self, task: Mapping[str, Any], split: str, where: str, outcome: OutcomeRow | None) -> Judgment:
        """Parse a judgment written by `to_task`, which has its own id and facts."""
        text, facts = _require_key(task["data"], "text", where), task["data"][FACTS_KEY]
        if not isinstance(facts, dict):
            raise UserError(f"data.{FACTS_KEY} is not an object", where=where, cure="export the judgments again")
        found = judgment_from_facts(facts, text=text, spans=None, where=where, scheme_name=self.scheme)
        spans = self._spans(task, text, where) if task.get(self._key) else None
        if outcome:
            found = replace(found, outcome=outcome.label.outcome, confidence=outcome.label.confidence)
        return replace(
            found,
            party=found.party or parse_party(self.party, where=self.name),
            court=found.court or self.court,
            split=split,
            scheme=None if spans is None else self.scheme,
            spans=spans,
        )

    @property
    def _key(self) -> str:
        return "predictions" if self.tagged else "annotations"

    def _spans(self, task: Mapping[str, Any], text: str, where: str) -> tuple[Span, ...]:
        annotations = task.get(self._key) or [{"result": []}]
        if len(annotations) != 1:
            raise UserError(f"{len(annotations)} {self._key} for one judgment", where=where, cure="keep one of them")
        spans = []
        for number, result in enumerate(_require_key(annotations[0], "result", where)):
            place = f"{where}, span {number}"
            value = _require_key(result, "value", place)
            start, end = _require_key(value, "start", place), _require_key(value, "end", place)
            labels = _require_key(value, "labels", place)
            if type(start) is not int or type(end) is not int:
                raise UserError(f"offsets {start!r} and {end!r}", where=place, cure="offsets are whole numbers")
            if len(labels) != 1:
                raise UserError(f"{len(labels)} roles on one span", where=place, cure="a span has one role")
            # `validate_judgments` reports an offset beyond the text.
            if end <= len(text) and value.get("text", text[start:end]) != text[start:end]:
                raise UserError(
                    f"the text of [{start}, {end}) is not the span's text",
                    where=place,
                    cure="correct the offsets",
                )
            role = scheme(self.scheme).code(labels[0], where=place)
            score = result.get("score")
            spans.append(
                Span(start=start, end=end, role=role, score=1.0 if score is None else _parse_score(score, place))
            )
        return tuple(sorted(spans, key=lambda span: (span.start, span.end)))


def to_task(judgment: Judgment, number: int, *, tagger: str | None) -> dict[str, Any]:
    """Convert a judgment with roles to a task for import into Label Studio.

    Args:
        judgment: the judgment, with spans.
        number: number of the task in its file.
        tagger: name of the tagger whose predictions the roles are; None: gold roles, written as annotations.
    """
    results = [
        {
            "id": str(place),
            "from_name": "label",
            "to_name": "text",
            "type": "labels",
            "value": {
                "start": span.start,
                "end": span.end,
                "text": judgment.text[span.start : span.end],
                "labels": [span.role],
            },
            **({} if tagger is None and span.score == 1 else {"score": span.score}),
        }
        for place, span in enumerate(judgment.spans or ())
    ]
    roles = (
        {"annotations": [{"result": results}]}
        if tagger is None
        else {"predictions": [{"model_version": tagger, "result": results}]}
    )
    return {"id": number, "data": {"text": judgment.text, FACTS_KEY: judgment_to_facts(judgment)}, **roles}


def _parse_score(value: object, where: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise UserError(f"score {value!r}", where=where, cure="a score is a number from 0 to 1")
    return float(value)


def _read_tasks(path: Path) -> list[Any]:
    try:
        tasks = json.loads(read_text(path))
    except json.JSONDecodeError as error:
        raise UserError(
            f"truncated or damaged JSON: {error.msg}",
            where=f"{path}:{error.lineno}, character {error.colno}",
            cure="download the file again",
        ) from error
    if not isinstance(tasks, list):
        raise UserError("not a list of judgments", where=str(path), cure="export as JSON from Label Studio")
    return tasks


def _require_key(container: Any, key: str, where: str) -> Any:
    if not isinstance(container, dict) or key not in container:
        raise UserError(f"missing key {key!r}", where=where, cure="export as JSON from Label Studio")
    return container[key]


def _read_outcomes(path: Path, count: int) -> dict[int, OutcomeRow]:
    found: dict[int, OutcomeRow] = {}
    for where, row in read_csv_rows(path, COLUMNS):
        if not row["index"].isdecimal() or int(row["index"]) >= count:
            raise UserError(
                f"index {row['index']!r}: the export has the judgments 0 to {count - 1}",
                where=where,
                cure="use the outcomes of this file",
            )
        index = int(row["index"])
        if index in found:
            raise UserError(f"duplicate index {index}", where=where, cure="one row per judgment")
        if row["kind"] not in KINDS:
            raise UserError(f"unknown kind {row['kind']!r}", where=where, cure=f"one of {', '.join(KINDS)}")
        found[index] = OutcomeRow(
            id=row["id"], kind=row["kind"], label=parse_label(row, where=where), duplicate_of=row["duplicate_of"]
        )
    return found
