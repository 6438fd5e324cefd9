"""Servers that share the calls: those about one judgment go to the same one, and one that fails is left out a while.

The server of a judgment is chosen by rendezvous hashing: every server has a score for every judgment, and the best
server in service gets it. A server that leaves or returns therefore moves its own judgments only, and the others
keep the prefix caches that they have filled. A restart chooses the same servers.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import logging
from collections.abc import Callable, Collection, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import httpx2
from openai import (
    APIConnectionError,
    APIError,
    AsyncOpenAI,
    DefaultAsyncHttpxClient,
    InternalServerError,
    RateLimitError,
)

from legalrr.backbones.openai.refusals import RefusedError, attempt
from legalrr.backbones.openai.replies import UNREACHABLE, Server
from legalrr.backbones.openai.requests import Requests
from legalrr.backbones.openai.transport import Connection, require_valid_body
from legalrr.errors import UserError
from legalrr.protocols import Call, Reply

LOG = logging.getLogger(__name__)

MAX_FAILED = 3
"""Calls that fail in a row at a server, with their retries, until it is left out."""
FEW_RETRIES = 2
"""Retries of a request while another server could answer it."""
FIRST_OUT = 5.0
"""Seconds for which a server is left out at first; they double as long as it answers no call."""
LONGEST_OUT = 300.0
"""Most seconds until a server is asked again."""
MOST_WAITING = 8
"""Most calls that are assigned to servers, per request that may be under way."""
LOST = (httpx2.ConnectError, httpx2.ConnectTimeout)
"""Causes of a failure for which a server is left out at once."""


class FailedError(UserError):
    """A call that a server has not answered, which another server may answer.

    Args:
        error: the error of the call, if none does.
        unreachable: whether there was no connection.
    """

    def __init__(self, error: UserError, *, unreachable: bool) -> None:
        super().__init__(error.what, where=error.where, cure=error.cure)
        self.unreachable = unreachable


class Host:
    """One server: its client, its requests under way, and whether it is in service.

    Args:
        server: its address and credentials.
        requests: builds the requests, and reads the replies.
        concurrency: maximum number of concurrent requests.
    """

    def __init__(self, server: Server, requests: Requests, concurrency: int) -> None:
        self.server = server
        self.concurrency = concurrency
        self.connection = Connection(server)
        self.assigned = 0
        """Calls that wait for this server, or are under way there."""
        self.failure: str | None = None
        """Why it is left out; None: it is in service."""
        self.failed = 0
        """Calls that failed in a row."""
        self.seconds_out = FIRST_OUT
        """Seconds until it is asked again."""
        self._requests = requests

    def open(self) -> None:
        """Prepare clients for the event loop that runs."""
        self.assigned = 0
        self.slots = asyncio.Semaphore(self.concurrency)
        self._clients: list[AsyncOpenAI] = []
        self._idle: list[AsyncOpenAI] = []
        self._tls = httpx2.create_ssl_context()

    async def close(self) -> None:
        """Close the clients."""
        await asyncio.gather(*(client.close() for client in self._clients))

    def _client(self) -> AsyncOpenAI:
        """Return a client without a request under way: a shared one would look at all its connections per request."""
        if self._idle:
            return self._idle.pop()
        check: Callable[..., Any] = partial(require_valid_body, megabytes=self.server.reply_megabytes)
        client = AsyncOpenAI(
            # Without a key the package would send OpenAI's, from the environment, to any server.
            api_key=self.server.key() or "none",
            base_url=self.server.base_url,
            timeout=self.server.timeout,
            max_retries=self.server.retries,
            http_client=DefaultAsyncHttpxClient(verify=self._tls, event_hooks={"response": [check]}),
        )
        self._clients.append(client)
        return client

    async def send(self, call: Call, retries: int | None = None) -> Reply:
        """Send a call, and read the reply.

        Args:
            call: the call.
            retries: retries of the request; None: those of the server.

        Raises:
            FailedError: no answer, with these retries.
            RefusedError: the server refuses this call, while it may answer others.
            UserError: another error.
        """
        request = self._requests.build(call)
        if isinstance(request, Reply):
            return request
        server = self.server if retries is None else replace(self.server, retries=retries)
        client = self._client()
        try:
            # `chat.completions.create` would check and copy request and reply field by field.
            response = await client.post(
                request.path,
                cast_to=httpx2.Response,
                body=dict(request.body),
                options={"max_retries": server.retries},
            )
        except APIError as error:
            if isinstance(error, APIConnectionError):
                self.connection.lose()
            try:
                return self._requests.read_error(call, error, server)
            except UserError as stated:
                if isinstance(error, APIConnectionError | InternalServerError | RateLimitError):
                    raise FailedError(stated, unreachable=isinstance(error.__cause__, LOST)) from None
                raise
        finally:
            self._idle.append(client)
        return self._requests.read(call, json.loads(response.content), server)


class ServerPool:
    """The servers of a backbone, in one run of its engine after another.

    Args:
        servers: the servers, which serve the same model.
        requests: builds the requests, and reads the replies.
        concurrency: maximum number of concurrent requests of each server.
    """

    def __init__(self, servers: Sequence[Server], requests: Requests, concurrency: int) -> None:
        self.hosts = [Host(server, requests, concurrency) for server in servers]
        self._returns: set[asyncio.Task[None]] = set()
        self._stopped = False

    def open(self) -> None:
        """Make the clients, for the event loop that runs."""
        self._stopped = False
        for host in self.hosts:
            host.open()
        if not self._in_service():
            # In an earlier run, all were left out: this one begins with another request to each.
            for host in self.hosts:
                self._put_back(host)

    async def close(self) -> None:
        """Close the clients."""
        for task in self._returns:
            task.cancel()
        await asyncio.gather(*self._returns, return_exceptions=True)
        self._returns.clear()
        await asyncio.gather(*(host.close() for host in self.hosts))

    async def require(self) -> None:
        """Connect to every server that has not answered before, and leave out those that cannot be reached.

        Raises:
            UserError: no connection to any of them.
        """
        if len(self.hosts) == 1:
            await self.hosts[0].connection.require()
            return
        asked = self._in_service()
        errors = await asyncio.gather(*(host.connection.require() for host in asked), return_exceptions=True)
        for host, error in zip(asked, errors, strict=True):
            if isinstance(error, UserError):
                self._leave_out(host, error.what)
            elif error is not None:
                raise error
        self._require_one()
        for host in self.hosts:
            if host.failure is not None:
                self._ask_later(host)

    def stop(self) -> None:
        """Cancel the calls that wait for a server."""
        self._stopped = True

    def room(self, ahead: int) -> int:
        """Return the number of calls that servers in service could take.

        Args:
            ahead: calls that may wait at a server, so that it has the next one when a reply has come.
        """
        free = sum(max(0, host.concurrency + ahead - host.assigned) for host in self._in_service())
        # Judgments that come one after another may have the same server: more wait there, until all are at work.
        most = MOST_WAITING * sum(host.concurrency + ahead for host in self.hosts)
        return max(0, min(free, most - sum(host.assigned for host in self.hosts)))

    def assign(self, call: Call, without: Collection[Host] = ()) -> Host:
        """Choose the server of a call, and count the call there.

        Args:
            call: the call.
            without: servers that did not answer it; if no other is in service, they are chosen again.

        Raises:
            UserError: no server is in service.
        """
        self._require_one()
        inside = self._in_service()
        chosen = max(
            [host for host in inside if host not in without] or inside,
            key=lambda host: _score(call.about or call.key, host.server.base_url.rstrip("/")),
        )
        chosen.assigned += 1
        return chosen

    async def answer(self, call: Call, host: Host) -> Reply:
        """Get the answer to a call: from its server, or if that one fails, from the others.

        After an error of one call, those that wait for a server are cancelled.

        Args:
            call: the call.
            host: its server, by `assign`.

        Raises:
            RefusedError: a server refuses this call, while it may answer others.
            UserError: an error of the call, or no server is in service.
        """
        try:
            return await self._answer(call, host)
        except RefusedError:
            raise
        except Exception:
            self.stop()
            raise

    async def _answer(self, call: Call, host: Host) -> Reply:
        failed: set[Host] = set()
        while True:
            try:
                async with host.slots:
                    if self._stopped:
                        raise asyncio.CancelledError
                    # It may have been left out while the call waited.
                    if host.failure is None:
                        last = failed.issuperset(self._in_service()) or len(self._in_service()) == 1
                        retries = None if last else min(FEW_RETRIES, host.server.retries)
                        try:
                            reply = await attempt(partial(host.send, retries=retries), call)
                        except FailedError as error:
                            self._note_failure(host, error)
                            if len(self.hosts) == 1 or (last and host.failure is None):
                                raise
                            failed.add(host)
                        else:
                            host.failed, host.seconds_out = 0, FIRST_OUT
                            return reply
            finally:
                host.assigned -= 1
            host = self.assign(call, failed)

    def _in_service(self) -> list[Host]:
        return [host for host in self.hosts if host.failure is None]

    def _require_one(self) -> None:
        if not self._in_service():
            stated = "; ".join(f"{host.server.base_url}: {host.failure}" for host in self.hosts)
            raise UserError(f"no server answers: {stated}", where="backbone.base_url", cure=UNREACHABLE)

    def _note_failure(self, host: Host, error: FailedError) -> None:
        host.failed += 1
        if len(self.hosts) > 1 and host.failure is None and (error.unreachable or host.failed >= MAX_FAILED):
            self._leave_out(host, error.what)
            self._ask_later(host)

    def _leave_out(self, host: Host, words: str) -> None:
        if host.failure is None:
            url, seconds = host.server.base_url, host.seconds_out
            LOG.warning("%s is left out, and asked again in %g s: %s", url, seconds, words)
        host.failure = words

    def _put_back(self, host: Host) -> None:
        if host.failure is not None:
            LOG.info("%s is back", host.server.base_url)
            # One more failure, and it is left out again, until it answers a call.
            host.failure, host.failed = None, MAX_FAILED - 1

    def _ask_later(self, host: Host) -> None:
        task = asyncio.get_running_loop().create_task(self._return(host))
        self._returns.add(task)
        task.add_done_callback(self._returns.discard)

    async def _return(self, host: Host) -> None:
        """Ask a server that is left out, again and again, until it answers."""
        while host.failure is not None:
            await asyncio.sleep(host.seconds_out)
            host.seconds_out = min(2 * host.seconds_out, LONGEST_OUT)
            if await host.connection.answers():
                self._put_back(host)


def _score(judgment: str, url: str) -> bytes:
    return hashlib.sha256(f"{judgment}\n{url}".encode("utf-8", "surrogatepass")).digest()
