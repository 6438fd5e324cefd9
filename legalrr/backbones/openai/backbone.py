"""The backbone behind a server with OpenAI's interface: OpenAI, `vllm serve`, `transformers serve`, llama.cpp."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from functools import lru_cache
from importlib.util import find_spec
from typing import Any, ClassVar
from urllib.parse import urlsplit

from legalrr.backbones.local.weights import content_digest
from legalrr.backbones.openai.tokens import characters_per_token, open_tokens, tokenizer_folder
from legalrr.errors import UserError
from legalrr.protocols import Engine, Reply
from legalrr.records import CompletedTurn
from legalrr.stage import at_least, check_fields, choice, runtime

OPTION = "backbone"
LOGPROBS = ("none", "echo")
STRUCTURED = ("none", "structured_outputs", "json_schema")
CAPS = ("max_completion_tokens", "max_tokens")
VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
SENDABLE = re.compile(r"[!-~]+")
"""What a key may consist of: the error that the HTTP library raises for other characters would print it."""


@dataclass(frozen=True, kw_only=True)
class Prices:
    """A price table: money per million tokens, in any one currency."""

    input: float | None = None
    """Of a prompt's tokens that no cache held; None: unknown."""
    cached_input: float | None = None
    """Of a prompt's tokens that the server's cache held; None: unknown."""
    output: float | None = None
    """Of the tokens written, thought ones included; None: unknown."""

    def __post_init__(self) -> None:
        """Refuse what is not a price."""
        for field in fields(self):
            price = getattr(self, field.name)
            if price is not None and not (math.isfinite(price) and price >= 0):
                raise UserError(
                    f"{field.name} is {price}", where=f"backbone.prices.{field.name}", cure="give 0 or more, or null"
                )

    def cost(self, replies: Iterable[Reply | CompletedTurn]) -> float | None:
        """The money that replies cost; None where the price of any of their tokens is unknown.

        A conversation that the server refused for its length costs nothing. What a server computed for requests that
        timed out or broke off is in no reply, and so not in the sum either.
        """
        fresh = cached = new = 0
        for reply in replies:
            if reply.finish_reason == "overflow" and not reply.new_tokens:
                continue
            fresh += reply.prompt_tokens - reply.cached_tokens
            cached += reply.cached_tokens
            new += reply.new_tokens
        total = 0.0
        for count, price in ((fresh, self.input), (cached, self.cached_input), (new, self.output)):
            if count and price is None:
                return None
            total += count * (price or 0.0) / 1_000_000
        return total


