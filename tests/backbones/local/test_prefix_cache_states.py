from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from legalrr.backbones.local.prefix_cache import Snapshot, State, StatePart, Storage, common_prefix_length

ids = st.lists(st.integers(0, 2), max_size=8)


def made(tokens, at=(), cuts=()):
    """A state of an attention layer and a recurrent one, with snapshots at `at` and parts between `cuts`."""
    keys = torch.arange(tokens, dtype=torch.float32).view(1, 1, -1, 1)
    snapshots = tuple(Snapshot(tokens=n, layers=((), (torch.full((1, 2), float(n)), None))) for n in at)
    parts = tuple(
        StatePart(
            tokens=stop - start,
            keys=(keys[:, :, start:stop], None),
            values=(-keys[:, :, start:stop], None),
            storage=Storage(nbytes=8 * (stop - start)),
        )
        for start, stop in pairwise([0, *cuts, tokens])
    )
    return State(ids=np.arange(tokens), parts=parts, snapshots=snapshots)


def keys_of(state):
    return [int(key) for part in state.parts for key in part.keys[0].flatten()]


@given(ids, ids)
def test_common_prefix_length_is_that_of_the_longest_common_prefix(one, other):
    length = common_prefix_length(np.array(one, dtype=np.int64), np.array(other, dtype=np.int64))
    assert one[:length] == other[:length]
    assert length == min(len(one), len(other)) or one[length] != other[length]


def test_pure_attention_is_truncated_anywhere_without_a_copy():
    state = made(6)
    assert [state.reusable_length(tokens) for tokens in (0, 3, 6, 9)] == [0, 3, 6, 6]
    cut = state.truncate(4)
    assert keys_of(cut) == [0, 1, 2, 3]
    assert cut.parts[0].keys[0].data_ptr() == state.parts[0].keys[0].data_ptr()


@given(st.integers(1, 9), st.data())
def test_tokens_between_any_two_places_are_views_of_the_parts(tokens, data):
    cuts = data.draw(st.lists(st.integers(1, tokens), unique=True, max_size=3).map(sorted))
    state = made(tokens, cuts=[cut for cut in cuts if cut < tokens])
    start = data.draw(st.integers(0, tokens))
    stop = data.draw(st.integers(start, tokens))
    parts = state.between(start, stop)
    assert [int(key) for part in parts for key in part.keys[0].flatten()] == list(range(start, stop))
    assert all(part.tokens == part.values[0].shape[2] > 0 for part in parts)
    assert keys_of(state.truncate(stop)) == list(range(stop))
    assert state.between(0, tokens) == state.parts


def test_a_recurrent_state_is_truncated_only_at_snapshots():
    state = made(6, at=(2, 5))
    assert [state.reusable_length(tokens) for tokens in (1, 2, 4, 6)] == [0, 2, 2, 5]
    cut = state.truncate(5)
    assert (len(cut.ids), cut.parts[0].keys[0].shape[2], [s.tokens for s in cut.snapshots]) == (5, 5, [2, 5])
    with pytest.raises(ValueError, match="cannot truncate a state of 6 tokens to 4"):
        state.truncate(4)


def test_memory_is_that_of_parts_and_snapshots():
    assert list(made(6).memory.values()) == [6 * 2 * 4]
    assert sorted(made(6, at=(2, 5), cuts=(4,)).memory.values()) == [8, 8, 2 * 2 * 4, 4 * 2 * 4]
    state = made(6, cuts=(4,))
    assert state.truncate(5).memory == state.memory, "a view keeps the memory of what it is a view of"
