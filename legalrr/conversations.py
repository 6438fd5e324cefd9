"""Run conversations, and get the answers to their calls: from the store, or from the engine and then stored.

A conversation goes on as soon as its answer comes, whatever the others are waiting for: the engine takes as many calls
as it can have under way from a queue, and new conversations start only while it asks for more. They start judgment by
judgment, so that those about one judgment, which share the beginnings of their prompts, are under way together.

Equal calls are made once, also if several processes need them at the same time: a process claims the calls that it is
about to make (`legalrr.claims`), and waits for the answers to those that another has claimed. It waits only while it
holds no claim, so two processes never wait for each other.

A refusal is stored apart from answers, so that the call is not made again unless the user asks for it.
"""

import logging
import time
from collections.abc import Callable, Generator, Hashable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Generic, TypeVar

from legalrr.elastic import ElasticEngine
from legalrr.key_set import Keys
from legalrr.protocols import Call, Engine, Reply
from legalrr.records import Completion
from legalrr.store import Store

LOG = logging.getLogger(__name__)
POLL = 0.5
"""Seconds between two looks at the answers that another process stores."""

T = TypeVar("T")
K = TypeVar("K", bound=Hashable)
Conversation = Generator[Call, Reply, Completion]


@dataclass(frozen=True, kw_only=True)
class ConversationGroup(Generic[K, T]):
    """Conversations about one judgment, which have not started."""

    conversations: Mapping[K, Generator[Call, Reply, T]]
    """The conversations by any key, different in all groups."""
    tokens: Callable[[], int] = lambda: 0
    """Count the tokens of the states that a prefix cache keeps until the last of them ends."""


def run_conversations(
    groups: Iterable[ConversationGroup[K, T]],
    store: Store,
    engine: Engine,
    *,
    fresh: Keys,
    used: Callable[[str], None],
    advance: Callable[[int], None],
    retried: Keys | None = None,
    most: int | None = None,
) -> Iterator[tuple[K, T]]:
    """Run conversations to their end, each as its answers come.

    Args:
        groups: the conversations; a group is taken when the engine has room for it.
        store: stored answers, which are not generated again; new ones are added as they come.
        engine: answers the calls.
        fresh: receives the keys of the calls that the engine answers.
        used: called with the key of every answer given to a conversation; an overflow or a refusal is not an answer.
        advance: called with the number of finished calls, for a progress bar.
        retried: keys of refused calls that were made again, extended here; calls that were refused before are made
            again if they are not among them. None: a stored refusal is final.
        most: maximum number of groups under way, for an engine that takes all calls at once; None: no limit. An engine
            of workers has a limit of its own.

    Yields:
        key and result of each conversation, as they end.
    """
    queue = _Queue(
        groups=iter(groups),
        store=store,
        engine=engine,
        fresh=fresh,
        used=used,
        advance=advance,
        retried=retried,
        most=most,
    )
    try:
        while queue.fill():
            yield from queue.pop_ended()
            if queue.waiting:
                for batch in engine.answer(queue):
                    queue.receive(batch)
                    yield from queue.pop_ended()
                queue.store_refusals()
            elif queue.elsewhere:
                queue.wait_for_others()
        yield from queue.pop_ended()
    finally:
        queue.release()


def answer_calls(
    calls: Sequence[Call], store: Store, engine: Engine, *, fresh: Keys, retried: Keys | None = None
) -> Iterator[tuple[str, Reply]]:
    """Get the answers to calls with different keys, each from the store if it is there.

    Args:
        calls: the calls.
        store: stored answers; new ones are added as they come.
        engine: answers the others.
        fresh: receives the keys of the calls that the engine answers.
        retried: see `run_conversations`.

    Yields:
        call key and reply, as they come.
    """
    group = ConversationGroup(conversations={call.key: _ask_once(call) for call in calls})
    yield from run_conversations(
        [group], store, engine, fresh=fresh, used=lambda key: None, advance=lambda count: None, retried=retried
    )


def _ask_once(call: Call) -> Generator[Call, Reply, Reply]:
    return (yield call)


