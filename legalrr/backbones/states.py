"""Key-value states: what a model remembers of tokens that it has read. Read, stack for a batch, take apart again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import DynamicCache, PreTrainedModel, StaticCache

CHUNK = 8192
"""Tokens read in one forward, which bounds the memory of the layers in between. Only the first chunk goes unmasked, as
torch's kernels like it, so it is large."""


@dataclass(frozen=True, kw_only=True, eq=False)
class State:
    """The keys and values of the first tokens of a conversation. The tensors are never written to again."""

    ids: np.ndarray
    """Token ids, int64 of shape (tokens,)."""
    keys: tuple[Tensor, ...]
    """Per layer, of shape (1, key-value heads, tokens, head size)."""
    values: tuple[Tensor, ...]
    """Per layer, of the same shape."""

    @property
    def nbytes(self) -> int:
        """Memory that keys and values take."""
        return sum(tensor.nbytes for tensor in (*self.keys, *self.values))

    def first(self, tokens: int) -> State:
        """The state as it was after `tokens` tokens, as a view."""
        return State(
            ids=self.ids[:tokens],
            keys=tuple(tensor[:, :, :tokens] for tensor in self.keys),
            values=tuple(tensor[:, :, :tokens] for tensor in self.values),
        )


def read(model: PreTrainedModel, ids: Sequence[int], held: State | None = None) -> tuple[State, Tensor]:
    """Read one conversation, from where `held` ends.

    Args:
        model: a causal language model whose layers all attend to everything before.
        ids: token ids of the conversation.
        held: the state of some of their first tokens, at least one fewer.

    Returns:
        the state of `ids`, and the logits after the last one, float32 of shape (vocabulary,).
    """
    import torch

    cache = as_cache(model, held)
    for start in range(0 if held is None else len(held.ids), len(ids), CHUNK):
        chunk = torch.tensor([ids[start : start + CHUNK]], device=model.device)
        # Without a 2-D mask and without a past, attention goes by is_causal: no mask is made.
        logits = model(input_ids=chunk, past_key_values=cache, use_cache=True, logits_to_keep=1).logits
    state = State(
        ids=np.asarray(ids, dtype=np.int64),
        keys=tuple(layer.keys for layer in cache.layers),
        values=tuple(layer.values for layer in cache.layers),
    )
    return state, logits[0, -1].float()


def as_cache(model: PreTrainedModel, state: State | None, copies: int = 1) -> DynamicCache:
    """A cache that continues `copies` times after `state` (None: from nothing); the state itself stays as it is."""
    from transformers import DynamicCache

    cache = DynamicCache(config=model.config)
    if state is not None:
        for layer, keys, values in zip(cache.layers, state.keys, state.values, strict=True):
            layer.update(keys.expand(copies, -1, -1, -1), values.expand(copies, -1, -1, -1))
    return cache


def follow(model: PreTrainedModel, state: State, logits: Tensor, answers: Sequence[Sequence[int]]) -> list[float]:
    """Log-probability (natural logarithm) of each answer after `state`.

    Args:
        model: the model that made the state.
        state: the state of the prompt.
        logits: the logits after the prompt, of shape (vocabulary,).
        answers: token ids of each answer, at least one.
    """
    import torch
    from torch.nn.utils.rnn import pad_sequence

    first = logits.log_softmax(-1)
    sums = [first[answer[0]].item() for answer in answers]
    longer = [row for row, answer in enumerate(answers) if len(answer) > 1]
    if longer:
        # What pads an answer on the right comes after all that is looked at.
        inputs = pad_sequence([torch.tensor(answers[row][:-1]) for row in longer], batch_first=True)
        cache = as_cache(model, state, copies=len(longer))
        after = model(input_ids=inputs.to(model.device), past_key_values=cache, use_cache=True).logits.float()
        for logprobs, row in zip(after.log_softmax(-1), longer, strict=True):
            sums[row] += sum(logprobs[place, token].item() for place, token in enumerate(answers[row][1:]))
    return sums


def stack(model: PreTrainedModel, states: Sequence[State], new: int) -> StaticCache:
    """One cache for a batch, padded with zeros on the left, with room for `new` tokens more.

    A cache of fixed size, as a growing one copies itself at every token: a batch of 24 prompts of 1,300 tokens writes
    several times slower with it.
    """
    import torch
    from torch.nn.functional import pad
    from transformers import StaticCache

    width = max(len(state.ids) for state in states)
    cache = StaticCache(config=model.config, max_cache_len=width + new)
    for i, layer in enumerate(cache.layers):
        keys = [pad(state.keys[i], (0, 0, width - len(state.ids), 0)) for state in states]
        values = [pad(state.values[i], (0, 0, width - len(state.ids), 0)) for state in states]
        layer.update(torch.cat(keys), torch.cat(values))
    return cache


def unstack(cache: StaticCache, row: int, ids: Sequence[int], end: int) -> State:
    """The state of one conversation of a batch, as a copy.

    Args:
        cache: the batch's cache.
        row: which conversation.
        ids: its tokens that were read.
        end: one past the place of the last of these in the cache.
    """
    start = end - len(ids)
    return State(
        ids=np.asarray(ids, dtype=np.int64),
        keys=tuple(layer.keys[row : row + 1, :, start:end].clone() for layer in cache.layers),
        values=tuple(layer.values[row : row + 1, :, start:end].clone() for layer in cache.layers),
    )
