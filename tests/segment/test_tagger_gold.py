"""The gold segmenter."""

from dataclasses import replace

import pytest

from legalrr.errors import UserError
from legalrr.protocols import Segmenter
from legalrr.segment.tagger import GoldSegmenter


def test_gold_spans_are_returned_unchanged(judgments):
    found = GoldSegmenter().segment(judgments[0])
    assert (found.id, found.scheme, found.spans) == ("case-0", "seven", judgments[0].spans)
    assert isinstance(GoldSegmenter(), Segmenter)
    assert GoldSegmenter().provenance() == {}


@pytest.mark.parametrize("lost", ["spans", "scheme"])
def test_the_error_without_gold_roles_names_id_and_cure(judgments, lost):
    bare = replace(judgments[0], source="a.txt:1", **{lost: None})
    with pytest.raises(UserError, match=r"a\.txt:1: case-0: no gold roles .*segment=crf"):
        GoldSegmenter().segment(bare)
