"""Share calls among workers that hold an engine each, and yield their replies as they come.

The driver keeps the queue and the store: it leases judgments to workers (`legalrr.workers.leases`) and asks them the
calls. A worker that ends loses its lease, not its answers; one that joins gets the next judgments.
"""

import logging
import time
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from legalrr.errors import UserError
from legalrr.progress import BEATS
from legalrr.protocols import Call, CallQueue, Engine, PageTokens, Reply
from legalrr.records import Page
from legalrr.workers.leases import Leases

LOG = logging.getLogger(__name__)
NOTE = 5.0
"""Least seconds between two notes of the tokens so far: a bar asks for the rate many times in a second."""


@dataclass(frozen=True, kw_only=True)
class Joined:
    """A worker can be asked."""

    worker: str
    """Its name."""


@dataclass(frozen=True, kw_only=True)
class Answered:
    """Replies of a worker."""

    worker: str
    """Its name."""
    replies: Sequence[tuple[str, Reply]]
    """(call key, reply)."""


@dataclass(frozen=True, kw_only=True)
class Ended:
    """A worker cannot be asked any more in this run."""

    worker: str
    """Its name."""
    cause: str | None = None
    """Why it has failed; None: it was told to finish."""
    error: UserError | None = None
    """Error of its engine, which ends the run; the worker itself goes on."""


Event = Joined | Answered | Ended


class Pool(Protocol):
    """Workers with the same backbone, in one run of the engine after another."""

    @property
    def wished(self) -> int:
        """Number of workers that there should be."""

    @property
    def ready(self) -> int:
        """Number of workers that can be asked."""

    def open(self) -> None:
        """Begin a run: every worker joins it as soon as it is ready; raises UserError if there can be none."""

    def wait(self) -> list[Event]:
        """Return what has happened since the last time; wait for it, though not long.

        Raises:
            UserError: no worker can be kept running.
        """

    def ask(self, worker: str, calls: Sequence[Call]) -> None:
        """Send calls to a worker that has joined; also none, so that it need not wait for what follows from replies."""

    def finish(self) -> None:
        """End the run at every worker after the calls under way; each then is `Ended`, and none joins."""


class SharedEngine:
    """The engine of a backbone with workers.

    Args:
        counting: engine of the backbone in this process, which counts tokens; its weights are never loaded.
        pool: the workers.
        lease: maximum number of judgments under way at a worker.
    """

    def __init__(self, counting: Engine, pool: Pool, *, lease: int) -> None:
        self.can = counting.can
        self.context = counting.context
        self._counting = counting
        self._pool = pool
        self._lease = lease
        self._throughput = _Throughput()

    @property
    def holds(self) -> int | None:
        """See `legalrr.protocols.Engine`; of all workers together."""
        return None if self._counting.holds is None else self._counting.holds * max(1, self._pool.ready)

    @property
    def judgments(self) -> int:
        """See `legalrr.elastic.ElasticEngine`."""
        return self._lease * max(1, self._pool.ready)

    def state(self) -> str:
        """See `legalrr.elastic.ElasticEngine`."""
        return f"{self._pool.ready} of {self._pool.wished} workers{self._throughput.words()}"

    def token_ends(self, text: str) -> list[int]:
        """See `legalrr.protocols.Tokens`."""
        return self._counting.token_ends(text)

    def page_tokens(self, page: Page) -> int:
        """See `legalrr.protocols.PageTokens`; raises UserError for a text-only model."""
        if not isinstance(self._counting, PageTokens):
            raise UserError("this model reads no images", where="backbone.model", cure="set corpus.input=text")
        return self._counting.page_tokens(page)

    def answer(self, queue: CallQueue) -> Iterator[list[tuple[str, Reply]]]:
        """See `legalrr.protocols.Engine`; replies come in the order of arrival.

        A call that ended several workers, at last one that had no other call, is a reply with `error`.

        Raises:
            UserError: as the engine of a worker; the replies to calls under way at the others are yielded first. Or no
                worker can be kept running.
        """
        leases = Leases(self._lease)
        failure: UserError | None = None
        answered: set[str] = set()
        self._pool.open()
        try:
            while True:
                if failure is None and leases.workers:
                    leases.add(queue.take())
                    asked = leases.assign()
                    for worker in dict.fromkeys([*asked, *sorted(answered)]):
                        self._pool.ask(worker, asked.get(worker, []))
                    answered.clear()
                    if not leases.open:
                        return
                replies: list[tuple[str, Reply]] = []
                for event in self._pool.wait():
                    match event:
                        case Joined(worker=worker):
                            leases.join(worker)
                        case Answered(worker=worker, replies=some):
                            answered.add(worker)
                            replies += [(key, reply) for key, reply in some if leases.answer(worker, key)]
                        case Ended(worker=worker):
                            answered.discard(worker)
                            replies += self._replace(event, leases)
                            if event.error is not None and failure is None:
                                failure = event.error
                                self._pool.finish()
                if replies:
                    self._throughput.add(replies)
                    yield replies
                if failure is not None and not leases.workers:
                    raise failure
        finally:
            self._pool.finish()

    def _replace(self, event: Ended, leases: Leases) -> list[tuple[str, Reply]]:
        """Give the calls of a worker to others; return the replies to those that are given up."""
        before = leases.open
        given_up = leases.leave(event.worker)
        if event.cause is not None:
            LOG.warning("%s has ended, and others get its calls: %s", event.worker, event.cause)
            LOG.debug("%d calls without an answer, %d given up", before, len(given_up))
        error = f"every worker that was asked has ended: {event.cause}"
        return [(call.key, _refusal(error)) for call in given_up]


class _Throughput:
    """Tokens of recent answers."""

    def __init__(self) -> None:
        self._prompt = self._cached = self._new = 0
        self._earlier: deque[tuple[float, int, int, int]] = deque(maxlen=BEATS)
        self._note()

    def add(self, replies: Sequence[tuple[str, Reply]]) -> None:
        """Count the tokens of replies."""
        for _, reply in replies:
            self._prompt += reply.prompt_tokens
            self._cached += reply.cached_tokens
            self._new += reply.new_tokens

    def words(self) -> str:
        """Return the tokens per second over recent notes, and the share of prompts from caches; "" without any."""
        since, prompt, cached, new = self._earlier[0]
        if time.monotonic() - self._earlier[-1][0] > NOTE:
            self._note()
        seconds = max(time.monotonic() - since, 1e-9)
        prompt, cached, new = self._prompt - prompt, self._cached - cached, self._new - new
        if not prompt:
            return ""
        return (
            f", {prompt / seconds:,.0f} prompt tokens/s ({cached / prompt:.0%} from caches) "
            f"and {new / seconds:,.0f} new ones"
        )

    def _note(self) -> None:
        self._earlier.append((time.monotonic(), self._prompt, self._cached, self._new))


def _refusal(error: str) -> Reply:
    return Reply(
        text="", finish_reason="stop", prompt_tokens=0, cached_tokens=0, new_tokens=0, seconds=0.0, error=error
    )
