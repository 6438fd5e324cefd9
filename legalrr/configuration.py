"""Compose configurations, name the cure of wrong options, and read the `meta` node of files.

A configuration is composed of conf/ and the folder with the same groups that LEGALRR_CONF names. Every command and the
Python interface compose it here, so that all of them know the corpora, taggers, arms and backbones that a user adds
(docs/plugins.md).

The `meta` node of a yaml states facts about a corpus or backbone:

    meta:
      licence: Apache-2.0
      context: 262,144 tokens

They document the choice and are not part of the stage: `legalrr.stage.build` ignores the node.
"""

import json
import logging
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from difflib import get_close_matches
from itertools import pairwise
from pathlib import Path
from typing import Any

import hydra
from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hydra._internal.callbacks import Callbacks
from hydra.conf import HydraConf
from hydra.core.config_loader import ConfigLoader
from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.plugins import Plugins
from hydra.errors import HydraException, MissingConfigException, OverrideParseException
from hydra.plugins.search_path_plugin import SearchPathPlugin
from hydra.types import HydraContext, RunMode
from hydra.utils import instantiate
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import ConfigAttributeError, ConfigKeyError, OmegaConfBaseException
from yaml import YAMLError

from legalrr.credentials import require_no_credentials
from legalrr.errors import UserError, file_errors
from legalrr.files import make_folder, write_atomically
from legalrr.paths import choices, conf_folders
from legalrr.plain_yaml import load_yaml
from legalrr.stage import META

DEEPEST = 20
"""Levels of lists and mappings in a yaml with facts."""
UNKNOWN_OPTION = re.compile(
    r"Could not override '(?P<key>[^']*)'\. To append to your config use \+[^=]*=(?P<value>\S*)"
)
SEVERAL_VALUES = re.compile(r"Ambiguous value for argument '(?P<override>.*?)' 1\. To use it as a list")
CHOICE = re.compile(r"[a-z]+=[\w-]+")
OTHER_NAMES: Mapping[str, str] = {
    **dict.fromkeys(("model", "llm", "lm"), "backbone"),
    **dict.fromkeys(("dataset", "data"), "corpus"),
    **dict.fromkeys(("tagger", "segmenter"), "segment"),
    "backend": "engine",
    "prompt": "annotate",
    "predictor": "predict",
    "scorer": "score",
}
"""Name that other programs give to a group -> the group."""
PATHS: Mapping[str, str] = {
    "corpus": "judgments of your own: corpus=own_text corpus.folder={path}, or own_marked, own_pdf, own_table; "
    "legalrr data list names the corpora",
    "backbone": "a model of your own: backbone=local backbone.model={path}",
}
"""Group -> cure for a path in place of a choice."""


def require_text(arguments: Iterable[str]) -> None:
    """Raise UserError for an argument that the encoding of the locale does not decode: Hydra would not parse it."""
    for argument in arguments:
        if any("\udc80" <= character <= "\udcff" for character in argument):
            raise UserError(
                f"not text in the encoding {sys.getfilesystemencoding()} of this locale",
                where=os.fsencode(argument).decode("utf-8", "replace"),
                cure="set LC_ALL=C.UTF-8 or PYTHONUTF8=1",
            )


LOG = logging.getLogger(__name__)


