"""Run Hydra's jobs: before the first cell of a sweep, make the calls that its cells share.

The calls of all arms of a sweep, judgment by judgment, so that a model reads only once what several arms show it.

Cell after cell, a judgment would be read anew for every arm that shows the same text, as no memory holds the states of
all judgments. So before the cells of a sweep run one by one, the calls of those that share a backbone are made together
and kept in the store, where the cells find them.

What Hydra runs: one cell per job, and before the first job of a sweep the calls that its cells share.
"""

import logging
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from legalrr.errors import UserError
from legalrr.predictors import ModelPredictor, run_conversations
from legalrr.progress import progress
from legalrr.protocols import Engine, PageTokens
from legalrr.records import Case, Judgment, Message, Segments
from legalrr.run.cell import PreparedCell, StageTimer, call_store
from legalrr.run.pipeline import Pipeline, Prepared
from legalrr.stage import identity

log = logging.getLogger("legalrr")


@dataclass(frozen=True, kw_only=True)
class Ready:
    """A cell that can be asked."""

    number: int
    """Its place among the cells."""
    cell: PreparedCell
    """Its steps."""
    predict: ModelPredictor
    """Its predictor."""
    judgments: Mapping[str, Judgment]
    """Its judgments by id."""
    segments: Mapping[str, Segments]
    """Their roles by id."""
    calls: int
    """Calls that it takes; all judgments of a cell go through the same turns."""

    def case(self, id: str, engine: Engine) -> Case:
        """What is asked about the judgment with this id."""
        return self.cell.case(self.judgments[id], self.segments[id], engine)


def prefetch(pipelines: Sequence[Pipeline], fresh: dict[str, set[str]], prepared: Prepared | None = None) -> None:
    """Make the calls of several cells and keep them in the store.

    A cell that cannot be prepared or asked is left out: it says why when its own turn comes.

    Args:
        pipelines: cells of one sweep; those whose predictor asks no backbone are left out.
        fresh: identity of a backbone -> keys of the calls that were made of it, which are added to.
        prepared: what the cells are given afterwards, which is added to.
    """
    prepared = Prepared() if prepared is None else prepared
    sharing: dict[tuple[str, str], list[Pipeline]] = {}
    for pipeline in pipelines:
        if isinstance(pipeline.predict, ModelPredictor):
            key = identity(pipeline.backbone), pipeline.settings.runs
            sharing.setdefault(key, []).append(pipeline)
    for (backbone, _), some in sharing.items():
        if len(some) > 1:
            try:
                prefetch_cells(some, some[0].backbone.load(), fresh.setdefault(backbone, set()), prepared)
            except UserError as error:
                log.debug("left to the cells: %s", error)


def prefetch_cells(
    pipelines: Sequence[Pipeline], engine: Engine, fresh: set[str], prepared: Prepared | None = None
) -> None:
    """Make the calls of cells that share a backbone and a run folder, for `prefetch`.

    Args:
        pipelines: the cells; their predictors ask a backbone.
        engine: their backbone, loaded.
        fresh: the keys of the calls that were made are added to it.
        prepared: what was prepared before, which is added to.

    Raises:
        UserError: the engine fails.
    """
    cells = list(_ready(pipelines, engine, Prepared() if prepared is None else prepared))
    # Judgments of different corpora may have the same id.
    wanted: dict[tuple[str, str], list[Ready]] = {}
    for ready in cells:
        for id in ready.judgments:
            wanted.setdefault((identity(ready.cell.pipeline.corpus), id), []).append(ready)
    store = call_store(pipelines[0])
    try:
        with progress("ask together", sum(ready.calls for ready in cells), "calls") as advance:
            for group in _groups(wanted, engine):
                talks = {(ready.number, case.document.id): ready.predict.conversation(case) for ready, case in group}
                for _ in run_conversations(talks, store, engine, fresh=fresh, used=lambda key: None, advance=advance):
                    pass
    finally:
        store.close()


def _ready(pipelines: Iterable[Pipeline], engine: Engine, prepared: Prepared) -> Iterator[Ready]:
    for number, pipeline in enumerate(pipelines):
        cell = PreparedCell(pipeline=pipeline, clock=StageTimer(), prepared=prepared)
        predict = pipeline.predict
        assert isinstance(predict, ModelPredictor)
        try:
            predict.check(engine)
            judgments, _ = cell.judgments(engine)
            segments = cell.segment(judgments)
            calls = predict.count_calls(cell.case(judgments[0], segments[judgments[0].id], engine)) if judgments else 0
        except UserError as error:
            log.debug("left to its cell: %s", error)
            continue
        yield Ready(
            number=number,
            cell=cell,
            predict=predict,
            judgments={j.id: j for j in judgments},
            segments=segments,
            calls=calls * len(judgments),
        )


