"""List the corpora of conf/corpus, and draw a subsample of one.

Take some judgments of a corpus: the same ones whatever the order in which it is read.

The corpora of conf/corpus, as the `meta` node of each file describes them.

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

from legalrr.configuration import read_metadata
from legalrr.errors import UserError
from legalrr.paths import choices
from legalrr.protocols import Corpus
from legalrr.records import Judgment
from legalrr.stage import build, digest


def subsample(judgments: Sequence[Judgment], limit: int | None, seed: int) -> list[Judgment]:
    """At most `limit` judgments, the shares of the outcomes kept as far as whole judgments allow.

    Which ones they are depends on seed and ids alone, and a greater limit adds judgments to those of a smaller one per
    outcome. The order of the corpus is kept.

    Args:
        judgments: all of them.
        limit: how many to take; None takes all.
        seed: seed of the draw.
    """
    if limit is None or limit >= len(judgments):
        return list(judgments)
    groups: dict[str, list[Judgment]] = {}
    for judgment in judgments:
        groups.setdefault(judgment.outcome or "", []).append(judgment)
    exact = {outcome: limit * len(group) / len(judgments) for outcome, group in groups.items()}
    sizes = {outcome: int(share) for outcome, share in exact.items()}
    # Largest remainder; a tie goes by name, so that the draw does not depend on the order of reading.
    by_remainder = sorted(groups, key=lambda o: (sizes[o] - exact[o], o))
    for outcome in by_remainder[: limit - sum(sizes.values())]:
        sizes[outcome] += 1
    taken: set[str] = set()
    for outcome, group in groups.items():
        drawn = sorted(group, key=lambda j: digest([seed, j.id]))
        taken.update(j.id for j in drawn[: sizes[outcome]])
    return [j for j in judgments if j.id in taken]


METADATA_KEYS = ("what", "licence", "citation", "get")


@runtime_checkable
class FileCorpus(Protocol):
    """A corpus that is read from files."""

    def paths(self, split: str | None) -> list[Path]:
        """Files and folders that `read(split)` needs; they need not exist. None for what is read from elsewhere."""


@dataclass(frozen=True, kw_only=True)
class CorpusFacts:
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


def local_files(reader: Corpus) -> list[Path]:
    """What the evaluated split is read from, if all of it is here; else, and for a hub set, nothing."""
    paths = reader.paths(reader.split) if isinstance(reader, FileCorpus) else []
    return paths if all(path.exists() for path in paths) else []


def cards() -> list[CorpusFacts]:
    """All corpora, by name."""
    return [card(name) for name in choices("corpus")]


def card(name: str, folders: Sequence[Path] | None = None) -> CorpusFacts:
    """The corpus called `name`, of the folders of configuration (None: `legalrr.paths.conf_folders`).

    Raises:
        UserError: none is called so, or its file leaves out a fact.
    """
    files = choices("corpus", folders)
    if name not in files:
        raise UserError(f"no corpus {name!r}", where="conf/corpus", cure=f"one of {', '.join(files)}")
    file = files[name]
    stated = read_metadata(file, METADATA_KEYS)
    lacking = [key for key in METADATA_KEYS if key not in stated]
    if lacking:
        raise UserError(f"meta does not state {', '.join(lacking)}", where=str(file), cure="see the other files there")
    return CorpusFacts(name=name, file=file, **stated)
