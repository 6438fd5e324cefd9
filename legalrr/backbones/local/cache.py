"""Build transformers caches that continue from states, without copies of these, and extract states from them.

A layer holds the keys and values of the new tokens of a conversation, or of a batch of them; those before are parts of
states, which `legalrr.backbones.local.shared_prefix_attention` reads where they are. Layers for which it cannot
(sliding windows, layers of the library, other attention functions) hold a copy of the parts.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import pad
from transformers import DynamicCache, PretrainedConfig
from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer, LinearAttentionCacheLayerMixin

from legalrr.backbones.local.prefix_cache import Snapshot, State, StatePart, Storage
from legalrr.backbones.local.shared_prefix_attention import (
    NAME,
    PREFIXES,
    KeysAndValues,
    Prefixes,
    find_shared_prefixes,
)
from legalrr.errors import UserError

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


SHORT = 256
"""A part of fewer tokens is copied: reading it where it is costs a kernel call per layer and forward pass."""


class GrowingLayer(DynamicLayer):
    """Keys and values of one layer in preallocated memory, after those of prefixes.

    The library's growing layer copies itself at every token; its static one attends to its full length with a mask.

    Args:
        room: capacity to allocate, in tokens without those of prefixes; the memory is reallocated beyond it.
    """

    keys: Tensor
    values: Tensor
    prefixes: Prefixes | None = None
    """Keys and values of the tokens before; `update` attaches them to the keys for `split_attention`."""
    before: int = 0
    """Number of the tokens before."""

    def __init__(self, room: int) -> None:
        super().__init__()
        self._room = room
        self._memory: tuple[Tensor, Tensor] | None = None

    def update(
        self, key_states: Tensor, value_states: Tensor, *args: object, **kwargs: object
    ) -> tuple[Tensor, Tensor]:
        """Append keys and values, shape (batch, heads, new tokens, head size); return all that the layer holds itself,
        as views."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        start = self.keys.shape[2] if self.keys.numel() else 0
        end = start + key_states.shape[2]
        if self._memory is None or end > self._memory[0].shape[2]:
            self._memory = self._moved(self.keys, key_states, end), self._moved(self.values, value_states, end)
        for memory, new in zip(self._memory, (key_states, value_states), strict=True):
            memory[:, :, start:end] = new
        self.keys, self.values = (memory[:, :, :end] for memory in self._memory)
        setattr(self.keys, PREFIXES, self.prefixes)
        return self.keys, self.values

    def get_seq_length(self) -> int:
        """Return the number of tokens, with those of prefixes."""
        return self.before + super().get_seq_length()

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


class StateCache(DynamicCache):
    """Cache of a conversation that continues from a state."""

    parts: tuple[StatePart, ...] = ()
    """Parts of the state that layers read where they are."""
    storage: Storage | None = None
    """Memory of the keys and values that the layers hold themselves, when a state was last extracted."""
    places: tuple[int, ...] = ()
    """Addresses of these then."""


def cache_from_state(config: PretrainedConfig, state: State | None, *, room: int = 0, copies: int = 1) -> StateCache:
    """Build a cache that continues from a state (None: an empty one); the state is not modified.

    Args:
        config: configuration of the model.
        state: the state.
        room: capacity in tokens, including those of the state.
        copies: batch size.
    """
    kept, copied = _split_parts(config, state)
    before = sum(part.tokens for part in kept)
    cache = _empty_cache(config, room - before)
    cache.parts = kept
    if state is None:
        return cache
    for i, layer in enumerate(cache.layers):
        if kept and type(layer) is GrowingLayer:
            layer.prefixes = Prefixes(groups=((slice(0, copies), _tensors(kept, i)),))
            layer.before = before
        if copied and copied[0].keys[i] is not None:
            keys, values = map(_join, zip(*_tensors(copied, i), strict=True))
            DynamicLayer.lazy_initialization(layer, keys, values)
            layer.keys, layer.values = keys.expand(copies, -1, -1, -1), values.expand(copies, -1, -1, -1)
    if state.snapshots:
        for layer, tensors in zip(cache.layers, state.snapshots[-1].layers, strict=True):
            _restore_recurrent(
                layer, [None if tensor is None else tensor.repeat_interleave(copies, 0) for tensor in tensors]
            )
    return cache


