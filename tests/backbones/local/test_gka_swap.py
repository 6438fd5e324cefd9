"""Attention replaced by Gated KalmaNet layers that start from its weights."""

import copy
from dataclasses import replace

import pytest
import torch
from transformers import MODEL_FOR_CAUSAL_LM_MAPPING, AutoModelForCausalLM, AutoModelForImageTextToText

from legalrr.backbones.local.checkpoint import model_class, open_config
from legalrr.backbones.local.gka_model import GkaAttention, gka_layers
from legalrr.backbones.local.gka_options import GkaOptions
from legalrr.backbones.local.gka_surgery import swap
from legalrr.errors import UserError

FAMILIES = ("llama", "mistral", "qwen2", "qwen3", "qwen3_vl", "qwen3_vl_moe")
OPTIONS = GkaOptions(num_iter=10)
TOLERANCE = 1e-4
HEADS, SHARED, SIZE = 4, 2, 16


@pytest.fixture
def plain(config_of):
    """Function (family, **changes) that builds a reproducible attention model of four layers."""

    def make(family, **changes):
        config = config_of(family, **{"num_hidden_layers": 4, "initializer_range": 0.1} | changes)
        auto = AutoModelForCausalLM if type(config) in MODEL_FOR_CAUSAL_LM_MAPPING else AutoModelForImageTextToText
        torch.manual_seed(5)
        model = auto.from_config(config).eval()
        for name, parameter in model.named_parameters():
            if name.endswith(("q_norm.weight", "k_norm.weight")):
                torch.nn.init.uniform_(parameter, 0.5, 2)
        return model

    return make


def layers_of(model):
    return model.get_decoder().layers


def logits(model, ids, **arguments):
    with torch.inference_mode():
        return model(input_ids=ids, **arguments).logits


@pytest.mark.parametrize("family", FAMILIES)
def test_projections_are_those_of_the_attention_and_the_output_gate_is_by_heads(plain, family):
    model = plain(family)
    before = copy.deepcopy(layers_of(model)[1].self_attn)
    swap(model, [1], OPTIONS)
    new = layers_of(model)[1].self_attn
    assert isinstance(new, GkaAttention)
    assert new.layer_idx == 1
    for name in ("q_proj", "k_proj", "v_proj", "o_proj"):
        assert torch.equal(getattr(new, name).weight, getattr(before, name).weight)
    for head in range(HEADS):
        rows = slice(head * SIZE, (head + 1) * SIZE)
        read = head // (HEADS // SHARED)
        values = before.v_proj.weight[read * SIZE : (read + 1) * SIZE]
        assert torch.equal(new.g_proj.weight[rows], (before.o_proj.weight[:, rows].T + values) / 2)


@pytest.mark.parametrize("family", FAMILIES)
def test_new_keys_and_queries_have_the_direction_of_attentions_before_rotation(plain, family):
    model = plain(family)
    if family == "qwen2":
        for layer in layers_of(model):
            for name in ("q_proj", "k_proj", "v_proj"):
                torch.nn.init.zeros_(getattr(layer.self_attn, name).bias)
    before = layers_of(model)[2].self_attn
    swap(model, [2], OPTIONS)
    new = layers_of(model)[2].self_attn
    hidden = 0.2 * torch.randn(1, 6, 64)
    with torch.inference_mode():
        for name in ("q", "k", "v"):
            heads = getattr(before, f"{name}_proj")(hidden).unflatten(-1, (-1, SIZE))
            wanted = getattr(before, f"{name}_norm", torch.nn.Identity())(heads)
            got = new.heads(getattr(new, f"{name}_conv1d")(getattr(new, f"{name}_proj")(hidden)))
            assert torch.nn.functional.cosine_similarity(got, wanted, dim=-1).min() > 0.99


@pytest.mark.parametrize("family", FAMILIES)
def test_nothing_but_the_chosen_layers_changes(plain, family):
    model, twin = plain(family), plain(family)
    swap(model, [1, 3], OPTIONS)
    assert gka_layers(model.config) == (1, 3)
    assert [isinstance(layer.self_attn, GkaAttention) for layer in layers_of(model)] == [False, True, False, True]
    changed = ("layers.1.self_attn.", "layers.3.self_attn.")
    mine, its = ({k: v for k, v in m.state_dict().items() if not any(c in k for c in changed)} for m in (model, twin))
    assert mine.keys() == its.keys()
    assert all(torch.equal(mine[name], its[name]) for name in mine)


