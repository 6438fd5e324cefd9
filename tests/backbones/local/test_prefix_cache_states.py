import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from legalrr.backbones.local.prefix_cache import Snapshot, State, common_prefix_length

ids = st.lists(st.integers(0, 2), max_size=8)


def made(tokens, at=()):
    """A state of an attention layer and a recurrent one, with snapshots at the lengths `at`."""
    keys = torch.arange(tokens, dtype=torch.float32).view(1, 1, -1, 1)
    snapshots = tuple(Snapshot(tokens=n, layers=((), (torch.full((1, 2), float(n)), None))) for n in at)
    return State(ids=np.arange(tokens), keys=(keys, None), values=(-keys, None), snapshots=snapshots)


@given(ids, ids)
def test_common_prefix_length_is_that_of_the_longest_common_prefix(one, other):
    length = common_prefix_length(np.array(one, dtype=np.int64), np.array(other, dtype=np.int64))
    assert one[:length] == other[:length]
    assert length == min(len(one), len(other)) or one[length] != other[length]


def test_pure_attention_is_truncated_anywhere_without_a_copy():
    state = made(6)
    assert [state.reusable_length(tokens) for tokens in (0, 3, 6, 9)] == [0, 3, 6, 6]
    cut = state.truncate(4)
    assert cut.keys[0].flatten().tolist() == [0, 1, 2, 3]
    assert cut.keys[0].data_ptr() == state.keys[0].data_ptr()


def test_a_recurrent_state_is_truncated_only_at_snapshots():
    state = made(6, at=(2, 5))
    assert [state.reusable_length(tokens) for tokens in (1, 2, 4, 6)] == [0, 2, 2, 5]
    cut = state.truncate(5)
    assert (len(cut.ids), cut.keys[0].shape[2], [s.tokens for s in cut.snapshots]) == (5, 5, [2, 5])
    with pytest.raises(ValueError, match="cannot truncate a state of 6 tokens to 4"):
        state.truncate(4)


def test_memory_is_that_of_keys_values_and_snapshots():
    assert made(6).nbytes == 6 * 2 * 4
    assert made(6, at=(2, 5)).nbytes == 6 * 2 * 4 + 2 * 8


def test_compact_copies_a_view_out_of_larger_memory():
    state = made(1000).truncate(3)
    compact = state.compact()
    assert compact.keys[0].untyped_storage().nbytes() == compact.keys[0].nbytes == 12
    assert torch.equal(compact.values[0], state.values[0])
    whole = made(3)
    assert whole.compact().keys[0] is whole.keys[0]
