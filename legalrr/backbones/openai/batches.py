"""Send calls to a server in batches: slower than one by one, and cheaper.

Everything that is ready becomes a batch; conversations of several turns need one batch per turn. A batch is recorded in
the folder of stored answers before it is made, and until its answers are stored, so that a killed run finds and
collects it, and pays nothing twice.
"""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import httpx2
from openai.types import Batch

from legalrr.backbones.openai import refusals
from legalrr.backbones.openai.batch_interface import ENDED, TRANSIENT, BatchInterface
from legalrr.backbones.openai.batch_records import BatchRecord, BatchRecords
from legalrr.backbones.openai.batch_run import BatchRun, OpenBatch
from legalrr.backbones.openai.pool import Host
from legalrr.backbones.openai.refusals import RefusedError, answers_others, too_many
from legalrr.backbones.openai.replies import RESUME, TOO_LONG, Server, redact
from legalrr.backbones.openai.requests import Request, RequestEngine, Requests, empty_reply
from legalrr.backbones.openai.transport import MEGABYTE, check_body
from legalrr.errors import UserError
from legalrr.protocols import Call, CallQueue, Reply

LOG = logging.getLogger(__name__)

MOST_BYTES = 200_000_000
"""Maximum size of a file of requests."""
ENDPOINT = "/v1"
"""Start of the path of a request in a batch, whatever the base URL."""
PATIENCE = 60
"""Looks in a row that may fail."""
QUEUE_FULL = "token_limit_exceeded"
"""Code of a batch that exceeds the tokens that may wait at the server."""
RETRIED = (httpx2.codes.REQUEST_TIMEOUT, httpx2.codes.CONFLICT, httpx2.codes.TOO_MANY_REQUESTS)
"""Statuses of requests that are sent again, as are those from 500 on."""

Pair = tuple[str, Reply]


@dataclass
class _Collected:
    """What a batch has brought."""

    replies: list[Pair] = field(default_factory=list)
    refused: list[tuple[Call, RefusedError]] = field(default_factory=list)
    failures: list[UserError] = field(default_factory=list)
    unanswered: dict[str, str] = field(default_factory=dict)
    """Key of a call that is to be made again -> why."""