class UserConf(SearchPathPlugin):
    """Hydra plugin that appends the folder LEGALRR_CONF to the search path."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        """See `hydra.plugins.search_path_plugin.SearchPathPlugin`.

        Raises:
            UserError: no such folder, or a choice in it has the name of a built-in one.
        """
        for folder in conf_folders()[1:]:
            for group in folder.iterdir():
                choices(group.name)
            search_path.append(provider="LEGALRR_CONF", path=f"file://{folder}")


def run_hydra(task: Callable[[DictConfig], Any], name: str) -> None:
    """Run `task` as a Hydra application with the configuration `name`, with the overrides in sys.argv.

    Raises:
        UserError: bad input; other exceptions of `task` pass unchanged.
    """
    require_text(sys.argv[1:])
    require_no_credentials(sys.argv[1:])
    require_joined(sys.argv[1:])
    # By default Hydra prints its own traceback and exits with 1; with this it raises every exception.
    os.environ["HYDRA_FULL_ERROR"] = "1"
    Plugins.instance().register(UserConf)
    application = hydra.main(version_base="1.3", config_path=str(conf_folders()[0]), config_name=name)(task)
    try:
        application()
    except (HydraException, OmegaConfBaseException) as error:
        raise _option_error(error, name, sys.argv[1:]) from error


def run_task(task: Callable[[DictConfig], None], name: str) -> None:
    """Run `task` as `run_hydra` does, with its configuration in the run folder, and raise its UserError.

    The error is raised after Hydra has returned, as Hydra prints a line of its own for an exception.
    """
    errors: list[UserError] = []

    def job(config: DictConfig) -> None:
        hydra_config = HydraConfig.get()
        try:
            with file_errors():
                write_configuration(Path(hydra_config.runtime.output_dir), config, hydra_config)
                task(config)
        except UserError as error:
            errors.append(error)

    run_hydra(job, name)
    if errors:
        raise errors[0]


def write_configuration(folder: Path, config: DictConfig, hydra_config: HydraConf) -> None:
    """Write the files of `.hydra` in the folder of a run, as Hydra names them, each whole or not at all.

    Hydra does not write them itself (`hydra.output_subdir: null`): on a full disk it would leave incomplete ones.

    Args:
        folder: the folder of the run.
        config: its configuration.
        hydra_config: that of Hydra.
    """
    made = folder / ".hydra"
    make_folder(made)
    files = {
        "config.yaml": config,
        "hydra.yaml": {"hydra": hydra_config},
        "overrides.yaml": hydra_config.overrides.task,
    }
    for name, content in files.items():
        write_atomically(made / name, OmegaConf.to_yaml(content))


def compose(name: str = "config", overrides: Sequence[str] = ()) -> DictConfig:
    """Compose a configuration with overrides, as the command line does.

    Args:
        name: file below conf/, without its extension.
        overrides: as on the command line ("arm=drc", "annotate.tokens.analysis=256").

    Raises:
        UserError: an override that does not parse, or an unknown group, choice or option.
    """
    with _config_loader(name, overrides):
        return hydra_compose(name, overrides=list(overrides))


@contextmanager
def _config_loader(name: str, overrides: Sequence[str]) -> Iterator[ConfigLoader]:
    """Open Hydra's loader of configurations, also inside a Hydra application; raise UserError as `compose`."""
    Plugins.instance().register(UserConf)
    outer = GlobalHydra.instance().hydra
    GlobalHydra.instance().clear()
    try:
        with initialize_config_dir(str(conf_folders()[0]), version_base="1.3"):
            yield GlobalHydra.instance().config_loader()
    except (HydraException, OmegaConfBaseException) as error:
        raise _option_error(error, name, overrides) from error
    finally:
        GlobalHydra.instance().hydra = outer


def compose_cells(overrides: Sequence[str], name: str = "config") -> list[tuple[list[str], DictConfig]]:
    """Compose every cell of an experiment as the command line would run it; nothing runs, and no folder is made.

    Args:
        overrides: as on the command line; commas make the axes of a sweep, with or without `-m`.
        name: file below conf/, without its extension.

    Returns:
        (overrides, configuration) of each cell, in the order of the run; one cell without a sweep. A configuration has
        the node `hydra` of its cell.

    Raises:
        UserError: as `compose`.
    """
    with _config_loader(name, overrides) as loader:
        whole = loader.load_configuration(name, list(overrides), RunMode.MULTIRUN)
        return [(cell, loader.load_sweep_config(whole, cell)) for cell in _split_sweep(whole, loader)]


def split_sweep(overrides: Sequence[str], name: str = "config") -> list[list[str]]:
    """Return the overrides of each cell of an experiment; see `compose_cells`, which also composes them."""
    with _config_loader(name, overrides) as loader:
        return _split_sweep(loader.load_configuration(name, list(overrides), RunMode.MULTIRUN), loader)


