"""Find the near-duplicates among the judgments of a cell once, as every cell of a sweep has the same judgments."""

from pathlib import Path

from legalrr.near_duplicates import NEAR_DUPLICATE, SHINGLE_WORDS, group_related
from legalrr.run.spooled import SelectedJudgments
from legalrr.stage import digest, digest_of_items
from legalrr.store import Store


def find_clusters(judgments: SelectedJudgments, cache: Path) -> dict[str, str]:
    """Map each id to the first id of its cluster of near-duplicates, which may be its own.

    Args:
        judgments: the judgments.
        cache: folder of stored results, where the clusters are stored.

    Raises:
        UserError: the folder cannot be written.
    """
    ordered = SelectedJudgments(judgments.corpus, sorted(judgments.facts, key=lambda one: one.id))
    options = {"near_duplicate": NEAR_DUPLICATE, "run": SHINGLE_WORDS}
    store = Store(cache / "clusters" / digest(options)[:16], options)
    key = digest_of_items([j.id, j.group, j.text] for j in ordered)
    if key not in store:
        store.add([(key, group_related(ordered, folder=cache))])
    store.close()
    return {one.id: ordered.facts[number].id for one, number in zip(ordered.facts, store[key], strict=True)}