@dataclass(frozen=True, kw_only=True)
class OpenAIBackbone:
    """A model behind a server's chat completions; None sends no value and leaves the choice to the server."""

    name: str = runtime()
    """Name in tables."""
    model: str
    """Name of the model at the server; a dated one, where there is one, as others come to mean newer models."""
    base_url: str = "https://api.openai.com/v1"
    """Address of the server, up to and with `/v1`."""
    context: int = at_least(1)
    """Tokens that prompt and answer may take together, as the server has it."""
    tokenizer: str = "characters:3"
    """How tokens are counted here, to fit a judgment into the context: by the tokenizer of a folder or hub id with
    `tokenizer_revision`, or `characters:N`, a token for every N characters. Results have the server's counts."""
    tokenizer_revision: str | None = None
    """Commit (40 hexadecimal digits) of a hub tokenizer."""
    temperature: float | None = None
    """0 for greedy answers; None for models that refuse it."""
    reasoning_effort: str | None = None
    """How much a reasoning model thinks, in the words of the server."""
    seed: int | None = None
    """Seed of the server's sampling, which OpenAI obeys as well as it can."""
    thinking_tokens: int = at_least(0, 0)
    """Tokens beyond a turn's own that a reasoning model may think in; they are kept free in the context. A server
    counts both together, so an answer may be longer than its turn allows where little is thought."""
    repetition: int = at_least(1, 1)
    """Which of several runs of the same experiment this is: sent nowhere, it keeps their answers apart."""
    logprobs: str = choice("none", *LOGPROBS, runtime=True)
    """`echo`: the server's completions tell the log-probabilities of a prompt (vLLM's do), so answers can be compared;
    needs the model's tokenizer. `none`: they cannot."""
    structured: str = choice("none", *STRUCTURED, runtime=True)
    """How the server is told to write one of some answers and nothing else: `structured_outputs` by vLLM,
    `json_schema` by OpenAI, vLLM and llama.cpp; `none`: it cannot be told. A server should stay with one, as stored
    answers do not say which it was."""
    cap: str = choice("max_completion_tokens", *CAPS, runtime=True)
    """What the server calls the number of tokens after which an answer is cut off; `max_tokens` for old ones."""
    api_key_env: str | None = runtime(default=None)
    """Name of the environment variable that holds the key; None: the server wants none."""
    concurrency: int = at_least(1, 8, runtime=True)
    """Requests under way at once; `predict.group` bounds it too."""
    timeout: float = runtime(default=600.0)
    """Seconds that a server may be silent before the request is made anew."""
    retries: int = at_least(0, 10, runtime=True)
    """How often a request is made anew after 408, 409, 429, 5xx, a lost connection, silence or a malformed reply. The
    waits are the server's Retry-After up to two minutes, else they double from half a second up to eight, less up to a
    quarter by chance."""
    prices: Prices | None = runtime(default=None)  # noqa: RUF009 - a field like those above
    """What tokens cost."""

    VERSION: ClassVar[int] = 1

    def __post_init__(self) -> None:
        """Refuse values that do not exist or exclude each other."""
        check_fields(self, OPTION)
        if not 0 < self.timeout < math.inf:
            raise UserError(f"timeout is {self.timeout}", where=f"{OPTION}.timeout", cure="give a number of seconds")
        if self.temperature is not None and not 0 <= self.temperature < math.inf:
            raise UserError(
                f"temperature is {self.temperature}", where=f"{OPTION}.temperature", cure="give 0 or more, or null"
            )
        if self.thinking_tokens >= self.context:
            raise UserError(
                f"{self.thinking_tokens} of {self.context} tokens of context are kept for thinking",
                where=f"{OPTION}.thinking_tokens",
                cure="leave some for the judgment",
            )
        counted = characters_per_token(self.tokenizer, option=OPTION) is not None
        if self.logprobs == "echo" and counted:
            raise UserError(
                f"logprobs=echo sends tokens, and {self.tokenizer} has none",
                where=f"{OPTION}.tokenizer",
                cure="name the tokenizer of the model that is served",
            )
        self._check_address()
        if self.api_key_env is not None and not VARIABLE.fullmatch(self.api_key_env):
            # It may well be the key itself, so it is not shown.
            raise UserError(
                "this is no name of an environment variable",
                where=f"{OPTION}.api_key_env",
                cure="give the name, e.g. OPENAI_API_KEY, never the key itself",
            )

    def _check_address(self) -> None:
        address = urlsplit(self.base_url)
        if address.scheme not in ("http", "https") or not address.hostname:
            raise UserError(
                f"{self.base_url!r} is no address of a server",
                where=f"{OPTION}.base_url",
                cure="e.g. http://localhost:8000/v1",
            )
        if address.username or address.password or address.query or address.fragment:
            raise UserError(
                "an address with a user, password, query or fragment would be written into every run",
                where=f"{OPTION}.base_url",
                cure="leave them out; a key goes into the environment variable that api_key_env names",
            )

    def provenance(self) -> Mapping[str, Any]:
        """The content digest of a local tokenizer; raises UserError where `tokenizer` names nothing."""
        folder = tokenizer_folder(self.tokenizer, self.tokenizer_revision, option=OPTION)
        return {} if folder is None else {"tokenizer_sha256": content_digest(folder)}

    def repeated(self, repetition: int) -> OpenAIBackbone:
        """See `legalrr.protocols.RepeatableBackbone`: asked once more, by a seed of its own where there is one."""
        if self.temperature == 0:
            raise UserError(
                "answers at temperature 0 are the same in every run",
                where=f"repetition={repetition}",
                cure=f"use a higher {OPTION}.temperature, or repetition=1",
            )
        if self.repetition != 1:
            raise UserError(
                f"{OPTION}.repetition={self.repetition} names another run",
                where=f"repetition={repetition}",
                cure="leave one of the two at 1",
            )
        seed = None if self.seed is None else self.seed + repetition - 1
        return replace(self, repetition=repetition, seed=seed)

    def key(self) -> str | None:
        """The key, read from the environment each time and kept nowhere; None for a server that wants none.

        Raises:
            UserError: the variable is not set, or holds what cannot be sent.
        """
        if self.api_key_env is None:
            return None
        key = os.environ.get(self.api_key_env, "").strip()
        if not key:
            raise UserError(
                f"the environment variable {self.api_key_env}, which holds the key for {self.base_url}, is not set",
                where=f"{OPTION}.api_key_env",
                cure=f"export {self.api_key_env}=..., or name another variable",
            )
        if not SENDABLE.fullmatch(key):
            raise UserError(
                f"the environment variable {self.api_key_env} holds characters that no key has",
                where=f"{OPTION}.api_key_env",
                cure="copy the key anew, without blanks or line breaks inside",
            )
        return key

    def cost(self, replies: Iterable[Reply | CompletedTurn]) -> float | None:
        """The money that replies cost; None without a price table or with a price missing in it."""
        return None if self.prices is None else self.prices.cost(replies)

    def load(self) -> Engine:
        """The engine, the same one for equal backbones until another one is loaded; the server is not asked yet.

        Raises:
            UserError: no key in the environment, no openai package, or no tokenizer.
        """
        self.key()
        return _engine(self)


@lru_cache(maxsize=1)
def _engine(backbone: OpenAIBackbone) -> Engine:
    if find_spec("openai") is None:
        raise UserError(
            "the package openai is not installed",
            where=OPTION,
            cure="pip install 'legalrr[openai]', or pip install openai",
        )
    from legalrr.backbones.openai.engine import OpenAIEngine

    tokens = open_tokens(backbone.tokenizer, backbone.tokenizer_revision, option=OPTION)
    return OpenAIEngine(backbone, tokens)
