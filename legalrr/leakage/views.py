"""Score how well a backbone predicts the outcome from each view of a judgment."""

from collections.abc import Sequence
from dataclasses import dataclass

from legalrr.leakage.probe import VIEWS, WHOLE, ProbedJudgment, log_odds
from legalrr.records import Scored
from legalrr.score.metrics import Auc, auc
from legalrr.score.scorer import PredictionScorer, Scores


@dataclass(frozen=True, kw_only=True)
class ViewScores:
    """How well the outcome is predicted from a view."""

    view: str
    """Name of the view."""
    lacking: int
    """Number of judgments without this view."""
    scores: Scores
    """Scores on the judgments with this view."""
    auc: Auc | None
    """AUC of the log-odds of `allowed`; None unless both outcomes occur."""
    whole_auc: float | None
    """AUC of the view `whole` on the same judgments."""
    only_view: int
    """Number of judgments answered correctly from this view but not from `whole`."""
    only_whole: int
    """Number of judgments answered correctly from `whole` but not from this view."""

    @property
    def above_chance(self) -> bool | None:
        """Whether the interval of AUC is above 0.5; None without an AUC."""
        return None if self.auc is None else self.auc.interval[0] > 0.5


def score_views(probed: Sequence[ProbedJudgment], scorer: PredictionScorer) -> list[ViewScores]:
    """Score every view, in the order of `VIEWS`."""
    results = []
    for name in VIEWS:
        present = [one for one in probed if name in one.views]
        right = [(_is_right(one, name), _is_right(one, WHOLE)) for one in present]
        whole = _auc(present, WHOLE, scorer)
        results.append(
            ViewScores(
                view=name,
                lacking=len(probed) - len(present),
                scores=scorer.scores([_scored(one, name) for one in present]),
                auc=_auc(present, name, scorer),
                whole_auc=None if whole is None else whole.value,
                only_view=sum(own and not other for own, other in right),
                only_whole=sum(other and not own for own, other in right),
            )
        )
    return results


def _auc(probed: Sequence[ProbedJudgment], name: str, scorer: PredictionScorer) -> Auc | None:
    values = [log_odds(one.views[name].verdict, "allowed") for one in probed]
    return auc(values, [one.gold == "allowed" for one in probed], confidence=scorer.confidence)


def _scored(probed: ProbedJudgment, name: str) -> Scored:
    verdict = probed.views[name].verdict
    return Scored(id=probed.id, gold=probed.gold, label=verdict.label, p_allowed=verdict.p_allowed)


def _is_right(probed: ProbedJudgment, name: str) -> bool:
    return probed.views[name].verdict.label == probed.gold
