"""BERTScore against the package bert-score, with a tiny encoder."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from legalrr.errors import UserError
from legalrr.score.bertscore import BertScore, EncodedText, match, match_reference
from legalrr.score.metrics import store_name

LONG = (
    "the court held that the appeal is allowed and that the tenant paid the rent in full and so the order is set aside"
)


@pytest.mark.parametrize("layer", [1, 3])
def test_bertscore_equals_that_of_its_reference_package(encoder, pairs, layer):
    import bert_score

    # One text exceeds the input length of the encoder: the package truncates it.
    some = [*pairs[1:], (LONG, pairs[0][1])]
    reference = bert_score.score(
        [generated for generated, _ in some],
        [court for _, court in some],
        model_type=str(encoder),
        num_layers=layer,
        use_fast_tokenizer=True,
        device="cpu",
    )
    ours = list(BertScore(encoder=str(encoder), layer=layer, overlong="truncate").scores(some))
    for column, values in zip(("bertscore_precision", "bertscore_recall", "bertscore"), reference, strict=True):
        assert [one[column] for one in ours] == pytest.approx(values.tolist(), abs=1e-6)


@given(st.lists(st.booleans(), min_size=1, max_size=7), st.lists(st.booleans(), min_size=1, max_size=7))
def test_match_equals_the_loop_over_pairs_of_tokens(first, second):
    generator = torch.Generator().manual_seed(len(first) * 10 + len(second))
    # Positive states, as precision and recall of opposite signs nearly cancel in the denominator of F1.
    texts = [
        EncodedText(states=torch.rand(len(marks), 5, generator=generator), averaged=torch.tensor(marks))
        for marks in (first, second)
    ]
    assert match(*texts) == pytest.approx(match_reference(*texts), abs=1e-5)


def test_a_text_without_a_word_scores_0(encoder):
    metric = BertScore(encoder=str(encoder), layer=2)
    scores = list(metric.scores([("", "the court"), ("the court", " ")]))
    assert {value for row in scores for value in row.values()} == {0.0}


def test_an_overlong_text_is_an_error_unless_truncated_or_windowed(encoder):
    with pytest.raises(
        UserError, match=r"encoder\.overlong: text longer than the encoder's 64 tokens.*use windows, or truncate"
    ):
        list(BertScore(encoder=str(encoder), layer=2).scores([(LONG, "the court")]))
    cut = BertScore(encoder=str(encoder), layer=2, overlong="truncate").encode(LONG)
    whole = BertScore(encoder=str(encoder), layer=2, overlong="windows").encode(LONG)
    letters = sum(letter != " " for letter in LONG)
    assert (len(cut.states), int(cut.averaged.sum())) == (64, 62)
    assert (len(whole.states), int(whole.averaged.sum())) == (letters + 2, letters)
    # The first half of the first window is the same; its last states come from the next window, nearer the middle.
    assert whole.states[:32] == pytest.approx(cut.states[:32], abs=1e-6)
    assert not torch.allclose(whole.states[60], cut.states[60], atol=1e-3)


def test_each_token_is_taken_from_exactly_one_window(encoder):
    for window in range(4, 20):
        metric = BertScore(encoder=str(encoder), layer=1, overlong="windows", window=window)
        encoded = metric.encode("the court held, so")
        assert int(encoded.averaged.sum()) == 15
        assert [bool(mark) for mark in encoded.averaged] == [False, *[True] * 15, False]


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        ({"overlong": "cut"}, r"^encoder\.overlong: unknown overlong 'cut'"),
        ({"layer": 4}, r"^encoder\.layer: layer 4 \(.* has 3\)"),
        ({"window": 3}, r"^encoder\.window: a window of 3 tokens"),
        ({"encoder": "no/such/folder"}, r"^encoder\.model: no such model"),
        ({"device": "cuda:99"}, r"^encoder\.device"),
    ],
)
def test_an_invalid_option_is_named(encoder, choice, message):
    with pytest.raises(UserError, match=message):
        BertScore(**{"encoder": str(encoder), "layer": 1} | choice).encode("the court")


def test_a_tokenizer_without_a_maximum_length_needs_a_window(encoder, tmp_path):
    import json
    import shutil

    folder = shutil.copytree(encoder, tmp_path / "copy")
    config = json.loads((folder / "tokenizer_config.json").read_text())
    del config["model_max_length"]
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    with pytest.raises(UserError, match=r"^encoder\.window: .*set the encoder's input length"):
        BertScore(encoder=str(folder), layer=1).encode("the court")
    assert len(BertScore(encoder=str(folder), layer=1, window=64).encode("so").states) == 4


def test_the_identity_of_an_encoder_depends_on_its_content_not_its_path(encoder, tmp_path):
    import shutil

    moved = shutil.copytree(encoder, tmp_path / "moved")
    here, there = (BertScore(encoder=str(folder), layer=1) for folder in (encoder, moved))
    assert store_name(here) == store_name(there)
    (moved / "vocab.txt").write_text("changed\n")
    assert store_name(here) != store_name(there)
    assert store_name(BertScore(encoder=str(encoder), layer=2)) != store_name(here)
    at = "0123456789" * 4
    assert BertScore(encoder="owner/name", revision=at, layer=2).provenance() == {"hub": "owner/name"}
    assert "owner/name at 01234567, layer 2" in BertScore(encoder="owner/name", revision=at, layer=2).detail
