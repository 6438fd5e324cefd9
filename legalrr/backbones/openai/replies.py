"""Check what replies of a server state, and convert its errors to `UserError` without showing the key."""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass

import httpx2
from openai import (
    APIConnectionError,
    APIError,
    APIStatusError,
    AuthenticationError,
    InternalServerError,
    NotFoundError,
    RateLimitError,
)

from legalrr.errors import UserError
from legalrr.protocols import Call

MAX_CHARACTERS = 300
"""Maximum length of a server's message in an error."""
MAX_DEPTH = 6
"""Maximum depth of a server's message in the JSON of an error."""
LENGTH_STATUSES = (400, 413, 422, 500)
"""Statuses with which servers refuse a conversation for its length."""
_EXCESS = (
    r"(?:exceed\w*|overflow\w*|too (?:long|large|big|many)|(?:longer|larger|greater|more|bigger|less|fewer) than"
    r"|at most|max(?:imum)?\b|\bonly\b|not enough|<=|reduce|shorter|should be|must be)"
)
_CONTEXT = r"\b(?:context|sequence|max_model_len|max_seq_len|session_len|max_position_embeddings|max_input_tokens)\b"
_PROMPT = r"\b(?:prompt|inputs?|messages?|conversation|request\w*)\b"
_SIZE = r"\b(?:tokens?|length|long|context|size|window|limit|max_\w+|overflow\w*|requested model)\b"
LENGTH = re.compile(
    rf"^(?=.*{_CONTEXT})(?=.*{_SIZE})(?=.*{_EXCESS})"
    rf"|^(?=.*{_PROMPT})(?=.*\b(?:tokens?|length|long)\b)(?=.*{_EXCESS})"
    r"|\btoo many (?:input |prompt )?tokens\b|\btoken limit\b",
    re.IGNORECASE | re.DOTALL,
)
"""Words of servers that refuse a conversation for its length: what is too long, and that it is too long."""
NOT_LENGTH = re.compile(
    r"\bper (?:second|minute|min|hour|day)\b|\b[TR]P[MD]\b|rate.?limit|quota|credit|billing|balance"
    r"|\bbytes\b|\bmemory\b|[MK]i?B\b|supports at most \d+ completion tokens",
    re.IGNORECASE,
)
"""Words about other limits: those of an account, of memory, of the bytes of a request, and of an answer."""
ROLE = re.compile(
    r"\b(?:system|developer)\b.{0,40}\b(?:role|message|prompt|instruction)s?\b.{0,60}\b(?:not|only|unsupported|invalid)\b"
    r"|\brole\W.{0,40}\b(?:system|developer)\b|\b(?:not|only|unsupported|invalid)\b.{0,60}\b(?:system|developer)\b.{0,20}\b(?:role|message|instruction)"
    r"|roles must alternate|only (?:user and assistant|user, assistant) roles",
    re.IGNORECASE | re.DOTALL,
)
"""Words of servers whose chat template has no system role."""
FILTER_STATUSES = (400, 403, 422)
FILTER = re.compile(
    r"content[ _-](?:management|filter\w*|policy|moderation)|\bmoderation\b|usage polic|responsible ai"
    r"|safety (?:system|filter)|(?:inappropriate|prohibited|sensitive|unsafe|harmful) content|data_inspection_failed",
    re.IGNORECASE,
)
"""Words of servers whose content filter refuses a conversation."""
CALL_STATUSES = (400, 413, 422)
"""Statuses with which servers refuse a single conversation."""
LIMIT = re.compile(r"too large|at most|less than|greater than|maximum|exceed", re.IGNORECASE)
CAP_NAMES = ("max_completion_tokens", "max_tokens")
CURES: Mapping[str, str] = {
    "max_completion_tokens": "backbone.cap=max_tokens",
    "max_tokens": "backbone.cap=max_completion_tokens",
    "temperature": "backbone.temperature=null",
    "top_p": "backbone.decoding=null",
    "top_k": "backbone.card.top_k=0",
    "presence_penalty": "backbone.decoding=null",
    "reasoning_effort": "backbone.reasoning_effort=null",
    "seed": "backbone.seed=null",
    "chat_template_kwargs": "backbone.chat_template_kwargs=null",
    "response_format": "predict.scoring=generate",
    "structured_outputs": "predict.scoring=generate",
}
"""Parameter of a request -> option for servers that refuse it."""
REVISION = re.compile(r"(?:[-@:](?:latest|main|\d{4,8}(?:-\d{2}){0,2}|[0-9a-f]{7,40}))$")
"""Date or revision at the end of a model's name."""
TOO_LONG = "legalrr_too_long"
"""Extension of a response with a body beyond the limit, which was not read."""
RESUME = "replies so far are stored: run the same command to resume"

