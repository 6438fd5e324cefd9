"""Answer the question of the leakage experiment in a line: can the outcome be predicted from what is shown?"""

from legalrr.report.compare import ArmResult, Group
from legalrr.score.detectable import LEVEL
from legalrr.tables import bounds, fixed, p_value

SHOWN = {"probe_shown": "what is shown", "probe_tail": "its last 300 words"}
HIDDEN = {"probe_hidden": "what is hidden", "probe_hidden_tail": "the last 300 words of that"}
"""Arm of a probe -> the text that it reads (`conf/arm`)."""


def leak_answer(group: Group) -> str:
    """Return the answer with its figures; "" for a group without a probe of what is shown."""
    rows = {row.setup.arm: row for row in group.rows if row.setup.family == "probe"}
    shown = [rows[arm] for arm in SHOWN if arm in rows]
    hidden = [rows[arm] for arm in HIDDEN if arm in rows]
    if not shown:
        return ""
    figures = "; ".join(_figures(row) for row in (*shown, *hidden))
    n = max(row.scores.n for row in shown)
    return f"Leakage, {n} judgments: {_conclusion(shown, hidden)} Macro-F1 of a bag of words: {figures}."


def _conclusion(shown: list[ArmResult], hidden: list[ArmResult]) -> str:
    found = [row for row in shown if _has_skill(row)]
    if found:
        parts = " and ".join(SHOWN[row.setup.arm] for row in found)
        return (
            f"the outcome can be predicted from the words of {parts}. Facts alone may tell as much; read what is shown "
            "before you compare arms."
        )
    most = max((row.scores.interval[1] for row in shown if row.scores.interval is not None), default=None)
    room = "" if most is None else f", which allow up to {fixed(most)}"
    if not hidden:
        return f"no leak is found, but without a probe of what is hidden the sample may be too small{room}."
    if any(_has_skill(row) for row in hidden):
        return (
            "no leak is found: the outcome can be predicted from the words of what is hidden, and it is not shown that "
            f"it can be from those of what is shown. This excludes no leak beyond the intervals{room}, and none by "
            "meaning."
        )
    return "too few to answer: not even the words of what is hidden, with the ruling, are shown to predict the outcome."


def _has_skill(row: ArmResult) -> bool:
    """Return whether the answers go with the outcomes better than by chance."""
    scores = row.scores
    return scores.p_skill is not None and scores.p_skill < LEVEL and (scores.mcc or 0.0) > 0


def _figures(row: ArmResult) -> str:
    scores, what = row.scores, (SHOWN | HIDDEN)[row.setup.arm]
    skill = "" if scores.p_skill is None else f", p skill {p_value(scores.p_skill)}"
    return f"{what} {fixed(scores.macro_f1)} {bounds(scores.interval)}{skill}"
