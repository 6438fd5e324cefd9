"""Stages: frozen dataclasses whose fields are both the configuration schema and, except run-time fields, the identity.

A config node names its class by `_target_` (as in Hydra); `build` merges the node into the class's structured config,
so that a misspelt field or a wrong type raises UserError before any work. The identity of a stage is the SHA-256 of its
class path, its `VERSION` and its fields as canonical JSON; a record's key is the SHA-256 of the content it was computed
from. A limit, an order or a name never enters a key, and an edited judgment recomputes only that judgment.
"""

import hashlib
import json
import logging
import re
from collections.abc import Iterable, Mapping
from dataclasses import MISSING, field, fields, is_dataclass
from functools import cache, partial
from importlib import import_module
from typing import Any, TypeVar, cast

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import InterpolationToMissingValueError, MissingMandatoryValue, OmegaConfBaseException

from legalrr.errors import UserError
from legalrr.former_paths import FORMER

LOG = logging.getLogger(__name__)
T = TypeVar("T")
MISSING_VALUE = re.compile(r"interpolation.*: Missing mandatory value: (\S+)")
META = "meta"
"""Key of the node with facts about a stage (`legalrr.configuration`); not part of the stage."""

runtime = partial(field, metadata={"runtime": True})
"""`batch_tokens: int = runtime(default=8192)`: a field that affects the speed of a stage, not its results."""

later = partial(field, metadata={"later": True})
"""`gka: GkaOptions = later(default=GkaOptions())`: a field added after results were stored. It enters the identity only
if it differs from its default, so that those results are still found."""


def choice(default: str | None, *allowed: str, runtime: bool = False, later: bool = False) -> Any:
    """Define a field that `check_fields` restricts to the `allowed` words, and to None if that is the default.

    `order: str = choice("document", "document", "role")`
    """
    return field(default=default, metadata={"allowed": allowed, "runtime": runtime, "later": later})


def at_least(least: int, default: Any = MISSING, *, runtime: bool = False) -> Any:
    """Define a field that `check_fields` restricts to None or numbers from `least` on; required without a default.

    `batch: int = at_least(1, 8)`
    """
    return field(default=default, metadata={"least": least, "runtime": runtime})


def check_fields(stage: object, option: str) -> None:
    """Check the fields defined by `choice` and `at_least`; for `__post_init__`.

    Args:
        stage: an instance of a dataclass.
        option: config path of the stage; "" for top-level fields.

    Raises:
        UserError: a field has another value; names its option and the allowed values.
    """
    for one in fields(stage):  # type: ignore[arg-type]
        value, where = getattr(stage, one.name), f"{option}.{one.name}" if option else one.name
        allowed, least = one.metadata.get("allowed"), one.metadata.get("least")
        if allowed is not None and value not in allowed and not (value is None and one.default is None):
            words = " or ".join(allowed) if len(allowed) == 2 else ", ".join(allowed)
            raise UserError(f"unknown {one.name} {value!r}", where=where, cure=f"use {words}")
        if least is not None and value is not None and value < least:
            raise UserError(f"{one.name} is {value}", where=where, cure=f"give at least {least}")


def build(node: DictConfig, kind: type[T], *, option: str) -> T:
    """Build the stage that a config node describes.

    Args:
        node: fields of the stage, and `_target_`, the dotted path of its class; `meta` is ignored. The former path of a
            moved class is accepted with a warning (`legalrr.former_paths`).
        kind: a protocol or class that the result must satisfy (checked with isinstance).
        option: config path of the node, for messages.

    Raises:
        UserError: unknown class, misspelt field, wrong type, missing value, or a value that the class rejects.
    """
    target = node.get("_target_")
    cls = stage_class(target, option=option)
    try:
        values = OmegaConf.to_container(node, resolve=True)
        assert isinstance(values, dict)
        values.pop("_target_")
        values.pop(META, None)
        built = from_values(cls, _default_maps(cls, _text_keys(values)))
    except (MissingMandatoryValue, InterpolationToMissingValueError) as error:
        raise missing_value(error, option) from error
    except OmegaConfBaseException as error:
        first = str(error).strip().splitlines()[0]
        known = ", ".join(f.name for f in fields(cls))
        raise UserError(first, where=option, cure=f"{cls.__name__} takes {known}") from error
    if not isinstance(built, kind):
        raise UserError(
            f"{target} is not a {kind.__name__}", where=option, cure="see CONTRIBUTING.md for the protocols of stages"
        )
    return built


def stage_class(target: object, *, option: str) -> type[Any]:
    """Return the class of a stage.

    Args:
        target: its dotted path, or the former one of a moved class, which is accepted with a warning.
        option: config path of the stage, for messages.

    Raises:
        UserError: not a path, or not that of a dataclass.
    """
    if not isinstance(target, str):
        raise UserError("_target_ does not name a class", where=option, cure="add _target_: package.module.Class")
    return _import_class(_current_path(target, option), option)


