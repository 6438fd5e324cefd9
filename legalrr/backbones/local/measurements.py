"""Measure a model: perplexity of text, recall of a planted fact, and cost by length.

Perplexity on windows of text: exp of the mean negative log-probability of every token but the first of a window.

What reading and writing cost, by length: seconds, and memory of what is remembered.

Recall of a fact that is planted in a text: whether a model gives its code more probability than other codes.

The code is compared as a continuation of the same words under which it was planted, so that a model too small to answer
a question can be measured.
"""

from __future__ import annotations

import random
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from math import exp
from typing import TYPE_CHECKING, TypeVar

import torch
from torch.nn import functional

from legalrr.backbones.local.cache import tensors
from legalrr.backbones.local.page_images import positions
from legalrr.backbones.local.prefill import PrefillResult, follow, prefill_tokens

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedModel


SLICE = 512
"""Tokens whose logits are held at once."""


def perplexity(model: PreTrainedModel, windows: Sequence[Sequence[int]]) -> float:
    """Perplexity of a causal language model.

    Args:
        model: it.
        windows: token ids, each read by itself from its first token on; at least one has two tokens.
    """
    total, tokens = 0.0, 0
    with torch.inference_mode():
        for window in windows:
            ids = torch.tensor([window], device=model.device)
            hidden = hidden_states(model, ids, torch.arange(ids.shape[1], device=ids.device)[None])[0, :-1]
            for states, targets in zip(hidden.split(SLICE), ids[0, 1:].split(SLICE), strict=True):
                logits = model.get_output_embeddings()(states).float()
                total += functional.cross_entropy(logits, targets, reduction="sum").item()
            tokens += len(window) - 1
    return exp(total / tokens)


def hidden_states(model: PreTrainedModel, ids: Tensor, positions: Tensor) -> Tensor:
    """What the head of a language model is given, [B, T, hidden], for tokens and positions [B, T], without a cache."""
    return model.base_model(input_ids=ids, position_ids=positions, use_cache=False).last_hidden_state


T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Cost:
    """Of one length."""

    tokens: int
    """Length of the text that is read."""
    prefill: float
    """Seconds in which it is read; median."""
    decode: float
    """Seconds per token that is written after it; median over tokens and repetitions."""
    state: int
    """Bytes of what is remembered of it."""


def cost(model: PreTrainedModel, ids: Sequence[int], *, written: int, repeats: int, chunk: int) -> Cost:
    """Time a model on a text.

    Args:
        model: it.
        ids: tokens of the text.
        written: tokens to write after it, the most probable each time, at least one.
        repeats: how often all of it is done.
        chunk: tokens that are read at once.
    """
    prefill, decode = [], []
    for _ in range(repeats):
        reading, seconds = _timed(model, partial(prefill_tokens, model, ids, chunk=chunk, room=len(ids) + written))
        prefill.append(seconds)
        state = sum(tensor.nbytes for tensor in tensors(reading.cache))
        decode += _write(model, reading, len(ids), written)
    return Cost(tokens=len(ids), prefill=statistics.median(prefill), decode=statistics.median(decode), state=state)


def _write(model: PreTrainedModel, reading: PrefillResult, length: int, written: int) -> list[float]:
    """Seconds of each token that is written after `length` others."""
    assert reading.logits is not None
    logits, times = reading.logits, []
    for place in range(length, length + written):
        token = logits.argmax()[None, None]
        told = {"input_ids": token, "past_key_values": reading.cache, "use_cache": True}
        output, seconds = _timed(model, partial(model, **told, **positions(model, place, place + 1)))
        logits = output.logits[0, -1]
        times.append(seconds)
    return times


def _timed(model: PreTrainedModel, run: Callable[[], T]) -> tuple[T, float]:
    """What a function gives, and the seconds until the device is done with it."""
    _wait(model)
    started = time.perf_counter()
    found = run()
    _wait(model)
    return found, time.perf_counter() - started


def _wait(model: PreTrainedModel) -> None:
    if model.device.type == "cuda":
        torch.cuda.synchronize(model.device)


PLANTED = "\nThe record of this matter is kept in the registry under the number {code}.\n"
ASKED = "\nThe record of this matter is kept in the registry under the number"
CHOICES = 4
"""Codes that are compared: recall by chance is one of so many."""
LEAD = 32
"""Tokens of text before the planted sentence."""


@dataclass(frozen=True, kw_only=True)
class Fact:
    """A planted fact and what is asked of it."""

    prompt: list[int]
    """Tokens up to where the code is asked for."""
    codes: list[list[int]]
    """Tokens of each code as a continuation; the first is right."""


def plant(text: Sequence[int], tokenise: Callable[[str], list[int]], *, distance: int, draw: random.Random) -> Fact:
    """A fact so many tokens before the place where it is asked for.

    Args:
        text: tokens of running text to hide it in, at least `LEAD` + `distance` of them.
        tokenise: text -> token ids.
        distance: tokens between the planted sentence and the question.
        draw: draws the stretch of the text, and codes of four digits.

    Raises:
        ValueError: the text is too short.
    """
    needed = LEAD + distance
    if len(text) < needed:
        raise ValueError(f"{len(text)} tokens of text, and {needed} are needed")
    start = draw.randrange(len(text) - needed + 1)
    codes = [str(code) for code in draw.sample(range(1000, 10000), CHOICES)]
    prompt = [
        *text[start : start + LEAD],
        *tokenise(PLANTED.format(code=codes[0])),
        *text[start + LEAD : start + needed],
        *tokenise(ASKED),
    ]
    return Fact(prompt=prompt, codes=[tokenise(f" {code}") for code in codes])


def room(tokenise: Callable[[str], list[int]]) -> int:
    """Tokens that a planted fact, the question and a code take beside the distance."""
    return LEAD + len(tokenise(PLANTED.format(code=1000))) + len(tokenise(ASKED)) + len(tokenise(" 1000"))


def recalled(model: PreTrainedModel, fact: Fact, *, chunk: int) -> bool:
    """Whether the right code has the greatest log-probability of all; tokens are read `chunk` at once."""
    reading = prefill_tokens(model, fact.prompt, chunk=chunk)
    logprobs = follow(model, reading, fact.codes)
    return logprobs[0] > max(logprobs[1:])
