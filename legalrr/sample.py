"""Take some judgments of a corpus: the same ones whatever the order in which it is read."""

from collections.abc import Sequence

from legalrr.records import Judgment
from legalrr.stage import digest


def sample(judgments: Sequence[Judgment], limit: int | None, seed: int) -> list[Judgment]:
    """At most `limit` judgments, the shares of the outcomes kept as far as whole judgments allow.

    Which ones they are depends on seed and ids alone, and a greater limit adds judgments to those of a smaller one per
    outcome. The order of the corpus is kept.

    Args:
        judgments: all of them.
        limit: how many to take; None takes all.
        seed: seed of the draw.
    """
    if limit is None or limit >= len(judgments):
        return list(judgments)
    groups: dict[str, list[Judgment]] = {}
    for judgment in judgments:
        groups.setdefault(judgment.outcome or "", []).append(judgment)
    exact = {outcome: limit * len(group) / len(judgments) for outcome, group in groups.items()}
    sizes = {outcome: int(share) for outcome, share in exact.items()}
    # Largest remainder; a tie goes by name, so that the draw does not depend on the order of reading.
    by_remainder = sorted(groups, key=lambda o: (sizes[o] - exact[o], o))
    for outcome in by_remainder[: limit - sum(sizes.values())]:
        sizes[outcome] += 1
    taken: set[str] = set()
    for outcome, group in groups.items():
        drawn = sorted(group, key=lambda j: digest([seed, j.id]))
        taken.update(j.id for j in drawn[: sizes[outcome]])
    return [j for j in judgments if j.id in taken]
