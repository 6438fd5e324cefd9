"""Choose the judgments whose texts a page holds.

The numbers of a page are those of all judgments. Documents, prompts and answers are of a sample, in which every kind of
judgment takes its turn: with an invalid answer of an arm, with answers that differ, all right, all wrong; each by its
outcome. Within a kind, the order is that of the SHA-256 of the id: the same judgments are chosen again, whatever else
the report holds.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Protocol

import numpy as np
import numpy.typing as npt

from legalrr.errors import UserError

Place = tuple[int, int]
"""Number of a collection, and index of a judgment in it."""
KINDS = ("an invalid answer", "answers differ", "all right", "all wrong")
"""Kinds of judgments, by the answers of the arms; a judgment is of the first that fits."""


@dataclass(frozen=True, kw_only=True)
class TextSample:
    """Limits of the texts in a page."""

    judgments: int | None = 200
    """Number of judgments; None: as many as fit."""
    megabytes: float = 12.0
    """Size of their prompts and answers, in megabytes; 0: none."""
    ids: tuple[str, ...] = ()
    """Ids of judgments that come first, in addition to that number."""


class Answered(Protocol):
    """Judgments with the answers of arms (`legalrr.report.html.judgments.JudgmentSet`)."""

    @property
    def ids(self) -> Sequence[str]:
        """Ids of the judgments."""
        ...

    @property
    def gold(self) -> str:
        """A letter per judgment: its outcome."""
        ...

    @property
    def arms(self) -> Sequence[str]:
        """Answers of each arm, a letter per judgment: - if invalid, a space if it has none."""
        ...


def choose_texts(gathered: Sequence[Answered], sample: TextSample) -> list[Place]:
    """Return the judgments whose texts a page holds, in the order in which they are taken as long as there is room.

    Args:
        gathered: Judgments of each corpus; corpora take turns.
        sample: Limits.

    Raises:
        UserError: No judgment has one of the ids of `sample`.
    """
    named: dict[Place, None] = {}
    for id in sample.ids:
        found = [(number, one.ids.index(id)) for number, one in enumerate(gathered) if id in one.ids]
        if not found:
            raise UserError(f"no judgment {id!r}", where="--id", cure="give an id of predictions.jsonl")
        named |= dict.fromkeys(found)
    if sample.megabytes == 0:
        return []
    orders = ([(number, at) for at in _sample_order(one)] for number, one in enumerate(gathered))
    turns = (place for turn in zip_longest(*orders) for place in turn if place is not None)
    others = [place for place in turns if place not in named]
    return [*named, *others[: sample.judgments]]


def kind_numbers(one: Answered) -> npt.NDArray[np.int64]:
    """Return the kind of each judgment as an index of `KINDS`, shape (n,)."""
    gold = _bytes(one.gold)
    invalid, right, wrong = (np.zeros(len(gold), dtype=bool) for _ in range(3))
    for letters in one.arms:
        said = _bytes(letters)
        invalid |= said == ord("-")
        right |= said == gold
        wrong |= (said != gold) & (said != ord(" "))
    return np.select([invalid, right & wrong, right], [0, 1, 2], 3)


def _sample_order(one: Answered) -> list[int]:
    """Return the indices of the judgments: a judgment of each kind and outcome in turn, in the order of digests."""
    kinds = (kind_numbers(one) * 2 + (_bytes(one.gold) == ord("A"))).tolist()
    digests = [hashlib.sha256(id.encode("utf-8", "surrogatepass")).digest() for id in one.ids]
    members: dict[int, list[int]] = {kind: [] for kind in sorted(set(kinds))}
    for at in sorted(range(len(digests)), key=digests.__getitem__):
        members[kinds[at]].append(at)
    return [at for turn in zip_longest(*members.values()) for at in turn if at is not None]


def _bytes(letters: str) -> npt.NDArray[np.uint8]:
    return np.frombuffer(letters.encode("ascii"), dtype=np.uint8)
