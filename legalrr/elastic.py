"""Protocols of workers, which answer the calls of a backbone in other processes (`legalrr.workers`)."""

from typing import Protocol, runtime_checkable

from legalrr.protocols import Backbone, Engine


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

    def require(self, backbone: Backbone) -> None:
        """Raise UserError if they cannot run this backbone."""

    def open(self, backbone: Backbone) -> Engine:
        """Return the engine that shares its calls among them, the same for the same backbone.

        Raises UserError as `require` and `Backbone.load`.
        """
