import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from legalrr.backbones.local.prefix_cache import PrefixCache, Snapshot, State, StatePart, Storage

at_any_speed = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
SIZE = 8
"""Bytes per token of these states: key and value, one head of size 1, float32."""
ids = st.lists(st.integers(0, 2), min_size=1, max_size=8)


def state(tokens, at=()):
    import numpy as np

    made = torch.tensor(tokens, dtype=torch.float32).view(1, 1, -1, 1)
    snapshots = tuple(Snapshot(tokens=length, layers=((torch.zeros(1, 1),),)) for length in at)
    part = StatePart(tokens=len(tokens), keys=(made,), values=(-made,), storage=Storage(nbytes=SIZE * len(tokens)))
    return State(ids=np.array(tokens, dtype=np.int64), parts=(part,), snapshots=snapshots)


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
        (part,) = found.parts
        assert part.keys[0].flatten().tolist() == wanted[:longest]
        assert part.values[0].flatten().tolist() == [-token for token in wanted[:longest]]


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


def extended(begun, tokens):
    """A state that shares all parts of another one, and goes on with tokens."""
    import numpy as np

    more = state(tokens)
    return State(ids=np.concatenate([begun.ids, more.ids]), parts=(*begun.parts, *more.parts))


def test_memory_that_states_share_counts_once():
    prefixes = PrefixCache(10**6)
    begun = state([1, 2, 3])
    for last in (4, 5):
        prefixes.add(extended(begun, [last]))
    assert (len(prefixes), prefixes.nbytes) == (2, 5 * SIZE)
    prefixes.add(state([1, 2]).truncate(1))
    assert prefixes.nbytes == 7 * SIZE, "a view keeps the memory of what it is a view of"


def test_evicting_a_state_frees_only_what_no_other_uses():
    prefixes = PrefixCache(7 * SIZE)
    begun = state([1, 2, 3])
    for last in (4, 5):
        prefixes.add(extended(begun, [last, last]))
    prefixes.add(extended(begun, [6, 6]))
    assert [prefixes.cached_length([1, 2, 3, last, last]) for last in (4, 5, 6)] == [3, 5, 5]
    assert prefixes.nbytes == 7 * SIZE
