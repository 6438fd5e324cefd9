"""The corpora of conf/corpus, as the `meta` node of each file describes them.

meta:
  what: 50 judgments ...
  licence: MIT
  citation: ...
  get: legalrr data fetch lawai50
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, runtime_checkable

from omegaconf import DictConfig, MissingMandatoryValue, OmegaConf

from legalrr.errors import UserError
from legalrr.metadata import read_metadata
from legalrr.places import choices
from legalrr.protocols import Corpus
from legalrr.stage import build

FACTS = ("what", "licence", "citation", "get")


@runtime_checkable
class OnDisk(Protocol):
    """A corpus that is read from files."""

    def paths(self, split: str | None) -> list[Path]:
        """Files and folders that `read(split)` needs; they need not exist. None for what is read from elsewhere."""


@dataclass(frozen=True, kw_only=True)
class Card:
    """What is stated of one corpus."""

    name: str
    """Name of its choice: `corpus=<name>`."""
    what: str
    """What it holds."""
    licence: str
    """Under what terms."""
    citation: str
    """Whom to cite."""
    get: str
    """How to get it."""
    file: Path
    """The yaml that describes and configures it."""

    def node(self) -> DictConfig:
        """Its configuration."""
        node = OmegaConf.load(self.file)
        if not isinstance(node, DictConfig):
            raise UserError("no mapping", where=str(self.file), cure="write _target_, name and the reader's fields")
        return node

    def reader(self) -> Corpus | None:
        """Its reader; None where the configuration waits for the user's own path."""
        node = self.node()
        try:
            for key in node:
                node[key]
        except MissingMandatoryValue:
            return None
        return build(node, Corpus, option=f"corpus={self.name}")  # type: ignore[type-abstract]


def present(reader: Corpus) -> list[Path]:
    """What the evaluated split is read from, if all of it is here; else, and for a hub set, nothing."""
    paths = reader.paths(reader.split) if isinstance(reader, OnDisk) else []
    return paths if all(path.exists() for path in paths) else []


def cards() -> list[Card]:
    """All corpora, by name."""
    return [card(name) for name in choices("corpus")]


def card(name: str, folders: Sequence[Path] | None = None) -> Card:
    """The corpus called `name`, of the folders of configuration (None: `legalrr.places.conf_folders`).

    Raises:
        UserError: none is called so, or its file leaves out a fact.
    """
    files = choices("corpus", folders)
    if name not in files:
        raise UserError(f"no corpus {name!r}", where="conf/corpus", cure=f"one of {', '.join(files)}")
    file = files[name]
    stated = read_metadata(file, FACTS)
    lacking = [key for key in FACTS if key not in stated]
    if lacking:
        raise UserError(f"meta does not state {', '.join(lacking)}", where=str(file), cure="see the other files there")
    return Card(name=name, file=file, **stated)
