from dataclasses import replace
from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from legalrr.errors import UserError
from legalrr.records import Scored
from legalrr.score.intervals import EXTENDED, INCLUDES_ZERO
from legalrr.score.metrics import macro_f1
from legalrr.score.scorer import PredictionScorer
from legalrr.score.significance import compare, holm

SCORER = PredictionScorer(resamples=300, permutations=2000)
LETTERS = {"A": "allowed", "D": "dismissed", "-": "invalid"}


def scored(gold, labels):
    pairs = zip(gold, labels, strict=True)
    return [Scored(id=f"{i:03}", gold=LETTERS[g], label=LETTERS[p]) for i, (g, p) in enumerate(pairs)]


def exhaustive_p(gold, first, second):
    """Compute the two-sided p over all swaps of answers, twice the smaller tail."""
    gold = [LETTERS[g] for g in gold]

    def difference(swaps):
        sides = [
            [LETTERS[(b if swap else a) if side == 0 else (a if swap else b)] for a, b, swap in swaps]
            for side in (0, 1)
        ]
        return macro_f1(gold, sides[0]) - macro_f1(gold, sides[1])

    null = [
        difference(list(zip(first, second, swaps, strict=True))) for swaps in product((False, True), repeat=len(gold))
    ]
    observed = null[0]
    above = sum(one >= observed - 1e-12 for one in null) / len(null)
    below = sum(one <= observed + 1e-12 for one in null) / len(null)
    return min(1.0, 2 * min(above, below))


def test_identical_predictions_have_difference_0_and_p_1():
    cases = scored("AADDAD", "AADAD-")
    found = compare(cases, cases, scorer=SCORER)
    assert (found.difference, found.p_permutation, found.p_mcnemar, found.b, found.c) == (0, 1, 1, 0, 0)
    assert found.interval is None
    assert found.interval_note == "leaving out one judgment never changes the difference"
    assert found.smallest_detectable > 0.9, "six judgments show a difference only if all of them differ"


def test_permutation_p_equals_that_over_all_swaps():
    gold, first, second = "AAADDD", "AAADDA", "DAA-AD"
    found = compare(scored(gold, first), scored(gold, second), scorer=SCORER)
    assert found.p_permutation == pytest.approx(exhaustive_p(gold, first, second))


def test_sampled_permutation_p_is_near_that_over_all_swaps():
    gold, first, second = "AAAADDD", "AAAADDA", "DDDDAAD"
    few = PredictionScorer(resamples=50, permutations=100, seed=1)
    found = compare(scored(gold, first), scored(gold, second), scorer=few)
    assert found.p_permutation == pytest.approx(exhaustive_p(gold, first, second), abs=0.15)
    assert found.p_permutation > 0


def test_one_differing_judgment_gives_p_1():
    found = compare(scored("AADD", "AADD"), scored("AADD", "AADA"), scorer=SCORER)
    assert (found.p_permutation, found.p_mcnemar, found.b, found.c) == (1, 1, 1, 0)


def test_mcnemar_by_hand():
    # b = 5: only the first right; c = 1: only the second; p = 2 * (C(6,0) + C(6,1)) / 2^6
    found = compare(scored("AAAAAAAD", "AAAAADAD"), scored("AAAAAAAD", "DDDD-AAD"), scorer=SCORER)
    assert (found.b, found.c) == (5, 1)
    assert found.p_mcnemar == pytest.approx(2 * 7 / 64)


@pytest.mark.parametrize(("b", "c"), [(3, 0), (4, 2), (1, 1), (0, 5), (7, 3)])
def test_mcnemar_equals_enumeration(b, c):
    # Each discordant judgment is equally likely to favour either arm: all 2^(b + c) ways are equally likely.
    gold, first, second = "A" * (b + c) + "D" * 3, "A" * b + "D" * c + "DDA", "D" * b + "A" * c + "DDA"
    ways = [sum(way) for way in product((0, 1), repeat=b + c)]
    extreme = sum(max(one, b + c - one) >= max(b, c) for one in ways) / len(ways)
    assert compare(scored(gold, first), scored(gold, second), scorer=SCORER).p_mcnemar == pytest.approx(extreme)


@given(st.lists(st.sampled_from([g + a + b for g in "AD" for a in "AD-" for b in "AD-"]), min_size=1, max_size=6))
@settings(max_examples=15, deadline=None)
def test_permutation_p_of_any_answers_equals_that_over_all_swaps(answers):
    gold, first, second = ("".join(column) for column in zip(*answers, strict=True))
    quick = PredictionScorer(resamples=2, permutations=2000)
    found = compare(scored(gold, first), scored(gold, second), scorer=quick)
    assert found.p_permutation == pytest.approx(exhaustive_p(gold, first, second))


def test_the_difference_is_that_of_macro_f1_and_antisymmetric():
    first, second = scored("AAADDD", "AAADDA"), scored("AAADDD", "ADDDAA")
    forth, back = (compare(a, b, scorer=SCORER) for a, b in ((first, second), (second, first)))
    assert forth.difference == pytest.approx(SCORER.scores(first).macro_f1 - SCORER.scores(second).macro_f1)
    assert back.difference == pytest.approx(-forth.difference)
    assert back.p_permutation == pytest.approx(forth.p_permutation)
    assert (back.b, back.c) == (forth.c, forth.b)
    assert forth.interval[0] <= forth.difference <= forth.interval[1]


