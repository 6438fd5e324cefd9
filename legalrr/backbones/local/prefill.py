"""Tokenize prompts, and prefill them in chunks from the longest cached prefix.

A call as a model reads it: as tokens, under the chat template of its tokenizer, with room for its images.

Putting prompts through a model: in chunks, from the longest beginning that is held.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from transformers import DynamicCache, PreTrainedModel

from legalrr.backbones.local.cache import continued, snapshot, state_of
from legalrr.backbones.local.page_images import Inputs, Picture, Vision, positions, whole
from legalrr.backbones.local.prefix_cache import Prefixes, State, common
from legalrr.errors import UserError
from legalrr.protocols import Call

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True, kw_only=True)
class TokenizedPrompt:
    """A call as the model reads it."""

    call: Call
    """What was asked."""
    ids: list[int]
    """Tokens of the conversation under the chat template, up to where the answer starts; negative numbers in the places
    of images."""
    answers: Mapping[str, list[int]]
    """Tokens of each answer to compare."""
    choices: tuple[list[int], ...] = ()
    """Tokens of each choice, one of which is to be written; empty: any text."""
    new: int
    """Tokens that may follow: `max_new_tokens` and those of the thought before, or the longest answer."""
    branches: tuple[int, ...] = ()
    """Lengths at which calls that are read later part from this one."""
    pictures: tuple[Picture, ...] = ()
    """The images, in order."""


def tokenize_call(
    call: Call,
    tokenizer: "PreTrainedTokenizerBase",
    *,
    thinking_tokens: int,
    option: str,
    vision: Vision | None = None,
) -> TokenizedPrompt:
    """Apply the chat template once.

    Args:
        call: what is asked.
        tokenizer: of the model.
        thinking_tokens: tokens that may be written before the answer.
        option: config path of the backbone, for messages.
        vision: how the model sees pages; None: it does not.

    Raises:
        UserError: the chat template refuses the conversation or its images, or a page cannot be drawn.
    """
    from jinja2 import TemplateError

    if call.pages and vision is None:
        raise UserError("this model reads no images", where=f"{option}.model", cure="set corpus.input=text")
    try:
        ids = tokenizer.apply_chat_template(
            [dict(message) for message in call.messages],
            tokenize=True,
            add_generation_prompt=True,
            return_dict=False,
            tokenizer_kwargs={"verbose": False},
        )
    except (TemplateError, TypeError) as error:
        # A template that knows no parts of a message adds a list to a text.
        roles = ", ".join(message["role"] for message in call.messages)
        raise UserError(
            f"the chat template refuses this conversation ({roles}): {error}",
            where=f"{option}.model",
            cure="choose prompts without what it refuses, or another model",
        ) from error
    ids, pictures = (ids, ()) if vision is None or not call.pages else vision.placed(ids, call.pages)
    answers = {answer: tokenizer(answer, add_special_tokens=False)["input_ids"] for answer in call.answers}
    new = max(map(len, answers.values())) if answers else call.max_new_tokens + thinking_tokens
    choices = tuple(tokenizer(choice, add_special_tokens=False)["input_ids"] for choice in call.choices)
    return TokenizedPrompt(call=call, ids=ids, answers=answers, choices=choices, new=new, pictures=pictures)


@dataclass(frozen=True, kw_only=True)
class PrefillResult:
    """What reading a conversation gave."""

    state: State
    """What is remembered of it."""
    cache: DynamicCache
    """The model's own memory, which goes on where the conversation ends."""
    logits: Tensor | None
    """Scores after its last token, float32 of shape (vocabulary,); None where nothing had to be read."""
    cached: int
    """Tokens that were held already."""
    after: int
    """Position of the token that would come next: their number, but for images."""


