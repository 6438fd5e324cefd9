"""Run Hydra's jobs: one cell per job, and before the first job of a sweep the calls that its cells share.

Cell after cell, a judgment would be prefilled anew for each arm that shows the same text, as no memory holds the states
of all judgments. So the calls of all cells with the same backbone are made first, judgment by judgment, and stored; the
cells find them in the store.
"""

import logging
import os
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from legalrr.configuration import write_configuration
from legalrr.conversations import run_conversations
from legalrr.elastic import ElasticEngine
from legalrr.errors import WHOLE_DISK, UserError, file_errors
from legalrr.key_set import Keys, KeySet
from legalrr.predictors import ModelPredictor
from legalrr.progress import progress, working
from legalrr.protocols import Engine
from legalrr.run.cell import PreparedCell, run_cell
from legalrr.run.folder import write_error
from legalrr.run.measurement import StageTimer
from legalrr.run.pipeline import Pipeline, PreparationCache, build_pipeline, require_keys
from legalrr.run.prefetch_cell import Left, PrefetchCell, conversation_groups, leave_to_cell, prepare_cells
from legalrr.run.shard import Shard, read_shard
from legalrr.stage import identity

log = logging.getLogger("legalrr")


def prefetch(
    pipelines: Sequence[Pipeline],
    fresh: dict[str, Keys],
    prepared: PreparationCache | None = None,
    retried: dict[str, Keys] | None = None,
) -> None:
    """Make the calls of several cells and store the replies.

    A cell that cannot be prepared, or whose calls fail, is skipped: it reports the error when it runs.

    Args:
        pipelines: cells of one sweep; those whose predictor needs no backbone are skipped.
        fresh: identity of a backbone -> keys of the calls made, which are added here.
        prepared: cache that the cells use afterwards; what is prepared here is added.
        retried: identity of a backbone -> keys of the refused calls made again, which are added here.
    """
    prepared = PreparationCache() if prepared is None else prepared
    retried = {} if retried is None else retried
    for some in _sharing(pipelines):
        if len(some) > 1:
            try:
                _prefetch_group(some, fresh, prepared, retried)
            except UserError as error:
                log.debug("prefetch left to the cells: %s", error)


def make_share(
    pipelines: Sequence[Pipeline],
    fresh: dict[str, Keys],
    prepared: PreparationCache,
    retried: dict[str, Keys],
    left: Left,
) -> int:
    """Make the calls of the judgments of a shard for all cells, and store the replies and the roles of sentences.

    Args:
        pipelines: the cells, all of the same shard.
        fresh: see `prefetch`.
        prepared: see `prefetch`.
        retried: see `prefetch`.
        left: called for each cell that cannot be prepared, or whose calls fail.

    Returns:
        number of judgments of the shard.
    """
    taken: set[tuple[str, str]] = set()
    for some in _sharing(pipelines):
        try:
            taken |= _prefetch_group(some, fresh, prepared, retried, left)
        except UserError as error:
            for pipeline in some:
                left(pipeline, error)
    for pipeline in pipelines:
        if not isinstance(pipeline.predict, ModelPredictor):
            cell = PreparedCell(pipeline=pipeline, timer=StageTimer(), prepared=prepared)
            try:
                with file_errors():
                    judgments, _ = cell.judgments(None)
                    cell.segment(judgments)
                    cell.segment(cell.train_judgments(), pipeline.corpus.train_split)
            except UserError as error:
                left(pipeline, error)
            else:
                taken.update((identity(pipeline.corpus), j.id) for j in judgments)
    return len(taken)


def _sharing(pipelines: Iterable[Pipeline]) -> list[list[Pipeline]]:
    """Group the cells whose predictor prompts a backbone by this backbone and the run folder."""
    sharing: dict[tuple[str, str], list[Pipeline]] = {}
    for pipeline in pipelines:
        if isinstance(pipeline.predict, ModelPredictor):
            key = identity(pipeline.backbone), pipeline.settings.runs
            sharing.setdefault(key, []).append(pipeline)
    return list(sharing.values())


