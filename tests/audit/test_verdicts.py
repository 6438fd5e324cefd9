"""Verdicts on synthetic tables: consistent ones pass, and planted faults are found."""

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from legalrr.audit.audit import Settings, audit
from legalrr.audit.table import Sizes
from legalrr.audit.verdicts import WRONG

CAPTIONS = ("macro_f1", "fpr", "fnr")
SETS = st.sampled_from(
    [
        CAPTIONS,
        ("accuracy", "fpr", "fnr"),
        ("macro_f1", "f1_positive", "f1_negative"),
        ("weighted_f1", "ppv", "tpr"),
        ("macro_f1",),
        ("mcc", "accuracy", "fdr", "for", "balanced_accuracy"),
    ]
)


@st.composite
def block(draw, least=4, most=40, cells=6):
    """Class counts, and matrices on them."""
    n = draw(st.integers(least, most))
    p = draw(st.integers(1, n - 1))
    pairs = draw(st.lists(st.tuples(st.integers(0, p), st.integers(0, n - p)), min_size=1, max_size=cells))
    return n, p, [(tp, fp, p - tp, n - p - fp) for tp, fp in pairs]


def found(path, **settings_):
    return audit([path], settings=Settings(**settings_)).cells


@settings(max_examples=60)
@given(
    made=block(),
    captions=SETS,
    decimals=st.integers(1, 3),
    scale=st.sampled_from([1, 100]),
    say_n=st.booleans(),
    say_p=st.booleans(),
)
def test_a_table_of_real_matrices_is_never_called_wrong(printed, table, made, captions, decimals, scale, say_n, say_p):
    n, p, matrices = made
    more = decimals + 2 if scale == 1 else decimals
    said = ({"n": n} if say_n else {}) | ({"positives": p} if say_p else {})
    rows = [
        {"components": str(number), **said, **printed(one, captions, decimals=more, scale=scale)}
        for number, one in enumerate(matrices)
    ]
    judged = found(table(*rows), scale="fraction" if scale == 1 else "percent", max_n=45)
    assert not [one for one in judged if one.verdict in WRONG]
    if say_n:
        for one, matrix in zip(judged, matrices, strict=True):
            assert [*matrix, 0, 0] in one.counts.T.tolist()


@settings(max_examples=15)
@given(made=block(most=16, cells=3), data=st.data())
def test_unanswered_cases_count_as_misses(printed, table, made, data):
    n, p, matrices = made
    rows = []
    for number, (tp, fp, fn, tn) in enumerate(matrices):
        xp, xn = data.draw(st.integers(0, fn)), data.draw(st.integers(0, tn))
        matrix = (tp, fp, fn - xp, tn - xn, xp, xn)
        figures = printed(matrix, (*CAPTIONS, "invalid_rate"))
        rows.append({"components": str(number), "n": n, "positives": p, **figures})
    judged = found(table(*rows), scale="percent")
    assert {one.verdict for one in judged} <= {"consistent", "ambiguous"}


@settings(max_examples=15)
@given(made=block(most=24, cells=3), data=st.data(), say=st.booleans())
def test_figures_of_the_answered_cases_alone_fit_under_their_own_n(printed, table, made, data, say):
    n, p, matrices = made
    rows = [{"components": "whole", "n": n, "positives": p, "subset": "all", **printed(matrices[0])}]
    for number, (tp, fp, fn, tn) in enumerate(matrices):
        answered = (tp, fp, fn - data.draw(st.integers(0, fn)), tn - data.draw(st.integers(0, tn)))
        # Of no case there are no figures.
        assume(sum(answered))
        size = {"n": sum(answered)} if say else {}
        rows.append({"components": str(number), "subset": "answered", **size, **printed(answered)})
    judged = found(table(*rows), scale="percent")
    assert not [one for one in judged if one.verdict in WRONG]


@settings(max_examples=40)
@given(
    made=block(least=16, cells=8),
    swap=st.sampled_from(
        [{"macro_f1": "accuracy"}, {"fpr": "fdr", "fnr": "for"}, {"macro_f1": "weighted_f1", "fpr": "fdr"}]
    ),
)
def test_a_planted_swap_is_found_or_reported_as_ambiguous(printed, table, made, swap):
    n, p, matrices = made
    rows = []
    for number, matrix in enumerate(matrices):
        real = printed(matrix, [swap.get(caption, caption) for caption in CAPTIONS])
        rows.append(
            {"components": str(number), "n": n, "positives": p}
            | {caption: real[swap.get(caption, caption)] for caption in CAPTIONS}
        )
    for one, matrix in zip(found(table(*rows), scale="percent"), matrices, strict=True):
        assert one.verdict in ("mislabelled", "ambiguous", "consistent")
        reported = [one.hypothesis, *one.others]
        planted = [all(dict(h.options)[c].rate == swap.get(c, c) for c in CAPTIONS) for h in reported]
        if one.verdict == "mislabelled" and one.support[0] == len(matrices):
            # What is reported may be less far-fetched than what was planted, but never more.
            assert any(planted) or one.hypothesis.cost <= sum(1 for _ in swap)
        if any(planted):
            assert [*matrix, 0, 0] in one.counts.T.tolist() or one.verdict == "ambiguous"
        if one.verdict == "consistent":
            # Then the figures are the captions' too.
            assert one.hypothesis.cost == 0


