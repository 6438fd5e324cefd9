"""Windows of sentences: coverage, size and overlap."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from legalrr.segment.sentence_embeddings import ELLIPSIS, context_size, make_windows, shortened


@given(st.lists(st.integers(1, 20), max_size=60), st.integers(20, 100), st.integers(1, 12), st.integers(0, 6))
def test_windows_cover_every_sentence_in_order_and_fit(costs, room, size, overlap):
    found = make_windows(costs, room=room, size=size, overlap=overlap)
    assert {at for window in found for at in window} == set(range(len(costs)))
    for window in found:
        assert 0 < len(window) <= size
        assert sum(costs[at] for at in window) <= room
    for one, following in pairwise(found):
        assert one.start < following.start <= one.stop < following.stop
        shared = one.stop - following.start
        wanted = min(overlap, len(one) // 2)
        assert shared == wanted or (shared < wanted and sum(costs[following.start - 1 : one.stop + 1]) > room)


@given(st.lists(st.integers(1, 20), max_size=60), st.integers(20, 100), st.integers(1, 12))
def test_a_window_ends_only_if_full(costs, room, size):
    for window in make_windows(costs, room=room, size=size, overlap=0)[:-1]:
        assert len(window) == size or sum(costs[at] for at in window) + costs[window.stop] > room


def test_windows_of_equal_sentences():
    assert make_windows([1] * 10, room=100, size=4, overlap=2) == [range(4), range(2, 6), range(4, 8), range(6, 10)]
    assert make_windows([], room=100, size=4, overlap=2) == []


@pytest.mark.parametrize(("at", "around"), [(4, 0), (5, 1), (6, 1), (7, 0)])
def test_context_size_is_that_of_the_smaller_side(at, around):
    assert context_size(at, range(4, 8), 20) == around


def test_beginning_and_end_of_the_judgment_do_not_limit_the_context():
    assert context_size(0, range(4), 20) == 3
    assert context_size(19, range(16, 20), 20) == 3
    assert context_size(1, range(4), 4) == float("inf")


def test_a_long_sentence_keeps_both_ends():
    words = "The tenant\n took " + "very " * 100 + "many rooms."
    found = shortened(words, 40)
    assert len(found) <= 40
    assert found.startswith("The tenant took")
    assert found.endswith("many rooms.")
    assert ELLIPSIS in found
    assert shortened("He paid\n\trent.", 40) == "He paid rent."