class BatchEngine(RequestEngine):
    """The engine of `OpenAIBackbone` with `batch`.

    `Reply.seconds` divides the time waited among replies, so that it sums to the wall time.

    Args:
        server: address, model and credentials of the server.
        requests: builds the requests, and reads the replies.
        most: maximum number of requests in a batch.
    """

    def __init__(self, *, server: Server, requests: Requests, most: int) -> None:
        super().__init__(requests)
        self._server = server
        self._most = most
        self._attempts: Counter[str] = Counter()
        self._missed = 0

    def answer(self, queue: CallQueue) -> Iterator[list[Pair]]:
        """See `legalrr.protocols.Engine`; the replies are those of `legalrr.backbones.openai.engine.OpenAIEngine`.

        A request that fails for a while is sent again in a later batch, as is one that the server had no time for.

        Raises:
            UserError: as `OpenAIEngine.answer`; or the server makes no batches, or refuses, cancels or does not work on
                one. Batches under way stay recorded.
        """
        run = BatchRun(BatchInterface(self._server), BatchRecords(queue.folder))
        again: list[Call] = []
        started = time.perf_counter()
        try:
            while True:
                ready = [*again, *_take_all(queue, self._most)]
                again = []
                if known := self._send(ready, run):
                    yield known
                    continue
                if not run.batches:
                    break
                for one, batch in self._ended(run):
                    run.batches.remove(one)
                    if batch.status == "failed":
                        self._set_aside(one, batch, run)
                        continue
                    found = self._collect(one, batch, run)
                    seconds, started = time.perf_counter() - started, time.perf_counter()
                    if found.replies:
                        each = seconds / len(found.replies)
                        yield [(key, replace(reply, seconds=each)) for key, reply in found.replies]
                    run.forget(one)
                    if found.failures:
                        raise found.failures[0]
                    _require_progress(batch, found)
                    again += [one.calls[key] for key in found.unanswered] + run.set_aside
                    run.set_aside = []
        finally:
            run.interface.close()

    def _send(self, ready: Sequence[Call], run: BatchRun) -> list[Pair]:
        """Find the batches of calls, or make them; return the replies that are known without a request."""
        for call in ready:
            self._requests.require_possible(call)
        built = {call.key: self._requests.build(call) for call in ready}
        waiting = run.adopt([call for call in ready if isinstance(built[call.key], Request)], self._server.base_url)
        for calls, request, lines in self._split(waiting, built):
            endpoint = ENDPOINT + request.path
            file = run.interface.upload(lines)
            keys = tuple(call.key for call in calls)
            record = BatchRecord(url=self._server.base_url, file=file, batch=None, endpoint=endpoint, keys=keys)
            run.records.write(record)
            record = replace(record, batch=run.interface.make(file, endpoint).id)
            run.records.write(record)
            LOG.info("batch %s: %d requests, within 24 hours; a killed run finds it again", record.batch, len(keys))
            run.add(record, calls)
        return [(key, reply) for key, reply in built.items() if isinstance(reply, Reply)]

    def _split(
        self, calls: Iterable[Call], built: Mapping[str, Request | Reply]
    ) -> Iterator[tuple[list[Call], Request, bytes]]:
        """Yield the calls of each batch with the first of their requests, and the file of them all."""
        kinds: dict[str, list[tuple[Call, Request]]] = {}
        for call in calls:
            request = built[call.key]
            assert isinstance(request, Request)
            kinds.setdefault(request.path, []).append((call, request))
        for pairs in kinds.values():
            some: list[Call] = []
            lines: list[bytes] = []
            size = 0
            for call, request in pairs:
                asked = {"custom_id": call.key, "method": "POST", "url": ENDPOINT + request.path, "body": request.body}
                line = json.dumps(asked).encode() + b"\n"
                if some and (len(some) == self._most or size + len(line) > MOST_BYTES):
                    yield some, request, b"".join(lines)
                    some, lines, size = [], [], 0
                some.append(call)
                lines.append(line)
                size += len(line)
            yield some, pairs[0][1], b"".join(lines)

    def _ended(self, run: BatchRun) -> list[tuple[OpenBatch, Batch]]:
        """Return the batches that have ended; wait a while if none has."""
        ended = []
        for one in run.batches:
            assert one.record.batch is not None
            try:
                batch = run.interface.state(one.record.batch, run.records.path(one.record))
            except TRANSIENT as error:
                self._missed += 1
                if self._missed > PATIENCE:
                    raise run.interface.transient(error) from None
                LOG.warning("no state of batch %s now: %s", one.record.batch, redact(str(error), self._server))
                continue
            self._missed = 0
            one.show(batch)
            if batch.status in ENDED:
                ended.append((one, batch))
        if not ended:
            time.sleep(run.next_wait())
        return ended

    def _set_aside(self, one: OpenBatch, batch: Batch, run: BatchRun) -> None:
        """Set the calls of a batch aside that the server had no room for; raises UserError if it failed otherwise."""
        errors = (batch.errors.data if batch.errors else None) or []
        run.records.write(replace(one.record, keys=()))
        full = any(error.code == QUEUE_FULL for error in errors)
        if full and run.batches:
            LOG.info("batch %s exceeds the tokens that may wait at the server: sent again later", batch.id)
            run.set_aside += one.calls.values()
            return
        words = "; ".join(f"{error.message or error.code}" for error in errors[:3]) or "without a reason"
        raise UserError(
            f"batch {batch.id} failed: {redact(words, self._server)}",
            where="backbone.batch",
            cure="lower backbone.batch_requests" if full else "use a model that has a batch interface, or batch=false",
        )

    def _collect(self, one: OpenBatch, batch: Batch, run: BatchRun) -> _Collected:
        """Read what a batch has brought for the calls of this run."""
        found, left = _Collected(), dict(one.calls)
        for line in run.interface.lines(batch, run.records.path(one.record)):
            call = left.pop(str(line.get("custom_id")), None)
            if call is not None:
                self._read_line(call, line, found, run.interface)
        found.unanswered |= dict.fromkeys(left, "no answer")
        if batch.status == "completed":
            for key, words in found.unanswered.items():
                self._attempts[key] += 1
                if self._attempts[key] > self._server.retries:
                    what = f"{self._attempts[key]} batches brought no answer: {redact(words, self._server)}"
                    found.failures.append(UserError(what, where=f"call {key}", cure=f"wait; {RESUME}"))
        if found.refused:
            self._judge_refusals(found)
        return found

    def _read_line(self, call: Call, line: Mapping[str, Any], found: _Collected, interface: BatchInterface) -> None:
        given = line.get("response") or {}
        status, body = given.get("status_code"), given.get("body")
        if not isinstance(status, int) or body is None:
            error = line.get("error") or {}
            found.unanswered[call.key] = str(error.get("message") or error.get("code") or "no answer")
            return
        content = json.dumps(body).encode()
        response = httpx2.Response(
            status, content=content, request=httpx2.Request("POST", f"{self._server.base_url}/batches")
        )
        if len(content) > self._server.reply_megabytes * MEGABYTE:
            response.status_code = httpx2.codes.CONTENT_TOO_LARGE
            response.extensions[TOO_LONG] = True
        try:
            check_body(response)
            if response.is_success:
                found.replies.append((call.key, self._requests.read(call, body, self._server)))
            elif _is_transient(response):
                found.unanswered[call.key] = response.text
            else:
                error = interface.status_error(response)
                found.replies.append((call.key, self._requests.read_error(call, error, self._server)))
        except httpx2.DecodingError as error:
            found.unanswered[call.key] = str(error)
        except RefusedError as error:
            found.refused.append((call, error))
        except UserError as error:
            found.failures.append(error)

    def _judge_refusals(self, found: _Collected) -> None:
        """Find out whether the server refuses every call, if it has answered none."""
        general = [(call, error) for call, error in found.refused if error.general]
        if not found.replies and (general or len(found.refused) > refusals.MAX_REFUSED):
            call, error = (general or found.refused)[0]
            if not asyncio.run(self._answers_others(call)):
                found.failures.append(error.general or too_many(len(found.refused), error, call))
                return
        found.replies += [(call.key, empty_reply(0, "stop", error=str(error))) for call, error in found.refused]

    async def _answers_others(self, call: Call) -> bool:
        host = Host(self._server, self._requests, 1)
        host.open()
        try:
            return await answers_others(host.send, call)
        finally:
            await host.close()


def _take_all(queue: CallQueue, most: int) -> list[Call]:
    """Take every call that is ready."""
    taken: list[Call] = []
    while some := queue.take(most):
        taken += some
    return taken


def _require_progress(batch: Batch, found: _Collected) -> None:
    """Raise UserError for a batch that was cancelled, or that expired without an answer, if calls are left."""
    counts = batch.request_counts
    if not found.unanswered or not (
        batch.status == "cancelled"
        or (batch.status == "expired" and not found.replies and not (counts and counts.completed))
    ):
        return
    what = "was cancelled" if batch.status == "cancelled" else "expired without an answer"
    raise UserError(
        f"batch {batch.id} {what}; {len(found.unanswered)} of its calls have no answer",
        where="backbone.batch",
        cure="the same command makes them again; backbone.batch=false makes them one by one",
    )


def _is_transient(response: httpx2.Response) -> bool:
    """Whether the same request may succeed later, as the client judges it."""
    if response.headers.get("x-should-retry") == "false":
        return False
    return response.status_code in RETRIED or response.is_server_error
