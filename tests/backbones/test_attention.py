"""Split attention against eager attention in float64."""

import pytest
import torch
from transformers.masking_utils import causal_mask_function, sdpa_mask

from legalrr.backbones.attention import split_attention, split_mask

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
    """What split attention stands in for: one kernel under one mask."""
    new, every = query.shape[2], key.shape[2]
    mask = sdpa_mask(
        batch_size=query.shape[0], q_length=new, kv_length=every, q_offset=every - new, device=query.device
    )
    return split(query, key, value, scaling, mask)


def check(past, new, dtype, device="cpu"):
    query, key, value = tensors(past, new, dtype=dtype, device=device)
    exact = eager(query.double(), key.double(), value.double(), 0.3)
    error = (split(query, key, value, 0.3) - exact).abs().max()
    # Two kernels and a mean round more often than one kernel does, each time by no more than it.
    allowed = 3 * (masked(query, key, value, 0.3) - exact).abs().max()
    assert error <= max(allowed, torch.finfo(dtype).eps), (error, allowed)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize(("past", "new"), [(1, 2), (5, 40), (64, 3), (129, 65), (300, 200)])
def test_it_is_as_exact_as_one_kernel_under_a_mask(past, new, dtype):
    check(past, new, dtype)


@pytest.mark.gpu
@gpu
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize(("past", "new"), [(1, 2), (129, 65), (4096, 1000)])
def test_it_is_as_exact_on_an_accelerator(past, new, dtype):
    check(past, new, dtype, "cuda")


@pytest.mark.parametrize(("past", "new"), [(0, 8), (8, 1)])
def test_without_a_past_or_with_one_token_it_is_the_librarys(past, new):
    query, key, value = tensors(past, new, dtype=torch.float64)
    torch.testing.assert_close(split(query, key, value, 0.3), eager(query, key, value, 0.3))


def test_a_far_more_likely_part_takes_all():
    query, key, value = tensors(4, 3, dtype=torch.float32)
    query[:], key[:, :, :4], key[:, :, 4:] = 1.0, 100.0, -100.0
    torch.testing.assert_close(split(query, key, value, 1.0)[:, -1, 0], value[:, 0, :4].mean(1))
    key *= -1
    torch.testing.assert_close(split(query, key, value, 1.0)[:, -1, 0], value[:, 0, 4:].mean(1))


def test_what_looks_ahead_is_left_to_the_library():
    class Encoder(Layer):
        is_causal = False

    query, key, value = tensors(3, 3, dtype=torch.float64)
    whole = torch.nn.functional.scaled_dot_product_attention(query, key, value, scale=0.3, enable_gqa=True)
    torch.testing.assert_close(split(query, key, value, 0.3, layer=Encoder()), whole.transpose(1, 2))


def test_causal_attention_to_a_past_has_no_mask_and_all_else_the_librarys():
    sizes = {"batch_size": 1, "q_length": 3, "kv_length": 8, "q_offset": 5, "mask_function": causal_mask_function}
    assert split_mask(**sizes) is None
    for change in (
        {"attention_mask": torch.tensor([[0] + [1] * 7], dtype=torch.bool)},
        {"allow_is_causal_skip": False},
        {"local_size": 4},
        {"kv_length": 12},
    ):
        assert torch.equal(split_mask(**sizes | change), sdpa_mask(**sizes | change))
