"""The quick checks of whole lists and of known fields find the same faults as those of each value."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from legalrr.typed_json import LARGEST, Bounds, JsonError, Shape, load_json, parse

Count = Annotated[int, Bounds(0)]


@dataclass(frozen=True, kw_only=True)
class Inner:
    name: str | None = None
    tokens: Count


@dataclass(frozen=True, kw_only=True)
class Row:
    id: str
    n: Count | None = None
    any: Any = None
    places: Sequence[Annotated[Sequence[Any], Shape(tuple[str, Count, Count])]] = ()
    turns: Sequence[Annotated[Mapping[str, Any], Shape(Inner)]] = ()


def deep(levels: int) -> object:
    return [deep(levels - 1)] if levels else 1


@pytest.mark.parametrize(
    ("changes", "fault"),
    [
        ({"id": None}, "'id' is missing"),
        ({"id": 1}, "'id' is 1"),
        ({"n": -1}, "'n' is -1"),
        ({"n": True}, "'n' is True"),
        ({"n": LARGEST + 1}, f"'n' is {LARGEST + 1}"),
        ({"any": {"a": [LARGEST + 1]}}, f"'any' is {LARGEST + 1}"),
        ({"any": deep(60)}, "'any' is [[[[[[[...]]]]]]]"),
        ({"places": [["FAC", 0, 1], ["FAC", 0, -1]]}, "'places[1][2]' is -1"),
        ({"places": [["FAC", 5, 5], ["FAC", 5, "5"]]}, "'places[1][2]' is '5'"),
        ({"places": [["FAC", 0]]}, "'places[0]' is ['FAC', 0]"),
        ({"places": [["FAC", 0, 1], 7]}, "'places[1]' is 7"),
        ({"turns": [{"tokens": 1}, {"tokens": -1}]}, "'turns[1].tokens' is -1"),
        ({"turns": [{"name": "a"}]}, "'turns[0].tokens' is missing"),
        ({"turns": [{"tokens": 1, "new": {"x": LARGEST + 1}}]}, f"'turns[0]' is {LARGEST + 1}"),
        ({"turns": [3]}, "'turns[0]' is 3"),
    ],
)
def test_faults_are_named_by_field_and_place(changes: dict[str, object], fault: str) -> None:
    with pytest.raises(JsonError) as raised:
        parse(Row, {"id": "a", **changes})
    assert str(raised.value) == fault


def test_checked_values_stay_as_they_are() -> None:
    value = {"id": "a", "n": 3, "places": [["FAC", 0, 1]], "turns": [{"tokens": 1, "new": [1]}], "unknown": deep(99)}
    found = parse(Row, value)
    assert (found.n, found.places, found.turns) == (3, value["places"], value["turns"])


PLACES = st.lists(
    st.lists(st.one_of(st.integers(-2, 5), st.text(max_size=2), st.booleans(), st.none()), min_size=2, max_size=4)
)


@given(PLACES)
def test_a_list_is_accepted_exactly_if_each_of_its_items_is(places: list[list[object]]) -> None:
    def fits(place: list[object]) -> bool:
        kinds = [type(one) for one in place]
        return kinds == [str, int, int] and all(isinstance(one, int) and one >= 0 for one in place[1:])

    if all(map(fits, places)):
        assert parse(Row, {"id": "a", "places": places}).places == places
    else:
        with pytest.raises(JsonError):
            parse(Row, {"id": "a", "places": places})


@pytest.mark.parametrize("text", [b"NaN", b"[Infinity]", b'{"a": -Infinity}', b"[" * 100_000, b"\xff", b"{"])
def test_what_is_not_json_is_a_value_error(text: bytes) -> None:
    with pytest.raises(ValueError, match=r"is not JSON|nested too deeply|decode|Expecting"):
        load_json(text)


def test_half_of_a_surrogate_pair_stays() -> None:
    assert load_json(b'"\\ud800"') == "\ud800"
    assert load_json('"अपील"'.encode("utf-16")) == "अपील"
