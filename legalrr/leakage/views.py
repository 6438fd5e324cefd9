"""Score how well a backbone predicts the outcome from each view of a judgment, and answer whether a part tells it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from legalrr.leakage.probe import QUESTION, VIEWS, WHOLE, ProbedJudgment, log_odds
from legalrr.records import Scored
from legalrr.score.metrics import Auc, auc
from legalrr.score.scorer import PredictionScorer, Scores
from legalrr.tables import bounds, fixed

ROOM = 0.7
"""AUC that a sample has to exclude before the answer says that no part predicts the outcome."""


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


def answer(views: Sequence[ViewScores], labels: Mapping[str, str], *, n: int, deciding: int | None) -> str:
    """Return the answer with its figures.

    Args:
        views: Scores of every view.
        labels: View -> its name in the answer.
        n: Number of judgments.
        deciding: Number of judgments with a deciding sentence; None without a search.
    """
    some = f"{n} judgment{'s' if n != 1 else ''}"
    known = [one for one in views if one.auc is not None]
    if not known:
        return f"From {some} there is no answer: those with a view have only one outcome, and AUC needs both."
    figures = "; ".join(f"{labels[one.view]} {_figures(one)}" for one in known)
    return f"{_conclusion(known, labels, some)} {_sentences(deciding, some)}AUC: {figures}."


def _conclusion(known: Sequence[ViewScores], labels: Mapping[str, str], some: str) -> str:
    above = [one for one in known if one.above_chance]
    parts = [labels[one.view] for one in above if one.view != WHOLE]
    room = max(one.auc.interval[1] for one in known if one.auc is not None and one.view != WHOLE)
    unclear = f"an AUC up to {fixed(room)} is not excluded for a part"
    if parts:
        conclusion = f"From {some}, the backbone predicts the outcome better than chance from {_join(parts)}:"
        if any(one.view == QUESTION for one in above):
            return f"{conclusion} the name of the party tells it, which every view has."
        return f"{conclusion} look for what tells it there."
    if not above:
        return (
            f"From {some}, the backbone is not shown to predict the outcome from any view, not even from the whole, so "
            f"this run says nothing about leaks ({unclear})."
        )
    start = f"From {some}, the backbone predicts the outcome better than chance from the whole"
    if room > ROOM:
        return f"{start}; whether it does from a part is open, as these are too few ({unclear})."
    return f"{start}, and is not shown to from a part ({unclear})."


def _sentences(deciding: int | None, some: str) -> str:
    if deciding is None:
        return ""
    if not deciding:
        return "No single sentence decides a judgment. "
    return f"A single sentence decides {deciding} of {some}: read whether it states the court's conclusion. "


def _figures(one: ViewScores) -> str:
    assert one.auc is not None
    return f"{fixed(one.auc.value)} {bounds(one.auc.interval)}, n = {one.scores.n}"


def _join(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
