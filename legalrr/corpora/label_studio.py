"""Read and write the JSON layout of Label Studio exports, which BUILD / LegalEval uses.

    [{"id": 7, "data": {"text": ...}, "meta": {"group": "Tax"},
      "annotations": [{"result": [{"value": {"start": 0, "end": 12, "text": ..., "labels": ["PREAMBLE"]}}]}]}]

Ids are `<split>-<index>-<id>`, as one id of BUILD's train split occurs twice. BUILD publishes no outcomes; the CSV with
outcomes was annotated for this project: index and id (which must agree), kind, label, confidence, duplicate_of.

`to_task` writes this layout. Label Studio preserves the content of `data`, so id and facts of a judgment are stored
there:

    {"id": 1, "data": {"text": ..., "judgment": {"id": "rent-1", "outcome": "allowed", ..., "scheme": "build"}}, ...}

Gold roles are annotations. The roles of a tagger are predictions, which Label Studio offers for correction; corrected
roles are annotations. Regions that stand directly under `annotations`, as OpenNyAI's tagger writes them, are
predictions. Cancelled annotations, and results other than labels of text (choices, relations), are skipped and logged.
Source: Kalamkar et al., Corpus for Automatic Structuring of Legal Documents, LREC 2022.
"""

import logging
from collections import Counter
from collections.abc import Iterator, Sequence
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
from legalrr.corpora.files import read_csv_rows, require_path
from legalrr.corpora.label_studio_format import (
    TEXT_LABELS,
    Annotation,
    Region,
    Result,
    Task,
    is_region,
    load_tasks,
    validate,
)
from legalrr.errors import UserError
from legalrr.records import Judgment, Span, replace_surrogates
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
    annotator: str | None = later(default=None)
    """Whose roles are read where several annotated a judgment and not exactly one is ground truth: id, e-mail address
    or user name; under `tagged`, the model_version of a tagger. null: several are an error."""
    text_key: str = later(default="text")
    """Key of the text under `data`."""
    roles: dict[str, str] | None = later(default=None)  # noqa: RUF009 - a field like those above
    """Role as spelt in the files -> code of the scheme; null: the spellings of the scheme."""

    def __post_init__(self) -> None:
        """Raise UserError for an unknown scheme, role or party, or for outcomes of a split without a file."""
        known = scheme(self.scheme, where=f"corpus {self.name}: scheme")
        for code in (self.roles or {}).values():
            known.code(code, where=f"corpus {self.name}: roles")
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
            tasks = load_tasks(path)
            outcomes = _read_outcomes(require_path(self.outcomes[one]), len(tasks)) if one in self.outcomes else {}
            repeated: list[str] = []
            skipped: Counter[str] = Counter()
            try:
                for index, value in enumerate(tasks):
                    where = f"{path} item {index}"
                    task = validate(Task, value, where=where)
                    key, outcome = f"{one}-{index}-{task.id}", outcomes.get(index)
                    if outcome and outcome.id != str(task.id):
                        raise UserError(
                            f"index {index} has the id {outcome.id!r} in the outcomes and {task.id!r} in the export",
                            where=where,
                            cure="use the outcomes of this file",
                        )
                    if outcome and outcome.duplicate_of:
                        repeated.append(key)
                        continue
                    text = self._text(task, where)
                    spans = self._spans(task, text, where, skipped)
                    if FACTS_KEY in task.data and self.text_key != FACTS_KEY:
                        found = self._exported(task, text, spans, where=where)
                    else:
                        found = self._foreign(
                            task, text, spans, key=key, kind=outcome.kind if outcome else None, where=where
                        )
                    yield self._complete(found, split=one, outcome=outcome)
            finally:
                # Also if the judgments after a limit are not read.
                self._report(path, repeated, skipped)

    def _report(self, path: Path, repeated: Sequence[str], skipped: Counter[str]) -> None:
        """Log what was not read, one line per kind."""
        if repeated:
            LOG.info("%s: skipped %d duplicate judgments: %s", self.name, len(repeated), ", ".join(repeated))
        if unread := skipped.pop(self._other, 0):
            LOG.warning(
                "%s: %s: roles not read, as they are %s; judgments concerned: %d (corpus.tagged=%s reads them)",
                self.name,
                path,
                self._other,
                unread,
                "false" if self.tagged else "true",
            )
        for what, count in sorted(skipped.items()):
            LOG.info("%s: %s: skipped %d %s", self.name, path, count, what)

    def _text(self, task: Task, where: str) -> str:
        text = task.data.get(self.text_key)
        if isinstance(text, str):
            return text
        if self.text_key in task.data:
            raise UserError(f"data.{self.text_key} is not a string", where=where, cure="set corpus.text_key")
        others = [key for key, value in task.data.items() if isinstance(value, str)]
        found = f"; its strings are {', '.join(map(repr, others[:8]))}" if others else ""
        raise UserError(
            f"missing key {self.text_key!r} in data{found}",
            where=where,
            cure="set corpus.text_key to the key of the text",
        )

    def _foreign(
        self, task: Task, text: str, spans: tuple[Span, ...] | None, *, key: str, kind: str | None, where: str
    ) -> Judgment:
        """Make a judgment from a task without facts; `kind` is that of the outcomes CSV."""
        group = task.meta.group if task.meta else None
        return Judgment(
            id=key,
            text=text,
            kind=", ".join(filter(None, (group, kind))) or None,
            source=where,
            scheme=self.scheme if spans else None,
            spans=spans or None,
        )

    def _exported(self, task: Task, text: str, spans: tuple[Span, ...] | None, *, where: str) -> Judgment:
        """Parse a judgment written by `to_task`, which has its own id and facts."""
        facts = task.data[FACTS_KEY]
        if not isinstance(facts, dict):
            raise UserError(f"data.{FACTS_KEY} is not an object", where=where, cure="export the judgments again")
        found = judgment_from_facts(facts, text=text, spans=None, where=where, scheme_name=self.scheme)
        return replace(found, scheme=None if spans is None else self.scheme, spans=spans)

    def _complete(self, found: Judgment, *, split: str, outcome: OutcomeRow | None) -> Judgment:
        """Add the facts of the corpus and of the outcomes CSV."""
        found = replace(
            found,
            split=split,
            party=found.party or parse_party(self.party, where=self.name),
            court=found.court or self.court,
        )
        if outcome is None:
            return found
        label = outcome.label
        return replace(found, outcome=label.outcome, confidence=label.confidence)

    @property
    def _kind(self) -> str:
        return "predictions" if self.tagged else "annotations"

    @property
    def _other(self) -> str:
        return "annotations" if self.tagged else "predictions"

    def _spans(self, task: Task, text: str, where: str, skipped: Counter[str]) -> tuple[Span, ...] | None:
        """Return the roles that are read; None without an annotation (or, under `tagged`, a prediction)."""
        made = [*(task.annotations or ()), *(task.completions or ())]
        regions = [one for one in made if is_region(one)]
        by_hand = [one for one in made if not is_region(one)]
        if self.tagged and regions:
            return self._sort([self._span(one, None, text, f"{where}, span {n}") for n, one in enumerate(regions)])
        values = (task.predictions or []) if self.tagged else by_hand
        found = [
            validate(Annotation, value, where=f"{where}, {self._kind[:-1]} {number}")
            for number, value in enumerate(values)
        ]
        kept = [one for one in found if not one.is_cancelled]
        if len(kept) < len(found):
            skipped["cancelled annotations"] += len(found) - len(kept)
        if not kept:
            if by_hand if self.tagged else regions or task.predictions:
                skipped[self._other] += 1
            return None
        return self._read(self._choose(kept, where), text, where, skipped)

    def _choose(self, found: Sequence[Annotation], where: str) -> Annotation:
        """Choose among annotations: the ground truth, else that of `annotator`; raise UserError if neither decides."""
        marked = [one for one in found if one.is_ground_truth]
        if len(marked) == 1:
            return marked[0]
        if len(found) == 1:
            return found[0]
        candidates = marked or found
        named = [one for one in candidates if self.annotator in one.names]
        if len(named) == 1:
            return named[0]
        names = [" = ".join(one.names) or "(no name)" for one in candidates]
        by = f"by {', '.join(map(replace_surrogates, names[:8]))}"
        marks = "several are ground truth" if marked else "none is ground truth"
        whose = "" if self.annotator is None else f", {len(named)} of them by {self.annotator!r}"
        raise UserError(
            f"{len(candidates)} {self._kind} for one judgment, {by}; {marks}{whose}",
            where=where,
            cure="keep one of them, mark one as ground truth, or set corpus.annotator",
        )

    def _read(self, chosen: Annotation, text: str, where: str, skipped: Counter[str]) -> tuple[Span, ...]:
        spans = []
        for number, one in enumerate(chosen.result):
            place = f"{where}, span {number}"
            result = validate(Result, one, where=place)
            if result.type in (None, TEXT_LABELS):
                spans.append(self._span(result.value, result.score, text, place))
            elif result.type.endswith(TEXT_LABELS):
                raise UserError(
                    f"labels of the type {result.type!r}, which do not refer to a plain text",
                    where=place,
                    cure="annotate with the tags <Labels> and <Text>",
                )
            else:
                skipped[f"results of the type {result.type!r}"] += 1
        return self._sort(spans)

    def _span(self, value: object, score: float | None, text: str, place: str) -> Span:
        region = validate(Region, value, where=place)
        start, end = region.start, region.end
        if len(region.labels) != 1:
            raise UserError(f"{len(region.labels)} roles on one span", where=place, cure="a span has one role")
        # `validate_judgments` reports an offset beyond the text.
        if end <= len(text) and region.text not in (None, text[start:end]):
            raise UserError(
                f"the text of [{start}, {end}) is not the span's text", where=place, cure="correct the offsets"
            )
        label = region.labels[0].strip()
        try:
            role = scheme(self.scheme).code((self.roles or {}).get(label, label), where=place)
        except UserError as error:
            cure = f"{error.cure}; corpus.roles gives the code of another spelling"
            raise UserError(error.what, where=place, cure=cure) from error
        return Span(start=start, end=end, role=role, score=1.0 if score is None else score)

    @staticmethod
    def _sort(spans: Sequence[Span]) -> tuple[Span, ...]:
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


def _read_outcomes(path: Path, count: int) -> dict[int, OutcomeRow]:
    found: dict[int, OutcomeRow] = {}
    for where, row in read_csv_rows(path, COLUMNS):
        # Python converts no number of thousands of digits.
        if not row["index"].isdecimal() or len(row["index"]) > 9 or int(row["index"]) >= count:
            raise UserError(
                f"index {row['index'][:40]!r}: the export has the judgments 0 to {count - 1}",
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
