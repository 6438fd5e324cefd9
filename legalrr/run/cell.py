"""Run one cell, from judgments to scores, and write its run folder (`legalrr.run.folder`)."""

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
from legalrr.corpora.files import describe_doubt
from legalrr.errors import UserError
from legalrr.near_duplicates import NEAR_DUPLICATE, SHINGLE_WORDS, group_related
from legalrr.page_images import require_reader
from legalrr.progress import progress, working
from legalrr.protocols import AskingSegmenter, Backbone, CallCounter, Engine, PredictContext, PricedBackbone, Segmenter
from legalrr.records import Case, Completion, Example, Judgment, Segments, Span, by_id
from legalrr.roles import scheme
from legalrr.run.folder import (
    build_prediction,
    checkout_commit,
    describe_cell,
    package_versions,
    write_run,
)
from legalrr.run.pipeline import Pipeline, PreparationCache, cache_folder, reference_texts
from legalrr.score.cases import PARTY_UNKNOWN, answered_case
from legalrr.stage import description, digest, identity
from legalrr.store import Store

log = logging.getLogger(__name__)


@dataclass
class StageTimer:
    """Seconds per stage."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def time(self, stage: str) -> Iterator[None]:
        """Add the duration of the block to a stage."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[stage] = round(self.seconds.get(stage, 0.0) + time.perf_counter() - started, 3)


def run_cell(
    pipeline: Pipeline,
    folder: Path,
    fresh: set[str] | None = None,
    prepared: PreparationCache | None = None,
    retried: set[str] | None = None,
) -> Mapping[str, Any]:
    """Run all stages and write the run folder; return the content of run.json.

    Args:
        pipeline: the stages.
        folder: the run folder.
        fresh: keys of prefetched calls that no cell has counted yet; those that this cell counts are removed.
        prepared: judgments and prompts prepared earlier in this process; this cell adds its own.
        retried: keys of refused calls made again in this process, with `retry_errors`; this cell adds its own.

    Raises:
        UserError: invalid input or options, or a share of the judgments, which has no scores; results computed so far
            stay in the store.
    """
    if pipeline.shard is not None:
        raise UserError("a shard has no scores", where="shard", cure="leave it out once all shards have run")
    timer = StageTimer()
    cell = PreparedCell(pipeline=pipeline, timer=timer, prepared=PreparationCache() if prepared is None else prepared)
    # A missing model is reported before any other work is done.
    engine = None
    if pipeline.predict.needs_backbone:
        with working(f"load {pipeline.backbone.name}"):
            engine = pipeline.load_engine()
    with timer.time("corpus"):
        judgments, counts = cell.judgments(engine)
    with timer.time("segment"):
        segments = cell.segment(judgments)
    with timer.time("restructure"):
        cases = cell.cases(judgments, segments, engine)
    counts[PARTY_UNKNOWN] = sum(case.prompt.party is None for case in cases)
    calls = Store(cache_folder(pipeline) / "predict" / "none", {}) if engine is None else call_store(pipeline)
    counter = CallCounter(
        fresh=set() if fresh is None else fresh,
        retried=(set() if retried is None else retried) if pipeline.settings.retry_errors else None,
    )
    with timer.time("predict"):
        context = PredictContext(
            engine=engine,
            calls=calls,
            train=cell.examples(),
            gold={j.id: j.outcome for j in judgments if j.outcome},
            seed=pipeline.settings.seed,
            call_counter=counter,
        )
        completions = by_id(pipeline.predict.predict(cases, context))
    calls.close()
    measurements = cell.measure_backbone()
    with timer.time("score"), working("score"):
        verdicts = {c.judgment.id: pipeline.verdict.read(completions[c.judgment.id], c.prompt) for c in cases}
        clusters = cell.clusters(judgments)
        predictions = [
            build_prediction(j, c, completions[j.id], verdicts[j.id], cluster=clusters[j.id])
            for j, c in zip(judgments, cases, strict=True)
        ]
        labelled = [answered_case(one, where=one.id) for one in predictions if one.gold is not None]
        scores = pipeline.score.score(labelled) if counts["scored"] else {}
    references = [
        reference_texts(j, segments[j.id], c.prompt.turns, segmenter=pipeline.segment.name)
        for j, c in zip(judgments, cases, strict=True)
        if pipeline.predict.needs_backbone
    ]
    record = {
        "format": 1,
        "cell": describe_cell(pipeline, cases),
        "counts": counts,
        "calls": {"made": counter.made, "stored": counter.stored},
        **({} if measurements is None else {"measured": measurements}),
        **_total_cost(pipeline, completions),
        "versions": {"python": platform.python_version(), **package_versions()},
        "commit": checkout_commit(),
        "seed": pipeline.settings.seed,
        "reference": pipeline.settings.reference,
        "settings": description(pipeline.score)["fields"],
        "stages": pipeline.described(),
        "provenance": {
            "segment": dict(pipeline.segment.provenance()),
            **({"backbone": dict(pipeline.backbone.provenance())} if pipeline.needs_backbone else {}),
        },
        "seconds": timer.seconds,
    }
    write_run(folder, predictions, judgments=judgments, references=references, record=record, scores=scores)
    log.info(
        "%s: %d judgments, %d model calls made, %d from the store",
        pipeline.settings.arm.label,
        len(predictions),
        counter.made,
        counter.stored,
    )
    return record