class CallList:
    """The `legalrr.protocols.CallQueue` of given calls.

    Args:
        calls: the calls, in order.
        folder: see `legalrr.protocols.CallQueue`.
    """

    def __init__(self, calls: Iterable[Call], folder: Path | None = None) -> None:
        self._calls = list(calls)
        self.folder = folder

    def take(self, room: int | None = None) -> Sequence[Call]:
        """See `legalrr.protocols.CallQueue`."""
        taken = self._calls[:room]
        self._calls = self._calls[len(taken) :]
        return taken


def refusal_key(key: str) -> str:
    """Return the key under which the refusal of a call is stored."""
    return f"{key}/refused"


@dataclass
class _OpenCall(Generic[K, T]):
    """A call without an answer."""

    call: Call
    asking: list["_Started[K, T]"]
    """Conversations that wait for the answer."""


@dataclass(eq=False)
class _OpenGroup:
    """A group under way."""

    given: ConversationGroup[Any, Any]
    left: int
    """Number of its conversations that have not ended."""

    @cached_property
    def tokens(self) -> int:
        """Tokens of its states."""
        return self.given.tokens()


@dataclass
class _Started(Generic[K, T]):
    """A conversation under way."""

    key: K
    conversation: Generator[Call, Reply, T]
    group: _OpenGroup


