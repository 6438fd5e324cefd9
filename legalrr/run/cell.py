"""Run one cell, from judgments to scores, and write its run folder (`legalrr.run.folder`)."""

import logging
import platform
from collections.abc import Hashable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from legalrr.errors import UserError
from legalrr.key_set import Keys, KeySet
from legalrr.page_images import require_reader
from legalrr.progress import progress, working
from legalrr.protocols import AskingSegmenter, CallCounter, Engine, PredictContext, Segmenter
from legalrr.records import Case, Document, Example, Judgment, Segments, by_id
from legalrr.roles import scheme
from legalrr.run.clusters import find_clusters
from legalrr.run.documents import Documents, document_store
from legalrr.run.finished import FinishedCell, content_digest, finished_cell, may_be_copied, repeat_cell
from legalrr.run.folder import RunWriter, checkout_commit, describe_cell, package_versions
from legalrr.run.measurement import StageTimer, measure_backbone
from legalrr.run.pipeline import Pipeline, PreparationCache, cache_folder, stage_description
from legalrr.run.rows import CellRows
from legalrr.run.selection import in_shard, select_judgments
from legalrr.run.spooled import (
    Cases,
    CorpusJudgments,
    SelectedJudgments,
    SpooledSegments,
    segments_from_json,
)
from legalrr.score.cases import PARTY_UNKNOWN
from legalrr.stage import description, digest, identity
from legalrr.store import Store
from legalrr.workers.tagging import tag_judgments

log = logging.getLogger(__name__)


