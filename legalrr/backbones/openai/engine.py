"""Send calls to a server with OpenAI's API: concurrent requests, with every reply yielded as soon as it arrives.

The openai package retries, with Retry-After and back-off. It accepts malformed replies, so
`transport.require_valid_body` makes them fail like a lost connection.
"""

from __future__ import annotations

import asyncio
import math
import textwrap
import time
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import Any, TypeVar

from openai import APIConnectionError, APIError, AsyncOpenAI, DefaultAsyncHttpxClient

from legalrr.backbones.openai.replies import (
    MAX_CHARACTERS,
    Server,
    exceeds_context,
    is_filtered,
    may_concern_call,
    read_counts,
    require_model,
    require_whole_prompt,
    user_error,
)
from legalrr.backbones.openai.structured import parse_choice, structured_arguments
from legalrr.backbones.openai.tokens import CharacterTokens, TokenizerTokens
from legalrr.backbones.openai.transport import Connection, Message, require_valid_body
from legalrr.errors import UserError
from legalrr.protocols import Abilities, Call, CallQueue, Reply
from legalrr.records import FinishReason

T = TypeVar("T")
Send = Callable[[AsyncOpenAI, Call], Coroutine[Any, Any, Reply]]

ENDS: Mapping[str, FinishReason] = {
    "stop": "stop",
    "eos": "stop",
    "eos_token": "stop",
    "end_turn": "stop",
    "stop_sequence": "stop",
    "complete": "stop",
    "tool_calls": "stop",
    "function_call": "stop",
    "length": "length",
    "max_tokens": "length",
    "max_length": "length",
    "model_length": "length",
}
"""Ending in a server's words -> finish reason."""
FILTERED = ("content_filter", "safety", "sensitive")
"""Endings of answers that a content filter stopped."""
MAX_REFUSED = 24
"""Maximum number of refused calls in a row: then it is the server, not the judgment."""
TEST_CONTENT = "Answer YES."
"""Content of the messages of a test request, except for the system message."""
TOKENIZER_SHARE = 0.9
"""Least share of the tokens counted by `backbone.tokenizer` that the server must count: revisions of one differ."""
NO_CHOICES = "use predict.scoring=generate, or set backbone.structured (structured_outputs, json_schema)"
NO_LOGPROBS = "use predict.scoring=generate, or a server whose completions echo log-probabilities (vLLM)"
OTHER_CAP = {"max_completion_tokens": "max_tokens", "max_tokens": "max_completion_tokens"}


class _RefusedError(Exception):
    """A call that the server refuses, while it may answer others.

    Args:
        words: the server's words.
        general: the error if the server refuses every request; None if it refuses this conversation for its content.
    """

    def __init__(self, words: str, general: UserError | None = None) -> None:
        super().__init__(words)
        self.general = general


