"""Compose configurations: conf/ that ships, and the folder of the same groups that LEGALRR_CONF names.

Every command and the Python interface compose here, so that a corpus, tagger, arm or backbone that a user adds is
known to all of them (docs/plugins.md).
"""

import os
from collections.abc import Callable, Sequence
from typing import Any

import hydra
from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.global_hydra import GlobalHydra
from hydra.core.plugins import Plugins
from hydra.errors import HydraException
from hydra.plugins.search_path_plugin import SearchPathPlugin
from omegaconf import DictConfig
from omegaconf.errors import OmegaConfBaseException

from legalrr.errors import UserError
from legalrr.places import choices, conf_folders


class UserConf(SearchPathPlugin):
    """Appends the folder that LEGALRR_CONF names to Hydra's search path."""

    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        """See `hydra.plugins.search_path_plugin.SearchPathPlugin`.

        Raises:
            UserError: there is no such folder, or a choice in it has the name of one that ships.
        """
        for folder in conf_folders()[1:]:
            for group in folder.iterdir():
                choices(group.name)
            search_path.append(provider="LEGALRR_CONF", path=f"file://{folder}")


def run_hydra(task: Callable[[DictConfig], Any], name: str) -> None:
    """Run `task` as a Hydra application with the configuration `name`, with the overrides in sys.argv.

    Raises:
        UserError, HydraException, OmegaConfBaseException: bad input; every other exception of `task` as it is.
    """
    # Hydra would print its own traceback and exit with 1; this way every exception comes back here.
    os.environ["HYDRA_FULL_ERROR"] = "1"
    Plugins.instance().register(UserConf)
    hydra.main(version_base="1.3", config_path=str(conf_folders()[0]), config_name=name)(task)()


def compose(name: str = "config", overrides: Sequence[str] = ()) -> DictConfig:
    """Compose a configuration with overrides, as the command line does.

    Args:
        name: file below conf/, without its ending.
        overrides: as on the command line ("arm=drc", "annotate.tokens.analysis=256").

    Raises:
        UserError: an override that does not parse, or a group, choice or option that does not exist.
    """
    Plugins.instance().register(UserConf)
    # A caller may run inside a Hydra application of its own.
    outer = GlobalHydra.instance().hydra
    GlobalHydra.instance().clear()
    try:
        with initialize_config_dir(str(conf_folders()[0]), version_base="1.3"):
            return hydra_compose(name, overrides=list(overrides))
    except (HydraException, OmegaConfBaseException) as error:
        # Hydra ends some messages with every folder that it looked in.
        told = " ".join(f"{error} {error.__cause__ or ''}".split()).partition(" Config search path:")[0]
        raise UserError(told, where=" ".join(overrides), cure="legalrr --help lists the choices") from error
    finally:
        GlobalHydra.instance().hydra = outer
