"""Compose configurations, read the `meta` node of their files, and refuse credentials in them.

A configuration is composed of conf/ and the folder with the same groups that LEGALRR_CONF names. Every command and the
Python interface compose it here, so that all of them know the corpora, taggers, arms and backbones that a user adds
(docs/plugins.md). Credentials are recognized by their shape, so that none is written to a run folder or shown.

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
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import hydra
from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hydra.conf import HydraConf
from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.plugins import Plugins
from hydra.errors import HydraException
from hydra.plugins.search_path_plugin import SearchPathPlugin
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from legalrr.errors import UserError, file_errors
from legalrr.paths import choices, conf_folders
from legalrr.plain_yaml import load_yaml
from legalrr.stage import META
from legalrr.store import make_folder, write_atomically

DEEPEST = 20
"""Levels of lists and mappings in a yaml with facts."""
VARIABLE = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,63}")
WORD = re.compile(r"[A-Z0-9]{0,12}|[A-Za-z]{0,20}[0-9]{0,4}")
"""A word in the name of a variable (GPT4ALL, openai, key2); keys have longer ones, with digits inside."""
KEY_PREFIX = re.compile(r"(?:sk|pk|rk|gsk|csk|hf|xai|r8|ghp|nvapi|pplx)_")
"""Prefixes of keys, in lower case."""
OPTION = re.compile(r"api_key_env['\"]?\s*(?P<sign>[=:])(?P<rest>.*)", re.DOTALL)
VALUE = re.compile(r"[^\s,=:'\"(){}\[\]]+")
INTERPOLATION = re.compile(r"\$\{[^}]*\}")
USER_INFO = re.compile(r"[a-z][a-z0-9+.-]*:/*[^/\s?#'\"]*@|base_url['\"]?\s*[=:][^,}]*[@?#]", re.IGNORECASE)


def is_variable_name(text: str) -> bool:
    """Whether a text is the name of an environment variable and does not have the shape of a key."""
    return (
        VARIABLE.fullmatch(text) is not None
        and KEY_PREFIX.match(text) is None
        and all(WORD.fullmatch(word) for word in text.split("_"))
    )


def require_variable_name(text: str, *, where: str) -> None:
    """Raise UserError, without the text, if it is not the name of an environment variable."""
    if not is_variable_name(text):
        raise UserError(
            "not a name of an environment variable",
            where=where,
            cure="give the name, e.g. OPENAI_API_KEY, never the key itself",
        )


def require_plain_url(url: str, *, where: str) -> None:
    """Raise UserError, without credentials, if a text is not the URL of a server or could contain credentials."""
    try:
        address = urlsplit(url)
        valid = address.scheme in ("http", "https") and bool(address.hostname) and address.port != 0
    except ValueError:
        address, valid = None, False
    if "@" in url or "?" in url or "#" in url:
        raise UserError(
            "a URL with a user, password, query or fragment would be stored in every run",
            where=where,
            cure="leave them out, and put the key into the environment variable api_key_env",
        )
    if not valid:
        raise UserError(f"{url!r} is not a URL of a server", where=where, cure="e.g. http://localhost:8000/v1")


def require_no_credentials(overrides: Iterable[str]) -> None:
    """Check the arguments of the command line before Hydra writes them to the run folder.

    Raises:
        UserError: an argument has a key in place of its variable, or a URL with credentials; it is not shown.
    """
    for override in overrides:
        option = OPTION.search(override)
        if option:
            values = VALUE.findall(INTERPOLATION.sub("X", option["rest"]))
            for value in values if option["sign"] == "=" else values[:1]:
                require_variable_name(value, where="backbone.api_key_env")
        if USER_INFO.search(override):
            raise UserError(
                "a URL with a user, password, query or fragment would be stored in every run",
                where=override.partition("=")[0],
                cure="leave them out, and put the key into the environment variable api_key_env",
            )


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
    # By default Hydra prints its own traceback and exits with 1; with this it raises every exception.
    os.environ["HYDRA_FULL_ERROR"] = "1"
    Plugins.instance().register(UserConf)
    application = hydra.main(version_base="1.3", config_path=str(conf_folders()[0]), config_name=name)(task)
    try:
        application()
    except (HydraException, OmegaConfBaseException) as error:
        raise UserError(_one_line(error)) from error


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
    Plugins.instance().register(UserConf)
    # The caller may itself run inside a Hydra application.
    outer = GlobalHydra.instance().hydra
    GlobalHydra.instance().clear()
    try:
        with initialize_config_dir(str(conf_folders()[0]), version_base="1.3"):
            return hydra_compose(name, overrides=list(overrides))
    except (HydraException, OmegaConfBaseException) as error:
        # Some messages of Hydra end with all folders of the search path.
        message = _one_line(error).partition(" Config search path:")[0]
        raise UserError(message, where=" ".join(overrides), cure="legalrr --help lists the choices") from error
    finally:
        GlobalHydra.instance().hydra = outer


def _one_line(error: Exception) -> str:
    return " ".join(f"{error} {error.__cause__ or ''}".split())


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
