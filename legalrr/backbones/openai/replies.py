"""Replies of a server: what each has to hold, and errors that name the call, the option and the cure, never the key."""

from __future__ import annotations

import json
import textwrap
from typing import TYPE_CHECKING

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

if TYPE_CHECKING:
    from legalrr.backbones.openai.backbone import OpenAIBackbone

SHOWN = 300
"""Characters of a server's message that an error repeats."""
GOES_ON = "what has come back is stored, and the same command goes on"


class Message(BaseModel):
    """What a model says."""

    content: str | None = None
    """The answer; None where it refuses or was cut off before it."""
    refusal: str | None = None
    """What it says in place of an answer."""


class Chat(BaseModel):
    """An answer in a conversation."""

    message: Message
    """The answer."""


class Text(BaseModel):
    """A continuation of a text."""

    text: str
    """The continuation."""


class Usage(BaseModel):
    """How much was read and written."""

    prompt_tokens: int
    """Tokens of all prompts of the request."""
    completion_tokens: int
    """Tokens written, thought ones included."""


class Body(BaseModel):
    """A reply without which there is nothing to store."""

    choices: list[Chat | Text] = Field(min_length=1)
    """The answers."""
    usage: Usage
    """The counts."""


async def insist(response: httpx2.Response) -> None:
    """A response hook that makes the client retry a malformed reply as it retries a lost connection.

    Raises:
        httpx2.DecodingError: a success whose body is not JSON, or lacks an answer or the counts.
    """
    if not response.is_success:
        return
    await response.aread()
    try:
        # Not by pydantic's own reader, which refuses an answer that was cut off within a character.
        told = json.loads(response.content)
    except ValueError as error:
        message = f"malformed reply, body: Invalid JSON: {error}"
        raise httpx2.DecodingError(message, request=response.request) from error
    try:
        Body.model_validate(told)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "body"
        raise httpx2.DecodingError(f"malformed reply, {place}: {first['msg']}", request=response.request) from error


def too_long(error: APIError) -> bool:
    """Whether the server refused a conversation for its length, in the words of OpenAI, of llama.cpp or of vLLM."""
    return isinstance(error, BadRequestError) and (
        error.code == "context_length_exceeded"
        or error.type == "exceed_context_size_error"
        or error.param == "input_tokens"
    )


def explained(error: APIError, call: Call, backbone: OpenAIBackbone) -> UserError:
    """The error for the user.

    It should be raised `from None`: what a server says may quote the key, and the log shows the cause of an error.
    """
    where, server = f"call {call.key}", backbone.base_url
    tried = f"with up to {backbone.retries} retries"
    if isinstance(error, APIConnectionError):
        cause = error.__cause__ or error
        said = _shown(f"{type(cause).__name__} {cause}", backbone)
        return UserError(
            f"no answer from {server}, {tried}: {said}",
            where=where,
            cure=f"check that the server runs, or raise backbone.timeout; {GOES_ON}",
        )
    if isinstance(error, AuthenticationError):
        # The message is left out: OpenAI's shows the ends of the key.
        told = f"the key in {backbone.api_key_env}" if backbone.api_key_env else "requests without a key"
        return UserError(
            f"{server} refuses {told} (401)",
            where=where,
            cure=f"check the variable that backbone.api_key_env names; {GOES_ON}",
        )
    said = _shown(error.message, backbone)
    if isinstance(error, NotFoundError):
        return UserError(
            f"nothing at {server} for the model {backbone.model}: {said}",
            where=where,
            cure="check backbone.model, and backbone.base_url, which usually ends in /v1",
        )
    if isinstance(error, RateLimitError | InternalServerError):
        wait = error.response.headers.get("retry-after")
        asks = f", and asks to wait {wait} s" if wait else ""
        return UserError(
            f"{server} will not answer, {tried}{asks}: {said}",
            where=where,
            cure=f"wait, or lower backbone.concurrency; {GOES_ON}",
        )
    return UserError(f"{server} refuses this: {said}", where=where)


def _shown(message: str, backbone: OpenAIBackbone) -> str:
    """A server's message, shortened and without the key."""
    key = backbone.key()
    return textwrap.shorten(message if key is None else message.replace(key, "<key>"), SHOWN)