class OpenAIEngine:
    """The engine of `OpenAIBackbone`.

    `Reply.seconds` divides the time waited among replies, so that it sums to the wall time although requests overlap.

    Args:
        server: address, model and credentials of the server.
        tokens: token counter.
        context: maximum number of tokens of prompt, thought and answer.
        thinking_tokens: tokens of `context` that are reserved for thoughts.
        parameters: sampling parameters of a chat request, among them `seed`, if any.
        echoes: whether the server's completions return log-probabilities of a prompt.
        structured: structured_outputs, json_schema or none; see `structured_arguments`.
        cap: the server's parameter for the maximum number of generated tokens.
        concurrency: maximum number of concurrent requests.
    """

    holds = None

    def __init__(
        self,
        *,
        server: Server,
        tokens: CharacterTokens | TokenizerTokens,
        context: int,
        thinking_tokens: int,
        parameters: Mapping[str, Any],
        echoes: bool,
        structured: str,
        cap: str,
        concurrency: int,
    ) -> None:
        # Thoughts are dropped from later turns, so room for one is enough.
        self.context = context - thinking_tokens
        self.can = Abilities(logprobs=echoes, structured=structured != "none", images=False, seed="seed" in parameters)
        self._server = server
        self._tokens = tokens
        self._thinking_tokens = thinking_tokens
        self._parameters = parameters
        self._structured = structured
        self._cap = cap
        self._concurrency = concurrency
        self._refused = 0
        self._connection = Connection(server)

    def token_ends(self, text: str) -> list[int]:
        """See `legalrr.protocols.Tokens`."""
        return self._tokens.token_ends(text)

    def prompt_ids(self, call: Call) -> list[int]:
        """See `legalrr.protocols.PromptTokens`."""
        return self._tokens.prompt_ids(call.messages)

    def answer(self, queue: CallQueue) -> Iterator[list[tuple[str, Reply]]]:
        """See `legalrr.protocols.Engine`; replies come in the order of arrival.

        `new_tokens` includes thoughts. A conversation that the server refuses for its length is an overflow, with
        tokens as counted here; so is one that it accepts beyond `context`, with tokens as counted by the server. One
        that it refuses otherwise, while it answers others, is a reply with `error`: its content filter refuses it, or
        it answers a test request with the same parameters and a short text.

        Answers to compare are sent as token ids with their conversation, so that the server cannot tokenize them
        differently; the log-probability of an answer is the sum over its tokens.

        Raises:
            UserError: a call failed permanently, or more than `MAX_REFUSED` in a row were refused; the message has its
                key. Or the server cannot answer such calls. No further call is sent, and replies to requests under way
                are yielded first.
        """
        under_way: dict[asyncio.Task[Reply], Call] = {}
        failures: list[BaseException] = []
        with asyncio.Runner() as runner:
            client = self._client()
            try:
                connected = False
                while True:
                    free = 0 if failures else self._concurrency - len(under_way)
                    for call in queue.take(free) if free else ():
                        if not connected:
                            runner.run(self._connection.require())
                            connected = True
                        task = runner.get_loop().create_task(_attempt(self._send_method(call), client, call))
                        under_way[task] = call
                    if not under_way:
                        break
                    started = time.perf_counter()
                    done, _ = runner.run(asyncio.wait(under_way, return_when=asyncio.FIRST_COMPLETED))
                    seconds = time.perf_counter() - started
                    replies = []
                    for task in [task for task in under_way if task in done]:
                        call, error = under_way.pop(task), task.exception()
                        if not isinstance(error, _RefusedError):
                            if error is None:
                                self._refused = 0
                                replies.append((call.key, task.result()))
                            else:
                                failures.append(error)
                            continue
                        self._refused += 1
                        if self._refused > MAX_REFUSED:
                            # The arms of a few judgments may be refused in a row by a filter that lets others pass.
                            send = self._send_method(call)
                            if error.general or not runner.run(_answers_others(send, client, call)):
                                what = f"{self._refused} refusals in a row: {error}"
                                failures.append(UserError(what, where=f"call {call.key}", cure="use another server"))
                                continue
                            self._refused = 0
                        replies.append((call.key, _empty_reply(0, "stop", error=str(error))))
                    if replies:
                        yield [(key, replace(reply, seconds=seconds / len(replies))) for key, reply in replies]
            finally:
                runner.run(_cancel(client, under_way))
        if failures:
            raise failures[0]

    def _send_method(self, call: Call) -> Send:
        """Return the method that sends a call; raises UserError for a call that the server cannot answer."""
        if call.answers:
            if not self.can.logprobs:
                raise UserError("this backbone gives no log-probabilities", where="backbone.logprobs", cure=NO_LOGPROBS)
            return self._compare
        if call.max_new_tokens < 1:
            raise ValueError(f"call {call.key} leaves no room for an answer: max_new_tokens={call.max_new_tokens}")
        if call.choices and not self.can.structured:
            raise UserError(
                "this backbone cannot be restricted to given answers", where="backbone.structured", cure=NO_CHOICES
            )
        return self._generate

    def _client(self) -> AsyncOpenAI:
        return AsyncOpenAI(
            # Without a key the package would send OpenAI's, from the environment, to any server.
            api_key=self._server.key() or "none",
            base_url=self._server.base_url,
            timeout=self._server.timeout,
            max_retries=self._server.retries,
            http_client=DefaultAsyncHttpxClient(
                event_hooks={"response": [partial(require_valid_body, megabytes=self._server.reply_megabytes)]}
            ),
        )

    async def _generate(self, client: AsyncOpenAI, call: Call) -> Reply:
        allowed = call.max_new_tokens + self._thinking_tokens
        messages: Any = [dict(message) for message in call.messages]
        structured = structured_arguments(self._structured, call.choices)
        body = {self._cap: allowed, **self._parameters, **structured}
        completion = await self._await(
            call,
            client.chat.completions.create(model=self._server.model, messages=messages, extra_body=body),
            sent=body,
        )
        if completion is None:
            return _empty_reply(sum(len(self.token_ends(message["content"])) for message in call.messages), "overflow")
        where, choice = f"call {call.key}", completion.choices[0]
        require_model(completion.model, self._server, where=where)
        message = Message.model_validate(choice.message.model_dump(include={"content", "refusal"}, warnings=False))
        content = message.text()
        text = content or message.refusal or ""
        counts = read_counts(completion.usage, text=text, where=where)
        require_whole_prompt(
            counts, self._least_tokens(call), context=self.context + self._thinking_tokens, where=where
        )
        reason = self._finish_reason(choice.finish_reason, cut=counts.new >= allowed, where=where)
        if counts.new > allowed:
            raise UserError(
                f"the server generated {counts.new} tokens, {allowed} were allowed",
                where=where,
                cure=f"it seems to ignore {self._cap}: use backbone.cap={OTHER_CAP[self._cap]}",
            )
        if call.choices and reason == "stop" and content:
            text = parse_choice(self._structured, call, text)
        fits = counts.prompt + call.max_new_tokens <= self.context
        return Reply(
            text=text if fits else "",
            finish_reason=reason if fits else "overflow",
            prompt_tokens=counts.prompt,
            cached_tokens=counts.cached,
            new_tokens=counts.new,
            seconds=0.0,
        )

    def _least_tokens(self, call: Call) -> int:
        """Return a lower bound of the tokens of a conversation: its words, or most tokens of the model's tokenizer."""
        contents = [message["content"] for message in call.messages]
        words = sum(len(content.split()) for content in contents)
        if isinstance(self._tokens, CharacterTokens):
            return words
        return max(words, int(TOKENIZER_SHARE * sum(len(self.token_ends(content)) for content in contents)))

    @staticmethod
    def _finish_reason(ending: str | None, *, cut: bool, where: str) -> FinishReason:
        """Return the finish reason; one that is not given follows from the length of the answer."""
        if not ending:
            return "length" if cut else "stop"
        if ending.lower() in FILTERED:
            raise _RefusedError(f"the server's content filter ended the answer ({ending})")
        if ending.lower() not in ENDS:
            shown = textwrap.shorten(ending, MAX_CHARACTERS)
            raise UserError(
                f"the server ended its answer with {shown!r}, neither stop nor length",
                where=where,
                cure="leave the judgment out, or use another server",
            )
        return ENDS[ending.lower()]

    async def _compare(self, client: AsyncOpenAI, call: Call) -> Reply:
        assert isinstance(self._tokens, TokenizerTokens)
        prompt = self._tokens.conversation(call.messages)
        answers = {answer: self._tokens.answer(answer) for answer in call.answers}
        if len(prompt) + max(map(len, answers.values())) > self.context:
            return _empty_reply(len(prompt), "overflow")
        completion = await self._await(
            call,
            client.completions.create(
                model=self._server.model,
                prompt=[prompt + answer for answer in answers.values()],
                echo=True,
                logprobs=1,
                max_tokens=1,
                temperature=0.0,
            ),
            sent=(),
        )
        if completion is None:
            return _empty_reply(len(prompt), "overflow")
        require_model(completion.model, self._server, where=f"call {call.key}")
        returned = {choice.index: choice.logprobs for choice in completion.choices}
        logprobs = {}
        for place, (answer, ids) in enumerate(answers.items()):
            found = returned.get(place)
            listed = (found.token_logprobs or []) if found else []
            values = [value for value in listed[len(prompt) : len(prompt) + len(ids)] if value is not None]
            if len(values) < len(ids):
                raise UserError(
                    "the server does not return log-probabilities of the prompt",
                    where=f"call {call.key}",
                    cure=NO_LOGPROBS,
                )
            logprobs[answer] = math.fsum(values)
        details = completion.usage.prompt_tokens_details if completion.usage else None
        cached = min((details.cached_tokens or 0) if details else 0, len(prompt))
        return _empty_reply(len(prompt), "stop", cached_tokens=cached, logprobs=logprobs)

    async def _await(self, call: Call, request: Awaitable[T], *, sent: Iterable[str]) -> T | None:
        """Await a request; return None if the server refuses the conversation for its length."""
        try:
            return await request
        except APIError as error:
            if isinstance(error, APIConnectionError):
                self._connection.lose()
            if exceeds_context(error):
                return None
            general = user_error(error, call, self._server, sent)
            if is_filtered(error):
                raise _RefusedError(general.what) from None
            if may_concern_call(error, sent):
                raise _RefusedError(general.what, general) from None
            raise general from None