def require_prefixes_read(cache: DynamicCache, option: str) -> None:
    """Raise UserError if the attention of a layer has not read its prefixes, after a forward pass of the model.

    Args:
        cache: the cache.
        option: config path of the backbone, for messages.
    """
    for layer in cache.layers:
        if isinstance(layer, GrowingLayer) and layer.prefixes is not None and not layer.prefixes.read:
            raise UserError(
                "the attention of this architecture does not take its keys from the cache as they are",
                where=f"{option}.attention",
                cure="use sdpa or eager",
            )


def _empty_cache(config: PretrainedConfig, room: int) -> StateCache:
    cache = StateCache(config=config)
    for i, layer in enumerate(cache.layers):
        if type(layer) is DynamicLayer:
            cache.layers[i] = GrowingLayer(room)
        elif type(layer) is DynamicSlidingWindowLayer:
            cache.layers[i] = WindowLayer(room, layer.sliding_window)
    return cache


def _split_parts(config: PretrainedConfig, state: State | None) -> tuple[tuple[StatePart, ...], tuple[StatePart, ...]]:
    """Split the parts of a state into those that layers read where they are, and the last ones, which are copied."""
    if state is None or not _reads_prefixes(config):
        return (), () if state is None else state.parts
    first, tokens = len(state.parts), 0
    while first and tokens + state.parts[first - 1].tokens < SHORT:
        first -= 1
        tokens += state.parts[first].tokens
    return state.parts[:first], state.parts[first:]


def _reads_prefixes(config: PretrainedConfig) -> bool:
    """Whether all attention layers of a model can read prefixes where they are."""
    kinds = {type(layer).__name__ for layer in DynamicCache(config=config).layers}
    return _splits(config) and kinds <= {"DynamicLayer", "LinearAttentionLayer", "DummyLayer"}


def _splits(config: PretrainedConfig) -> bool:
    """Whether attention gets the keys of the cache as they are, and in the function that reads prefixes."""
    text = config.get_text_config(decoder=True)
    # Multi-head latent attention computes keys and values from what is cached.
    return text._attn_implementation == NAME and getattr(text, "kv_lora_rank", None) is None


def _tensors(parts: Sequence[StatePart], layer: int) -> tuple[KeysAndValues, ...]:
    return tuple((part.keys[layer], part.values[layer]) for part in parts)


def _join(tensors: Sequence[Tensor]) -> Tensor:
    return tensors[0] if len(tensors) == 1 else torch.cat(tuple(tensors), dim=2)


def snapshot(cache: DynamicCache, tokens: int, row: int = 0) -> tuple[Snapshot, ...]:
    """Copy the recurrent layers of one row after `tokens` tokens; empty for pure attention."""
    layers = tuple(
        tuple(None if tensor is None else tensor[row : row + 1].clone() for tensor in _recurrent_tensors(layer))
        for layer in cache.layers
    )
    return (Snapshot(tokens=tokens, layers=layers),) if any(layers) else ()


def extract_state(cache: StateCache, ids: Sequence[int], snapshots: tuple[Snapshot, ...]) -> State:
    """Extract the state of a conversation from its cache, with keys and values as views.

    Args:
        cache: cache of one conversation.
        ids: computed tokens; the cache may have more.
        snapshots: snapshots of its recurrent layers.
    """
    parts = cache.parts
    tokens = len(ids) - sum(part.tokens for part in parts)
    if tokens:
        held = [(layer.keys, layer.values) if _attends(layer) else (None, None) for layer in cache.layers]
        own = StatePart(
            tokens=tokens,
            keys=tuple(None if keys is None else keys[:, :, :tokens] for keys, _ in held),
            values=tuple(None if values is None else values[:, :, :tokens] for _, values in held),
            storage=_storage(cache),
        )
        parts = (*parts, own)
    return State(ids=np.asarray(ids, dtype=np.int64), parts=parts, snapshots=snapshots)


def _storage(cache: StateCache) -> Storage:
    """Return the memory of the keys and values of a cache; the same object as long as it is the same memory."""
    held = [
        tensor.untyped_storage() for layer in cache.layers if _attends(layer) for tensor in (layer.keys, layer.values)
    ]
    places = tuple(storage.data_ptr() for storage in held)
    if cache.storage is None or cache.places != places:
        cache.storage, cache.places = Storage(nbytes=sum(storage.nbytes() for storage in held)), places
    return cache.storage


