"""Sentence embeddings of a language model."""

import logging
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import LlamaModel
from transformers.utils.logging import get_verbosity

from legalrr.errors import UserError
from legalrr.segment.sentence_embeddings import LanguageModel, SentenceEmbedder

SENTENCES = ["The tenant paid.", "Rs. 5 ₹", "x" * 40, "The appeal is allowed."]


def make_embedder(folder: Path, **choice) -> SentenceEmbedder:
    # "medium" is bfloat16 on processors that support it.
    given = {"layer": 1, "window": 200, "overlap": 0, "matmul_precision": "highest"} | choice
    return SentenceEmbedder(language_model=LanguageModel(model=str(folder)), **given)


@pytest.fixture
def embedder(tiny) -> SentenceEmbedder:
    return make_embedder(tiny)


def test_an_embedding_is_mean_and_last_state_of_the_sentence_tokens(tiny, embedder):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny)
    model = AutoModelForCausalLM.from_pretrained(tiny).eval()
    ids = tokenizer("\n".join(SENTENCES), add_special_tokens=False)["input_ids"]
    with torch.inference_mode():
        hidden = model.model.norm(model(torch.tensor([ids]), output_hidden_states=True).hidden_states[1])[0].numpy()
    found = embedder.embed(SENTENCES)
    assert found.dtype == np.float32
    start = 0
    for sentence, state in zip(SENTENCES, found, strict=True):
        # The test's tokenizer has a token per byte; the line break belongs to the sentence that it ends.
        size = len(sentence.encode()) + (sentence is not SENTENCES[-1])
        own = hidden[start : start + size]
        assert state == pytest.approx(np.concatenate([own.mean(0), own[-1]]), abs=1e-5)
        start += size


def test_later_sentences_do_not_change_an_embedding(embedder):
    assert embedder.embed(SENTENCES)[:2] == pytest.approx(embedder.embed(SENTENCES[:3])[:2], abs=1e-5)


def test_only_the_first_window_has_the_full_context(tiny):
    whole, parts = (
        make_embedder(tiny, window=window, overlap=overlap).embed(SENTENCES) for window, overlap in ((200, 0), (40, 30))
    )
    # The first window is the same; later ones have less preceding context.
    assert parts[0] == pytest.approx(whole[0], abs=1e-5)
    assert np.isfinite(parts).all()
    assert not np.allclose(parts[3], whole[3], atol=1e-5)


def test_embeddings_are_cached_on_disk(embedder, tmp_path, monkeypatch):
    monkeypatch.setenv("LEGALRR_CACHE", str(tmp_path))
    first = embedder.embed_cached(SENTENCES)
    (kept,) = tmp_path.glob("states/*/*.npy")
    monkeypatch.setattr(SentenceEmbedder, "embed", lambda *_: pytest.fail("embedded again"))
    assert np.array_equal(embedder.embed_cached(SENTENCES), first)
    assert np.load(kept, allow_pickle=False).dtype == np.float16


def test_the_identity_is_settings_and_content_of_the_model(tiny, embedder, tmp_path):
    assert set(embedder.identity()) == {"layer", "window", "overlap", "matmul_precision", "pooling", "sha256"}
    moved = tmp_path / "moved"
    shutil.copytree(tiny, moved)
    assert make_embedder(moved).identity() == embedder.identity()
    assert make_embedder(tiny, layer=2).identity() != embedder.identity()


def test_omitted_layers_cause_no_log_message(save_tiny, tmp_path, caplog):
    library = logging.getLogger("transformers")
    before = get_verbosity()
    library.addHandler(caplog.handler)
    try:
        make_embedder(save_tiny(tmp_path / "fresh")).embed(SENTENCES)
    finally:
        library.removeHandler(caplog.handler)
    assert caplog.text == ""
    assert get_verbosity() == before


@pytest.mark.parametrize(
    ("wrong", "message"), [(None, "lacks 1 of its weights"), (torch.ones(3, 4), "has in another size 1 of its weights")]
)
def test_missing_or_misshapen_weights_are_rejected(save_tiny, tmp_path, wrong, message):
    folder = save_tiny(tmp_path / "holes")
    weights = load_file(folder / "model.safetensors")
    name = "model.layers.0.mlp.up_proj.weight"
    del weights[name]
    save_file(weights | ({} if wrong is None else {name: wrong}), folder / "model.safetensors", {"format": "pt"})
    with pytest.raises(UserError, match=rf"segment\.language_model\.model: .*{message}, the first one .*layers\.0"):
        make_embedder(folder).embed(SENTENCES)


def test_a_judgment_without_sentences_has_no_embeddings(embedder):
    assert embedder.embed([]).shape == (0, 128)


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        ({"layer": 3}, "--layer: layer 3 .*has 2"),
        ({"layer": 0}, "--layer: layer 0"),
        ({"window": 1024}, "--window: a window of 1024 tokens .*reads 512"),
    ],
)
def test_layers_and_windows_beyond_the_model_are_rejected(tiny, choice, message):
    with pytest.raises(UserError, match=message):
        make_embedder(tiny, **choice).embed(SENTENCES)


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        ({"model": "/nowhere/at-all"}, r"segment\.language_model\.model: no such model"),
        ({"revision": "0" * 40}, r"segment\.language_model\.revision: "),
        ({"device": "cuda:99"}, r"segment\.language_model\.device: no device cuda:99"),
    ],
)
def test_an_unavailable_language_model_is_rejected(tiny, choice, message):
    chosen = LanguageModel(**{"model": str(tiny)} | choice)
    with pytest.raises(UserError, match=message):
        SentenceEmbedder(language_model=chosen, layer=1, window=200, overlap=0).embed(SENTENCES)


def test_matmul_precision_is_set_only_while_embedding(tiny, monkeypatch):
    seen = []
    forward = LlamaModel.forward

    def noting(self, *args, **kwargs):
        seen.append(torch.get_float32_matmul_precision())
        return forward(self, *args, **kwargs)

    monkeypatch.setattr(LlamaModel, "forward", noting)
    before = torch.get_float32_matmul_precision()
    for precision in ("high", "highest"):
        make_embedder(tiny, matmul_precision=precision).embed(SENTENCES)
    assert seen == ["high", "highest"]
    assert torch.get_float32_matmul_precision() == before


def test_an_unknown_precision_is_rejected():
    with pytest.raises(UserError, match=r"^matmul_precision: .*use highest, high, medium"):
        SentenceEmbedder(matmul_precision="low")


@pytest.mark.parametrize(("window", "overlap"), [(10, 10), (10, -1)])
def test_windows_without_progress_are_rejected(window, overlap):
    with pytest.raises(UserError, match="--overlap: "):
        SentenceEmbedder(window=window, overlap=overlap)