@pytest.mark.parametrize("family", FAMILIES)
def test_chunks_single_tokens_and_padded_rows_equal_one_run(plain, family):
    model = plain(family)
    swap(model, [0, 2, 3], OPTIONS)
    ids = torch.randint(3, 250, (2, 30), generator=torch.Generator().manual_seed(1))
    wanted = logits(model, ids, use_cache=False)
    cache, parts = None, []
    for begin, end in ((0, 17), (17, 18), (18, 29), (29, 30)):
        with torch.inference_mode():
            output = model(
                input_ids=ids[:, begin:end],
                past_key_values=cache,
                use_cache=True,
                position_ids=torch.arange(begin, end).expand(2, -1),
            )
        cache = output.past_key_values
        parts.append(output.logits)
    assert (torch.cat(parts, 1) - wanted).abs().max() < TOLERANCE
    gaps = [3, 9]
    rows = [[258] * gap + row[: 30 - gap].tolist() for gap, row in zip(gaps, ids, strict=True)]
    mask = torch.tensor([[0] * gap + [1] * (30 - gap) for gap in gaps])
    positions = (mask.cumsum(-1) - 1).clamp(min=0)
    padded = logits(model, torch.tensor(rows), attention_mask=mask, position_ids=positions)
    for gap, row, alone in zip(gaps, padded, wanted, strict=True):
        assert (row[gap:] - alone[: 30 - gap]).abs().max() < TOLERANCE


@pytest.mark.parametrize("family", FAMILIES)
def test_packed_sequences_equal_separate_ones(plain, family):
    model = plain(family)
    swap(model, [1, 3], OPTIONS)
    lengths = (5, 12)
    ids = torch.randint(3, 250, (1, 17), generator=torch.Generator().manual_seed(2))
    positions = torch.cat([torch.arange(length) for length in lengths])[None]
    ends = torch.tensor([0, 5, 17], dtype=torch.int32)
    alone = torch.cat([logits(model, part, use_cache=False) for part in ids.split(lengths, 1)], 1)
    for boundaries in ({}, {"cu_seq_lens_q": ends}):
        got = logits(model, ids, position_ids=positions, use_cache=False, **boundaries)
        assert (got - alone).abs().max() < TOLERANCE


@pytest.mark.parametrize("family", FAMILIES)
def test_a_saved_hybrid_opens_as_a_hybrid(plain, family, tmp_path):
    model = plain(family)
    swap(model, [1, 3], GkaOptions(num_iter=7, ridge_strength=0.05))
    model.save_pretrained(tmp_path)
    config = open_config(tmp_path)
    auto = model_class(config, option="backbone")
    opened, report = auto.from_pretrained(tmp_path, config=config, output_loading_info=True)
    assert not any(report[fault] for fault in ("missing_keys", "unexpected_keys", "mismatched_keys"))
    assert type(opened) is type(model)
    assert gka_layers(config) == (1, 3)
    numbers = layers_of(opened)[3].self_attn.config
    assert (numbers.num_iter, numbers.ridge_strength) == (7, 0.05)
    ids = torch.randint(3, 250, (1, 20))
    assert torch.equal(logits(opened.eval(), ids), logits(model, ids))


def test_greedy_decoding_equals_recomputing_all_tokens_at_each_step(plain):
    model = plain("llama")
    swap(model, [1, 2], OPTIONS)
    ids = torch.randint(3, 250, (1, 12), generator=torch.Generator().manual_seed(3))
    written = model.generate(ids, max_new_tokens=8, do_sample=False, eos_token_id=None, pad_token_id=258)
    anew = ids
    for _ in range(8):
        anew = torch.cat([anew, logits(model, anew, use_cache=False)[:, -1:].argmax(-1)], 1)
    assert torch.equal(written, anew)


def test_layers_can_be_replaced_one_after_the_other(plain):
    one, other = plain("qwen3"), plain("qwen3")
    swap(one, [1], OPTIONS)
    swap(one, [3], OPTIONS)
    swap(other, [1, 3], OPTIONS)
    assert one.config.layer_types == other.config.layer_types
    ids = torch.randint(3, 250, (1, 9))
    assert torch.equal(logits(one, ids), logits(other, ids))


def test_a_new_layer_follows_its_seed_and_keeps_the_global_random_state(plain):
    made = []
    for seed in (0, 0, 1):
        model = plain("llama")
        torch.manual_seed(3)
        swap(model, [1, 2], GkaOptions(seed=seed))
        made.append((layers_of(model)[1].self_attn, torch.rand(1).item()))
        assert not torch.equal(made[-1][0].a_proj.weight, layers_of(model)[2].self_attn.a_proj.weight)
    torch.manual_seed(3)
    undisturbed = torch.rand(1).item()
    (one, *_), (again, *_), (other, *_) = made
    assert torch.equal(one.a_proj.weight, again.a_proj.weight)
    assert not torch.equal(one.a_proj.weight, other.a_proj.weight)
    assert {drawn for _, drawn in made} == {undisturbed}


def test_a_new_layer_has_the_attentions_dtype_and_mode_and_its_decay_in_float32(plain):
    model = plain("llama").to(torch.bfloat16).train()
    swap(model, [1], OPTIONS)
    new = layers_of(model)[1].self_attn
    assert new.training
    kept = {name for name, parameter in new.named_parameters() if parameter.dtype == torch.float32}
    assert kept == {"A_log", "dt_bias"}
    assert torch.isfinite(model(input_ids=torch.tensor([[3, 4, 5]])).logits).all()


