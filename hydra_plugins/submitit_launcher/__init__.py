"""Hydra launcher that lets jobs of a scheduler make the calls of a sweep, and then runs its cells here, from the store.

Each job runs the same command with `shard=I/N`, so cells share calls as in one process, and the command may be repeated
by hand. submitit starts the jobs: of Slurm, or processes of this machine.

Hydra finds launchers in `hydra_plugins` only.
"""

import logging
import os
import sys
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.utils import JobReturn
from omegaconf import DictConfig, ListConfig, OmegaConf

from hydra_plugins.together_launcher import TogetherLauncher
from legalrr.errors import UserError, file_errors
from legalrr.run.shard import run_shard

if TYPE_CHECKING:
    from submitit import Executor, Job

log = logging.getLogger("legalrr.submitit")

OPTION = "hydra.launcher"
POLL = 1.0
"""Seconds between two looks at the jobs."""
STATES = ("waiting", "running", "finished", "failed")
POLICIES = ("stop", "go_on")


class SubmititLauncher(TogetherLauncher):
    """Launcher that submits one job per shard, waits for all, and then runs the cells as `TogetherLauncher` does.

    Args:
        cluster: `slurm`, or `local` for processes of this machine.
        shards: number of jobs, and of shares of the judgments.
        timeout_min: time limit of a job in minutes.
        if_failed: what follows when jobs have failed and all have ended: `stop`, an error; `go_on`: this process makes
            the calls that are missing.
        cpus_per_task: cores of a job.
        gpus_per_node: GPUs of a job; on this machine jobs take turns: 8 gives the first GPU to the jobs 1, 9, 17.
        mem_gb: memory of a job in GB.
        partition: partition of Slurm.
        account: account of Slurm.
        setup: shell commands of a job before its own, such as `module load cuda`.
        additional_parameters: further options of sbatch, without `--`: `{qos: long, constraint: h200}`.
    """

    def __init__(
        self,
        *,
        cluster: str,
        shards: int,
        timeout_min: int,
        if_failed: str,
        cpus_per_task: int | None = None,
        gpus_per_node: int | None = None,
        mem_gb: float | None = None,
        partition: str | None = None,
        account: str | None = None,
        setup: ListConfig | None = None,
        additional_parameters: DictConfig | None = None,
    ) -> None:
        super().__init__()
        self._cluster = cluster
        self._shards = shards
        self._if_failed = if_failed
        self._gpus = gpus_per_node or 0
        common = {"timeout_min": timeout_min, "cpus_per_task": cpus_per_task, "mem_gb": mem_gb}
        own: dict[str, Any] = {
            "partition": partition,
            "account": account,
            "setup": setup,
            "additional_parameters": additional_parameters,
        }
        if cluster == "slurm":
            common["gpus_per_node"] = gpus_per_node
            # Since Slurm 22.05, srun does not take the number of cores from the job.
            own["srun_args"] = None if cpus_per_task is None else [f"--cpus-per-task={cpus_per_task}"]
        self._parameters = common | {f"{cluster}_{name}": value for name, value in own.items() if value}

    def launch(self, job_overrides: Sequence[Sequence[str]], initial_job_idx: int) -> Sequence[JobReturn]:
        """Run the shards, then the cells.

        Raises:
            UserError: submitit or the scheduler is missing, or shards have failed.
        """
        # A sweep in batches has all its calls made before the first one.
        if initial_job_idx == 0:
            if not isinstance(self._shards, int) or self._shards < 1:
                raise UserError(f"{self._shards} shards", where=f"{OPTION}.shards", cure="give at least 1")
            if self._if_failed not in POLICIES:
                cure = f"use {' or '.join(POLICIES)}"
                raise UserError(f"unknown if_failed {self._if_failed!r}", where=f"{OPTION}.if_failed", cure=cure)
            self._run_shards()
        return super().launch(job_overrides, initial_job_idx)

    def _run_shards(self) -> None:
        assert self.config is not None
        folder = Path(self.config.hydra.sweep.dir).absolute() / ".submitit"
        with file_errors():
            folder.mkdir(parents=True, exist_ok=True)
        jobs = self._submit(_executor(self._cluster, folder, self._parameters))
        log.info("%d shards submitted (%s); their logs are in %s", len(jobs), self._cluster, folder)
        try:
            _wait(jobs)
        except BaseException:
            for job in jobs:
                job.cancel(check=False)
            log.warning("the jobs are cancelled; what they have stored stays")
            raise
        failed = [number for number, job in enumerate(jobs, start=1) if _state(job) == "failed"]
        for number in failed:
            log.warning("shard %d/%d failed: %s", number, len(jobs), jobs[number - 1].paths.stderr)
        if failed and self._if_failed == "stop":
            raise UserError(
                f"of {len(jobs)} shards, {', '.join(map(str, failed))} failed",
                where=str(jobs[failed[0] - 1].paths.stderr),
                cure=f"the same command resumes; {OPTION}.if_failed=go_on makes the missing calls in this process",
            )

    def _submit(self, executor: "Executor") -> "list[Job[None]]":
        """Submit the shards: with Slurm as one job array."""
        jobs = []
        with executor.batch():
            for number in range(1, self._shards + 1):
                shard = [*sys.argv[1:], f"shard={number}/{self._shards}"]
                device = str((number - 1) % self._gpus) if self._cluster == "local" and self._gpus else None
                jobs.append(executor.submit(run_shard, shard, os.getcwd(), device))
        return jobs


def _executor(cluster: str, folder: Path, parameters: Mapping[str, Any]) -> "Executor":
    try:
        import submitit
    except ImportError as error:
        raise UserError(
            "submitit is not installed", where=f"hydra/launcher=submitit_{cluster}", cure='pip install "legalrr[slurm]"'
        ) from error
    given = {
        name: OmegaConf.to_container(value, resolve=True) if OmegaConf.is_config(value) else value
        for name, value in parameters.items()
    }
    try:
        executor = submitit.AutoExecutor(folder=folder, cluster=cluster)
        executor.update_parameters(name="legalrr", **given)
    except (RuntimeError, ValueError, NameError, AssertionError) as error:
        cure = "run this on a machine with sbatch and srun" if "srun" in str(error) else f"correct {OPTION}"
        raise UserError(" ".join(str(error).split()), where=OPTION, cure=cure) from error
    return executor


def _wait(jobs: "Sequence[Job[None]]") -> None:
    """Wait until all jobs have ended, and log each change of their states."""
    shown = ""
    while True:
        states = Counter(map(_state, jobs))
        line = ", ".join(f"{states[state]} {state}" for state in STATES if states[state])
        if line != shown:
            log.info("shards: %s", line)
            shown = line
        if not states["waiting"] and not states["running"]:
            return
        time.sleep(POLL)


def _state(job: "Job[None]") -> str:
    """Return the state of a job, one of `STATES`."""
    if not job.done():
        # Slurm knows a new job only after a while.
        return "waiting" if job.state.upper() in ("PENDING", "REQUEUED", "UNKNOWN") else "running"
    return "finished" if job.exception() is None else "failed"
