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
    cache_from_state,
    extract_state,
    stack_states,
    unstack_state,
    unsupported_layers,
)
from legalrr.backbones.local.prefill import prefill_tokens


@pytest.fixture(scope="module", params=["llama", "gemma3_text", "bamba", "falcon_h1"])
def model(request, family):
    forget_engine()
    return TransformersBackbone(name="m", model=str(family(request.param))).load().model


def states_of(model, *lengths):
    with torch.inference_mode():
        return [prefill_tokens(model, list(range(3, 3 + length)), chunk=100).state for length in lengths]


def tensors(state):
    """The tensors needed to continue from a state."""
    kept = [tensor for tensor in (*state.keys, *state.values) if tensor is not None]
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
    (state,) = states_of(model, 6)
    before = [tensor.clone() for tensor in tensors(state)]
    with torch.inference_mode():
        for copies in (1, 3):
            cache = cache_from_state(model.config, state, room=9, copies=copies)
            model(input_ids=torch.full((copies, 3), 7), past_key_values=cache, use_cache=True)
            assert cache.get_seq_length() == 9
    assert all(torch.equal(one, other) for one, other in zip(before, tensors(state), strict=True))


def test_stacked_states_are_unstacked_unchanged(model):
    made = states_of(model, 9, 4)
    cache = stack_states(model.config, made, new=5)
    for row, state in enumerate(made):
        back = unstack_state(cache, row, list(state.ids), end=9, start_state=state)
        assert list(back.ids) == list(state.ids)
        assert all(torch.equal(one, other) for one, other in zip(tensors(back), tensors(state), strict=True))


def test_a_recurrent_state_excludes_tokens_after_the_end_of_its_answer(model):
    made = states_of(model, 5, 5)
    cache = stack_states(model.config, made, new=3)
    with torch.inference_mode():
        model(input_ids=torch.full((2, 2), 7), past_key_values=cache, use_cache=True)
    ended = unstack_state(cache, 0, [*made[0].ids.tolist(), 7], end=6, start_state=made[0])
    whole = unstack_state(cache, 1, [*made[1].ids.tolist(), 7, 7], end=7, start_state=made[1])
    if made[0].snapshots:
        assert ended is made[0]
        assert whole.reusable_length(7) == 7
    else:
        assert (len(ended.ids), len(whole.ids)) == (6, 7)


def test_a_state_of_a_cache_is_a_view_of_it(model):
    (state,) = states_of(model, 4)
    cache = cache_from_state(model.config, state)
    assert extract_state(cache, [3, 4], ()).keys[-1].data_ptr() == cache.layers[-1].keys.data_ptr()


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
