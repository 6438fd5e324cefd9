"""Read JSON by the type hints of a dataclass: one validator for all files of a run folder.

A file that was edited, cut off or damaged ends in a `JsonError` that names the field; readers add file and line.
pydantic does not fit: its strings cannot hold the surrogates of an answer that was cut off within a character.

Supported hints: object and Any, None, bool, int, float, str, Literal, unions, Sequence and tuples of fixed length (JSON
lists), Mapping with string keys, dataclasses (JSON objects; unknown fields are ignored, and null stands for the
default), and Annotated with `Bounds` or with `Shape`.
"""

import json
import math
import reprlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, Field, dataclass, fields, is_dataclass
from functools import cache
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

T = TypeVar("T")
Parser = Callable[[Any], Any]
LARGEST = 2**53
"""Integers beyond this are not exact in every reader of JSON, and no field needs them."""
DEEPEST = 50
"""Levels of lists and objects in a value of any type."""


class JsonError(ValueError):
    """A value that does not fit, as "'cell.limit' is 'ten'"."""

    def __init__(self, fault: str, path: str = "") -> None:
        self.fault, self.path = fault, path
        super().__init__(f"{path!r} {fault}" if path else fault)

    def inside(self, name: str) -> "JsonError":
        """Return the fault of the object that holds the value as `name`, such as "limit" or "[0]"."""
        separator = "." if self.path and not self.path.startswith("[") else ""
        return JsonError(self.fault, f"{name}{separator}{self.path}")


@dataclass(frozen=True)
class Bounds:
    """Least and largest value of a number, both allowed: `Annotated[int, Bounds(0)]`."""

    low: float = -math.inf
    high: float = math.inf


@dataclass(frozen=True)
class Shape:
    """Type by which a value is checked, which itself remains JSON: `Annotated[Mapping[str, Any], Shape(Turn)]`."""

    hint: Any


def load_json(data: bytes) -> Any:
    """Parse JSON; raises ValueError also for NaN, infinity and nesting beyond the recursion limit."""
    try:
        return _DECODER.decode(data.decode(json.detect_encoding(data), "surrogatepass"))
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


# json.loads would build one for each line.
_DECODER = json.JSONDecoder(parse_constant=_refuse_constant)


def parse(kind: type[T], value: object) -> T:
    """Build an instance of a dataclass from a JSON object; raises JsonError."""
    try:
        found: T = _parser(kind)(value)  # type: ignore[arg-type]
    except RecursionError as error:
        raise JsonError("is nested too deeply") from error
    return found


@cache
def _parser(hint: Any, build: bool = True) -> Parser:
    """Return the parser of a type; without `build` it only checks, and returns the value as it is.

    A report reads some hundred values of each row: a parser calls others only where it has to.
    """
    origin, arguments = get_origin(hint), get_args(hint)
    if hint in (Any, object):
        return _anything
    if hint in SCALARS:
        return SCALARS[hint]
    if origin is Annotated:
        return _annotated(*arguments, build=build)
    if origin is Literal:
        return _literal(arguments)
    if _is_union(hint):
        return _union(arguments, build)
    if origin is tuple:
        return _tuple(arguments, build)
    if origin is Sequence:
        return _list(arguments[0], build)
    if origin is Mapping:
        return _object(_parser(arguments[1], build))
    if is_dataclass(hint) and isinstance(hint, type):
        return _dataclass(hint, build)
    raise TypeError(f"no reader of JSON for {hint}")


def _is_union(hint: Any) -> bool:
    return get_origin(hint) in (Union, UnionType)


def _accepted(hint: Any) -> frozenset[type]:
    """Return the types of which every value fits a hint as it is."""
    if hint in (str, bool, NoneType, None):
        return frozenset({NoneType if hint is None else hint})
    if _is_union(hint):
        return frozenset().union(*map(_accepted, get_args(hint)))
    return frozenset()


def _is(value: object) -> JsonError:
    return JsonError(f"is {reprlib.repr(value)}")


