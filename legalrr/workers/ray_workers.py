"""Workers that Ray starts, watches and places: processes of this machine, or of the nodes of a cluster."""

from __future__ import annotations

import logging
import math
import os
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, ClassVar
from weakref import WeakSet

from legalrr.backbones.counting import load_to_count
from legalrr.errors import UserError
from legalrr.protocols import Backbone, Call, Reply, Segmenter
from legalrr.stage import at_least, check_fields, runtime
from legalrr.workers.engine import Answered, Ended, Event, Joined, SharedEngine
from legalrr.workers.ray_connection import connect, require_packages
from legalrr.workers.tagging import TaggerBackbone
from legalrr.workers.worker import Worker

LOG = logging.getLogger(__name__)
OPTION = "workers"
PAUSES = (0.0, 5.0, 25.0, 125.0)
"""Seconds until a worker that has failed is replaced, by the number of failures in a row without an answer."""
MAX_FAILED = 4
"""Failures of a worker in a row, without an answer, after which the run ends if no other worker is ready."""
FIRST_WORDS = 30.0
"""Seconds without a worker until a line says what the cluster has."""
WAIT = 1.0
"""Seconds to wait for an event."""
THREADS = 8
"""Calls that a worker takes at once: the run of its engine, an earlier one that ends, and messages about both."""


@dataclass(frozen=True, kw_only=True)
class RayWorkers:
    """Workers on Ray, in a cluster or on this machine."""

    count: int = at_least(1, 1, runtime=True)
    """Number of workers; those for which the cluster has no room join when it has."""
    gpus: float = at_least(0, 0.0, runtime=True)
    """GPUs of each worker; a share of one, such as 0.5, puts several workers on it."""
    cpus: float = at_least(0, 1.0, runtime=True)
    """CPUs of each worker; also the threads of torch, unless `OMP_NUM_THREADS` or `backbone.threads` says otherwise."""
    lease: int = at_least(1, 4, runtime=True)
    """Maximum number of judgments under way at each worker: more make larger batches, fewer spread the last ones."""
    address: str | None = runtime(default=None)
    """Address of the cluster; None: that in `RAY_ADDRESS`, or else processes of this machine."""
    dashboard: bool = runtime(default=False)
    """Start Ray's dashboard with the processes of this machine; a cluster has its own."""
    tags: bool = runtime(default=True)
    """Tag judgments too, unless the tagger prompts the backbone; False: the command does it."""

    VERSION: ClassVar[int] = 1

    def __post_init__(self) -> None:
        """Check the fields."""
        check_fields(self, OPTION)

    @property
    def threads(self) -> int | None:
        """See `legalrr.elastic.Workers`: Ray sets OMP_NUM_THREADS, unless processes of this machine inherit it."""
        inherited = self.runs_here and "OMP_NUM_THREADS" in os.environ
        return None if inherited else max(1, math.floor(self.cpus))

    @property
    def machine(self) -> int:
        """See `legalrr.elastic.Workers`."""
        return self.count if self.runs_here else 1

    @property
    def runs_here(self) -> bool:
        """Whether Ray starts on this machine, and ends with this process."""
        return not (self.address or os.environ.get("RAY_ADDRESS"))

    def require(self, backbone: Backbone) -> None:
        """See `legalrr.elastic.Workers`."""
        if hasattr(backbone, "base_url"):
            raise UserError(
                "a server answers calls by itself, without workers",
                where="workers=ray",
                cure="leave it out; several servers: backbone.base_url=[http://a:8000/v1,http://b:8000/v1]",
            )
        if not self.gpus and str(getattr(backbone, "device", "cpu")).partition(":")[0] in ("cuda", "auto"):
            raise UserError(
                f"backbone.device is {backbone.device}, and a worker has no GPU",  # type: ignore[attr-defined]
                where=f"{OPTION}.gpus",
                cure=f"set {OPTION}.gpus=1, or backbone.device=cpu",
            )
        parallel = getattr(backbone, "tensor_parallel", 1)
        if 0 < self.gpus < parallel and parallel > 1:
            raise UserError(
                f"a worker has {self.gpus:g} GPUs, and backbone.tensor_parallel is {parallel}",
                where=f"{OPTION}.gpus",
                cure=f"set {OPTION}.gpus={parallel}",
            )

    def open(self, backbone: Backbone) -> SharedEngine:
        """See `legalrr.elastic.Workers`; Ray is started at the first call."""
        self.require(backbone)
        require_packages(dashboard=self.dashboard)
        hashable: Any = backbone
        return _engine(self, hashable)

    @contextmanager
    def open_tagger(self, tagger: Segmenter) -> Iterator[SharedEngine]:
        """See `legalrr.elastic.Workers`; Ray is started at the first judgment."""
        require_packages(dashboard=self.dashboard)
        backbone = TaggerBackbone(tagger=tagger)
        pool = RayPool(self, backbone)
        try:
            yield SharedEngine(backbone.load(), pool, lease=self.lease)
        finally:
            pool.close()


