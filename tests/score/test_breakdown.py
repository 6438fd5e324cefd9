import pytest

from legalrr.errors import UserError
from legalrr.records import Scored
from legalrr.score.breakdown import breakdown
from legalrr.score.cases import JudgmentMetadata
from legalrr.score.intervals import wilson
from legalrr.score.scorer import PredictionScorer

SCORER = PredictionScorer(resamples=200)
LETTERS = {"A": "allowed", "D": "dismissed", "-": "invalid"}


def scored(gold, labels):
    pairs = zip(gold, labels, strict=True)
    return [Scored(id=str(i), gold=LETTERS[g], label=LETTERS[p]) for i, (g, p) in enumerate(pairs)]


def metadata(**columns):
    names, rows = list(columns), zip(*columns.values(), strict=True)
    return {str(i): JudgmentMetadata(**dict(zip(names, row, strict=True))) for i, row in enumerate(rows)}


def sizes(found):
    return [(part.name, part.n) for part in found.parts]


def test_a_part_has_the_scores_of_its_own_judgments():
    cases = scored("AADDAD", "ADDA-A")
    found = breakdown(cases, metadata(kind=["tax", "tax", "tax", "tax", "criminal", "criminal"]), "kind", scorer=SCORER)
    tax, criminal = found.parts
    whole = SCORER.scores(cases[:4])
    assert (tax.name, tax.n, tax.macro_f1) == ("tax", 4, pytest.approx(whole.macro_f1))
    assert tax.interval == pytest.approx(whole.interval)
    assert (tax.accuracy, tax.yes_rate, tax.gold_rate, tax.invalid_rate) == (0.5, 0.5, 0.5, 0)
    assert tax.accuracy_interval == wilson(2, 4, confidence=0.95)
    assert (criminal.invalid_rate, criminal.macro_f1) == (0.5, 0)
    assert criminal.interval[0] == 0
    assert not found.overlapping


def test_bins_of_numbers_hold_about_equally_many_and_are_named_by_range():
    years = [1950, 1961, 1961, 1970, 1980, 1991, 2000, 2010]
    found = breakdown(scored("AD" * 4, "AADD" * 2), metadata(year=years), "year", scorer=SCORER)
    assert sizes(found) == [("1950 to 1961", 3), ("1970", 1), ("1980 to 1991", 2), ("2000 to 2010", 2)]
    two = breakdown(scored("AD" * 4, "AADD" * 2), metadata(year=years), "year", scorer=SCORER, bins=2)
    assert sizes(two) == [("1950 to 1970", 4), ("1980 to 2010", 4)]


def test_only_the_first_parts_are_scored_if_there_are_many():
    cases, kinds = scored("ADADAD", "ADADAD"), metadata(kind=["tax", "tax", "tax", "land", "land", "service"])
    every = breakdown(cases, kinds, "kind", scorer=SCORER)
    assert breakdown(cases, kinds, "kind", scorer=SCORER, most=2).parts == every.parts[:2]


@pytest.mark.parametrize("by", ["length", "shown"])
def test_lengths_are_binned_as_numbers(by):
    found = breakdown(scored("AD", "AD"), metadata(**{by: [10, 2000]}), by, scorer=SCORER)
    assert sizes(found) == [("10", 1), ("2000", 1)]


def test_confidence_goes_from_high_to_low_others_by_size_unknown_last():
    confidence = ["low", "low", "low", "high", "medium", None]
    found = breakdown(scored("ADADAD", "ADADAD"), metadata(confidence=confidence), "confidence", scorer=SCORER)
    assert sizes(found) == [("high", 1), ("medium", 1), ("low", 3), ("not stated", 1)]
    courts = ["Delhi", "Supreme Court", "Supreme Court", "Bombay", None, None]
    found = breakdown(scored("ADADAD", "ADADAD"), metadata(court=courts), "court", scorer=SCORER)
    assert sizes(found) == [("Supreme Court", 2), ("Bombay", 1), ("Delhi", 1), ("not stated", 2)]


def test_roles_overlap_and_have_parts_with_and_without_each():
    roles = [frozenset({"FAC", "ISSUE"}), frozenset({"FAC"}), frozenset(), None]
    found = breakdown(scored("ADAD", "ADAD"), metadata(roles=roles), "roles", scorer=SCORER)
    assert found.overlapping
    assert sizes(found) == [
        ("with FAC", 2),
        ("without FAC", 1),
        ("with ISSUE", 1),
        ("without ISSUE", 2),
        ("not stated", 1),
    ]


@pytest.mark.parametrize("by", ["kind", "year", "roles"])
def test_a_property_unknown_for_all_judgments_has_no_parts(by):
    assert breakdown(scored("AD", "AD"), {}, by, scorer=SCORER).parts == ()


def test_an_unknown_property_is_an_error_that_lists_the_properties():
    with pytest.raises(
        UserError, match=r"unknown property 'judge'.*length, shown, year, court, kind, confidence, roles"
    ):
        breakdown(scored("A", "A"), {}, "judge", scorer=SCORER)
