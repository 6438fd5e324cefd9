"""The adapted tagger, trained on a small corpus with a tiny language model."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from legalrr.errors import UserError
from legalrr.protocols import Segmenter
from legalrr.records import Judgment
from legalrr.segment import adapted_training
from legalrr.segment.adapted import AdaptedSegmenter
from legalrr.segment.adapted_layers import AdaptedNetwork
from legalrr.segment.adapted_training import AdaptedRecipe
from legalrr.segment.card import LabelledJudgment, build_dataset, card_path, write_card
from legalrr.segment.crf import CrfRecipe, crf_path
from legalrr.segment.cross_validation import evaluate
from legalrr.segment.sentence_embeddings import LanguageModel
from legalrr.segment.tagger import load_tagger
from legalrr.segment.token_states import AdapterShape, TokenReader


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """Folder of the model that is trained once, with the cache of token states and checkpoints."""
    return tmp_path_factory.mktemp("adapted")


@pytest.fixture(scope="module")
def settings(tiny) -> AdaptedRecipe:
    return AdaptedRecipe(
        crf=CrfRecipe(c1=0.1, c2=0.1),
        reader=TokenReader(language_model=LanguageModel(model=str(tiny)), lower=1, upper=1, window=256, overlap=64),
        adapters=AdapterShape(rank=2, pools=1, block=128, margin=16),
        inner_folds=2,
        epochs=6,
        batch=2,
        learning_rate=1e-2,
        narrow=8,
        hidden=8,
    )


@pytest.fixture
def recipe(settings, folder, monkeypatch) -> AdaptedRecipe:
    monkeypatch.setenv("LEGALRR_CACHE", str(folder / "cache"))
    return settings


def as_build(document: LabelledJudgment, number: int) -> LabelledJudgment:
    """Label a judgment by another scheme, in other words, so that it is no near-duplicate."""
    codes = {"FAC": "FAC", "RLC": "RLC", "ARG": "ARG_PETITIONER", "STA": "STA", "PRE": "PRE_RELIED"}
    return LabelledJudgment(
        id=f"build-{number}",
        scheme="build",
        sentences=tuple(f"{' '.join(reversed(sentence.split()))} {number}" for sentence in document.sentences),
        roles=tuple(codes.get(role, role) for role in document.roles),
    )


@pytest.fixture(scope="module")
def documents(judgments) -> list[LabelledJudgment]:
    own = build_dataset(judgments[:8])
    return [*own, *(as_build(document, number) for number, document in enumerate(own[:4]))]


def write(recipe: AdaptedRecipe, path: Path, documents) -> Path:
    fitted = recipe.fit(documents, path)
    write_card(
        path,
        [document for document in documents if document.scheme == "seven"],
        settings={**recipe.as_json(), **fitted.as_json()},
        corpora=[{"name": "tiny"}],
        scores=None,
        temperature=1.5,
        command="make",
    )
    return path


@pytest.fixture(scope="module")
def trained(settings, folder, documents) -> Path:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LEGALRR_CACHE", str(folder / "cache"))
        return write(settings, folder / "tiny.safetensors", documents)


@pytest.fixture
def model(trained, tmp_path) -> Path:
    """Copy of the model with its card and CRF, as some tests change them."""
    for file in (trained, card_path(trained), crf_path(trained)):
        shutil.copy(file, tmp_path)
    return tmp_path / trained.name


@pytest.fixture
def segmenter(model, tiny) -> AdaptedSegmenter:
    return AdaptedSegmenter(scheme="seven", model=str(model), language_model=LanguageModel(model=str(tiny)))


def edit_card(model: Path, **settings) -> None:
    card = json.loads(card_path(model).read_text("utf-8"))
    card["settings"] |= settings
    card_path(model).write_text(json.dumps(card), "utf-8")
    model.touch()


def test_unseen_judgments_get_the_roles_of_their_sentences(segmenter, judgments):
    assert isinstance(segmenter, Segmenter)
    for judgment in judgments[10:]:
        found = segmenter.segment(replace(judgment, spans=None, scheme=None))
        assert [(s.start, s.end) for s in found.spans] == [(s.start, s.end) for s in judgment.spans]
        assert all(0 < s.score <= 1 for s in found.spans)
        right = sum(s.role == g.role for s, g in zip(found.spans, judgment.spans, strict=True))
        assert right >= 0.8 * len(found.spans)


def test_the_model_has_the_network_of_its_own_scheme_and_no_weights_of_the_language_model(trained):
    from safetensors.torch import load_file

    names = set(load_file(trained))
    assert {name.split(".")[1] for name in names} == {"reader", "pooling", "taggers"}
    assert all(name.startswith("0.taggers.seven.") for name in names if ".taggers." in name)
    assert all(name.endswith((".up", ".down")) for name in names if ".reader." in name)


def test_an_interrupted_training_resumes_and_gives_the_same_bytes(recipe, trained, tmp_path, documents, monkeypatch):
    monkeypatch.setenv("LEGALRR_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(adapted_training, "CHECKPOINT_SECONDS", -1.0)
    loss, calls = AdaptedNetwork.loss, []

    def interrupted(network, example):
        calls.append(example)
        if len(calls) == 15:
            raise KeyboardInterrupt
        return loss(network, example)

    monkeypatch.setattr(AdaptedNetwork, "loss", interrupted)
    path = tmp_path / "again.safetensors"
    with pytest.raises(KeyboardInterrupt):
        recipe.fit(documents, path)
    assert not path.exists()
    recipe.fit(documents, path)
    assert path.read_bytes() == trained.read_bytes()
    # Step 8 was interrupted at its first judgment; seven steps of two judgments were not repeated.
    assert len(calls) == 15 + 6 * len(documents) - 14


def test_a_finished_training_is_not_repeated(recipe, trained, tmp_path, documents, monkeypatch):
    monkeypatch.setattr(AdaptedNetwork, "loss", lambda *_: pytest.fail("trained again"))
    recipe.fit(documents, tmp_path / "again.safetensors")
    assert (tmp_path / "again.safetensors").read_bytes() == trained.read_bytes()


def test_a_damaged_checkpoint_is_reported(recipe, documents, tmp_path, monkeypatch, folder):
    kept = tmp_path / "cache"
    shutil.copytree(folder / "cache", kept)
    monkeypatch.setenv("LEGALRR_CACHE", str(kept))
    for file in kept.glob("training/*"):
        file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(UserError, match=r"damaged checkpoint \(delete it"):
        recipe.fit(documents, tmp_path / "again.safetensors")


def test_another_seed_or_other_companions_give_another_training(recipe, documents):
    names = {
        recipe._identity(documents, 0),
        recipe._identity(documents, 1),
        recipe._identity(documents[:-1], 0),
        replace(recipe, adapter_rate=1e-3)._identity(documents, 0),
        replace(recipe, seed=1)._identity(documents, 1),
    }
    assert len(names) == 5
    assert replace(recipe, networks=2)._identity(documents, 1) == recipe._identity(documents, 1)


def test_a_step_reads_a_part_of_a_long_judgment(recipe, tmp_path, documents, monkeypatch):
    sizes = []
    loss = AdaptedNetwork.loss

    def counted(network, example):
        sizes.append(len(example.owners))
        return loss(network, example)

    monkeypatch.setattr(AdaptedNetwork, "loss", counted)
    replace(recipe, part=100, epochs=1).fit(documents[:4], tmp_path / "part.safetensors")
    # A sentence has fewer than 60 bytes, and the tokenizer a token per byte.
    assert 100 <= min(sizes) <= max(sizes) < 220


def test_folds_score_one_scheme_and_train_on_both(recipe, documents):
    own = [document for document in documents if document.scheme == "seven"]
    also = [document for document in documents if document.scheme == "build"]
    found = evaluate(own, replace(recipe, epochs=1), folds=2, seed=0, also=also, report=lambda _: None)
    assert set(found.gold) <= {"FAC", "RLC", "ARG", "STA", "PRE", "RATIO", "RPC"}
    assert found.trained_on > len(also)
    assert len(found.gold) == sum(len(document.roles) for document in own)


def test_too_few_judgments_of_a_scheme_are_rejected(recipe, documents, tmp_path):
    with pytest.raises(UserError, match="1 distinct judgments with the roles of 'build'"):
        recipe.fit(documents[:9], tmp_path / "few.safetensors")


def test_a_text_without_words_has_no_spans(segmenter):
    assert segmenter.segment(Judgment(id="a", text=" \n")).spans == ()


def test_provenance_contains_all_required_models(segmenter):
    provenance = segmenter.provenance()
    assert set(provenance) == {"model_sha256", "crf_sha256", "language_model"}


def test_models_not_used_in_training_are_rejected(segmenter, model, tmp_path, judgments):
    other = tmp_path / "other.crfsuite"
    CrfRecipe(c1=0.1, c2=0.1).fit(build_dataset(judgments[:5]), other)
    with pytest.raises(UserError, match=r"segment\.crf: .*other\.crfsuite is not the CRF"):
        replace(segmenter, crf=str(other)).provenance()
    edit_card(model, language_model={"sha256": "0" * 64})
    with pytest.raises(UserError, match=r"segment\.language_model: .*another language model"):
        segmenter.provenance()


def test_missing_damaged_and_other_models_are_rejected(segmenter, model, tmp_path):
    with pytest.raises(UserError, match=r"none\.safetensors: no such model"):
        replace(segmenter, model=str(tmp_path / "none.safetensors")).provenance()
    with pytest.raises(UserError, match=r"roles of 'seven', not of 'build'"):
        replace(segmenter, scheme="build").provenance()
    edit_card(model, networks=2)
    with pytest.raises(UserError, match="damaged model"):
        segmenter.decode(["The appeal is dismissed."])
    edit_card(model, recipe="neural")
    with pytest.raises(UserError, match="a model of the kind 'neural'"):
        segmenter.provenance()


def test_the_tagger_is_loaded_by_name_with_a_model(model):
    tagger = load_tagger("adapted", scheme="build", model=str(model))
    assert isinstance(tagger, AdaptedSegmenter)
    assert tagger.model == str(model)