def forget_engine() -> None:
    """Release the engine that was opened last; its workers end when nothing else uses it."""
    _engine.cache_clear()


@lru_cache(maxsize=1)
def _engine(workers: RayWorkers, backbone: Backbone) -> SharedEngine:
    counting, _ = load_to_count(backbone)
    return SharedEngine(counting, RayPool(workers, backbone), lease=workers.lease)


@lru_cache(maxsize=1)
def _running() -> WeakSet[RayPool]:
    """Return the pool of this process that has workers, if there is one."""
    return WeakSet()


@dataclass(eq=False)
class _Slot:
    """A place for a worker, which is replaced when it ends."""

    name: str
    handle: Any = None
    """The actor; None: it has ended and is not replaced yet."""
    loading: Any = None
    """Reference to the result of `Worker.load`; None: it is loaded."""
    stream: Any = None
    """Generator of references to its replies in this run; None: it takes no part."""
    seen: int = 0
    """Batches of its replies in this run that have come."""
    asks: list[Any] = field(default_factory=list)
    """References to the results of `Worker.ask`."""
    failed: int = 0
    """Failures in a row without an answer."""
    due: float = 0.0
    """Time (`time.monotonic`) at which it is replaced."""
    cause: str = ""
    """Why it ended last."""

    @property
    def references(self) -> list[Any]:
        """What Ray may have results of."""
        return [one for one in (self.loading, self.stream, *self.asks) if one is not None]