def missing_value(error: OmegaConfBaseException, option: str) -> UserError:
    """Return the error for a field that a user must set.

    Args:
        error: a MissingMandatoryValue, or InterpolationToMissingValueError.
        option: config path of the stage; "" for top-level fields.
    """
    referred = MISSING_VALUE.search(str(error))
    full = referred[1] if referred else f"{option}.{error.full_key}".lstrip(".")
    return UserError(f"{full} has no value", where=option, cure=f"set {full}=VALUE")


def from_values(cls: type[T], values: Mapping[Any, Any]) -> T:
    """Build a (frozen) dataclass from plain values; raises OmegaConfBaseException for values that do not fit."""
    schema = OmegaConf.structured(cls)
    _unlock(schema)
    return cast(T, OmegaConf.to_object(OmegaConf.merge(schema, values)))


def _text_keys(value: Any) -> Any:
    """Make the keys of all mappings strings: the labels of `{0: dismissed, 1: allowed}` are numbers in YAML."""
    if isinstance(value, dict):
        return {str(key): _text_keys(one) for key, one in value.items()}
    return [_text_keys(one) for one in value] if isinstance(value, list) else value


def _default_maps(cls: type[Any], values: dict[str, Any]) -> dict[str, Any]:
    """Leave out the mappings that are null, which then are empty.

    The yaml of a stage gives an empty mapping as null, because Hydra lets `corpus.labels={0: dismissed}` replace a null
    but not add to a mapping.
    """
    maps = {one.name for one in fields(cls) if one.default_factory is dict}
    return {key: value for key, value in values.items() if value is not None or key not in maps}


def _unlock(node: DictConfig) -> None:
    """Make the schema writable: OmegaConf marks frozen dataclasses, also nested ones, as read-only."""
    OmegaConf.set_readonly(node, False)
    for key in [] if node._is_missing() or node._is_none() else node:
        child = node._get_node(key)
        if isinstance(child, DictConfig):
            _unlock(child)


# A sweep builds each stage many times; the warning is logged once.
@cache
def _current_path(target: str, option: str) -> str:
    """Return the current path of a class; warn if `target` is a former one."""
    for now, former in FORMER.items():
        if former == target:
            LOG.warning(
                "%s._target_: %s has moved; the next release will not accept this path. Write: %s",
                option,
                target,
                now,
            )
            return now
    return target


def _import_class(target: str, option: str) -> type[Any]:
    module, _, name = target.rpartition(".")
    try:
        cls = getattr(import_module(module), name)
    except (ImportError, AttributeError, TypeError, ValueError) as error:
        raise UserError(f"cannot import {target}: {error}", where=option, cure="check _target_ in the yaml") from error
    if not (isinstance(cls, type) and is_dataclass(cls)):
        raise UserError(f"{target} is not a dataclass", where=option, cure="a stage is a frozen dataclass")
    return cls


def description(stage: object) -> dict[str, Any]:
    """Return class path, version and identity fields of a stage as JSON values, nested stages likewise.

    A moved class keeps the path of its first release (`legalrr.former_paths`).
    """
    cls = type(stage)
    path = f"{cls.__module__}.{cls.__qualname__}"
    kept = {
        f.name: _to_json(getattr(stage, f.name))
        for f in fields(cls)  # type: ignore[arg-type]
        if not f.metadata.get("runtime") and not (f.metadata.get("later") and getattr(stage, f.name) == f.default)
    }
    return {"class": FORMER.get(path, path), "version": getattr(cls, "VERSION", 1), "fields": kept}


def identity(stage: object) -> str:
    """Return the SHA-256 (64 hex digits) of the stage's description."""
    return digest(description(stage))


def digest(content: object) -> str:
    """Return the SHA-256 (64 hex digits) of `content` as canonical JSON.

    Raises:
        TypeError: an object that JSON cannot represent.
        ValueError: a number that JSON cannot represent (nan, infinity).
    """
    return hashlib.sha256(_canonical(content)).hexdigest()


def digest_of_items(items: Iterable[object]) -> str:
    """Return the digest of the list of `items`, one of which is in memory at a time; raises as `digest`."""
    lines = hashlib.sha256(b"[")
    for number, item in enumerate(items):
        lines.update((b"," if number else b"") + _canonical(item))
    lines.update(b"]")
    return lines.hexdigest()


def _canonical(content: object) -> bytes:
    text = json.dumps(content, sort_keys=True, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return text.encode("utf-8", "surrogatepass")


def _to_json(value: object) -> object:
    if is_dataclass(value) and not isinstance(value, type):
        return description(value)
    if isinstance(value, Mapping):
        return {str(k): _to_json(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_to_json(v) for v in value]
    if value is None or isinstance(value, str | int | float | bool):
        return value
    raise TypeError(f"{type(value).__name__} cannot be part of a stage's identity")
