"""Calls that a server refuses, while it may answer others: the error, and the test request that finds out."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import replace

from legalrr.errors import UserError
from legalrr.protocols import Call, Reply

MAX_REFUSED = 24
"""Maximum number of refused calls in a row: then it is the server, not the judgment."""
TEST_CONTENT = "Answer YES."
"""Content of the messages of a test request, except for the system message."""

Send = Callable[[Call], Awaitable[Reply]]


class RefusedError(Exception):
    """A call that the server refuses, while it may answer others.

    Args:
        words: the server's words.
        general: the error if the server refuses every request; None if it refuses this conversation for its content.
    """

    def __init__(self, words: str, general: UserError | None = None) -> None:
        super().__init__(words)
        self.general = general


async def attempt(send: Send, call: Call) -> Reply:
    """Send a call; if the server refuses it in general words, find out by a test request whether it refuses all."""
    try:
        return await send(call)
    except RefusedError as refusal:
        if refusal.general is None:
            raise
        if not await answers_others(send, call):
            raise refusal.general from None
        raise


async def answers_others(send: Send, call: Call) -> bool:
    """Return whether the server answers a call with the roles, system message and options of another one."""
    try:
        await send(_test_call(call))
    except (UserError, RefusedError):
        return False
    return True


def too_many(count: int, error: RefusedError, call: Call) -> UserError:
    """Return the error for too many refusals in a row, the last one of which is given."""
    return UserError(f"{count} refusals in a row: {error}", where=f"call {call.key}", cure="use another server")


def _test_call(call: Call) -> Call:
    """Return a call with the roles, the system message and the options of another, but without a judgment."""
    messages = [
        message if message["role"] == "system" else {**message, "content": TEST_CONTENT} for message in call.messages
    ]
    return replace(call, messages=tuple(messages))
