"""Split and shared-prefix attention against eager attention in float64."""

import itertools
from itertools import pairwise

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers.masking_utils import causal_mask_function, sdpa_mask

from legalrr.backbones.local.prefix_cache import common_prefix_length, depth_first_order
from legalrr.backbones.local.shared_prefix_attention import (
    MIN_SHARED_TOKENS,
    PREFIXES,
    Prefixes,
    find_shared_prefixes,
    split_attention,
    split_mask,
)

gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")


def tensors(past, new, *, dtype, device="cpu", batch=2, heads=4, groups=2, size=16):
    random = torch.Generator().manual_seed(past + 7 * new)
    lengths = (heads, new), (heads // groups, past + new), (heads // groups, past + new)
    return [torch.randn(batch, h, n, size, generator=random).to(device, dtype) for h, n in lengths]


def eager(query, key, value, scaling):
    """softmax(scaling q k + mask) v, of shape (batch, new, heads, size)."""
    groups = query.shape[1] // key.shape[1]
    key, value = key.repeat_interleave(groups, 1), value.repeat_interleave(groups, 1)
    new, every = query.shape[2], key.shape[2]
    seen = torch.arange(every)[None] <= torch.arange(every - new, every)[:, None]
    scores = (query @ key.transpose(2, 3) * scaling).masked_fill(~seen.to(query.device), -torch.inf)
    return (scores.softmax(-1) @ value).transpose(1, 2)


class Layer(torch.nn.Module):
    is_causal = True
    num_key_value_groups = 2


def split(query, key, value, scaling, mask=None, layer=None):
    return split_attention(layer or Layer(), query, key, value, mask, scaling=scaling, dropout=0.0)[0]


def masked(query, key, value, scaling):
    """The alternative to split attention: one kernel with one mask."""
    new, every = query.shape[2], key.shape[2]
    mask = sdpa_mask(
        batch_size=query.shape[0], q_length=new, kv_length=every, q_offset=every - new, device=query.device
    )
    return split(query, key, value, scaling, mask)


def check(past, new, dtype, device="cpu"):
    query, key, value = tensors(past, new, dtype=dtype, device=device)
    exact = eager(query.double(), key.double(), value.double(), 0.3)
    error = (split(query, key, value, 0.3) - exact).abs().max()
    # Two kernels and a mean have more rounding steps than one kernel, of the same size.
    allowed = 3 * (masked(query, key, value, 0.3) - exact).abs().max()
    assert error <= max(allowed, torch.finfo(dtype).eps), (error, allowed)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(("past", "new"), [(1, 2), (5, 40), (64, 3), (129, 65), (300, 200)])
def test_split_attention_is_as_exact_as_one_masked_kernel(past, new, dtype):
    check(past, new, dtype)


@pytest.mark.gpu
@gpu
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize(("past", "new"), [(1, 2), (129, 65), (4096, 1000)])
def test_split_attention_is_as_exact_on_an_accelerator(past, new, dtype):
    check(past, new, dtype, "cuda")


@pytest.mark.parametrize(("past", "new"), [(0, 8), (8, 1)])
def test_without_a_past_or_with_one_token_it_is_sdpa(past, new):
    query, key, value = tensors(past, new, dtype=torch.float64)
    torch.testing.assert_close(split(query, key, value, 0.3), eager(query, key, value, 0.3))


def test_a_part_with_far_greater_scores_takes_all_weight():
    query, key, value = tensors(4, 3, dtype=torch.float32)
    query[:], key[:, :, :4], key[:, :, 4:] = 1.0, 100.0, -100.0
    torch.testing.assert_close(split(query, key, value, 1.0)[:, -1, 0], value[:, 0, :4].mean(1))
    key *= -1
    torch.testing.assert_close(split(query, key, value, 1.0)[:, -1, 0], value[:, 0, 4:].mean(1))


def test_attention_that_is_not_causal_is_sdpa():
    class Encoder(Layer):
        is_causal = False

    query, key, value = tensors(3, 3, dtype=torch.float64)
    whole = torch.nn.functional.scaled_dot_product_attention(query, key, value, scale=0.3, enable_gqa=True)
    torch.testing.assert_close(split(query, key, value, 0.3, layer=Encoder()), whole.transpose(1, 2))


def test_causal_attention_has_no_mask_and_everything_else_sdpas():
    sizes = {"batch_size": 1, "q_length": 3, "kv_length": 8, "q_offset": 5, "mask_function": causal_mask_function}
    assert split_mask(**sizes) is None
    for change in (
        {"attention_mask": torch.tensor([[0] + [1] * 7], dtype=torch.bool)},
        {"allow_is_causal_skip": False},
        {"local_size": 4},
        {"kv_length": 12},
    ):
        assert torch.equal(split_mask(**sizes | change), sdpa_mask(**sizes | change))


LONG = MIN_SHARED_TOKENS + 6
texts = st.lists(st.sampled_from([MIN_SHARED_TOKENS - 1, MIN_SHARED_TOKENS, LONG]), min_size=1, max_size=3)


@st.composite
def prompts(draw):
    """Prompts in depth-first order, some with long shared prefixes."""
    stems = [np.full(length, 10 + i) for i, length in enumerate(draw(texts))]
    made = []
    for row in range(draw(st.integers(1, 7))):
        stem = draw(st.sampled_from(stems))
        made.append(np.concatenate([stem, np.full(draw(st.integers(1, 9)), row)]))
    return [made[place] for place in depth_first_order(made, [len(one) for one in made])]


def saved(held):
    """Number of reads that shared prefixes save."""
    return sum((part.rows.stop - part.rows.start - 1) * part.tokens for part in held)


def most(rows):
    """The maximum number of saved reads, by trying all partitions of the rows."""
    if not rows:
        return 0
    found = 0
    for first in range(len(rows)):
        length = min(common_prefix_length(rows[first], one) for one in rows[first:])
        alone = len(rows) - first == 1
        if alone or length >= MIN_SHARED_TOKENS:
            found = max(found, most(rows[:first]) + (0 if alone else (len(rows) - first - 1) * length))
    return found


@given(prompts())
def test_shared_prefixes_are_common_and_save_the_most_reads(rows):
    held = find_shared_prefixes(rows)
    assert saved(held) == most(rows)
    assert [row for part in held for row in range(part.rows.start, part.rows.stop)] == list(range(len(rows)))
    for part in held:
        for row in range(part.rows.start, part.rows.stop):
            assert common_prefix_length(rows[part.rows.start], rows[row]) >= part.tokens


def batch(rows, new, *, dtype, heads=4, groups=2, size=8):
    """Query, keys, values and mask of a padded batch, with equal keys and values in shared prefixes."""
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


def without_prefixes(rows, new, query, key, value):
    """Keys and values after the shared prefixes, each prefix in two parts if it can be."""
    held = find_shared_prefixes(rows)
    width = key.shape[2] - new
    lengths = [part.tokens for part in held for _ in range(part.rows.start, part.rows.stop)]
    columns = max(len(ids) - length for ids, length in zip(rows, lengths, strict=True))
    groups = []
    for part in held:
        row = part.rows.start
        start = width - len(rows[row])
        cuts = sorted({0, part.tokens // 3, part.tokens})
        parts = tuple(
            tuple(tensor[row : row + 1, :, start + one : start + other] for tensor in (key, value))
            for one, other in pairwise(cuts)
        )
        groups.append((part.rows, parts))
    rest = tuple(columns - (len(ids) - length) for ids, length in zip(rows, lengths, strict=True))
    mine = key[:, :, width - columns :].clone()
    setattr(mine, PREFIXES, Prefixes(groups=tuple(groups), rest=rest))
    return query, mine, value[:, :, width - columns :].clone()


@given(prompts(), st.integers(1, 5))
def test_shared_prefix_attention_is_as_exact_as_one_masked_kernel(rows, new):
    exact = split_attention(Layer(), *batch(rows, new, dtype=torch.float64), scaling=0.3)[0]
    query, key, value, mask = batch(rows, new, dtype=torch.float32)
    masked = split_attention(Layer(), query, key, value, mask, scaling=0.3)[0]
    found = split_attention(Layer(), *without_prefixes(rows, new, query, key, value), mask, scaling=0.3)[0]
    # Kernels for parts and their means have more rounding steps than one kernel, of the same size.
    allowed = max(4 * (masked - exact).abs().max(), 4 * torch.finfo(torch.float32).eps * value.abs().max())
    assert (found - exact).abs().max() <= allowed


@pytest.mark.parametrize("copies", [1, 3])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(("prefix", "own", "new"), [((40,), 0, 7), ((40, 3), 5, 7), ((1, 80), 0, 2), ((9,), 4, 1)])
def test_new_tokens_attend_to_the_parts_of_a_prefix_as_to_one_past(prefix, own, new, dtype, copies):
    query, key, value = tensors(sum(prefix) + own, new, dtype=dtype, batch=1)
    exact = eager(query.double(), key.double(), value.double(), 0.3)
    allowed = 4 * (masked(query, key, value, 0.3) - exact).abs().max()
    cuts = [0, *itertools.accumulate(prefix)]
    parts = tuple(tuple(tensor[:, :, one:other] for tensor in (key, value)) for one, other in pairwise(cuts))
    mine, its, asked = (
        tensor.expand(copies, -1, -1, -1).clone() for tensor in (key[:, :, cuts[-1] :], value[:, :, cuts[-1] :], query)
    )
    prefixes = Prefixes(groups=((slice(0, copies), parts),))
    setattr(mine, PREFIXES, prefixes)
    error = (split(asked, mine, its, 0.3) - exact).abs().max()
    assert error <= max(allowed, torch.finfo(dtype).eps), (error, allowed)
    assert prefixes.read


def test_a_row_of_its_own_has_its_whole_prompt_as_prefix():
    lone, shared = np.arange(1000, 1300), np.arange(LONG)
    held = find_shared_prefixes([np.append(shared, 7), np.append(shared, 8), lone])
    assert [(part.rows, part.tokens) for part in held] == [(slice(0, 2), LONG), (slice(2, 3), 300)]