async def _attempt(send: Send, client: AsyncOpenAI, call: Call) -> Reply:
    """Send a call; if the server refuses it in general words, find out by a test request whether it refuses all."""
    try:
        return await send(client, call)
    except _RefusedError as refusal:
        if refusal.general is None:
            raise
        if not await _answers_others(send, client, call):
            raise refusal.general from None
        raise


async def _answers_others(send: Send, client: AsyncOpenAI, call: Call) -> bool:
    """Return whether the server answers a call with the roles, system message and options of another one."""
    try:
        await send(client, _test_call(call))
    except (UserError, _RefusedError):
        return False
    return True


def _test_call(call: Call) -> Call:
    """Return a call with the roles, the system message and the options of another, but without a judgment."""
    messages = [
        message if message["role"] == "system" else {**message, "content": TEST_CONTENT} for message in call.messages
    ]
    return replace(call, messages=tuple(messages))


async def _cancel(client: AsyncOpenAI, tasks: Iterable[asyncio.Task[Reply]]) -> None:
    """Cancel requests under way, and close the client."""
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    await client.close()


def _empty_reply(
    prompt_tokens: int,
    finish_reason: FinishReason,
    *,
    cached_tokens: int = 0,
    logprobs: Mapping[str, float] | None = None,
    error: str | None = None,
) -> Reply:
    return Reply(
        text="",
        finish_reason=finish_reason,
        prompt_tokens=prompt_tokens,
        cached_tokens=cached_tokens,
        new_tokens=0,
        seconds=0.0,
        logprobs=logprobs,
        error=error,
    )
