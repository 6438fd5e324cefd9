"""What a stage is: a frozen dataclass whose fields are its config schema and, less the run-time ones, its identity.

A config node names its class by `_target_` (as Hydra does); `build` merges the node into the class's structured config,
so that a misspelt field or a wrong type fails by name before any work. The identity of a stage is the SHA-256 of its
class path, its `VERSION` and its fields as canonical JSON; a record's key is the SHA-256 of the content it was computed
from. So a limit, an order or a name never enters a key, and one edited judgment redoes one judgment.
"""

import hashlib
import json
import logging
from collections.abc import Mapping
from dataclasses import MISSING, field, fields, is_dataclass
from functools import cache, partial
from importlib import import_module
from typing import Any, TypeVar, cast

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from legalrr.errors import UserError
from legalrr.former_paths import FORMER

LOG = logging.getLogger(__name__)
T = TypeVar("T")
META = "meta"
"""Key of a stage's node that states facts about it (`legalrr.configuration`); no part of the stage."""

runtime = partial(field, metadata={"runtime": True})
"""`batch_tokens: int = runtime(default=8192)`: a field that changes how fast a stage runs, not what it computes."""

later = partial(field, metadata={"later": True})
"""`gka: GkaOptions = later(default=GkaOptions())`: a field that came when results were stored already. As long as it
has its default it is no part of the identity, so that they are found."""


def choice(default: str | None, *allowed: str, runtime: bool = False) -> Any:
    """`order: str = choice("document", "document", "role")`: a field that `check_fields` lets be one of some words.

    It may be None where that is its default.
    """
    return field(default=default, metadata={"allowed": allowed, "runtime": runtime})


def at_least(least: int, default: Any = MISSING, *, runtime: bool = False) -> Any:
    """`batch: int = at_least(1, 8)`: a field that `check_fields` lets be None, this number or more.

    Without a default it has to be given.
    """
    return field(default=default, metadata={"least": least, "runtime": runtime})


def check_fields(stage: object, option: str) -> None:
    """Refuse what `choice` and `at_least` do not allow; for `__post_init__`.

    Args:
        stage: an instance of a dataclass.
        option: config path of the stage; "" where its fields stand at the top.

    Raises:
        UserError: a field has another value; names its option and what it may be.
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
    """Make the stage that a config node describes.

    Args:
        node: fields of the stage, and `_target_`, the dotted path of its class; `meta`, if there is one, is left out.
            The former path of a class that has moved is accepted with a warning (`legalrr.former_paths`).
        kind: a protocol or class that the result must satisfy (checked with isinstance).
        option: config path of the node, for messages.

    Raises:
        UserError: unknown class, misspelt field, wrong type, missing value, or a value that the class refuses.
    """
    target = node.get("_target_")
    if not isinstance(target, str):
        raise UserError(
            "no _target_ names the class of this stage", where=option, cure="add _target_: package.module.Class"
        )
    cls = _find(_current(target, option), option)
    try:
        values = OmegaConf.to_container(node, resolve=True)
        assert isinstance(values, dict)
        values.pop("_target_")
        values.pop(META, None)
        built = from_values(cls, values)
    except OmegaConfBaseException as error:
        first = str(error).strip().splitlines()[0]
        known = ", ".join(f.name for f in fields(cls))
        raise UserError(first, where=option, cure=f"{cls.__name__} takes {known}") from error
    if not isinstance(built, kind):
        raise UserError(
            f"{target} is no {kind.__name__}", where=option, cure="see CONTRIBUTING.md for what each stage offers"
        )
    return built


def from_values(cls: type[T], values: Mapping[Any, Any]) -> T:
    """An instance of a (frozen) dataclass from plain values; raises OmegaConfBaseException for what does not fit."""
    schema = OmegaConf.structured(cls)
    _unlock(schema)
    return cast(T, OmegaConf.to_object(OmegaConf.merge(schema, values)))


def _unlock(node: DictConfig) -> None:
    """Let values into the schema: OmegaConf makes frozen dataclasses, nested ones too, read-only."""
    OmegaConf.set_readonly(node, False)
    for key in [] if node._is_missing() or node._is_none() else node:
        child = node._get_node(key)
        if isinstance(child, DictConfig):
            _unlock(child)


# A sweep builds each stage many times, and is warned once.
@cache
def _current(target: str, option: str) -> str:
    """The path of a class now; warns where `target` is a former one."""
    for now, former in FORMER.items():
        if former == target:
            LOG.warning(
                "%s._target_: %s has moved, and is not found there from the next release on. Write: %s",
                option,
                target,
                now,
            )
            return now
    return target


def _find(target: str, option: str) -> type[Any]:
    module, _, name = target.rpartition(".")
    try:
        cls = getattr(import_module(module), name)
    except (ImportError, AttributeError, TypeError, ValueError) as error:
        raise UserError(f"cannot import {target}: {error}", where=option, cure="check _target_ in the yaml") from error
    if not (isinstance(cls, type) and is_dataclass(cls)):
        raise UserError(f"{target} is no dataclass", where=option, cure="a stage is a frozen dataclass")
    return cls


def description(stage: object) -> dict[str, Any]:
    """Class path, version and identity fields of a stage, as plain JSON values; nested stages are described in turn.

    A class that has moved keeps the path under which it was first released (`legalrr.former_paths`).
    """
    cls = type(stage)
    path = f"{cls.__module__}.{cls.__qualname__}"
    kept = {
        f.name: _plain(getattr(stage, f.name))
        for f in fields(cls)  # type: ignore[arg-type]
        if not f.metadata.get("runtime") and not (f.metadata.get("later") and getattr(stage, f.name) == f.default)
    }
    return {"class": FORMER.get(path, path), "version": getattr(cls, "VERSION", 1), "fields": kept}


def identity(stage: object) -> str:
    """SHA-256 (64 hex digits) of the stage's description."""
    return digest(description(stage))


def digest(content: object) -> str:
    """SHA-256 (64 hex digits) of `content` as canonical JSON.

    Raises:
        TypeError: an object that JSON does not hold.
        ValueError: a number that it does not hold (nan, infinity).
    """
    text = json.dumps(content, sort_keys=True, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def _plain(value: object) -> object:
    if is_dataclass(value) and not isinstance(value, type):
        return description(value)
    if isinstance(value, Mapping):
        return {str(k): _plain(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(v) for v in value]
    if value is None or isinstance(value, str | int | float | bool):
        return value
    raise TypeError(f"{type(value).__name__} cannot be part of a stage's identity")
