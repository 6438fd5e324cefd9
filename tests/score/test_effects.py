from itertools import product

import numpy as np
import pytest
from scipy import stats

from legalrr.errors import UserError
from legalrr.records import Scored
from legalrr.score.detectable import Population
from legalrr.score.effects import ARMS, CONFIRMATORY, EFFECTS, MEASURES, SWITCHES, Factorial, effects
from legalrr.score.invalid_bounds import invalid_as_right, invalid_as_wrong
from legalrr.score.metrics import macro_f1
from legalrr.score.scorer import PredictionScorer
from legalrr.score.significance import holm

SCORER = PredictionScorer(resamples=300, seed=1)
LABELS = ("allowed", "dismissed", "invalid")


def arms(n, seed=0, only=ARMS, shift=0.0):
    """Return answers of every arm; with R, more of them are YES."""
    rng = np.random.default_rng(seed)
    gold = rng.random(n) < 0.5
    found = {}
    for arm in only:
        yes = np.where(gold, 0.6, 0.35) + 0.2 * ("R" in ARMS[arm]) + shift
        drawn = rng.random(n)
        labels = np.where(drawn < 0.05, 2, np.where(drawn < 0.05 + 0.95 * yes, 0, 1))
        found[arm] = [
            Scored(id=f"{i:04}", gold="allowed" if gold[i] else "dismissed", label=LABELS[labels[i]]) for i in range(n)
        ]
    return found


def factorial(n=60, seed=0, corpus="build", backbone="tiny", **changes):
    return Factorial(corpus=corpus, backbone=backbone, arms=arms(n, seed, **changes))


def table(*factorials, scorer=SCORER):
    return {(one.measure, one.name): one for one in effects(factorials, scorer=scorer)}


def score(measure, cases):
    found = SCORER.scores(cases)
    return getattr(found, measure)


def test_every_effect_is_estimated_on_every_measure():
    found = effects([factorial()], scorer=SCORER)
    assert [(one.measure, one.name) for one in found] == list(product(MEASURES, EFFECTS))
    assert EFFECTS == ("D", "R", "C", "D:R", "D:C", "R:C", "D:R:C")
    assert all(one.note == "" and one.n == 60 for one in found)


def test_effects_are_twice_the_coefficients_of_effect_coded_regression():
    whole = factorial()
    found = table(whole)
    signs = np.array([[1 if switch in ARMS[arm] else -1 for switch in SWITCHES] for arm in whole.arms])
    columns = [np.prod([signs[:, SWITCHES.index(s)] for s in name.split(":")], axis=0) for name in EFFECTS]
    design = np.stack([np.ones(8), *columns], axis=1)
    for measure in MEASURES:
        scores = np.array([score(measure, cases) for cases in whole.arms.values()])
        coefficients, *_ = np.linalg.lstsq(design, scores, rcond=None)
        estimates = [found[measure, name].estimate for name in EFFECTS]
        assert estimates == pytest.approx(2 * coefficients[1:], abs=1e-12)


def test_a_main_effect_and_an_interaction_by_hand():
    whole = factorial()
    y = {arm: score("accuracy", cases) for arm, cases in whole.arms.items()}
    found = table(whole)
    with_d, without = (y["d"] + y["dr"] + y["dc"] + y["drc"]) / 4, (y["plain"] + y["r"] + y["c"] + y["rc"]) / 4
    assert found["accuracy", "D"].estimate == pytest.approx(with_d - without)
    with_r, without_r = (
        ((y["dr"] - y["r"]) + (y["drc"] - y["rc"])) / 2,
        ((y["d"] - y["plain"]) + (y["dc"] - y["c"])) / 2,
    )
    assert found["accuracy", "D:R"].estimate == pytest.approx((with_r - without_r) / 2)


def test_a_shift_of_the_yes_rate_is_found():
    found = table(factorial(300))
    assert found["yes_rate", "R"].interval[0] > 0.1
    low, high = found["yes_rate", "D"].interval
    assert low < 0 < high


