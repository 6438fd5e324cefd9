"""A set of digests behaves as the set of the keys."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from legalrr.key_set import KeySet


@given(st.lists(st.tuples(st.booleans(), st.sampled_from(["a", "b", "c/refused", "\ud800"]))))
def test_it_holds_what_a_set_of_strings_holds(steps: list[tuple[bool, str]]) -> None:
    digests, strings = KeySet(), set[str]()
    for adds, key in steps:
        if adds or key in strings:
            for keys in (digests, strings):
                (keys.add if adds else keys.remove)(key)
        assert (len(digests), key in digests) == (len(strings), key in strings)


def test_a_key_that_it_lacks_cannot_be_removed() -> None:
    with pytest.raises(KeyError):
        KeySet().remove("a")
