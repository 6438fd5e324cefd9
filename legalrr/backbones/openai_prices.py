"""What a server's answers cost."""

import math
from collections.abc import Iterable
from dataclasses import dataclass, fields

from legalrr.errors import UserError
from legalrr.protocols import Reply
from legalrr.records import CompletedTurn

PER = 1_000_000


@dataclass(frozen=True, kw_only=True)
class Prices:
    """A price table: money per million tokens, in any one currency."""

    input: float | None = None
    """Of a prompt's tokens that no cache held; None: unknown."""
    cached_input: float | None = None
    """Of a prompt's tokens that the server's cache held; None: unknown."""
    output: float | None = None
    """Of the tokens written, thought ones included; None: unknown."""

    def __post_init__(self) -> None:
        """Refuse what is no price."""
        for field in fields(self):
            price = getattr(self, field.name)
            if price is not None and not (math.isfinite(price) and price >= 0):
                raise UserError(
                    f"{field.name} is {price}", where=f"backbone.prices.{field.name}", cure="give 0 or more, or null"
                )

    def cost(self, replies: Iterable[Reply | CompletedTurn]) -> float | None:
        """The money that replies cost; None where the price of any of their tokens is unknown.

        A conversation that the server refused for its length costs nothing. What a server computed for requests that
        timed out or broke off is in no reply, and so not in the sum either.
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
            total += count * (price or 0.0) / PER
        return total