@dataclass(frozen=True, kw_only=True)
class PreparedCell:
    """The steps of one cell up to its prompts, with what was prepared earlier."""

    pipeline: Pipeline
    """Its stages."""
    timer: StageTimer
    """Seconds per stage."""
    reserves: dict[str, int] = field(default_factory=dict)
    """Tokens reserved for prompt and answers, by role scheme."""
    prepared: PreparationCache = field(default_factory=PreparationCache)
    """Results prepared in this process, by this cell and others."""

    def read(self) -> Mapping[str, Judgment]:
        """Read the judgments of the evaluated split, by id; raises UserError for invalid input."""
        corpus, known = self.pipeline.corpus, self.prepared.judgments
        key = (self._corpus_identity, corpus.split)
        if key not in known:
            with working(f"read {corpus.name}"):
                known[key] = by_id(corpus.read(corpus.split))
            doubtful = frozenset(j.id for j in known[key].values() if describe_doubt(j.text))
            self.prepared.not_english[key] = doubtful
        return known[key]

    def judgments(self, engine: Engine | None) -> tuple[list[Judgment], dict[str, int]]:
        """Select the judgments to predict; return them and counts, of excluded judgments by reason.

        The sample is the same in all shards, and then shared out.

        Args:
            engine: the loaded backbone; None for a predictor without one.

        Raises:
            UserError: invalid input, no judgment, or page images that the predictor cannot read.
        """
        p = self.pipeline
        every = self.read()
        if not every:
            raise UserError(
                "no judgment", where=f"corpus {p.corpus.name}, split {p.corpus.split}", cure="check path and split"
            )
        require_reader(every.values(), engine, corpus=p.corpus.name, backbone=p.backbone.name)
        kept = list(every.values())
        counts = {"read": len(kept)}
        # A corpus without any outcome is predicted but not scored; in others, unlabelled rows are excluded.
        if any(j.outcome for j in kept):
            kept = _leave_out(kept, [j for j in kept if j.outcome is None], "without outcome", counts)
        if p.segment.needs_gold and any(j.spans is not None for j in kept):
            kept = _leave_out(kept, [j for j in kept if j.spans is None], "without gold roles", counts)
        kept = self._shared(subsample(kept, p.settings.limit, p.settings.seed))
        counts |= {"taken": len(kept), "scored": sum(j.outcome is not None for j in kept)}
        doubtful = self.prepared.not_english.get((self._corpus_identity, p.corpus.split), frozenset())
        if foreign := sum(j.id in doubtful for j in kept):
            counts["not in English"] = foreign
        return kept, counts

    def _shared(self, judgments: list[Judgment]) -> list[Judgment]:
        """Return the judgments of the shard; all without one."""
        shard = self.pipeline.shard
        return judgments if shard is None else [j for j in judgments if shard.takes(self._corpus_identity, j.id)]

    @cached_property
    def _corpus_identity(self) -> str:
        return identity(self.pipeline.corpus)

    @cached_property
    def _segments_key(self) -> tuple[Hashable, ...]:
        """Key of everything that roles depend on, with the folder of their store."""
        tagger = self.pipeline.segment
        backbone = identity(self.pipeline.backbone) if isinstance(tagger, AskingSegmenter) else None
        return (self._corpus_identity, identity(tagger), backbone, cache_folder(self.pipeline))

    @cached_property
    def _case_key(self) -> tuple[Hashable, ...]:
        """Key of everything that documents and prompts depend on; a backbone counts their tokens."""
        p = self.pipeline
        engine = identity(p.backbone) if p.predict.needs_backbone else None
        return (*self._segments_key, p.corpus.split, identity(p.restructure), identity(p.annotate), engine)

    def segment(self, judgments: Sequence[Judgment], split: str | None = None) -> dict[str, Segments]:
        """Return the roles of each judgment by id, from the store if the segmenter's results are stored.

        Args:
            judgments: judgments of one split.
            split: name of the split; None: the evaluated one.
        """
        split = self.pipeline.corpus.split if split is None else split
        known = self.prepared.segments.setdefault((*self._segments_key, split), {})
        missing = [j for j in judgments if j.id not in known]
        if missing:
            known.update(self._segment(missing))
        return {j.id: known[j.id] for j in judgments}

    def _segment(self, judgments: Sequence[Judgment]) -> dict[str, Segments]:
        tagger = self.pipeline.segment
        if not tagger.stored:
            return {j.id: tagger.segment(j) for j in judgments}
        key = _store_description(tagger)
        if isinstance(tagger, AskingSegmenter):
            key["backbone"] = _store_description(self.pipeline.backbone)
        store = Store(cache_folder(self.pipeline) / "segment" / digest(key)[:16], key)
        keys = {j.id: digest(j.text) for j in judgments}
        missing = [j for j in judgments if keys[j.id] not in store]
        if missing:
            with self._open_segmenter(tagger) as opened, progress("segment", len(missing), "judgments") as advance:
                for judgment in missing:
                    found = opened.segment(judgment)
                    spans = [[s.start, s.end, s.role, round(s.score, 6)] for s in found.spans]
                    store.add([(keys[judgment.id], {"scheme": found.scheme, "spans": spans})])
                    advance(1)
        store.close()
        return {j.id: _segments_from_json(j.id, store[keys[j.id]]) for j in judgments}

    def clusters(self, judgments: Sequence[Judgment]) -> dict[str, str]:
        """Map each id to the first id of its cluster of near-duplicates, which may be its own.

        The clusters are stored, as every cell of a sweep has the same judgments.
        """
        ordered = sorted(judgments, key=lambda j: j.id)
        options = {"near_duplicate": NEAR_DUPLICATE, "run": SHINGLE_WORDS}
        store = Store(cache_folder(self.pipeline) / "clusters" / digest(options)[:16], options)
        key = digest([[j.id, j.group, j.text] for j in ordered])
        if key not in store:
            store.add([(key, group_related(ordered))])
        store.close()
        return {j.id: ordered[number].id for j, number in zip(ordered, store[key], strict=True)}

    @contextmanager
    def _open_segmenter(self, tagger: Segmenter) -> Iterator[Segmenter]:
        """Yield the segmenter, with the loaded backbone if it prompts one."""
        if not isinstance(tagger, AskingSegmenter):
            yield tagger
            return
        calls = call_store(self.pipeline)
        try:
            with tagger.asking(self.pipeline.load_engine(), calls) as opened:
                yield opened
        finally:
            calls.close()

    def cases(
        self, judgments: Sequence[Judgment], segments: Mapping[str, Segments], engine: Engine | None
    ) -> list[Case]:
        """Build document and prompt of each judgment."""
        cases = []
        with progress("restructure", len(judgments), "judgments") as advance:
            for judgment in judgments:
                cases.append(self.case(judgment, segments[judgment.id], engine))
                advance(1)
        return cases

    def case(self, judgment: Judgment, segments: Segments, engine: Engine | None) -> Case:
        """Build document and prompt of one judgment, or return those prepared earlier."""
        known = self.prepared.cases.get(self._case_key, {}).get(judgment.id)
        if known is not None:
            return known
        p = self.pipeline
        if engine is not None and segments.scheme not in self.reserves:
            self.reserves[segments.scheme] = p.annotate.reserve(scheme(segments.scheme), engine)
        reserve = self.reserves.get(segments.scheme, 0)
        document = p.restructure.restructure(judgment, segments, engine, reserve)
        blind = replace(judgment, outcome=None, spans=None)
        case = Case(judgment=blind, document=document, prompt=p.annotate.annotate(blind, document))
        self.prepared.add(self._case_key, case)
        return case

    def measure_backbone(self) -> Any:
        """Return the measurements of the backbone by itself as JSON, stored or new; None without a meter.

        Raises:
            UserError: the backbone cannot be measured.
        """
        p = self.pipeline
        if p.measures is None:
            return None
        # Cells with the same backbone share all measurements, including times.
        options = {
            "stage": description(p.measures),
            "backbone": _store_description(p.backbone),
            "corpus": description(p.corpus),
        }
        store = Store(cache_folder(p) / "measure" / digest(options)[:16], options)
        key = digest(_machine_description(p.backbone))
        if key not in store:
            with self.timer.time("measure"):
                store.add([(key, dict(p.measures.measure(p.backbone, p.corpus)))])
        store.close()
        return store[key]

    def examples(self) -> list[Example]:
        """Return the examples of a baseline: the train split, prepared like the evaluated one, or nothing."""
        restructure = self.pipeline.restructure
        judgments = self.train_judgments()
        segments = self.segment(judgments, self.pipeline.corpus.train_split)
        return [
            Example(judgment=j, document=restructure.restructure(j, segments[j.id], None, 0))
            for j in by_id(judgments).values()
        ]

    def train_judgments(self) -> list[Judgment]:
        """Select the judgments of the train split that a baseline learns from; none for a model."""
        p = self.pipeline
        if p.predict.needs_backbone or p.corpus.train_split is None:
            return []
        judgments = [j for j in p.corpus.read(p.corpus.train_split) if j.outcome]
        if p.segment.needs_gold:
            judgments = [j for j in judgments if j.spans is not None]
        return self._shared(judgments)


