"""Asks a server with OpenAI's interface: many requests under way at once, every reply handed on as soon as it is back.

The openai package does the retrying, with Retry-After and back-off. It takes malformed replies for answers, so
`replies.insist` makes them fail as a lost connection does.
"""

from __future__ import annotations

import asyncio
import json
import math
import textwrap
import time
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, TypeVar

from openai import APIError, AsyncOpenAI, DefaultAsyncHttpxClient
from openai.types import CompletionUsage

from legalrr.backbones.openai.replies import SHOWN, explained, insist, too_long
from legalrr.backbones.openai.tokens import CharacterTokens, TokenizerTokens
from legalrr.errors import UserError
from legalrr.protocols import Abilities, Call, Reply
from legalrr.records import FinishReason

if TYPE_CHECKING:
    from legalrr.backbones.openai.backbone import OpenAIBackbone

T = TypeVar("T")
Ask = Callable[[AsyncOpenAI, Call], Coroutine[Any, Any, Reply]]

ENDS: Mapping[str, FinishReason] = {"stop": "stop", "length": "length"}
NO_CHOICES = "use predict.scoring=generate, or say how the server is told (structured_outputs, json_schema)"
NO_LOGPROBS = "use predict.scoring=generate, or a server whose completions echo log-probabilities (vLLM)"
OTHER_CAP = {"max_completion_tokens": "max_tokens", "max_tokens": "max_completion_tokens"}
FIELD = "answer"
"""Where the JSON object that a schema asks for holds the answer."""


