"""Where things lie: the configuration and data that ship, and the user's own corpora.

LEGALRR_CONF may name a folder with the same groups as conf/ (corpus/, arm/, segment/, backbone/, ...), whose choices
every command knows beside those that ship (docs/plugins.md).

In a config a path may start with `$LEGALRR/` (what ships: conf/ and data/ of this project) or `$LEGALRR_DATA/` (the
folder named by the environment variable LEGALRR_DATA, else data/downloads, where `legalrr data fetch` puts what it
downloads).
"""

import os
from collections.abc import Sequence
from pathlib import Path

from legalrr.errors import UserError


def root() -> Path:
    """Folder that holds conf/ and data/: the repository, or the installed package."""
    package = Path(__file__).resolve().parent
    for folder in (package, package.parent):
        if (folder / "conf" / "config.yaml").is_file():
            return folder
    raise UserError("conf/config.yaml is missing", where=str(package.parent), cure="install with pip install -e .")


def conf_folders() -> list[Path]:
    """The folders of the configuration: conf/ that ships, then the one that LEGALRR_CONF names, if it is set.

    Raises:
        UserError: LEGALRR_CONF names no folder.
    """
    named = os.environ.get("LEGALRR_CONF")
    own = [Path(named).expanduser().resolve()] if named else []
    for folder in own:
        if not folder.is_dir():
            raise UserError(
                "no such folder",
                where=f"LEGALRR_CONF={named}",
                cure="name a folder with groups such as corpus/ and arm/",
            )
    return [root() / "conf", *own]


def choices(group: str, folders: Sequence[Path] | None = None) -> dict[str, Path]:
    """Choice -> yaml file of a group ("corpus"), sorted by name.

    Args:
        group: the group.
        folders: folders of configuration; None: `conf_folders()`.

    Raises:
        UserError: two of the folders have the same choice, of which Hydra would take the first in silence.
    """
    found: dict[str, Path] = {}
    for folder in conf_folders() if folders is None else folders:
        for file in (folder / group).glob("*.yaml"):
            if file.stem in found:
                raise UserError(
                    f"{group}={file.stem} is defined twice, here and in {found[file.stem]}",
                    where=str(file),
                    cure="give the file another name",
                )
            found[file.stem] = file
    return dict(sorted(found.items()))


def data_root() -> Path:
    """Folder of the user's corpora: LEGALRR_DATA, else data/downloads, in the repository or where one works."""
    named = os.environ.get("LEGALRR_DATA")
    if named:
        return Path(named).expanduser()
    # An installed package is no place for downloads.
    installed = root() == Path(__file__).resolve().parent
    return (Path.cwd() if installed else root()) / "data" / "downloads"


def resolve(path: str) -> Path:
    """A config path with `$LEGALRR/`, `$LEGALRR_DATA/` and `~` put in; it need not exist."""
    for prefix, folder in (("$LEGALRR_DATA/", data_root), ("$LEGALRR/", root)):
        if path.startswith(prefix):
            return folder() / path.removeprefix(prefix)
    return Path(path).expanduser()
