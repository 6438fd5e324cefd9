"""What a server's reply has to hold, whatever else is in it."""

import json

import httpx2
from pydantic import BaseModel, Field, ValidationError


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
