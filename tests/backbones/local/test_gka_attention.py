"""A Gated KalmaNet layer in place of attention: masks, packed sequences, caches."""

from itertools import pairwise

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import AutoConfig, DynamicCache
from transformers.masking_utils import create_causal_mask

from gated_kalmanet import GatedKalmaNetConfig
from legalrr.backbones.local.gka_model import GkaAttention, padding_mask, sequence_boundaries
from legalrr.backbones.local.shared_prefix_attention import register

TOLERANCE = 1e-5


@pytest.fixture(scope="module")
def layer():
    torch.manual_seed(0)
    config = GatedKalmaNetConfig(
        hidden_size=32, head_dim=8, num_q_heads=4, num_k_heads=2, num_v_heads=2, num_iter=10, chunk_size=16
    )
    return GkaAttention(config, 1).eval()


@pytest.fixture(scope="module")
def definition(layer):
    """The same layer with the naive operator, token by token."""
    twin = GkaAttention(type(layer.config)(**vars(layer.config) | {"backend": "naive"}), 1)
    twin.load_state_dict(layer.state_dict())
    return twin.eval()


def a_cache():
    config = AutoConfig.for_model("llama", num_hidden_layers=2, layer_types=["full_attention", "linear_attention"])
    config.number_of_conv_states = 3
    return DynamicCache(config=config)


def near(one, other):
    return (one - other).abs().max() <= TOLERANCE * max(1, other.abs().max())


def test_a_call_equals_the_definition_for_any_chunks_and_padding(layer, definition):
    hidden = torch.randn(2, 40, 32)
    with torch.inference_mode():
        wanted, weights = definition(hidden_states=hidden, position_embeddings=None, use_cache=False)
        assert weights is None
        assert near(layer(hidden_states=hidden)[0], wanted)
        cache, pieces = a_cache(), [0, 13, 14, 30, 40]
        parts = [layer(hidden_states=hidden[:, begin:end], past_key_values=cache)[0] for begin, end in pairwise(pieces)]
        assert near(torch.cat(parts, 1), wanted)
        padded = torch.cat([torch.full((2, 5, 32), 7.0), hidden], 1)
        mask = torch.ones(2, 45)
        mask[:, :5] = 0
        assert near(layer(hidden_states=padded, attention_mask=mask)[0][:, 5:], wanted)


@pytest.mark.parametrize("attention", ["sdpa", "eager", "split"])
@given(
    gaps=st.lists(st.integers(0, 6), min_size=1, max_size=3),
    past=st.integers(0, 4),
    new=st.integers(1, 6),
    side=st.sampled_from(["left", "right"]),
)
@settings(max_examples=25)
def test_padding_is_derived_from_the_mask_of_every_attention(attention, gaps, past, new, side):
    register()
    config = AutoConfig.for_model("llama", num_hidden_layers=1)
    config._attn_implementation = attention
    length = max(max(gaps) + 1, past + new)
    past = length - new
    rows = [[0] * gap + [1] * (length - gap) for gap in gaps]
    given_mask = torch.tensor([row if side == "left" else row[::-1] for row in rows])
    cache = DynamicCache(config=config)
    if past:
        cache.update(torch.zeros(len(gaps), 1, past, 1), torch.zeros(len(gaps), 1, past, 1), 0)
    mask = create_causal_mask(
        config=config, inputs_embeds=torch.zeros(len(gaps), new, 4), attention_mask=given_mask, past_key_values=cache
    )
    found = padding_mask(mask, new)
    whole = torch.ones(len(gaps), new, dtype=torch.bool)
    assert torch.equal(whole if found is None else found, given_mask[:, -new:].bool())
    assert torch.equal(padding_mask(given_mask, new), given_mask[:, -new:].bool())


def test_an_unsupported_mask_is_refused():
    with pytest.raises(TypeError, match=r"cannot read a mask of dict: use attention split, sdpa or eager"):
        padding_mask({"full_attention": None}, 3)


def test_a_jump_of_positions_begins_a_sequence():
    assert sequence_boundaries(torch.arange(5)[None]) is None
    assert sequence_boundaries(torch.arange(3, 8).expand(2, -1)) is None
    assert sequence_boundaries(torch.tensor([[0, 1, 2, 0, 1, 0]])).tolist() == [0, 3, 5, 6]
    assert sequence_boundaries(torch.tensor([[4, 5, 6], [0, 0, 1]])).tolist() == [0, 3, 4, 6]


