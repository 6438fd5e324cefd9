"""Other workers of a machine, which work while the speed of one is measured.

Processes on one machine share its memory, its caches and, if there are more processes than cores, these: each is slower
than one alone.
"""

import multiprocessing
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.synchronize import Event

from legalrr.errors import UserError
from legalrr.plan.calibration import Calibration
from legalrr.plan.opened import open_backbone
from legalrr.protocols import Backbone, Call

LOADED = 600.0
"""Most seconds until all have loaded the model."""
SECONDS = 5.0
"""Duration of one round of their measurements, whose results do not count."""


@contextmanager
def neighbours(backbone: Backbone, samples: Sequence[tuple[int, Call]], count: int) -> Iterator[None]:
    """Let processes answer prompts with the same model during the block.

    Args:
        backbone: the model, which each process loads.
        samples: see `Calibration`.
        count: number of processes.

    Raises:
        UserError: one of them ends before it has loaded the model, or none answers in time.
    """
    context = multiprocessing.get_context("spawn")
    ready = [context.Event() for _ in range(count)]
    processes = [
        context.Process(target=_work, args=(backbone, list(samples), event, os.getpid()), daemon=True)
        for event in ready
    ]
    try:
        for process in processes:
            process.start()
        for process, event in zip(processes, ready, strict=True):
            waited = 0.0
            while not event.wait(1.0):
                waited += 1.0
                if not process.is_alive() or waited > LOADED:
                    raise UserError(
                        f"a process beside this one did not load {backbone.name}",
                        where="--cluster",
                        cure=f"{count + 1} models must fit into the memory; plan with a lower machine=",
                    )
        yield
    finally:
        for process in processes:
            if process.pid is not None:
                process.terminate()
                process.join()


def _work(backbone: Backbone, samples: Sequence[tuple[int, Call]], ready: Event, parent: int) -> None:
    """Answer prompts until the process is ended, or its parent has ended."""
    calibration = Calibration(engine=open_backbone(backbone).engine, samples=samples, seconds=SECONDS)
    calibration.load()
    ready.set()
    while os.getppid() == parent:
        calibration.speed()
