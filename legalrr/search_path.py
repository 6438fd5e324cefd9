"""Where Hydra searches for configuration: conf/, then the folder that LEGALRR_CONF names."""

from hydra.core.config_search_path import ConfigSearchPath
from hydra.core.config_store import ConfigStore
from hydra.plugins.search_path_plugin import SearchPathPlugin

from legalrr.paths import choices, conf_folders

LAUNCHER = ("hydra", "launcher")
"""Group in which other plugins may have choices of the same name: hydra-submitit-launcher has submitit_slurm too."""


class ConfFolders(SearchPathPlugin):
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
        _remove_schemas()


def _remove_schemas() -> None:
    """Remove what other plugins have stored under the names of our launchers: Hydra would take it for their schema."""
    stored = ConfigStore.instance().repo.get(LAUNCHER[0], {}).get(LAUNCHER[1], {})
    for name in choices("/".join(LAUNCHER)):
        stored.pop(f"{name}.yaml", None)
