"""What Hydra runs: one cell per job, and before the first job of a sweep the calls that its cells share."""

import logging
import os
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from hydra.core.hydra_config import HydraConfig
from hydra.types import RunMode
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from legalrr.errors import UserError
from legalrr.prepared import Prepared

log = logging.getLogger("legalrr")


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
        from legalrr.pipeline import build_pipeline
        from legalrr.together import ask_together

        pipelines = []
        for config in configs:
            try:
                pipelines.append(build_pipeline(config))
            except (UserError, OmegaConfBaseException) as error:
                log.debug("left to its job: %s", error)
        ask_together(pipelines, self._fresh, self._prepared)

    def __call__(self, config: DictConfig) -> None:
        """Run one cell."""
        from legalrr.cell import run_cell
        from legalrr.pipeline import build_pipeline
        from legalrr.run_folder import write_error
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
