"""Tokenize calls, and prefill prompts in chunks from the longest cached prefix."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from transformers import DynamicCache, PreTrainedModel

from legalrr.backbones.chat_template import ChatTemplate
from legalrr.backbones.local.cache import StateCache, cache_from_state, extract_state, require_prefixes_read, snapshot
from legalrr.backbones.local.page_images import Inputs, Picture, Vision, avoid_cutting_image, position_arguments
from legalrr.backbones.local.prefix_cache import PrefixCache, State, common_prefix_length
from legalrr.errors import UserError
from legalrr.protocols import Abilities, Call, Reply
from legalrr.records import FinishReason


@dataclass(frozen=True, kw_only=True)
class TokenizedPrompt:
    """A call, tokenized with the chat template."""

    call: Call
    """The call."""
    ids: list[int]
    """Token ids of the conversation, up to the start of the answer; negative in the positions of images."""
    answers: Mapping[str, list[int]]
    """Token ids of each answer to compare."""
    choices: tuple[list[int], ...] = ()
    """Token ids of each choice that the answer is restricted to; empty: any text."""
    new: int
    """Maximum number of tokens after the prompt: `max_new_tokens` plus a thought, or the longest answer."""
    branches: tuple[int, ...] = ()
    """Lengths at which later prompts diverge from this one."""
    uncached: int = 0
    """Number of its tokens that are neither in the prefix cache nor shared with the prompt before it."""
    pictures: tuple[Picture, ...] = ()
    """The images, in order."""

    def reply(
        self,
        finish_reason: FinishReason,
        *,
        text: str = "",
        cached_tokens: int = 0,
        new_tokens: int = 0,
        seconds: float = 0.0,
        logprobs: Mapping[str, float] | None = None,
    ) -> Reply:
        """Build the reply to the call."""
        return Reply(
            text=text,
            finish_reason=finish_reason,
            prompt_tokens=len(self.ids),
            cached_tokens=cached_tokens,
            new_tokens=new_tokens,
            seconds=seconds,
            logprobs=logprobs,
        )


def tokenize_call(
    call: Call,
    template: ChatTemplate,
    *,
    thinking_tokens: int,
    option: str,
    vision: Vision | None = None,
) -> TokenizedPrompt:
    """Apply the chat template to a call, and tokenize its answers and choices.

    Args:
        call: the call.
        template: chat template of the model, with its tokenizer.
        thinking_tokens: tokens allowed before the answer.
        option: config path of the backbone, for messages.
        vision: image handling of the model; None: text only.

    Raises:
        UserError: the chat template rejects the conversation or its images, or a page cannot be rendered.
    """
    if call.pages and vision is None:
        raise UserError("this model reads no images", where=f"{option}.model", cure="set corpus.input=text")
    ids, tokenizer = template.tokenize(call.messages), template.tokenizer
    ids, pictures = (ids, ()) if vision is None or not call.pages else vision.expand_image_tokens(ids, call.pages)
    answers = {answer: tokenizer(answer, add_special_tokens=False)["input_ids"] for answer in call.answers}
    new = max(map(len, answers.values())) if answers else call.max_new_tokens + thinking_tokens
    choices = tuple(tokenizer(choice, add_special_tokens=False)["input_ids"] for choice in call.choices)
    return TokenizedPrompt(call=call, ids=ids, answers=answers, choices=choices, new=new, pictures=pictures)


def tokenize_calls(
    calls: Sequence[Call],
    template: ChatTemplate,
    *,
    thinking_tokens: int,
    context: int,
    can: Abilities,
    option: str,
    vision: Vision | None = None,
) -> tuple[list[TokenizedPrompt], list[tuple[str, Reply]]]:
    """Check calls and tokenize them; return the prompts to answer, and replies to calls that exceed the context.

    Args:
        calls: the calls.
        template: chat template of the model, with its tokenizer.
        thinking_tokens: tokens allowed before an answer.
        context: maximum number of tokens of prompt, thought and answer.
        can: features of the engine.
        option: config path of the backbone, for messages.
        vision: image handling of the model; None: text only.

    Raises:
        UserError: the engine cannot answer such a call, or as `tokenize_call`.
        ValueError: a call leaves no room for an answer.
    """
    prompts, overflows = [], []
    for call in calls:
        _check_call(call, can, option)
        prompt = tokenize_call(call, template, thinking_tokens=thinking_tokens, option=option, vision=vision)
        if len(prompt.ids) + prompt.new > context:
            overflows.append((call.key, prompt.reply("overflow")))
        else:
            prompts.append(prompt)
    return prompts, overflows


def _check_call(call: Call, can: Abilities, option: str) -> None:
    if not call.answers and call.max_new_tokens < 1:
        raise ValueError(f"call {call.key} leaves no room for an answer: max_new_tokens={call.max_new_tokens}")
    limitation = None
    if call.answers and not can.logprobs:
        limitation = "has no log-probabilities of an immediate answer"
    elif call.choices and not can.structured:
        limitation = "cannot be restricted to given answers"
    if limitation is not None:
        raise UserError(
            f"a model that thinks before it answers {limitation}",
            where=f"{option}.thinking_tokens",
            cure="let it write its answers (predict.scoring=generate)",
        )


@dataclass(frozen=True, kw_only=True)
class PrefillResult:
    """State and logits after the prefill of a conversation."""

    state: State
    """The state, to be stored in the prefix cache."""
    cache: StateCache
    """The transformers cache, to continue decoding with."""
    logits: Tensor | None
    """Logits after the last token, float32 of shape (vocabulary,); None if no token had to be computed."""
    cached: int
    """Number of tokens taken from the prefix cache."""
    after: int
    """Position of the next token: the number of tokens, except with images."""


def prefill_tokens(
    model: PreTrainedModel,
    ids: Sequence[int],
    prefix: State | None = None,
    *,
    chunk: int,
    branches: Sequence[int] = (),
    room: int = 0,
    pictures: Sequence[Picture] = (),
    option: str = "backbone",
) -> PrefillResult:
    """Prefill one conversation, from the end of a cached prefix.

    Args:
        model: a causal language model without `legalrr.backbones.local.cache.unsupported_layers`.
        ids: token ids of the conversation, negative in the positions of images.
        prefix: state of a prefix of `ids`.
        chunk: tokens per forward pass, which limits the memory of activations; a larger image is still computed in one.
        branches: lengths at which other conversations diverge from this one; recurrent layers are copied there.
        room: capacity of the cache in tokens, including `ids`.
        pictures: images of the conversation; each is cached as a whole or not at all.
        option: config path of the backbone, for messages.

    Raises:
        UserError: the architecture cannot continue from a prefix with this attention function.
    """
    start = 0 if prefix is None else len(prefix.ids)
    cache = cache_from_state(model.config, prefix, room=max(room, len(ids)))
    given = Inputs(model, ids, pictures)
    stops = {len(ids)}
    at = start
    while (at := avoid_cutting_image(at + chunk, at, pictures)) < len(ids):
        stops.add(at)
    copied = {len(ids), *branches} if has_recurrent_layers(cache) else {len(ids)}
    snapshots = () if prefix is None else prefix.snapshots
    logits = None
    for begin, end in pairwise([start, *sorted(stop for stop in stops | copied if start < stop <= len(ids))]):
        # Without a 2-D mask and a past, attention uses is_causal and needs no mask.
        output = model(past_key_values=cache, use_cache=True, logits_to_keep=1, **given(begin, end))
        logits = output.logits[0, -1].float()
        if end in copied:
            snapshots += snapshot(cache, end)
    if logits is not None:
        require_prefixes_read(cache, option)
    return PrefillResult(
        state=extract_state(cache, ids, snapshots),
        cache=cache,
        logits=logits,
        cached=start,
        after=given.after,
    )


def answer_logprobs(model: PreTrainedModel, prefilled: PrefillResult, answers: Sequence[Sequence[int]]) -> list[float]:
    """Compute the log-probability (natural logarithm) of each answer after a prompt.

    Args:
        model: the model that prefilled the prompt.
        prefilled: result of the prefill, with logits.
        answers: token ids of each answer, at least one.
    """
    assert prefilled.logits is not None
    first = prefilled.logits.log_softmax(-1)
    sums = [first[answer[0]].item() for answer in answers]
    longer = [row for row, answer in enumerate(answers) if len(answer) > 1]
    if longer:
        # Causal attention: right padding does not affect the tokens before it.
        inputs = pad_sequence([torch.tensor(answers[row][:-1]) for row in longer], batch_first=True).to(model.device)
        output = model(
            input_ids=inputs,
            past_key_values=cache_from_state(model.config, prefilled.state, copies=len(longer)),
            use_cache=True,
            **position_arguments(model, prefilled.after, prefilled.after + inputs.shape[1]),
        )
        for logprobs, row in zip(output.logits.float().log_softmax(-1), longer, strict=True):
            sums[row] += sum(logprobs[place, token].item() for place, token in enumerate(answers[row][1:]))
    return sums


def answer_logprobs_reference(
    model: PreTrainedModel, ids: Sequence[int], answers: Sequence[Sequence[int]], pictures: Sequence[Picture] = ()
) -> list[float]:
    """Compute the same as `answer_logprobs` without a cache: one forward pass over prompt and answer for each."""
    sums = []
    for answer in answers:
        sequence = [*ids, *answer]
        inputs = Inputs(model, sequence, pictures)(0, len(sequence))
        output = model(use_cache=False, logits_to_keep=len(answer) + 1, **inputs)
        logprobs = output.logits[0, :-1].float().log_softmax(-1)
        sums.append(logprobs.gather(1, inputs["input_ids"][0, len(ids) :, None]).sum().item())
    return sums


def has_recurrent_layers(cache: DynamicCache) -> bool:
    """Whether a cache has recurrent layers."""
    return any(hasattr(layer, "recurrent_states") for layer in cache.layers)


class Prefiller:
    """Prefill prompts one by one, each from its longest prefix in the cache or in the previous prompt.

    Args:
        prefixes: the prefix cache.
        chunk: see `prefill_tokens`.
        min_cached_share: minimum share of a prompt that must be cached for its state to be used.
    """

    def __init__(self, prefixes: PrefixCache, *, chunk: int, min_cached_share: float) -> None:
        self._prefixes = prefixes
        self._chunk = chunk
        self._min_cached_share = min_cached_share
        self._last: State | None = None

    def prefill(
        self,
        model: PreTrainedModel,
        ids: list[int],
        *,
        branches: Sequence[int],
        room: int = 0,
        recompute: int = 0,
        pictures: Sequence[Picture] = (),
    ) -> PrefillResult:
        """Prefill a prompt (see `prefill_tokens`); the last `recompute` tokens are computed even if they are cached."""
        prefix = self._longest_prefix(ids[: len(ids) - recompute])
        # Release the previous state before computing another one.
        self._last = None
        prefilled = prefill_tokens(
            model, ids, prefix, chunk=self._chunk, branches=branches, room=room, pictures=pictures
        )
        self._last = prefilled.state
        return prefilled

    def release(self) -> None:
        """Release the state of the previous prompt."""
        self._last = None

    def _longest_prefix(self, ids: list[int]) -> State | None:
        prefix = self._prefixes.longest_prefix(ids)
        if self._last is not None:
            reached = self._last.reusable_length(common_prefix_length(self._last.ids, np.asarray(ids, dtype=np.int64)))
            if reached > (0 if prefix is None else len(prefix.ids)):
                prefix = self._last.truncate(reached)
        return None if prefix is None or len(prefix.ids) < self._min_cached_share * len(ids) else prefix