def _leave_out(
    judgments: list[Judgment], excluded: list[Judgment], reason: str, counts: dict[str, int]
) -> list[Judgment]:
    """Return the other judgments; count and log the excluded ones."""
    if excluded:
        counts[reason] = len(excluded)
        ids = ", ".join(j.id for j in excluded[:5]) + (", ..." if len(excluded) > 5 else "")
        log.info("%d of %d judgments left out, %s: %s", len(excluded), len(judgments), reason, ids)
    dropped = {j.id for j in excluded}
    return [j for j in judgments if j.id not in dropped]


def _segments_from_json(id: str, value: Mapping[str, Any]) -> Segments:
    spans = tuple(Span(start=a, end=b, role=role, score=score) for a, b, role, score in value["spans"])
    return Segments(id=id, scheme=value["scheme"], spans=spans)


def _total_cost(pipeline: Pipeline, completions: Mapping[str, Completion]) -> dict[str, float | None]:
    """Compute the cost of all answers of a cell, including stored ones; empty for a backbone without prices."""
    backbone = pipeline.backbone
    if not (pipeline.predict.needs_backbone and isinstance(backbone, PricedBackbone)):
        return {}
    return {"cost": backbone.cost(turn for completion in completions.values() for turn in completion.turns)}


def _machine_description(backbone: Backbone) -> dict[str, Any]:
    """Describe the machine of a backbone, on which times depend."""
    return {"node": platform.node(), **{name: getattr(backbone, name, None) for name in ("device", "threads")}}


def _store_description(stage: Segmenter | Backbone) -> dict[str, Any]:
    """Describe everything that the results of a stage depend on."""
    return {"stage": description(stage), "provenance": dict(stage.provenance())}


def call_store(pipeline: Pipeline) -> Store:
    """Open the store of the backbone's answers."""
    key = _store_description(pipeline.backbone)
    return Store(cache_folder(pipeline) / "predict" / digest(key)[:16], key)
