"""What is scored of predictions.jsonl: a judged case per row, so that scores rest on this file alone.

The file holds every answer as it came, so that another reading of the answers needs no model.
"""

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from legalrr.predictions import Prediction, damaged, read_predictions
from legalrr.predictions import field as json_field
from legalrr.records import OUTCOMES, CompletedTurn, Completion, Scored
from legalrr.score.about import About, about
from legalrr.verdict import ANSWER, VerdictReader

JUDGMENTS = "judgments.jsonl.gz"
"""File beside it, of the judgments that a cell is about."""
PARTY_UNKNOWN = "party unknown"
"""Among the counts in run.json: judgments of which nothing shown tells which party came that the question is about."""


@dataclass(frozen=True, kw_only=True)
class Answered(Scored):
    """A judged case with what it took to answer it."""

    reason: str
    """Why the label is what it is (`legalrr.records.Verdict.reason`)."""
    prompt_tokens: int = 0
    """Tokens sent, over all turns."""
    cached_tokens: int = 0
    """Of these, how many a cache already held."""
    new_tokens: int = 0
    """Tokens written, over all turns."""
    dropped_tokens: int = 0
    """Tokens of the judgment left out to keep within the budget."""
    skipped: bool = False
    """Not asked about at all (overflow policy `skip`); its verdict is invalid by overflow."""
    prompt: str | None = None
    """Digest of all that was sent about it; None where the row does not tell, and for what asks no model."""


@dataclass(frozen=True, kw_only=True)
class Answers:
    """The predictions of one cell."""

    cases: tuple[Answered, ...]
    """What is scored: all judgments whose outcome is known, in the order of the file."""
    unlabelled: int = 0
    """Judgments whose outcome nobody knows; they are in no score."""
    about: Mapping[str, About] = field(default_factory=dict)
    """Id -> what is known of the judgment, for the cases that are scored."""
    places: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    """Id of each case -> where its row lies in the file: offset and length, in bytes."""
    hidden: Mapping[str, int] = field(default_factory=dict)
    """Reason (`legalrr.records.HideReason`) -> stretches hidden for it, over all cases."""
    hidden_length: int = 0
    """Characters hidden, over all cases."""


def read_answers(path: Path, reader: VerdictReader | None = None) -> Answers:
    """The predictions of one cell from its predictions.jsonl.

    Args:
        path: the file.
        reader: reads the answers anew; None: the verdicts are those in the file.

    Raises:
        UserError: the file is missing, a line is damaged (names file and line), or an id comes twice.
    """
    cases: list[Answered] = []
    known: dict[str, About] = {}
    places: dict[str, tuple[int, int]] = {}
    hidden: list[tuple[str, int]] = []
    unlabelled = 0
    for where, place, one in read_predictions(path):
        if one.gold is None:
            unlabelled += 1
        else:
            cases.append(answered(one if reader is None else reread(one, reader, where=where), where=where))
            known[one.id] = about(one)
            places[one.id] = place
            hidden += [(reason, end - start) for start, end, _, reason in one.hidden]
    return Answers(
        cases=tuple(cases),
        unlabelled=unlabelled,
        about=known,
        places=places,
        hidden=Counter(reason for reason, _ in hidden),
        hidden_length=sum(length for _, length in hidden),
    )


def reread(prediction: Prediction, reader: VerdictReader, *, where: str) -> Prediction:
    """A prediction with the verdict that `reader` finds in its answers; raises UserError naming `where` for a damaged
    answer."""
    turns = tuple(
        CompletedTurn(
            name=json_field(turn, "name", str, where),
            text=json_field(turn, "text", str, where),
            finish_reason=json_field(turn, "finish_reason", str, where),
            logprobs=turn.get("logprobs"),
        )
        for turn in prediction.turns
    )
    completion = Completion(id=prediction.id, turns=turns, error=prediction.error)
    verdict = reader.read_turn(completion, ANSWER)
    return replace(
        prediction, verdict=verdict.label, reason=verdict.reason, span=verdict.span, p_allowed=verdict.p_allowed
    )


def answered(prediction: Prediction, *, where: str) -> Answered:
    """A labelled prediction as a judged case; raises UserError naming `where` for one without a label."""
    if prediction.gold is None:
        raise damaged(where, f"gold None is none of {', '.join(OUTCOMES)}")
    turns = prediction.turns
    return Answered(
        id=prediction.id,
        gold=prediction.gold,
        label=prediction.verdict,
        reason=prediction.reason,
        cut_off=any(turn.get("finish_reason") == "length" for turn in turns),
        p_allowed=prediction.p_allowed,
        prompt_tokens=sum(turn["prompt_tokens"] for turn in turns),
        cached_tokens=sum(turn["cached_tokens"] for turn in turns),
        new_tokens=sum(turn["new_tokens"] for turn in turns),
        dropped_tokens=prediction.dropped_tokens,
        skipped=prediction.skipped,
        cluster=prediction.cluster,
        prompt=prediction.prompt,
    )
