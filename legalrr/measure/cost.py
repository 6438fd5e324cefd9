"""What reading and writing cost, by length: seconds, and memory of what is remembered."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, TypeVar

import torch

from legalrr.backbones.caches import tensors
from legalrr.backbones.inputs import positions
from legalrr.backbones.reading import Reading, read

if TYPE_CHECKING:
    from transformers import PreTrainedModel


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
        reading, seconds = _timed(model, partial(read, model, ids, chunk=chunk, room=len(ids) + written))
        prefill.append(seconds)
        state = sum(tensor.nbytes for tensor in tensors(reading.cache))
        decode += _write(model, reading, len(ids), written)
    return Cost(tokens=len(ids), prefill=statistics.median(prefill), decode=statistics.median(decode), state=state)


def _write(model: PreTrainedModel, reading: Reading, length: int, written: int) -> list[float]:
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
