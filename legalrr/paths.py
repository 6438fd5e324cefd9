"""Paths of the built-in configuration and data, and of the user's own corpora.

LEGALRR_CONF may name a folder with the same groups as conf/ (corpus/, arm/, segment/, backbone/, ...), whose choices
every command accepts in addition to the built-in ones (docs/plugins.md).

A path in a config may start with `$LEGALRR/` (conf/ and data/ of this project) or `$LEGALRR_DATA/` (the folder in the
environment variable LEGALRR_DATA, else data/downloads, the target of `legalrr data fetch`).
"""

import os
from collections.abc import Sequence
from pathlib import Path

from legalrr.errors import UserError


def root() -> Path:
    """Return the folder that contains conf/ and data/: the repository, or the installed package."""
    package = Path(__file__).resolve().parent
    for folder in (package, package.parent):
        if (folder / "conf" / "config.yaml").is_file():
            return folder
    raise UserError("conf/config.yaml is missing", where=str(package.parent), cure="install with pip install -e .")


def conf_folders() -> list[Path]:
    """Return the folders of the configuration: the built-in conf/, then LEGALRR_CONF if it is set.

    Raises:
        UserError: LEGALRR_CONF is not a folder.
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
    """Return choice -> yaml file of a group ("corpus"), sorted by name.

    Args:
        group: the group.
        folders: folders of configuration; None: `conf_folders()`.

    Raises:
        UserError: two folders have the same choice; Hydra would silently use the first.
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
    """Return the folder of the user's corpora: LEGALRR_DATA, else data/downloads here or in the repository."""
    named = os.environ.get("LEGALRR_DATA")
    if named:
        return Path(named).expanduser()
    # Downloads do not belong in an installed package.
    installed = root() == Path(__file__).resolve().parent
    return (Path.cwd() if installed else root()) / "data" / "downloads"


def resolve(path: str) -> Path:
    """Expand `$LEGALRR/`, `$LEGALRR_DATA/` and `~` in a config path, which need not exist."""
    for prefix, folder in (("$LEGALRR_DATA/", data_root), ("$LEGALRR/", root)):
        if path.startswith(prefix):
            return folder() / path.removeprefix(prefix)
    return Path(path).expanduser()
