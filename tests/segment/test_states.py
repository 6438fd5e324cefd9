"""Reading sentences with a language model."""

import numpy as np
import pytest
import torch

from legalrr.errors import UserError
from legalrr.segment.states import StateReader

SENTENCES = ["The tenant paid.", "Rs. 5 ₹", "x" * 40, "The appeal is allowed."]


@pytest.fixture
def reader(tiny) -> StateReader:
    return StateReader(model=str(tiny), layer=1, window=200, overlap=0)


def test_a_state_is_the_mean_over_the_tokens_that_begin_in_the_sentence(tiny, reader):
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(tiny)
    model = AutoModelForCausalLM.from_pretrained(tiny).eval()
    ids = tokenizer("\n".join(SENTENCES), add_special_tokens=False)["input_ids"]
    with torch.inference_mode():
        hidden = model.model.norm(model(torch.tensor([ids]), output_hidden_states=True).hidden_states[1])[0].numpy()
    found = reader.read(SENTENCES)
    assert found.dtype == np.float32
    start = 0
    for sentence, state in zip(SENTENCES, found, strict=True):
        # The test's tokenizer has a token per byte; the line break belongs to the sentence that it ends.
        size = len(sentence.encode()) + (sentence is not SENTENCES[-1])
        assert state == pytest.approx(hidden[start : start + size].mean(0), abs=1e-5)
        start += size


def test_what_comes_later_does_not_change_a_state(reader):
    assert reader.read(SENTENCES)[:2] == pytest.approx(reader.read(SENTENCES[:3])[:2], abs=1e-5)


def test_windows_hold_what_was_read_before(tiny):
    whole, parts = (
        StateReader(model=str(tiny), layer=1, window=window, overlap=overlap).read(SENTENCES)
        for window, overlap in ((200, 0), (40, 30))
    )
    # What lies in the first window is the same; further on, less was read before.
    assert parts[0] == pytest.approx(whole[0], abs=1e-5)
    assert np.isfinite(parts).all()
    assert not np.allclose(parts[3], whole[3], atol=1e-5)


def test_states_are_kept_on_the_disk(reader, tmp_path, monkeypatch):
    monkeypatch.setenv("LEGALRR_CACHE", str(tmp_path))
    first = reader.read_once(SENTENCES)
    (kept,) = tmp_path.glob("states/*/*.npy")
    monkeypatch.setattr(StateReader, "read", lambda *_: pytest.fail("read again"))
    assert np.array_equal(reader.read_once(SENTENCES), first)
    assert np.load(kept, allow_pickle=False).dtype == np.float16


def test_a_judgment_without_sentences_has_no_states(reader):
    assert reader.read([]).shape == (0, 64)


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        ({"layer": 3}, r"segment\.reader\.layer: layer 3 .*has 2"),
        ({"layer": 0}, r"segment\.reader\.layer"),
        ({"window": 1024}, r"a window of 1024 tokens .*reads 512"),
        ({"model": "/nowhere/at-all"}, "no such model"),
        ({"device": "cuda:99"}, "there is no cuda:99 here"),
    ],
)
def test_an_impossible_choice_is_refused(tiny, choice, message):
    with pytest.raises(UserError, match=message):
        StateReader(**{"model": str(tiny), "layer": 1, "window": 200, "overlap": 0} | choice).read(SENTENCES)


@pytest.mark.parametrize(("window", "overlap"), [(10, 10), (10, -1)])
def test_windows_that_do_not_move_on_are_refused(window, overlap):
    with pytest.raises(UserError, match="overlap"):
        StateReader(window=window, overlap=overlap)