def _split_sweep(whole: DictConfig, loader: ConfigLoader) -> list[list[str]]:
    given: list[str] = list(whole.hydra.overrides.task)
    parsed = OverridesParser.create(config_loader=loader).parse_overrides(given)
    if whole.hydra.mode != RunMode.MULTIRUN and not any(one.is_sweep_override() for one in parsed):
        return [given]
    sweeper = instantiate(whole.hydra.sweeper)
    cells: list[list[str]] = sweeper.cells(given, HydraContext(config_loader=loader, callbacks=Callbacks()))
    return cells


def require_joined(arguments: Sequence[str]) -> None:
    """Raise UserError for an override with spaces around `=` or after a comma (`limit = 4`)."""
    for at, (one, following) in enumerate(pairwise(arguments)):
        value = "=" not in following and not following.startswith("-")
        if following.startswith("=") or (one.endswith(("=", ",")) and "=" in one and value):
            last = at + 1
            while last + 1 < len(arguments) and arguments[last].endswith(("=", ",")):
                last += 1
            pieces = arguments[at : last + 1]
            raise UserError("an override with spaces", where=" ".join(pieces), cure=f"write {''.join(pieces)}")


def _option_error(error: Exception, name: str, overrides: Sequence[str]) -> UserError:
    """Convert an error of Hydra about options, with its cure.

    Args:
        error: the error.
        name: name of the configuration.
        overrides: the overrides, or all arguments of the command line.
    """
    message = " ".join(f"{error} {error.__cause__ or ''}".split())
    if isinstance(error, MissingConfigException) and error.missing_cfg_file:
        group, _, choice = error.missing_cfg_file.partition("/")
        if group != "hydra":
            return UserError(f"no {group} {choice!r}", where=f"{group}={choice}", cure=_choice_cure(group, choice))
    if isinstance(error, OverrideParseException):
        return UserError(
            message.partition(" See https://")[0],
            where=error.override,
            cure="write OPTION=VALUE; a value with special characters needs quotes of its own: 'OPTION=\"VALUE\"'",
        )
    unknown = UNKNOWN_OPTION.match(message)
    if unknown and isinstance(error.__cause__, ConfigKeyError | ConfigAttributeError):
        return _unknown_option(unknown["key"], unknown["value"], name, overrides)
    several = SEVERAL_VALUES.match(message)
    if several:
        return UserError(
            "several values", where=several["override"], cure="add -m to run each, or write a list as [VALUE,VALUE]"
        )
    # Some messages end with all folders of the search path.
    return UserError(
        message.partition(" Config search path:")[0], where=" ".join(overrides), cure="legalrr --help lists the choices"
    )


def _choice_cure(group: str, choice: str) -> str:
    """Return the cure for a choice without a file: a near name, an arm with this label, or how to give a path."""
    known = choices(group)
    shown = _letters(choice)
    near = [one for one in known if shown and _letters(one) == shown]
    if group == "arm":
        near += [one for one, file in known.items() if shown and _letters(_label(file)) == shown]
    near = near or get_close_matches(choice, known, n=3, cutoff=0.6)
    if near:
        return f"did you mean {' or '.join(f'{group}={one}' for one in dict.fromkeys(near))}?"
    if group in PATHS and ("/" in choice or "\\" in choice or Path(choice).expanduser().exists()):
        return PATHS[group].format(path=choice)
    return f"the choices are {', '.join(known)}"


def _label(file: Path) -> str:
    """Return the label of an arm; "" if it has none."""
    return str(OmegaConf.select(OmegaConf.load(file), "arm.label", default=""))


def _letters(name: str) -> str:
    return re.sub(r"[\W_]", "", name).lower()


