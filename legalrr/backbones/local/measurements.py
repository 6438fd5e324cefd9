"""Measure a model: perplexity, recall of planted facts, and cost by length.

Perplexity is exp of the mean negative log-probability of every token except the first of a window. Recall is the share
of planted facts whose code is more probable than other codes. The code is compared as a continuation of the sentence
in which it was planted, so that models too small to answer questions can be measured.
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

from legalrr.backbones.local.cache import cache_tensors
from legalrr.backbones.local.page_images import position_arguments
from legalrr.backbones.local.prefill import PrefillResult, answer_logprobs, prefill_tokens

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedModel


SLICE = 512
"""Number of tokens per block of logits."""
T = TypeVar("T")
PLANTED = "\nThe record of this matter is kept in the registry under the number {code}.\n"
QUESTION = "\nThe record of this matter is kept in the registry under the number"
CHOICES = 4
"""Number of compared codes: chance recall is one divided by it."""
LEAD = 32
"""Tokens of text before the planted sentence."""


def perplexity(model: PreTrainedModel, windows: Sequence[Sequence[int]]) -> float:
    """Compute the perplexity of a causal language model.

    Args:
        model: the model.
        windows: token ids, each read separately from its first token; at least one has two tokens.
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
    """Compute the last hidden states, [B, T, hidden], for tokens and positions [B, T], without a cache."""
    return model.base_model(input_ids=ids, position_ids=positions, use_cache=False).last_hidden_state


@dataclass(frozen=True, kw_only=True)
class Cost:
    """Cost of one length."""

    tokens: int
    """Length of the prompt."""
    prefill: float
    """Seconds of the prefill; median."""
    decode: float
    """Seconds per generated token; median over tokens and repetitions."""
    state: int
    """Bytes of the cache after the prompt."""


def measure_cost(model: PreTrainedModel, ids: Sequence[int], *, written: int, repeats: int, chunk: int) -> Cost:
    """Measure time and memory of a model on a text.

    Args:
        model: the model.
        ids: token ids of the text.
        written: tokens to generate greedily after it, at least one.
        repeats: number of repetitions.
        chunk: tokens per forward pass of the prefill.
    """
    prefill, decode = [], []
    for _ in range(repeats):
        prefilled, seconds = _timed(model, partial(prefill_tokens, model, ids, chunk=chunk, room=len(ids) + written))
        prefill.append(seconds)
        state = sum(tensor.nbytes for tensor in cache_tensors(prefilled.cache))
        decode += _time_decoding(model, prefilled, len(ids), written)
    return Cost(tokens=len(ids), prefill=statistics.median(prefill), decode=statistics.median(decode), state=state)


def _time_decoding(model: PreTrainedModel, prefilled: PrefillResult, length: int, written: int) -> list[float]:
    """Measure the seconds of each token generated after a prompt of `length` tokens."""
    assert prefilled.logits is not None
    logits, times = prefilled.logits, []
    for place in range(length, length + written):
        token = logits.argmax()[None, None]
        inputs = {"input_ids": token, "past_key_values": prefilled.cache, "use_cache": True}
        output, seconds = _timed(model, partial(model, **inputs, **position_arguments(model, place, place + 1)))
        logits = output.logits[0, -1]
        times.append(seconds)
    return times


def _timed(model: PreTrainedModel, run: Callable[[], T]) -> tuple[T, float]:
    """Call a function; return its result, and the seconds until the device has finished."""
    _synchronize(model)
    started = time.perf_counter()
    result = run()
    _synchronize(model)
    return result, time.perf_counter() - started


def _synchronize(model: PreTrainedModel) -> None:
    if model.device.type == "cuda":
        torch.cuda.synchronize(model.device)


@dataclass(frozen=True, kw_only=True)
class Fact:
    """A planted fact and its question."""

    prompt: list[int]
    """Token ids, up to the code in question."""
    codes: list[list[int]]
    """Token ids of each code as a continuation; the first is correct."""


def plant_fact(
    text: Sequence[int], tokenise: Callable[[str], list[int]], *, distance: int, draw: random.Random
) -> Fact:
    """Plant a fact at a distance from its question.

    Args:
        text: token ids of the surrounding text, at least `LEAD` + `distance`.
        tokenise: text -> token ids.
        distance: tokens between the planted sentence and the question.
        draw: random source of the stretch of text, and of codes of four digits.

    Raises:
        ValueError: the text is too short.
    """
    needed = LEAD + distance
    if len(text) < needed:
        raise ValueError(f"the text has {len(text)} tokens, {needed} are needed")
    start = draw.randrange(len(text) - needed + 1)
    codes = [str(code) for code in draw.sample(range(1000, 10000), CHOICES)]
    prompt = [
        *text[start : start + LEAD],
        *tokenise(PLANTED.format(code=codes[0])),
        *text[start + LEAD : start + needed],
        *tokenise(QUESTION),
    ]
    return Fact(prompt=prompt, codes=[tokenise(f" {code}") for code in codes])


def fact_overhead(tokenise: Callable[[str], list[int]]) -> int:
    """Return the number of tokens of planted fact, question and code, in addition to the distance."""
    return LEAD + len(tokenise(PLANTED.format(code=1000))) + len(tokenise(QUESTION)) + len(tokenise(" 1000"))


def recalls_fact(model: PreTrainedModel, fact: Fact, *, chunk: int) -> bool:
    """Whether the correct code has the greatest log-probability; `chunk`: tokens per forward pass."""
    prefilled = prefill_tokens(model, fact.prompt, chunk=chunk)
    logprobs = answer_logprobs(model, prefilled, fact.codes)
    return logprobs[0] > max(logprobs[1:])