def _prefetch_group(
    some: Sequence[Pipeline],
    fresh: dict[str, Keys],
    prepared: PreparationCache,
    retried: dict[str, Keys],
    left: Left = leave_to_cell,
) -> set[tuple[str, str]]:
    """Load the backbone that cells share, and make their calls as `prefetch_cells`."""
    backbone = identity(some[0].backbone)
    with file_errors():
        with working(f"load {some[0].backbone.name}"):
            engine = some[0].load_engine()
        again = retried.setdefault(backbone, KeySet()) if some[0].settings.retry_errors else None
        made = fresh.setdefault(backbone, KeySet())
        return prefetch_cells(some, engine, made, prepared, again, left=left, thorough=left is not leave_to_cell)


def prefetch_cells(
    pipelines: Sequence[Pipeline],
    engine: Engine,
    fresh: Keys,
    prepared: PreparationCache | None = None,
    retried: Keys | None = None,
    *,
    left: Left = leave_to_cell,
    thorough: bool = False,
) -> set[tuple[str, str]]:
    """Make the calls of cells that share a backbone and a run folder, for `prefetch`.

    Args:
        pipelines: the cells; their predictors prompt a backbone.
        engine: their backbone, loaded.
        fresh: set to which the keys of the calls made are added.
        prepared: cache of what was prepared; extended here.
        retried: see `legalrr.conversations.run_conversations`.
        left: called for each cell that cannot be prepared.
        thorough: make every call that is not stored, also of cells that have run before (`legalrr.run.finished`).

    Returns:
        identity of the corpus and id of each judgment.

    Raises:
        UserError: the engine fails.
    """
    prepared = PreparationCache() if prepared is None else prepared
    cells = list(prepare_cells(pipelines, engine, prepared, left, thorough=thorough))
    # Judgments of different corpora may have the same id.
    corpora: dict[str, list[PrefetchCell]] = {}
    for one in cells:
        corpora.setdefault(identity(one.cell.pipeline.corpus), []).append(one)
    store = prepared.answers(pipelines[0])
    try:
        detail = engine.state if isinstance(engine, ElasticEngine) else None
        total = sum(one.calls * len(one.judgments) for one in cells)
        with progress("prefetch", total, "calls", detail=detail) as advance:
            led = run_conversations(
                conversation_groups(corpora.values(), engine, left),
                store,
                engine,
                fresh=fresh,
                used=lambda key: None,
                advance=advance,
                retried=retried,
                most=min((one.predict.group for one in cells), default=None),
            )
            for _ in led:
                pass
        prepared.write()
    finally:
        store.close()
    return {(corpus, id) for corpus, some in corpora.items() for one in some for id in one.judgments.ids}


def _build_pipelines(configs: Iterable[DictConfig]) -> dict[int, Pipeline | str]:
    """Build the cells by number; for an invalid one, return the message that its own job reports."""
    built: dict[int, Pipeline | str] = {}
    for number, config in enumerate(configs):
        try:
            built[number] = build_pipeline(config)
        except (UserError, OmegaConfBaseException) as error:
            log.debug("invalid config, left to its job: %s", error)
            built[number] = str(error)
    return built


def _valid(built: Mapping[int, Pipeline | str]) -> list[Pipeline]:
    return [one for one in built.values() if isinstance(one, Pipeline)]


