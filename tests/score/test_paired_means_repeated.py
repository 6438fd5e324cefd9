"""Repeated runs of one arm: standard deviation between runs and interval over judgments."""

from itertools import product
from statistics import mean, stdev

import pytest

from legalrr.errors import UserError
from legalrr.records import Scored
from legalrr.score.metrics import macro_f1
from legalrr.score.paired_means import compare_repeated, score_repeated
from legalrr.score.scorer import PredictionScorer
from legalrr.score.significance import compare

SCORER = PredictionScorer(resamples=300, permutations=3000)
LETTERS = {"A": "allowed", "D": "dismissed", "-": "invalid"}
GOLD = "AAAADDDD"


def run(answers, gold=GOLD):
    return [
        Scored(id=str(i), gold=LETTERS[g], label=LETTERS[a]) for i, (g, a) in enumerate(zip(gold, answers, strict=True))
    ]


def score(answers):
    return macro_f1([LETTERS[g] for g in GOLD], [LETTERS[a] for a in answers])


def test_mean_and_sd_are_over_runs_and_the_interval_is_over_judgments():
    answers = ("AAADDDDA", "AADDDDAA", "AAA-DDDD")
    found = score_repeated([run(one) for one in answers], scorer=SCORER)
    assert found.n == 8
    assert found.runs == pytest.approx([score(one) for one in answers])
    assert found.mean == pytest.approx(mean(found.runs))
    assert found.sd == pytest.approx(stdev(found.runs))
    assert found.interval[0] < found.mean < found.interval[1]


def test_equal_runs_have_sd_0_and_the_interval_of_one_run():
    one, five = (score_repeated([run("AAADDDDA")] * runs, scorer=SCORER) for runs in (1, 5))
    assert (one.sd, five.sd) == (None, 0)
    assert five.interval == pytest.approx(one.interval)


def test_the_order_of_the_judgments_does_not_matter():
    first, second = run("AAADDDDA"), run("AADDDDAA")
    assert score_repeated([first, second], scorer=SCORER) == score_repeated([first, second[::-1]], scorer=SCORER)


def test_runs_over_different_judgments_are_an_error():
    with pytest.raises(UserError, match="not all of the 2 arms have: 7"):
        score_repeated([run(GOLD), run(GOLD)[:-1]], scorer=SCORER)


def test_one_run_per_arm_is_compared_as_by_compare():
    arm, base = run("AAADDDAA"), run("DAADDADD")
    single, several = compare(arm, base, scorer=SCORER), compare_repeated([arm], [base], scorer=SCORER)
    assert several.difference == pytest.approx(single.difference)
    assert several.interval == pytest.approx(single.interval)
    assert several.p_permutation == pytest.approx(single.p_permutation)
    assert several.smallest_detectable == pytest.approx(single.smallest_detectable)


def test_p_equals_that_over_all_swaps_of_whole_judgments():
    arm, base = ("AAADDDDA", "AAADDDAA"), ("DAADDDDD", "AAADDAAD")

    def difference(swaps):
        sides = [
            [[(b if swap else a)[place] for place, swap in enumerate(swaps)] for a, b in zip(one, other, strict=True)]
            for one, other in ((arm, base), (base, arm))
        ]
        return mean(map(score, sides[0])) - mean(map(score, sides[1]))

    null = [difference(swaps) for swaps in product((False, True), repeat=len(GOLD))]
    observed = null[0]
    above, below = (sum(sign * (one - observed) >= -1e-12 for one in null) / len(null) for sign in (1, -1))
    found = compare_repeated([run(one) for one in arm], [run(one) for one in base], scorer=SCORER)
    assert found.difference == pytest.approx(observed)
    assert found.p_permutation == pytest.approx(min(1.0, 2 * min(above, below)))


def test_equal_answers_have_difference_0_and_p_1():
    runs = [run("AAADDDDA"), run("AADDDDAA")]
    found = compare_repeated(runs, runs, scorer=SCORER)
    assert (found.difference, found.p_permutation, found.interval) == (0, 1, None)
    once = compare_repeated(runs[:1], runs[:1], scorer=SCORER)
    assert found.smallest_detectable == pytest.approx(once.smallest_detectable)


def test_unequal_numbers_of_runs_are_an_error():
    with pytest.raises(UserError, match="2 runs against 1 of the reference"):
        compare_repeated([run(GOLD)] * 2, [run(GOLD)], scorer=SCORER)
