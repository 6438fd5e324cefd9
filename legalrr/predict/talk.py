"""Conversations with a model about judgments, many of them led at once.

A talk is a generator: it yields a call, is sent the reply, and returns what came of the whole conversation. Talks are
led in step, so that what several of them ask at once is asked once, and answers are written together.
"""

from collections.abc import Callable, Generator, Hashable, Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import TypeVar

from legalrr.protocols import Call, Engine, Reply
from legalrr.records import Completion
from legalrr.store import Store

Talk = Generator[Call, Reply, Completion]
K = TypeVar("K", bound=Hashable)


def lead(
    talks: Mapping[K, Talk],
    store: Store,
    engine: Engine,
    *,
    fresh: set[str],
    used: Callable[[str], None],
    advance: Callable[[int], None],
) -> Iterator[tuple[K, Completion]]:
    """Lead talks to their end, turn by turn.

    Args:
        talks: conversations not yet begun, by any key.
        store: where answers are kept, each as soon as its batch is back; what is there is not asked again.
        engine: who answers.
        fresh: the keys of the calls that the engine answers are added to it.
        used: told the key of every answer that a talk was given; what did not fit the context is no answer.
        advance: told how many calls are done, for a progress bar.

    Yields:
        key and outcome of each talk, as they end.
    """
    waiting: dict[K, Call] = {}
    replies: dict[K, Reply | None] = dict.fromkeys(talks)
    while replies:
        for key, reply in replies.items():
            try:
                waiting[key] = next(talks[key]) if reply is None else talks[key].send(reply)
            except StopIteration as end:
                waiting.pop(key, None)
                yield key, end.value
        missing: dict[str, Call] = {}
        for call in waiting.values():
            # What ends one conversation may go on in another.
            if call.key not in store and (call.key not in missing or missing[call.key].final):
                missing[call.key] = call
        advance(len(waiting) - len(missing))
        for batch in _answered(list(missing.values()), engine):
            store.add((key, asdict(reply)) for key, reply in batch)
            fresh.update(key for key, _ in batch)
            advance(len(batch))
        replies = {key: Reply(**store[call.key]) for key, call in waiting.items()}
        for call in waiting.values():
            if store[call.key]["finish_reason"] != "overflow":
                used(call.key)


def _answered(calls: Sequence[Call], engine: Engine) -> Iterator[list[tuple[str, Reply]]]:
    compared = [call for call in calls if call.answers]
    written = [call for call in calls if not call.answers]
    if compared:
        yield from engine.compare(compared)
    if written:
        yield from engine.generate(written)
