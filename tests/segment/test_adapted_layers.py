"""The adapted layers against transformers, and what blocks, pooling and parts of an example keep."""

import pytest
import torch
from transformers import LlamaConfig, LlamaModel

from legalrr.segment.adapted_layers import BlockReader, Example, LanguageModelLayers, LowRank, SentencePooling

HIDDEN = 16


@pytest.fixture
def llama() -> LlamaModel:
    torch.manual_seed(1)
    config = LlamaConfig(
        vocab_size=30,
        hidden_size=HIDDEN,
        intermediate_size=24,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        initializer_range=0.4,
        attn_implementation="sdpa",
    )
    return LlamaModel(config).eval()


def make_reader(llama: LlamaModel, block: int = 4, margin: int = 2) -> BlockReader:
    layers = LanguageModelLayers(layers=list(llama.layers), rotary=llama.rotary_emb)
    return BlockReader(layers, llama.norm, rank=2, block=block, margin=margin)


def test_layers_one_by_one_equal_the_whole_model(llama):
    ids = torch.arange(12)[None]
    run = LanguageModelLayers(layers=list(llama.layers), rotary=llama.rotary_emb)
    with torch.no_grad():
        expected = llama(ids).last_hidden_state
        assert torch.allclose(llama.norm(run(llama.embed_tokens(ids))), expected, atol=1e-6)


def test_an_untrained_adapter_changes_nothing_and_only_its_matrices_are_trained():
    torch.manual_seed(0)
    frozen = torch.nn.Linear(6, 5)
    adapted = LowRank(frozen, 2)
    inputs = torch.randn(3, 6)
    assert torch.equal(adapted(inputs), frozen(inputs))
    adapted(inputs).sum().backward()
    assert {name for name, weight in adapted.named_parameters() if weight.grad is not None} == {"down", "up"}
    with torch.no_grad():
        adapted.up.fill_(1.0)
    expected = inputs @ (frozen.weight + adapted.up @ adapted.down).T + frozen.bias
    assert torch.allclose(adapted(inputs), expected, atol=1e-6)


def test_a_token_sees_what_follows_it_within_its_block_and_margin(llama):
    reader = make_reader(llama, block=4, margin=2)
    states = torch.randn(12, HIDDEN)
    with torch.no_grad():
        before = reader(states)
        changed = states.clone()
        changed[9] = torch.randn(HIDDEN)
        moved = (reader(changed) - before).abs().amax(1) > 1e-6
    # Token 9 is in the block of 8 to 11, and in the margin of the block of 4 to 7.
    assert moved.tolist() == [False] * 4 + [True] * 8


def test_blocks_that_hold_everything_in_their_margins_equal_one_block(llama):
    states = torch.randn(10, HIDDEN)
    with torch.no_grad():
        whole = make_reader(llama, block=10, margin=0)(states)
        assert torch.allclose(make_reader(llama, block=4, margin=10)(states), whole, atol=1e-5)


def test_a_judgment_without_tokens_has_no_states(llama):
    assert make_reader(llama)(torch.zeros(0, HIDDEN)).shape == (0, HIDDEN)


def test_untrained_pooling_is_the_mean_and_zero_without_tokens():
    pooling = SentencePooling(3, 2)
    states = torch.tensor([[1.0, 2, 3], [3, 4, 5], [9, 9, 9]])
    pooled = pooling(states, torch.tensor([0, 0, 2]), 4)
    assert pooled.detach().tolist() == [[2.0, 3, 4] * 3, [0.0] * 9, [9.0] * 9, [0.0] * 9]


def test_learned_pooling_weighs_tokens_by_the_softmax_of_their_scores():
    torch.manual_seed(0)
    pooling = SentencePooling(3, 1)
    torch.nn.init.normal_(pooling.weigh.weight, std=30.0)
    states = torch.randn(5, 3)
    pooled = pooling(states, torch.tensor([0, 0, 0, 1, 1]), 2)
    weights = torch.softmax(pooling.weigh(states[:3])[:, 0], 0)
    assert torch.allclose(pooled[0, 3:], weights @ states[:3], atol=1e-6)
    assert torch.isfinite(pooled).all()


def test_a_part_has_the_tokens_of_its_sentences():
    example = Example(
        scheme="seven",
        states=torch.arange(6.0)[:, None],
        owners=torch.tensor([0, 0, 1, 3, 3, 4]),
        extra=torch.arange(5.0)[:, None],
        roles=torch.arange(5),
    )
    part = example.part(1, 4)
    assert part.states[:, 0].tolist() == [2, 3, 4]
    assert part.owners.tolist() == [0, 2, 2]
    assert part.extra[:, 0].tolist() == part.roles.tolist() == [1, 2, 3]
