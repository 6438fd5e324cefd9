"""Run the command `legalrr leakage`.

One run of the probe: from judgments to its folder.

The command `legalrr leakage`: what a backbone reads from parts of what an experiment shows.

legalrr leakage corpus=specimen backbone=smollm2 limit=6
legalrr leakage corpus=build backbone=qwen3_vl_8b backbone.revision=COMMIT restructure.overflow=middle
"""

import platform
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from legalrr.configuration import run_hydra
from legalrr.errors import UserError
from legalrr.leakage.output import Leakage, view_scores, write
from legalrr.leakage.probe import Asker, Probe
from legalrr.protocols import CallCounter
from legalrr.records import Case, Judgment, Outcome
from legalrr.run.cell import PreparedCell, StageTimer, call_store
from legalrr.run.folder import versions
from legalrr.run.pipeline import Pipeline
from legalrr.score.scorer import PredictionScorer
from legalrr.stage import description, identity


@dataclass(frozen=True, kw_only=True)
class ProbeQuestion:
    """What the backbone is asked about."""

    cases: Sequence[tuple[Case, Outcome]]
    """Judgments with the whole of what is shown, and their outcomes."""
    counts: Mapping[str, int]
    """Judgments read, left out for what reason, and taken."""


def run(pipeline: Pipeline, probe: Probe, folder: Path) -> tuple[Leakage, CallCounter]:
    """Probe the judgments of a pipeline and write the run folder; returns what was found and how many calls it took.

    Args:
        pipeline: its stages; the shown text is that of its arms.
        probe: how views are made and sentences are found.
        folder: the run folder.

    Raises:
        UserError: bad input, judgments without outcomes or shown as images, or stages that do not ask at once; every
            answer that came before stays in the store.
    """
    if not isinstance(pipeline.score, PredictionScorer):
        raise UserError("the probe is scored as predictions are", where="score", cure="use score=default")
    clock = StageTimer()
    engine = pipeline.backbone.load()
    calls = call_store(pipeline)
    asker = Asker(pipeline, engine, calls)
    cell = PreparedCell(pipeline=pipeline, clock=clock)
    with clock.time("corpus"):
        judgments, counts = cell.judgments(engine)
    _check_outcomes(judgments, pipeline)
    with clock.time("segment"):
        segments = cell.segment(judgments)
    with clock.time("restructure"):
        asked = _asked(judgments, cell.cases(judgments, segments, engine), counts)
    with clock.time("predict"):
        probed = probe.read(asked.cases, asker)
    calls.close()
    with clock.time("score"):
        scores = view_scores(probed, pipeline.score)
    found = Leakage(
        corpus=pipeline.corpus.name,
        segment=pipeline.segment.name,
        backbone=pipeline.backbone.name,
        scoring=asker.scoring,
        confidence=pipeline.score.confidence,
        probe=probe,
        counts=asked.counts,
        probed=tuple(probed),
        views=tuple(scores),
    )
    stages = {**pipeline.stages(), "probe": probe}
    record = {
        "format": 1,
        "counts": asked.counts,
        "calls": {"made": asker.tally.made, "stored": asker.tally.stored},
        "scoring": asker.scoring,
        "seed": pipeline.settings.seed,
        "stages": {name: {"identity": identity(stage), **description(stage)} for name, stage in stages.items()},
        "provenance": {
            "segment": dict(pipeline.segment.provenance()),
            "backbone": dict(pipeline.backbone.provenance()),
        },
        "versions": {"python": platform.python_version(), **versions()},
        "seconds": clock.seconds,
    }
    write(found, record, folder)
    return found, asker.tally


def _check_outcomes(judgments: Sequence[Judgment], pipeline: Pipeline) -> None:
    if any(judgment.outcome is None for judgment in judgments):
        raise UserError(
            "no judgment has an outcome, and a leak is of one",
            where=f"corpus {pipeline.corpus.name}",
            cure="give the corpus labels, e.g. corpus.labels=labels.csv",
        )


def _asked(judgments: Sequence[Judgment], cases: Sequence[Case], counts: Mapping[str, int]) -> ProbeQuestion:
    """The judgments that can be shown as text."""
    pictured = next((case.document.id for case in cases if case.document.pictured), None)
    if pictured is not None:
        raise UserError(
            "the probe takes texts apart, and this judgment is shown as images of pages",
            where=pictured,
            cure="set corpus.input=text",
        )
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
    return ProbeQuestion(cases=kept, counts={**counts, **({"skipped": skipped} if skipped else {}), "asked": len(kept)})


PROBE = "probe"


def main() -> None:
    """Run `probe` as a Hydra application; raises UserError for bad input."""
    run_hydra(probe, "leakage")


def probe(config: DictConfig) -> None:
    """Probe the judgments of a config, print what was found, and say where it lies."""
    from legalrr.leakage.output import PAGE, show
    from legalrr.leakage.probe import Probe
    from legalrr.run.pipeline import build_pipeline
    from legalrr.stage import build

    options = build(config[PROBE], Probe, option=PROBE)
    pipeline = build_pipeline(OmegaConf.masked_copy(config, [str(key) for key in config if key != PROBE]))
    folder = Path(HydraConfig.get().runtime.output_dir)
    found, calls = run(pipeline, options, folder)
    show(found)
    print(f"\nmodel calls: {calls.made} made, {calls.stored} from the store\nreport: {folder / PAGE}")


if __name__ == "__main__":
    main()
