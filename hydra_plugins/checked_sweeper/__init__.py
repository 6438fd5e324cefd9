"""Hydra sweeper that refuses a sweep whose cells would share a folder or lack a key, before any of them runs.

For a shard (`shard=3/16`) it runs no cell: the task makes the calls that all cells need for a part of the judgments.

A sweep is one grid, the product of the axes in `params`, or several grids one after another (`grids`), for an
experiment whose models or corpora are not all run in the same way.

Hydra finds sweepers in `hydra_plugins` only.
"""

import os.path
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.core.utils import configure_log
from hydra.types import HydraContext, TaskFunction
from omegaconf import DictConfig, OmegaConf, open_dict, read_write

from legalrr.errors import UserError
from legalrr.files import make_folder
from legalrr.run.shard import read_shard

OPTION = "hydra.sweep.subdir"
SHARD = "shard"


class CheckedSweeper(BasicSweeper):
    """Hydra's basic sweeper that first passes the folder of the sweep to the `begin` method of the task.

    The configurations of all jobs are passed to its `check` method.

    With a launcher that runs jobs in other processes, the task learns of the folder only in this way.

    Args:
        max_batch_size: see `BasicSweeper`.
        params: axes of every grid: option -> values separated by commas.
        grids: further axes of each grid; None: a single grid. An axis on the command line replaces that of all grids.
    """

    def __init__(
        self,
        max_batch_size: int | None,
        params: dict[str, str] | None = None,
        grids: Sequence[Mapping[str, Any]] | None = None,
    ) -> None:
        super().__init__(max_batch_size, params)
        self.grids = grids or [{}]

    def cells(self, arguments: Sequence[str], hydra_context: HydraContext) -> list[list[str]]:
        """Return the overrides of each cell of the sweep with these arguments, without running it."""
        self.hydra_context = hydra_context
        parser = OverridesParser.create(config_loader=hydra_context.config_loader)
        batches = self.split_arguments(parser.parse_overrides([*self._parse_config(), *arguments]), None)
        return [cell for batch in batches for cell in batch]

    def split_arguments(  # type: ignore[override]  # the basic sweeper calls it on the instance
        self, overrides: list[Override], max_batch_size: int | None
    ) -> list[list[list[str]]]:
        """Split the sweep into batches of cells, each a list of overrides; equal cells of two grids are one."""
        assert self.hydra_context is not None
        parser = OverridesParser.create(config_loader=self.hydra_context.config_loader)
        cells: list[list[str]] = []
        for grid in self.grids:
            axes = parser.parse_overrides([f"{option}={values}" for option, values in grid.items()])
            (more,) = BasicSweeper.split_arguments([*axes, *overrides], None)
            cells += [cell for cell in more if cell not in cells]
        return [list(batch) for batch in self.split_overrides_to_chunks(cells, max_batch_size)]

    def setup(self, *, hydra_context: HydraContext, task_function: TaskFunction, config: DictConfig) -> None:
        """See `hydra.plugins.sweeper.Sweeper`."""
        task: Any = task_function
        super().setup(hydra_context=hydra_context, task_function=task, config=config)
        self._task = task
        self._folders: dict[str, int] = {}
        task.begin(Path(config.hydra.sweep.dir))

    def sweep(self, arguments: list[str]) -> Any:
        """Run all jobs, or the shard; a record of the sweep that could not be written whole is removed."""
        if self._shard is not None:
            self._share(arguments)
            return []
        try:
            return super().sweep(arguments)
        except OSError:
            assert self.config is not None
            if not self._folders:
                (Path(self.config.hydra.sweep.dir) / "multirun.yaml").unlink(missing_ok=True)
            raise

    @property
    def _shard(self) -> object:
        assert self.config is not None
        return OmegaConf.select(self.config, SHARD)

    def _share(self, arguments: list[str]) -> None:
        """Let the task make the calls of a shard; the log is in the folder of the shard."""
        assert self.config is not None
        assert self.hydra_context is not None
        shard = read_shard(str(self._shard))
        folder = Path(self.config.hydra.sweep.dir)
        make_folder(folder)
        with read_write(self.config), open_dict(self.config):
            self.config.hydra.runtime.output_dir = str(folder)
        self.validate_batch_is_legal(self.cells(arguments, self.hydra_context))
        configure_log(self.config.hydra.job_logging, self.config.hydra.verbose)
        self._task.share(shard)

    def validate_batch_is_legal(self, batch: Sequence[Sequence[str]]) -> None:
        """Compose the configuration of each job, and check that each has a folder of its own inside the sweep's.

        Raises:
            UserError: two jobs have the same folder, or one is outside the folder of the sweep; or as `check` of the
                task.
        """
        assert self.config is not None
        assert self.hydra_context is not None
        before = HydraConfig.instance().cfg
        configs = []
        try:
            for overrides in batch:
                config = self.hydra_context.config_loader.load_sweep_config(self.config, list(overrides))
                number = len(self._folders)
                with open_dict(config):
                    config.hydra.job.id = config.hydra.job.num = number
                HydraConfig.instance().set_config(config)
                self._check(str(config.hydra.sweep.subdir), number)
                if OmegaConf.select(config, SHARD) != self._shard:
                    raise UserError(
                        "a shard is not an axis of a sweep", where=SHARD, cure="start a process for each shard"
                    )
                configs.append(OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"]))
            self._task.check(configs)
        finally:
            HydraConfig.instance().cfg = before

    def _check(self, subdir: str, number: int) -> None:
        folder = os.path.normpath(subdir)
        if Path(folder).is_absolute() or Path(folder).parts[:1] == ("..",):
            raise UserError(f"{subdir} is outside the folder of the sweep", where=OPTION, cure="give a relative path")
        other = self._folders.setdefault(folder, number)
        if other != number:
            raise UserError(
                f"cells {other} and {number} would share the folder {subdir}",
                where=OPTION,
                cure="name each axis of the sweep in it, or use ${hydra.job.num}",
            )
