"""Reach a server, and read its replies within a limit, so that the client retries only what a new request may mend."""

from __future__ import annotations

import json

import anyio
import httpx2
from openai import DefaultAsyncHttpxClient
from pydantic import BaseModel, Field, ValidationError

from legalrr.backbones.openai.replies import LENGTH, ROLE, TOO_LONG, UNREACHABLE, Server, no_answer, server_words
from legalrr.errors import UserError

MEGABYTE = 1_000_000
FIRST_SECONDS = 5.0
"""Time limit for the first connection to a server."""
FIRST_WAITS = (0.5, 1.0)
"""Seconds before each retry of the first connection."""


class Connection:
    """Whether a server can be reached, so that one that is down is found within seconds.

    Args:
        server: the server.
    """

    def __init__(self, server: Server) -> None:
        self._server = server
        self._reached = False
        self._error: UserError | None = None

    async def require(self) -> None:
        """Connect to the server unless it has answered before; any response to a request for its models will do.

        Raises:
            UserError: no connection. After that there are no retries, and the error is the same, so that cells of a
                sweep are reported together.
        """
        if self._reached:
            return
        retries = 0 if self._error else min(self._server.retries, len(FIRST_WAITS))
        for attempt in range(retries + 1):
            try:
                await self._request()
            except (httpx2.ConnectError, httpx2.ConnectTimeout) as error:
                if attempt < retries:
                    await anyio.sleep(FIRST_WAITS[attempt])
                    continue
                self._error = self._error or UserError(
                    no_answer(error, self._server, retries=retries), where="backbone.base_url", cure=UNREACHABLE
                )
                raise self._error from None
            self._reached, self._error = True, None
            return

    def lose(self) -> None:
        """Note that the connection was lost, so that the next calls begin with `require`."""
        self._reached = False

    async def answers(self) -> bool:
        """Whether the server can be reached, and does not answer a request for its models with an error of its own."""
        try:
            return await self._request() < httpx2.codes.INTERNAL_SERVER_ERROR
        except (httpx2.ConnectError, httpx2.ConnectTimeout):
            return False

    async def _request(self) -> int:
        """Request the models of the server, and return the status; 0 if it is reached, but sends none."""
        url = f"{self._server.base_url.rstrip('/')}/models"
        try:
            # With the proxies of the environment, as calls.
            async with (
                DefaultAsyncHttpxClient(timeout=FIRST_SECONDS) as client,
                client.stream("GET", url) as response,
            ):
                return response.status_code
        except (httpx2.ConnectError, httpx2.ConnectTimeout):
            raise
        except httpx2.HTTPError:
            # Reached; what else is wrong is an error of the calls.
            return 0


class Part(BaseModel):
    """Part of an answer in several parts; thoughts have no text."""

    text: str | None = None
    """Text of the part."""


class Message(BaseModel):
    """Message of a model."""

    content: str | list[Part] | None = None
    """The answer; None if the model refused, or was cut off before answering."""
    refusal: str | None = None
    """The refusal, in place of an answer."""

    def text(self) -> str:
        """Return the text of the answer; "" without one."""
        if isinstance(self.content, list):
            return "".join(part.text or "" for part in self.content)
        return self.content or ""


class Chat(BaseModel):
    """Choice of a chat completion."""

    message: Message
    """The answer."""


class Text(BaseModel):
    """Choice of a text completion."""

    text: str
    """The continuation."""


class Body(BaseModel):
    """Required fields of a reply."""

    choices: list[Chat | Text] = Field(min_length=1)
    """The answers."""


async def require_valid_body(response: httpx2.Response, megabytes: int) -> None:
    """Make the client retry what a new request may mend, and only that; a response hook.

    A malformed reply is retried like a lost connection. An error that comes with the status of a success gets its own
    status. A server's error is not retried if the same request fails again. A reply beyond the limit is not read to its
    end and not retried; it is marked by the extension `TOO_LONG`.

    Args:
        response: the response.
        megabytes: maximum size of its decoded body.

    Raises:
        httpx2.DecodingError: the body of a successful response is not JSON, or lacks an answer.
    """
    if response.is_redirect:
        return
    if not await _read(response, megabytes * MEGABYTE):
        response.status_code = httpx2.codes.CONTENT_TOO_LARGE
        response.headers["x-should-retry"] = "false"
        response.extensions[TOO_LONG] = True
        return
    check_body(response)


def check_body(response: httpx2.Response) -> None:
    """Give a response the status that its body states, as `require_valid_body`, for a body that was read."""
    if response.is_success:
        try:
            # Not by pydantic's parser, which rejects an answer that was cut off within a character.
            body = json.loads(response.content)
        except ValueError as error:
            message = f"malformed reply, body: Invalid JSON: {error}"
            raise httpx2.DecodingError(message, request=response.request) from error
        if not isinstance(body, dict) or not body.get("error") or body.get("choices"):
            _require_answer(body, response)
            return
        response.status_code = _status(body["error"])
    words = server_words(response)
    if response.is_server_error and (LENGTH.search(words) or ROLE.search(words)):
        response.headers["x-should-retry"] = "false"


async def _read(response: httpx2.Response, limit: int) -> bool:
    """Read the body up to a limit in bytes; return whether this is all of it."""
    parts, size = [], 0
    async for part in response.aiter_bytes():
        size += len(part)
        if size > limit:
            await response.aclose()
            response._content = b""
            return False
        parts.append(part)
    # As `aread` does, which has no limit.
    response._content = b"".join(parts)
    return True


def _require_answer(body: object, response: httpx2.Response) -> None:
    try:
        Body.model_validate(body)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "body"
        raise httpx2.DecodingError(f"malformed reply, {place}: {first['msg']}", request=response.request) from error


def _status(error: object) -> int:
    """Return the status in an error object; 500 if there is none."""
    code = error.get("code") if isinstance(error, dict) else None
    return int(code) if str(code).isdecimal() and 400 <= int(code) < 600 else 500  # type: ignore[arg-type]
