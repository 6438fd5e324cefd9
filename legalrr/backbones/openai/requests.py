"""Build the requests of calls, and read their replies and errors, however they are sent: one by one, or in batches."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from openai import APIError
from openai.types import Completion
from openai.types.chat import ChatCompletion

from legalrr.backbones.openai.refusals import RefusedError
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
from legalrr.backbones.openai.transport import Message
from legalrr.errors import UserError
from legalrr.protocols import Abilities, Call, Reply
from legalrr.records import FinishReason

CHAT = "/chat/completions"
TEXT = "/completions"
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
TOKENIZER_SHARE = 0.9
"""Least share of the tokens counted by `backbone.tokenizer` that the server must count: revisions of one differ."""
NO_CHOICES = "use predict.scoring=generate, or set backbone.structured (structured_outputs, json_schema)"
NO_LOGPROBS = "use predict.scoring=generate, or a server whose completions echo log-probabilities (vLLM)"
OTHER_CAP = {"max_completion_tokens": "max_tokens", "max_tokens": "max_completion_tokens"}


@dataclass(frozen=True, kw_only=True)
class Request:
    """Request for the answer to a call."""

    path: str
    """Path below the base URL."""
    body: Mapping[str, Any]
    """Its JSON."""


@dataclass(frozen=True, kw_only=True)
class Requests:
    """Requests of one backbone, and their replies."""

    model: str
    """Name of the model at the server."""
    tokens: CharacterTokens | TokenizerTokens
    """Token counter."""
    context: int
    """Maximum number of tokens of prompt and answer, without thought."""
    thinking_tokens: int
    """Tokens that are reserved for thoughts, in addition to `context`."""
    parameters: Mapping[str, Any]
    """Sampling parameters of a chat request, among them `seed`, if any."""
    echoes: bool
    """Whether the server's completions return log-probabilities of a prompt."""
    structured: str
    """structured_outputs, json_schema or none; see `structured_arguments`."""
    cap: str
    """The server's parameter for the maximum number of generated tokens."""

    @property
    def can(self) -> Abilities:
        """See `legalrr.protocols.Engine`."""
        return Abilities(
            logprobs=self.echoes, structured=self.structured != "none", images=False, seed="seed" in self.parameters
        )

    def require_possible(self, call: Call) -> None:
        """Raise UserError for a call that the server cannot answer."""
        if call.answers:
            if not self.echoes:
                raise UserError("this backbone gives no log-probabilities", where="backbone.logprobs", cure=NO_LOGPROBS)
            return
        if call.max_new_tokens < 1:
            raise ValueError(f"call {call.key} leaves no room for an answer: max_new_tokens={call.max_new_tokens}")
        if call.choices and self.structured == "none":
            raise UserError(
                "this backbone cannot be restricted to given answers", where="backbone.structured", cure=NO_CHOICES
            )

    def build(self, call: Call) -> Request | Reply:
        """Return the request for a call, or its reply if it exceeds the context."""
        if call.answers:
            return self._build_comparison(call)
        messages = [dict(message) for message in call.messages]
        return Request(path=CHAT, body={"model": self.model, "messages": messages, **self._options(call)})

    def read(self, call: Call, body: Mapping[str, Any], server: Server) -> Reply:
        """Read the reply to a call.

        Args:
            call: the call.
            body: JSON of the reply, with the fields of `legalrr.backbones.openai.transport.Body`.
            server: the server, for messages.

        Raises:
            RefusedError: a content filter ended the answer.
            UserError: the reply is unusable.
        """
        if call.answers:
            return self._read_comparison(call, Completion.construct(**body), server)
        return self._read_chat(call, ChatCompletion.construct(**body), server)

    def read_error(self, call: Call, error: APIError, server: Server) -> Reply:
        """Return the reply to a call that the server refuses for its length.

        Raises:
            RefusedError: the server refuses this call, while it may answer others.
            UserError: another error.
        """
        if exceeds_context(error):
            if call.answers:
                return empty_reply(len(self._prompt(call)), "overflow")
            return empty_reply(sum(len(self.tokens.token_ends(one["content"])) for one in call.messages), "overflow")
        sent = () if call.answers else self._options(call)
        general = user_error(error, call, server, sent)
        if is_filtered(error):
            raise RefusedError(general.what) from None
        if may_concern_call(error, sent):
            raise RefusedError(general.what, general) from None
        raise general from None

    def _options(self, call: Call) -> dict[str, Any]:
        structured = structured_arguments(self.structured, call.choices)
        return {self.cap: call.max_new_tokens + self.thinking_tokens, **self.parameters, **structured}

    def _read_chat(self, call: Call, completion: ChatCompletion, server: Server) -> Reply:
        allowed = call.max_new_tokens + self.thinking_tokens
        where, choice = f"call {call.key}", completion.choices[0]
        require_model(completion.model, server, where=where)
        message = Message.model_validate(choice.message.model_dump(include={"content", "refusal"}, warnings=False))
        content = message.text()
        text = content or message.refusal or ""
        counts = read_counts(completion.usage, text=text, where=where)
        require_whole_prompt(counts, self._least_tokens(call), context=self.context + self.thinking_tokens, where=where)
        reason = _finish_reason(choice.finish_reason, cut=counts.new >= allowed, where=where)
        if counts.new > allowed:
            raise UserError(
                f"the server generated {counts.new} tokens, {allowed} were allowed",
                where=where,
                cure=f"it seems to ignore {self.cap}: use backbone.cap={OTHER_CAP[self.cap]}",
            )
        if call.choices and reason == "stop" and content:
            text = parse_choice(self.structured, call, text)
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
        if isinstance(self.tokens, CharacterTokens):
            return words
        return max(words, int(TOKENIZER_SHARE * sum(len(self.tokens.token_ends(content)) for content in contents)))

    def _prompt(self, call: Call) -> list[int]:
        assert isinstance(self.tokens, TokenizerTokens)
        return self.tokens.conversation(call.messages)

    def _answer_ids(self, call: Call) -> dict[str, list[int]]:
        assert isinstance(self.tokens, TokenizerTokens)
        return {answer: self.tokens.answer(answer) for answer in call.answers}

    def _build_comparison(self, call: Call) -> Request | Reply:
        """Send the answers as token ids with their conversation, so that the server cannot tokenize them otherwise."""
        prompt, answers = self._prompt(call), self._answer_ids(call)
        if len(prompt) + max(map(len, answers.values())) > self.context:
            return empty_reply(len(prompt), "overflow")
        prompts = [prompt + answer for answer in answers.values()]
        body = {"model": self.model, "prompt": prompts, "echo": True, "logprobs": 1, "max_tokens": 1}
        return Request(path=TEXT, body={**body, "temperature": 0.0})

    def _read_comparison(self, call: Call, completion: Completion, server: Server) -> Reply:
        prompt, answers = self._prompt(call), self._answer_ids(call)
        require_model(completion.model, server, where=f"call {call.key}")
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
        return empty_reply(len(prompt), "stop", cached_tokens=cached, logprobs=logprobs)