UNREACHABLE = f"check that the server runs, or raise backbone.timeout; {RESUME}"


@dataclass(frozen=True, kw_only=True)
class Server:
    """Address, model and credentials of a server."""

    model: str
    """Name of the model."""
    reply_model: str
    """Name of the model in replies."""
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
    reply_megabytes: int
    """Maximum size of a reply."""


@dataclass(frozen=True, kw_only=True)
class Counts:
    """Token counts of a reply."""

    prompt: int
    """Prompt tokens of the request."""
    cached: int
    """Of these, tokens found in the server's prefix cache."""
    new: int
    """Generated tokens, including thoughts."""


def read_counts(usage: object, *, text: str, where: str) -> Counts:
    """Read the token counts of a reply.

    Args:
        usage: the field `usage` of the reply.
        text: the answer.
        where: the call, for messages.

    Raises:
        UserError: there are no counts, or they are impossible.
    """
    prompt, new = getattr(usage, "prompt_tokens", None), getattr(usage, "completion_tokens", None)
    details = getattr(usage, "prompt_tokens_details", None)
    cached = getattr(details, "cached_tokens", None) or 0
    if prompt is None or new is None:
        raise UserError(
            "the server's reply has no token counts (usage)",
            where=where,
            cure="they show whether the whole prompt was read: switch them on at the server, or use another one, "
            "such as vllm serve or llama-server",
        )
    counts = f"prompt_tokens={prompt!r}, of these cached {cached!r}, and completion_tokens={new!r}"
    cure = "update the server, or use another one, such as vllm serve or llama-server"
    if any(not isinstance(count, int) or count < 0 for count in (prompt, new, cached)) or cached > prompt:
        raise UserError(f"the server reports impossible token counts: {counts}", where=where, cure=cure)
    if not prompt or (text and not new):
        raise UserError(
            f"the server reports a token count of 0: {counts}, for an answer of {len(text)} characters",
            where=where,
            cure=cure,
        )
    return Counts(prompt=prompt, cached=cached, new=new)


def require_whole_prompt(counts: Counts, least: int, *, context: int, where: str) -> None:
    """Raise UserError if the server read fewer tokens than the prompt has.

    Args:
        counts: the server's counts.
        least: lower bound of the tokens that were sent.
        context: the context that the server should have.
        where: the call, for messages.
    """
    if counts.prompt < least:
        raise UserError(
            f"the server read {counts.prompt} prompt tokens, but at least {least} were sent: it cuts prompts",
            where=where,
            cure=f"give the server a context of {context} tokens (Ollama: OLLAMA_CONTEXT_LENGTH={context}; "
            f"llama-server: -c {context} without context shift; LM Studio: Context Length), or set backbone.context "
            "to that of the server",
        )


def require_model(answered: object, server: Server, *, where: str) -> None:
    """Raise UserError if another model answered than the one in the request.

    The owner or folder, the revision and the date of a name may be missing on either side. A reply without a name is
    accepted.
    """
    if not isinstance(answered, str) or not answered.strip() or _same_model(answered, server.reply_model):
        return
    raise UserError(
        f"the server answered with the model {redact(answered, server)}, the request named {server.reply_model}",
        where=where,
        cure=f"load {server.model} at the server, or set backbone.model to one of {server.base_url}/models; "
        "if both names mean the same model, set backbone.reply_model to the name in the reply",
    )


def _same_model(one: str, other: str) -> bool:
    names = [REVISION.sub("", name.strip().lower()).replace("\\", "/").strip("/").split("/") for name in (one, other)]
    shorter, longer = sorted(names, key=len)
    # Two different revisions are two models.
    found = [match[0] for name in (one, other) if (match := REVISION.search(name.strip().lower()))]
    return longer[-len(shorter) :] == shorter and len(set(found)) < 2


def server_words(response: httpx2.Response) -> str:
    """Return the sentence in the body of an error: the message of its JSON, or the text."""
    try:
        found: object = json.loads(response.content)
    except ValueError:
        return response.text
    for _ in range(MAX_DEPTH):
        if isinstance(found, list) and found:
            found = found[0]
        elif isinstance(found, dict):
            named = [found[name] for name in ("error", "message", "detail", "msg", "error_message") if found.get(name)]
            if not named:
                break
            found = named[0]
    return found if isinstance(found, str) else response.text