def test_a_model_with_gka_layers_can_be_trained(plain):
    model = plain("qwen3").train()
    swap(model, [1], OPTIONS)
    ids = torch.randint(3, 250, (1, 12))
    model(input_ids=ids, labels=ids, use_cache=False).loss.backward()
    for name, parameter in layers_of(model)[1].self_attn.named_parameters():
        assert parameter.grad.abs().max() > 0, name


@pytest.mark.parametrize(
    ("family", "changes", "layers", "complaint"),
    [
        ("phi3", {}, [1], r"gka\.layers: the attention of phi3 cannot be replaced \(use llama, .*qwen3_vl"),
        ("llama", {}, [0, 1, 2, 3], r"gka\.layers: at least one attention layer must remain"),
        ("mistral", {"sliding_window": 8}, [1], r"with a sliding window of 8 tokens .* backbone\.context of at most 8"),
        ("hybrid_qwen3", {}, [0], r"the attention of hybrid_qwen3 cannot be replaced"),
    ],
)
def test_layers_that_cannot_be_replaced_are_refused_by_name(plain, family, changes, layers, complaint):
    with pytest.raises(UserError, match=complaint):
        swap(plain(family, **changes), layers, OPTIONS)


def test_existing_gka_layers_are_unchanged(plain):
    model = plain("llama")
    swap(model, [1], OPTIONS)
    with pytest.raises(UserError, match=r"gka\.layers: layer 1 is a GKA layer already"):
        swap(model, [1, 2], OPTIONS)
    with pytest.raises(UserError, match=r"gka: existing GKA layers of the model have other settings"):
        swap(model, [2], GkaOptions(num_iter=3))
    with pytest.raises(UserError, match=r"gka\.layers: at least one attention layer must remain"):
        swap(model, [0, 2, 3], OPTIONS)


def test_a_qwen3_vl_with_gka_layers_reads_an_image(plain):
    model = plain("qwen3_vl")
    swap(model, [0, 2], OPTIONS)
    model.config.image_token_id = model.model.config.image_token_id = 200
    torch.manual_seed(4)
    ids = torch.tensor([[5, 6, *[200] * 4, 7, 8, 9]])
    image = {
        "pixel_values": torch.randn(16, 3 * 2 * 4 * 4),
        "image_grid_thw": torch.tensor([[1, 4, 4]]),
        "mm_token_type_ids": (ids == 200).int(),
    }
    wanted = logits(model, ids, **image, use_cache=False)
    other = logits(model, ids, **image | {"pixel_values": torch.randn(16, 96)}, use_cache=False)
    # The first layer is GKA, so its state passes the image on to later tokens.
    assert (wanted[:, :2] - other[:, :2]).abs().max() == 0
    assert (wanted[:, -1] - other[:, -1]).abs().max() > 0.01
    with torch.inference_mode():
        begun = model(input_ids=ids[:, :-2], **image | {"mm_token_type_ids": image["mm_token_type_ids"][:, :-2]})
        parts = [begun.logits]
        for place in (7, 8):
            output = model(input_ids=ids[:, place : place + 1], past_key_values=begun.past_key_values)
            parts.append(output.logits)
    assert (torch.cat(parts, 1) - wanted).abs().max() < TOLERANCE


def test_the_kernels_prefill_and_decode_like_the_chunked_operator(plain):
    model = plain("llama").to("cuda" if torch.cuda.is_available() else "cpu")
    swap(model, [1], OPTIONS)
    ids = torch.randint(3, 250, (1, 14), generator=torch.Generator().manual_seed(6)).to(model.device)
    wanted = logits(model, ids)
    new = layers_of(model)[1].self_attn
    new.config = replace(new.config, backend="triton")
    with torch.inference_mode():
        begun = model(input_ids=ids[:, :11], use_cache=True)
        parts = [begun.logits]
        for begin, end in ((11, 12), (12, 14)):
            parts.append(model(input_ids=ids[:, begin:end], past_key_values=begun.past_key_values).logits)
    assert (torch.cat(parts, 1) - wanted).abs().max() < TOLERANCE


@pytest.mark.parametrize("family", ["qwen2", "qwen3"])
def test_masks_by_layer_type_and_input_embeddings_are_accepted(plain, family):
    model = plain(family)
    swap(model, [1], OPTIONS)
    ids = torch.randint(3, 250, (1, 9))
    with torch.inference_mode():
        wanted = model.model(ids).last_hidden_state
        vectors = model.model.embed_tokens(ids)
        got = model.model(inputs_embeds=vectors, attention_mask={"full_attention": None}).last_hidden_state
    assert torch.equal(got, wanted)
