"""Validate replies of a server, and convert its errors to `UserError` without showing the key."""

from __future__ import annotations

import json
import textwrap
from collections.abc import Callable
from dataclasses import dataclass

import httpx2
from openai import (
    APIConnectionError,
    APIError,
    AuthenticationError,
    BadRequestError,
    InternalServerError,
    NotFoundError,
    RateLimitError,
)
from pydantic import BaseModel, Field, ValidationError

from legalrr.errors import UserError
from legalrr.protocols import Call

MAX_CHARACTERS = 300
"""Maximum length of a server's message in an error."""
RESUME = "replies so far are stored: run the same command to resume"


@dataclass(frozen=True, kw_only=True)
class Server:
    """Address, model and credentials of a server."""

    model: str
    """Name of the model."""
    base_url: str
    """Base URL, including `/v1`."""
    key: Callable[[], str | None]
    """Return the API key; None for a server that needs none."""
    api_key_env: str | None
    """Environment variable of the key, for messages."""
    timeout: float
    """Seconds without data before a request is retried."""
    retries: int
    """Retries of a request."""


class Message(BaseModel):
    """Message of a model."""

    content: str | None = None
    """The answer; None if the model refused, or was cut off before answering."""
    refusal: str | None = None
    """The refusal, in place of an answer."""


class Chat(BaseModel):
    """Choice of a chat completion."""

    message: Message
    """The answer."""


class Text(BaseModel):
    """Choice of a text completion."""

    text: str
    """The continuation."""


class Usage(BaseModel):
    """Token counts."""

    prompt_tokens: int
    """Prompt tokens of the request."""
    completion_tokens: int
    """Generated tokens, including thoughts."""


class Body(BaseModel):
    """Required fields of a reply."""

    choices: list[Chat | Text] = Field(min_length=1)
    """The answers."""
    usage: Usage
    """The counts."""


async def require_valid_body(response: httpx2.Response) -> None:
    """Make the client retry a malformed reply like a lost connection; a response hook.

    Raises:
        httpx2.DecodingError: the body of a successful response is not JSON, or lacks an answer or the counts.
    """
    if not response.is_success:
        return
    await response.aread()
    try:
        # Not by pydantic's parser, which rejects an answer that was cut off within a character.
        body = json.loads(response.content)
    except ValueError as error:
        message = f"malformed reply, body: Invalid JSON: {error}"
        raise httpx2.DecodingError(message, request=response.request) from error
    try:
        Body.model_validate(body)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "body"
        raise httpx2.DecodingError(f"malformed reply, {place}: {first['msg']}", request=response.request) from error


def exceeds_context(error: APIError) -> bool:
    """Whether the server refused a conversation for its length; knows the errors of OpenAI, llama.cpp and vLLM."""
    return isinstance(error, BadRequestError) and (
        error.code == "context_length_exceeded"
        or error.type == "exceed_context_size_error"
        or error.param == "input_tokens"
    )


def user_error(error: APIError, call: Call, server: Server) -> UserError:
    """Convert an error of the client, naming call, option and cure.

    Raise it `from None`: the server's message may contain the key, and the log shows the cause of an error.
    """
    where, url = f"call {call.key}", server.base_url
    tried = f"with up to {server.retries} retries"
    if isinstance(error, APIConnectionError):
        cause = error.__cause__ or error
        message = _redact(f"{type(cause).__name__} {cause}", server)
        return UserError(
            f"no answer from {url}, {tried}: {message}",
            where=where,
            cure=f"check that the server runs, or raise backbone.timeout; {RESUME}",
        )
    if isinstance(error, AuthenticationError):
        # Omit the message: OpenAI's shows both ends of the key.
        credentials = f"the key in {server.api_key_env}" if server.api_key_env else "requests without a key"
        return UserError(
            f"{url} refuses {credentials} (401)",
            where=where,
            cure=f"check the environment variable in backbone.api_key_env; {RESUME}",
        )
    message = _redact(error.message, server)
    if isinstance(error, NotFoundError):
        return UserError(
            f"{url} does not find the model {server.model}: {message}",
            where=where,
            cure="check backbone.model, and backbone.base_url, which usually ends in /v1",
        )
    if isinstance(error, RateLimitError | InternalServerError):
        wait = error.response.headers.get("retry-after")
        advice = f", and asks to wait {wait} s" if wait else ""
        return UserError(
            f"{url} does not answer, {tried}{advice}: {message}",
            where=where,
            cure=f"wait, or lower backbone.concurrency; {RESUME}",
        )
    return UserError(f"{url} refuses the request: {message}", where=where)


def _redact(message: str, server: Server) -> str:
    """Remove the key from a server's message, and shorten it."""
    key = server.key()
    return textwrap.shorten(message if key is None else message.replace(key, "<key>"), MAX_CHARACTERS)
