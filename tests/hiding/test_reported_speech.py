"""A statement is the court's own, or it is asked, argued, prayed for or attributed to others."""

import re

import pytest

from legalrr.hiding.reported_speech import is_reported

STATEMENT = re.compile(r"(?:the|this) appeal (?:must|may kindly|is sought to) be allowed|we allow the appeal")


def of_others(sentence: str) -> bool:
    match = STATEMENT.search(sentence)
    assert match
    return is_reported(sentence, match)


@pytest.mark.parametrize(
    "sentence",
    [
        "Whether the appeal must be allowed is the question.",
        "If there was no notice, the appeal must be allowed.",
        "When the notice is bad the appeal must be allowed.",
        "Counsel submitted that the appeal must be allowed.",
        "It is alleged by the tenant that the appeal must be allowed.",
        "The contention of the tenant is that the appeal must be allowed.",
        "The High Court held that the appeal must be allowed.",
        "They were of the opinion that the appeal must be allowed.",
        "It is prayed that the appeal must be allowed.",
        "For all this, the appeal may kindly be allowed.",
        "By this motion the appeal is sought to be allowed.",
    ],
)
def test_questions_arguments_and_reports_are_not_the_courts_own(sentence):
    assert of_others(sentence)


@pytest.mark.parametrize(
    "sentence",
    [
        "The appeal must be allowed.",
        "Counsel urged delay, but the appeal must be allowed.",
        "It was contended that time had run; the appeal must be allowed.",
        "The respondent submitted much, and the appeal must be allowed.",
        "Having considered the submissions of counsel, the appeal must be allowed.",
        "This Court held that the appeal must be allowed.",
        "Even if the notice was good the appeal must be allowed.",
        "When the notice is bad, the appeal must be allowed.",
        "For the offence alleged, the appeal must be allowed.",
        "Counsel submitted that time had run, but we allow the appeal.",
    ],
)
def test_statements_of_the_court_are_its_own(sentence):
    assert not of_others(sentence[0].lower() + sentence[1:])
