"""Normalized text reads like the original, and its offsets refer to the original."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from legalrr.hiding.plain_text import fold_characters, normalize


@pytest.mark.parametrize(
    ("text", "copy"),
    [
        ("The appeal is dismissed.", "The appeal is dismissed."),
        ("dis\u00admissed", "dismissed"),
        ("dis\u200bmis\ufeffsed", "dismissed"),
        ("The&nbsp;appeal&#32;is&amp;", "The appeal is&"),
        ("\uff21\uff50\uff50\uff45\uff41\uff4c", "Appeal"),
        ("caf\u00e9 na\u0131ve", "cafe na\u0131ve"),
        ("\u0430ppeal", "appeal"),
        ("\u0430\u043f\u043f\u0435\u043b", "\u0430\u043f\u043f\u0435\u043b"),
        ("\u0939\u093e\u0901", "\u0939\u093e\u0901"),
        ("a \n\t b", "a b"),
        ("dis-\nmissed", "dismissed"),
        ("d i s m i s s e d", "dismissed"),
        ("T h e  a p p e a l  i s  a l l o w e d", "The appeal is allowed"),
        ("J U D G M E N T", "JUDGMENT"),
        ("al lowed", "allowed"),
        ("Al lowed", "Allowed"),
        ("AL LOWED", "ALLOWED"),
        ("a11owed and d1smissed", "allowed and dismissed"),
        ("the sum all owed by him", "the sum all owed by him"),
        ("A. B. C. D. Rao", "A. B. C. D. Rao"),
        ("", ""),
    ],
)
def test_normalize_returns_the_text_as_read(text, copy):
    assert normalize(text).text == copy


def test_fold_characters_keeps_whitespace_and_broken_words():
    assert fold_characters("al\n\nlow\u00aded &amp; d i s").text == "al\n\nlowed & d i s"


@pytest.mark.parametrize("word", ["dis\u00admissed", "dismis&shy;sed", "dis mis sed", "d i s m i s s e d"])
def test_span_of_the_copy_maps_to_the_original(word):
    text = f"The appeal is {word} with costs."
    copy = normalize(text)
    start = copy.text.index("dismissed")
    assert text[slice(*copy.span(start, start + len("dismissed")))] == word


letters = st.text(st.sampled_from("al owed&;#\u00ad\u200b\uff41\u0430\u00e9 \n-15d."), max_size=60)


@given(letters | st.text(max_size=60))
def test_offsets_are_monotonic_and_within_the_text(text):
    for copy in (fold_characters(text), normalize(text)):
        offsets = list(copy.offsets)
        assert len(offsets) == len(copy.text) + 1
        assert offsets == sorted(offsets)
        assert offsets[-1] == len(text)