def _unknown_option(key: str, value: str, name: str, overrides: Sequence[str]) -> UserError:
    """Return the error for an option that the chosen configuration does not have."""
    where = f"{key}={value}"
    if group := OTHER_NAMES.get(key):
        named = value in choices(group)
        cure = f"did you mean {group}={value}?" if named else f"the option is {group}: {_choice_cure(group, value)}"
        return UserError(f"no option {key}", where=where, cure=cure)
    chosen = [one for one in overrides if CHOICE.fullmatch(one) and _is_choice(*one.split("="))]
    options = OmegaConf.to_container(compose(name, chosen), resolve=False)
    assert isinstance(options, dict)
    parent, _, last = key.rpartition(".")
    node: Any = options
    for part in parent.split(".") if parent else ():
        node = node.get(part) if isinstance(node, dict) else None
    siblings = [str(one) for one in node if one not in (META, "_target_")] if isinstance(node, dict) else []
    first = key.split(".")[1] if key.startswith("backbone.") else None
    if first and first not in options["backbone"] and (engines := engines_with(first)):
        cure = f"use {' or '.join(f'engine={one}' for one in engines)}, or leave it out"
        return UserError(f"no option {key} with this engine", where=where, cure=cure)
    near = [f"{parent}.{one}".lstrip(".") for one in get_close_matches(last, siblings, n=1)]
    if key == f"engine.{last}" and engines_with(last):
        near = [f"backbone.{last}"]
    near = near or get_close_matches(key, _option_names(options), n=1, cutoff=0.8)
    listed = (
        f"the options{f' of {parent}' if siblings and parent else ''} are {', '.join(siblings or map(str, options))}"
    )
    return UserError(f"no option {key}", where=where, cure=f"did you mean {near[0]}={value}?" if near else listed)


def engines_with(option: str) -> list[str]:
    """Return the engines (conf/engine) that have an option of the backbone."""
    return [name for name, file in choices("engine").items() if option in OmegaConf.load(file)]


def _is_choice(group: str, choice: str) -> bool:
    return choice in choices(group)


def _option_names(options: Mapping[Any, Any], prefix: str = "") -> list[str]:
    """Return the dotted names of all options in a mapping, and in those inside it."""
    names = []
    for key, value in options.items():
        names += [f"{prefix}{key}", *(_option_names(value, f"{prefix}{key}.") if isinstance(value, dict) else [])]
    return names


def read_metadata(file: Path, keys: Sequence[str], *, wrapped: bool = True) -> dict[str, str]:
    """Read the facts that a yaml states, by key; missing ones are left out.

    A user's file with facts in comments at its head (`# Licence: MIT`) is read for one more release, with a warning
    that shows the new form. Facts of a parent in `defaults` are not inherited: they describe another model.

    Args:
        file: the yaml.
        keys: the known facts.
        wrapped: whether a fact in comments may continue in lines that begin with `#   `.

    Raises:
        UserError: not YAML, an alias or a tag in it, `meta` is not a mapping, a key is unknown, or a value is not
            text or a number.
    """
    try:
        load_yaml(file.read_text("utf-8"), depth=DEEPEST)
        config = OmegaConf.load(file)
    except OSError as error:
        raise UserError(f"cannot be read: {error.strerror}", where=str(file), cure="allow reading it") from error
    except (YAMLError, OmegaConfBaseException, ValueError) as error:
        raise UserError(
            "not YAML: " + " ".join(str(error).split()), where=str(file), cure="correct the file"
        ) from error
    if not isinstance(config, DictConfig) or META not in config:
        return _from_comments(file, keys, wrapped)
    node = OmegaConf.to_container(config, resolve=False)[META]  # type: ignore[call-overload, index]
    if not isinstance(node, dict):
        raise UserError(f"{META} is not a mapping", where=str(file), cure=f"state {', '.join(keys)}")
    found = {}
    for key, value in node.items():
        if key not in keys:
            raise UserError(f"unknown fact {META}.{key}", where=str(file), cure=f"state {', '.join(keys)}")
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise UserError(f"{META}.{key} is not text", where=str(file), cure="write text, or leave it out")
        found[str(key)] = " ".join(str(value).split())
    return found


def _from_comments(file: Path, keys: Sequence[str], wrapped: bool) -> dict[str, str]:
    names = "|".join(key.capitalize() for key in keys)
    more = r"(?:\n#   .*)*" if wrapped else ""
    stated = re.compile(rf"^# ({names}):(.*{more})", re.MULTILINE).findall(file.read_text("utf-8"))
    found = {key.lower(): " ".join(value.replace("\n#", " ").split()) for key, value in stated}
    if found:
        LOG.warning(
            "%s: facts in comments will not be read by the next release. Write: %s: %s",
            file,
            META,
            json.dumps(found, ensure_ascii=False),
        )
    return found