class OpenAIEngine:
    """The engine of `OpenAIBackbone`.

    `Reply.seconds` shares out the time that was waited, so that it adds up to the wall time although requests overlap.

    Args:
        backbone: what to ask, and how.
        tokens: counts tokens here.
    """

    holds = None

    def __init__(self, backbone: OpenAIBackbone, tokens: CharacterTokens | TokenizerTokens) -> None:
        # What is thought in one turn is gone in the next, so it is kept free once.
        self.context = backbone.context - backbone.thinking_tokens
        self.can = Abilities(
            logprobs=backbone.logprobs == "echo",
            structured=backbone.structured != "none",
            images=False,
            seed=backbone.seed is not None,
        )
        self._backbone = backbone
        self._tokens = tokens

    def token_ends(self, text: str) -> list[int]:
        """See `legalrr.protocols.Tokens`."""
        return self._tokens.token_ends(text)

    def generate(self, calls: Sequence[Call]) -> Iterator[list[tuple[str, Reply]]]:
        """See `legalrr.protocols.Engine`; in the order in which replies come back.

        `new_tokens` counts what was thought too. A conversation that the server refuses for its length is an overflow,
        with its tokens as counted here; so is one that it accepts beyond `context`, with its tokens as counted there.

        Raises:
            UserError: a call failed for good; it is named by its key. No other call is begun then, and the replies to
                those under way are yielded first.
        """
        for call in calls:
            if call.max_new_tokens < 1:
                raise ValueError(f"call {call.key} leaves no room for an answer: max_new_tokens={call.max_new_tokens}")
            if call.choices and not self.can.structured:
                raise UserError(
                    "this backbone cannot be held to given answers", where="backbone.structured", cure=NO_CHOICES
                )
        yield from self._answers(calls, self._write)

    def compare(self, calls: Sequence[Call]) -> Iterator[list[tuple[str, Reply]]]:
        """See `legalrr.protocols.Engine`; an answer's log-probability is the sum over its tokens.

        Conversation and answer are sent as tokens, so that the server neither cuts the text otherwise nor adds to it.

        Raises:
            UserError: as `generate`, or this server gives no log-probabilities.
        """
        if not self.can.logprobs:
            raise UserError("this backbone gives no log-probabilities", where="backbone.logprobs", cure=NO_LOGPROBS)
        yield from self._answers(calls, self._weigh)

    def _answers(self, calls: Sequence[Call], ask: Ask) -> Iterator[list[tuple[str, Reply]]]:
        waiting = deque(calls)
        under_way: dict[asyncio.Task[Reply], str] = {}
        failures: list[BaseException] = []
        with asyncio.Runner() as runner:
            client = self._client()
            try:
                while True:
                    while waiting and not failures and len(under_way) < self._backbone.concurrency:
                        call = waiting.popleft()
                        under_way[runner.get_loop().create_task(ask(client, call))] = call.key
                    if not under_way:
                        break
                    started = time.perf_counter()
                    done, _ = runner.run(asyncio.wait(under_way, return_when=asyncio.FIRST_COMPLETED))
                    seconds = time.perf_counter() - started
                    replies = []
                    for task in [task for task in under_way if task in done]:
                        key, error = under_way.pop(task), task.exception()
                        if error is None:
                            replies.append((key, task.result()))
                        else:
                            failures.append(error)
                    if replies:
                        yield [(key, replace(reply, seconds=seconds / len(replies))) for key, reply in replies]
            finally:
                runner.run(_end(client, under_way))
        if failures:
            raise failures[0]

    def _client(self) -> AsyncOpenAI:
        return AsyncOpenAI(
            # Given no key, the package would take OpenAI's from the environment and send it to whatever server this is.
            api_key=self._backbone.key() or "none",
            base_url=self._backbone.base_url,
            timeout=self._backbone.timeout,
            max_retries=self._backbone.retries,
            http_client=DefaultAsyncHttpxClient(event_hooks={"response": [insist]}),
        )

    async def _write(self, client: AsyncOpenAI, call: Call) -> Reply:
        backbone = self._backbone
        allowed = call.max_new_tokens + backbone.thinking_tokens
        given = {
            "temperature": backbone.temperature,
            "reasoning_effort": backbone.reasoning_effort,
            "seed": backbone.seed,
        }
        messages: Any = [dict(message) for message in call.messages]
        completion = await self._sent(
            call,
            client.chat.completions.create(
                model=backbone.model,
                messages=messages,
                extra_body={
                    backbone.cap: allowed,
                    **{name: value for name, value in given.items() if value is not None},
                    **restriction(backbone.structured, call.choices),
                },
            ),
        )
        if completion is None:
            return _unwritten(sum(len(self.token_ends(message["content"])) for message in call.messages), "overflow")
        choice, usage = completion.choices[0], completion.usage
        assert usage is not None
        if choice.finish_reason not in ENDS:
            raise UserError(
                f"the server ended its answer with {choice.finish_reason!r}, neither an end nor a cut-off",
                where=f"call {call.key}",
                cure="after content_filter, leave the judgment out or use another server",
            )
        if usage.completion_tokens > allowed:
            raise UserError(
                f"the server wrote {usage.completion_tokens} tokens where {allowed} were allowed",
                where=f"call {call.key}",
                cure=f"it seems not to know {backbone.cap}: use backbone.cap={OTHER_CAP[backbone.cap]}",
            )
        text = choice.message.content or choice.message.refusal or ""
        if call.choices and choice.finish_reason == "stop" and choice.message.content:
            text = chosen(backbone.structured, call, text)
        fits = usage.prompt_tokens + call.max_new_tokens <= self.context
        return Reply(
            text=text if fits else "",
            finish_reason=ENDS[choice.finish_reason] if fits else "overflow",
            prompt_tokens=usage.prompt_tokens,
            cached_tokens=_cached(usage),
            new_tokens=usage.completion_tokens,
            seconds=0.0,
        )

    async def _weigh(self, client: AsyncOpenAI, call: Call) -> Reply:
        assert isinstance(self._tokens, TokenizerTokens)
        asked = self._tokens.conversation(call.messages)
        answers = {answer: self._tokens.answer(answer) for answer in call.answers}
        if len(asked) + max(map(len, answers.values())) > self.context:
            return _unwritten(len(asked), "overflow")
        completion = await self._sent(
            call,
            client.completions.create(
                model=self._backbone.model,
                prompt=[asked + answer for answer in answers.values()],
                echo=True,
                logprobs=1,
                max_tokens=1,
                temperature=0.0,
            ),
        )
        if completion is None:
            return _unwritten(len(asked), "overflow")
        told = {choice.index: choice.logprobs for choice in completion.choices}
        logprobs = {}
        for place, (answer, ids) in enumerate(answers.items()):
            found = told.get(place)
            listed = (found.token_logprobs or []) if found else []
            values = [value for value in listed[len(asked) : len(asked) + len(ids)] if value is not None]
            if len(values) < len(ids):
                raise UserError(
                    "the server does not tell the log-probabilities of what it is sent",
                    where=f"call {call.key}",
                    cure=NO_LOGPROBS,
                )
            logprobs[answer] = math.fsum(values)
        return _unwritten(
            len(asked), "stop", cached_tokens=min(_cached(completion.usage), len(asked)), logprobs=logprobs
        )

    async def _sent(self, call: Call, request: Awaitable[T]) -> T | None:
        """What came back; None where the server refuses the conversation for its length."""
        try:
            return await request
        except APIError as error:
            if too_long(error):
                return None
            raise explained(error, call, self._backbone) from None


