"""Measure the seconds of the stages of a cell, and its backbone by itself, once for all cells that share it."""

import platform
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import Any

from legalrr.protocols import Backbone
from legalrr.run.pipeline import Pipeline, cache_folder, stage_description
from legalrr.stage import description, digest
from legalrr.store import Store


@dataclass
class StageTimer:
    """Seconds per stage."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def time(self, stage: str) -> Iterator[None]:
        """Add the duration of the block to a stage."""
        started = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[stage] = round(self.seconds.get(stage, 0.0) + time.perf_counter() - started, 3)


def measure_backbone(pipeline: Pipeline, timed: Callable[[str], AbstractContextManager[None]]) -> Any:
    """Return the measurements of the backbone as JSON, stored or new, times included; None without a meter.

    Args:
        pipeline: the cell.
        timed: opens a context that times a stage.

    Raises:
        UserError: the backbone cannot be measured.
    """
    if pipeline.measures is None:
        return None
    options = {
        "stage": description(pipeline.measures),
        "backbone": stage_description(pipeline.backbone),
        "corpus": description(pipeline.corpus),
    }
    store = Store(cache_folder(pipeline) / "measure" / digest(options)[:16], options)
    key = digest(_machine(pipeline.backbone))
    if key not in store:
        with timed("measure"):
            store.add([(key, dict(pipeline.measures.measure(pipeline.backbone, pipeline.corpus)))])
    store.close()
    return store[key]


def _machine(backbone: Backbone) -> dict[str, Any]:
    """Describe the machine of a backbone, on which times depend."""
    return {"node": platform.node(), **{name: getattr(backbone, name, None) for name in ("device", "threads")}}
