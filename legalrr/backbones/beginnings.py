"""Beginnings that prompts of a batch have in common, attended to once for all of them while answers are written.

A token that is written is cheap to compute; what takes time is to read the keys and values of its prompt. Arms that
show the same judgment hold the same keys and values for it, so one reading of them serves the next token of each of
these arms: attention to the shared beginning and to the rest are computed apart and put together as in
`legalrr.backbones.attention`, which is exact.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from legalrr.backbones.states import common

if TYPE_CHECKING:
    from torch import Tensor

WORTHWHILE = 64
"""Tokens that a beginning must have; each costs a call of a kernel, in every layer, for every token written."""


@dataclass(frozen=True, kw_only=True)
class Beginning:
    """First tokens of rows that stand next to each other in a batch."""

    rows: slice
    """Which rows."""
    columns: slice
    """Where the tokens stand in the first of them."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Beginnings:
    """The beginnings of all rows of a batch that is padded on the left."""

    parts: tuple[Beginning, ...]
    """Every row belongs to one; that of a row by itself is its whole prompt."""
    rest: tuple[int, ...]
    """Per row the column where the beginning has ended."""


def beginnings(prompts: Sequence[np.ndarray]) -> Beginnings | None:
    """The beginnings that save most, of prompts in the order of `legalrr.backbones.tree.walk`; None where none does.

    Args:
        prompts: token ids of each, shape (tokens,).
    """
    shared = [common(one, other) for one, other in pairwise(prompts)]
    # Of the first n rows: tokens that need not be read, and where the last beginning starts.
    best: list[tuple[int, int]] = [(0, 0)]
    for stop in range(1, len(prompts) + 1):
        found, length = (best[stop - 1][0], stop - 1), len(prompts[stop - 1])
        for first in range(stop - 2, -1, -1):
            length = min(length, shared[first])
            if length < WORTHWHILE:
                break
            found = max(found, (best[first][0] + (stop - first - 1) * length, first))
        best.append(found)
    if not best[-1][0]:
        return None
    width = max(map(len, prompts))
    parts: list[Beginning] = []
    rest = [0] * len(prompts)
    stop = len(prompts)
    while stop:
        first = best[stop][1]
        length = min([len(prompts[first]), *shared[first : stop - 1]])
        start = width - len(prompts[first])
        parts.append(Beginning(rows=slice(first, stop), columns=slice(start, start + length)))
        for row in range(first, stop):
            rest[row] = width - len(prompts[row]) + length
        stop = first
    return Beginnings(parts=tuple(reversed(parts)), rest=tuple(rest))


def attend(query: Tensor, key: Tensor, value: Tensor, held: Beginnings, *, scale: float | None) -> Tensor:
    """Attention of the next token of every row, on a CPU.

    Args:
        query: shape (batch, heads, 1, head size).
        key: shape (batch, key-value heads, tokens, head size), padded on the left.
        value: the same shape.
        held: beginnings of the rows.
        scale: of the scores; None: 1 / sqrt(head size).

    Returns:
        shape (batch, heads, 1, head size).
    """
    import torch

    from legalrr.backbones.attention import fused

    # Heads with the same keys are to the kernel what queries with the same keys are: it takes both at once.
    rows, heads, _, size = query.shape
    groups = heads // key.shape[1]
    query = query.reshape(rows, key.shape[1], groups, size)
    rest = min(held.rest)
    places = torch.arange(rest, key.shape[2])
    mask = torch.zeros((rows, 1, 1, len(places)), dtype=query.dtype)
    mask.masked_fill_(places < torch.tensor(held.rest)[:, None, None, None], -torch.inf)
    mask = mask.expand(-1, -1, groups, -1)
    among, weight_among = fused(query, key[:, :, rest:], value[:, :, rest:], causal=False, scale=scale, mask=mask)
    before, weight_before = torch.empty_like(among), torch.empty_like(weight_among)
    for part in held.parts:
        one = slice(part.rows.start, part.rows.start + 1)
        given = query[part.rows].transpose(0, 1).flatten(1, 2)[None]
        seen = (tensor[one, :, part.columns] for tensor in (key, value))
        found, weight = fused(given, *seen, causal=False, scale=scale)
        before[part.rows] = found[0].unflatten(1, (-1, groups)).transpose(0, 1)
        weight_before[part.rows] = weight[0].unflatten(1, (-1, groups)).transpose(0, 1)
    weight = torch.sigmoid(weight_before - weight_among)[..., None].to(query.dtype)
    return torch.lerp(among, before, weight).reshape(rows, heads, 1, size)
