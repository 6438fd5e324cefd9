"""Run the probe on the judgments of a pipeline: from the corpus to the run folder."""

import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from legalrr.errors import UserError
from legalrr.leakage.output import LeakageResult, write_results
from legalrr.leakage.probe import Probe, ViewPredictor
from legalrr.leakage.views import score_views
from legalrr.page_images import require_text
from legalrr.protocols import CallCounter
from legalrr.records import Case, Judgment, Outcome
from legalrr.run.cell import PreparedCell
from legalrr.run.folder import checkout_commit, package_versions
from legalrr.run.measurement import StageTimer
from legalrr.run.pipeline import Pipeline, call_store
from legalrr.score.scorer import PredictionScorer
from legalrr.stage import description, identity


@dataclass(frozen=True, kw_only=True)
class ProbeInput:
    """Input of the probe."""

    cases: Sequence[tuple[Case, Outcome]]
    """Judgments with everything that is shown of them, and their outcomes."""
    counts: Mapping[str, int]
    """Number of judgments read, excluded by reason, and probed."""


def run_probe(pipeline: Pipeline, probe: Probe, folder: Path) -> tuple[LeakageResult, CallCounter]:
    """Probe the judgments of a pipeline, write the run folder, and return the result and the call counts.

    Args:
        pipeline: the stages; the visible text is the same as in its arms.
        probe: options of the views and of the sentence search.
        folder: the run folder.

    Raises:
        UserError: bad input, judgments without outcomes or shown as images, or stages that are not single-turn. Answers
            received before the error stay in the store.
    """
    if not isinstance(pipeline.score, PredictionScorer):
        raise UserError("the probe is scored as predictions are", where="score", cure="use score=default")
    timer = StageTimer()
    engine = pipeline.load_engine()
    calls = call_store(pipeline)
    predictor = ViewPredictor(pipeline, engine, calls)
    cell = PreparedCell(pipeline=pipeline, timer=timer)
    with timer.time("corpus"):
        judgments, counts = cell.judgments(engine)
    _check_outcomes(judgments, pipeline)
    with timer.time("segment"):
        segments = cell.segment(judgments)
    with timer.time("restructure"):
        selected = _select_cases(judgments, cell.cases(judgments, segments, engine), counts)
    with timer.time("predict"):
        probed = probe.run(selected.cases, predictor)
    calls.close()
    with timer.time("score"):
        scores = score_views(probed, pipeline.score)
    result = LeakageResult(
        corpus=pipeline.corpus.name,
        segment=pipeline.segment.name,
        backbone=pipeline.backbone.name,
        scoring=predictor.scoring,
        confidence=pipeline.score.confidence,
        probe=probe,
        counts=selected.counts,
        probed=tuple(probed),
        views=tuple(scores),
    )
    stages = {**pipeline.stages(), "probe": probe}
    record = {
        "format": 1,
        "counts": selected.counts,
        "calls": {"made": predictor.call_counter.made, "stored": predictor.call_counter.stored},
        "scoring": predictor.scoring,
        "seed": pipeline.settings.seed,
        "stages": {name: {"identity": identity(stage), **description(stage)} for name, stage in stages.items()},
        "provenance": {
            "segment": dict(pipeline.segment.provenance()),
            "backbone": dict(pipeline.backbone.provenance()),
        },
        "versions": {"python": platform.python_version(), **package_versions()},
        "commit": checkout_commit(),
        "seconds": timer.seconds,
    }
    write_results(result, record, folder)
    return result, predictor.call_counter


def _check_outcomes(judgments: Sequence[Judgment], pipeline: Pipeline) -> None:
    if any(judgment.outcome is None for judgment in judgments):
        raise UserError(
            "no judgment has an outcome; the probe needs one",
            where=f"corpus {pipeline.corpus.name}",
            cure="give the corpus labels, e.g. corpus.labels=labels.csv",
        )


def _select_cases(judgments: Sequence[Judgment], cases: Sequence[Case], counts: Mapping[str, int]) -> ProbeInput:
    """Select the judgments with outcomes that fit the budget.

    Raises:
        UserError: a judgment is shown as page images, or none fits.
    """
    require_text((case.document for case in cases), "the probe splits text")
    kept = [
        (case, judgment.outcome)
        for judgment, case in zip(judgments, cases, strict=True)
        if judgment.outcome is not None and not case.document.skipped
    ]
    skipped = len(cases) - len(kept)
    if not kept:
        raise UserError(
            "every judgment is longer than the budget",
            where="restructure.overflow=skip",
            cure="use middle or by_role, or a backbone with a longer context",
        )
    return ProbeInput(cases=kept, counts={**counts, **({"skipped": skipped} if skipped else {}), "asked": len(kept)})
