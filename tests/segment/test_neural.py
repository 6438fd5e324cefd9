"""The neural tagger, trained on a small corpus with a tiny language model."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from omegaconf import OmegaConf

from legalrr.corpora.catalogue import card
from legalrr.errors import UserError
from legalrr.files import sha256
from legalrr.paths import resolve, root
from legalrr.protocols import Segmenter
from legalrr.records import Judgment
from legalrr.roles import scheme
from legalrr.segment.card import build_dataset, card_path, write_card
from legalrr.segment.crf import CrfRecipe
from legalrr.segment.neural import Adviser, NeuralSegmenter, open_networks
from legalrr.segment.neural_training import NeuralRecipe
from legalrr.segment.sentence_embeddings import LanguageModel, SentenceEmbedder
from legalrr.stage import build, identity


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Folder of the models that are trained once, with the cache of embeddings."""
    return tmp_path_factory.mktemp("neural")


@pytest.fixture(scope="module")
def settings(tiny) -> NeuralRecipe:
    return NeuralRecipe(
        crf=CrfRecipe(c1=0.1, c2=0.1),
        embedder=SentenceEmbedder(language_model=LanguageModel(model=str(tiny)), layer=1, window=256, overlap=64),
        networks=2,
        inner_folds=2,
        epochs=25,
        batch=2,
        narrow=8,
        hidden=8,
    )


@pytest.fixture
def recipe(settings, folder, monkeypatch) -> NeuralRecipe:
    monkeypatch.setenv("LEGALRR_CACHE", str(folder / "cache"))
    return settings


def make(recipe: NeuralRecipe, path: Path, judgments) -> Path:
    documents = build_dataset(judgments)
    fitted = recipe.fit(documents, path)
    write_card(
        path,
        documents,
        settings={**recipe.as_json(), **fitted.as_json()},
        corpora=[{"name": "tiny"}],
        scores=None,
        temperature=1.5,
        command="make",
    )
    return path


def copy(path: Path, folder: Path) -> Path:
    """Copy a model with its card and CRF, as some tests change them."""
    for file in path.parent.glob(f"{path.stem}*"):
        shutil.copy(file, folder)
    return folder / path.name


@pytest.fixture(scope="module")
def trained(settings, folder, judgments) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LEGALRR_CACHE", str(folder / "cache"))
        return make(settings, folder / "tiny.safetensors", judgments[:10])


@pytest.fixture
def model(recipe, trained, tmp_path) -> Path:
    return copy(trained, tmp_path)


@pytest.fixture
def segmenter(model, tiny) -> NeuralSegmenter:
    return NeuralSegmenter(
        scheme="seven",
        model=str(model),
        crf=str(model.with_name("tiny_crf.crfsuite")),
        language_model=LanguageModel(model=str(tiny)),
    )


def edit_card(model: Path, **settings) -> None:
    card = json.loads(card_path(model).read_text("utf-8"))
    card["settings"] |= settings
    card_path(model).write_text(json.dumps(card), "utf-8")


def test_unseen_judgments_get_the_roles_of_their_sentences(segmenter, judgments):
    assert isinstance(segmenter, Segmenter)
    for judgment in judgments[10:]:
        found = segmenter.segment(replace(judgment, spans=None, scheme=None))
        assert [(s.start, s.end) for s in found.spans] == [(s.start, s.end) for s in judgment.spans]
        assert all(0 < s.score <= 1 for s in found.spans)
        right = sum(s.role == g.role for s, g in zip(found.spans, judgment.spans, strict=True))
        assert right >= 0.8 * len(found.spans)


def test_training_twice_gives_the_same_bytes(recipe, tmp_path, judgments):
    documents = build_dataset(judgments)
    for name in ("one", "two"):
        recipe.fit(documents, tmp_path / f"{name}.safetensors")
    assert (tmp_path / "one.safetensors").read_bytes() == (tmp_path / "two.safetensors").read_bytes()


