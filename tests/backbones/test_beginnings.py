"""Beginnings that rows of a batch share, and attention that reads each of them once."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from legalrr.backbones.attention import BEGINNINGS, split_attention
from legalrr.backbones.beginnings import WORTHWHILE, beginnings
from legalrr.backbones.states import common
from legalrr.backbones.tree import walk

LONG = WORTHWHILE + 6
texts = st.lists(st.sampled_from([WORTHWHILE - 1, WORTHWHILE, LONG]), min_size=1, max_size=3)


@st.composite
def prompts(draw):
    """Prompts in the order of a tree, some of which share long beginnings."""
    stems = [np.full(length, 10 + i) for i, length in enumerate(draw(texts))]
    made = []
    for row in range(draw(st.integers(1, 7))):
        stem = draw(st.sampled_from(stems))
        made.append(np.concatenate([stem, np.full(draw(st.integers(1, 9)), row)]))
    return [made[place] for place in walk(made, [len(one) for one in made])]


def saved(rows, held):
    """Tokens that need not be read, for beginnings of rows."""
    parts = [] if held is None else held.parts
    return sum((p.rows.stop - p.rows.start - 1) * (p.columns.stop - p.columns.start) for p in parts)


def most(rows):
    """The most that can be saved, by trying all ways to cut the rows."""
    if not rows:
        return 0
    found = 0
    for first in range(len(rows)):
        length = min(common(rows[first], one) for one in rows[first:])
        alone = len(rows) - first == 1
        if alone or length >= WORTHWHILE:
            found = max(found, most(rows[:first]) + (0 if alone else (len(rows) - first - 1) * length))
    return found


@given(prompts())
def test_beginnings_are_what_rows_share_and_save_most(rows):
    held = beginnings(rows)
    assert saved(rows, held) == most(rows)
    if held is None:
        return
    width = max(map(len, rows))
    assert [row for part in held.parts for row in range(part.rows.start, part.rows.stop)] == list(range(len(rows)))
    for part in held.parts:
        length = part.columns.stop - part.columns.start
        assert part.columns.start == width - len(rows[part.rows.start])
        for row in range(part.rows.start, part.rows.stop):
            assert common(rows[part.rows.start], rows[row]) >= length
            assert held.rest[row] == width - len(rows[row]) + length


def batch(rows, new, *, dtype, heads=4, groups=2, size=8):
    """Query, keys, values and the mask of a padded batch, whose rows hold the same where they share a beginning."""
    width, kept = max(map(len, rows)) + new, heads // groups
    random = torch.Generator().manual_seed(0)
    pool = torch.randn(2, 13, width, kept, size, generator=random, dtype=dtype)
    key, value = (torch.zeros(len(rows), kept, width, size, dtype=dtype) for _ in range(2))
    mask = torch.zeros(len(rows), 1, 1, width, dtype=torch.bool)
    for row, ids in enumerate(rows):
        tokens = np.concatenate([ids, np.full(new, 9)])
        start = width - len(tokens)
        for place, token in enumerate(tokens):
            key[row, :, start + place], value[row, :, start + place] = pool[:, token, place]
        mask[row, ..., start:] = True
    query = torch.randn(len(rows), heads, 1, size, generator=random, dtype=dtype)
    return query, key, value, mask


class Layer(torch.nn.Module):
    is_causal = True
    num_key_value_groups = 2


@given(prompts(), st.integers(1, 5))
def test_attention_reads_shared_beginnings_once_and_is_as_exact_as_under_one_mask(rows, new):
    exact = split_attention(Layer(), *batch(rows, new, dtype=torch.float64), scaling=0.3)[0]
    query, key, value, mask = batch(rows, new, dtype=torch.float32)
    masked = split_attention(Layer(), query, key, value, mask, scaling=0.3)[0]
    setattr(key, BEGINNINGS, beginnings(rows))
    found = split_attention(Layer(), query, key, value, mask, scaling=0.3)[0]
    # Two kernels and a mean round more often than one kernel does, each time by no more than it.
    allowed = max(3 * (masked - exact).abs().max(), 4 * torch.finfo(torch.float32).eps * value.abs().max())
    assert (found - exact).abs().max() <= allowed


def test_a_row_by_itself_keeps_its_prompt_out_of_what_is_read_for_all():
    lone, shared = np.arange(1000, 1300), np.arange(LONG)
    held = beginnings([np.append(shared, 7), np.append(shared, 8), lone])
    assert held.rest == (299, 299, 300)


@pytest.mark.parametrize("rows", [[np.arange(200)], [np.arange(200), np.arange(500, 700)]], ids=["one", "strangers"])
def test_without_a_beginning_in_common_there_are_none(rows):
    assert beginnings(rows) is None
