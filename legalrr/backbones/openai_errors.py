"""What went wrong at a server, in words that name the call, the option and what to do, and never the key."""

import textwrap

from openai import (
    APIConnectionError,
    APIError,
    AuthenticationError,
    BadRequestError,
    InternalServerError,
    NotFoundError,
    RateLimitError,
)

from legalrr.backbones.openai import OPTION, OpenAIBackbone
from legalrr.errors import UserError
from legalrr.protocols import Call

SHOWN = 300
"""Characters of a server's message that an error repeats."""
GOES_ON = "what has come back is stored, and the same command goes on"


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
            cure=f"check that the server runs, or raise {OPTION}.timeout; {GOES_ON}",
        )
    if isinstance(error, AuthenticationError):
        # The message is left out: OpenAI's shows the ends of the key.
        told = f"the key in {backbone.api_key_env}" if backbone.api_key_env else "requests without a key"
        return UserError(
            f"{server} refuses {told} (401)",
            where=where,
            cure=f"check the variable that {OPTION}.api_key_env names; {GOES_ON}",
        )
    said = _shown(error.message, backbone)
    if isinstance(error, NotFoundError):
        return UserError(
            f"nothing at {server} for the model {backbone.model}: {said}",
            where=where,
            cure=f"check {OPTION}.model, and {OPTION}.base_url, which usually ends in /v1",
        )
    if isinstance(error, RateLimitError | InternalServerError):
        wait = error.response.headers.get("retry-after")
        asks = f", and asks to wait {wait} s" if wait else ""
        return UserError(
            f"{server} will not answer, {tried}{asks}: {said}",
            where=where,
            cure=f"wait, or lower {OPTION}.concurrency; {GOES_ON}",
        )
    return UserError(f"{server} refuses this: {said}", where=where)


def _shown(message: str, backbone: OpenAIBackbone) -> str:
    """A server's message, shortened and without the key."""
    key = backbone.key()
    return textwrap.shorten(message if key is None else message.replace(key, "<key>"), SHOWN)
