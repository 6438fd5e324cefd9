"""Build transformers caches from states, with preallocated memory, and extract states from them."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad
from transformers import DynamicCache, PretrainedConfig
from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer, LinearAttentionCacheLayerMixin

from legalrr.backbones.local.prefix_cache import Snapshot, State
from legalrr.backbones.local.shared_prefix_attention import SHARED_PREFIXES, SharedPrefixes, find_shared_prefixes

CONTINUABLE_LAYERS = frozenset(
    {
        "DynamicLayer",
        "DynamicSlidingWindowLayer",
        "LinearAttentionLayer",
        "LinearAttentionAndFullAttentionLayer",
        "DummyLayer",
    }
)
"""Cache layers whose states can be continued: they, or those in their place here, keep everything that a shorter prompt
needs."""


class GrowingLayer(DynamicLayer):
    """Keys and values of one layer in preallocated memory.

    The library's growing layer copies itself at every token; its static one attends to its full length with a mask.

    Args:
        room: capacity to allocate, in tokens; the memory is reallocated beyond it.
    """

    keys: Tensor
    values: Tensor
    shared_prefixes: SharedPrefixes | None = None
    """Shared prefixes of the rows; `update` attaches them to the keys for `split_attention`."""

    def __init__(self, room: int) -> None:
        super().__init__()
        self._room = room
        self._memory: tuple[Tensor, Tensor] | None = None

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: object, **kwargs: object
    ) -> tuple[Tensor, Tensor]:
        """Append keys and values, shape (batch, heads, new tokens, head size); return all of them, as views."""
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


class WindowLayer(GrowingLayer):
    """Keys and values of one layer with a sliding window, or chunked attention: all are kept, and attention gets those
    that it may see.

    The library's layer drops what has left the window, which a shorter prompt would need.

    Args:
        room: see `GrowingLayer`.
        window: width of the window, or of a chunk, in tokens.
    """

    is_sliding = True

    def __init__(self, room: int, window: int) -> None:
        super().__init__(room)
        self.sliding_window = window

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: object, **kwargs: object
    ) -> tuple[Tensor, Tensor]:
        """Append keys and values, shape (batch, heads, new tokens, head size); return those that the new tokens see, as
        views."""
        seen, _ = self.get_mask_sizes(key_states.shape[2])
        keys, values = super().update(key_states, value_states)
        return keys[:, :, -seen:], values[:, :, -seen:]

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        """Return how many tokens the next `query_length` see together, and the position of the first of them."""
        before = self.get_seq_length()
        seen = min(before, self.sliding_window - 1)
        return seen + query_length, before - seen


def unsupported_layers(config: PretrainedConfig) -> set[str]:
    """Return the class names of a model's cache layers that cannot continue from a state."""
    return {type(layer).__name__ for layer in DynamicCache(config=config).layers} - CONTINUABLE_LAYERS


def cache_from_state(config: PretrainedConfig, state: State | None, *, room: int = 0, copies: int = 1) -> DynamicCache:
    """Build a cache that continues from a state (None: an empty one); the state is not modified.

    Args:
        config: configuration of the model.
        state: the state.
        room: capacity in tokens, including those of the state.
        copies: batch size.
    """
    cache = DynamicCache(config=config)
    cache.layers = [_growing(layer, room) for layer in cache.layers]
    if state is None:
        return cache
    for layer, keys, values in zip(cache.layers, state.keys, state.values, strict=True):
        if keys is not None and values is not None:
            DynamicLayer.lazy_initialization(layer, keys, values)
            layer.keys, layer.values = keys.expand(copies, -1, -1, -1), values.expand(copies, -1, -1, -1)
    if state.snapshots:
        for layer, tensors in zip(cache.layers, state.snapshots[-1].layers, strict=True):
            _restore_recurrent(
                layer, [None if tensor is None else tensor.repeat_interleave(copies, 0) for tensor in tensors]
            )
    return cache


def _growing(layer: Any, room: int) -> Any:
    """Return the layer that takes the place of an empty one of the library."""
    if type(layer) is DynamicLayer:
        return GrowingLayer(room)
    return WindowLayer(room, layer.sliding_window) if type(layer) is DynamicSlidingWindowLayer else layer


def snapshot(cache: DynamicCache, tokens: int, row: int = 0) -> tuple[Snapshot, ...]:
    """Copy the recurrent layers of one row after `tokens` tokens; empty for pure attention."""
    layers = tuple(
        tuple(None if tensor is None else tensor[row : row + 1].clone() for tensor in _recurrent_tensors(layer))
        for layer in cache.layers
    )
    return (Snapshot(tokens=tokens, layers=layers),) if any(layers) else ()


