"""Protocols of workers, which answer the calls of a backbone in other processes (`legalrr.workers`)."""

from contextlib import AbstractContextManager
from typing import Protocol, runtime_checkable

from legalrr.protocols import Backbone, Engine, Segmenter


@runtime_checkable
class ElasticEngine(Engine, Protocol):
    """Engine whose calls workers answer, which join and leave."""

    @property
    def judgments(self) -> int:
        """Maximum number of judgments under way, at the workers that there are now."""

    def state(self) -> str:
        """Return the number of workers and what they achieve, for a line of progress."""


@runtime_checkable
class Workers(Protocol):
    """Processes that answer the calls of a backbone, each with an engine of its own."""

    @property
    def count(self) -> int:
        """Number of workers."""

    @property
    def machine(self) -> int:
        """Number of them that share a machine; 1 if that is not known."""

    @property
    def lease(self) -> int:
        """Maximum number of judgments under way at each."""

    @property
    def threads(self) -> int | None:
        """Threads of torch in each, unless the backbone sets them; None: as in this process."""

    @property
    def tags(self) -> bool:
        """Whether they tag judgments too."""

    def require(self, backbone: Backbone) -> None:
        """Raise UserError if they cannot run this backbone."""

    def open(self, backbone: Backbone) -> Engine:
        """Return the engine that shares its calls among them, the same for the same backbone.

        Raises UserError as `require` and `Backbone.load`.
        """

    def open_tagger(self, tagger: Segmenter) -> AbstractContextManager[ElasticEngine]:
        """Open an engine that shares judgments among them, for `legalrr.workers.tagging`; they end with the context.

        Raises UserError for a missing package.
        """
