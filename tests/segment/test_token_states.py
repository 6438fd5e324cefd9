"""States of the tokens of a judgment."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from legalrr.errors import UserError
from legalrr.segment.sentence_embeddings import LanguageModel
from legalrr.segment.token_states import AdapterShape, TokenReader

SENTENCES = ["The tenant paid.", "Rs. 5 ₹", "The appeal is allowed."]


@pytest.fixture
def reader(tiny) -> TokenReader:
    return TokenReader(
        language_model=LanguageModel(model=str(tiny)),
        lower=1,
        upper=1,
        window=200,
        overlap=0,
        matmul_precision="highest",
    )


def test_states_are_the_output_of_the_lower_layers(tiny, reader):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    ids = AutoTokenizer.from_pretrained(tiny)("\n".join(SENTENCES), add_special_tokens=False)["input_ids"]
    model = AutoModelForCausalLM.from_pretrained(tiny).eval()
    with torch.inference_mode():
        expected = model(torch.tensor([ids]), output_hidden_states=True).hidden_states[1][0].numpy()
    found = reader.read(SENTENCES)
    assert found.values.dtype == np.float16
    assert found.values == pytest.approx(expected, rel=2e-3, abs=1e-3)
    # The test's tokenizer has a token per byte; the line break belongs to the sentence that it ends.
    assert np.bincount(found.owners).tolist() == [17, 10, 22]


def test_later_windows_have_less_context(reader):
    whole, parts = (
        replace(reader, window=window, overlap=overlap).read(SENTENCES).values
        for window, overlap in ((200, 0), (30, 8))
    )
    assert parts[:30] == pytest.approx(whole[:30], abs=1e-2)
    assert not np.allclose(parts[30:], whole[30:], atol=1e-2)


def test_states_are_cached_on_disk(reader, tmp_path, monkeypatch):
    monkeypatch.setenv("LEGALRR_CACHE", str(tmp_path))
    first = reader.read_cached(SENTENCES)
    monkeypatch.setattr(TokenReader, "read", lambda *_: pytest.fail("read again"))
    again = reader.read_cached(SENTENCES)
    assert np.array_equal(first.values, again.values)
    assert np.array_equal(first.owners, again.owners)


def test_the_identity_does_not_depend_on_the_trained_layers(reader):
    assert replace(reader, overlap=5).identity() != reader.identity()
    assert "upper" not in reader.identity()


def test_invalid_settings_are_rejected(reader):
    for change in ({"lower": 0}, {"upper": 0}, {"overlap": 200}):
        with pytest.raises(UserError):
            replace(reader, **change)
    with pytest.raises(UserError, match="--rank: 0"):
        AdapterShape(rank=0)
    with pytest.raises(UserError, match=r"layer 3 \(.* has 2\)"):
        replace(reader, upper=2).read(SENTENCES)
    with pytest.raises(UserError, match="a window of 4096 tokens"):
        replace(reader, window=4096).read(SENTENCES)


def test_another_architecture_is_rejected(reader, save_tiny, tmp_path):
    mistral = LanguageModel(model=str(save_tiny(Path(tmp_path) / "mistral", sliding_window=64)))
    with pytest.raises(UserError, match="the layers of 'mistral' cannot be trained"):
        replace(reader, language_model=mistral).read(SENTENCES)