def prefill_tokens(
    model: PreTrainedModel,
    ids: Sequence[int],
    held: State | None = None,
    *,
    chunk: int,
    branches: Sequence[int] = (),
    room: int = 0,
    pictures: Sequence[Picture] = (),
) -> PrefillResult:
    """Read one conversation, from where `held` ends.

    Args:
        model: a causal language model whose layers do not forget (`legalrr.backbones.local.cache.uncontinued`).
        ids: token ids of the conversation, negative in the places of images.
        held: the state of some of their first tokens.
        chunk: tokens that are read in one forward, which bounds the memory of the layers in between; a single image
            that has more is read in one all the same.
        branches: lengths at which other conversations part from this one, where recurrent layers are copied.
        room: tokens to make room for in the cache, `ids` included.
        pictures: the images of the conversation, each of which is held whole or not at all.
    """
    start = 0 if held is None else len(held.ids)
    cache = continued(model.config, held, room=max(room, len(ids)))
    given = Inputs(model, ids, pictures)
    stops = {len(ids)}
    at = start
    while (at := whole(at + chunk, at, pictures)) < len(ids):
        stops.add(at)
    copied = {len(ids), *branches} if uncuttable(cache) else {len(ids)}
    snapshots = () if held is None else held.snapshots
    logits = None
    for begin, end in pairwise([start, *sorted(stop for stop in stops | copied if start < stop <= len(ids))]):
        # Without a 2-D mask and without a past, attention goes by is_causal: no mask is made.
        output = model(past_key_values=cache, use_cache=True, logits_to_keep=1, **given(begin, end))
        logits = output.logits[0, -1].float()
        if end in copied:
            snapshots += snapshot(cache, end)
    return PrefillResult(
        state=state_of(cache, ids, snapshots), cache=cache, logits=logits, cached=start, after=given.after
    )


def follow(model: PreTrainedModel, reading: PrefillResult, answers: Sequence[Sequence[int]]) -> list[float]:
    """Log-probability (natural logarithm) of each answer after a prompt.

    Args:
        model: the model that read the prompt.
        reading: what came of it, with logits.
        answers: token ids of each answer, at least one.
    """
    assert reading.logits is not None
    first = reading.logits.log_softmax(-1)
    sums = [first[answer[0]].item() for answer in answers]
    longer = [row for row, answer in enumerate(answers) if len(answer) > 1]
    if longer:
        # What pads an answer on the right comes after all that is looked at.
        inputs = pad_sequence([torch.tensor(answers[row][:-1]) for row in longer], batch_first=True).to(model.device)
        output = model(
            input_ids=inputs,
            past_key_values=continued(model.config, reading.state, copies=len(longer)),
            use_cache=True,
            **positions(model, reading.after, reading.after + inputs.shape[1]),
        )
        for logprobs, row in zip(output.logits.float().log_softmax(-1), longer, strict=True):
            sums[row] += sum(logprobs[place, token].item() for place, token in enumerate(answers[row][1:]))
    return sums


def compare_answers(
    model: PreTrainedModel, ids: Sequence[int], answers: Sequence[Sequence[int]], pictures: Sequence[Picture] = ()
) -> list[float]:
    """As `follow`, the slow and obvious way: the prompt of tokens `ids` and an answer are read anew for each."""
    sums = []
    for answer in answers:
        together = [*ids, *answer]
        inputs = Inputs(model, together, pictures)(0, len(together))
        output = model(use_cache=False, logits_to_keep=len(answer) + 1, **inputs)
        logprobs = output.logits[0, :-1].float().log_softmax(-1)
        sums.append(logprobs.gather(1, inputs["input_ids"][0, len(ids) :, None]).sum().item())
    return sums


def uncuttable(cache: DynamicCache) -> bool:
    """Whether some layer of a cache is recurrent."""
    return any(hasattr(layer, "recurrent_states") for layer in cache.layers)


class PrefixReader:
    """Reads prompts one by one, each from the longest beginning that is held or that the one before had.

    Args:
        prefixes: what is held.
        chunk: see `prefill_tokens`.
        worthwhile: share of a prompt that must be held for its state to be used.
    """

    def __init__(self, prefixes: Prefixes, *, chunk: int, worthwhile: float) -> None:
        self._prefixes = prefixes
        self._chunk = chunk
        self._worthwhile = worthwhile
        self._last: State | None = None

    def read(
        self,
        model: PreTrainedModel,
        ids: list[int],
        *,
        branches: Sequence[int],
        room: int = 0,
        anew: int = 0,
        pictures: Sequence[Picture] = (),
    ) -> PrefillResult:
        """Prefill a prompt (see `prefill_tokens`); the last `anew` tokens are computed even if they are cached."""
        held = self._longest(ids[: len(ids) - anew])
        # The one before is let go before there is another one.
        self._last = None
        reading = prefill_tokens(model, ids, held, chunk=self._chunk, branches=branches, room=room, pictures=pictures)
        self._last = reading.state
        return reading

    def rest(self) -> None:
        """Let go of the prompt that was read last."""
        self._last = None

    def _longest(self, ids: list[int]) -> State | None:
        held = self._prefixes.longest(ids)
        if self._last is not None:
            reached = self._last.reach(common(self._last.ids, np.asarray(ids, dtype=np.int64)))
            if reached > (0 if held is None else len(held.ids)):
                held = self._last.first(reached)
        return None if held is None or len(held.ids) < self._worthwhile * len(ids) else held
