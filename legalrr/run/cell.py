"""Run one cell: from judgments to scores, written into its run folder (`legalrr.run.folder`)."""

import logging
import platform
import time
from collections.abc import Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from legalrr.corpora.catalogue import subsample
from legalrr.errors import UserError
from legalrr.near_duplicates import NEAR_DUPLICATE, SHINGLE_WORDS, group_related
from legalrr.progress import progress
from legalrr.protocols import AskingSegmenter, Backbone, CallCounter, Engine, PredictContext, PricedBackbone, Segmenter
from legalrr.records import Case, Completion, Example, Judgment, Segments, Span, by_id
from legalrr.roles import scheme
from legalrr.run.folder import described, prediction, versions, write_run
from legalrr.run.pipeline import Pipeline, Prepared, cache_folder, reference_texts
from legalrr.score.cases import PARTY_UNKNOWN, answered
from legalrr.stage import description, digest, identity
from legalrr.store import Store

log = logging.getLogger(__name__)


@dataclass
class StageTimer:
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


def run_cell(
    pipeline: Pipeline, folder: Path, fresh: set[str] | None = None, prepared: Prepared | None = None
) -> Mapping[str, Any]:
    """Run all stages and write the run folder; returns what run.json holds.

    Args:
        pipeline: the stages.
        folder: the run folder.
        fresh: keys of the calls that were made for this sweep beforehand and that no cell has counted yet; those that
            this cell counts are taken out.
        prepared: what cells before this one, or the calls made beforehand, prepared; it is added to.

    Raises:
        UserError: bad input or an impossible choice; everything computed before stays in the store.
    """
    clock = StageTimer()
    cell = PreparedCell(pipeline=pipeline, clock=clock, prepared=Prepared() if prepared is None else prepared)
    # A model that is not there is told before any other work is done.
    engine = pipeline.backbone.load() if pipeline.predict.needs_backbone else None
    with clock.time("corpus"):
        judgments, counts = cell.judgments(engine)
    with clock.time("segment"):
        segments = cell.segment(judgments)
    with clock.time("restructure"):
        cases = cell.cases(judgments, segments, engine)
    counts[PARTY_UNKNOWN] = sum(case.prompt.party is None for case in cases)
    calls = Store(cache_folder(pipeline) / "predict" / "none", {}) if engine is None else call_store(pipeline)
    tally = CallCounter(fresh=set() if fresh is None else fresh)
    with clock.time("predict"):
        bench = PredictContext(
            engine=engine,
            calls=calls,
            train=cell.examples(),
            gold={j.id: j.outcome for j in judgments if j.outcome},
            seed=pipeline.settings.seed,
            call_counter=tally,
        )
        completions = by_id(pipeline.predict.predict(cases, bench))
    calls.close()
    measured = cell.measured()
    with clock.time("score"):
        verdicts = {c.judgment.id: pipeline.verdict.read(completions[c.judgment.id], c.prompt) for c in cases}
        names = cell.clusters(judgments)
        predictions = [
            prediction(j, c, completions[j.id], verdicts[j.id], cluster=names[j.id])
            for j, c in zip(judgments, cases, strict=True)
        ]
        labelled = [answered(one, where=one.id) for one in predictions if one.gold is not None]
        scores = pipeline.score.score(labelled) if counts["scored"] else {}
    references = [
        reference_texts(j, segments[j.id], c.prompt.turns, segmenter=pipeline.segment.name)
        for j, c in zip(judgments, cases, strict=True)
        if pipeline.predict.needs_backbone
    ]
    record = {
        "format": 1,
        "cell": described(pipeline, cases),
        "counts": counts,
        "calls": {"made": tally.made, "stored": tally.stored},
        **({} if measured is None else {"measured": measured}),
        **_cost(pipeline, completions),
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
    write_run(folder, predictions, judgments=judgments, references=references, record=record, scores=scores)
    log.info(
        "%s: %d judgments, %d model calls made, %d from the store",
        pipeline.settings.arm.label,
        len(predictions),
        tally.made,
        tally.stored,
    )
    return record


@dataclass(frozen=True, kw_only=True)
class PreparedCell:
    """The steps of one cell up to the prompts."""

    pipeline: Pipeline
    """Its stages."""
    clock: StageTimer
    """Where time is noted."""
    reserves: dict[str, int] = field(default_factory=dict)
    """Tokens kept for prompt and answers, by role scheme."""
    prepared: Prepared = field(default_factory=Prepared)
    """What was prepared in this process, by this cell too."""

    def read(self) -> Mapping[str, Judgment]:
        """The judgments of the evaluated split, by id; raises UserError for bad input."""
        corpus, known = self.pipeline.corpus, self.prepared.judgments
        key = (self._corpus, corpus.split)
        if key not in known:
            known[key] = by_id(corpus.read(corpus.split))
        return known[key]

    def judgments(self, engine: Engine | None) -> tuple[list[Judgment], dict[str, int]]:
        """The judgments that are asked about, and how many were left out for what reason.

        Args:
            engine: the backbone, loaded; None: nothing asks it.

        Raises:
            UserError: bad input, no judgment, or page images that nobody here reads.
        """
        p = self.pipeline
        every = self.read()
        if not every:
            raise UserError(
                "no judgment", where=f"corpus {p.corpus.name}, split {p.corpus.split}", cure="check path and split"
            )
        pictured = next((j for j in every.values() if any(page.dpi is not None for page in j.pages)), None)
        if pictured is not None and not (engine is not None and engine.can.images):
            reader = "this predictor" if engine is None else f"backbone {p.backbone.name}"
            other = "" if engine is None else ", or take a Qwen3-VL whose folder has its preprocessor_config.json"
            raise UserError(
                f"{reader} reads no images of pages",
                where=f"corpus {p.corpus.name}, {pictured.id}",
                cure=f"set corpus.input=text{other}",
            )
        kept = list(every.values())
        counts = {"read": len(kept)}
        # A corpus without any outcome can still be predicted, not scored; in others the unlabelled rows are left out.
        if any(j.outcome for j in kept):
            kept = _drop(kept, [j for j in kept if j.outcome is None], "without outcome", counts)
        if p.segment.needs_gold and any(j.spans is not None for j in kept):
            kept = _drop(kept, [j for j in kept if j.spans is None], "without gold roles", counts)
        kept = subsample(kept, p.settings.limit, p.settings.seed)
        counts |= {"taken": len(kept), "scored": sum(j.outcome is not None for j in kept)}
        return kept, counts

    @cached_property
    def _corpus(self) -> str:
        return identity(self.pipeline.corpus)

    @cached_property
    def _segmented(self) -> tuple[Hashable, ...]:
        """What decides the roles of the judgments of a split, and which store they are kept in."""
        tagger = self.pipeline.segment
        asked = identity(self.pipeline.backbone) if isinstance(tagger, AskingSegmenter) else None
        return (self._corpus, identity(tagger), asked, cache_folder(self.pipeline))

    @cached_property
    def _shown(self) -> tuple[Hashable, ...]:
        """What decides documents and prompts; the backbone counts their tokens, where it is asked."""
        p = self.pipeline
        engine = identity(p.backbone) if p.predict.needs_backbone else None
        return (*self._segmented, p.corpus.split, identity(p.restructure), identity(p.annotate), engine)

    def segment(self, judgments: Sequence[Judgment], split: str | None = None) -> dict[str, Segments]:
        """The roles of every judgment; from the store where the segmenter is worth storing.

        Args:
            judgments: of one split.
            split: which one; None: the evaluated one.
        """
        split = self.pipeline.corpus.split if split is None else split
        known = self.prepared.segments.setdefault((*self._segmented, split), {})
        missing = [j for j in judgments if j.id not in known]
        if missing:
            known.update(self._segment(missing))
        return {j.id: known[j.id] for j in judgments}

    def _segment(self, judgments: Sequence[Judgment]) -> dict[str, Segments]:
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

    def clusters(self, judgments: Sequence[Judgment]) -> dict[str, str]:
        """Id -> the first id of the judgments that it nearly repeats or belongs to, which may be its own.

        From the store where they were looked for before: every cell of a sweep has the same judgments.
        """
        ordered = sorted(judgments, key=lambda j: j.id)
        told = {"near_duplicate": NEAR_DUPLICATE, "run": SHINGLE_WORDS}
        store = Store(cache_folder(self.pipeline) / "clusters" / digest(told)[:16], told)
        key = digest([[j.id, j.group, j.text] for j in ordered])
        if key not in store:
            store.add([(key, group_related(ordered))])
        store.close()
        return {j.id: ordered[number].id for j, number in zip(ordered, store[key], strict=True)}

    @contextmanager
    def _ready(self, tagger: Segmenter) -> Iterator[Segmenter]:
        """The segmenter, with the backbone where it asks one."""
        if not isinstance(tagger, AskingSegmenter):
            yield tagger
            return
        calls = call_store(self.pipeline)
        try:
            with tagger.asking(self.pipeline.backbone.load(), calls) as ready:
                yield ready
        finally:
            calls.close()

    def cases(
        self, judgments: Sequence[Judgment], segments: Mapping[str, Segments], engine: Engine | None
    ) -> list[Case]:
        """Document and prompt of every judgment."""
        cases = []
        with progress("restructure", len(judgments), "judgments") as advance:
            for judgment in judgments:
                cases.append(self.case(judgment, segments[judgment.id], engine))
                advance(1)
        return cases

    def case(self, judgment: Judgment, segments: Segments, engine: Engine | None) -> Case:
        """Document and prompt of one judgment."""
        known = self.prepared.cases.get(self._shown, {}).get(judgment.id)
        if known is not None:
            return known
        p = self.pipeline
        if engine is not None and segments.scheme not in self.reserves:
            self.reserves[segments.scheme] = p.annotate.reserve(scheme(segments.scheme), engine)
        reserve = self.reserves.get(segments.scheme, 0)
        document = p.restructure.restructure(judgment, segments, engine, reserve)
        blind = replace(judgment, outcome=None, spans=None)
        case = Case(judgment=blind, document=document, prompt=p.annotate.annotate(blind, document))
        self.prepared.keep(self._shown, case)
        return case

    def measured(self) -> Any:
        """What is measured of the backbone by itself, as JSON, from the store where it is there; None: nothing is.

        Raises:
            UserError: a backbone that cannot be measured.
        """
        p = self.pipeline
        if p.measures is None:
            return None
        # Cells with the same backbone have the same numbers, times too.
        told = {"stage": description(p.measures), "backbone": _told(p.backbone), "corpus": description(p.corpus)}
        store, key = Store(cache_folder(p) / "measure" / digest(told)[:16], told), digest(_machine(p.backbone))
        if key not in store:
            with self.clock.time("measure"):
                store.add([(key, dict(p.measures.measure(p.backbone, p.corpus)))])
        store.close()
        return store[key]

    def examples(self) -> list[Example]:
        """What baselines learn from: the train split, prepared as the judged one is; empty without such a split."""
        p = self.pipeline
        if p.predict.needs_backbone or p.corpus.train_split is None:
            return []
        judgments = [j for j in p.corpus.read(p.corpus.train_split) if j.outcome]
        if p.segment.needs_gold:
            judgments = [j for j in judgments if j.spans is not None]
        segments = self.segment(judgments, p.corpus.train_split)
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


def _cost(pipeline: Pipeline, completions: Mapping[str, Completion]) -> dict[str, float | None]:
    """What all the answers of a cell cost, those from the store too."""
    backbone = pipeline.backbone
    if not (pipeline.predict.needs_backbone and isinstance(backbone, PricedBackbone)):
        return {}
    return {"cost": backbone.cost(turn for completion in completions.values() for turn in completion.turns)}


def _machine(backbone: Backbone) -> dict[str, Any]:
    """Where a backbone runs, on which times depend."""
    return {"node": platform.node(), **{name: getattr(backbone, name, None) for name in ("device", "threads")}}


def _told(stage: Segmenter | Backbone) -> dict[str, Any]:
    """What tells the results of a stage from those of another one."""
    return {"stage": description(stage), "provenance": dict(stage.provenance())}


def call_store(pipeline: Pipeline) -> Store:
    """Where the answers of the pipeline's backbone are kept."""
    told = _told(pipeline.backbone)
    return Store(cache_folder(pipeline) / "predict" / digest(told)[:16], told)