class Job:
    """Callable that Hydra runs with the config of each job.

    Attributes:
        failures: (number of the cell, message) of each failed cell.
        folders: the folder whose tables are printed: that of the sweep, or of a single finished cell.
    """

    def __init__(self) -> None:
        self.failures: list[tuple[str, str]] = []
        self.folders: list[Path] = []
        self._fresh: dict[str, Keys] = {}
        self._retried: dict[str, Keys] = {}
        self._prepared = PreparationCache()
        self._process = os.getpid()
        self._messages: dict[int | str, str] = {}
        self._checked: dict[int, Pipeline | str] | None = None

    def begin(self, folder: Path) -> None:
        """Note the folder of the sweep whose jobs follow, in this process or in others."""
        self.folders.append(folder)

    def check(self, configs: Iterable[DictConfig]) -> None:
        """Check what the cells of a sweep need, before the first one runs; raises UserError if a key is not set."""
        with working("compose the cells"):
            self._checked = _build_pipelines(configs)
        require_keys(_valid(self._checked))

    def prepare(self, configs: Iterable[DictConfig]) -> None:
        """Make the calls that cells share; an invalid config is reported by its own job.

        Args:
            configs: the cells, which are built only if `check` has not built them.
        """
        built, self._checked = self._checked, None
        prefetch(
            _valid(_build_pipelines(configs) if built is None else built), self._fresh, self._prepared, self._retried
        )

    def share(self, shard: Shard) -> None:
        """Make the calls of a shard for the cells that `check` has built; failures are noted, and the others run."""
        built, self._checked = self._checked or {}, None
        self.failures += [(str(number), one) for number, one in built.items() if isinstance(one, str)]
        self._share(shard, {str(number): one for number, one in built.items() if isinstance(one, Pipeline)})

    def _share(self, shard: Shard, pipelines: Mapping[str, Pipeline]) -> None:
        def left(pipeline: Pipeline, error: UserError) -> None:
            log.debug("cell failed", exc_info=error)
            self.fail(next(number for number, one in pipelines.items() if one is pipeline), error)

        judgments = make_share(list(pipelines.values()), self._fresh, self._prepared, self._retried, left)
        log.info(
            "shard %s: %d judgments, %d model calls made. %s",
            shard,
            judgments,
            sum(map(len, self._fresh.values())),
            "The same command resumes."
            if self.failures
            else "After all shards, the same command without shard= prints the tables, without further calls.",
        )

    def message(self, error: Exception) -> str:
        """Return the message of an error; for a fault of a whole disk that of the first one."""
        cause = error.__cause__
        shared = cause.errno if isinstance(cause, OSError) and cause.errno in WHOLE_DISK else str(error)
        return self._messages.setdefault(shared, str(error))

    def fail(self, number: str, error: Exception, folder: Path | None = None) -> None:
        """Note that a cell failed, and write error.json if it has a folder that can be written."""
        self.failures.append((number, self.message(error)))
        if folder is not None:
            try:
                write_error(folder, error)
            except UserError as fault:
                log.debug("no error.json: %s", fault)

    def __call__(self, config: DictConfig) -> None:
        """Run one cell; write error.json if it fails."""
        hydra = HydraConfig.get()
        folder = Path(hydra.runtime.output_dir)
        sweep = hydra.mode == RunMode.MULTIRUN
        shared = not sweep and config.get("shard") is not None
        if sweep and not self.folders:
            self.folders.append(Path(hydra.sweep.dir))
        try:
            with file_errors():
                if shared:
                    # Without .hydra, so that no command takes the folder for that of a cell.
                    self._share(read_shard(str(config.shard)), {"": build_pipeline(config)})
                    return
                write_configuration(folder, config, hydra)
                pipeline = build_pipeline(config)
                if sweep:
                    log.info("[%s] %s", hydra.job.num, hydra.job.override_dirname)
                # The keys of calls do not name the backbone.
                backbone = identity(pipeline.backbone)
                fresh, retried = (known.setdefault(backbone, KeySet()) for known in (self._fresh, self._retried))
                shared_folder = Path(hydra.runtime.cwd) / hydra.sweep.dir if sweep else None
                run_cell(pipeline, folder, fresh, self._prepared, retried, sweep=shared_folder)
        except Exception as error:
            # The traceback goes to the log file of the cell; the console shows the message once, at the end.
            log.debug("cell failed", exc_info=True)
            self.fail(str(hydra.job.num) if sweep else "", error, None if shared else folder)
            # Hydra prints a line for an exception; in a worker process, the launcher learns of the failure by it.
            if isinstance(error, UserError) and os.getpid() == self._process:
                return
            raise
        if not sweep:
            self.folders.append(folder)