def is_filtered(error: APIError) -> bool:
    """Whether a content filter refused a conversation: by its error code or in its words."""
    if not isinstance(error, APIStatusError) or error.status_code not in FILTER_STATUSES:
        return False
    return "content_filter" in (error.code, error.type) or FILTER.search(server_words(error.response)) is not None


def exceeds_context(error: APIError) -> bool:
    """Whether the server refused a conversation for its length: by its error code or in its words."""
    if not isinstance(error, APIStatusError) or error.status_code not in LENGTH_STATUSES:
        return False
    words = server_words(error.response)
    return (
        error.code == "context_length_exceeded"
        or error.type == "exceed_context_size_error"
        or error.param == "input_tokens"
        or (LENGTH.search(words) is not None and NOT_LENGTH.search(words) is None)
    )


def may_concern_call(error: APIError, sent: Iterable[str]) -> bool:
    """Whether a server may refuse this conversation alone: by its status, and without naming a parameter or role."""
    return (
        isinstance(error, APIStatusError)
        and error.status_code in CALL_STATUSES
        and TOO_LONG not in error.response.extensions
        and not _parameter_cure(server_words(error.response), sent)
    )


def no_answer(cause: BaseException, server: Server, *, retries: int) -> str:
    """Return the message for a request without any answer."""
    message = redact(f"{type(cause).__name__} {cause}", server)
    return f"no answer from {server.base_url}, with up to {retries} retries: {message}"


def user_error(error: APIError, call: Call, server: Server, sent: Iterable[str] = ()) -> UserError:
    """Convert an error of the client, naming call, option and cure.

    Args:
        error: the error.
        call: the call.
        server: the server.
        sent: names of the parameters of the request.

    Raise it `from None`: the server's message may contain the key, and the log shows the cause of an error.
    """
    where, url = f"call {call.key}", server.base_url
    tried = f"with up to {server.retries} retries"
    if isinstance(error, APIConnectionError):
        cause = error.__cause__ or error
        return UserError(no_answer(cause, server, retries=server.retries), where=where, cure=UNREACHABLE)
    if isinstance(error, AuthenticationError):
        # Omit the message: OpenAI's shows both ends of the key.
        credentials = f"the key in {server.api_key_env}" if server.api_key_env else "requests without a key"
        return UserError(
            f"{url} refuses {credentials} (401)",
            where=where,
            cure=f"check the environment variable in backbone.api_key_env; {RESUME}",
        )
    if isinstance(error, APIStatusError) and TOO_LONG in error.response.extensions:
        return UserError(
            f"a reply of {url} has more than {server.reply_megabytes} MB",
            where=where,
            cure="check the server, or raise backbone.reply_megabytes",
        )
    words = server_words(error.response) if isinstance(error, APIStatusError) else ""
    message = redact(words.strip() or error.message, server)
    if isinstance(error, NotFoundError):
        return UserError(
            f"{url} does not find the model {server.model}: {message}",
            where=where,
            cure="check backbone.model, and backbone.base_url, which usually ends in /v1",
        )
    cure = _parameter_cure(words, sent)
    if isinstance(error, RateLimitError | InternalServerError) and not cure:
        wait = error.response.headers.get("retry-after")
        advice = f", and asks to wait {wait} s" if wait else ""
        return UserError(
            f"{url} does not answer, {tried}{advice}: {message}",
            where=where,
            cure=f"wait, or lower backbone.concurrency; {RESUME}",
        )
    status = f" ({error.status_code})" if isinstance(error, APIStatusError) else ""
    return UserError(f"{url} refuses the request{status}: {message}", where=where, cure=cure)


def _parameter_cure(words: str, sent: Iterable[str]) -> str:
    """Return the option that changes what a server refuses; "" if its words name none."""
    if ROLE.search(words):
        return "set annotate.system=first_user: the first user message then starts with the system message"
    for name in sent:
        if name in CURES and re.search(rf"(?<![a-z_]){name}(?![a-z_])", words):
            limited = name in CAP_NAMES and LIMIT.search(words)
            return "lower annotate.tokens or backbone.thinking_tokens" if limited else f"set {CURES[name]}"
    return ""


def redact(message: str, server: Server) -> str:
    """Remove the key from a server's message, and shorten it."""
    key = server.key()
    return textwrap.shorten(message if key is None else message.replace(key, "<key>"), MAX_CHARACTERS)
