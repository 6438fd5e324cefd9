"""The CRF tagger: training, tagging, card and errors."""

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from legalrr import paths
from legalrr.errors import UserError
from legalrr.files import sha256
from legalrr.protocols import Segmenter
from legalrr.records import Judgment
from legalrr.roles import scheme
from legalrr.segment.card import build_dataset, card_path, write_card
from legalrr.segment.crf import CrfRecipe, CrfSegmenter
from legalrr.segment.cross_validation import evaluate
from legalrr.segment.features import FEATURES_VERSION

RECIPE = CrfRecipe(c1=0.1, c2=0.1)


def make(path: Path, judgments, temperature: float = 1.0) -> Path:
    documents = build_dataset(judgments)
    RECIPE.fit(documents, path)
    write_card(
        path,
        documents,
        settings=RECIPE.as_json(),
        corpora=[{"name": "tiny"}],
        scores=None,
        temperature=temperature,
        command="make",
    )
    return path


@pytest.fixture
def model(tmp_path: Path, judgments) -> Path:
    return make(tmp_path / "tiny.crfsuite", judgments[:10])


def edit_card(model: Path, **facts) -> None:
    path = card_path(model)
    path.write_text(json.dumps(json.loads(path.read_text()) | facts))


def test_training_twice_gives_the_same_bytes(tmp_path, judgments):
    documents = build_dataset(judgments)
    for name in ("one", "two"):
        RECIPE.fit(documents, tmp_path / f"{name}.crfsuite")
    assert (tmp_path / "one.crfsuite").read_bytes() == (tmp_path / "two.crfsuite").read_bytes()


@pytest.mark.parametrize("correction", [0.0, 0.5])
def test_unseen_judgments_get_the_roles_of_their_sentences(model, judgments, correction):
    segmenter = CrfSegmenter(scheme="seven", model=str(model), prior_correction=correction)
    assert isinstance(segmenter, Segmenter)
    for judgment in judgments[10:]:
        bare = replace(judgment, spans=None, scheme=None)
        found = segmenter.segment(bare)
        assert (found.id, found.scheme) == (judgment.id, "seven")
        assert [(s.start, s.end) for s in found.spans] == [(s.start, s.end) for s in judgment.spans]
        assert all(0 < s.score <= 1 for s in found.spans)
        right = sum(s.role == g.role for s, g in zip(found.spans, judgment.spans, strict=True))
        assert right >= 0.8 * len(found.spans)


def test_prior_correction_favours_rare_roles(model):
    text = "A thing.\n" * 40
    plain, corrected = (
        CrfSegmenter(scheme="seven", model=str(model), prior_correction=c).segment(Judgment(id="a", text=text))
        for c in (0.0, 1.0)
    )
    roles = json.loads(card_path(model).read_text())["roles"]
    rarity = {role: 1 / facts["sentences"] for role, facts in roles.items()}
    assert sum(rarity[s.role] for s in corrected.spans) >= sum(rarity[s.role] for s in plain.spans)


def test_a_text_without_words_has_no_spans(model):
    assert CrfSegmenter(scheme="seven", model=str(model)).segment(Judgment(id="a", text=" \n")).spans == ()


def test_provenance_is_the_digest_of_the_model_file(model, judgments):
    segmenter = CrfSegmenter(scheme="seven", model=str(model))
    assert segmenter.provenance() == {"model_sha256": sha256(model)}


def test_a_retrained_model_is_reopened(model, judgments):
    segmenter = CrfSegmenter(scheme="seven", model=str(model))
    before = segmenter.provenance()
    make(model, judgments[:4])
    assert segmenter.provenance() != before


def test_the_error_for_a_missing_model_names_path_and_cure(tmp_path):
    with pytest.raises(UserError, match=r"none\.crfsuite: no such model .*legalrr segment train"):
        CrfSegmenter(model=str(tmp_path / "none.crfsuite")).provenance()


def test_a_model_of_another_scheme_is_rejected(model):
    with pytest.raises(UserError, match=r"roles of 'seven', not of 'build' .*segment\.scheme=seven"):
        CrfSegmenter(scheme="build", model=str(model)).provenance()


@pytest.mark.parametrize(
    ("facts", "message"),
    [
        ({"sha256": "0" * 64}, "card belongs to another model"),
        ({"features": FEATURES_VERSION + 1}, "trained with features version"),
        ({"roles": None}, "damaged card"),
    ],
)
def test_a_card_that_does_not_match_is_rejected(model, facts, message):
    edit_card(model, **facts)
    with pytest.raises(UserError, match=message):
        CrfSegmenter(scheme="seven", model=str(model)).provenance()


def test_a_missing_card_and_a_truncated_model_are_rejected(model):
    model.write_bytes(model.read_bytes()[:100])
    with pytest.raises(UserError, match="card belongs to another model"):
        CrfSegmenter(scheme="seven", model=str(model)).provenance()
    card_path(model).unlink()
    model.touch()
    with pytest.raises(UserError, match="the model has no card"):
        CrfSegmenter(scheme="seven", model=str(model)).provenance()


@pytest.mark.parametrize(
    ("field", "value"), [("scheme", "nine"), ("prior_correction", -0.1), ("prior_correction", 1.5)]
)
def test_invalid_options_are_rejected(field, value):
    with pytest.raises(UserError, match=f"segment.{field}"):
        CrfSegmenter(**{field: value})


def test_a_higher_temperature_lowers_the_scores_of_the_same_roles(tmp_path, judgments):
    made = [make(tmp_path / f"{t}.crfsuite", judgments[:10], temperature=t) for t in (1.0, 3.0)]
    one, other = (CrfSegmenter(scheme="seven", model=str(path)).segment(judgments[11]).spans for path in made)
    assert [s.role for s in one] == [s.role for s in other]
    assert all(a.score > b.score for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize(("name", "roles"), [("build", 13), ("seven", 7)])
def test_shipped_models_match_their_cards(name, roles):
    path = paths.resolve(f"$LEGALRR/data/taggers/crf_{name}.crfsuite")
    card = json.loads(card_path(path).read_text("utf-8"))
    assert card["sha256"] == sha256(path)
    assert card["bytes"] == path.stat().st_size < 3_000_000
    assert card["features"] == FEATURES_VERSION
    assert len(card["roles"]) == roles
    assert all(role in scheme(name) for role in card["roles"])
    assert sum(r["sentences"] for r in card["roles"].values()) == card["sentences"]
    assert all(corpus["licence"] for corpus in card["corpora"])
    found = CrfSegmenter(scheme=name, model=str(path)).segment(
        Judgment(
            id="a", text="The appeal is dismissed with costs.\nLearned counsel for the appellant urged that time ran."
        )
    )
    assert all(span.role in scheme(name) for span in found.spans)


@pytest.mark.data
def test_a_crf_trained_on_marro_beats_the_majority_role(monkeypatch):
    import os

    if not os.environ.get("LEGALRR_DATA"):
        pytest.skip("LEGALRR_DATA names no folder of real judgments")
    from legalrr.corpora.catalogue import card

    reader = card("marro").reader()
    documents = build_dataset(reader.read(reader.split))
    found = evaluate(documents, CrfRecipe(max_iterations=40), folds=2, seed=0, report=lambda line: None)
    counts = Counter(role for d in documents for role in d.roles)
    assert found.scores["micro"]["mean"] > max(counts.values()) / counts.total()
