"""Compute scores of predictions, intervals, paired comparisons and corrections for multiple tests.

The package is callable: `legalrr.score(gold, answers)` is `legalrr.score.scorer.score`, regardless of what was imported
before.
"""

import sys
from collections.abc import Mapping, Sequence
from types import ModuleType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from legalrr.score.scorer import Scores


class _Callable(ModuleType):
    def __call__(self, gold: Mapping[str, str] | Sequence[str], answers: Mapping[str, str] | Sequence[str]) -> "Scores":
        """Score answers against true outcomes; see `legalrr.score.scorer.score`."""
        from legalrr.score.scorer import score

        return score(gold, answers)


sys.modules[__name__].__class__ = _Callable