def test_the_interval_of_accuracy_is_that_of_the_mean_contrast_per_judgment():
    # Accuracy is a mean over judgments, so its effect is the mean of each judgment's own contrast.
    whole = factorial(200)
    own = np.zeros(200)
    for arm, cases in whole.arms.items():
        own += (1 if "D" in ARMS[arm] else -1) / 4 * np.array([case.label == case.gold for case in cases])
    found = table(whole)["accuracy", "D"]
    assert found.estimate == pytest.approx(own.mean())
    half = stats.t.ppf(0.975, 199) * own.std(ddof=1) / 200**0.5
    assert found.interval == pytest.approx((own.mean() - half, own.mean() + half))


def test_judgments_are_joined_by_id_not_by_position():
    whole = factorial()
    reversed_order = Factorial(
        corpus="build", backbone="tiny", arms={arm: c[::-1] for arm, c in reversed(whole.arms.items())}
    )
    assert table(reversed_order) == table(whole)


def test_without_arms_with_r_effects_are_those_without_r():
    part = factorial(only=("plain", "d", "c", "dc"))
    found = table(part)
    y = {arm: score("macro_f1", cases) for arm, cases in part.arms.items()}
    d = found["macro_f1", "D"]
    assert d.estimate == pytest.approx((y["d"] - y["plain"] + y["dc"] - y["c"]) / 2)
    assert d.settings == ("", "C")
    assert d.note == "only with these other switches on: none, C; missing arms: r, dr, rc, drc"
    assert found["macro_f1", "D:C"].estimate == pytest.approx((y["dc"] - y["c"] - y["d"] + y["plain"]) / 2)
    assert found["macro_f1", "D:C"].settings == ("",)
    for name in ("R", "D:R", "R:C", "D:R:C"):
        lost = found["macro_f1", name]
        assert lost.note == "not to be estimated; missing arms: r, dr, rc, drc"
        assert (lost.estimate, lost.interval, lost.smallest_detectable, lost.settings) == (None, None, None, ())


def test_one_arm_has_no_effects():
    assert all(one.estimate is None for one in effects([factorial(only=("d",))], scorer=SCORER))


def test_corpora_are_weighted_by_judgments_and_are_separate_samples():
    small, large = factorial(40, corpus="marro"), factorial(120, seed=7)
    one, other, both = table(small), table(large), table(small, large)
    for key, pooled in both.items():
        assert pooled.n == 160
        assert pooled.estimate == pytest.approx((40 * one[key].estimate + 120 * other[key].estimate) / 160)
    variances = [np.ptp(found["yes_rate", "C"].interval) ** 2 for found in (one, other)]
    expected = (0.25**2 * variances[0] + 0.75**2 * variances[1]) ** 0.5
    assert np.ptp(both["yes_rate", "C"].interval) == pytest.approx(expected, rel=0.03)


def test_a_second_backbone_with_equal_answers_changes_nothing():
    one, twin = factorial(80), factorial(80, backbone="twin")
    alone, both = table(one), table(one, twin)
    for key, pooled in both.items():
        assert pooled.n == 80
        assert pooled.estimate == pytest.approx(alone[key].estimate)
        assert pooled.interval == pytest.approx(alone[key].interval)


def test_pooled_effects_use_the_settings_that_all_factorials_have():
    whole, part = factorial(50), factorial(50, corpus="predex", only=("plain", "d", "c", "dc"), seed=3)
    pooled = table(whole, part)
    assert pooled["accuracy", "D"].settings == ("", "C")
    alone = [
        table(Factorial(corpus=one.corpus, backbone="tiny", arms={a: one.arms[a] for a in part.arms}))
        for one in (whole, part)
    ]
    expected = sum(one["accuracy", "D"].estimate for one in alone) / 2
    assert pooled["accuracy", "D"].estimate == pytest.approx(expected)
    assert pooled["accuracy", "R"].estimate is None


def test_a_backbone_that_lacks_judgments_is_scored_on_its_own():
    whole = factorial(60)
    fewer = Factorial(corpus="build", backbone="short", arms={arm: cases[:40] for arm, cases in whole.arms.items()})
    pooled = table(whole, fewer)
    assert pooled["accuracy", "R"].n == 60
    expected = (table(whole)["accuracy", "R"].estimate + table(fewer)["accuracy", "R"].estimate) / 2
    assert pooled["accuracy", "R"].estimate == pytest.approx(expected)


