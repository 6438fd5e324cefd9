# ruff: noqa: N803 - the names of the paper
"""Equal results for any split into calls: both kinds of caches, padding on any side, packed sequences.

Numbers in the names refer to the list of tests in kernels/gated_kalmanet/README.md.
"""

from collections.abc import Callable
from itertools import pairwise

import pytest
import torch
from torch import Tensor
from transformers.cache_utils import LinearAttentionLayer

from gated_kalmanet.layer import GatedKalmaNet
from gated_kalmanet.state import Cache, LayerCache

Build = Callable[..., GatedKalmaNet]
CLOSE = {"rtol": 1e-9, "atol": 1e-12}
"""Tolerance in float64: the solve and the output norm each amplify rounding errors by some hundreds."""


def read(B: int = 2, T: int = 30, dtype: torch.dtype = torch.float64, seed: int = 1) -> Tensor:
    return torch.randn(B, T, 24, dtype=torch.float64, generator=torch.Generator().manual_seed(seed)).to(dtype)


@pytest.fixture(params=["own", "transformers"])
def cache(request: pytest.FixtureRequest) -> Cache:
    """A cache of this package, or a layer of the transformers cache for linear attention."""
    return LayerCache() if request.param == "own" else LinearAttentionLayer(number_of_states=3)


@pytest.mark.parametrize("ends", [(0, 26, 27, 28, 29, 30), (0, 1, 2, 3, 30), (0, 2, 9, 30), (0, 30)])
def test_5_6_any_pieces_give_what_one_call_gives(build: Build, cache: Cache, ends: tuple[int, ...]) -> None:
    layer, h = build(chunk_size=8), read()
    with torch.no_grad():
        pieces = [layer(h[:, a:b], cache=cache) for a, b in pairwise(ends)]
        torch.testing.assert_close(torch.cat(pieces, 1), layer(h), **CLOSE)
    whole = LayerCache()
    layer(h, cache=whole)
    for number in (0, 1):
        torch.testing.assert_close(cache.recurrent_states[number], whole.recurrent_states[number], **CLOSE)
    for number in (0, 1, 2):
        torch.testing.assert_close(cache.conv_states[number], whole.conv_states[number])


def test_5_the_cache_holds_two_states_and_the_last_four_inputs(build: Build, cache: Cache) -> None:
    layer, h = build(torch.bfloat16), read(dtype=torch.bfloat16)
    with torch.no_grad():
        layer(h, cache=cache)
    for number, channels in ((0, 24), (1, 12), (2, 12)):
        assert (cache.conv_states[number].shape, cache.conv_states[number].dtype) == ((2, channels, 4), torch.bfloat16)
    for number in (0, 1):
        state = cache.recurrent_states[number]
        assert (state.shape, state.dtype) == ((2, 4, 6, 6), torch.float32)
    torch.testing.assert_close(cache.conv_states[0], layer.q_proj(h)[:, -4:].mT)
    assert layer.config.number_of_states == 3
    assert build(use_v_conv=False).config.number_of_states == 2


def test_6_a_cache_of_transformers_can_be_emptied_and_reordered(build: Build) -> None:
    layer, h, cache = build(), read(), LinearAttentionLayer(number_of_states=3)
    with torch.no_grad():
        first = layer(h, cache=cache)
        cache.reorder_cache(torch.tensor([1, 0]))
        torch.testing.assert_close(
            layer(h[:, :1].flip(0), cache=cache).flip(0), layer(torch.cat([h, h[:, :1]], 1))[:, -1:]
        )
        cache.reset()
        torch.testing.assert_close(layer(h, cache=cache), first)


def test_6_a_gradient_flows_through_a_carried_cache(build: Build) -> None:
    layer, h, cache = build(), read().requires_grad_(), LayerCache()
    (whole,) = torch.autograd.grad(layer(h).square().sum(), h)
    pieces = layer(h[:, :11], cache=cache).square().sum() + layer(h[:, 11:], cache=cache).square().sum()
    torch.testing.assert_close(torch.autograd.grad(pieces, h)[0], whole)


@pytest.mark.parametrize("side", ["left", "right", "holes"])
def test_7_padding_on_any_side_changes_nothing(build: Build, cache: Cache, side: str) -> None:
    layer, h = build(), read(B=3, T=20)
    mask = torch.ones(3, 20, dtype=torch.bool)
    for row, n in enumerate((0, 2, 11)):
        place = {"left": slice(0, n), "right": slice(20 - n, 20), "holes": slice(3, 3 + n)}[side]
        mask[row, place] = False
    h = h.masked_fill(~mask[..., None], torch.nan)
    after = read(B=3, T=3, seed=5)
    with torch.no_grad():
        padded, onward = layer(h, mask=mask, cache=cache), layer(after, cache=cache)
        assert padded[~mask].abs().sum() == 0
        for row, keep in enumerate(mask):
            alone = layer(torch.cat([h[row, keep], after[row]])[None])[0]
            torch.testing.assert_close(padded[row, keep], alone[:-3], **CLOSE)
            torch.testing.assert_close(onward[row], alone[-3:], **CLOSE)


def test_7_padding_of_a_later_piece_changes_nothing_either(build: Build, cache: Cache) -> None:
    layer, h = build(), read(T=14)
    mask = torch.ones(2, 6, dtype=torch.bool)
    mask[0, :2], mask[1, 4:] = False, False
    with torch.no_grad():
        layer(h[:, :8], cache=cache)
        piece, last = layer(h[:, 8:], cache=cache, mask=mask), layer(h[:, :1], cache=cache)
        for row, keep in enumerate(mask):
            alone = layer(torch.cat([h[row, :8], h[row, 8:][keep], h[row, :1]])[None])[0]
            torch.testing.assert_close(piece[row, keep], alone[8:-1], **CLOSE)
            torch.testing.assert_close(last[row], alone[-1:], **CLOSE)


def test_7_packed_sequences_equal_themselves_alone(build: Build) -> None:
    layer, h, ends = build(), read(B=1), [0, 1, 3, 3, 17, 30]
    with torch.no_grad():
        packed = layer(h, cu_seqlens=torch.tensor(ends, dtype=torch.int32))
        for a, b in pairwise(ends):
            torch.testing.assert_close(packed[:, a:b], layer(h[:, a:b]), **CLOSE)


def test_5_the_triton_form_reads_and_decodes_as_the_chunk_wise_form_does(build: Build, cache: Cache) -> None:
    small = {"num_q_heads": 2, "num_k_heads": 1, "num_v_heads": 1, "num_iter": 5}
    kernels, chunk = build(torch.float32, backend="triton", chunk_size=16, **small), build(torch.float32, **small)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    kernels, chunk, h = kernels.to(device), chunk.to(device), read(B=1, T=22, dtype=torch.float32).to(device)
    with torch.no_grad():
        # Prefill of 17 tokens, then decode of one, two, and two of which one is padding.
        pieces = [kernels(h[:, a:b], cache=cache) for a, b in ((0, 17), (17, 18), (18, 20))]
        last = kernels(h[:, 20:], cache=cache, mask=torch.tensor([[True, False]], device=device))
        expected = chunk(h[:, :21])
    found = torch.cat([*pieces, last[:, :1]], dim=1)
    # Rounding error of float32, amplified by the solve (51) and the output norm.
    assert float((found - expected).norm() / expected.norm()) <= 1e-4
    assert last[:, 1].abs().max() == 0
