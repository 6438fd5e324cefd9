"""Run conversations in step, and get the answers to their calls: from the store, or from the engine and then stored.

Equal calls are made once, also if several processes need them at the same time: a process claims the calls that it is
about to make (`legalrr.claims`), and waits for the answers to those that another has claimed. It waits only while it
holds no claim, so two processes never wait for each other.

A refusal is stored apart from answers, so that the call is not made again unless the user asks for it.
"""

import logging
import time
from collections.abc import Callable, Generator, Hashable, Iterator, Mapping, Sequence
from typing import TypeVar

from legalrr.protocols import Call, Engine, Reply
from legalrr.records import Completion
from legalrr.store import Store

LOG = logging.getLogger(__name__)
POLL = 0.5
"""Seconds between two looks at the answers that another process stores."""

Conversation = Generator[Call, Reply, Completion]
K = TypeVar("K", bound=Hashable)


def run_conversations(
    conversations: Mapping[K, Conversation],
    store: Store,
    engine: Engine,
    *,
    fresh: set[str],
    used: Callable[[str], None],
    advance: Callable[[int], None],
    retried: set[str] | None = None,
) -> Iterator[tuple[K, Completion]]:
    """Run conversations to their end, turn by turn.

    Args:
        conversations: conversations that have not started, by any key.
        store: stored answers, which are not generated again; new ones are added batch by batch.
        engine: answers the calls.
        fresh: receives the keys of the calls that the engine answers.
        used: called with the key of every answer given to a conversation; an overflow or a refusal is not an answer.
        advance: called with the number of finished calls, for a progress bar.
        retried: see `answer_calls`.

    Yields:
        key and completion of each conversation, as they end.
    """
    waiting: dict[K, Call] = {}
    replies: dict[K, Reply | None] = dict.fromkeys(conversations)
    while replies:
        for key, reply in replies.items():
            try:
                waiting[key] = next(conversations[key]) if reply is None else conversations[key].send(reply)
            except StopIteration as end:
                waiting.pop(key, None)
                yield key, end.value
        distinct: dict[str, Call] = {}
        for call in waiting.values():
            # A call that ends one conversation may continue in another.
            if call.key not in distinct or distinct[call.key].final:
                distinct[call.key] = call
        advance(len(waiting) - len(distinct))
        found: dict[str, Reply] = {}
        for batch in answer_calls(list(distinct.values()), store, engine, fresh=fresh, retried=retried):
            found.update(batch)
            advance(len(batch))
        replies = {key: found[call.key] for key, call in waiting.items()}
        for call in waiting.values():
            if found[call.key].error is None and found[call.key].finish_reason != "overflow":
                used(call.key)


def answer_calls(
    calls: Sequence[Call], store: Store, engine: Engine, *, fresh: set[str], retried: set[str] | None = None
) -> Iterator[list[tuple[str, Reply]]]:
    """Get the answers to calls with different keys, each from the store if it is there.

    Args:
        calls: the calls.
        store: stored answers; new ones are added batch by batch.
        engine: answers the others.
        fresh: receives the keys of the calls that the engine answers.
        retried: keys of refused calls that were made again, extended here; calls that were refused before are made
            again if they are not among them. None: a stored refusal is final.

    Yields:
        batches of (call key, reply): stored ones, then others as they come.
    """
    missing = {call.key: call for call in calls}
    if found := _pop_stored(missing, store, retried):
        yield found
    announced = False
    while missing:
        mine = store.claim(missing)
        try:
            # Between the last look and the claim, another process may have finished.
            store.refresh()
            if found := _pop_stored(missing, store, retried):
                yield found
            own = [missing.pop(key) for key in list(missing) if key in mine]
            if retried is not None:
                retried.update(call.key for call in own)
            yield from _make_calls(own, store, engine, fresh)
        finally:
            store.release(mine)
        if missing:
            if not announced:
                LOG.info("another process makes %d of these calls: waiting for its answers", len(missing))
                announced = True
            time.sleep(POLL)


def refusal_key(key: str) -> str:
    """Return the key under which the refusal of a call is stored."""
    return f"{key}/refused"


def _pop_stored(missing: dict[str, Call], store: Store, retried: set[str] | None) -> list[tuple[str, Reply]]:
    """Remove the calls with stored answers, or stored refusals, from `missing`; return their replies."""
    found = []
    for key in list(missing):
        refused = refusal_key(key) in store and (retried is None or key in retried)
        if key in store or refused:
            found.append((key, Reply(**store[key if key in store else refusal_key(key)])))
            del missing[key]
    return found


def _make_calls(
    calls: Sequence[Call], store: Store, engine: Engine, fresh: set[str]
) -> Iterator[list[tuple[str, Reply]]]:
    """Make calls and store the replies.

    If the engine fails, refusals after its last answer are not stored: what refuses every call is a broken server.
    """
    refused: list[tuple[str, Reply]] = []
    if calls:
        store.require_writable()
    for batch in _run_calls(calls, engine):
        answered = [(key, reply) for key, reply in batch if reply.error is None]
        refused += [(refusal_key(key), reply) for key, reply in batch if reply.error is not None]
        if answered:
            store.add((key, reply.as_record()) for key, reply in (*refused, *answered))
            store.release(key for key, _ in answered)
            refused = []
        fresh.update(key for key, _ in answered)
        yield batch
    store.add((key, reply.as_record()) for key, reply in refused)


def _run_calls(calls: Sequence[Call], engine: Engine) -> Iterator[list[tuple[str, Reply]]]:
    compared = [call for call in calls if call.answers]
    written = [call for call in calls if not call.answers]
    if compared:
        yield from engine.compare(compared)
    if written:
        yield from engine.generate(written)
