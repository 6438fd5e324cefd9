"""Where things lie: the configuration and data that ship, and the user's own corpora.

In a config a path may start with `$LEGALRR/` (what ships: conf/ and data/ of this project) or `$LEGALRR_DATA/` (the
folder named by the environment variable LEGALRR_DATA, else data/downloads, where `legalrr-data fetch` puts what it
downloads).
"""

import os
from pathlib import Path

from legalrr.errors import UserError


def root() -> Path:
    """Folder that holds conf/ and data/: the repository, or the installed package."""
    package = Path(__file__).resolve().parent
    for folder in (package, package.parent):
        if (folder / "conf" / "config.yaml").is_file():
            return folder
    raise UserError("conf/config.yaml is missing", where=str(package.parent), cure="install with pip install -e .")


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
