"""Read scored cases and judgment metadata from predictions.jsonl, and apply the policy on invalid answers.

A file is read line by line, and of a row only what scores and tables need is kept: some hundred bytes, as equal texts
of cells and judgments are one object. Texts are read again by their place in the file.

Scores need no other file: it holds every answer as the model gave it, so that verdicts can be extracted again without a
model. The default policy is `miss`; the others are the subsets of judgments that the study scored on.

| policy | judgments of an arm |
| --- | --- |
| miss | all; an invalid answer is a miss in the class of its gold outcome |
| independent | those that the arm answered |
| common | those that all arms answered |
| chainwise | those that the arm answered both with and without C |
"""

import sys
from array import array
from collections import Counter
from collections.abc import Collection, Hashable, Mapping, MutableMapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, TypeVar

from legalrr.errors import UserError
from legalrr.predictions import Prediction, damaged_line, read_predictions
from legalrr.predictions import field as json_field
from legalrr.records import OUTCOMES, CompletedTurn, Completion, Outcome, Scored
from legalrr.verdict import ANSWER, PatternVerdictReader


@dataclass(frozen=True, kw_only=True, slots=True)
class JudgmentMetadata:
    """Metadata of a judgment; None where the corpus lacks the value or the run is older than the field."""

    court: str | None = None
    """Name of the court."""
    year: int | None = None
    """Year of the decision."""
    kind: str | None = None
    """Kind of matter, as named by the corpus."""
    confidence: str | None = None
    """Confidence of the label: high, medium or low."""
    length: int | None = None
    """Characters of the whole judgment."""
    shown: int | None = None
    """Characters of the judgment that were part of the prompt."""
    roles: frozenset[str] | None = None
    """Roles of the text in the prompt; text outside all spans has none."""


def judgment_metadata(prediction: Prediction) -> JudgmentMetadata:
    """Return the metadata of the judgment that a prediction is about."""
    known: dict[str, Any] = {"year": prediction.year, "length": prediction.length}
    for name in ("court", "kind", "confidence"):
        value = getattr(prediction, name)
        known[name] = None if value is None else sys.intern(value)
    if prediction.shown is None:
        return JudgmentMetadata(**known)
    return JudgmentMetadata(
        **known,
        shown=sum(end - start for _, start, end in prediction.shown),
        roles=frozenset(role for role, _, _ in prediction.shown if role),
    )


INVALID_POLICIES: Mapping[str, str] = {
    "miss": "a miss in the class of the true outcome (all judgments)",
    "independent": "left out (each arm: the judgments that it answered)",
    "common": "left out (the judgments that all arms answered)",
    "chainwise": "left out (each arm: the judgments that it answered both with and without C)",
}
"""Policy on invalid answers -> its description."""
PARTY_UNKNOWN = "party unknown"
"""Key of a count in run.json: judgments whose shown text does not name the party that the question is about."""
K = TypeVar("K", bound=Hashable)
_OUTCOMES: Mapping[Outcome, Outcome] = {one: one for one in OUTCOMES}
_LABELS: Mapping[Literal["allowed", "dismissed", "invalid"], Literal["allowed", "dismissed", "invalid"]] = {
    "allowed": "allowed",
    "dismissed": "dismissed",
    "invalid": "invalid",
}
"""Each label by an equal text, of which every row has its own."""


def check_invalid_policy(name: str) -> None:
    """Raise UserError for an unknown policy."""
    if name not in INVALID_POLICIES:
        raise UserError(f"unknown policy {name!r}", where="--invalid", cure=f"use {', '.join(INVALID_POLICIES)}")


def scored_ids(
    answered: Mapping[K, Collection[str]], *, policy: str, arms: Collection[K], partners: Mapping[K, K]
) -> dict[K, frozenset[str]]:
    """Return the ids of the judgments that each row is scored on, for a policy other than `miss`.

    Args:
        answered: row -> ids of the judgments with a valid answer, for the rows of one group.
        policy: independent, common or chainwise.
        arms: the rows that are arms; under `common`, baselines and probes are scored on those judgments common to all
            arms that they answered.
        partners: arm -> the same arm with the other setting of C.

    Returns:
        row -> ids; under `chainwise` without the rows that have no partner.
    """
    own = {row: frozenset(ids) for row, ids in answered.items()}
    if policy == "independent":
        return own
    if policy == "common":
        common = frozenset.intersection(*(own[row] for row in arms)) if arms else frozenset.union(*own.values())
        return {row: ids & common for row, ids in own.items()}
    return {row: ids & own[partners[row]] for row, ids in own.items() if row in partners}


@dataclass(frozen=True, kw_only=True, slots=True)
class AnsweredCase(Scored):
    """A scored case with its token counts and the reason of its label."""

    reason: str
    """Reason of the label (`legalrr.records.Verdict.reason`)."""
    prompt_tokens: int = 0
    """Prompt tokens, over all turns."""
    cached_tokens: int = 0
    """Prompt tokens that were read from a cache."""
    new_tokens: int = 0
    """Generated tokens, over all turns."""
    seconds: float = 0.0
    """Seconds of the model, over all turns, whenever they were answered."""
    dropped_tokens: int = 0
    """Tokens of the judgment that were left out to fit the budget."""
    skipped: bool = False
    """Whether no call was made (overflow policy `skip`); the verdict is then invalid with reason overflow."""
    prompt: str | None = None
    """Digest of all prompts about it; None in older rows and for predictors without a model."""