def test_without_differences_a_reason_replaces_the_interval():
    same = arms(10)["plain"]
    found = table(Factorial(corpus="build", backbone="tiny", arms=dict.fromkeys(ARMS, same)))["macro_f1", "D"]
    assert (found.estimate, found.interval, found.p_permutation) == (0, None, 1)
    assert found.interval_note == "leaving out one judgment never changes the difference"


def test_only_d_r_and_c_on_macro_f1_are_tested():
    found = table(factorial(80))
    tested = [key for key, one in found.items() if one.p_permutation is not None]
    assert tuple(tested) == CONFIRMATORY == (("macro_f1", "D"), ("macro_f1", "R"), ("macro_f1", "C"))
    assert [found[key].p_holm for key in tested] == pytest.approx(holm([found[key].p_permutation for key in tested]))
    assert all((one.smallest_detectable is None) == (key not in tested) for key, one in found.items())


def test_p_of_an_effect_equals_that_over_all_swaps_of_whole_judgments():
    whole = factorial(7, seed=5)
    names = list(whole.arms)
    labels = {arm: [case.label for case in cases] for arm, cases in whole.arms.items()}
    gold = [case.gold for case in whole.arms["plain"]]

    def effect(swaps):
        total = 0.0
        for arm in names:
            other = next(a for a in ARMS if set(ARMS[a]) == set(ARMS[arm]) ^ {"R"})
            answers = [labels[other if swap else arm][place] for place, swap in enumerate(swaps)]
            total += (1 if "R" in ARMS[arm] else -1) * macro_f1(gold, answers) / 4
        return total

    null = np.array([effect(swaps) for swaps in product((False, True), repeat=7)])
    tails = np.mean(null >= null[0] - 1e-12), np.mean(null <= null[0] + 1e-12)
    assert table(whole)["macro_f1", "R"].p_permutation == pytest.approx(min(1.0, 2 * min(tails)))


@pytest.mark.parametrize("better", [True, False])
def test_the_bound_of_an_effect_resolves_invalid_answers_against_it(better):
    # The arms with R (or, reversed, those without) have invalid answers and are right otherwise.
    gold = ["allowed", "dismissed"] * 20
    some = {
        True: [label if place % 10 else "invalid" for place, label in enumerate(gold)],
        False: [label if place % 3 else "dismissed" for place, label in enumerate(gold)],
    }
    whole = Factorial(
        corpus="build",
        backbone="tiny",
        arms={
            arm: [
                Scored(id=f"{i:02}", gold=true, label=label)
                for i, (true, label) in enumerate(zip(gold, some[("R" in on) == better], strict=True))
            ]
            for arm, on in ARMS.items()
        },
    )
    found = table(whole)["macro_f1", "R"]
    assert (found.estimate > 0) is better
    filled = {
        arm: (invalid_as_wrong if ("R" in ARMS[arm]) == better else invalid_as_right)(cases)
        for arm, cases in whole.arms.items()
    }
    against = table(Factorial(corpus="build", backbone="tiny", arms=filled))
    assert found.bound == pytest.approx(against["macro_f1", "R"].estimate)
    assert abs(found.bound) < abs(found.estimate)
    others = [table(whole)["macro_f1", name] for name in SWITCHES]
    assert found.p_holm_bound == pytest.approx(holm([against["macro_f1", "R"].p_permutation, 1, 1])[0])
    assert [one.shown for one in others] == [False, max(found.p_holm, found.p_holm_bound) < 0.05, False]


def test_an_effect_that_invalid_answers_could_reverse_is_not_shown():
    gold = ["allowed", "dismissed"] * 20
    silent = [label if place < 24 else "invalid" for place, label in enumerate(gold)]
    wrong = [label if place < 24 else LABELS[int(label == "allowed")] for place, label in enumerate(gold)]
    arms = {
        arm: [
            Scored(id=f"{i:02}", gold=true, label=label)
            for i, (true, label) in enumerate(zip(gold, silent if "D" in on else wrong, strict=True))
        ]
        for arm, on in ARMS.items()
    }
    found = table(Factorial(corpus="build", backbone="tiny", arms=arms))["macro_f1", "D"]
    assert found.p_holm < 0.05
    assert (found.bound, found.p_holm_bound, found.shown) == (0, 1, False)


