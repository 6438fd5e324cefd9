"""Select the judgments of a cell, which many cells of a sweep have in common."""

import logging
from typing import TypeVar

from legalrr.corpora.catalogue import subsample
from legalrr.records import Judgment
from legalrr.run.pipeline import Pipeline
from legalrr.run.spooled import CorpusJudgments, JudgmentFacts, SelectedJudgments
from legalrr.stage import identity

log = logging.getLogger(__name__)
AnyJudgment = TypeVar("AnyJudgment", Judgment, JudgmentFacts)


def select_judgments(every: CorpusJudgments, p: Pipeline) -> tuple[SelectedJudgments, dict[str, int]]:
    """Select the judgments to predict; return them and counts, of excluded judgments by reason.

    The sample is the same in all shards, and then shared out.
    """
    kept = list(every.facts)
    counts = {"read": len(kept)}
    # A corpus without any outcome is predicted but not scored; in others, unlabelled rows are excluded.
    if any(one.outcome for one in kept):
        kept = _leave_out(kept, [one for one in kept if one.outcome is None], "without outcome", counts)
    if p.segment.needs_gold and any(one.has_roles for one in kept):
        kept = _leave_out(kept, [one for one in kept if not one.has_roles], "without gold roles", counts)
    kept = in_shard(subsample(kept, p.settings.limit, p.settings.seed), p)
    counts |= {"taken": len(kept), "scored": sum(one.outcome is not None for one in kept)}
    if foreign := sum(one.doubtful for one in kept):
        counts["not in English"] = foreign
    return SelectedJudgments(every, kept), counts


def in_shard(judgments: list[AnyJudgment], p: Pipeline) -> list[AnyJudgment]:
    """Return the judgments of the shard; all without one."""
    corpus = identity(p.corpus)
    return judgments if p.shard is None else [j for j in judgments if p.shard.takes(corpus, j.id)]


def _leave_out(
    judgments: list[JudgmentFacts], excluded: list[JudgmentFacts], reason: str, counts: dict[str, int]
) -> list[JudgmentFacts]:
    """Return the other judgments; count and log the excluded ones."""
    if excluded:
        counts[reason] = len(excluded)
        ids = ", ".join(j.id for j in excluded[:5]) + (", ..." if len(excluded) > 5 else "")
        log.info("%d of %d judgments left out, %s: %s", len(excluded), len(judgments), reason, ids)
    dropped = {j.id for j in excluded}
    return [j for j in judgments if j.id not in dropped]
