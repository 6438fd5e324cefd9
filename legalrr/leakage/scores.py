"""Scores of each view, against chance and against the whole."""

from collections.abc import Sequence
from dataclasses import dataclass

from legalrr.leakage.probe import Probed, log_odds
from legalrr.leakage.views import VIEWS, WHOLE
from legalrr.records import Scored
from legalrr.score.auc import Auc, auc
from legalrr.score.prediction import PredictionScorer, Scores


@dataclass(frozen=True, kw_only=True)
class ViewScores:
    """How well the outcome is read from a view."""

    view: str
    """Its name."""
    lacking: int
    """Judgments that have no such view."""
    scores: Scores
    """Scores on the judgments that have it."""
    auc: Auc | None
    """AUC of the log-odds of `allowed`; None without judgments of both outcomes."""
    whole_auc: float | None
    """AUC of the whole on the same judgments."""
    only_view: int
    """Judgments that this view gets right and the whole does not."""
    only_whole: int
    """Judgments that the whole gets right and this view does not."""

    @property
    def above_chance(self) -> bool | None:
        """Whether the interval of AUC lies above 0.5; None without one."""
        return None if self.auc is None else self.auc.interval[0] > 0.5


def view_scores(probed: Sequence[Probed], scorer: PredictionScorer) -> list[ViewScores]:
    """Scores of every view, in the order of `VIEWS`."""
    found = []
    for name in VIEWS:
        some = [one for one in probed if name in one.views]
        right = [(_right(one, name), _right(one, WHOLE)) for one in some]
        whole = _auc(some, WHOLE, scorer)
        found.append(
            ViewScores(
                view=name,
                lacking=len(probed) - len(some),
                scores=scorer.scores([_scored(one, name) for one in some]),
                auc=_auc(some, name, scorer),
                whole_auc=None if whole is None else whole.value,
                only_view=sum(own and not other for own, other in right),
                only_whole=sum(other and not own for own, other in right),
            )
        )
    return found


def _auc(probed: Sequence[Probed], name: str, scorer: PredictionScorer) -> Auc | None:
    values = [log_odds(one.views[name].verdict, "allowed") for one in probed]
    return auc(values, [one.gold == "allowed" for one in probed], confidence=scorer.confidence)


def _scored(probed: Probed, name: str) -> Scored:
    verdict = probed.views[name].verdict
    return Scored(id=probed.id, gold=probed.gold, label=verdict.label, p_allowed=verdict.p_allowed)


def _right(probed: Probed, name: str) -> bool:
    return probed.views[name].verdict.label == probed.gold
