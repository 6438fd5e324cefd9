"""Text as a model learns from it: judgments packed into windows of equal length that do not see each other."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import count, islice
from typing import TYPE_CHECKING

from legalrr.records import Judgment

if TYPE_CHECKING:
    from torch import Tensor

Tokenise = Callable[[str], list[int]]
Window = tuple[list[int], list[int]]
"""Tokens, and the position of each in its judgment or, after a cut, in what is left of it."""


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Windows that are read together."""

    ids: Tensor
    """Tokens, int64 [B, N]."""
    positions: Tensor
    """Their positions, int64 [B, N]; where they do not go on by one another sequence begins. Attention is masked and
    recurrent states begin anew by them."""


def windows(documents: Iterator[list[int]], length: int) -> Iterator[Window]:
    """Pack tokens of documents, one after another, into windows of `length`; what fills none at the end is left out.

    A document that a window cuts goes on in the next one, where its positions begin anew.
    """
    ids: list[int] = []
    positions: list[int] = []
    for document in documents:
        start = 0
        while start < len(document):
            part = document[start : start + length - len(ids)]
            ids += part
            positions += range(len(part))
            start += len(part)
            if len(ids) == length:
                yield ids, positions
                ids, positions = [], []


def endless(judgments: Sequence[Judgment], tokenise: Tokenise, seed: int) -> Iterator[list[int]]:
    """The tokens of the judgments again and again, each time in another order drawn by the seed."""
    for epoch in count():
        order = list(judgments)
        random.Random(f"{seed} {epoch}").shuffle(order)
        yield from map(tokenise, (judgment.text for judgment in order))


def batches(
    judgments: Sequence[Judgment], tokenise: Tokenise, *, length: int, size: int, seed: int, after: int = 0
) -> Iterator[Batch]:
    """Batches without end, the same ones for the same arguments.

    Args:
        judgments: what to learn from, at least one token altogether.
        tokenise: text -> token ids.
        length: tokens of a window.
        size: windows of a batch.
        seed: of the order.
        after: how many batches to pass over, which were read before.
    """
    stream = islice(windows(endless(judgments, tokenise, seed), length), after * size, None)
    while True:
        yield batch(list(islice(stream, size)))


def batch(rows: Sequence[Window]) -> Batch:
    """Windows of one length as a batch."""
    import torch

    ids, positions = (torch.tensor(part) for part in zip(*rows, strict=True))
    return Batch(ids=ids, positions=positions)
