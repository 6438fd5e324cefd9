"""Shares of the judgments for processes that do not talk to each other, such as the tasks of a job array.

A judgment belongs to one of N shards by the hash of its corpus and id: all cells of a sweep and all processes agree
without a list, and other judgments in the sample change nothing. Shards differ in size.
"""

import os
import re
import runpy
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from legalrr.errors import UserError
from legalrr.stage import digest

OPTION = "shard"
CURE = "write shard=3/16 for the third of sixteen, or shard=array in a task of a job array"
NUMBERED = re.compile(r"([0-9]{1,9})/([0-9]{1,9})")
OF_ARRAY = re.compile(r"array(?:/([0-9]{1,9}))?")


@dataclass(frozen=True, kw_only=True)
class Shard:
    """One of `count` shares of all judgments."""

    number: int
    """From 1."""
    count: int
    """Number of shards."""

    def takes(self, corpus: str, id: str) -> bool:
        """Whether a judgment belongs to this shard.

        Args:
            corpus: identity of its corpus.
            id: its id.
        """
        return int(digest([corpus, id])[:16], 16) % self.count == self.number - 1

    def __str__(self) -> str:
        """Return the shard as written in the option."""
        return f"{self.number}/{self.count}"


@dataclass(frozen=True, kw_only=True)
class _Scheduler:
    """The environment variables from which a task of a job array knows its place."""

    name: str
    index: str
    """Variable with the index of the task."""
    first: str | int
    """Variable with the first index, or the index itself."""
    last: str = ""
    """Variable with the last index; "": the scheduler does not tell it."""
    step: str = ""
    """Variable with the distance between indices; "": 1."""
    count: str = ""
    """Variable with the number of tasks."""


SCHEDULERS = (
    _Scheduler(
        name="Slurm",
        index="SLURM_ARRAY_TASK_ID",
        first="SLURM_ARRAY_TASK_MIN",
        last="SLURM_ARRAY_TASK_MAX",
        step="SLURM_ARRAY_TASK_STEP",
        count="SLURM_ARRAY_TASK_COUNT",
    ),
    _Scheduler(
        name="Grid Engine",
        index="SGE_TASK_ID",
        first="SGE_TASK_FIRST",
        last="SGE_TASK_LAST",
        step="SGE_TASK_STEPSIZE",
    ),
    _Scheduler(name="PBS", index="PBS_ARRAY_INDEX", first=1),
    _Scheduler(name="Kubernetes", index="JOB_COMPLETION_INDEX", first=0),
)
"""Schedulers whose job arrays `shard=array` knows: sbatch(1), qsub(1), PBS Professional, indexed jobs of Kubernetes."""


def read_shard(text: str, environment: Mapping[str, str] = os.environ) -> Shard:
    """Read the option `shard`.

    Args:
        text: `I/N`; `array`, for a task of a job array 1 to N or 0 to N-1 whose scheduler tells N; or `array/N`, for
            any first index and step.
        environment: environment variables, which say the place of a task.

    Raises:
        UserError: another text, a number that is not in 1..N, or no array that can be shared out.
    """
    if numbered := NUMBERED.fullmatch(text):
        shard = Shard(number=int(numbered[1]), count=int(numbered[2]))
    elif of_array := OF_ARRAY.fullmatch(text):
        shard = _shard_of_task(int(of_array[1]) if of_array[1] else None, environment)
    else:
        raise UserError(f"{text!r} is not a shard", where=OPTION, cure=CURE)
    if not 1 <= shard.number <= shard.count:
        raise UserError(f"no shard {shard}", where=OPTION, cure="the shards of N are 1/N to N/N")
    return shard


def _shard_of_task(given: int | None, environment: Mapping[str, str]) -> Shard:
    """Return the shard of this task of a job array.

    Args:
        given: number of tasks in the option; None: the scheduler tells it, and the array is one that is not likely to
            be a part of another.
        environment: environment variables.
    """
    # Outside an array, Grid Engine sets SGE_TASK_ID to `undefined`.
    known = [one for one in SCHEDULERS if environment.get(one.index, "").isdecimal()]
    if len(known) != 1:
        names = ", ".join(one.index for one in known or SCHEDULERS)
        what = (
            f"a task of several job arrays: {names}" if known else f"not a task of a job array: none of {names} is set"
        )
        raise UserError(what, where=OPTION, cure=CURE)
    (scheduler,) = known

    def number(source: str | int, otherwise: int) -> int:
        value = environment.get(source, "") if isinstance(source, str) else str(source)
        return int(value) if value.isdecimal() else otherwise

    index, first, step = int(environment[scheduler.index]), number(scheduler.first, 1), number(scheduler.step, 1)
    last = number(scheduler.last, first - step)
    # An array given as a list of indices has no equal steps from the first to the last.
    counted = (last - first) // step + 1
    if not counted and given is None:
        raise UserError(
            f"{scheduler.name} does not tell the number of tasks", where=OPTION, cure="write shard=array/16"
        )
    count = counted or given
    assert count is not None
    if (index - first) % step or number(scheduler.count, count) != count or count != (given or count):
        raise UserError(
            f"task {index} of {first} to {last} ({scheduler.name}) is not one of {given or count} in equal steps",
            where=OPTION,
            cure="give the array as one range such as 1-16, or write shard=3/16",
        )
    # Failed tasks that are submitted again are an array of their own, which does not tell the size of the former one.
    if given is None and (first > 1 or step != 1 or count == 1):
        raise UserError(
            f"task {index} of {first} to {last} ({scheduler.name}): these may be a part of a larger array",
            where=OPTION,
            cure=f"write shard=array/{count} if these are all tasks, or shard=3/16 for the third of sixteen",
        )
    return Shard(number=(index - first) // step + 1, count=count)


def run_shard(arguments: Sequence[str], folder: str, device: str | None = None) -> None:
    """Run `legalrr` as the whole work of a process that a scheduler has started.

    The process imports this module to find the function. So it stands in none of the plugins, which may be imported
    only after Hydra has looked for its own, and it starts the command as a program.

    Args:
        arguments: those of the command line, with `shard=3/16`.
        folder: working directory.
        device: the CUDA devices that the process sees; None: as the scheduler says.

    Raises:
        RuntimeError: the command ended with a status other than 0.
    """
    os.chdir(folder)
    if device is not None:
        os.environ["CUDA_VISIBLE_DEVICES"] = device
    sys.argv = ["legalrr", *arguments]
    try:
        runpy.run_module("legalrr", run_name="__main__")
    except SystemExit as ended:
        if ended.code:
            raise RuntimeError(f"legalrr {' '.join(arguments)}: exit status {ended.code}") from ended
