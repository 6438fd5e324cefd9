"""Caches of the transformers library: made from states, with room to grow in, and taken apart into states again."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad
from transformers import DynamicCache, PretrainedConfig
from transformers.cache_utils import DynamicLayer, LinearAttentionCacheLayerMixin

from legalrr.backbones.local.prefix_cache import Snapshot, State
from legalrr.backbones.local.shared_prefix import SHARED_PREFIXES, SharedPrefixes, find_shared_prefixes

CONTINUED = frozenset({"DynamicLayer", "LinearAttentionLayer", "LinearAttentionAndFullAttentionLayer", "DummyLayer"})
"""Layers of the library's cache whose states can be continued: none of them forgets what a shorter prompt needs."""


class GrowingLayer(DynamicLayer):
    """Keys and values of one layer in one stretch of memory.

    The library's growing layer copies itself at every token, its static one is attended to in full length under a mask.

    Args:
        room: tokens to make room for at once; more make it move.
    """

    keys: Tensor
    values: Tensor
    shared_prefixes: SharedPrefixes | None = None
    """What the rows of a batch have in common; the keys that `update` returns carry it to `split_attention`."""

    def __init__(self, room: int) -> None:
        super().__init__()
        self._room = room
        self._memory: tuple[Tensor, Tensor] | None = None

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: object, **kwargs: object
    ) -> tuple[Tensor, Tensor]:
        """Append keys and values, of shape (batch, heads, new tokens, head size); returns all of them, as views."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        start = self.get_seq_length()
        end = start + key_states.shape[2]
        if self._memory is None or end > self._memory[0].shape[2]:
            self._memory = self._moved(self.keys, key_states, end), self._moved(self.values, value_states, end)
        for memory, new in zip(self._memory, (key_states, value_states), strict=True):
            memory[:, :, start:end] = new
        self.keys, self.values = (memory[:, :, :end] for memory in self._memory)
        setattr(self.keys, SHARED_PREFIXES, self.shared_prefixes)
        return self.keys, self.values

    def _moved(self, old: Tensor, new: Tensor, end: int) -> Tensor:
        batch, heads, _, size = new.shape
        memory = new.new_empty((batch, heads, max(end, self._room), size))
        if old.numel():
            memory[:, :, : old.shape[2]] = old
        return memory


def uncontinued(config: PretrainedConfig) -> set[str]:
    """Names of the cache layers of a model that cannot be continued from a state: those that forget."""
    return {type(layer).__name__ for layer in DynamicCache(config=config).layers} - CONTINUED


def continued(config: PretrainedConfig, state: State | None, *, room: int = 0, copies: int = 1) -> DynamicCache:
    """A cache that goes on `copies` times after `state` (None: from nothing); the state itself stays as it is.

    Args:
        config: of the model.
        state: what it starts from.
        room: tokens to make room for, those of the state included.
        copies: size of the batch.
    """
    cache = DynamicCache(config=config)
    cache.layers = [GrowingLayer(room) if type(layer) is DynamicLayer else layer for layer in cache.layers]
    if state is None:
        return cache
    for layer, keys, values in zip(cache.layers, state.keys, state.values, strict=True):
        if keys is not None and values is not None:
            DynamicLayer.lazy_initialization(layer, keys, values)
            layer.keys, layer.values = keys.expand(copies, -1, -1, -1), values.expand(copies, -1, -1, -1)
    if state.snapshots:
        for layer, tensors in zip(cache.layers, state.snapshots[-1].layers, strict=True):
            _put(layer, [None if tensor is None else tensor.repeat_interleave(copies, 0) for tensor in tensors])
    return cache


def snapshot(cache: DynamicCache, tokens: int, row: int = 0) -> tuple[Snapshot, ...]:
    """A copy of the recurrent layers of one row, after `tokens` tokens; empty for pure attention."""
    layers = tuple(
        tuple(None if tensor is None else tensor[row : row + 1].clone() for tensor in _tensors(layer))
        for layer in cache.layers
    )
    return (Snapshot(tokens=tokens, layers=layers),) if any(layers) else ()


def state_of(
    cache: DynamicCache, ids: Sequence[int], snapshots: tuple[Snapshot, ...], *, row: int = 0, end: int | None = None
) -> State:
    """The state of one row of a cache, whose keys and values are views.

    Args:
        cache: of one conversation or a batch.
        ids: tokens of the row that were read.
        snapshots: of its recurrent layers.
        row: which conversation.
        end: one past the place of the last of `ids` in the cache; None: `ids` begin at its first place.
    """
    stop = len(ids) if end is None else end
    kept = [(layer.keys, layer.values) if _attends(layer) else (None, None) for layer in cache.layers]
    return State(
        ids=np.asarray(ids, dtype=np.int64),
        keys=tuple(None if k is None else k[row : row + 1, :, stop - len(ids) : stop] for k, _ in kept),
        values=tuple(None if v is None else v[row : row + 1, :, stop - len(ids) : stop] for _, v in kept),
        snapshots=snapshots,
    )


def stack(config: PretrainedConfig, states: Sequence[State], new: int) -> DynamicCache:
    """One cache for a batch, padded with zeros on the left, with room for `new` tokens more."""
    width = max(len(state.ids) for state in states)
    cache = continued(config, None, room=width + new)
    # Only the kernel of a CPU tells the log-sum-exp under a mask, which the rest of the prompts needs.
    on_cpu = all(keys.device.type == "cpu" for keys in states[0].keys if keys is not None)
    shared = find_shared_prefixes([state.ids for state in states]) if on_cpu else None
    for i, layer in enumerate(cache.layers):
        if isinstance(layer, GrowingLayer):
            layer.shared_prefixes = shared
        if states[0].keys[i] is not None:
            pairs = zip(*((state.keys[i], state.values[i]) for state in states), strict=True)
            layer.update(*(torch.cat([pad(t, (0, 0, width - t.shape[2], 0)) for t in tensors]) for tensors in pairs))
        if states[0].snapshots:
            rows = zip(*(state.snapshots[-1].layers[i] for state in states), strict=True)
            _put(layer, [None if tensors[0] is None else torch.cat(tensors) for tensors in rows])
    return cache


def unstack(cache: DynamicCache, row: int, ids: Sequence[int], *, end: int, begun: State) -> State:
    """The state of one conversation of a batch; of its prompt alone, where recurrent layers have gone on without it.

    Args:
        cache: the batch's cache.
        row: which conversation.
        ids: its tokens that were read.
        end: one past the place of the last of these in the cache.
        begun: its state as it went into the batch.
    """
    if not begun.snapshots:
        return state_of(cache, ids, (), row=row, end=end)
    if cache.get_seq_length() != end:
        return begun
    return state_of(cache, ids, begun.snapshots + snapshot(cache, len(ids), row), row=row, end=end)


def tensors(cache: DynamicCache) -> list[Tensor]:
    """All that a cache keeps: keys and values, states of convolutions, recurrent states."""
    found = [tensor for layer in cache.layers for tensor in _tensors(layer) if tensor is not None]
    return found + [tensor for layer in cache.layers if _attends(layer) for tensor in (layer.keys, layer.values)]


def _attends(layer: Any) -> bool:
    return isinstance(layer, DynamicLayer) and layer.is_initialized


def _tensors(layer: Any) -> tuple[Tensor | None, ...]:
    """What the recurrent part of a layer keeps: states of its convolutions, then its recurrent states."""
    if not isinstance(layer, LinearAttentionCacheLayerMixin):
        return ()
    return (*layer.conv_states.values(), *layer.recurrent_states.values())


def _put(layer: Any, tensors: Sequence[Tensor | None]) -> None:
    """Give an empty layer what `_tensors` told of another one; the layer copies it."""
    for place, tensor in enumerate(tensors):
        number, is_recurrent = place % layer.number_of_states, place >= layer.number_of_states
        if tensor is not None and is_recurrent:
            layer.update_recurrent_state(tensor, state_idx=number)
        elif tensor is not None:
            layer.update_conv_state(tensor, state_idx=number)
