"""Answer calls in the process of a worker: an engine whose calls come while it answers others.

The driver asks calls by `ask`, and reads the replies from `answers`, which ends after `finish`. Each run of the engine
has a number, so that a message about an earlier run, which may arrive late, does not affect the next one.
"""

import os
import platform
import threading
from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path

from legalrr.protocols import Backbone, Call, Engine, Reply

PATIENCE = 1.0
"""Most seconds to wait for what follows from replies: the driver stores them first."""


class Feed:
    """The `legalrr.protocols.CallQueue` of a worker, filled by another thread.

    `take` waits for a call while the engine has none under way, as further ones may come until the feed is closed. It
    also waits until the driver has seen all replies, as the calls that follow from answers that ended together belong
    in one batch.
    """

    folder = None

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._waiting: list[Call] = []
        self._under_way: set[str] = set()
        self._sent = self._seen = 0
        """Batches of replies that were sent, and those that the driver has seen."""
        self._closed = False

    def add(self, calls: Sequence[Call], seen: int = 0) -> None:
        """Add calls, which are dropped after `close`; `seen` is the number of batches of replies that led to them."""
        with self._changed:
            self._seen = max(self._seen, seen)
            if not self._closed:
                self._waiting += calls
            self._changed.notify_all()

    def take(self, room: int | None = None) -> Sequence[Call]:
        """See `legalrr.protocols.CallQueue`."""
        with self._changed:
            if room is None or len(self._waiting) < room:
                self._changed.wait_for(lambda: self._seen >= self._sent or self._closed, PATIENCE)
            self._changed.wait_for(lambda: self._waiting or self._under_way or self._closed)
            taken, self._waiting = self._waiting[:room], [] if room is None else self._waiting[room:]
            self._under_way.update(call.key for call in taken)
            return taken

    def answered(self, batch: Sequence[tuple[str, Reply]]) -> None:
        """Note replies of the engine, which are sent to the driver."""
        with self._changed:
            self._sent += 1
            self._under_way.difference_update(key for key, _ in batch)

    def close(self) -> None:
        """Drop the calls that wait; the engine ends when those under way are answered."""
        with self._changed:
            self._closed = True
            self._waiting = []
            self._changed.notify_all()


class Worker:
    """An engine and its runs, one at a time; the methods are called by several threads.

    Args:
        backbone: the backbone.
        folder: working folder of the driver, from which relative paths lead; used if it exists here.
    """

    def __init__(self, backbone: Backbone, folder: str) -> None:
        if Path(folder).is_dir():
            os.chdir(folder)
        self._backbone = backbone
        self._feeds: dict[int, Feed] = {}
        self._lock = threading.Lock()
        self._running = threading.Lock()

    @cached_property
    def _engine(self) -> Engine:
        return self._backbone.load()

    def load(self) -> str:
        """Load the engine, whose weights are loaded at the first call; return the name of this machine.

        Raises:
            UserError: as `legalrr.protocols.Backbone.load`.
        """
        assert self._engine
        return platform.node()

    def ask(self, run: int, calls: Sequence[Call], seen: int = 0) -> None:
        """Add calls to a run; `seen` is the number of batches of its replies that the driver has seen."""
        self._feed(run).add(calls, seen)

    def finish(self, run: int) -> None:
        """Let a run end after the calls under way."""
        self._feed(run).close()

    def answers(self, run: int) -> Iterator[list[tuple[str, Reply]]]:
        """Yield replies as they come, until the run is finished.

        Raises:
            UserError: as `legalrr.protocols.Engine.answer`.
        """
        feed = self._feed(run)
        with self._running:
            for batch in self._engine.answer(feed):
                feed.answered(batch)
                yield batch

    def _feed(self, run: int) -> Feed:
        with self._lock:
            for number in [number for number in self._feeds if number < run]:
                self._feeds.pop(number).close()
            return self._feeds.setdefault(run, Feed())