class RayPool:
    """The `legalrr.workers.engine.Pool` of Ray.

    Only one in a process has workers, as those of two could wait for each other's CPUs: the first run of another one
    ends them, and the next run starts them again.

    Args:
        workers: the options.
        backbone: what each worker loads.
    """

    def __init__(self, workers: RayWorkers, backbone: Backbone) -> None:
        self.wished = workers.count
        self._workers = workers
        self._backbone = backbone
        self._slots: dict[str, _Slot] = {}
        self._run = 0
        self._joining = False
        """Whether workers join the run."""
        self._since = 0.0
        """Time since which no worker is ready."""

    @property
    def ready(self) -> int:
        """See `legalrr.workers.engine.Pool`."""
        return sum(slot.handle is not None and slot.loading is None for slot in self._slots.values())

    def open(self) -> None:
        """See `legalrr.workers.engine.Pool`."""
        if not self._slots:
            running = _running()
            for other in list(running):
                other.close()
            running.clear()
            running.add(self)
            connect(self._workers.address, dashboard=self._workers.dashboard)
            if self._workers.runs_here:
                _require_room(self._workers)
            self._slots = {name: _Slot(name) for name in (f"worker {n + 1}" for n in range(self.wished))}
        self._run += 1
        self._joining = True
        self._since = time.monotonic()
        for slot in self._slots.values():
            slot.stream, slot.seen, slot.asks = None, 0, []

    def wait(self) -> list[Event]:
        """See `legalrr.workers.engine.Pool`."""
        import ray

        events = self._begin()
        by_reference = {one: slot for slot in self._slots.values() for one in slot.references}
        known = list(by_reference)
        if not known:
            # All have failed, and none is due.
            time.sleep(WAIT)
        elif not events and ray.wait(known, num_returns=1, timeout=WAIT)[0]:
            for reference in ray.wait(known, num_returns=len(known), timeout=0)[0]:
                events += self._read(by_reference[reference], reference)
        if not events:
            self._require_worker()
        return events

    def ask(self, worker: str, calls: Sequence[Call]) -> None:
        """See `legalrr.workers.engine.Pool`."""
        slot = self._slots[worker]
        if slot.handle is not None:
            slot.asks.append(slot.handle.ask.remote(self._run, list(calls), slot.seen))

    def finish(self) -> None:
        """See `legalrr.workers.engine.Pool`."""
        self._joining = False
        for slot in self._slots.values():
            if slot.stream is not None:
                slot.handle.finish.remote(self._run)

    def close(self) -> None:
        """End the workers; a later run starts others."""
        import ray

        for slot in self._slots.values():
            if slot.handle is not None:
                ray.kill(slot.handle)
        self._slots = {}

    def _begin(self) -> list[Event]:
        """Replace workers that are due, and let those join that are loaded."""
        events: list[Event] = []
        for slot in self._slots.values():
            if slot.handle is None and time.monotonic() >= slot.due:
                slot.handle = self._start()
                slot.loading = slot.handle.load.remote()
            if self._joining and slot.handle is not None and slot.loading is None and slot.stream is None:
                slot.stream = slot.handle.answers.options(num_returns="streaming").remote(self._run)
                events.append(Joined(worker=slot.name))
        return events

    def _start(self) -> Any:
        """Start a worker, or let it wait until the cluster has room."""
        import ray

        # A worker that ends is replaced here, which tells its calls from those of its successor.
        options = {"num_cpus": self._workers.cpus, "num_gpus": self._workers.gpus, "max_concurrency": THREADS}
        actor = ray.remote(**options, max_restarts=0, scheduling_strategy="SPREAD")(Worker)
        return actor.remote(self._backbone, os.getcwd())

    def _read(self, slot: _Slot, reference: Any) -> list[Event]:
        """Return the events of a result that has come."""
        import ray
        from ray.exceptions import RayError

        if slot.handle is None:
            # Another result has said that the worker has ended.
            return []
        if reference is slot.stream:
            return self._read_replies(slot)
        try:
            result = ray.get(reference)
        except RayError as error:
            return self._fail(slot, error)
        if reference is slot.loading:
            slot.loading = None
            LOG.info("%s is ready on %s", slot.name, result)
        else:
            slot.asks.remove(reference)
        return []

    def _read_replies(self, slot: _Slot) -> list[Event]:
        """Return the replies of a worker that have come, and how its run has ended if it has."""
        import ray
        from ray.exceptions import RayError, RayTaskError

        replies: list[tuple[str, Reply]] = []
        ended: list[Event] = []
        try:
            while not replies or ray.wait([slot.stream], timeout=0)[0]:
                replies += ray.get(next(slot.stream))
                slot.seen += 1
                slot.failed = 0
        except StopIteration:
            slot.stream = None
            ended = [Ended(worker=slot.name)]
        except RayError as error:
            cause = error.cause if isinstance(error, RayTaskError) else None
            if isinstance(cause, UserError):
                slot.stream = None
                ended = [Ended(worker=slot.name, error=UserError(cause.what, where=cause.where, cure=cause.cure))]
            else:
                ended = self._fail(slot, error)
        return [Answered(worker=slot.name, replies=replies), *ended]

    def _fail(self, slot: _Slot, error: Exception) -> list[Event]:
        """Note that a worker has ended; it is replaced later."""
        import ray

        LOG.debug("%s", slot.name, exc_info=error)
        cause = _words(error)
        ray.kill(slot.handle)
        joined = slot.stream is not None
        slot.handle = slot.loading = slot.stream = None
        slot.seen, slot.asks = 0, []
        slot.cause = cause
        slot.due = time.monotonic() + PAUSES[min(slot.failed, len(PAUSES) - 1)]
        slot.failed += 1
        if not self.ready:
            self._since = time.monotonic()
        if joined:
            return [Ended(worker=slot.name, cause=cause)]
        LOG.warning("%s has ended before it was ready: %s", slot.name, cause)
        return []

    def _require_worker(self) -> None:
        """Raise UserError if no worker is ready and one has failed again and again; else say what is missing."""
        import ray

        if self.ready:
            return
        worst = max(self._slots.values(), key=lambda slot: slot.failed)
        if worst.failed >= MAX_FAILED:
            raise UserError(
                f"{worst.name} has ended {worst.failed} times without an answer: {worst.cause}",
                where="workers=ray",
                cure="correct the cause, and run the same command again; answers are stored",
            )
        if time.monotonic() - self._since > FIRST_WORDS:
            self._since = time.monotonic()
            there = ray.cluster_resources()
            LOG.warning(
                "no worker is ready yet: each needs %g CPUs and %g GPUs, and the cluster has %g and %g",
                self._workers.cpus,
                self._workers.gpus,
                there.get("CPU", 0),
                there.get("GPU", 0),
            )


def _require_room(workers: RayWorkers) -> None:
    """Raise UserError if this machine has no room for the workers."""
    import ray

    there = ray.cluster_resources()
    for name, each in (("CPU", workers.cpus), ("GPU", workers.gpus)):
        if workers.count * each > there.get(name, 0):
            raise UserError(
                f"{workers.count} workers with {each:g} {name}s each, and this machine has {there.get(name, 0):g}",
                where=f"{OPTION}.count",
                cure=f"lower {OPTION}.count or {OPTION}.{name.lower()}s",
            )


def _words(error: Exception) -> str:
    """Return why a worker has ended, without Ray's ids and advice."""
    cause = getattr(error, "cause", None)
    if isinstance(cause, Exception):
        return str(cause) if isinstance(cause, UserError) else repr(cause)
    lines = [line.strip() for line in str(error).splitlines()]
    causes = [line for line in lines if line.startswith("The actor is dead") or line.startswith("The actor died")]
    return (causes or lines or [type(error).__name__])[-1].partition(" Some common causes")[0]
