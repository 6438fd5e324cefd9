"""What becomes of invalid answers: the headline rule, and the subsets of judgments that the study scored on.

| treatment | judgments of an arm |
| --- | --- |
| miss | all; an invalid answer is a miss in the class of its gold outcome |
| independent | those that the arm answered |
| common | those that all arms answered |
| chainwise | those that the arm answered both with and without C |
"""

from collections.abc import Collection, Hashable, Mapping
from typing import TypeVar

from legalrr.errors import UserError

TREATMENTS: Mapping[str, str] = {
    "miss": "a miss in the class of the true outcome (all judgments)",
    "independent": "left out (each arm: the judgments that it answered)",
    "common": "left out (the judgments that all arms answered)",
    "chainwise": "left out (each arm: the judgments that it answered both with and without C)",
}
"""Treatment -> what it does with invalid answers, in words."""
K = TypeVar("K", bound=Hashable)


def check_treatment(name: str) -> None:
    """Raises UserError for a treatment that does not exist."""
    if name not in TREATMENTS:
        raise UserError(f"unknown treatment {name!r}", where="--invalid", cure=f"use {', '.join(TREATMENTS)}")


def kept(
    answered: Mapping[K, Collection[str]], *, treatment: str, arms: Collection[K], partners: Mapping[K, K]
) -> dict[K, frozenset[str]]:
    """The judgments that each row is scored on under a treatment other than `miss`.

    Args:
        answered: row -> ids of the judgments that it answered, of one group.
        treatment: independent, common or chainwise.
        arms: the rows that are arms; baselines and probes are scored on what the arms have in common, as far as they
            answered it.
        partners: arm -> the same arm with the other setting of C.

    Returns:
        row -> ids; rows without a partner are missing under `chainwise`.
    """
    own = {row: frozenset(ids) for row, ids in answered.items()}
    if treatment == "independent":
        return own
    if treatment == "common":
        together = frozenset.intersection(*(own[row] for row in arms)) if arms else frozenset.union(*own.values())
        return {row: ids & together for row, ids in own.items()}
    return {row: ids & own[partners[row]] for row, ids in own.items() if row in partners}
