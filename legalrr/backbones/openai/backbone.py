"""Backbone for a server with OpenAI's API: OpenAI, `vllm serve`, SGLang, Ollama, `transformers serve`, llama.cpp."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache
from importlib.util import find_spec
from typing import Any, ClassVar

from legalrr.backbones.chat_template import DEFAULT_SECONDS, check_template_seconds
from legalrr.backbones.local.model_files import content_digest
from legalrr.backbones.openai.prices import Prices
from legalrr.backbones.openai.servers import ServerList, read_servers
from legalrr.backbones.openai.tokens import (
    TokenizerTokens,
    characters_per_token,
    open_tokens,
    resolve_tokenizer,
    tokenizer_folder,
)
from legalrr.backbones.sampling import CardSampling, check_decoding
from legalrr.backbones.thinking import read_thinking
from legalrr.credentials import require_variable_name
from legalrr.errors import UserError
from legalrr.protocols import Engine, Reply
from legalrr.records import CompletedTurn
from legalrr.stage import at_least, check_fields, choice, later, runtime

OPTION = "backbone"
LOGPROBS = ("none", "echo")
STRUCTURED = ("none", "structured_outputs", "json_schema")
THOUGHT_CAPS = ("none", "thinking_token_budget")
CAPS = ("max_completion_tokens", "max_tokens")
SENDABLE = re.compile(r"[!-~]+")
"""Valid characters of a key: the HTTP library prints a key with others in its error."""


@dataclass(frozen=True, kw_only=True)
class OpenAIBackbone:
    """A model behind a server's chat completions; a field that is None is not sent and left to the server."""

    name: str = runtime()
    """Name in tables."""
    model: str
    """Name of the model at the server; prefer a dated one, as undated names may later refer to newer models."""
    base_url: Any = "https://api.openai.com/v1"
    """Base URL of the server, including `/v1`; or a list of those of several servers of this model, which share the
    calls. Answers are stored by the URL of a single server, but not by those of a list, whose servers may change."""
    context: int = at_least(1)
    """Maximum number of tokens of prompt plus answer at the server."""
    tokenizer: str = "characters:3"
    """Token counter used to fit a judgment into the context: the tokenizer of a folder, or of a hub id with
    `tokenizer_revision`, or `characters:N`, one token per N characters. Results contain the server's counts."""
    tokenizer_revision: str | None = None
    """Branch, tag or commit of a hub tokenizer; None: main. Resolved to a commit before anything runs."""
    pinned: bool = runtime(default=False)
    """Refuse a branch or tag as `tokenizer_revision`, for runs that must be repeatable."""
    temperature: float | None = None
    """0 for greedy decoding; None for models that do not accept it. Unused if `decoding` is card."""
    decoding: str | None = choice(None, "greedy", "card", later=True)
    """card: sample with the settings of `card`; greedy: `temperature` must be 0; None: as `temperature` says."""
    card: CardSampling | None = later(default=None)  # noqa: RUF009 - a field like those above
    """Sampling settings of the model card; None: the card has none. `top_k` is not a parameter of OpenAI's API: vLLM,
    SGLang and llama.cpp accept it, Ollama ignores it, OpenAI refuses it; 0 is not sent."""
    reasoning_effort: str | None = None
    """Reasoning effort, in the server's terms."""
    seed: int | None = None
    """Seed of the server's sampling; OpenAI's is best-effort."""
    thinking_tokens: int = at_least(0, 0)
    """Tokens reserved in the context for a reasoning model's thoughts, in addition to those of a turn. A server limits
    the sum of both, so an answer may exceed its turn's limit if the thought is short."""
    thinking: str | None = later(default=None)
    """off or on: send the switch of the chat template of `tokenizer` in `chat_template_kwargs`; budget: on, and let the
    server close a thought after `thinking_tokens` (see `thought_cap`); None: as the server does by default. OpenAI's
    models have `reasoning_effort` instead."""
    repetition: int = at_least(1, 1)
    """Number of the repetition of an experiment: it is not sent, but keeps stored answers separate."""
    chat_template_kwargs: dict[str, Any] | None = later(default=None, hash=False)  # noqa: RUF009 - a field like those above
    """Arguments of the chat template at the server (vLLM, SGLang, llama.cpp), e.g. `{enable_thinking: false}`."""
    chat_template_seconds: float = runtime(default=DEFAULT_SECONDS)
    """Time limit of the chat template of `tokenizer` for one conversation."""
    logprobs: str = choice("none", *LOGPROBS, runtime=True)
    """`echo`: the server's completions return log-probabilities of a prompt (as vLLM does), so answers can be compared;
    needs the model's tokenizer. `none`: answers cannot be compared."""
    structured: str = choice("none", *STRUCTURED, runtime=True)
    """How answers are restricted to choices: `structured_outputs` for vLLM; `json_schema` for OpenAI, vLLM and
    llama.cpp; `none`: not supported. Keep one setting per server, since stored answers do not record it."""
    cap: str = choice("max_completion_tokens", *CAPS, runtime=True)
    """The server's parameter for the maximum number of generated tokens; `max_tokens` for old servers."""
    thought_cap: str = choice("none", *THOUGHT_CAPS, runtime=True)
    """The server's parameter for the maximum number of tokens of a thought, for thinking=budget:
    `thinking_token_budget` for vLLM with `--reasoning-config`; `none`: not supported."""
    reply_model: str | None = runtime(default=None)
    """Name of the model in the server's replies, if it is not `model`; another name is an error."""
    api_key_env: str | None = runtime(default=None)
    """Environment variable that contains the API key; None: the server needs none."""
    concurrency: int = at_least(1, 8, runtime=True)
    """Maximum number of concurrent requests, of each server."""
    batch: bool = runtime(default=False)
    """Send calls in batches, which cost less and take up to 24 hours: OpenAI's batch interface. A killed run finds its
    batches again, by their ids in the folder of stored answers."""
    batch_requests: int = at_least(1, 50_000, runtime=True)
    """Maximum number of requests in a batch; OpenAI's limit is 50,000, and 200 MB in any case."""
    timeout: float = runtime(default=600.0)
    """Seconds without data from the server before a request is retried."""
    retries: int = at_least(0, 10, runtime=True)
    """Retries of a request after 408, 409, 429, 5xx, a lost connection, a timeout or a malformed reply. Waits follow
    the server's Retry-After up to two minutes; otherwise they double from 0.5 s to 8 s, less a random share of up to a
    quarter."""
    reply_megabytes: int = at_least(1, 64, runtime=True)
    """Maximum size of a reply in MB (1e6 bytes); a longer one is an error, and is not read to its end."""
    prices: Prices | None = runtime(default=None)  # noqa: RUF009 - a field like those above
    """Price table."""

    VERSION: ClassVar[int] = 1

    def __post_init__(self) -> None:
        """Validate the fields; raise UserError for invalid or conflicting values."""
        check_fields(self, OPTION)
        if not 0 < self.timeout < math.inf:
            raise UserError(f"timeout is {self.timeout}", where=f"{OPTION}.timeout", cure="give a number of seconds")
        if self.temperature is not None and not 0 <= self.temperature < math.inf:
            raise UserError(
                f"temperature is {self.temperature}", where=f"{OPTION}.temperature", cure="give 0 or more, or null"
            )
        self._check_decoding()
        if self.thinking_tokens >= self.context:
            raise UserError(
                f"thinking_tokens={self.thinking_tokens} leaves no room in a context of {self.context}",
                where=f"{OPTION}.thinking_tokens",
                cure="leave room for the judgment",
            )
        counted = characters_per_token(self.tokenizer, option=OPTION) is not None
        if self.logprobs == "echo" and counted:
            raise UserError(
                f"logprobs=echo sends token ids, which {self.tokenizer} does not provide",
                where=f"{OPTION}.tokenizer",
                cure="give the tokenizer of the served model",
            )
        check_template_seconds(self.chat_template_seconds, option=OPTION)
        self._check_thinking(counted)
        object.__setattr__(self, "base_url", read_servers(self.base_url, where=f"{OPTION}.base_url"))
        if self.batch and len(self.urls) > 1:
            raise UserError(
                f"{OPTION}.batch=true with {len(self.urls)} servers",
                where=f"{OPTION}.base_url",
                cure=f"give the one that makes batches, or use {OPTION}.batch=false",
            )
        if self.api_key_env is not None:
            require_variable_name(self.api_key_env, where=f"{OPTION}.api_key_env")

    @property
    def urls(self) -> tuple[str, ...]:
        """Base URLs of the servers."""
        return self.base_url.urls if isinstance(self.base_url, ServerList) else (self.base_url,)

    def _check_thinking(self, counted: bool) -> None:
        thinking = read_thinking(self.thinking, self.thinking_tokens, self.chat_template_kwargs, option=OPTION)
        object.__setattr__(self, "thinking", thinking)
        if thinking is not None and counted:
            raise UserError(
                f"thinking={thinking} sets a switch of the chat template, which {self.tokenizer} does not have",
                where=f"{OPTION}.tokenizer",
                cure=f"give the tokenizer of the served model, or use {OPTION}.reasoning_effort for models of OpenAI",
            )
        if thinking == "off" and self.reasoning_effort not in (None, "none"):
            raise UserError(
                f"thinking=off with reasoning_effort={self.reasoning_effort}",
                where=f"{OPTION}.thinking",
                cure="set one of the two to null",
            )
        if thinking == "budget" and self.thought_cap == "none":
            raise UserError(
                "thinking=budget needs a server that limits thoughts",
                where=f"{OPTION}.thought_cap",
                cure="use thinking_token_budget for vLLM with --reasoning-config, or thinking=on",
            )

    def _check_decoding(self) -> None:
        check_decoding(self.decoding or "greedy", self.card, option=OPTION)
        given = self.temperature not in (None, 0)
        if given and self.decoding == "greedy":
            raise UserError(
                f"decoding=greedy with temperature={self.temperature}",
                where=f"{OPTION}.temperature",
                cure=f"use 0, or {OPTION}.decoding=null",
            )
        if given and self.decoding == "card":
            raise UserError(
                f"decoding=card takes the temperature of the card, not temperature={self.temperature}",
                where=f"{OPTION}.temperature",
                cure=f"set {OPTION}.card.temperature, or {OPTION}.decoding=null",
            )

    def _sampling(self) -> dict[str, float]:
        """Return the sampling parameters of a request."""
        if self.decoding == "card" and self.card is not None:
            card = self.card
            sent = {"temperature": card.temperature, "top_p": card.top_p, "presence_penalty": card.presence_penalty}
            return sent | ({"top_k": card.top_k} if card.top_k else {})
        return {} if self.temperature is None else {"temperature": self.temperature}

    def provenance(self) -> Mapping[str, Any]:
        """Return the digest of a local tokenizer; raise UserError if `tokenizer` cannot be found."""
        folder = tokenizer_folder(self.tokenizer, self.tokenizer_revision, option=OPTION)
        return {} if folder is None else {"tokenizer_sha256": content_digest(folder)}

    def resolved(self) -> OpenAIBackbone:
        """See `legalrr.protocols.HubStage`: the commit is that of the tokenizer."""
        commit = resolve_tokenizer(self.tokenizer, self.tokenizer_revision, pinned=self.pinned, option=OPTION)
        return replace(self, tokenizer_revision=commit)

    def repeated(self, repetition: int) -> OpenAIBackbone:
        """See `legalrr.protocols.RepeatableBackbone`: increments the seed, if there is one."""
        if self._sampling().get("temperature") == 0:
            raise UserError(
                "answers at temperature 0 are identical in every repetition",
                where=f"repetition={repetition}",
                cure=f"use a higher {OPTION}.temperature, {OPTION}.decoding=card, or repetition=1",
            )
        if self.repetition != 1:
            raise UserError(
                f"{OPTION}.repetition={self.repetition} is already a repetition",
                where=f"repetition={repetition}",
                cure="leave one of the two at 1",
            )
        seed = None if self.seed is None else self.seed + repetition - 1
        return replace(self, repetition=repetition, seed=seed)

    def key(self) -> str | None:
        """Read the API key from the environment, without caching; return None if the server needs none.

        Raises:
            UserError: the variable is not set, or contains characters that cannot be sent.
        """
        if self.api_key_env is None:
            return None
        key = os.environ.get(self.api_key_env, "").strip()
        if not key:
            raise UserError(
                f"the environment variable {self.api_key_env}, the key for {self.urls[0]}, is not set",
                where=f"{OPTION}.api_key_env",
                cure=f"export {self.api_key_env}=..., or name another variable",
            )
        if not SENDABLE.fullmatch(key):
            raise UserError(
                f"the environment variable {self.api_key_env} contains characters that are invalid in a key",
                where=f"{OPTION}.api_key_env",
                cure="copy the key again, without blanks or line breaks inside",
            )
        return key

    def cost(self, replies: Iterable[Reply | CompletedTurn]) -> float | None:
        """Compute the cost of replies; return None without a price table, or if a price is missing."""
        cost = None if self.prices is None else self.prices.cost(replies)
        return cost if cost is None or not self.batch or self.prices is None else cost * self.prices.batch

    def load(self) -> Engine:
        """Return the engine; equal backbones share one until another backbone is loaded. Does not contact the server.

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
    from legalrr.backbones.openai.batches import BatchEngine
    from legalrr.backbones.openai.engine import OpenAIEngine
    from legalrr.backbones.openai.replies import Server
    from legalrr.backbones.openai.requests import Requests

    arguments = backbone.chat_template_kwargs
    tokens = open_tokens(
        backbone.tokenizer,
        backbone.tokenizer_revision,
        option=OPTION,
        arguments=arguments,
        seconds=backbone.chat_template_seconds,
    )
    if backbone.thinking is not None:
        assert isinstance(tokens, TokenizerTokens)
        tokens = tokens.with_thinking("off" if backbone.thinking == "off" else "on", backbone.thinking_tokens)
        arguments = dict(tokens.template.arguments) or None
    given = {
        **backbone._sampling(),
        "reasoning_effort": backbone.reasoning_effort,
        "seed": backbone.seed,
        "chat_template_kwargs": arguments,
    }
    if backbone.thinking == "budget":
        given[backbone.thought_cap] = backbone.thinking_tokens
    servers = [
        Server(
            model=backbone.model,
            reply_model=backbone.reply_model or backbone.model,
            base_url=url,
            key=backbone.key,
            api_key_env=backbone.api_key_env,
            timeout=backbone.timeout,
            retries=backbone.retries,
            reply_megabytes=backbone.reply_megabytes,
        )
        for url in backbone.urls
    ]
    requests = Requests(
        model=backbone.model,
        tokens=tokens,
        # Thoughts are dropped from later turns, so room for one is enough.
        context=backbone.context - backbone.thinking_tokens,
        thinking_tokens=backbone.thinking_tokens,
        parameters={name: value for name, value in given.items() if value is not None},
        echoes=backbone.logprobs == "echo",
        structured=backbone.structured,
        cap=backbone.cap,
    )
    if backbone.batch:
        return BatchEngine(server=servers[0], requests=requests, most=backbone.batch_requests)
    return OpenAIEngine(servers=servers, requests=requests, concurrency=backbone.concurrency)
