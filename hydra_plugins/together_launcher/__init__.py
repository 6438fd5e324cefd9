"""Hydra launcher that prefetches all jobs of a sweep and then runs them one after another.

Hydra finds launchers in `hydra_plugins` only.
"""

from collections.abc import Iterator, Sequence
from typing import Any

from hydra._internal.core_plugins.basic_launcher import BasicLauncher
from hydra.core.utils import JobReturn
from omegaconf import DictConfig, OmegaConf

from legalrr.errors import UserError, file_errors


class TogetherLauncher(BasicLauncher):
    """Hydra's basic launcher that first calls the `prepare` method of the task with the configs of all jobs."""

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Prepare all jobs, then run them in order.

        A job that Hydra cannot start, as its folder cannot be made, is passed to the `fail` method of the task; the
        others run.
        """
        task: Any = self.task_function
        task.prepare(self._configs(job_overrides))
        returned: list[JobReturn] = []
        for number, overrides in enumerate(job_overrides, start=initial_job_idx):
            try:
                with file_errors():
                    returned += super().launch([overrides], number)
            except UserError as error:
                task.fail(str(number), error)
        return returned

    def _configs(self, job_overrides: Sequence[Sequence[str]]) -> Iterator[DictConfig]:
        assert self.hydra_context is not None
        assert self.config is not None
        for overrides in job_overrides:
            whole = self.hydra_context.config_loader.load_sweep_config(self.config, list(overrides))
            yield OmegaConf.masked_copy(whole, [str(key) for key in whole if key != "hydra"])
