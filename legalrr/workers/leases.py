"""Lease judgments to workers: which calls a worker is asked, and who is asked them when it ends without an answer.

A judgment goes to the worker with the fewest judgments, and all calls about it go there, as they share the beginnings
of their prompts. If the worker ends, they go to another one together. A call that was under way at several workers when
they ended may be what ended them: it is then asked alone, and given up if that worker ends too.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

from legalrr.protocols import Call

SUSPECT = 2
"""Workers that ended with a call under way, from which on it is asked alone."""
Name = tuple[str, str]
"""A judgment and "", or a judgment and the key of a call that is asked alone."""


@dataclass(eq=False)
class _Unit:
    """Calls that go to the same worker."""

    alone: bool
    """Whether that worker gets no other calls."""
    worker: str | None = None
    """The worker; None: not chosen yet."""
    unsent: dict[str, Call] = field(default_factory=dict)
    """Calls to ask, by key."""
    sent: dict[str, Call] = field(default_factory=dict)
    """Calls under way, by key."""

    @property
    def open(self) -> bool:
        """Whether a call has no answer."""
        return bool(self.unsent or self.sent)


class Leases:
    """The judgments under way, and the workers that have them.

    Args:
        most: maximum number of judgments under way at a worker.
    """

    def __init__(self, most: int) -> None:
        self._most = most
        self._workers: dict[str, set[Name]] = {}
        """Worker -> its judgments."""
        self._units: dict[Name, _Unit] = {}
        self._names: dict[str, Name] = {}
        """Key of a call without an answer -> its unit."""
        self._ended: dict[str, int] = {}
        """Key of a call without an answer -> number of workers that ended while it was under way."""

    @property
    def workers(self) -> int:
        """Number of workers."""
        return len(self._workers)

    @property
    def open(self) -> int:
        """Number of calls without an answer."""
        return len(self._names)

    def join(self, worker: str) -> None:
        """Add a worker."""
        self._workers.setdefault(worker, set())

    def add(self, calls: Iterable[Call]) -> None:
        """Add calls with new keys."""
        for call in calls:
            self._put((call.about or call.key, ""), call)

    def assign(self) -> dict[str, list[Call]]:
        """Return the calls to ask now, by worker; those for which no worker has room wait for the next time."""
        asked: dict[str, list[Call]] = {}
        # A call that is asked alone needs a worker without others, which new judgments would keep away.
        for name, unit in sorted(self._units.items(), key=lambda one: not one[1].alone):
            if not unit.unsent:
                continue
            if unit.worker is None:
                unit.worker = self._choose(unit)
                if unit.worker is None:
                    continue
                self._workers[unit.worker].add(name)
            others = [one for one in self._open_units(unit.worker) if one is not unit]
            if any(one.sent if unit.alone else one.alone and one.sent for one in others):
                continue
            asked.setdefault(unit.worker, []).extend(unit.unsent.values())
            unit.sent |= unit.unsent
            unit.unsent = {}
        self._forget_closed()
        return asked

    def answer(self, worker: str, key: str) -> bool:
        """Note an answer; return whether this worker was asked this call, and not another one since."""
        name = self._names.get(key)
        if name is None or self._units[name].worker != worker or key not in self._units[name].sent:
            return False
        del self._units[name].sent[key], self._names[key]
        self._ended.pop(key, None)
        return True

    def leave(self, worker: str) -> list[Call]:
        """Remove a worker; return the calls to give up, as it was asked them alone. The others are assigned anew."""
        given_up = []
        for name in self._workers.pop(worker, set()):
            unit = self._units[name]
            unit.worker = None
            sent, unit.sent = unit.sent, {}
            for key, call in sent.items():
                self._ended[key] = self._ended.get(key, 0) + 1
                if unit.alone:
                    del self._names[key], self._ended[key]
                    given_up.append(call)
                elif self._ended[key] >= SUSPECT:
                    self._put((name[0], key), call)
                else:
                    unit.unsent[key] = call
        return given_up

    def _forget_closed(self) -> None:
        """Forget the judgments without open calls: the next calls about those that go on have been added before."""
        for name in [name for name, unit in self._units.items() if not unit.open]:
            if (worker := self._units.pop(name).worker) is not None:
                self._workers[worker].discard(name)

    def _put(self, name: Name, call: Call) -> None:
        self._units.setdefault(name, _Unit(alone=bool(name[1]))).unsent[call.key] = call
        self._names[call.key] = name

    def _choose(self, unit: _Unit) -> str | None:
        """Return the worker with the fewest judgments under way; None if none has room."""
        loads = {}
        for worker in self._workers:
            units = self._open_units(worker)
            if not any(one.alone for one in units) and (unit.alone or len(units) < self._most):
                loads[worker] = len(units)
        return min(loads, key=lambda one: loads[one], default=None)

    def _open_units(self, worker: str) -> list[_Unit]:
        return [self._units[name] for name in self._workers[worker] if self._units[name].open]
