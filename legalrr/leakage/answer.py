"""Answer the question of the probe in one line: can the outcome be predicted from a part of what is shown?"""

from collections.abc import Mapping, Sequence

from legalrr.leakage.probe import QUESTION, WHOLE
from legalrr.leakage.views import ViewScores
from legalrr.tables import bounds, fixed

ROOM = 0.7
"""AUC that a sample has to exclude before the answer says that no part predicts the outcome."""


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
