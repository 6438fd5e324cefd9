"""Counting the answers of a model that a cell of a sweep used."""

from dataclasses import dataclass, field


@dataclass
class Tally:
    """How many answers were made for a cell, and how many lay in the store. Of cells that share a call, the first one
    that counts it made it."""

    fresh: set[str] = field(default_factory=set)
    """Keys of the calls that this process made and that no cell has counted yet; the cells of a sweep share the set."""
    made: int = 0
    """Answers that a model gave for this cell."""
    stored: int = 0
    """Answers that were there before."""

    def count(self, key: str) -> None:
        """Note that the answer to a call was used."""
        if key in self.fresh:
            self.fresh.remove(key)
            self.made += 1
        else:
            self.stored += 1
