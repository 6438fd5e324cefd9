"""Which judgments are learned from, and which are held out to measure perplexity on."""

from collections.abc import Iterable
from dataclasses import dataclass

from legalrr.errors import UserError
from legalrr.near_duplicates import related
from legalrr.records import Judgment
from legalrr.stage import digest

SAMPLED = 16
"""One of so many runs of words is compared."""


@dataclass(frozen=True, kw_only=True)
class Split:
    """Judgments in two parts that share no group."""

    learned: tuple[Judgment, ...]
    """Those to learn from, in the order of the corpus."""
    held_out: tuple[Judgment, ...]
    """Those that are never learned from, in an order drawn by the seed."""


def split(judgments: Iterable[Judgment], share: float, seed: int) -> Split:
    """Hold out about a share of the judgments, whole groups of near-duplicates at a time.

    Which ones they are depends on seed and ids, not on the order of reading; a greater share holds out more, never
    others, as long as the groups are the same.

    Args:
        judgments: all that there are; those without text are left out.
        share: between 0 and 1.
        seed: of the draw.

    Raises:
        UserError: one of the parts is empty.
    """
    known = sorted((j for j in judgments if j.text.strip()), key=lambda j: j.id)
    names: dict[int, str] = {}
    chosen: list[Judgment] = []
    learned: list[Judgment] = []
    for judgment, group in zip(known, related(known, sampled=SAMPLED), strict=True):
        name = names.setdefault(group, judgment.id)
        (chosen if _draw(seed, name) < share else learned).append(judgment)
    for part, what in ((chosen, "held out"), (learned, "left to learn from")):
        if not part:
            raise UserError(
                f"of {len(known)} judgments none is {what}",
                where="held_out.share",
                cure="give another share, another seed, or more judgments",
            )
    chosen.sort(key=lambda j: _draw(seed, j.id))
    return Split(learned=tuple(learned), held_out=tuple(chosen))


def _draw(seed: int, name: str) -> float:
    """A number from [0, 1) that depends on seed and name alone."""
    return int(digest([seed, name])[:13], 16) / 16**13
