"""Views of a document, and its sentences."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from legalrr.leakage.probe import count_words, keep_sentences, select_view, split_sentences
from legalrr.records import Block, Document

BLOCKS = (
    Block(role="PREAMBLE", start=0, text="In the court. Of a town."),
    Block(role="FAC", start=30, text="A field was let. The rent\nwas not paid."),
    Block(role="PREAMBLE", start=80, text="Coram: one."),
    Block(role="RLC", start=100, text="The court below agreed."),
)
DOCUMENT = Document(id="a", scheme="build", headings=False, blocks=BLOCKS)


def test_the_question_has_no_text_and_the_whole_all_of_it():
    assert select_view(DOCUMENT, "question", words=3).blocks == ()
    assert select_view(DOCUMENT, "whole", words=3) is DOCUMENT


def test_the_preamble_is_every_block_of_that_role():
    assert select_view(DOCUMENT, "preamble", words=3).blocks == (BLOCKS[0], BLOCKS[2])


def test_a_document_without_preamble_has_no_preamble_view():
    assert (
        select_view(Document(id="a", scheme="build", headings=False, blocks=BLOCKS[1:2]), "preamble", words=3) is None
    )


@given(st.integers(min_value=1, max_value=30))
def test_the_tail_is_the_last_words_with_their_offsets(words):
    shown = " ".join(block.text for block in BLOCKS).split()
    tail = select_view(DOCUMENT, "tail", words=words)
    assert " ".join(block.text for block in tail.blocks).split() == shown[-words:]
    assert count_words(tail) == min(words, len(shown))
    for block in tail.blocks:
        (own,) = (one for one in BLOCKS if one.start <= block.start < one.start + len(one.text))
        assert own.text[block.start - own.start :] == block.text


def test_keeping_all_sentences_returns_the_document():
    assert keep_sentences(DOCUMENT, split_sentences(DOCUMENT)) == DOCUMENT


@pytest.mark.parametrize("gone", range(6))
def test_removing_one_sentence_keeps_all_others(gone):
    units = split_sentences(DOCUMENT)
    texts = [DOCUMENT.blocks[u.block].text[u.start : u.end] for u in units]
    assert len(units) == 6
    kept = keep_sentences(DOCUMENT, units[:gone] + units[gone + 1 :])
    words = " ".join(block.text for block in kept.blocks).split()
    assert words == " ".join(texts[:gone] + texts[gone + 1 :]).split()