def test_another_seed_gives_other_networks(recipe, tmp_path, judgments):
    documents = build_dataset(judgments)
    for seed in (0, 7):
        replace(recipe, seed=seed).fit(documents, tmp_path / f"{seed}.safetensors")
    assert (tmp_path / "0.safetensors").read_bytes() != (tmp_path / "7.safetensors").read_bytes()


def test_the_opened_model_predicts_as_the_trained_one(recipe, tmp_path, judgments, segmenter):
    documents = build_dataset(judgments[:10])
    fitted = recipe.fit(documents, tmp_path / "again.safetensors")
    opened, *_ = segmenter.open()
    probabilities = fitted.predict_probabilities(documents[0].sentences).with_temperature(opened.card.temperature)
    roles = [role for role, _ in probabilities.decode(opened.card.priors, 0.0)]
    assert roles == [role for role, _ in segmenter.decode(documents[0].sentences)]


def test_a_text_without_words_has_no_spans(segmenter):
    assert segmenter.segment(Judgment(id="a", text=" \n")).spans == ()


def test_provenance_contains_all_required_models(segmenter):
    provenance = segmenter.provenance()
    assert set(provenance) == {"model_sha256", "crf_sha256", "language_model", "told_sha256"}
    assert provenance["told_sha256"] is None
    digests = (provenance["model_sha256"], provenance["crf_sha256"], provenance["language_model"]["sha256"])
    assert all(len(value) == 64 for value in digests)


def test_a_crf_or_language_model_not_used_in_training_is_rejected(segmenter, model, recipe, tmp_path, judgments):
    make(recipe, tmp_path / "other.safetensors", judgments[:5])
    with pytest.raises(UserError, match=r"segment\.crf: .*other_crf\.crfsuite is not the CRF"):
        replace(segmenter, crf=str(tmp_path / "other_crf.crfsuite")).provenance()
    edit_card(model, language_model={"sha256": "0" * 64})
    model.touch()
    with pytest.raises(UserError, match=r"segment\.language_model: .*another language model"):
        segmenter.provenance()


@pytest.fixture(scope="module")
def trained_with_adviser(settings, trained, folder, judgments) -> Path:
    adviser = Adviser(model=str(trained), crf=str(trained.with_name("tiny_crf.crfsuite")))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LEGALRR_CACHE", str(folder / "cache"))
        return make(replace(settings, adviser=adviser), folder / "advised.safetensors", judgments[:10])


@pytest.fixture
def advised(recipe, trained_with_adviser, model, tmp_path) -> NeuralSegmenter:
    """Tagger that was trained with the probabilities of `model` as input."""
    adviser = Adviser(model=str(model), crf=str(model.with_name("tiny_crf.crfsuite")))
    return NeuralSegmenter(
        scheme="seven",
        model=str(copy(trained_with_adviser, tmp_path)),
        crf=str(tmp_path / "advised_crf.crfsuite"),
        told=adviser,
        language_model=recipe.embedder.language_model,
    )


def test_adviser_probabilities_are_input_in_training_and_tagging(advised, recipe, model, judgments):
    opened, embedder = advised.open()
    sentences = build_dataset(judgments)[11].sentences
    assert opened.adviser is not None
    assert advised.provenance()["told_sha256"] == opened.adviser.card.sha256
    one, other = (
        replace(opened, adviser=replace(opened.adviser, model=replace(opened.adviser.model, networks=networks)))
        for networks in (opened.adviser.model.networks, opened.adviser.model.networks[:1])
    )
    states = embedder.embed(sentences)
    assert (
        one.predict_probabilities(sentences, states).values != other.predict_probabilities(sentences, states).values
    ).any()


def test_a_missing_or_different_adviser_is_rejected(advised, segmenter, recipe, tmp_path, judgments):
    with pytest.raises(UserError, match=r"segment\.told: .*trained with another adviser"):
        replace(advised, told=None).provenance()
    with pytest.raises(UserError, match=r"segment\.told: .*trained with no adviser \(set it to null"):
        replace(segmenter, told=advised.told).provenance()
    other = make(recipe, tmp_path / "third.safetensors", judgments[:5])
    wrong = Adviser(model=str(other), crf=str(tmp_path / "third_crf.crfsuite"))
    with pytest.raises(UserError, match=r"segment\.told: .*trained with another adviser"):
        replace(advised, told=wrong).provenance()