def extract_state(
    cache: DynamicCache, ids: Sequence[int], snapshots: tuple[Snapshot, ...], *, row: int = 0, end: int | None = None
) -> State:
    """Extract the state of one row of a cache, with keys and values as views.

    Args:
        cache: cache of one conversation or a batch.
        ids: computed tokens of the row.
        snapshots: snapshots of its recurrent layers.
        row: index of the row.
        end: one past the position of the last of `ids` in the cache; None: `ids` start at position 0.
    """
    stop = len(ids) if end is None else end
    kept = [(layer.keys, layer.values) if _attends(layer) else (None, None) for layer in cache.layers]
    return State(
        ids=np.asarray(ids, dtype=np.int64),
        keys=tuple(None if k is None else k[row : row + 1, :, stop - len(ids) : stop] for k, _ in kept),
        values=tuple(None if v is None else v[row : row + 1, :, stop - len(ids) : stop] for _, v in kept),
        snapshots=snapshots,
    )


def stack_states(config: PretrainedConfig, states: Sequence[State], new: int) -> DynamicCache:
    """Stack states to the cache of a batch, left-padded with zeros, with room for `new` tokens."""
    width = max(len(state.ids) for state in states)
    cache = cache_from_state(config, None, room=width + new)
    # Only the CPU kernel returns the log-sum-exp under a mask, which the unshared part of the prompts needs.
    on_cpu = all(keys.device.type == "cpu" for keys in states[0].keys if keys is not None)
    shared = find_shared_prefixes([state.ids for state in states]) if on_cpu else None
    for i, layer in enumerate(cache.layers):
        # A row with a window may not see all of a shared prefix.
        if type(layer) is GrowingLayer:
            layer.shared_prefixes = shared
        if states[0].keys[i] is not None:
            pairs = zip(*((state.keys[i], state.values[i]) for state in states), strict=True)
            layer.update(*(torch.cat([pad(t, (0, 0, width - t.shape[2], 0)) for t in tensors]) for tensors in pairs))
        if states[0].snapshots:
            rows = zip(*(state.snapshots[-1].layers[i] for state in states), strict=True)
            _restore_recurrent(layer, [None if tensors[0] is None else torch.cat(tensors) for tensors in rows])
    return cache


def unstack_state(cache: DynamicCache, row: int, ids: Sequence[int], *, end: int, start_state: State) -> State:
    """Extract the state of one row of a batch; that of its prompt if recurrent layers have advanced beyond its end.

    Args:
        cache: cache of the batch.
        row: index of the row.
        ids: computed tokens of the row.
        end: one past the position of the last of these in the cache.
        start_state: state of the row when it entered the batch.
    """
    if not start_state.snapshots:
        return extract_state(cache, ids, (), row=row, end=end)
    if cache.get_seq_length() != end:
        return start_state
    return extract_state(cache, ids, start_state.snapshots + snapshot(cache, len(ids), row), row=row, end=end)


def cache_tensors(cache: DynamicCache) -> list[Tensor]:
    """Return all tensors of a cache: keys and values, convolution states, recurrent states."""
    found = [tensor for layer in cache.layers for tensor in _recurrent_tensors(layer) if tensor is not None]
    return found + [tensor for layer in cache.layers if _attends(layer) for tensor in (layer.keys, layer.values)]


def _attends(layer: Any) -> bool:
    return isinstance(layer, DynamicLayer) and layer.is_initialized


def _recurrent_tensors(layer: Any) -> tuple[Tensor | None, ...]:
    """Return the convolution states of the recurrent part of a layer, then its recurrent states."""
    if not isinstance(layer, LinearAttentionCacheLayerMixin):
        return ()
    return (*layer.conv_states.values(), *layer.recurrent_states.values())


def _restore_recurrent(layer: Any, tensors: Sequence[Tensor | None]) -> None:
    """Copy the result of `_recurrent_tensors` of another layer into an empty one."""
    for place, tensor in enumerate(tensors):
        number, is_recurrent = place % layer.number_of_states, place >= layer.number_of_states
        if tensor is not None and is_recurrent:
            layer.update_recurrent_state(tensor, state_idx=number)
        elif tensor is not None:
            layer.update_conv_state(tensor, state_idx=number)