@dataclass(eq=False, kw_only=True)
class _Queue(Generic[K, T]):
    """The `legalrr.protocols.CallQueue` of conversations; for the first fields see `run_conversations`."""

    groups: Iterator[ConversationGroup[K, T]]
    store: Store
    engine: Engine
    fresh: Keys
    used: Callable[[str], None]
    advance: Callable[[int], None]
    retried: Keys | None
    most: int | None
    waiting: dict[str, None] = field(default_factory=dict)
    """Keys of the calls to be made, in order."""
    elsewhere: dict[str, None] = field(default_factory=dict)
    """Keys of the calls that another process makes."""
    _next: ConversationGroup[K, T] | None = None
    _calls: dict[str, _OpenCall[K, T]] = field(default_factory=dict)
    _open: list[_OpenGroup] = field(default_factory=list)
    _ended: list[tuple[K, T]] = field(default_factory=list)
    _claimed: set[str] = field(default_factory=set)
    _refused: list[tuple[str, Reply]] = field(default_factory=list)
    _looked: float = field(default_factory=time.monotonic)
    _announced: bool = False

    @property
    def folder(self) -> Path | None:
        """See `legalrr.protocols.CallQueue`."""
        return self.store.folder

    @cached_property
    def _elastic(self) -> ElasticEngine | None:
        return self.engine if isinstance(self.engine, ElasticEngine) else None

    def take(self, room: int | None = None) -> list[Call]:
        """See `legalrr.protocols.CallQueue`."""
        taken: list[Call] = []
        while room is None or len(taken) < room:
            started = self._start_group(limited=room is None)
            if not started and not self.waiting:
                break
            if room is None and started:
                continue
            keys = list(self.waiting)[: None if room is None else room - len(taken)]
            taken += self._claim(keys)
        return taken

    def fill(self) -> bool:
        """Start groups until a call has to be made or a conversation has ended; return whether any is left."""
        while not self.waiting and not self._ended and self._start_group(limited=True):
            pass
        return bool(self._calls or self._ended)

    def pop_ended(self) -> list[tuple[K, T]]:
        """Return the conversations that have ended since the last time."""
        ended, self._ended = self._ended, []
        return ended

    def receive(self, batch: Sequence[tuple[str, Reply]]) -> None:
        """Store the replies of the engine, and go on with the conversations that wait for them.

        If the engine fails, refusals after its last answer are not stored: what refuses every call is a broken server.
        """
        answered = [(key, reply) for key, reply in batch if reply.error is None]
        self._refused += [(refusal_key(key), reply) for key, reply in batch if reply.error is not None]
        if answered:
            self.store.add((key, reply.as_record()) for key, reply in (*self._refused, *answered))
            self._refused = []
        self._release(key for key, _ in answered)
        for key, _ in answered:
            self.fresh.add(key)
        for key, reply in batch:
            self._deliver(key, reply)
        if self.elsewhere and time.monotonic() - self._looked > POLL:
            self._look_for_others()

    def store_refusals(self) -> None:
        """Store the refusals after the last answer, as the engine has not failed."""
        self.store.add((key, reply.as_record()) for key, reply in self._refused)
        self._refused = []
        self.release()

    def wait_for_others(self) -> None:
        """Wait for answers of other processes; take over the calls of those that have ended without."""
        if not self._announced:
            LOG.info("another process makes %d of these calls: waiting for its answers", len(self.elsewhere))
            self._announced = True
        time.sleep(POLL)
        self._look_for_others()
        free = self.store.claim(self.elsewhere)
        # Other processes may need the rest of a group before this one comes to it.
        self.store.release(free)
        for key in free:
            del self.elsewhere[key]
            self.waiting[key] = None

    def release(self) -> None:
        """Release all claims."""
        self._release(list(self._claimed))

    def _release(self, keys: Iterable[str]) -> None:
        mine = [key for key in keys if key in self._claimed]
        self.store.release(mine)
        self._claimed.difference_update(mine)

    def _start_group(self, *, limited: bool) -> bool:
        """Start the next group if no call waits for room in the engine; return whether one was started.

        Args:
            limited: whether `most` limits the number of groups under way.
        """
        if not limited and self.waiting:
            return False
        if self._next is None:
            self._next = next(self.groups, None)
        if self._next is None:
            return False
        most = self.most
        if most is not None and self._elastic is not None:
            most = self._elastic.judgments
        many = limited and most is not None and len(self._open) >= most
        # Counting takes time, and stored conversations need no room.
        if self._open and (many or (self.engine.holds and self._needed() > self.engine.holds)):
            return False
        given, self._next = self._next, None
        group = _OpenGroup(given=given, left=len(given.conversations))
        if group.left:
            self._open.append(group)
        for key, conversation in given.conversations.items():
            self._advance_to_call(_Started(key, conversation, group), None)
        return True

    def _needed(self) -> int:
        """Return the tokens of the groups under way and the next one."""
        assert self._next is not None
        return sum(group.tokens for group in self._open) + self._next.tokens()

    def _claim(self, keys: Sequence[str]) -> list[Call]:
        """Remove keys from those that wait, and return the calls that this process makes."""
        for key in keys:
            del self.waiting[key]
        mine = self.store.claim(keys)
        self._claimed |= mine
        # Between the last look and the claim, another process may have finished.
        self.store.refresh()
        made = []
        for key in keys:
            if (stored := self._stored(key)) is not None:
                self._release([key])
                self._deliver(key, stored)
            elif key in mine:
                made.append(self._calls[key].call)
            else:
                self.elsewhere[key] = None
        if made:
            self.store.require_writable()
            if self.retried is not None:
                for call in made:
                    self.retried.add(call.key)
        return made

    def _look_for_others(self) -> None:
        """Go on with the conversations whose calls another process has answered."""
        self._looked = time.monotonic()
        self.store.refresh()
        for key in list(self.elsewhere):
            if (stored := self._stored(key)) is not None:
                del self.elsewhere[key]
                self._deliver(key, stored)

    def _stored(self, key: str) -> Reply | None:
        """Return the stored answer to a call, or its refusal unless it is to be made again."""
        if (answer := self.store.get(key)) is not None:
            return Reply(**answer)
        if self.retried is not None and key not in self.retried:
            return None
        refused = self.store.get(refusal_key(key))
        return None if refused is None else Reply(**refused)

    def _deliver(self, key: str, reply: Reply) -> None:
        for started in self._calls.pop(key).asking:
            self._count(key, reply)
            self._advance_to_call(started, reply)

    def _count(self, key: str, reply: Reply) -> None:
        self.advance(1)
        if reply.error is None and reply.finish_reason != "overflow":
            self.used(key)

    def _advance_to_call(self, started: _Started[K, T], reply: Reply | None) -> None:
        """Continue a conversation to its next call without an answer, or to its end."""
        while True:
            try:
                call = next(started.conversation) if reply is None else started.conversation.send(reply)
            except StopIteration as end:
                self._ended.append((started.key, end.value))
                started.group.left -= 1
                if not started.group.left:
                    self._open.remove(started.group)
                return
            if (open_call := self._calls.get(call.key)) is not None:
                open_call.asking.append(started)
                # A call that ends one conversation may continue in another.
                if open_call.call.final:
                    open_call.call = call
                return
            reply = self._stored(call.key)
            if reply is None:
                self._calls[call.key] = _OpenCall(call, [started])
                self.waiting[call.key] = None
                return
            self._count(call.key, reply)
