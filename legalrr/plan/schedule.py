"""Predict which calls an engine answers together, and the seconds of all, also of several workers.

Prompts join the batch under way when an answer of it ends, as far as the limits of the engine allow: later turns of a
judgment before first turns of another. Answers to compare are computed prompt by prompt.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from heapq import heappop, heappush

from legalrr.plan.speed import AnswerLengths, Speed, Work
from legalrr.plan.walk import PlannedCall, Walked


@dataclass(frozen=True, kw_only=True)
class Phase:
    """What an engine does from one end of an answer to the next."""

    joined: tuple[PlannedCall, ...]
    """The prompts that are read first."""
    rows: int
    """Number of answers that are then written together; 0 if answers are compared."""
    steps: float
    """Tokens that each of them grows by."""
    seen: float
    """Distinct tokens of their prompts and answers, in the middle of the phase."""


@dataclass(frozen=True, kw_only=True)
class Scheduler:
    """How an engine divides calls into batches; a field that is None does not limit them."""

    group: int
    """Judgments under way."""
    holds: int | None = None
    """Tokens of their prompts and answers."""
    batch_tokens: int | None = None
    """Tokens of padded prompts and answers in a batch."""
    batch_prefill: int | None = None
    """Tokens read before answers are written, for several prompts."""
    batch_states: int | None = None
    """Tokens in a batch that are not in the prefix cache."""
    least_steps: int = 1
    """Least number of tokens that are written before others join."""
    cached: bool = True
    """Whether the engine keeps what it has read."""

    def phases(self, walked: Iterable[Walked], lengths: AnswerLengths, share: float) -> Iterator[Phase]:
        """Yield the phases of a run.

        Args:
            walked: the calls by judgment and turn.
            lengths: lengths of the answers.
            share: mean length of quoted answers as a share of their limits.
        """
        run = _Run(judgments=iter(walked), scheduler=self, lengths=lengths, share=share)
        while run.open() or run.running:
            yield run.advance()

    def read(self, call: PlannedCall, share: float) -> float:
        """Return the tokens of a prompt that are computed.

        Args:
            call: the call.
            share: length of answers as a share of their limits.
        """
        return call.fresh + share * call.fresh_quoted if self.cached else call.tokens + share * call.quoted


@dataclass
class _Judgment:
    """A judgment under way."""

    following: dict[str, list[PlannedCall]]
    """Key of a call -> the calls that quote its answer, which have not started."""
    left: int
    """Number of calls that have not ended."""
    needed: int
    """Tokens of its prompts and answers."""


@dataclass(eq=False)
class _Row:
    """A call that waits or is under way."""

    call: PlannedCall
    judgment: _Judgment
    length: float
    """Tokens of its answer."""
    read: float
    """Tokens of its prompt that are computed."""
    own: float
    """Tokens of its conversation, without its answer, that no earlier prompt begins with."""
    written: float = 0.0

    def width(self, share: float) -> float:
        return self.call.tokens + share * self.call.quoted + self.written


@dataclass
class _Run:
    """State of a run."""

    judgments: Iterator[Walked]
    scheduler: Scheduler
    lengths: AnswerLengths
    share: float
    running: list[_Row] = field(default_factory=list)
    _waiting: list[_Row] = field(default_factory=list)
    _begun: list[_Judgment] = field(default_factory=list)
    _next: Walked | None = None
    _count: int = 0

    def open(self) -> bool:
        """Begin judgments while there is room; return whether a call waits."""
        while len(self._begun) < self.scheduler.group:
            self._next = self._next or next(self.judgments, None)
            if self._next is None:
                break
            calls = [call for step in self._next.steps for call in step]
            needed = sum(call.fresh + call.limit for call in calls)
            holds = self.scheduler.holds
            if self._begun and holds is not None and needed + sum(one.needed for one in self._begun) > holds:
                break
            self._next = None
            if calls:
                judgment = _Judgment(following={}, left=len(calls), needed=needed)
                self._begun.append(judgment)
                known = {call.key for call in calls}
                for call in calls:
                    if call.after in known:
                        judgment.following.setdefault(str(call.after), []).append(call)
                    else:
                        self._waiting.append(self._row(call, judgment))
        return bool(self._waiting)

    def advance(self) -> Phase:
        """Return the next phase; there is a call that waits or is under way."""
        compared = next((row for row in self._waiting if not row.call.limit), None)
        if compared is not None:
            self._waiting.remove(compared)
            self._end(compared)
            return Phase(joined=(compared.call,), rows=0, steps=0.0, seen=compared.width(self.share))
        joined = self._join()
        left = [row.length - row.written for row in self.running]
        steps = max(min(left), min(max(left), self.scheduler.least_steps))
        seen = self._distinct() + len(self.running) * steps / 2
        phase = Phase(joined=tuple(row.call for row in joined), rows=len(self.running), steps=steps, seen=seen)
        for row in self.running:
            row.written += steps
        ended = [row for row in self.running if row.written >= row.length]
        self.running = [row for row in self.running if row.written < row.length]
        for row in ended:
            self._end(row)
        return phase

    def _distinct(self) -> float:
        """Count the tokens under way, those that rows share once; exact if all that is shared is of one text."""
        if not self.scheduler.cached:
            return sum(row.width(self.share) for row in self.running)
        of: dict[int, list[_Row]] = {}
        for row in self.running:
            of.setdefault(id(row.judgment), []).append(row)
        return sum(
            max(sum(row.own + row.written for row in rows), *(row.width(self.share) for row in rows))
            for rows in of.values()
        )

    def _join(self) -> list[_Row]:
        joined: list[_Row] = []
        for row in self._waiting:
            if (self.running or joined) and not self._fits([*self.running, *joined, row], [*joined, row]):
                break
            joined.append(row)
        del self._waiting[: len(joined)]
        self.running += joined
        return joined

    def _fits(self, rows: Sequence[_Row], joined: Sequence[_Row]) -> bool:
        s = self.scheduler
        wide = len(rows) * max(row.call.tokens + row.call.quoted + row.call.limit for row in rows)
        return (
            (s.batch_tokens is None or wide <= s.batch_tokens)
            and (s.batch_prefill is None or sum(row.read for row in joined) <= s.batch_prefill)
            and (s.batch_states is None or sum(row.read + row.call.limit for row in rows) <= s.batch_states)
        )

    def _end(self, row: _Row) -> None:
        row.judgment.left -= 1
        if not row.judgment.left:
            self._begun.remove(row.judgment)
        following = row.judgment.following.pop(row.call.key, ())
        later = [self._row(call, row.judgment, row.own + row.written) for call in following]
        # After other later turns, and before first turns.
        place = next((at for at, one in enumerate(self._waiting) if one.call.after is None), len(self._waiting))
        self._waiting[place:place] = later

    def _row(self, call: PlannedCall, judgment: _Judgment, before: float = 0.0) -> _Row:
        self._count += 1
        return _Row(
            call=call,
            judgment=judgment,
            length=max(self.lengths.spread(call.limit, self._count), 1.0),
            read=self.scheduler.read(call, self.share),
            own=before + call.fresh,
        )


@dataclass(frozen=True, kw_only=True)
class Forecast:
    """Predicted course of a run."""

    seconds: float
    """Duration, with the load of the model."""
    idle: float
    """Share of the time of all workers in which they have nothing to do."""


def forecast(
    speed: Speed,
    walked: Iterable[Walked],
    scheduler: Scheduler,
    lengths: AnswerLengths,
    share: float,
    *,
    workers: int = 1,
) -> Forecast:
    """Predict the course of a run.

    Args:
        speed: the speed of one worker.
        walked: the calls by judgment and turn.
        scheduler: how a worker divides calls into batches.
        lengths: lengths of the answers.
        share: mean length of quoted answers as a share of their limits.
        workers: number of processes with a model each. Whoever has room takes the next judgment, with all its calls.
    """
    judgments = iter(walked)
    runs = [_Run(judgments=judgments, scheduler=scheduler, lengths=lengths, share=share) for _ in range(workers)]
    waiting = [(0.0, number) for number in range(workers)]
    times = [0.0] * workers
    while waiting:
        now, number = heappop(waiting)
        run = runs[number]
        if run.open() or run.running:
            times[number] = (now or speed.load) + _seconds(speed, scheduler, run.advance(), share)
            heappush(waiting, (times[number], number))
    whole = max(times)
    return Forecast(seconds=whole, idle=1 - sum(times) / (workers * whole) if whole else 0.0)


def _seconds(speed: Speed, scheduler: Scheduler, phase: Phase, share: float) -> float:
    read = [scheduler.read(call, share) for call in phase.joined]
    long = [call.tokens + share * call.quoted for call in phase.joined]
    attended = sum(n * (whole - n / 2) for n, whole in zip(read, long, strict=True))
    reading = speed.time(Work(rows=len(read), read=sum(read), attended=attended, steps=0, seen=0))
    return reading + (phase.steps * speed.step(phase.rows, phase.seen) if phase.rows else speed.step(1, phase.seen))
