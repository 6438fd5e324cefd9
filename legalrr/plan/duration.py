"""Predict how long the calls of a backbone will take."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from legalrr.errors import UserError
from legalrr.plan.calibration import Calibration
from legalrr.plan.cells import BackboneCells
from legalrr.plan.neighbours import neighbours
from legalrr.plan.opened import OpenedBackbone
from legalrr.plan.result import ClusterDuration, Duration
from legalrr.plan.schedule import Forecast, Scheduler, forecast
from legalrr.plan.speed import AnswerLengths, Speed, given_speed, written_share
from legalrr.plan.walk import Walk, Walked
from legalrr.progress import working

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
    """Workers to plan for, in addition to one; None: none."""


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
    if options.tokens_per_second is not None:
        speed = given_speed(*options.tokens_per_second)
        cluster_speed = speed
    elif not options.calibrate or opened is None or not opened.runs_here or not walk.samples:
        return None
    else:
        calibration = Calibration(engine=opened.engine, samples=walk.samples, clock=options.clock)
        try:
            with working(f"calibrate {opened.backbone.name}"):
                speed = options.speed or calibration.speed()
                if not known.count:
                    ids = group.ids()
                    calibration.sample(group.conversations(*ids[len(ids) // 2]), speed, known)
            cluster_speed = options.cluster_speed or _beside_others(opened, calibration, speed, options.cluster)
        except UserError as error:
            group.problems.add([cell.number for cell in group.cells], error, planned=True)
            return None

    def predict(speed: Speed, scheduler: Scheduler, workers: int) -> tuple[Forecast, Forecast]:
        expected = forecast(speed, walked, scheduler, known, written_share(limits, known), workers=workers)
        return expected, forecast(speed, walked, scheduler, most, 1.0, workers=workers)

    expected, longest = predict(speed, scheduler, 1)
    cluster = None
    if options.cluster is not None:
        of = options.cluster
        leased = replace(scheduler, group=min(scheduler.group, of.lease))
        shared, longest_shared = predict(cluster_speed, leased, of.workers)
        cluster = ClusterDuration(
            workers=of.workers,
            machine=of.machine,
            expected=shared.seconds,
            most=longest_shared.seconds,
            idle=shared.idle,
            price=of.price,
            speed=None if options.tokens_per_second is not None else cluster_speed,
        )
    return Duration(
        expected=expected.seconds,
        most=longest.seconds,
        speed=None if options.tokens_per_second is not None else speed,
        sampled=known.count,
        cluster=cluster,
    )


def _beside_others(opened: OpenedBackbone, calibration: Calibration, alone: Speed, cluster: Cluster | None) -> Speed:
    """Measure the speed of a worker while the other ones of its machine work too; `alone` is that without them."""
    count = 0 if cluster is None else min(cluster.machine, cluster.workers) - 1
    if not count:
        return alone
    with (
        working(f"calibrate {opened.backbone.name} beside {count} more"),
        neighbours(opened.backbone, calibration.samples, count),
    ):
        return replace(calibration.speed(), load=alone.load)
