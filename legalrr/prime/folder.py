"""The folder of a run of priming: whose it is, and what was measured so far."""

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from legalrr.errors import UserError
from legalrr.store import make_folder, write_atomically

SETTINGS, MEASURED = "settings.json", "measured.json"


def claim(folder: Path, settings: Mapping[str, Any]) -> None:
    """Make a folder that of a run with these settings, or go on there.

    Args:
        folder: it.
        settings: all that the result depends on, as JSON.

    Raises:
        UserError: it belongs to a run with other settings, or cannot be made.
    """
    path = folder / SETTINGS
    if path.is_file():
        held, wanted = _flat(json.loads(path.read_bytes())), _flat(json.loads(json.dumps(settings)))
        other = sorted(key for key in held.keys() | wanted.keys() if held.get(key) != wanted.get(key))
        if other:
            raise UserError(
                f"a run with another {other[0]} is there ({held.get(other[0])}, now {wanted.get(other[0])})",
                where=str(folder),
                cure="name another folder=..., or delete this one",
            )
        return
    make_folder(folder)
    write_atomically(path, json.dumps(settings, indent=2, ensure_ascii=False) + "\n")


class Measured:
    """Numbers that were measured at certain points of a run, each of them once.

    Args:
        folder: of the run.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / MEASURED

    def all(self) -> dict[str, float]:
        """Everything measured so far, by name."""
        return json.loads(self._path.read_bytes()) if self._path.is_file() else {}

    def once(self, name: str, measure: Callable[[], float]) -> float:
        """What was measured under a name; measured now if it was not."""
        found = self.all()
        if name not in found:
            found[name] = measure()
            write_atomically(self._path, json.dumps(found, indent=2) + "\n")
        return found[name]


def _flat(value: Any, name: str = "") -> dict[str, Any]:
    if isinstance(value, Mapping):
        return {k: v for key, inner in value.items() for k, v in _flat(inner, f"{name}.{key}" if name else key).items()}
    return {name: value}
