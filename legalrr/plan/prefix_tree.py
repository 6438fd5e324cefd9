"""Count the distinct tokens of prompts: the nodes of their prefix tree, with runs of nodes as one edge."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from legalrr.backbones.local.prefix_cache import common_prefix_length


@dataclass
class _Edge:
    """Tokens that no prompt leaves between the first and the last, and what follows."""

    ids: np.ndarray
    """Token ids, shape (tokens,)."""
    following: dict[int, _Edge] = field(default_factory=dict)
    """First token -> edge."""


class PrefixTree:
    """Prefix tree of token ids. Its memory is that of the distinct tokens."""

    def __init__(self) -> None:
        self.tokens = 0
        """Number of nodes."""
        self._first: dict[int, _Edge] = {}

    def add(self, ids: Sequence[int]) -> int:
        """Add a prompt; return the number of its tokens that no earlier prompt begins with."""
        rest = np.asarray(ids, dtype=np.int64)
        following = self._first
        while len(rest):
            edge = following.get(int(rest[0]))
            if edge is None:
                following[int(rest[0])] = _Edge(rest)
                break
            shared = common_prefix_length(edge.ids, rest)
            if shared < len(edge.ids):
                edge.following = {int(edge.ids[shared]): _Edge(edge.ids[shared:].copy(), edge.following)}
                edge.ids = edge.ids[:shared].copy()
            rest, following = rest[shared:], edge.following
        self.tokens += len(rest)
        return len(rest)
