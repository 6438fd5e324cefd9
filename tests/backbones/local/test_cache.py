import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from transformers import AutoConfig
from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer

from legalrr.backbones.local.backbone import TransformersBackbone, forget_engine
from legalrr.backbones.local.cache import (
    GrowingLayer,
    WindowLayer,
    append_answer,
    cache_from_state,
    extract_state,
    require_prefixes_read,
    stack_states,
    unsupported_layers,
)
from legalrr.backbones.local.prefill import prefill_tokens
from legalrr.backbones.local.shared_prefix_attention import Prefixes
from legalrr.errors import UserError


@pytest.fixture(scope="module", params=["llama", "gemma3_text", "bamba", "falcon_h1"])
def model(request, family):
    forget_engine()
    return TransformersBackbone(name="m", model=str(family(request.param))).load().model


@pytest.fixture(autouse=True)
def parts_of_any_length(monkeypatch):
    """Read parts of states where they are, however short."""
    monkeypatch.setattr("legalrr.backbones.local.cache.SHORT", 1)


def prefilled(model, *lengths, prefix=None):
    with torch.inference_mode():
        return [prefill_tokens(model, list(range(3, 3 + length)), prefix, chunk=100) for length in lengths]


def tensors(state):
    """The tensors needed to continue from a state, with the parts of each layer joined."""
    kept = []
    for layer, first in enumerate(state.parts[0].keys):
        if first is not None:
            kept.append(torch.cat([part.keys[layer] for part in state.parts], dim=2))
            kept.append(torch.cat([part.values[layer] for part in state.parts], dim=2))
    return kept + [tensor for s in state.snapshots[-1:] for layer in s.layers for tensor in layer if tensor is not None]


@given(st.lists(st.integers(1, 5), min_size=1, max_size=6), st.integers(0, 12))
def test_a_growing_layer_equals_the_librarys_at_any_capacity(lengths, room):
    one, other = GrowingLayer(room), DynamicLayer()
    torch.manual_seed(0)
    for length in lengths:
        new = torch.randn(2, 3, length, 4), torch.randn(2, 3, length, 5)
        for mine, its in zip(one.update(*new), other.update(*new), strict=True):
            assert torch.equal(mine, its)
        assert one.get_seq_length() == other.get_seq_length()
        assert one.get_mask_sizes(2) == other.get_mask_sizes(2)


def test_within_its_capacity_a_layer_is_not_reallocated():
    layer = GrowingLayer(8)
    places = {layer.update(torch.ones(1, 1, 2, 4), torch.ones(1, 1, 2, 4))[0].data_ptr() for _ in range(4)}
    assert len(places) == 1


def test_continuing_from_a_state_does_not_modify_it(model):
    state = prefilled(model, 6)[0].state
    before = [tensor.clone() for tensor in tensors(state)]
    with torch.inference_mode():
        for copies in (1, 3):
            cache = cache_from_state(model.config, state, room=9, copies=copies)
            model(input_ids=torch.full((copies, 3), 7), past_key_values=cache, use_cache=True)
            assert cache.get_seq_length() == 9
    assert all(torch.equal(one, other) for one, other in zip(before, tensors(state), strict=True))


def test_a_continued_state_equals_one_that_is_computed_at_once(model):
    (whole,), (begun,) = prefilled(model, 9), prefilled(model, 4)
    (mine,) = prefilled(model, 9, prefix=begun.state)
    torch.testing.assert_close(mine.logits, whole.logits, rtol=1e-4, atol=1e-4)
    for one, other in zip(tensors(mine.state), tensors(whole.state), strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)


def test_a_continued_state_of_attention_shares_the_memory_of_its_prefix(family):
    forget_engine()
    model = TransformersBackbone(name="m", model=str(family("llama"))).load().model
    (begun,) = prefilled(model, 4)
    mine, other = (prefilled(model, length, prefix=begun.state)[0].state for length in (6, 9))
    assert [part.tokens for part in mine.parts] == [4, 2]
    assert mine.parts[0] is other.parts[0] is begun.state.parts[0]
    assert sum((mine.memory | other.memory).values()) == sum(
        s.nbytes for s in {p.storage for p in mine.parts + other.parts}
    )


@pytest.mark.parametrize("shared", [False, True])
def test_answers_of_a_batch_are_appended_to_their_own_states(model, shared):
    results = prefilled(model, 9, 4)
    if shared:
        results = prefilled(model, 9, 4, prefix=prefilled(model, 3)[0].state)
    cache = stack_states(model.config, [result.state for result in results], new=5)
    assert cache.get_seq_length() == 9
    torch.manual_seed(1)
    new = [
        torch.randn(2, *layer.keys.shape[1:2], 2, layer.keys.shape[3]) if hasattr(layer, "keys") else None
        for layer in cache.layers
    ]
    for layer, tensor in zip(cache.layers, new, strict=True):
        if tensor is not None:
            layer.update(tensor, -tensor)
    for row, result in enumerate(results):
        append_answer(result.cache, cache, row, new=2, end=11)
        ids = [*result.state.ids, 7, 7]
        state = extract_state(result.cache, ids, ())
        assert list(state.ids) == ids
        before = extract_state(result.cache, ids[:-2], ())
        for one, other in zip(tensors(before), tensors(result.state), strict=False):
            assert torch.equal(one, other)
        found = iter(tensors(state))
        for tensor in new:
            if tensor is not None:
                assert torch.equal(next(found)[:, :, -2:], tensor[row : row + 1])
                assert torch.equal(next(found)[:, :, -2:], -tensor[row : row + 1])


def test_a_state_of_a_cache_is_a_view_of_it(model):
    state = prefilled(model, 4)[0].state
    cache = cache_from_state(model.config, None)
    with torch.inference_mode():
        model(input_ids=torch.tensor([[3, 4, 5]]), past_key_values=cache, use_cache=True)
    (part,) = extract_state(cache, [3, 4], ()).parts
    assert part.keys[-1].data_ptr() == cache.layers[-1].keys.data_ptr()
    assert part.keys[-1].shape[2] == 2
    assert state.parts[0].tokens == 4


def test_prefixes_that_attention_has_not_read_are_an_error(family):
    cache = cache_from_state(AutoConfig.from_pretrained(family("llama")), None)
    require_prefixes_read(cache, "backbone")
    cache.layers[1].prefixes = Prefixes(groups=())
    with pytest.raises(UserError, match=r"^backbone\.attention: .* \(use sdpa or eager\)"):
        require_prefixes_read(cache, "backbone")


@given(st.lists(st.integers(1, 5), min_size=1, max_size=6), st.integers(2, 8), st.integers(0, 12))
def test_a_window_layer_shows_what_the_librarys_shows_and_keeps_everything(lengths, window, room):
    one, other = WindowLayer(room, window), DynamicSlidingWindowLayer(window)
    torch.manual_seed(0)
    for length in lengths:
        new = torch.randn(2, 3, length, 4), torch.randn(2, 3, length, 5)
        assert one.get_mask_sizes(length) == other.get_mask_sizes(length)
        for mine, its in zip(one.update(*new), other.update(*new), strict=True):
            assert torch.equal(mine, its)
        assert one.get_seq_length() == other.get_seq_length()
    assert one.keys.shape[2] == sum(lengths)


def test_layers_that_cannot_be_continued_are_named(family):
    config = AutoConfig.from_pretrained(family("gemma3"))
    assert unsupported_layers(config) == set()
    config.get_text_config().layer_types = ["hybrid_sliding", "full_attention"]
    assert unsupported_layers(config) == {"LinearAttentionAndSlidingWindowAttentionLayer"}