def test_without_invalid_answers_an_effect_has_no_bound():
    whole = factorial(40)
    whole = Factorial(
        corpus="build", backbone="tiny", arms={arm: invalid_as_wrong(cases) for arm, cases in whole.arms.items()}
    )
    found = table(whole)
    assert all(one.bound is None and one.p_holm_bound == one.p_holm for one in found.values())


def test_the_bound_of_an_effect_uses_only_the_arms_of_its_settings():
    # Without D/C, the effect of D is that without C, so the invalid answers of C do not affect it.
    part = factorial(40, only=("plain", "d", "c"))
    arms = {arm: cases if arm == "c" else invalid_as_wrong(cases) for arm, cases in part.arms.items()}
    found = table(Factorial(corpus="build", backbone="tiny", arms=arms))
    assert found["macro_f1", "D"].bound is None
    assert found["macro_f1", "C"].bound is not None


def draw(rng, n, effect):
    """Draw answers with a difficulty per judgment shared by all arms; D adds right answers, R adds YES."""
    gold, hard = rng.random(n) < 0.45, rng.normal(0.5, 1.2, n)
    found = {}
    for arm, on in ARMS.items():
        right = hard + effect * ("D" in on) + 0.9 * rng.normal(size=n) > 0
        yes = np.where(gold, right, ~right) | (rng.random(n) < 0.1 * ("R" in on))
        found[arm] = [
            Scored(id=f"{i:05}", gold=LABELS[int(not g)], label=LABELS[int(not y)])
            for i, (g, y) in enumerate(zip(gold.tolist(), yes.tolist(), strict=True))
        ]
    return Factorial(corpus="drawn", backbone="tiny", arms=found)


@pytest.mark.parametrize("effect", [0.0, 0.3])
@pytest.mark.parametrize("n", [20, 44])
def test_intervals_cover_95_percent_and_tests_reject_at_their_level(n, effect, monkeypatch):
    monkeypatch.setattr(Population, "smallest", lambda population: None)
    rng, quick = np.random.default_rng(0), PredictionScorer(permutations=400)
    # The standard error of the truth is at most a twentieth of that of a sample.
    truth = table(draw(rng, 20_000, effect), scorer=PredictionScorer(permutations=1))
    samples = [table(draw(rng, n, effect), scorer=quick) for _ in range(250)]
    covered = [
        [sample[key].interval[0] <= truth[key].estimate <= sample[key].interval[1] for key in CONFIRMATORY]
        for sample in samples
        if all(sample[key].interval for key in CONFIRMATORY)
    ]
    # 750 intervals of three effects; the standard error of the share is 0.008.
    assert 0.935 <= np.mean(covered) <= 0.97
    rejected = np.mean([[sample["macro_f1", name].p_permutation <= 0.05 for name in "C"] for sample in samples])
    assert rejected <= 0.08


def test_invalid_factorials_are_errors():
    whole = factorial(6)
    with pytest.raises(UserError, match="no arms"):
        effects([], scorer=SCORER)
    cut = {"plain": whole.arms["plain"], "d": whole.arms["d"][:-1]}
    with pytest.raises(UserError, match=r"effects, tiny: judgments that not all of the 2 arms have: 0005"):
        effects([Factorial(corpus="build", backbone="tiny", arms=cut)], scorer=SCORER)
    with pytest.raises(UserError, match="no labelled judgments"):
        effects([Factorial(corpus="build", backbone="tiny", arms={"plain": []})], scorer=SCORER)
    with pytest.raises(UserError, match="unknown arm 'direct'"):
        effects([Factorial(corpus="build", backbone="tiny", arms={"direct": whole.arms["d"]})], scorer=SCORER)
    other_gold = [Scored(id=c.id, gold="allowed", label=c.label) for c in whole.arms["d"]]
    with pytest.raises(UserError, match="two gold outcomes"):
        effects([whole, Factorial(corpus="build", backbone="other", arms={"d": other_gold})], scorer=SCORER)