class RequestEngine:
    """The part of an engine that is the same however its requests are sent.

    Args:
        requests: builds the requests, and reads the replies.
    """

    holds = None

    def __init__(self, requests: Requests) -> None:
        self.context = requests.context
        self.can = requests.can
        self._requests = requests

    def token_ends(self, text: str) -> list[int]:
        """See `legalrr.protocols.Tokens`."""
        return self._requests.tokens.token_ends(text)

    def prompt_ids(self, call: Call) -> list[int]:
        """See `legalrr.protocols.PromptTokens`."""
        return self._requests.tokens.prompt_ids(call.messages)


def empty_reply(
    prompt_tokens: int,
    finish_reason: FinishReason,
    *,
    cached_tokens: int = 0,
    logprobs: Mapping[str, float] | None = None,
    error: str | None = None,
) -> Reply:
    """Return a reply without text; for the arguments see `legalrr.protocols.Reply`."""
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


def _finish_reason(ending: str | None, *, cut: bool, where: str) -> FinishReason:
    """Return the finish reason; one that is not given follows from the length of the answer."""
    if not ending:
        return "length" if cut else "stop"
    if ending.lower() in FILTERED:
        raise RefusedError(f"the server's content filter ended the answer ({ending})")
    if ending.lower() not in ENDS:
        shown = textwrap.shorten(ending, MAX_CHARACTERS)
        raise UserError(
            f"the server ended its answer with {shown!r}, neither stop nor length",
            where=where,
            cure="leave the judgment out, or use another server",
        )
    return ENDS[ending.lower()]