def run_cell(
    pipeline: Pipeline,
    folder: Path,
    fresh: Keys | None = None,
    prepared: PreparationCache | None = None,
    retried: Keys | None = None,
    *,
    sweep: Path | None = None,
) -> Mapping[str, Any]:
    """Run all stages and write the run folder; return the content of run.json.

    Args:
        pipeline: the stages.
        folder: the run folder.
        fresh: keys of prefetched calls that no cell has counted yet; those that this cell counts are removed.
        prepared: judgments and prompts prepared earlier in this process; this cell adds its own.
        retried: keys of refused calls made again in this process, with `retry_errors`; this cell adds its own.
        sweep: folder of its sweep, whose cells share a file of judgments; None: the cell has its own.

    Raises:
        UserError: invalid input or options, or a share of the judgments, which has no scores; results computed so far
            stay in the store.
    """
    if pipeline.shard is not None:
        raise UserError("a shard has no scores", where="shard", cure="leave it out once all shards have run")
    timer = StageTimer()
    prepared = PreparationCache() if prepared is None else prepared
    cell = PreparedCell(pipeline=pipeline, timer=timer, prepared=prepared, stores=True)
    # A missing model is reported before any other work is done.
    engine = None
    if pipeline.predict.needs_backbone:
        with working(f"load {pipeline.backbone.name}"):
            engine = pipeline.load_engine()
    with timer.time("corpus"):
        judgments, counts = cell.judgments(engine)
    with timer.time("segment"):
        segments = cell.segment(judgments)
    finished = cell.finished(judgments, segments)
    # A cell whose calls this process has made counts them.
    earlier = None if finished is None or fresh else finished.find()
    if earlier is not None:
        file = prepared.files.write(folder, judgments, sweep)
        changes = {"judgments": file, "commit": checkout_commit(), "seconds": timer.seconds}
        record = repeat_cell(earlier, folder, changes)
        log.info("%s: nothing has changed since %s, whose results are copied", pipeline.settings.arm.label, earlier)
        return record
    with timer.time("restructure"):
        cell.restructure(judgments, segments, engine)
    cases = cell.cases(judgments, segments, engine)
    calls = Store(cache_folder(pipeline) / "predict" / "none", {}) if engine is None else prepared.answers(pipeline)
    counter = CallCounter(
        fresh=KeySet() if fresh is None else fresh,
        retried=(KeySet() if retried is None else retried) if pipeline.settings.retry_errors else None,
    )
    context = PredictContext(
        engine=engine,
        calls=calls,
        train=cell.examples(),
        gold={one.id: one.outcome for one in judgments.facts if one.outcome},
        seed=pipeline.settings.seed,
        call_counter=counter,
    )
    with timer.time("score"):
        clusters = cell.clusters(judgments)
    first = None if engine is None else cases[0]
    with RunWriter(
        folder, list(judgments.ids), spool=cache_folder(pipeline), sweep=sweep, files=prepared.files, first=first
    ) as writer:
        rows = CellRows(pipeline, judgments, segments, clusters, writer)
        with timer.time("predict"):
            for completion in pipeline.predict.predict(cases, context):
                rows.add(completion, cases.pop(completion.id))
        calls.close()
        rows.require_all()
        measurements = measure_backbone(pipeline, timer.time)
        with timer.time("score"), working("score"):
            scores = pipeline.score.score(rows.scored()) if counts["scored"] else {}
        record = {
            "format": 2,
            "cell": describe_cell(pipeline, turns=rows.turns, pictured=rows.pictured),
            "counts": counts | {PARTY_UNKNOWN: rows.party_unknown},
            "calls": {"made": counter.made, "stored": counter.stored},
            **({} if measurements is None else {"measured": measurements}),
            **rows.cost(),
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
        writer.finish(judgments=judgments, record=record, scores=scores)
    if finished is not None:
        finished.write(folder)
    log.info(
        "%s: %d judgments, %d model calls made, %d from the store",
        pipeline.settings.arm.label,
        len(judgments),
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
    stores: bool = False
    """Whether documents are stored for later runs."""

    def read(self) -> CorpusJudgments:
        """Read the judgments of the evaluated split, by id; raises UserError for invalid input."""
        corpus, known = self.pipeline.corpus, self.prepared.judgments
        key = (self._corpus_identity, corpus.split)
        if key not in known:
            with working(f"read {corpus.name}"):
                known[key] = CorpusJudgments(corpus.read(corpus.split), self._folder)
        return known[key]

    def judgments(self, engine: Engine | None) -> tuple[SelectedJudgments, dict[str, int]]:
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
        pictured = (every[one.id] for one in every.facts if one.pictured)
        require_reader(pictured, engine, corpus=p.corpus.name, backbone=p.backbone.name)
        known = self.prepared.selected
        if self._selection_key not in known:
            known[self._selection_key] = select_judgments(every, p)
        judgments, counts = known[self._selection_key]
        return judgments, dict(counts)

    @cached_property
    def _selection_key(self) -> tuple[Hashable, ...]:
        """Key of everything that the selection of judgments depends on."""
        p = self.pipeline
        return (self._corpus_identity, p.corpus.split, p.segment.needs_gold, p.settings.limit, p.settings.seed, p.shard)

    @property
    def _folder(self) -> Path:
        """Folder of temporary files."""
        return cache_folder(self.pipeline)

    @cached_property
    def _corpus_identity(self) -> str:
        return identity(self.pipeline.corpus)

    @cached_property
    def segments_key(self) -> tuple[Hashable, ...]:
        """Key of everything that roles depend on, with the folder of their store."""
        tagger = self.pipeline.segment
        backbone = identity(self.pipeline.backbone) if isinstance(tagger, AskingSegmenter) else None
        return (self._corpus_identity, identity(tagger), backbone, cache_folder(self.pipeline))

    @cached_property
    def _document_key(self) -> tuple[Hashable, ...]:
        """Key of everything that documents depend on but the tokens reserved."""
        p = self.pipeline
        counted = identity(p.backbone) if p.predict.needs_backbone else None
        return (*self.segments_key, p.corpus.split, identity(p.restructure), counted)

    @cached_property
    def _case_key(self) -> tuple[Hashable, ...]:
        """Key of everything that prompts depend on."""
        return (*self._document_key, identity(self.pipeline.annotate))

    def segment(self, judgments: Sequence[Judgment], split: str | None = None) -> Mapping[str, Segments]:
        """Return the roles of each judgment by id, from the store if the segmenter's results are stored.

        Args:
            judgments: judgments of one split.
            split: name of the split; None: the evaluated one.
        """
        split = self.pipeline.corpus.split if split is None else split
        key = (*self.segments_key, split)
        if key not in self.prepared.segments:
            self.prepared.segments[key] = SpooledSegments(self._folder)
        known = self.prepared.segments[key]
        if isinstance(judgments, SelectedJudgments):
            missing: Sequence[Judgment] = judgments.where(lambda one: one.id not in known)
        else:
            missing = [one for one in judgments if one.id not in known]
        if missing:
            self._segment(missing, known)
        return known

    def _segment(self, judgments: Sequence[Judgment], known: SpooledSegments) -> None:
        """Add the roles of judgments to the known ones."""
        tagger = self.pipeline.segment
        if not tagger.stored:
            for judgment in judgments:
                known.add(judgment.id, tagger.segment(judgment))
            return
        key = stage_description(tagger)
        if isinstance(tagger, AskingSegmenter):
            key["backbone"] = stage_description(self.pipeline.backbone)
        store = Store(cache_folder(self.pipeline) / "segment" / digest(key)[:16], key)
        missing = []
        for place, judgment in enumerate(judgments):
            stored = digest(judgment.text)
            if stored in store:
                known.add(judgment.id, segments_from_json(judgment.id, store[stored]))
            else:
                missing.append(place)
        if missing:
            with self._open_segmenter(tagger) as opened:
                # The workers have the backbone that an asking tagger prompts.
                workers = None if isinstance(tagger, AskingSegmenter) else self.pipeline.workers
                left = (judgments[place] for place in missing)
                with closing(tag_judgments(opened, left, workers, total=len(missing), label="segment")) as tagged:
                    for _, judgment, found in tagged:
                        if isinstance(found, UserError):
                            raise found
                        spans = [[s.start, s.end, s.role, round(s.score, 6)] for s in found.spans]
                        value = {"scheme": found.scheme, "spans": spans}
                        store.add([(digest(judgment.text), value)])
                        known.add(judgment.id, segments_from_json(judgment.id, value))
        store.close()

    def finished(self, judgments: SelectedJudgments, segments: Mapping[str, Segments]) -> FinishedCell | None:
        """Return the note of an earlier run of this cell; None if it is computed each time."""
        if not may_be_copied(self.pipeline, judgments):
            return None
        known, key = self.prepared.contents, (self._selection_key, self.segments_key)
        if key not in known:
            known[key] = content_digest(judgments, segments)
        answers = self.prepared.answers(self.pipeline).folder
        return finished_cell(self.pipeline, answers, known[key])

    def clusters(self, judgments: SelectedJudgments) -> dict[str, str]:
        """Map each id to the first id of its cluster of near-duplicates (`legalrr.run.clusters`)."""
        known = self.prepared.clusters
        if self._selection_key not in known:
            known[self._selection_key] = find_clusters(judgments, self._folder)
        return known[self._selection_key]

    @contextmanager
    def _open_segmenter(self, tagger: Segmenter) -> Iterator[Segmenter]:
        """Yield the segmenter, with the loaded backbone if it prompts one."""
        if not isinstance(tagger, AskingSegmenter):
            yield tagger
            return
        calls = self.prepared.answers(self.pipeline)
        try:
            with tagger.asking(self.pipeline.load_engine(), calls) as opened:
                yield opened
        finally:
            calls.close()

    def restructure(
        self, judgments: SelectedJudgments, segments: Mapping[str, Segments], engine: Engine | None
    ) -> None:
        """Build the documents that are missing, before any call is made; raises UserError if one cannot be shown."""
        schemes = self._schemes(segments[judgments[0].id].scheme) if judgments else ()
        known = self._documents(schemes, engine)
        missing = judgments.where(lambda one: one.id not in known)
        if missing:
            with progress("restructure", len(missing), "judgments") as advance:
                for judgment in missing:
                    self._document(judgment, segments[judgment.id], engine)
                    advance(1)
        known.write()

    def cases(self, judgments: SelectedJudgments, segments: Mapping[str, Segments], engine: Engine | None) -> Cases:
        """Return document and prompt of each judgment, built when they are asked for."""
        return Cases(judgments.ids, lambda id: self.case(judgments.corpus[id], segments[id], engine))

    def case(self, judgment: Judgment, segments: Segments, engine: Engine | None) -> Case:
        """Build document and prompt of one judgment, or return those prepared earlier."""
        known = self.prepared.cases.get(self._case_key, {}).get(judgment.id)
        if known is not None:
            return known
        document = self._document(judgment, segments, engine)
        blind = replace(judgment, outcome=None, spans=None)
        case = Case(judgment=blind, document=document, prompt=self.pipeline.annotate.annotate(blind, document))
        self.prepared.add(self._case_key, case)
        return case

    def _schemes(self, one: str) -> tuple[str, ...]:
        """Return the role schemes of the judgments whose roles are known, and this one."""
        known = self.prepared.segments.get((*self.segments_key, self.pipeline.corpus.split))
        return tuple(sorted({one, *(() if known is None else known.schemes)}))

    def _reserve(self, name: str, engine: Engine | None) -> int:
        """Return the tokens reserved for prompt and answers with a role scheme."""
        if engine is not None and name not in self.reserves:
            self.reserves[name] = self.pipeline.annotate.reserve(scheme(name), engine)
        return self.reserves.get(name, 0)

    def _documents(self, schemes: Iterable[str], engine: Engine | None) -> Documents:
        """Return the documents of all cells that reserve as many tokens with each of these schemes."""
        known = self.prepared.documents
        key = (*self._document_key, *((name, self._reserve(name, engine)) for name in schemes))
        if key not in known:
            counts = None if engine is None else stage_description(self.pipeline.backbone)
            store = document_store(self._folder, self.pipeline.restructure, counts) if self.stores else None
            known[key] = Documents(self._folder, store)
        return known[key]

    def _document(self, judgment: Judgment, segments: Segments, engine: Engine | None) -> Document:
        documents = self._documents(self._schemes(segments.scheme), engine)
        reserve = self._reserve(segments.scheme, engine)
        known = documents.get(judgment) or documents.find(judgment, segments, reserve)
        if known is not None:
            return known
        document = self.pipeline.restructure.restructure(judgment, segments, engine, reserve)
        documents.add(judgment, segments, reserve, document)
        return document

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
        return in_shard(judgments, p)
