"""Predict how long the calls of a backbone will take."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from legalrr.errors import UserError
from legalrr.plan.calibration import Calibration
from legalrr.plan.cells import BackboneCells
from legalrr.plan.result import Duration
from legalrr.plan.schedule import Scheduler, predict_seconds
from legalrr.plan.speed import AnswerLengths, Speed, written_share
from legalrr.plan.walk import Walk, Walked
from legalrr.progress import working

MAX_LENGTHS = 1000
"""Most stored answers of one limit whose lengths are used."""


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
    if options.tokens_per_second is not None:
        reading, writing = options.tokens_per_second
        read = sum(call.fresh for call in made) / reading
        expected, longest = (sum(one.mean(limit) * n for limit, n in limits.items()) for one in (known, most))
        return Duration(
            expected=read + expected / writing, most=read + longest / writing, speed=None, sampled=known.count
        )
    opened = group.opened
    if not options.calibrate or opened is None or not opened.runs_here or not walk.samples:
        return None
    scheduler = Scheduler(
        group=getattr(group.cells[0].pipeline.predict, "group", 1),
        holds=opened.engine.holds if len(group.cells) > 1 else None,
        batch_tokens=getattr(opened.backbone, "batch_tokens", None),
        batch_prefill=getattr(opened.backbone, "batch_prefill", None),
        batch_states=getattr(opened.engine, "batch_states", None),
        least_steps=getattr(opened.engine, "least_steps", 1),
        cached=opened.engine.holds != 0,
    )
    calibration = Calibration(engine=opened.engine, samples=walk.samples, clock=options.clock)
    try:
        with working(f"calibrate {opened.backbone.name}"):
            speed = options.speed or calibration.speed()
            if not known.count:
                ids = group.ids()
                calibration.sample(group.conversations(*ids[len(ids) // 2]), speed, known)
    except UserError as error:
        group.problems.add([cell.number for cell in group.cells], error, planned=True)
        return None
    return Duration(
        expected=predict_seconds(speed, walked, scheduler, known, written_share(limits, known)),
        most=predict_seconds(speed, walked, scheduler, most, 1.0),
        speed=speed,
        sampled=known.count,
    )