def _groups(wanted: Mapping[tuple[str, str], Sequence[Ready]], engine: Engine) -> Iterator[list[tuple[Ready, Case]]]:
    """Cases of judgments whose conversations fit the states that the engine holds, of at least one judgment."""
    group: list[tuple[Ready, Case]] = []
    judgments = taken = 0
    failed: set[int] = set()
    for (_, id), cells in wanted.items():
        cases = []
        for ready in cells:
            try:
                if ready.number not in failed:
                    cases.append((ready, ready.case(id, engine)))
            except UserError as error:
                log.debug("left to its cell: %s", error)
                failed.add(ready.number)
        needed = _tokens([case for _, case in cases], engine)
        full = engine.holds is not None and taken + needed > engine.holds
        if group and (full or judgments >= min(ready.predict.group for ready in cells)):
            yield group
            group, judgments, taken = [], 0, 0
        group += cases
        judgments += 1
        taken += needed
    if group:
        yield group


def _tokens(cases: Sequence[Case], engine: Engine) -> int:
    """Tokens of some conversations about a judgment; of those that open with the same words the longest counts."""
    longest: dict[str, int] = {}
    for case in cases:
        turns = case.prompt.turns
        said = "\n".join(str(message.fill({})["content"]) for message in turns[0].messages)
        length = _length(turns[-1].messages, engine) + sum(turn.max_new_tokens for turn in turns)
        longest[said] = max(longest.get(said, 0), length)
    return sum(longest.values())


def _length(messages: Sequence[Message], engine: Engine) -> int:
    """Tokens of messages without quotations."""
    words = "\n".join("".join(part for part in message.parts if isinstance(part, str)) for message in messages)
    length = len(engine.token_ends(words))
    if isinstance(engine, PageTokens):
        length += sum(engine.page_tokens(page) for message in messages for page in message.pages)
    return length


class Job:
    """The function that Hydra calls with each job's config.

    Attributes:
        failures: (number of the cell, message) of every cell that failed.
        folders: the folder whose tables are to be shown: of the sweep, or of a single cell that ran.
        calls: how many model calls were made, and how many came from the store.
    """

    def __init__(self) -> None:
        self.failures: list[tuple[str, str]] = []
        self.folders: list[Path] = []
        self.calls: Counter[str] = Counter()
        self._fresh: dict[str, set[str]] = {}
        self._prepared = Prepared()
        self._process = os.getpid()

    def prepare(self, configs: Iterable[DictConfig]) -> None:
        """Make the calls that cells share; what is wrong with a config is left to its own job to say."""
        from legalrr.run.pipeline import build_pipeline

        pipelines = []
        for config in configs:
            try:
                pipelines.append(build_pipeline(config))
            except (UserError, OmegaConfBaseException) as error:
                log.debug("left to its job: %s", error)
        prefetch(pipelines, self._fresh, self._prepared)

    def __call__(self, config: DictConfig) -> None:
        """Run one cell."""
        from legalrr.run.cell import run_cell
        from legalrr.run.folder import write_error
        from legalrr.run.pipeline import build_pipeline
        from legalrr.stage import identity

        place = HydraConfig.get()
        folder = Path(place.runtime.output_dir)
        sweep = place.mode == RunMode.MULTIRUN
        if sweep and not self.folders:
            self.folders.append(Path(place.sweep.dir))
        try:
            pipeline = build_pipeline(config)
            if sweep:
                log.info("[%s] %s", place.job.num, place.job.override_dirname)
            # Two backbones are asked the same things, under the same keys.
            fresh = self._fresh.setdefault(identity(pipeline.backbone), set())
            self.calls.update(run_cell(pipeline, folder, fresh, self._prepared)["calls"])
        except Exception as error:
            # The traceback goes to the cell's log file alone; the console says it once, at the end.
            log.debug("cell failed", exc_info=True)
            write_error(folder, error)
            self.failures.append((str(place.job.num) if sweep else "", str(error)))
            # Of what is raised, Hydra prints a line of its own; from a worker process that is how the launcher knows.
            if isinstance(error, UserError) and os.getpid() == self._process:
                return
            raise
        if not sweep:
            self.folders.append(folder)