def test_an_adviser_with_different_embeddings_is_rejected(advised):
    edit_card(Path(advised.model), reading={"layer": 1, "window": 128, "overlap": 64})
    Path(advised.model).touch()
    with pytest.raises(UserError, match=r"segment\.told: .*use different embeddings"):
        advised.provenance()


def test_a_retrained_crf_is_detected(segmenter, judgments):
    segmenter.provenance()
    CrfRecipe(c1=0.1, c2=0.1).fit(build_dataset(judgments[:5]), Path(segmenter.crf))
    with pytest.raises(UserError, match=r"segment\.crf: .*is not the CRF"):
        segmenter.segment(judgments[11])


def test_the_device_of_the_language_model_is_not_in_the_identity(segmenter, tiny):
    node = {
        "_target_": "legalrr.segment.neural.NeuralSegmenter",
        "scheme": "seven",
        "model": segmenter.model,
        "crf": segmenter.crf,
        "language_model": {"model": str(tiny), "revision": None, "device": "cpu"},
    }
    built = build(OmegaConf.create(node), NeuralSegmenter, option="segment")
    assert built == segmenter
    elsewhere = replace(built, language_model=replace(built.language_model, device="cuda"))
    assert identity(elsewhere) == identity(built)
    assert identity(replace(built, language_model=LanguageModel())) != identity(built)


def test_missing_and_damaged_models_are_rejected(segmenter, model, tmp_path):
    with pytest.raises(UserError, match=r"none\.safetensors: no such model"):
        replace(segmenter, model=str(tmp_path / "none.safetensors")).provenance()
    with pytest.raises(UserError, match=r"roles of 'seven', not of 'build'"):
        replace(segmenter, scheme="build").provenance()
    edit_card(model, networks=3)
    model.touch()
    with pytest.raises(UserError, match="damaged model"):
        segmenter.provenance()


@pytest.mark.parametrize(
    ("field", "value"), [("scheme", "nine"), ("prior_correction", -0.1), ("prior_correction", 1.5)]
)
def test_invalid_options_are_rejected(field, value):
    with pytest.raises(UserError, match=f"segment.{field}"):
        NeuralSegmenter(**{field: value})


@pytest.mark.parametrize("name", ["neural", "neural_seven"])
def test_shipped_neural_models_match_their_cards_and_each_other(name):
    segmenter = build(OmegaConf.load(root() / "conf" / "segment" / f"{name}.yaml"), NeuralSegmenter, option="segment")
    path = resolve(segmenter.model)
    content = json.loads(card_path(path).read_text("utf-8"))
    opened = open_networks(segmenter.model, segmenter.crf, segmenter.told, scheme=segmenter.scheme)
    assert content["sha256"] == sha256(path)
    assert content["bytes"] == path.stat().st_size
    assert tuple(opened.card.priors) == tuple(role.code for role in scheme(segmenter.scheme).roles)
    assert content["cross_validation"]["folds"] == 5
    assert opened.card.temperature != 1.0


def test_shipped_taggers_take_less_than_12_mb():
    assert sum(path.stat().st_size for path in resolve("$LEGALRR/data/taggers").iterdir()) < 12_000_000


@pytest.mark.model
@pytest.mark.parametrize("name", ["neural", "neural_seven"])
def test_the_shipped_tagger_finds_the_order_at_the_end(name):
    segmenter = build(OmegaConf.load(root() / "conf" / "segment" / f"{name}.yaml"), NeuralSegmenter, option="segment")
    reader = card("specimen").reader()
    judgment = next(iter(reader.read(reader.split)))
    spans = segmenter.segment(replace(judgment, spans=None, scheme=None)).spans
    assert spans[-1].role == "RPC"
    assert len({span.role for span in spans}) > 3
    assert all(0 < span.score <= 1 for span in spans)
