"""ROUGE and METEOR against their reference packages."""

import nltk
import pytest
from hypothesis import given
from hypothesis import strategies as st
from nltk.translate.meteor_score import meteor_score
from rouge_score.rouge_scorer import RougeScorer

from legalrr.errors import UserError
from legalrr.score.metrics import store_name
from legalrr.score.overlap import Meteor, Rouge, common_subsequence, common_subsequence_reference, meteor_words

WORDS = st.lists(st.sampled_from("abcd"), max_size=90)


@pytest.mark.parametrize("stemming", ["porter", "none"])
def test_rouge_equals_that_of_its_reference_package(pairs, stemming):
    reference = RougeScorer(["rouge1", "rouge2", "rougeL"], use_stemmer=stemming == "porter")
    for (generated, court), found in zip(pairs, Rouge(stemming=stemming).scores(pairs), strict=True):
        for column, score in reference.score(target=court, prediction=generated).items():
            name = {"rouge1": "rouge_1", "rouge2": "rouge_2", "rougeL": "rouge_l"}[column]
            assert found[name] == pytest.approx(score.fmeasure, abs=1e-6)
            assert found[f"{name}_precision"] == pytest.approx(score.precision, abs=1e-6)
            assert found[f"{name}_recall"] == pytest.approx(score.recall, abs=1e-6)


def test_stemming_is_part_of_the_identity_of_rouge():
    one, other = Rouge(stemming="porter"), Rouge(stemming="none")
    (stemmed,), (plain,) = (list(metric.scores([("appeals", "appeal")])) for metric in (one, other))
    assert (stemmed["rouge_1"], plain["rouge_1"]) == (1.0, 0.0)
    assert store_name(one) != store_name(other)
    assert one.detail != other.detail


@given(WORDS, WORDS)
def test_the_common_subsequence_equals_that_of_dynamic_programming(first, second):
    assert common_subsequence(first, second) == common_subsequence_reference(first, second)


def test_meteor_without_synonyms_equals_nltk_without_wordnet(pairs):
    class Empty:
        def synsets(self, word):
            return []

    for (generated, court), found in zip(pairs, Meteor().scores(pairs), strict=True):
        expected = meteor_score([meteor_words(court)], meteor_words(generated), wordnet=Empty())
        assert found == {"meteor_no_synonyms": pytest.approx(expected, abs=1e-6)}


def test_meteor_tokenizes_sentence_by_sentence():
    assert meteor_words("The appeal fails. It's dismissed.") == (
        *("The", "appeal", "fails", ".", "It", "'s", "dismissed", "."),
    )


@pytest.mark.parametrize("metric", [Rouge(), Meteor()])
@pytest.mark.parametrize("pair", [("", "the court"), ("the court", ""), ("", ""), ("...", "the")])
def test_texts_without_a_common_word_score_0(metric, pair):
    (found,) = metric.scores([pair])
    assert set(found.values()) == {0.0}


def wordnet_of_two_words(folder):
    """Write a minimal WordNet: one synset, with the nouns `appeal` and `plea`."""
    wordnet = folder / "corpora" / "wordnet"
    wordnet.mkdir(parents=True)
    for part in ("adj", "adv", "noun", "verb"):
        for file in (f"index.{part}", f"data.{part}", f"{part}.exc"):
            (wordnet / file).write_text("")
    for file in ("cntlist.rev", "index.sense"):
        (wordnet / file).write_text("")
    (wordnet / "lexnames").write_text("00\tadj.all\t3\n01\tadj.pert\t3\n02\tadv.all\t4\n03\tnoun.Tops\t1\n")
    head = "  1 WordNet 3.0 Copyright\n"
    (wordnet / "data.adj").write_text(head)
    (wordnet / "data.noun").write_text(f"{0:08} 03 n 02 appeal 0 plea 0 000 | a request\n")
    (wordnet / "index.noun").write_text(f"appeal n 1 0 1 0 {0:08}\nplea n 1 0 1 0 {0:08}\n")
    return folder


@pytest.fixture
def nltk_data(monkeypatch):
    """Function that makes nltk search for its data only in the given folder."""
    from nltk.corpus.reader.wordnet import WordNetCorpusReader
    from nltk.corpus.util import LazyCorpusLoader

    def look(folder):
        monkeypatch.setattr(nltk.data, "path", [str(folder)])
        monkeypatch.setattr("nltk.corpus.wordnet", LazyCorpusLoader("wordnet", WordNetCorpusReader, None))

    return look


def test_meteor_with_wordnet_finds_synonyms(nltk_data, tmp_path):
    nltk_data(wordnet_of_two_words(tmp_path))
    found = [
        next(iter(metric.scores([("the plea", "the appeal")]))) for metric in (Meteor(synonyms="wordnet"), Meteor())
    ]
    assert found == [{"meteor": pytest.approx(1 - 0.5 / 8)}, {"meteor_no_synonyms": pytest.approx(0.25)}]
    assert Meteor(synonyms="wordnet").provenance()["wordnet"] == "3.0"


@pytest.mark.parametrize("whole", [True, False])
def test_the_error_for_a_missing_wordnet_says_how_to_install_it(nltk_data, tmp_path, whole):
    if not whole:
        (wordnet_of_two_words(tmp_path) / "corpora" / "wordnet" / "lexnames").unlink()
    nltk_data(tmp_path)
    with pytest.raises(UserError, match=r"WordNet.*nltk\.downloader wordnet.*no_synonyms"):
        Meteor(synonyms="wordnet").provenance()


def test_a_package_that_is_not_installed_is_named(monkeypatch):
    monkeypatch.setattr("legalrr.score.overlap.find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"rouge-score is not installed.*legalrr\[explanation\]"):
        Rouge().provenance()


@pytest.mark.parametrize(
    ("make", "named"), [(lambda: Rouge(stemming="snowball"), "stemming"), (lambda: Meteor(synonyms="all"), "synonyms")]
)
def test_an_unknown_choice_is_an_error(make, named):
    with pytest.raises(UserError, match=f"^{named}: unknown"):
        make()
