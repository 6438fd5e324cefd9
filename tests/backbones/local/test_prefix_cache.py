import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from legalrr.backbones.local.prefix_cache import PrefixCache, Snapshot, State

at_any_speed = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
SIZE = 8
"""Bytes per token of these states: key and value, one head of size 1, float32."""
ids = st.lists(st.integers(0, 2), min_size=1, max_size=8)


def state(tokens, at=()):
    import numpy as np

    made = torch.tensor(tokens, dtype=torch.float32).view(1, 1, -1, 1)
    snapshots = tuple(Snapshot(tokens=length, layers=((torch.zeros(1, 1),),)) for length in at)
    return State(ids=np.array(tokens, dtype=np.int64), keys=(made,), values=(-made,), snapshots=snapshots)


def common(one, other):
    return next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))


@at_any_speed
@given(st.lists(ids, max_size=8), ids)
def test_the_longest_common_prefix_is_found(added, wanted):
    prefixes = PrefixCache(10**6)
    for tokens in added:
        prefixes.add(state(tokens))
    longest = max((common(tokens, wanted) for tokens in added), default=0)
    assert prefixes.cached_length(wanted) == longest
    found = prefixes.longest_prefix(wanted)
    if longest == 0:
        assert found is None
    else:
        assert list(found.ids) == wanted[:longest]
        assert found.keys[0].flatten().tolist() == wanted[:longest]
        assert found.values[0].flatten().tolist() == [-token for token in wanted[:longest]]


@at_any_speed
@given(st.lists(ids, max_size=12), st.integers(0, 12))
def test_memory_stays_within_the_capacity(added, tokens):
    prefixes = PrefixCache(tokens * SIZE)
    for one in added:
        prefixes.add(state(one))
        assert prefixes.nbytes <= tokens * SIZE
        assert prefixes.cached_length(one) == len(one) or len(one) > tokens


def test_a_state_replaces_its_own_prefix():
    prefixes = PrefixCache(10**6)
    for tokens in ([1], [1, 2], [1, 3]):
        prefixes.add(state(tokens))
    assert len(prefixes) == 2


def test_the_least_recently_used_state_is_evicted():
    prefixes = PrefixCache(2 * SIZE)
    prefixes.add(state([1]))
    prefixes.add(state([2]))
    prefixes.longest_prefix([1])
    prefixes.add(state([3]))
    assert [prefixes.cached_length([token]) for token in (1, 2, 3)] == [1, 0, 1]


def test_a_state_larger_than_the_capacity_is_not_stored():
    prefixes = PrefixCache(2 * SIZE)
    prefixes.add(state([1]))
    prefixes.add(state([2, 2, 2]))
    assert [prefixes.cached_length([token]) for token in (1, 2)] == [1, 0]


def test_a_recurrent_state_is_reused_only_at_snapshots():
    prefixes = PrefixCache(10**6)
    prefixes.add(state([1, 2, 3, 4], at=(2, 4)))
    assert [prefixes.cached_length(wanted) for wanted in ([1], [1, 2], [1, 2, 3, 9], [1, 2, 3, 4, 5])] == [0, 2, 2, 4]
    assert prefixes.longest_prefix([1, 9]) is None
    assert list(prefixes.longest_prefix([1, 2, 3, 9]).ids) == [1, 2]


def test_a_recurrent_state_replaces_another_only_with_all_its_snapshots():
    prefixes = PrefixCache(10**6)
    prefixes.add(state([1, 2], at=(2,)))
    prefixes.add(state([1, 2, 3], at=(3,)))
    assert len(prefixes) == 2
    prefixes.add(state([1, 2, 3, 4], at=(2, 3, 4)))
    assert len(prefixes) == 1


def test_a_stored_state_does_not_keep_the_memory_of_a_larger_one():
    prefixes = PrefixCache(10**6)
    prefixes.add(state([1] * 100).truncate(3))
    assert prefixes.longest_prefix([1, 1, 1]).keys[0].untyped_storage().nbytes() == 3 * 4
