"""Build a backbone from a model (conf/backbone) and the engine that runs it (conf/engine).

Both are composed into one node. The file of the engine gives `_target_`, its options and their defaults. The file of
the model overrides those that hold whatever runs it, and gives in `presets` defaults of options that only some engines
have:

    meta:                    # facts; conf/engine adds `engine`, its name, and `label`, its name in tables
      engines: local, vllm
    name: SmolLM2-135M
    model: owner/model
    presets:
      device: cuda           # conf/engine/local.yaml: device: ${oc.select:backbone.presets.device,cpu}

A backbone without a choice of conf/engine names its class itself, by `_target_`.
"""

import logging
from collections.abc import Iterable, Mapping
from copy import deepcopy
from dataclasses import fields, replace
from functools import cache
from typing import Any, TypeVar

from omegaconf import DictConfig, OmegaConf, open_dict

from legalrr.configuration import engines_with
from legalrr.errors import UserError
from legalrr.paths import choices, conf_folders
from legalrr.stage import META, build, stage_class

LOG = logging.getLogger(__name__)
T = TypeVar("T")
OPTION = "backbone"
GROUP = "engine"
PRESETS = "presets"
"""Key of the node with defaults of the options of engines; not part of the stage."""


def build_backbone(node: DictConfig, kind: type[T]) -> T:
    """Build the backbone that a composed config node describes.

    The label of the engine is added to its name, so that tables tell two engines of one model apart.

    Args:
        node: the node `backbone` of a composed configuration.
        kind: a protocol or class that the result must satisfy.

    Raises:
        UserError: no engine, one that does not run this model, an option that the engine lacks, or as
            `legalrr.stage.build`.
    """
    facts = composed_facts(node)
    engine, label = facts.get("engine"), facts.get("label")
    if former := facts.get("former"):
        _warn_former(str(former))
        # Tables go on showing the name that earlier runs have.
        label = None
    if "_target_" not in node:
        raise UserError("no engine", where=GROUP, cure=f"use {_words(choices(GROUP))}")
    # A copy keeps the parent, to which interpolations refer.
    own = deepcopy(node)
    with open_dict(own):
        own.pop(PRESETS, None)
        for key in [] if engine is None else _check_options(own, engine, engines_of(facts)):
            own.pop(key)
    built: Any = build(own, kind, option=OPTION)
    return replace(built, name=f"{built.name} ({label})") if label else built


def composed_facts(node: DictConfig) -> dict[str, Any]:
    """Return the facts of a composed node, among them those of parents in `defaults` and of the engine."""
    values = OmegaConf.to_container(node, resolve=False)
    assert isinstance(values, dict)
    return dict(values.get(META) or {})


def engines_of(facts: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the engines that run a model, by its composed facts.

    Without the fact `engines`: all for a model of an engine, none for a backbone that names its class itself.
    """
    if stated := facts.get("engines"):
        return tuple(one.strip() for one in str(stated).split(","))
    return tuple(choices(GROUP)) if facts.get("engine") else ()


@cache
def _warn_former(words: str) -> None:
    LOG.warning("this choice of backbone will be removed in the next release. Write: %s", words)


def _check_options(node: DictConfig, engine: str, runs: Iterable[str]) -> list[str]:
    """Return the options of other engines in a node, all empty; raises UserError for one with a value.

    A yaml that inherits a model may set an option that the chosen engine lacks.

    Raises:
        UserError: also for an engine that does not run this model, or a backbone with a class of its own.
    """
    values = OmegaConf.to_container(node, resolve=False)
    assert isinstance(values, dict)
    # A model states the built-in engines that run it; those of a plug-in are not known to it.
    if engine not in runs and engine in choices(GROUP, conf_folders()[:1]):
        raise UserError(f"it does not run {values.get('name')}", where=f"{GROUP}={engine}", cure=f"use {_words(runs)}")
    cls = stage_class(node["_target_"], option=OPTION)
    known = {META, "_target_", *(one.name for one in fields(cls))}
    foreign = [str(key) for key in values if key not in known and engines_with(str(key))]
    file = choices(GROUP).get(engine)
    if foreign and file is not None and OmegaConf.select(OmegaConf.load(file), "_target_") != node["_target_"]:
        raise UserError(
            f"this backbone has no engine, but its own class {cls.__name__}",
            where=f"{GROUP}={engine}",
            cure=f"leave out {GROUP}={engine}",
        )
    for key in foreign:
        if not _is_empty(values[key]):
            raise UserError(
                f"{GROUP}={engine} has no option {key}",
                where=f"{OPTION}.{key}",
                cure=f"leave it out, or use {_words(engines_with(key))}",
            )
    return foreign


def _words(engines: Iterable[str]) -> str:
    return " or ".join(f"{GROUP}={one}" for one in engines)


def _is_empty(value: Any) -> bool:
    """Whether an option has no value: null, an empty text, list or mapping, or a mapping of such."""
    if isinstance(value, dict):
        return all(map(_is_empty, value.values()))
    return value is None or value in ("", [])
