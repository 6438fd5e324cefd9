"""The data set of sentences with gold roles, and its groups of near-duplicates."""

from dataclasses import replace

import pytest

from legalrr.errors import UserError
from legalrr.records import Judgment, Span
from legalrr.segment.card import build_dataset, group_near_duplicates


def test_gold_spans_are_the_sentences(judgments):
    first = build_dataset(judgments)[0]
    assert (first.id, first.scheme) == ("case-0", "seven")
    assert first.sentences[0] == "The tenant took the shop on lease in 1950."
    assert len(first.sentences) == len(first.roles) == len(judgments[0].spans)


def test_split_spans_splits_a_span_into_sentences():
    text = "He came. He saw."
    judgment = Judgment(id="a", text=text, scheme="build", spans=(Span(start=0, end=len(text), role="FAC"),))
    assert build_dataset([judgment])[0].sentences == (text,)
    found = build_dataset([judgment], split_spans=True)[0]
    assert (found.sentences, found.roles) == (("He came.", "He saw."), ("FAC", "FAC"))


def test_repeated_and_unlabelled_texts_are_dropped(judgments):
    again = replace(judgments[0], id="again", text=judgments[0].text.replace("\n", " "))
    bare = replace(judgments[1], id="bare", spans=None, scheme=None)
    assert [d.id for d in build_dataset([judgments[0], again, bare])] == ["case-0"]


def test_two_schemes_or_none_are_rejected(judgments):
    with pytest.raises(UserError, match="build and seven"):
        build_dataset([judgments[0], replace(judgments[1], scheme="build")])
    with pytest.raises(UserError, match="no judgment has gold roles"):
        build_dataset([replace(judgments[0], spans=None)])


def test_near_duplicates_share_a_group(judgments):
    documents = build_dataset(judgments)
    twin = replace(
        documents[3],
        id="twin",
        sentences=(*documents[3].sentences[:-1], "Another end of the matter than that was given there."),
    )
    found = group_near_duplicates([*documents, twin])
    assert found[-1] == found[3]
    assert len(set(group_near_duplicates(documents[:5]))) == 5


def test_judgments_without_any_span_are_dropped():
    text = "The appeal fails."
    given = [
        Judgment(id="a", text=text, scheme="seven", spans=()),
        Judgment(id="b", text="No. " + text, scheme="seven", spans=(Span(start=0, end=3, role="RPC"),)),
    ]
    assert [one.id for one in build_dataset(given)] == ["b"]
