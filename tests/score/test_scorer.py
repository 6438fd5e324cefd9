import json
import subprocess
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from omegaconf import OmegaConf

from legalrr.errors import UserError
from legalrr.paths import root
from legalrr.predictions import LABELS
from legalrr.protocols import Scorer
from legalrr.records import OUTCOMES, Scored
from legalrr.score.cases import AnsweredCase
from legalrr.score.scorer import PredictionScorer, Scores
from legalrr.stage import build

QUICK = PredictionScorer(resamples=50, permutations=50)
LETTERS = {"A": "allowed", "D": "dismissed", "-": "invalid"}


def scored(gold, labels, **more):
    pairs = zip(gold, labels, strict=True)
    return [Scored(id=f"{i:03}", gold=LETTERS[g], label=LETTERS[p], **more) for i, (g, p) in enumerate(pairs)]


def test_every_score_by_hand():
    # allowed: 3 right, 1 missed, 1 invalid; dismissed: 2 right, 1 answered allowed, 1 invalid
    found = QUICK.scores(scored("AAAAADDDD", "AAAD-DDA-"))
    assert found.n == 9
    assert found.confusion == {
        "allowed": {"allowed": 3, "dismissed": 1, "invalid": 1},
        "dismissed": {"allowed": 1, "dismissed": 2, "invalid": 1},
    }
    assert found.precision == pytest.approx({"allowed": 3 / 4, "dismissed": 2 / 3})
    assert found.recall == pytest.approx({"allowed": 3 / 5, "dismissed": 2 / 4})
    assert found.f1 == pytest.approx({"allowed": 6 / 9, "dismissed": 4 / 7})
    assert found.macro_f1 == pytest.approx((6 / 9 + 4 / 7) / 2)
    assert found.accuracy == pytest.approx(5 / 9)
    assert found.fpr == pytest.approx(1 / 4)
    assert found.fnr == pytest.approx(2 / 5)
    assert found.invalid_rate == pytest.approx(2 / 9)
    assert found.invalid == {"unstated": 2}
    assert found.yes_rate == pytest.approx(4 / 9)
    assert found.tokens is None
    assert found.brier is None


def test_mcc_by_hand_without_invalid_answers():
    # TP 3, FN 1, FP 2, TN 2
    found = QUICK.scores(scored("AAAADDDD", "AAADAADD"))
    assert found.mcc == pytest.approx((3 * 2 - 2 * 1) / (5 * 4 * 4 * 3) ** 0.5)


def test_an_invalid_answer_is_never_a_false_positive():
    found = QUICK.scores(scored("DDDDAAAA", "-----AAA"))
    assert found.fpr == 0
    assert found.recall["dismissed"] == 0
    assert found.precision["allowed"] == 1


def test_one_class_and_one_answer_give_defined_scores():
    found = QUICK.scores(scored("AAAA", "AAAA"))
    assert found.fpr is None
    assert found.fnr == 0
    assert found.mcc == 0
    assert found.macro_f1 == 0.5
    assert found.interval == (pytest.approx(0.2512, abs=1e-4), 0.5), "exact, as no resample changes the score"
    assert (found.interval_method, found.interval_note) == ("exact", None)
    assert (found.p_skill, found.mcc_interval) == (None, None)


def test_one_judgment_has_no_interval_and_no_judgments_have_no_scores():
    assert QUICK.scores(scored("A", "A")).interval_note == "fewer than two judgments"
    nothing = QUICK.scores([])
    assert (nothing.n, nothing.macro_f1, nothing.interval_note) == (0, None, "no labelled judgment")


