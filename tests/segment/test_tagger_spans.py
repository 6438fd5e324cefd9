"""Invariants of tagged spans for any text: ordered, disjoint, complete and of the scheme."""

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from legalrr.records import Judgment
from legalrr.roles import scheme
from legalrr.segment.tagger import load_tagger
from legalrr.sentences import split


@pytest.mark.parametrize("roles", ["build", "seven"])
@settings(deadline=None)
@given(text=st.text(max_size=300))
@example(text="")
@example(text="\u2028A. B.\r\n\r\nC\x00")
@example(text="\ud800. The end. \udfff")
@example(text="आदेश। הערעור נדחה. \U0001f468\u200d\u2696\ufe0f e\u0301.")
def test_spans_are_ordered_disjoint_covering_and_of_the_scheme(roles, text):
    segments = load_tagger("crf", scheme=roles).segment(Judgment(id="a", text=text))
    known = scheme(roles)
    at = 0
    for span in segments.spans:
        assert at <= span.start < span.end <= len(text)
        assert not text[at : span.start].strip()
        assert text[span.start : span.end] == text[span.start : span.end].strip()
        assert span.role in known
        assert 0 <= span.score <= 1
        at = span.end
    assert not text[at:].strip()
    assert [(span.start, span.end) for span in segments.spans] == split(text)
