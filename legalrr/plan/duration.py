"""Predict how long the calls of a backbone will take."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from legalrr.errors import UserError
from legalrr.plan.calibration import Calibration
from legalrr.plan.cells import BackboneCells
from legalrr.plan.neighbours import neighbours
from legalrr.plan.opened import open_backbone
from legalrr.plan.result import ClusterDuration, Duration
from legalrr.plan.schedule import Forecast, Scheduler, forecast
from legalrr.plan.speed import AnswerLengths, Speed, given_speed, written_share
from legalrr.plan.walk import Walk, Walked
from legalrr.progress import working
from legalrr.protocols import Backbone

MAX_LENGTHS = 1000
"""Most stored answers of one limit whose lengths are used."""


@dataclass(frozen=True, kw_only=True)
class Cluster:
    """Workers that share a run."""

    workers: int
    """Number of processes with a model each, each as fast as the one here."""
    lease: int = 4
    """Judgments that a worker has under way."""
    price: float | None = None
    """Money for an hour of a worker; None: not known."""
    machine: int = 1
    """Workers on each machine: so many run at once while the speed of one is measured."""
    threads: int | None = None
    """Threads of torch in each; None: as the configured workers, or as this process."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """Options of a plan."""

    calibrate: bool = True
    """Whether to measure the speed of models on this machine."""
    tokens_per_second: tuple[float, float] | None = None
    """Given speed of reading and of writing, instead."""
    clock: Callable[[], float] = time.perf_counter
    """Clock of these measurements."""
    speed: Speed | None = None
    """Speed that was measured before, instead."""
    cluster_speed: Speed | None = None
    """Speed of a worker beside the others of its machine that was measured before, instead."""
    cluster: Cluster | None = None
    """Workers to plan for, in addition to one; None: the configured ones, if there are several."""


def duration(
    group: BackboneCells, walk: Walk, walked: Sequence[Walked], options: Options, *, thoughts: int
) -> Duration | None:
    """Predict the seconds of the calls that are to be made; None without a speed.

    Args:
        group: the cells with the backbone.
        walk: their calls.
        walked: the same by judgment and turn.
        options: the source of the speed.
        thoughts: tokens that a reasoning model may write before an answer.
    """
    made = [call for one in walked for step in one.steps for call in step]
    limits: dict[int, int] = {}
    for call in made:
        if call.limit:
            limits[call.limit] = limits.get(call.limit, 0) + 1
    known, most = AnswerLengths(thoughts=thoughts), AnswerLengths(thoughts=thoughts)
    for call in walk.calls.values():
        if call.written and call.limit and len(known.known.get(call.limit, ())) < MAX_LENGTHS:
            known.add(call.limit, call.written)
    opened = group.opened
    scheduler = Scheduler(
        group=getattr(group.cells[0].pipeline.predict, "group", 1),
        holds=None if opened is None or len(group.cells) == 1 else opened.engine.holds,
        batch_tokens=None if opened is None else getattr(opened.backbone, "batch_tokens", None),
        batch_prefill=None if opened is None else getattr(opened.backbone, "batch_prefill", None),
        batch_states=None if opened is None else getattr(opened.engine, "batch_states", None),
        least_steps=1 if opened is None else getattr(opened.engine, "least_steps", 1),
        cached=opened is None or opened.engine.holds != 0,
    )
    planned = options.cluster or _configured(group)
    threads = None
    if options.tokens_per_second is not None:
        speed = given_speed(*options.tokens_per_second)
        cluster_speed = speed
    elif not options.calibrate or opened is None or not opened.runs_here or not walk.samples:
        return None
    else:
        try:
            backbone, threads = _measured(opened.backbone, _threads(group, planned))
            engine = opened.engine if backbone is opened.backbone else open_backbone(backbone).engine
            calibration = Calibration(engine=engine, samples=walk.samples, clock=options.clock)
            with working(f"calibrate {opened.backbone.name}"):
                speed = options.speed or calibration.speed()
                if not known.count:
                    ids = group.ids()
                    calibration.sample(group.conversations(*ids[len(ids) // 2]), speed, known)
            cluster_speed = options.cluster_speed or speed
            if options.speed is None:
                cluster_speed = _beside_others(backbone, calibration, speed, planned)
        except UserError as error:
            group.problems.add([cell.number for cell in group.cells], error, planned=True)
            return None

    def predict(speed: Speed, scheduler: Scheduler, workers: int) -> tuple[Forecast, Forecast]:
        expected = forecast(speed, walked, scheduler, known, written_share(limits, known), workers=workers)
        return expected, forecast(speed, walked, scheduler, most, 1.0, workers=workers)

    expected, longest = predict(speed, scheduler, 1)
    cluster = None
    if planned is not None:
        leased = replace(scheduler, group=min(scheduler.group, planned.lease))
        shared, longest_shared = predict(cluster_speed, leased, planned.workers)
        cluster = ClusterDuration(
            workers=planned.workers,
            machine=planned.machine,
            expected=shared.seconds,
            most=longest_shared.seconds,
            idle=shared.idle,
            price=planned.price,
            speed=None if options.tokens_per_second is not None else cluster_speed,
        )
    return Duration(
        expected=expected.seconds,
        most=longest.seconds,
        speed=None if options.tokens_per_second is not None else speed,
        sampled=known.count,
        threads=threads,
        cluster=cluster,
    )


def _configured(group: BackboneCells) -> Cluster | None:
    """Return the workers that the cells name, if they are several."""
    workers = group.cells[0].pipeline.workers
    if workers is None or workers.count == 1:
        return None
    return Cluster(workers=workers.count, lease=workers.lease, machine=workers.machine)


def _threads(group: BackboneCells, cluster: Cluster | None) -> int | None:
    """Return the threads of torch in the workers; None: those of this process."""
    if cluster is not None and cluster.threads is not None:
        return cluster.threads
    workers = group.cells[0].pipeline.workers
    return None if workers is None else workers.threads


def _measured(backbone: Backbone, threads: int | None) -> tuple[Backbone, int | None]:
    """Return the backbone to measure, and the threads of torch that it takes; None if it takes none of a CPU."""
    known: Any = backbone
    if getattr(backbone, "device", None) != "cpu" or not hasattr(backbone, "threads"):
        return backbone, None
    if threads is None or known.threads is not None:
        from torch import get_num_threads

        return backbone, known.threads or get_num_threads()
    return replace(known, threads=threads), threads


def _beside_others(backbone: Backbone, calibration: Calibration, alone: Speed, cluster: Cluster | None) -> Speed:
    """Measure the speed of a worker while the other ones of its machine work too; `alone` is that without them."""
    count = 0 if cluster is None else min(cluster.machine, cluster.workers) - 1
    if not count:
        return alone
    with (
        working(f"calibrate {backbone.name} beside {count} more"),
        neighbours(backbone, calibration.samples, count),
    ):
        return replace(calibration.speed(), load=alone.load)
