"""List the corpora of conf/corpus, and draw a reproducible subsample of one.

The `meta` node of each file in conf/corpus describes its corpus:

    meta:
      what: 50 judgments ...
      licence: MIT
      citation: ...
      get: legalrr data fetch lawai50
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar, runtime_checkable

from omegaconf import DictConfig, MissingMandatoryValue, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from legalrr.configuration import read_metadata
from legalrr.errors import UserError
from legalrr.paths import choices
from legalrr.protocols import Corpus
from legalrr.records import Outcome
from legalrr.stage import build, digest

FACTS = ("what", "licence", "citation", "get")


class Drawable(Protocol):
    """What a draw depends on: a judgment, or facts about one."""

    @property
    def id(self) -> str:
        """The judgment's id."""

    @property
    def outcome(self) -> Outcome | None:
        """Its outcome."""


D = TypeVar("D", bound=Drawable)


def subsample(judgments: Sequence[D], limit: int | None, seed: int) -> list[D]:
    """Draw at most `limit` judgments, stratified by outcome.

    The draw depends on seed and ids alone, not on the order of reading. For each outcome, a larger limit adds judgments
    to the draw of a smaller one. The order of the corpus is kept.

    Args:
        judgments: all judgments of the corpus, or facts about them.
        limit: maximum number of judgments; None takes all.
        seed: seed of the draw.
    """
    if limit is None or limit >= len(judgments):
        return list(judgments)
    groups: dict[str, list[D]] = {}
    for judgment in judgments:
        groups.setdefault(judgment.outcome or "", []).append(judgment)
    exact = {outcome: limit * len(group) / len(judgments) for outcome, group in groups.items()}
    sizes = {outcome: int(share) for outcome, share in exact.items()}
    # Largest remainder method. Ties are broken by name, so that the draw does not depend on the order of reading.
    by_remainder = sorted(groups, key=lambda o: (sizes[o] - exact[o], o))
    for outcome in by_remainder[: limit - sum(sizes.values())]:
        sizes[outcome] += 1
    taken: set[str] = set()
    for outcome, group in groups.items():
        drawn = sorted(group, key=lambda j: digest([seed, j.id]))
        taken.update(j.id for j in drawn[: sizes[outcome]])
    return [j for j in judgments if j.id in taken]


@runtime_checkable
class FileCorpus(Protocol):
    """A corpus read from files."""

    def paths(self, split: str | None) -> list[Path]:
        """Return the files and folders that `read(split)` needs, whether or not they exist; [] for a remote corpus."""


@dataclass(frozen=True, kw_only=True)
class CorpusFacts:
    """Metadata of one corpus."""

    name: str
    """Name of the config: `corpus=<name>`."""
    what: str
    """Content of the corpus."""
    licence: str
    """Terms of use."""
    citation: str
    """Publication to cite."""
    get: str
    """How to obtain the corpus."""
    file: Path
    """YAML file that describes and configures the corpus."""

    def node(self) -> DictConfig:
        """Load the configuration."""
        node = OmegaConf.load(self.file)
        if not isinstance(node, DictConfig):
            raise UserError("not a mapping", where=str(self.file), cure="write _target_, name and the reader's fields")
        return node

    def reader(self) -> Corpus | None:
        """Build the reader; return None where the user has to fill in a path first."""
        node = self.node()
        try:
            for key in node:
                node[key]
        except MissingMandatoryValue:
            return None
        except OmegaConfBaseException as error:
            what = " ".join(str(error).split())
            raise UserError(what, where=str(self.file), cure="correct the interpolation") from error
        return build(node, Corpus, option=f"corpus={self.name}")  # type: ignore[type-abstract]

    def require_reader(self) -> Corpus:
        """Build the reader; raise UserError where the user has to fill in a path first."""
        reader = self.reader()
        if reader is None:
            raise UserError(
                "the path of this corpus is not set", where=str(self.file), cure="set the path in a copy of this file"
            )
        return reader


def local_files(reader: Corpus) -> list[Path]:
    """Return the paths that the evaluated split is read from, or [] if one is missing or the corpus is remote."""
    paths = reader.paths(reader.split) if isinstance(reader, FileCorpus) else []
    return paths if all(path.exists() for path in paths) else []


def cards() -> list[CorpusFacts]:
    """Return the metadata of all corpora, ordered by name."""
    return [card(name) for name in choices("corpus")]


def card(name: str, folders: Sequence[Path] | None = None) -> CorpusFacts:
    """Return the metadata of the corpus `name`.

    Args:
        name: name of the config.
        folders: configuration folders to search; None: `legalrr.paths.conf_folders`.

    Raises:
        UserError: no corpus of this name, or a metadata key is missing.
    """
    files = choices("corpus", folders)
    if name not in files:
        raise UserError(f"no corpus {name!r}", where="conf/corpus", cure=f"one of {', '.join(files)}")
    file = files[name]
    metadata = read_metadata(file, FACTS)
    missing = [key for key in FACTS if key not in metadata]
    if missing:
        raise UserError(f"meta lacks {', '.join(missing)}", where=str(file), cure="see the other files in this folder")
    return CorpusFacts(name=name, file=file, **metadata)
