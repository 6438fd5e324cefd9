"""Run one cell: from judgments to scores, written into its run folder (`legalrr.run_folder`)."""

import logging
import platform
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from legalrr.errors import UserError
from legalrr.pipeline import Pipeline, cache_folder
from legalrr.progress import progress
from legalrr.protocols import AskingSegmenter, Backbone, Bench, Engine, Segmenter
from legalrr.records import Case, Example, Judgment, Segments, Span, by_id
from legalrr.roles import scheme
from legalrr.run_folder import described, row, versions, write_run
from legalrr.sample import sample
from legalrr.score.answered import answered
from legalrr.stage import description, digest
from legalrr.store import Store

log = logging.getLogger(__name__)


@dataclass
class Clock:
    """Seconds per stage."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def time(self, stage: str) -> Iterator[None]:
        """Add the time of the block to a stage."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[stage] = round(self.seconds.get(stage, 0.0) + time.perf_counter() - started, 3)


def run_cell(pipeline: Pipeline, folder: Path) -> Mapping[str, Any]:
    """Run all stages and write the run folder; returns what run.json holds.

    Raises:
        UserError: bad input or an impossible choice; everything computed before stays in the store.
    """
    clock = Clock()
    cell = Cell(pipeline=pipeline, clock=clock)
    with clock.time("corpus"):
        judgments, counts = cell.judgments()
    with clock.time("segment"):
        segments = cell.segment(judgments)
    engine = pipeline.backbone.load() if pipeline.predict.needs_backbone else None
    with clock.time("restructure"):
        cases = cell.cases(judgments, segments, engine)
    calls = Store(cache_folder(pipeline) / "predict" / "none", {}) if engine is None else _calls(pipeline)
    before = len(calls)
    with clock.time("predict"):
        bench = Bench(
            engine=engine,
            calls=calls,
            train=cell.examples(),
            gold={j.id: j.outcome for j in judgments if j.outcome},
            seed=pipeline.settings.seed,
        )
        completions = by_id(pipeline.predict.predict(cases, bench))
    made = len(calls) - before
    calls.close()
    with clock.time("score"):
        verdicts = {c.judgment.id: pipeline.verdict.read(completions[c.judgment.id], c.prompt) for c in cases}
        rows = [row(j, c, completions[j.id], verdicts[j.id]) for j, c in zip(judgments, cases, strict=True)]
        scores = (
            pipeline.score.score([answered(r, where=r["id"]) for r in rows if r["gold"]]) if counts["scored"] else {}
        )
    asked = sum(t.finish_reason != "overflow" for c in completions.values() for t in c.turns) if engine else 0
    record = {
        "format": 1,
        "cell": described(pipeline, cases),
        "counts": counts,
        "calls": {"made": made, "stored": asked - made},
        "versions": {"python": platform.python_version(), **versions()},
        "seed": pipeline.settings.seed,
        "reference": pipeline.settings.reference,
        "settings": description(pipeline.score)["fields"],
        "stages": pipeline.described(),
        "provenance": {
            "segment": dict(pipeline.segment.provenance()),
            **({"backbone": dict(pipeline.backbone.provenance())} if pipeline.needs_backbone else {}),
        },
        "seconds": clock.seconds,
    }
    write_run(folder, rows, record, scores)
    log.info(
        "%s: %d judgments, %d model calls made, %d from the store",
        pipeline.settings.arm.label,
        len(rows),
        made,
        asked - made,
    )
    return record