@dataclass(frozen=True, kw_only=True)
class Answers:
    """The predictions of one cell."""

    cases: tuple[AnsweredCase, ...]
    """Scored cases: all judgments with a gold outcome, in the order of the file."""
    unlabelled: int = 0
    """Judgments without a gold outcome; they are not scored."""
    metadata: Mapping[str, JudgmentMetadata] = field(default_factory=dict)
    """Id -> metadata of the judgment, for the scored cases."""
    places: "array[int]" = field(default_factory=lambda: array("q"))
    """Position of the row of each case in the file, in the order of the cases: offset and length, in bytes, in turn."""
    hidden: Mapping[str, int] = field(default_factory=dict)
    """Reason (`legalrr.records.HideReason`) -> number of hidden passages, over all cases."""
    hidden_length: int = 0
    """Characters hidden, over all cases."""
    cut_off: int = 0
    """Cases with a turn that was cut off; an answer that is cut off after its YES or NO does not count."""
    cut_turns: Mapping[str, int] = field(default_factory=dict)
    """Turn -> number of these cases in which it was cut off."""


def read_answers(
    path: Path,
    reader: PatternVerdictReader | None = None,
    *,
    known: MutableMapping[JudgmentMetadata, JudgmentMetadata] | None = None,
) -> Answers:
    """Read the predictions of one cell from its predictions.jsonl.

    Args:
        path: the file.
        reader: extracts the verdicts again; None: use those in the file.
        known: metadata of cells read before, each by itself: equal ones are shared, and others added.

    Raises:
        UserError: the file is missing, a line is damaged (named by file and line), or an id is duplicated.
    """
    cases: list[AnsweredCase] = []
    metadata: dict[str, JudgmentMetadata] = {}
    places = array("q")
    hidden: Counter[str] = Counter()
    hidden_length = 0
    cut: list[list[str]] = []
    unlabelled = 0
    known = {} if known is None else known
    roles: dict[frozenset[str] | None, frozenset[str] | None] = {one.roles: one.roles for one in known}
    for where, place, one in read_predictions(path):
        if one.gold is None:
            unlabelled += 1
        else:
            cases.append(answered_case(one if reader is None else reread(one, reader, where=where), where=where))
            about = judgment_metadata(one)
            if about not in known:
                about = replace(about, roles=roles.setdefault(about.roles, about.roles))
                known[about] = about
            metadata[cases[-1].id] = known[about]
            places.extend(place)
            hidden.update(reason for _, _, _, reason in one.hidden)
            hidden_length += sum(end - start for start, end, _, _ in one.hidden)
            if cases[-1].cut_off and (turns := _cut_turns(one, cases[-1].reason)):
                cut.append(turns)
    return Answers(
        cases=tuple(cases),
        unlabelled=unlabelled,
        metadata=metadata,
        places=places,
        hidden=hidden,
        hidden_length=hidden_length,
        cut_off=len(cut),
        cut_turns=Counter(turn for turns in cut for turn in turns),
    )


def _cut_turns(prediction: Prediction, reason: str) -> list[str]:
    """Return the turns that were cut off, without an answer whose YES or NO was read."""
    cut = [str(turn.get("name", "")) for turn in prediction.turns if turn.get("finish_reason") == "length"]
    return [turn for turn in cut if turn != ANSWER or reason == "budget"]


def reread(prediction: Prediction, reader: PatternVerdictReader, *, where: str) -> Prediction:
    """Return a prediction with the verdict that `reader` extracts; raises UserError at `where` for a damaged answer."""
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


def answered_case(prediction: Prediction, *, where: str) -> AnsweredCase:
    """Convert a labelled prediction to a case; raises UserError at `where` for one without a label."""
    if prediction.gold is None:
        raise damaged_line(where, f"gold None is none of {', '.join(OUTCOMES)}")
    turns = prediction.turns
    prompt = prediction.prompt
    return AnsweredCase(
        id=sys.intern(prediction.id),
        gold=_OUTCOMES[prediction.gold],
        label=_LABELS[prediction.verdict],
        reason=sys.intern(prediction.reason),
        cut_off=any(turn.get("finish_reason") == "length" for turn in turns),
        p_allowed=prediction.p_allowed,
        prompt_tokens=sum(turn["prompt_tokens"] for turn in turns),
        cached_tokens=sum(turn["cached_tokens"] for turn in turns),
        new_tokens=sum(turn["new_tokens"] for turn in turns),
        seconds=sum(turn.get("seconds", 0.0) for turn in turns),
        dropped_tokens=prediction.dropped_tokens,
        skipped=prediction.skipped,
        cluster=sys.intern(prediction.cluster),
        prompt=None if prompt is None else sys.intern(prompt),
    )
