"""Read scored cases from predictions.jsonl, with their metadata and the policy on invalid answers.

What is known of a judgment beside its outcome, as a row of predictions.jsonl tells it.

What becomes of invalid answers: the headline rule, and the subsets of judgments that the study scored on.

| treatment | judgments of an arm |
| --- | --- |
| miss | all; an invalid answer is a miss in the class of its gold outcome |
| independent | those that the arm answered |
| common | those that all arms answered |
| chainwise | those that the arm answered both with and without C |

What is scored of predictions.jsonl: a judged case per row, so that scores rest on this file alone.

The file holds every answer as it came, so that another reading of the answers needs no model.
"""

from collections import Counter
from collections.abc import Collection, Hashable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TypeVar

from legalrr.errors import UserError
from legalrr.predictions import Prediction, damaged_line, read_predictions
from legalrr.predictions import field as json_field
from legalrr.records import OUTCOMES, CompletedTurn, Completion, Scored
from legalrr.verdict import ANSWER, PatternVerdictReader


@dataclass(frozen=True, kw_only=True)
class JudgmentMetadata:
    """What is known of a judgment. None: the corpus does not say, or the run is older than the field."""

    court: str | None = None
    """Name of the court."""
    year: int | None = None
    """Year of the decision."""
    kind: str | None = None
    """Kind of matter, as the corpus has it."""
    confidence: str | None = None
    """How sure the label's reader was: high, medium or low."""
    length: int | None = None
    """Characters of the whole judgment."""
    shown: int | None = None
    """Characters of it that were shown."""
    roles: frozenset[str] | None = None
    """Roles of what was shown; without text that no span covers."""


def judgment_metadata(prediction: Prediction) -> JudgmentMetadata:
    """What a prediction tells of its judgment."""
    known = {name: getattr(prediction, name) for name in ("court", "year", "kind", "confidence", "length")}
    if prediction.shown is None:
        return JudgmentMetadata(**known)
    return JudgmentMetadata(
        **known,
        shown=sum(end - start for _, start, end in prediction.shown),
        roles=frozenset(role for role, _, _ in prediction.shown if role),
    )


TREATMENTS: Mapping[str, str] = {
    "miss": "a miss in the class of the true outcome (all judgments)",
    "independent": "left out (each arm: the judgments that it answered)",
    "common": "left out (the judgments that all arms answered)",
    "chainwise": "left out (each arm: the judgments that it answered both with and without C)",
}
"""Treatment -> what it does with invalid answers, in words."""
K = TypeVar("K", bound=Hashable)


def check_invalid_policy(name: str) -> None:
    """Raises UserError for a treatment that does not exist."""
    if name not in TREATMENTS:
        raise UserError(f"unknown treatment {name!r}", where="--invalid", cure=f"use {', '.join(TREATMENTS)}")


def kept(
    answered: Mapping[K, Collection[str]], *, treatment: str, arms: Collection[K], partners: Mapping[K, K]
) -> dict[K, frozenset[str]]:
    """The judgments that each row is scored on under a treatment other than `miss`.

    Args:
        answered: row -> ids of the judgments that it answered, of one group.
        treatment: independent, common or chainwise.
        arms: the rows that are arms; baselines and probes are scored on what the arms have in common, as far as they
            answered it.
        partners: arm -> the same arm with the other setting of C.

    Returns:
        row -> ids; rows without a partner are missing under `chainwise`.
    """
    own = {row: frozenset(ids) for row, ids in answered.items()}
    if treatment == "independent":
        return own
    if treatment == "common":
        together = frozenset.intersection(*(own[row] for row in arms)) if arms else frozenset.union(*own.values())
        return {row: ids & together for row, ids in own.items()}
    return {row: ids & own[partners[row]] for row, ids in own.items() if row in partners}


JUDGMENTS = "judgments.jsonl.gz"
"""File beside it, of the judgments that a cell is about."""
PARTY_UNKNOWN = "party unknown"
"""Among the counts in run.json: judgments of which nothing shown tells which party came that the question is about."""


@dataclass(frozen=True, kw_only=True)
class AnsweredCase(Scored):
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

    cases: tuple[AnsweredCase, ...]
    """What is scored: all judgments whose outcome is known, in the order of the file."""
    unlabelled: int = 0
    """Judgments whose outcome nobody knows; they are in no score."""
    about: Mapping[str, JudgmentMetadata] = field(default_factory=dict)
    """Id -> what is known of the judgment, for the cases that are scored."""
    places: Mapping[str, tuple[int, int]] = field(default_factory=dict)
    """Id of each case -> where its row lies in the file: offset and length, in bytes."""
    hidden: Mapping[str, int] = field(default_factory=dict)
    """Reason (`legalrr.records.HideReason`) -> stretches hidden for it, over all cases."""
    hidden_length: int = 0
    """Characters hidden, over all cases."""


def read_answers(path: Path, reader: PatternVerdictReader | None = None) -> Answers:
    """The predictions of one cell from its predictions.jsonl.

    Args:
        path: the file.
        reader: reads the answers anew; None: the verdicts are those in the file.

    Raises:
        UserError: the file is missing, a line is damaged (names file and line), or an id comes twice.
    """
    cases: list[AnsweredCase] = []
    known: dict[str, JudgmentMetadata] = {}
    places: dict[str, tuple[int, int]] = {}
    hidden: list[tuple[str, int]] = []
    unlabelled = 0
    for where, place, one in read_predictions(path):
        if one.gold is None:
            unlabelled += 1
        else:
            cases.append(answered(one if reader is None else reread(one, reader, where=where), where=where))
            known[one.id] = judgment_metadata(one)
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


def reread(prediction: Prediction, reader: PatternVerdictReader, *, where: str) -> Prediction:
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


def answered(prediction: Prediction, *, where: str) -> AnsweredCase:
    """A labelled prediction as a judged case; raises UserError naming `where` for one without a label."""
    if prediction.gold is None:
        raise damaged_line(where, f"gold None is none of {', '.join(OUTCOMES)}")
    turns = prediction.turns
    return AnsweredCase(
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