def stack_states(config: PretrainedConfig, states: Sequence[State], new: int) -> StateCache:
    """Stack states to the cache of a batch, left-padded, with room for `new` tokens.

    On a CPU, layers that can read prefixes where they are hold only the last tokens of the states.
    """
    width = max(len(state.ids) for state in states)
    first = states[0].parts[0]
    # Only the CPU kernel returns the log-sum-exp under a mask, which the unshared part of the prompts needs.
    on_cpu = all(keys.device.type == "cpu" for keys in first.keys if keys is not None)
    read = _parts_to_read(states) if on_cpu and _splits(config) else None
    cache = _empty_cache(config, width + new)
    for i, layer in enumerate(cache.layers):
        if first.keys[i] is not None and read is not None and type(layer) is GrowingLayer:
            cache.layers[i] = _layer_after_parts(states, read, i, new)
        elif first.keys[i] is not None:
            layer.update(*_padded([_tensors(state.parts, i) for state in states], width))
        if states[0].snapshots:
            rows = zip(*(state.snapshots[-1].layers[i] for state in states), strict=True)
            _restore_recurrent(layer, [None if tensors[0] is None else torch.cat(tensors) for tensors in rows])
    return cache


@dataclass(frozen=True, kw_only=True)
class _PartsToRead:
    """What the rows of a batch read where it is: prefixes that several share, and what follows them in one row."""

    groups: tuple[tuple[slice, tuple[StatePart, ...]], ...]
    """Rows and parts; a row may be in two groups, first in that of its prefix."""
    lengths: tuple[int, ...]
    """Number of tokens of each row that are read so."""


def _parts_to_read(states: Sequence[State]) -> _PartsToRead:
    groups, lengths = [], []
    for shared in find_shared_prefixes([state.ids for state in states]):
        groups.append((shared.rows, states[shared.rows.start].between(0, shared.tokens)))
        for row in range(shared.rows.start, shared.rows.stop):
            length = len(states[row].ids)
            if length - shared.tokens >= SHORT:
                groups.append((slice(row, row + 1), states[row].between(shared.tokens, length)))
                lengths.append(length)
            else:
                lengths.append(shared.tokens)
    return _PartsToRead(groups=tuple(groups), lengths=tuple(lengths))


def _layer_after_parts(states: Sequence[State], read: _PartsToRead, layer: int, new: int) -> GrowingLayer:
    """Build the layer of a batch that holds what follows the parts that are read where they are."""
    width = max(len(state.ids) for state in states)
    left = [len(state.ids) - length for state, length in zip(states, read.lengths, strict=True)]
    columns = max(left)
    made = GrowingLayer(columns + new)
    made.before = width - columns
    made.prefixes = Prefixes(
        groups=tuple((rows, _tensors(parts, layer)) for rows, parts in read.groups),
        rest=tuple(columns - tokens for tokens in left),
    )
    empty = _tensors([states[0].parts[0].slice(0, 0)], layer)
    rows = [
        _tensors(state.between(length, len(state.ids)), layer) or empty
        for state, length in zip(states, read.lengths, strict=True)
    ]
    made.update(*_padded(rows, columns))
    return made


def _padded(rows: Sequence[Sequence[KeysAndValues]], width: int) -> tuple[Tensor, Tensor]:
    """Stack the keys, and the values, of rows given as parts, left-padded with zeros to a number of columns."""
    keys, values = (
        torch.cat([pad(one, (0, 0, width - one.shape[2], 0)) for one in tensors])
        for tensors in zip(*(map(_join, zip(*parts, strict=True)) for parts in rows), strict=True)
    )
    return keys, values


def append_answer(own: DynamicCache, batch: DynamicCache, row: int, *, new: int, end: int) -> None:
    """Append the keys and values of an answer to the cache of its prompt, and copy recurrent layers.

    Args:
        own: cache of the prompt when it entered the batch.
        batch: cache of the batch.
        row: index of the prompt in the batch.
        new: number of computed tokens in the batch: the last one of the prompt, and all but the last of the answer.
        end: one past the position of the last of these in the batch.
    """
    for layer, batched in zip(own.layers, batch.layers, strict=True):
        if _attends(batched):
            stop = end - getattr(batched, "before", 0)
            layer.update(*(tensor[row : row + 1, :, stop - new : stop] for tensor in (batched.keys, batched.values)))
        if isinstance(batched, LinearAttentionCacheLayerMixin):
            for mine, its in (
                (layer.conv_states, batched.conv_states),
                (layer.recurrent_states, batched.recurrent_states),
            ):
                mine |= {key: None if tensor is None else tensor[row : row + 1].clone() for key, tensor in its.items()}


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