def test_a_planted_swap_in_every_cell_is_reported_with_its_support(printed, table):
    rows = []
    for number, (tp, fp) in enumerate([(18, 7), (16, 8), (12, 7), (10, 4)]):
        matrix = (tp, fp, 22 - tp, 22 - fp)
        real = printed(matrix, ("accuracy", "fdr", "for"))
        figures = dict(zip(CAPTIONS, real.values(), strict=True))
        rows.append({"components": str(number), "n": 44, **figures})
    judged = found(table(*rows))
    assert {one.verdict for one in judged} == {"mislabelled"}
    assert {one.support for one in judged} == {(4, 4)}
    assert judged[0].hypothesis.changes() == {
        "macro_f1": "accuracy",
        "fpr": "false discovery rate",
        "fnr": "false omission rate",
    }
    assert f"{100 * judged[0].recomputed['macro_f1'].low:.2f}" == "74.88"


def test_a_single_swap_in_a_consistent_column_may_be_chance(printed, table):
    matrices = [(18, 7, 4, 15), (16, 8, 6, 14), (12, 7, 10, 15)]
    rows = [{"components": str(i), "n": 44, "positives": 22, **printed(one)} for i, one in enumerate(matrices)]
    rows[1]["fpr"] = printed(matrices[1], ("fdr",))["fdr"]
    judged = found(table(*rows))
    assert [one.verdict for one in judged] == ["consistent", "mislabelled", "consistent"]
    assert judged[1].hypothesis.changes() == {"fpr": "false discovery rate"}
    assert "chance" in judged[1].detail


def test_another_balance_of_a_column_and_of_a_cell_are_reported(printed, table):
    said = {"n": 40, "positives": 20}
    other = [(11, 6, 2, 21), (9, 3, 4, 24), (13, 7, 0, 20)]
    judged = found(table(*[{"components": str(i), **said, **printed(one)} for i, one in enumerate(other)]))
    assert {one.verdict for one in judged} == {"balance"}
    assert judged[0].detail == "the captions of all its column hold with 13 positives of 40"
    mixed = [(15, 6, 5, 14), (9, 3, 11, 17), (11, 6, 2, 21)]
    judged = found(table(*[{"components": str(i), **said, **printed(one)} for i, one in enumerate(mixed)]))
    assert [one.verdict for one in judged] == ["consistent", "consistent", "balance"]
    assert judged[2].detail == "its captions hold with 13 positives of 40"


def test_a_swap_that_another_balance_explains_too_says_so(printed, table):
    # 6 of 24: no share of 22 negatives, but one of 44, 40, 36 and so on.
    (one,) = found(table({"n": 44, "positives": 22, **printed((15, 6, 5, 18), ("fpr",))}))
    assert one.verdict == "mislabelled"
    assert one.detail.startswith("or the captions of all its column hold with 0, 4, 8, 12,")


def test_cells_with_contradicting_balances_are_reported(printed, table):
    matrices = [(31, 12, 9, 28), (25, 10, 10, 35), (21, 19, 9, 31), (33, 14, 17, 16)]
    rows = [{"components": str(i), "n": 80, **printed(one)} for i, one in enumerate(matrices)]
    judged = found(table(*rows))
    assert {one.verdict for one in judged} == {"balance"}
    for one, matrix in zip(judged, matrices, strict=True):
        assert str(matrix[0] + matrix[2]) in one.detail


def test_fewer_cases_than_stated_are_reported(printed, table):
    rows = [
        {"components": "a", "n": 40, "positives": 20, **printed((15, 6, 5, 14))},
        {"components": "b", "n": 40, "positives": 20, **printed((13, 5, 6, 12))},
    ]
    judged = found(table(*rows))
    assert judged[1].verdict == "other n"
    assert "36" in judged[1].detail


def test_impossible_figures_are_reported_with_the_captions_that_hold(table):
    row = {"n": "10", "positives": "5", "macro_f1": "70.00", "fpr": "33.00", "fnr": "47.00"}
    (one,) = found(table(row))
    assert (one.verdict, one.counts) == ("impossible", None)
    assert "macro_f1" not in one.detail or "alone can hold" in one.detail
    (none,) = found(table({"n": "10", "positives": "5", "fpr": "33.00", "fnr": "47.00"}))
    assert none.detail == "none of its captions can hold"


def test_figures_that_no_rate_can_have_are_out_of_range(table):
    judged = found(table({"n": "10", "fpr": "120.00"}, {"components": "b", "n": "10", "fpr": "-5.00"}))
    assert {one.verdict for one in judged} == {"out of range"}


