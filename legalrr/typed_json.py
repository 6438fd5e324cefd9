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
from dataclasses import MISSING, dataclass, fields, is_dataclass
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
        return json.loads(data, parse_constant=_refuse_constant)
    except RecursionError as error:
        raise ValueError("nested too deeply") from error


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def parse(kind: type[T], value: object) -> T:
    """Build an instance of a dataclass from a JSON object; raises JsonError."""
    try:
        found: T = _parser(kind)(value)  # type: ignore[arg-type]
    except RecursionError as error:
        raise JsonError("is nested too deeply") from error
    return found


@cache
def _parser(hint: Any) -> Parser:
    origin, arguments = get_origin(hint), get_args(hint)
    if hint in (Any, object):
        return _anything
    if hint in SCALARS:
        return SCALARS[hint]
    if origin is Annotated:
        return _annotated(*arguments)
    if origin is Literal:
        return _literal(arguments)
    if origin in (Union, UnionType):
        return _union(arguments)
    if origin is tuple:
        return _tuple([_parser(one) for one in arguments])
    if origin is Sequence:
        return _list(_parser(arguments[0]))
    if origin is Mapping:
        return _object(_parser(arguments[1]))
    if is_dataclass(hint) and isinstance(hint, type):
        return _dataclass(hint)
    raise TypeError(f"no reader of JSON for {hint}")


def _is(value: object) -> JsonError:
    return JsonError(f"is {reprlib.repr(value)}")


def _anything(value: Any, depth: int = 0) -> Any:
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    if (inner and depth == DEEPEST) or (type(value) is int and abs(value) > LARGEST):
        raise _is(value)
    for one in inner:
        if type(one) is not str:
            _anything(one, depth + 1)
    return value


def _scalar(*kinds: type) -> Parser:
    def parse_scalar(value: Any) -> Any:
        # type, as a JSON true is not a number, although bool is an int.
        if type(value) not in kinds or (type(value) is int and abs(value) > LARGEST):
            raise _is(value)
        return value

    return parse_scalar


def _float(value: Any) -> Any:
    if type(value) not in (int, float) or not abs(value) <= LARGEST**8:
        raise _is(value)
    return value


SCALARS: Mapping[Any, Parser] = {
    str: _scalar(str),
    bool: _scalar(bool),
    int: _scalar(int),
    float: _float,
    None: _scalar(NoneType),
    NoneType: _scalar(NoneType),
}


def _annotated(hint: Any, *notes: object) -> Parser:
    inner = _parser(hint)
    checks = [_parser(note.hint) for note in notes if isinstance(note, Shape)]
    bounds = [note for note in notes if isinstance(note, Bounds)]

    def parse_annotated(value: Any) -> Any:
        found = inner(value)
        for check in checks:
            check(value)
        if any(not one.low <= found <= one.high for one in bounds):
            raise _is(value)
        return found

    return parse_annotated


def _literal(values: Sequence[object]) -> Parser:
    def parse_literal(value: Any) -> Any:
        if not isinstance(value, str) or value not in values:
            raise JsonError(f"{reprlib.repr(value)} is none of {', '.join(map(str, values))}")
        return value

    return parse_literal


def _union(hints: Sequence[Any]) -> Parser:
    parsers = [_parser(hint) for hint in hints if hint is not NoneType]
    optional = len(parsers) < len(hints)

    def parse_union(value: Any) -> Any:
        if value is None and optional:
            return None
        for number, parser in enumerate(parsers, start=1):
            try:
                return parser(value)
            except JsonError:
                if number == len(parsers):
                    raise
        raise _is(value)

    return parse_union


def _list(item: Parser) -> Parser:
    def parse_list(value: Any) -> Any:
        if not isinstance(value, list):
            raise _is(value)
        return [_inside(item, inner, f"[{number}]") for number, inner in enumerate(value)]

    return parse_list


def _tuple(items: Sequence[Parser]) -> Parser:
    def parse_tuple(value: Any) -> Any:
        if not isinstance(value, list) or len(value) != len(items):
            raise _is(value)
        return tuple(
            _inside(item, inner, f"[{number}]") for number, (item, inner) in enumerate(zip(items, value, strict=True))
        )

    return parse_tuple


def _object(item: Parser) -> Parser:
    def parse_object(value: Any) -> Any:
        if not isinstance(value, dict):
            raise _is(value)
        if item is _anything:
            return _anything(value)
        return {name: _inside(item, inner, name) for name, inner in value.items()}

    return parse_object


def _inside(parser: Parser, value: Any, name: str) -> Any:
    try:
        return parser(value)
    except JsonError as fault:
        raise fault.inside(name) from fault


def _dataclass(kind: type) -> Parser:
    hints = get_type_hints(kind, include_extras=True)
    known = {}
    for one in fields(kind):
        required = one.default is MISSING and one.default_factory is MISSING
        hint = hints[one.name]
        known[one.name] = one.metadata.get("json", one.name), _parser(hint), required, NoneType in get_args(hint)

    def parse_dataclass(value: Any) -> Any:
        if not isinstance(value, dict):
            raise JsonError("is not a JSON object")
        values = {}
        for name, (key, parser, required, optional) in known.items():
            if required and value.get(key) is None and (key not in value or not optional):
                raise JsonError("is missing", key)
            if required or value.get(key) is not None:
                values[name] = _inside(parser, value[key], key)
        return kind(**values)

    return parse_dataclass