def test_reasons_cut_offs_tokens_and_brier_come_from_the_cases():
    cases = [
        AnsweredCase(
            id="a", gold="allowed", label="invalid", reason="budget", cut_off=True, prompt_tokens=10, new_tokens=1
        ),
        AnsweredCase(id="b", gold="allowed", label="allowed", reason="matched", p_allowed=0.75, prompt_tokens=5),
        AnsweredCase(id="c", gold="dismissed", label="dismissed", reason="matched", p_allowed=0.5, cached_tokens=3),
        AnsweredCase(id="d", gold="dismissed", label="invalid", reason="unparsed"),
    ]
    found = QUICK.scores(cases)
    assert found.invalid == {"budget": 1, "unparsed": 1}
    assert found.cut_off_rate == 0.25
    assert found.tokens == {"prompt": 15, "cached": 3, "new": 1}
    assert found.brier == pytest.approx((0.25**2 + 0.5**2) / 2)


@given(st.lists(st.tuples(st.sampled_from(OUTCOMES), st.sampled_from(LABELS)), max_size=12), st.randoms())
@settings(max_examples=25, deadline=None)
def test_scores_are_json_without_nan_and_independent_of_the_order(pairs, shuffler):
    cases = [Scored(id=str(i), gold=gold, label=label) for i, (gold, label) in enumerate(pairs)]
    first = QUICK.score(cases)
    shuffler.shuffle(cases)
    text = json.dumps(first, allow_nan=False)
    assert text == json.dumps(QUICK.score(cases), allow_nan=False)
    assert Scores.from_json(json.loads(text), where="scores.json") == QUICK.scores(cases)


def test_the_stamp_depends_on_predictions_and_settings():
    cases = scored("AD", "AD")
    assert QUICK.stamp(cases) == QUICK.stamp(cases[::-1])
    assert QUICK.stamp(cases) != QUICK.stamp(scored("AD", "AA"))
    assert QUICK.stamp(cases) != PredictionScorer().stamp(cases)


def test_a_duplicate_id_is_an_error():
    with pytest.raises(UserError, match="duplicate id '000'"):
        QUICK.scores(scored("A", "A") * 2)


def test_a_missing_score_in_a_file_is_named():
    with pytest.raises(UserError, match=r"scores\.json: mcc missing"):
        Scores.from_json({k: v for k, v in QUICK.score([]).items() if k != "mcc"}, where="scores.json")


@pytest.mark.parametrize("bad", [{"confidence": 1.0}, {"resamples": 0}, {"permutations": 0}, {"seed": -1}])
def test_the_error_for_an_invalid_setting_names_its_option(bad):
    with pytest.raises(UserError, match=rf"score\.{next(iter(bad))}"):
        PredictionScorer(**bad)


def test_the_default_configuration_uses_the_seed_of_the_run():
    config = OmegaConf.create({"seed": 5, "score": OmegaConf.load(root() / "conf" / "score" / "default.yaml")})
    scorer = build(config.score, Scorer, option="score")
    assert scorer == PredictionScorer(seed=5)


def test_import_loads_no_heavy_libraries():
    code = (
        "import sys, legalrr.score.scorer, legalrr.score.significance;"
        "print([m for m in ('pandas', 'scipy', 'sklearn', 'matplotlib') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@given(st.lists(st.tuples(st.sampled_from(["allowed", "dismissed"]), st.sampled_from(LABELS)), min_size=1, max_size=30))
def test_scores_of_a_class_and_mcc_are_those_of_scikit_learn(pairs):
    from sklearn.metrics import matthews_corrcoef, precision_recall_fscore_support

    gold, labels = (list(side) for side in zip(*pairs, strict=True))
    cases = [Scored(id=str(n), gold=one, label=other) for n, (one, other) in enumerate(pairs)]
    found = PredictionScorer(resamples=9, permutations=9).scores(cases)
    expected = precision_recall_fscore_support(gold, labels, labels=["allowed", "dismissed"], zero_division=0)
    for name, values in zip(("precision", "recall", "f1"), expected[:3], strict=True):
        assert list(getattr(found, name).values()) == pytest.approx(list(values))
    one_sided = len(set(gold)) == 1 or len(set(labels)) == 1
    assert found.mcc == pytest.approx(0.0 if one_sided else matthews_corrcoef(gold, labels))
