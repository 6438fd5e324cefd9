"""Prices of a server, and the cost of replies."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, fields

from legalrr.errors import UserError
from legalrr.protocols import Reply
from legalrr.records import CompletedTurn


@dataclass(frozen=True, kw_only=True)
class Prices:
    """Price table: money per million tokens, in any one currency."""

    input: float | None = None
    """Price of uncached prompt tokens; None: unknown."""
    cached_input: float | None = None
    """Price of cached prompt tokens; None: unknown."""
    output: float | None = None
    """Price of generated tokens, including thoughts; None: unknown."""
    batch: float = 0.5
    """Factor of these prices for calls in batches."""

    def __post_init__(self) -> None:
        """Validate the prices; raise UserError for a negative or infinite one."""
        for field in fields(self):
            price = getattr(self, field.name)
            if price is not None and not (math.isfinite(price) and price >= 0):
                raise UserError(
                    f"{field.name} is {price}", where=f"backbone.prices.{field.name}", cure="give 0 or more, or null"
                )

    def cost(self, replies: Iterable[Reply | CompletedTurn]) -> float | None:
        """Compute the cost of replies; return None if the price of any of their tokens is unknown.

        A conversation that the server refused for its length costs nothing. Requests that timed out or were cancelled
        produce no reply and are not included.
        """
        fresh = cached = new = 0
        for reply in replies:
            if reply.finish_reason == "overflow" and not reply.new_tokens:
                continue
            fresh += reply.prompt_tokens - reply.cached_tokens
            cached += reply.cached_tokens
            new += reply.new_tokens
        total = 0.0
        for count, price in ((fresh, self.input), (cached, self.cached_input), (new, self.output)):
            if count and price is None:
                return None
            total += count * (price or 0.0) / 1_000_000
        return total
