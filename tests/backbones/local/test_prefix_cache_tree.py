from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from legalrr.backbones.local.prefix_cache import branch_points, common_prefix_length, depth_first_order

prompts = st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=6), max_size=8)


def shared(one, other):
    return common_prefix_length(np.array(one), np.array(other))


def distinct(found):
    """Number of nodes of the prefix tree."""
    return len({tuple(one[:length]) for one in found for length in range(1, len(one) + 1)})


@given(prompts)
def test_a_prompt_shares_its_longest_prefix_with_its_predecessor(found):
    order = depth_first_order(found, [len(one) for one in found])
    assert sorted(order) == list(range(len(found)))
    walked = [found[place] for place in order]
    read = sum(len(one) for one in walked[:1]) + sum(len(new) - shared(old, new) for old, new in pairwise(walked))
    assert read == distinct(found)


@given(prompts)
def test_branch_points_are_the_lengths_that_later_prompts_share(found):
    walked = [found[place] for place in depth_first_order(found, [1] * len(found))]
    for place, lengths in enumerate(branch_points(walked)):
        assert list(lengths) == sorted({shared(walked[place], later) for later in walked[place + 1 :]} - {0})


@given(st.lists(st.integers(1, 9), min_size=1, max_size=8, unique=True))
def test_without_a_shared_prefix_the_lighter_prompt_comes_first(weights):
    assert depth_first_order([[token] for token in weights], weights) == sorted(
        range(len(weights)), key=weights.__getitem__
    )


def test_a_branch_weighs_as_much_as_its_heaviest_prompt():
    found = [[1, 1], [2, 1], [1, 2]]
    assert depth_first_order(found, [1, 2, 3]) == [1, 0, 2]


def test_equal_prompts_stay_together():
    found = [[1, 2], [3], [1, 2]]
    order = depth_first_order(found, [2, 1, 2])
    assert order in ([1, 0, 2], [1, 2, 0])
    assert branch_points([found[place] for place in order])[1] == (2,)


def test_no_prompts_have_an_empty_order():
    assert depth_first_order([], []) == []
    assert branch_points([]) == []
    assert depth_first_order([[5]], [0]) == [0]
