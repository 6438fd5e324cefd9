"""Send calls to servers with OpenAI's API: concurrent requests, with every reply yielded as soon as it arrives.

The openai package retries, with Retry-After and back-off. It accepts malformed replies, so
`transport.require_valid_body` makes them fail like a lost connection.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from legalrr.backbones.openai import refusals
from legalrr.backbones.openai.pool import Host, ServerPool
from legalrr.backbones.openai.refusals import RefusedError, answers_others, too_many
from legalrr.backbones.openai.replies import Server
from legalrr.backbones.openai.requests import RequestEngine, Requests, empty_reply
from legalrr.protocols import Call, CallQueue, Reply

AHEAD = 8
"""Requests under way per call that waits for one of them to end, so that the next request is sent at once: the queue
hands out another call only when the reply is stored."""


class OpenAIEngine(RequestEngine):
    """The engine of `OpenAIBackbone`.

    `Reply.seconds` divides the time waited among replies, so that it sums to the wall time although requests overlap.

    Args:
        servers: address, model and credentials of the servers, which serve the same model.
        requests: builds the requests, and reads the replies.
        concurrency: maximum number of concurrent requests of each server.
    """

    def __init__(self, *, servers: Sequence[Server], requests: Requests, concurrency: int) -> None:
        super().__init__(requests)
        self._ahead = -(-concurrency // AHEAD)
        self._refused = 0
        self._pool = ServerPool(servers, requests, concurrency)

    def answer(self, queue: CallQueue) -> Iterator[list[tuple[str, Reply]]]:
        """See `legalrr.protocols.Engine`; replies come in the order of arrival.

        `new_tokens` includes thoughts. A conversation that the server refuses for its length is an overflow, with
        tokens as counted here; so is one that it accepts beyond `context`, with tokens as counted by the server. One
        that it refuses otherwise, while it answers others, is a reply with `error`: its content filter refuses it, or
        it answers a test request with the same parameters and a short text.

        Answers to compare are sent as token ids with their conversation, so that the server cannot tokenize them
        differently; the log-probability of an answer is the sum over its tokens.

        Calls about one judgment go to the same server (`legalrr.backbones.openai.pool`).

        Raises:
            UserError: a call failed permanently, or more than `MAX_REFUSED` in a row were refused; the message has its
                key. Or the server cannot answer such calls. No further call is sent, and replies to requests under way
                are yielded first.
        """
        under_way: dict[asyncio.Task[Reply], tuple[Call, Host]] = {}
        failures: list[BaseException] = []
        with asyncio.Runner() as runner:
            self._pool.open()
            try:
                connected = False
                while True:
                    while not failures and (free := self._pool.room(self._ahead)):
                        calls = queue.take(free)
                        if not calls:
                            break
                        for call in calls:
                            self._requests.require_possible(call)
                        if not connected:
                            runner.run(self._pool.require())
                            connected = True
                        for call in calls:
                            host = self._pool.assign(call)
                            task = runner.get_loop().create_task(self._pool.answer(call, host))
                            under_way[task] = call, host
                    if not under_way:
                        break
                    started = time.perf_counter()
                    done, _ = runner.run(asyncio.wait(under_way, return_when=asyncio.FIRST_COMPLETED))
                    seconds = time.perf_counter() - started
                    replies = []
                    for task in [task for task in under_way if task in done]:
                        call, host = under_way.pop(task)
                        if task.cancelled():
                            continue
                        error = task.exception()
                        if error is None:
                            self._refused = 0
                            replies.append((call.key, task.result()))
                        elif isinstance(error, RefusedError):
                            self._refused += 1
                            if self._refused > refusals.MAX_REFUSED:
                                # The arms of a few judgments may be refused in a row by a filter that lets others pass.
                                if error.general or not runner.run(answers_others(host.send, call)):
                                    failures.append(too_many(self._refused, error, call))
                                    self._pool.stop()
                                    continue
                                self._refused = 0
                            replies.append((call.key, empty_reply(0, "stop", error=str(error))))
                        else:
                            failures.append(error)
                    if replies:
                        yield [(key, replace(reply, seconds=seconds / len(replies))) for key, reply in replies]
            finally:
                runner.run(self._cancel(under_way))
        if failures:
            raise failures[0]

    async def _cancel(self, tasks: Iterable[asyncio.Task[Reply]]) -> None:
        """Cancel requests under way, and close the clients."""
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._pool.close()