def test_more_judgments_detect_a_smaller_difference():
    gold, first, second = "AAADDD", "AAADDA", "ADDDAA"
    few = compare(scored(gold, first), scored(gold, second), scorer=SCORER)
    many = compare(scored(gold * 4, first * 4), scored(gold * 4, second * 4), scorer=SCORER)
    assert few.smallest_detectable > many.smallest_detectable > few.smallest_detectable / 3


@pytest.mark.parametrize("n", [1, 5])
def test_fewer_than_six_judgments_detect_no_difference(n):
    assert compare(scored("A" * n, "A" * n), scored("A" * n, "D" * n), scorer=SCORER).smallest_detectable is None


def test_one_discordant_judgment_of_44_still_needs_six_on_one_side():
    gold = "A" * 20 + "D" * 24
    found = compare(scored(gold, gold), scored(gold, "D" + gold[1:]), scorer=SCORER)
    # Six of 44 on one side in four samples of five means about eight expected.
    assert 7 / 44 < found.smallest_detectable < 10 / 44


def test_an_interval_includes_0_if_the_test_does_not_reject():
    gold, reference = "A" * 22 + "D" * 22, "A" * 16 + "D" * 6 + "D" * 22
    found = compare(scored(gold, "A" * 20 + "DD" + "D" * 22), scored(gold, reference), scorer=SCORER)
    assert (found.b, found.c, found.p_permutation) == (4, 0, pytest.approx(0.125))
    assert (found.interval[0], found.interval_note) == (0, EXTENDED)
    assert found.interval[1] > found.difference


@given(st.lists(st.sampled_from([g + a + b for g in "AD" for a in "AD-" for b in "AD-"]), min_size=2, max_size=30))
@settings(max_examples=30, deadline=None)
def test_interval_and_p_of_any_answers_agree_or_have_a_note(answers):
    gold, first, second = ("".join(column) for column in zip(*answers, strict=True))
    found = compare(scored(gold, first), scored(gold, second), scorer=SCORER)
    if found.interval is not None and found.interval_note != INCLUDES_ZERO:
        low, high = found.interval
        assert (low > 0 or high < 0) == (found.p_permutation <= 0.05)


def test_judgments_of_a_cluster_are_one_unit():
    gold, first, second = "AAADDDAADD", "AAADDDADDA", "DDADAAADAD"
    alone = compare(scored(gold, first), scored(gold, second), scorer=SCORER)

    def twice(labels):
        return [replace(case, id=f"{case.id}{copy}", cluster=case.id) for case in scored(gold, labels) for copy in "xy"]

    doubled = compare(twice(first), twice(second), scorer=SCORER)
    assert (doubled.n, doubled.clusters, alone.clusters) == (20, 10, 10)
    for name in ("difference", "interval", "p_permutation", "p_mcnemar"):
        assert getattr(doubled, name) == pytest.approx(getattr(alone, name))
    assert (doubled.b, doubled.c) == (2 * alone.b, 2 * alone.c)
    assert doubled.smallest_detectable == pytest.approx(alone.smallest_detectable, rel=0.02)


def test_judgments_are_joined_by_id_not_by_position():
    first, second = scored("AADD", "AADA"), scored("AADD", "ADDD")
    assert compare(first, second, scorer=SCORER) == compare(first[::-1], second, scorer=SCORER)


def test_judgments_that_one_arm_lacks_are_named():
    first, second = scored("AADD", "AADA"), scored("AADD", "AADA")[1:]
    with pytest.raises(UserError, match="judgments that not all of the 2 arms have: 000"):
        compare(first, second, scorer=SCORER)
    with pytest.raises(UserError, match="000, 001, 002, 003, 004 and 3 more"):
        compare(scored("A" * 8, "A" * 8), [], scorer=SCORER)


def test_no_judgments_two_gold_outcomes_and_duplicates_are_errors():
    with pytest.raises(UserError, match="no labelled judgments"):
        compare([], [], scorer=SCORER)
    with pytest.raises(UserError, match="two gold outcomes for '001'"):
        compare(scored("AA", "AA"), scored("AD", "AA"), scorer=SCORER)
    with pytest.raises(UserError, match="duplicate id '000'"):
        compare(scored("A", "A") * 2, scored("A", "A"), scorer=SCORER)


def test_holm_on_a_textbook_case():
    # Wright 1992 (doi 10.2307/2532694): adjusted P values for simultaneous inference, as computed by R's p.adjust
    assert holm([0.01, 0.02, 0.03, 0.04, 0.05]) == pytest.approx([0.05, 0.08, 0.09, 0.09, 0.09])


def test_holm_by_hand():
    # sorted: 0.01 * 4, 0.02 * 3, 0.03 * 2, 0.5 * 1, each at least the one before
    assert holm([0.03, 0.01, 0.5, 0.02]) == pytest.approx([0.06, 0.04, 0.5, 0.06])
    assert holm([0.6, 0.7]) == [1.0, 1.0]
    assert holm([]) == []


@given(st.lists(st.floats(0, 1), max_size=12))
def test_holm_never_lowers_a_p_and_keeps_the_order(values):
    adjusted = holm(values)
    assert all(p <= q <= 1 for p, q in zip(values, adjusted, strict=True))
    order = sorted(range(len(values)), key=lambda i: values[i])
    assert [adjusted[i] for i in order] == sorted(adjusted)
