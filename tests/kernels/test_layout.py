"""The split into chunks: every token has one position, and every group can be computed together."""

import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from gated_kalmanet.layout import Layout


@settings(deadline=None, max_examples=80)
@given(st.lists(st.integers(0, 40), max_size=8), st.integers(1, 9), st.integers(1, 12))
def test_every_token_has_one_place_and_every_group_fits(lengths: list[int], size: int, together: int) -> None:
    tokens = torch.arange(sum(lengths)) + 100
    layout = Layout.of(tokens, lengths, size, together)
    assert sorted(layout.index[layout.filled].tolist()) == tokens.tolist()
    assert layout.full == bool(layout.filled.all())
    ends = [group.chunks.stop for group in layout.groups]
    assert [group.chunks.start for group in layout.groups] == [0, *ends][: len(ends)]
    for group in layout.groups:
        count = group.chunks.stop - group.chunks.start
        assert count == sum(group.steps) <= together
        # Sequences that continue come first, so that the scan can slice the states.
        assert list(group.steps) == sorted(group.steps, reverse=True)
        assert group.steps[0] <= group.rows.stop - group.rows.start


@settings(deadline=None, max_examples=80)
@given(st.lists(st.integers(0, 40), min_size=1, max_size=8), st.integers(1, 9), st.integers(1, 12))
def test_the_chunks_of_a_sequence_follow_each_other(lengths: list[int], size: int, together: int) -> None:
    layout = Layout.of(torch.arange(sum(lengths)), lengths, size, together)
    read: list[list[int]] = [[] for _ in lengths]
    for group in layout.groups:
        place = group.chunks.start
        for running in group.steps:
            for row in range(group.rows.start, group.rows.start + running):
                read[int(layout.sequences[row])] += layout.index[place][layout.filled[place]].tolist()
                place += 1
    assert read == [part.tolist() for part in torch.arange(sum(lengths)).split(lengths)]


@settings(deadline=None)
@given(st.integers(1, 5), st.integers(1, 9))
def test_what_is_packed_is_unpacked(tokens: int, size: int) -> None:
    x = torch.randn(2, tokens, 3, 4)
    layout = Layout.of(torch.arange(2 * tokens), [tokens, tokens], size, 2)
    packed = layout.pack(x)
    assert packed.shape == (2 * -(-tokens // size), 3, size, 4)
    assert torch.equal(layout.unpack(packed, 2, tokens), x)
    assert packed.mT[~layout.filled[:, None, None].expand_as(packed.mT)].abs().sum() == 0