def _anything(value: Any, depth: int = 0) -> Any:
    kind = type(value)
    if kind is dict or kind is list:
        if value and depth == DEEPEST:
            raise _is(value)
        for one in value.values() if kind is dict else value:
            if type(one) not in LEAVES:
                _anything(one, depth + 1)
    elif kind is int and not -LARGEST <= value <= LARGEST:
        raise _is(value)
    return value


LEAVES = frozenset({str, float, bool, NoneType})
"""Types of values of any type that need no check."""


def _scalar(kind: type) -> Parser:
    def parse_scalar(value: Any) -> Any:
        # type, as a JSON true is not a number, although bool is an int.
        if type(value) is not kind:
            raise _is(value)
        return value

    return parse_scalar


def _integer(low: float = -LARGEST, high: float = LARGEST) -> Parser:
    low, high = max(low, -LARGEST), min(high, LARGEST)

    def parse_integer(value: Any) -> Any:
        if type(value) is not int or not low <= value <= high:
            raise _is(value)
        return value

    return parse_integer


def _float(value: Any) -> Any:
    if type(value) not in (int, float) or not abs(value) <= LARGEST**8:
        raise _is(value)
    return value


SCALARS: Mapping[Any, Parser] = {
    str: _scalar(str),
    bool: _scalar(bool),
    int: _integer(),
    float: _float,
    None: _scalar(NoneType),
    NoneType: _scalar(NoneType),
}


def _annotated(hint: Any, *notes: object, build: bool) -> Parser:
    inner = _parser(hint, build)
    shapes = [note.hint for note in notes if isinstance(note, Shape)]
    checks = [_parser(shape, False) for shape in shapes]
    bounds = [note for note in notes if isinstance(note, Bounds)]
    if hint is int and len(bounds) == 1 and not checks:
        return _integer(bounds[0].low, bounds[0].high)
    if hint == Sequence[Any] and len(shapes) == 1 and not bounds and get_origin(shapes[0]) is tuple:
        # A tuple is a list whose values are all checked.
        return checks[0]

    if hint == Mapping[str, Any] and len(shapes) == 1 and is_dataclass(shapes[0]) and not bounds:
        return _shaped(inner, checks[0], frozenset(map(_key, fields(shapes[0]))))

    def parse_annotated(value: Any) -> Any:
        found = inner(value)
        for check in checks:
            check(value)
        for one in bounds:
            if not one.low <= found <= one.high:
                raise _is(value)
        return found

    return parse_annotated


def _shaped(inner: Parser, check: Parser, keys: frozenset[str]) -> Parser:
    def parse_shaped(value: Any) -> Any:
        # The check covers the values of the fields that it knows.
        if not isinstance(value, dict) or not keys.issuperset(value):
            inner(value)
        return check(value)

    return parse_shaped


def _literal(values: Sequence[object]) -> Parser:
    def parse_literal(value: Any) -> Any:
        if not isinstance(value, str) or value not in values:
            raise JsonError(f"{reprlib.repr(value)} is none of {', '.join(map(str, values))}")
        return value

    return parse_literal


def _union(hints: Sequence[Any], build: bool) -> Parser:
    accepted = frozenset().union(*map(_accepted, hints))
    parsers = [_parser(hint, build) for hint in hints if hint not in (NoneType, None)]

    def parse_union(value: Any) -> Any:
        if type(value) in accepted:
            return value
        for number, parser in enumerate(parsers, start=1):
            try:
                return parser(value)
            except JsonError:
                if number == len(parsers):
                    raise
        raise _is(value)

    return parse_union


def _list(hint: Any, build: bool) -> Parser:
    item, accepted, columns = _parser(hint, build), _accepted(hint), _columns(hint)

    def parse_list(value: Any) -> Any:
        if not isinstance(value, list):
            raise _is(value)
        if item is _anything:
            return _anything(value)
        if columns and _is_table(value, columns):
            return value
        found = []
        try:
            for inner in value:
                found.append(inner if type(inner) in accepted else item(inner))
        except JsonError as fault:
            raise fault.inside(f"[{len(found)}]") from fault
        return found

    return parse_list


Column = tuple[frozenset[type], float, float]
"""Types of the values of a column of a list of lists, and the least and largest value of a column of integers."""


