"""Explanations and their scores in run folders."""

import pytest

from legalrr.errors import UserError
from legalrr.score.explanation import explanation_scores, score_explanations, unscored_pairs
from legalrr.score.explanation_texts import read_explanations
from legalrr.score.overlap import Meteor, Rouge

COURT = "The court holds that the tenant paid the rent."
GENERATED = {
    "a": [("analysis", "The tenant paid.", "stop"), ("ratio", "Rent is due.", "length")],
    "b": [("analysis", "<thought>hm</think> The rent was paid in full.", "stop"), ("ratio", "", "overflow")],
    "c": [("analysis", "", "stop")],
    "d": [("analysis", "Something.", "stop"), ("ratio", "Some rule.", "stop")],
}


@pytest.fixture
def folder(explain, tmp_path):
    return explain(tmp_path / "cell", GENERATED, COURT)


def compute(folders, metric):
    return sum(score_explanations(folders, metric))


def test_scores_are_those_of_the_metric_and_need_only_the_run_folder(folder):
    assert compute([folder], Rouge()) == 5
    compute([folder], Meteor())
    found = explanation_scores(folder)
    values = {(turn, measure.column): scores for (turn, measure), scores in found.values.items()}
    expected = next(iter(Rouge().scores([("The tenant paid.", COURT)])))
    assert values["analysis", "rouge_1"]["a"] == pytest.approx(expected["rouge_1"])
    # An empty turn is scored too.
    assert values["analysis", "rouge_l"]["c"] == 0
    assert set(values["ratio", "meteor_no_synonyms"]) == {"a"}
    assert found.words["analysis"]["a"] == (3, 9)


def test_counts_are_those_of_the_explanations(folder):
    compute([folder], Rouge())
    found, texts = explanation_scores(folder), read_explanations(folder)
    assert [vars_of(one) for one in found.found] == [vars_of(one) for one in texts.found]
    assert found.turns == texts.turns
    assert found.no_turn == {turn: len(ids) for turn, ids in texts.no_turn.items()}
    assert found.no_text == {turn: len(ids) for turn, ids in texts.no_text.items()}


def vars_of(one):
    return one.id, one.turn, one.source, one.cut_off


def test_a_pair_is_scored_once_and_a_changed_text_again(folder, explain, tmp_path, monkeypatch):
    scored = []
    scores = Rouge.scores
    monkeypatch.setattr(Rouge, "scores", lambda metric, pairs: scored.extend(pairs) or scores(metric, pairs))
    other, metric = explain(tmp_path / "other", GENERATED, COURT), Rouge()
    compute([folder, other], metric)
    # Both folders hold the same texts.
    assert len(scored) == 5
    assert unscored_pairs(other, metric) == {}
    explain(folder, {**GENERATED, "a": [("analysis", "Another view.", "stop")]}, COURT)
    assert [pair[0] for pair in unscored_pairs(folder, metric).values()] == ["Another view."]
    assert "a" not in next(iter(explanation_scores(folder).values.values()))
    compute([folder, other], metric)
    assert scored[5:] == [("Another view.", COURT)]


def test_scores_from_before_an_interruption_are_kept(folder):
    steps = score_explanations([folder], Rouge())
    next(steps)
    steps.close()
    assert len(unscored_pairs(folder, Rouge())) == 4


def test_variants_of_a_metric_have_separate_measures(folder):
    for metric in (Rouge(stemming="porter"), Rouge(stemming="none")):
        compute([folder], metric)
    measures = {measure for _, measure in explanation_scores(folder).values if measure.column == "rouge_1"}
    assert len({measure.store for measure in measures}) == len({measure.detail for measure in measures}) == 2


def test_a_cell_without_references_has_no_explanations(tmp_path):
    assert explanation_scores(tmp_path) is None
    assert unscored_pairs(tmp_path, Rouge()) == {}


def test_the_error_for_a_damaged_store_says_how_to_repair_it(folder):
    compute([folder], Rouge())
    (key,) = folder.glob("explanation/*/key.json")
    key.write_text("{")
    with pytest.raises(UserError, match=r"key\.json: not JSON \(delete its folder"):
        explanation_scores(folder)