async def _end(client: AsyncOpenAI, tasks: Iterable[asyncio.Task[Reply]]) -> None:
    """Break off what is still under way, because nobody waits for it any more."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await client.close()


def _cached(usage: CompletionUsage | None) -> int:
    details = usage.prompt_tokens_details if usage else None
    return (details.cached_tokens or 0) if details else 0


def _unwritten(
    prompt_tokens: int,
    finish_reason: FinishReason,
    *,
    cached_tokens: int = 0,
    logprobs: Mapping[str, float] | None = None,
) -> Reply:
    return Reply(
        text="",
        finish_reason=finish_reason,
        prompt_tokens=prompt_tokens,
        cached_tokens=cached_tokens,
        new_tokens=0,
        seconds=0.0,
        logprobs=logprobs,
    )


def restriction(dialect: str, choices: Sequence[str]) -> Mapping[str, Any]:
    """What a request holds beside the conversation; nothing without choices.

    A schema has to describe an object (platform.openai.com/docs/guides/structured-outputs, "Root objects"), so the
    model writes its answer into one.
    """
    if not choices:
        return {}
    if dialect == "structured_outputs":
        return {"structured_outputs": {"choice": list(choices)}}
    schema = {
        "type": "object",
        "properties": {FIELD: {"type": "string", "enum": list(choices)}},
        "required": [FIELD],
        "additionalProperties": False,
    }
    return {
        "response_format": {"type": "json_schema", "json_schema": {"name": FIELD, "strict": True, "schema": schema}}
    }


def chosen(dialect: str, call: Call, content: str) -> str:
    """The choice that a whole answer names.

    Args:
        dialect: how the server was told.
        call: what was asked, with its choices.
        content: what the server says.

    Raises:
        UserError: it names none, as the server does not know the dialect: vLLM passes over fields that it does not know
            in silence.
    """
    named = _field(content) if dialect == "json_schema" else content
    if named not in call.choices:
        allowed = " or ".join(call.choices)
        raise UserError(
            f"the server wrote {textwrap.shorten(content, SHOWN)!r} where only {allowed} may be written",
            where=f"call {call.key}",
            cure=f"it seems not to know {dialect}: use another backbone.structured, or predict.scoring=generate",
        )
    return named


def _field(content: str) -> str:
    """The answer in a JSON object; "" where there is none."""
    try:
        held = json.loads(content)
    except ValueError:
        return ""
    named = held.get(FIELD) if isinstance(held, dict) else None
    return named if isinstance(named, str) else ""