def _columns(hint: Any) -> list[Column]:
    """Return the columns of a list whose items are lists of texts and integers that stay as they are, else []."""
    arguments = get_args(hint)
    if get_origin(hint) is not Annotated or arguments[0] != Sequence[Any] or len(arguments) != 2:
        return []
    columns: list[Column] = []
    for one in get_args(arguments[1].hint) if isinstance(arguments[1], Shape) else ():
        kind, *bounds = get_args(one) if get_origin(one) is Annotated else (one,)
        if kind is str and not bounds:
            columns.append((frozenset({str}), -math.inf, math.inf))
        elif kind is int and len(bounds) == 1 and isinstance(bounds[0], Bounds):
            columns.append((frozenset({int}), max(bounds[0].low, -LARGEST), min(bounds[0].high, LARGEST)))
        else:
            return []
    return columns


def _is_table(rows: list[Any], columns: list[Column]) -> bool:
    """Return whether all rows have these columns; much faster than row by row, but without naming the fault."""
    if not rows or {*map(type, rows)} != {list} or {*map(len, rows)} != {len(columns)}:
        return False
    for values, (kinds, low, high) in zip(zip(*rows, strict=True), columns, strict=True):
        if not kinds.issuperset(map(type, values)):
            return False
        if str not in kinds and not low <= min(values) <= max(values) <= high:
            return False
    return True


def _tuple(hints: Sequence[Any], build: bool) -> Parser:
    items = [(_accepted(hint), _parser(hint, build)) for hint in hints]

    def parse_tuple(value: Any) -> Any:
        if not isinstance(value, list) or len(value) != len(items):
            raise _is(value)
        found: list[Any] = []
        try:
            for (accepted, item), inner in zip(items, value, strict=True):
                found.append(inner if type(inner) in accepted else item(inner))
        except JsonError as fault:
            raise fault.inside(f"[{len(found)}]") from fault
        return tuple(found) if build else value

    return parse_tuple


def _object(item: Parser) -> Parser:
    def parse_object(value: Any) -> Any:
        if not isinstance(value, dict):
            raise _is(value)
        if item is _anything:
            return _anything(value)
        found, name = {}, ""
        try:
            for name, inner in value.items():
                found[name] = item(inner)
        except JsonError as fault:
            raise fault.inside(name) from fault
        return found

    return parse_object


def _key(one: Field[Any]) -> str:
    """Return the name of a field of a dataclass in JSON."""
    return str(one.metadata.get("json", one.name))


def _range(hint: Any) -> tuple[float, float]:
    """Return the least and largest integer that fits a hint as it is; an empty range for other hints."""
    kinds = [one for one in get_args(hint) if one is not NoneType] if _is_union(hint) else [hint]
    kind, *notes = get_args(kinds[0]) if get_origin(kinds[0]) is Annotated else (kinds[0],)
    if len(kinds) != 1 or kind is not int or len(notes) > 1 or not all(isinstance(one, Bounds) for one in notes):
        return 1, 0
    bounds = notes[0] if notes else Bounds()
    return max(bounds.low, -LARGEST), min(bounds.high, LARGEST)


def _dataclass(kind: type, build: bool) -> Parser:
    hints = get_type_hints(kind, include_extras=True)
    known = []
    for one in fields(kind):
        hint = hints[one.name]
        required = one.default is MISSING and one.default_factory is MISSING
        types, optional = _accepted(hint) - {NoneType}, NoneType in get_args(hint)
        known.append((one.name, _key(one), types, *_range(hint), _parser(hint, build), required, optional))

    def parse_dataclass(value: Any) -> Any:
        if not isinstance(value, dict):
            raise JsonError("is not a JSON object")
        values, key = {}, ""
        try:
            for name, key, types, low, high, parser, required, optional in known:
                inner = value.get(key)
                if type(inner) in types or (type(inner) is int and low <= inner <= high):
                    values[name] = inner
                elif inner is not None:
                    values[name] = parser(inner)
                elif required:
                    if key not in value or not optional:
                        raise JsonError("is missing")
                    values[name] = None
        except JsonError as fault:
            raise fault.inside(key) from fault
        return kind(**values) if build else value

    return parse_dataclass