def test_a_fraction_among_percentages_is_reported(printed, table):
    rows = [
        {"components": str(i), "n": 44, "positives": 22, **printed((tp, 7, 22 - tp, 15))}
        for i, tp in enumerate((18, 15))
    ]
    rows[1]["macro_f1"] = f"{float(rows[1]['macro_f1']) / 100:.4f}"
    judged = found(table(*rows))
    assert judged[1].verdict == "mislabelled"
    assert judged[1].hypothesis.changes() == {"macro_f1": "macro-F1 as a fraction among percentages"}


def test_scores_of_texts_are_checked_for_their_range_alone(table):
    judged = found(
        table({"rouge1": "40.3", "bertscore": "-3.0"}, {"components": "b", "rouge1": "140.3", "bertscore": "83"})
    )
    assert [one.verdict for one in judged] == ["unchecked", "out of range"]


@pytest.mark.parametrize("figures", [{"accuracy": "61.36"}, {"accuracy": "61.36", "fpr": "31.82"}])
def test_too_little_to_check_against_is_reported(table, figures):
    # One figure, or two that no n up to the bound gives.
    (one,) = found(table({**figures, "accuracy": "61.3613"}), max_n=20)
    assert one.verdict == "unchecked"
    assert "n not" in one.detail


def test_large_tables_are_judged_by_two_rates_of_one_side(printed, table):
    matrices = [(330, 170, 90, 310), (280, 110, 140, 370)]
    rows = [{"components": str(i), "n": 900, **printed(one, decimals=4, scale=1)} for i, one in enumerate(matrices)]
    judged = found(table(*rows))
    assert {one.verdict for one in judged} <= {"consistent", "ambiguous"}
    for one, matrix in zip(judged, matrices, strict=True):
        assert [*matrix, 0, 0] in one.counts.T.tolist()
    swapped = [
        {
            "components": str(i),
            "n": 900,
            **dict(zip(CAPTIONS, printed(one, ("macro_f1", "fdr", "for"), decimals=4, scale=1).values(), strict=True)),
        }
        for i, one in enumerate(matrices)
    ]
    for one in found(table(*swapped)):
        assert one.verdict == "mislabelled"
        assert one.hypothesis.changes() == {"fpr": "false discovery rate", "fnr": "false omission rate"}


def test_large_tables_are_checked_by_prevalence_or_not_at_all(printed, table):
    (one,) = found(table({"n": 3044, **printed((1200, 600, 310, 934), ("macro_f1", "accuracy"), decimals=4, scale=1)}))
    assert (one.verdict, one.detail[:22]) == ("unchecked", "too many cases to try,")
    row = {"components": "a", "n": 900, "fpr": "0.3541", "fnr": "0.2143", "macro_f1": "0.9123"}
    (one,) = found(table(row))
    assert one.verdict == "impossible"
    assert "fewer cases were not tried" in one.detail


def test_captions_with_one_feasible_prevalence_are_consistent_without_n(printed, table):
    matrices = [(12000, 6000, 3100, 9340), (10000, 4000, 5100, 11340)]
    rows = [{"components": str(i), **printed(one, decimals=5, scale=1)} for i, one in enumerate(matrices)]
    judged = found(table(*rows), max_n=10)
    assert [one.verdict for one in judged] == ["consistent", "consistent"]
    assert judged[0].detail.startswith("with 49.6 to 49.6 %")
    (one,) = found(table({"macro_f1": "0.90000", "fpr": "0.50003", "fnr": "0.50001"}), max_n=10)
    assert (one.verdict, one.detail) == ("impossible", "no share of positives, whatever n")


def test_a_subset_may_state_its_own_class_balance(printed, table):
    whole = {"n": 44, "positives": 22, "components": "a", "subset": "all", **printed((18, 7, 4, 15))}
    part = {"n": 20, "positives": 12, "components": "a", "subset": "part", **printed((10, 3, 2, 5))}
    judged = found(table(whole, part, {**part, "components": "b", "positives": 11}))
    assert [one.verdict in WRONG for one in judged] == [False, False, True]
    assert [10, 3, 2, 5, 0, 0] in judged[1].counts.T.tolist()


def test_repeated_runs_are_judged_by_their_sums(table):
    row = {"n": "44", "positives": "22", "fpr": "30.00", "fpr_sd": "6.10", "fnr": "52.73", "fnr_sd": "6.89"}
    wrong = {**row, "components": "b", "fpr": "30.10"}
    judged = found(table(row, wrong))
    assert [(one.verdict, one.runs) for one in judged] == [("consistent", 5), ("impossible", None)]
    assert (judged[0].sums.fp, judged[0].sums.fn) == ((33,), (58,))
    assert judged[0].support == (1, 2)
    (said,) = found(table(row), sizes=Sizes(runs={"": 4}))
    assert (said.verdict, said.detail) == ("impossible", "no whole errors of 4 runs give these means")
    (unknown,) = found(table({**row, "n": "", "positives": ""}))
    assert unknown.verdict == "unchecked"
    (beyond,) = found(table({**row, "fpr": "130.00"}))
    assert beyond.verdict == "out of range"
