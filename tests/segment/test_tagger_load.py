"""Loading of taggers by name."""

import pytest

from legalrr.errors import UserError
from legalrr.segment.crf import CrfSegmenter
from legalrr.segment.tagger import load_tagger


def test_the_tagger_is_built_from_its_config():
    assert load_tagger("crf", scheme="build") == CrfSegmenter()


def test_another_scheme_is_found_under_its_own_name():
    found = load_tagger("crf", scheme="seven")
    assert isinstance(found, CrfSegmenter)
    assert (found.name, found.scheme) == ("crf_seven", "seven")
    assert found.model.endswith("crf_seven.crfsuite")
    assert load_tagger("crf_seven", scheme="seven") == found


def test_model_and_correction_replace_those_of_the_configuration():
    found = load_tagger("crf", scheme="seven", model="mine.crfsuite", prior_correction=0.3)
    assert (found.model, found.prior_correction) == ("mine.crfsuite", 0.3)


@pytest.mark.parametrize(
    ("name", "scheme", "message"),
    [
        ("none", "build", r"--segment: no tagger 'none' .*crf, crf_seven"),
        ("crf", "iltur", "'crf' does not tag the roles of 'iltur'"),
        ("crf_seven", "build", "'crf_seven' does not tag the roles of 'build'"),
        ("gold", "build", "'gold' does not tag the roles of 'build'"),
    ],
)
def test_an_unknown_tagger_is_rejected_with_the_option(name, scheme, message):
    with pytest.raises(UserError, match=message):
        load_tagger(name, scheme=scheme, option="--segment")
