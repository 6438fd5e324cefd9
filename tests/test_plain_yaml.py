"""YAML within bounds."""

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from legalrr.plain_yaml import LONGEST, YamlBoundError, YamlError, load_yaml

values = st.recursive(
    st.text(st.characters(exclude_categories=["Cs"]), max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abc", max_size=3), inner, max_size=3),
    max_leaves=6,
)


@given(values)
def test_plain_values_are_read_as_they_were_written(value):
    text = yaml.safe_dump(value, default_style='"')
    assert load_yaml(text, depth=10) == value


def test_scalars_have_types_only_if_wanted():
    assert load_yaml("a: 1\nb: yes\nc: null\n", depth=1) == {"a": "1", "b": "yes", "c": "null"}
    assert load_yaml("a: 1\nb: yes\nc: null\n", depth=1, typed=True) == {"a": 1, "b": True, "c": None}


@pytest.mark.parametrize(
    ("text", "words", "line"),
    [
        ("x: 1\na: &a [1]\nb: *a\n", "an alias", 3),
        ("x: 1\na: !!python/object/apply:os.system [ls]\n", "a tag", 2),
        ("x: 1\na: !!bool x\n", "a tag", 2),
        ("a: [[[1]]]\n", "nested too deeply", 1),
        ("x: 1\na: " + "[" * 100_000, "nested too deeply", 2),
        ("a: " + "{a: " * 40, "nested too deeply", 1),
        ("x" * (LONGEST + 1), f"more than {LONGEST}", 1),
    ],
)
def test_yaml_beyond_the_bounds_is_refused_with_its_line(text, words, line):
    with pytest.raises(YamlBoundError, match=words) as caught:
        load_yaml(text, depth=3)
    assert caught.value.line == line


@pytest.mark.parametrize(
    "text", ["a: 2001-99-99", "a: 0b_", "a: " + "9" * 5000, "a: [", "a: b: c", "a: \x00", "? [a]\n: 1"]
)
def test_yaml_that_the_loader_cannot_read_is_an_error_with_a_line(text):
    with pytest.raises(YamlError) as caught:
        load_yaml(text, depth=3, typed=True)
    assert caught.value.line >= 1
    assert "\n" not in str(caught.value)


def test_an_alias_bomb_is_refused_before_it_is_built():
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]
    with pytest.raises(YamlBoundError, match="an alias in line 2"):
        load_yaml("\n".join(lines), depth=3)