@dataclass(frozen=True, kw_only=True)
class Cell:
    """The steps of one cell up to the prompts."""

    pipeline: Pipeline
    """Its stages."""
    clock: Clock
    """Where time is noted."""

    def judgments(self) -> tuple[list[Judgment], dict[str, int]]:
        """The judgments that are asked about, and how many were left out for what reason."""
        p = self.pipeline
        every = by_id(p.corpus.read(p.corpus.split))
        if not every:
            raise UserError(
                "no judgment", where=f"corpus {p.corpus.name}, split {p.corpus.split}", cure="check path and split"
            )
        kept = list(every.values())
        counts = {"read": len(kept)}
        # A corpus without any outcome can still be predicted, not scored; in others the unlabelled rows are left out.
        if any(j.outcome for j in kept):
            kept = _drop(kept, [j for j in kept if j.outcome is None], "without outcome", counts)
        if p.segment.needs_gold and any(j.spans is not None for j in kept):
            kept = _drop(kept, [j for j in kept if j.spans is None], "without gold roles", counts)
        kept = sample(kept, p.settings.limit, p.settings.seed)
        counts |= {"taken": len(kept), "scored": sum(j.outcome is not None for j in kept)}
        return kept, counts

    def segment(self, judgments: Sequence[Judgment]) -> dict[str, Segments]:
        """The roles of every judgment; from the store where the segmenter is worth storing."""
        tagger = self.pipeline.segment
        if not tagger.stored:
            return {j.id: tagger.segment(j) for j in judgments}
        told = _told(tagger)
        if isinstance(tagger, AskingSegmenter):
            told["backbone"] = _told(self.pipeline.backbone)
        store = Store(cache_folder(self.pipeline) / "segment" / digest(told)[:16], told)
        keys = {j.id: digest(j.text) for j in judgments}
        missing = [j for j in judgments if keys[j.id] not in store]
        if missing:
            with self._ready(tagger) as ready, progress("segment", len(missing), "judgments") as advance:
                for judgment in missing:
                    found = ready.segment(judgment)
                    spans = [[s.start, s.end, s.role, round(s.score, 6)] for s in found.spans]
                    store.add([(keys[judgment.id], {"scheme": found.scheme, "spans": spans})])
                    advance(1)
        store.close()
        return {j.id: _segments(j.id, store[keys[j.id]]) for j in judgments}

    @contextmanager
    def _ready(self, tagger: Segmenter) -> Iterator[Segmenter]:
        """The segmenter, with the backbone where it asks one."""
        if not isinstance(tagger, AskingSegmenter):
            yield tagger
            return
        calls = _calls(self.pipeline)
        try:
            with tagger.asking(self.pipeline.backbone.load(), calls) as ready:
                yield ready
        finally:
            calls.close()

    def cases(
        self, judgments: Sequence[Judgment], segments: Mapping[str, Segments], engine: Engine | None
    ) -> list[Case]:
        """Document and prompt of every judgment."""
        p = self.pipeline
        cases = []
        reserves: dict[str, int] = {}
        with progress("restructure", len(judgments), "judgments") as advance:
            for judgment in judgments:
                found = segments[judgment.id]
                if engine is not None and found.scheme not in reserves:
                    reserves[found.scheme] = p.annotate.reserve(scheme(found.scheme), engine)
                document = p.restructure.restructure(judgment, found, engine, reserves.get(found.scheme, 0))
                blind = replace(judgment, outcome=None, spans=None)
                cases.append(Case(judgment=blind, document=document, prompt=p.annotate.annotate(blind, document)))
                advance(1)
        return cases

    def examples(self) -> list[Example]:
        """What baselines learn from: the train split, prepared as the judged one is; empty without such a split."""
        p = self.pipeline
        if p.predict.needs_backbone or p.corpus.train_split is None:
            return []
        judgments = [j for j in p.corpus.read(p.corpus.train_split) if j.outcome]
        if p.segment.needs_gold:
            judgments = [j for j in judgments if j.spans is not None]
        segments = self.segment(judgments)
        return [
            Example(judgment=j, document=p.restructure.restructure(j, segments[j.id], None, 0))
            for j in by_id(judgments).values()
        ]


def _drop(judgments: list[Judgment], out: list[Judgment], why: str, counts: dict[str, int]) -> list[Judgment]:
    if out:
        counts[why] = len(out)
        shown = ", ".join(j.id for j in out[:5]) + (", ..." if len(out) > 5 else "")
        log.info("%d of %d judgments left out, %s: %s", len(out), len(judgments), why, shown)
    gone = {j.id for j in out}
    return [j for j in judgments if j.id not in gone]


def _segments(id: str, value: Mapping[str, Any]) -> Segments:
    spans = tuple(Span(start=a, end=b, role=role, score=score) for a, b, role, score in value["spans"])
    return Segments(id=id, scheme=value["scheme"], spans=spans)


def _told(stage: Segmenter | Backbone) -> dict[str, Any]:
    """What tells the results of a stage from those of another one."""
    return {"stage": description(stage), "provenance": dict(stage.provenance())}


def _calls(pipeline: Pipeline) -> Store:
    told = _told(pipeline.backbone)
    return Store(cache_folder(pipeline) / "predict" / digest(told)[:16], told)