@pytest.mark.parametrize("argument", ["cu_seqlens", "cu_seq_lens_q", "position_ids"])
def test_packed_sequences_equal_separate_ones(layer, argument):
    lengths = [7, 1, 20]
    alone = [torch.randn(1, length, 32) for length in lengths]
    ends = torch.tensor([0, 7, 8, 28], dtype=torch.int32)
    arguments = {"position_ids": torch.cat([torch.arange(n) for n in lengths])[None]}
    if argument != "position_ids":
        arguments = {argument: ends}
    # The mask of packed sequences shows that there is no padding.
    mask = torch.block_diag(*(torch.ones(n, n).tril() for n in lengths)).bool()[None, None]
    with torch.inference_mode():
        together, _ = layer(hidden_states=torch.cat(alone, 1), attention_mask=mask, **arguments)
        for part, hidden in zip(together.split(lengths, 1), alone, strict=True):
            assert near(part, layer(hidden_states=hidden)[0])


def test_rows_of_packed_sequences_equal_separate_ones(layer):
    hidden = torch.randn(2, 10, 32)
    positions = torch.tensor([[*range(4), *range(6)], [*range(10)]])
    with torch.inference_mode():
        got, _ = layer(hidden_states=hidden, position_ids=positions)
        parts = (hidden[:1, :4], hidden[:1, 4:])
        assert near(got[:1], torch.cat([layer(hidden_states=part)[0] for part in parts], 1))
        assert near(got[1:], layer(hidden_states=hidden[1:])[0])


def test_positions_of_padding_begin_no_sequence(layer):
    hidden = torch.randn(1, 9, 32)
    mask = torch.tensor([[0, 0, 0, 1, 1, 1, 1, 1, 1]])
    positions = (mask.cumsum(-1) - 1).clamp(min=0)
    with torch.inference_mode():
        got, _ = layer(hidden_states=hidden, attention_mask=mask, position_ids=positions)
        assert near(got[:, 3:], layer(hidden_states=hidden[:, 3:])[0])


def test_a_cache_without_a_state_for_the_layer_is_refused(layer):
    with pytest.raises(ValueError, match=r"layer 1 of the cache is a DynamicLayer, which has no state of a GKA"):
        layer(
            hidden_states=torch.randn(1, 2, 32),
            past_key_values=DynamicCache(config=AutoConfig.for_model("llama", num_hidden_layers=2)),
        )


def test_packed_sequences_with_a_cache_are_refused(layer):
    with pytest.raises(ValueError, match=r"cannot be combined"):
        layer(hidden_states=torch.randn(1, 4, 32), past_key_values=a_cache(), cu_seqlens=torch.tensor([0, 2, 4]))


def test_19_states_passed_between_ranks_give_the_gradients_of_one_run(layer):
    from gated_kalmanet import GatedKalmaNet, LayerCache

    hidden = torch.randn(1, 48, 32, requires_grad=True)
    toward = torch.randn(1, 48, 32)
    names, parameters = zip(*layer.named_parameters(), strict=True)
    whole = GatedKalmaNet.forward(layer, hidden)
    wanted = torch.autograd.grad((whole * toward).sum(), (hidden, *parameters))
    # A rank of a split sequence gets the cache from its predecessor, and returns the gradient of the cache.
    cache = LayerCache()
    parts = [GatedKalmaNet.forward(layer, part, cache=cache) for part in hidden.split(17, dim=1)]
    assert near(torch.cat(parts, 1), whole)
    got = torch.autograd.grad((torch.cat(parts, 1) * toward).sum(), (hidden, *parameters))
    for name, one, other in zip(("hidden", *names), got, wanted, strict=True):
        assert (one - other).abs().max() <= 1e-4 * other.abs().max(), name


def test_19_half_of_the_heads_on_each_of_two_ranks_give_the_sum_of_their_outputs(layer):
    hidden = torch.randn(1, 30, 32)
    sizes = {"num_q_heads": 2, "num_k_heads": 1, "num_v_heads": 1}
    ranks = [GkaAttention(type(layer.config)(**vars(layer.config) | sizes), 1).eval() for _ in range(2)]
    for rank, half in enumerate(ranks):
        state = {}
        for name, weight in layer.state_dict().items():
            axis = 1 if name == "o_proj.weight" else 0
            state[name] = weight if name == "o_norm.weight" else weight.chunk(2, axis)[rank]
        half.load_state_dict(state)
    with torch.inference_mode():
        assert near(sum(half(hidden_states=hidden)[0] for half in ranks), layer(hidden_states=hidden)[0])
