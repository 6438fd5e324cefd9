"""Score predicted outcomes, with intervals.

The labels are fixed to the two classes; the positive class is `allowed`. An invalid answer is a miss in the class of
its gold outcome: it lowers that class's recall and F1 and the accuracy, and raises the false negative rate if the gold
outcome is `allowed`, but it is never a false positive and affects no precision.

Intervals are those of the BCa bootstrap (`legalrr.score.intervals`), or exact ones if BCa is undefined. If every
resample gives the same score, as for an arm that is always right, the bootstrap shows no uncertainty. The bounds then
follow from the possible numbers of misses in each outcome: with the Clopper-Pearson interval of the share of misses in
each outcome at the level sqrt(0.95), as the outcomes are independent,

    low     the score with as many misses as possible, each the other answer
    high    the score with as few as possible, each invalid, which costs the other outcome nothing

The class counts are taken as given. These intervals cover at least 95 %.
"""

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from itertools import pairwise
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from legalrr.errors import UserError
from legalrr.predictions import LABELS
from legalrr.records import OUTCOMES, CompletedTurn, Completion, Scored
from legalrr.score.cases import AnsweredCase
from legalrr.score.intervals import Interval, Sample, bca_of_counts, reconcile_with_test
from legalrr.score.metrics import Counts, Floats, codes, count_codes, macro_f1_of_codes, macro_f1_of_counts
from legalrr.score.permutation import mcc_of_counts, skill_p
from legalrr.stage import at_least, check_fields, digest_of_items
from legalrr.typed_json import JsonError, parse
from legalrr.verdict import ANSWER, PatternVerdictReader

UNDEFINED = "no labelled judgment"
"""Reason for a missing interval of no cases."""


def arm_intervals(
    sample: Sample, statistic: Callable[[Counts], Floats], *, confidence: float, resamples: int, seed: int
) -> list[Interval]:
    """Compute intervals of scores of one arm that decrease with the misses in either outcome.

    Args:
        sample: answers of the arm, one column.
        statistic: function of counts of shape (6, r, 1) to q scores, shape (r, q).
        confidence: coverage, such as 0.95.
        resamples: number of bootstrap resamples.
        seed: seed of the bootstrap.
    """
    found = bca_of_counts([sample], statistic, confidence=confidence, resamples=resamples, seed=seed)
    if sample.n < 2 or all(one.bounds is not None for one in found):
        return found
    low, high = exact_bounds(sample, statistic, confidence=confidence)
    return [
        one
        if one.bounds is not None
        else Interval(bounds=(float(a), float(b)), note=None, standard_error=one.standard_error, method="exact")
        for one, a, b in zip(found, low, high, strict=True)
    ]


def exact_bounds(sample: Sample, statistic: Callable[[Counts], Floats], *, confidence: float) -> tuple[Floats, Floats]:
    """Compute exact bounds of scores, each of shape (q,); the arguments are those of `arm_intervals`."""
    counts = sample.counts(sample.sizes[None])[:, 0, 0]
    # Judgments of a cluster are one observation.
    counts = counts * (sample.n / counts.sum())
    golds = np.array([counts[:3].sum(), counts[3:].sum()])
    misses = np.maximum(golds - counts[[0, 4]], 0.0)
    least, most = golds * share_intervals(misses, golds, math.sqrt(confidence))
    worst = np.array([golds[0] - most[0], most[0], 0.0, most[1], golds[1] - most[1], 0.0])
    best = np.array([golds[0] - least[0], 0.0, least[0], 0.0, golds[1] - least[1], least[1]])
    low, high = (statistic(one[:, None, None])[0] for one in (worst, best))
    return low, high


def share_intervals(parts: Floats, wholes: Floats, level: float) -> Floats:
    """Compute Clopper-Pearson intervals of shares, shapes (m,) to (2, m); 0 to 1 if the whole is 0.

    Source: Clopper and Pearson 1934, doi 10.1093/biomet/26.4.404, as quantiles of the beta distribution.
    """
    from scipy.special import betaincinv

    tail = (1 - level) / 2
    # The beta distribution is undefined if a parameter is 0; the bound is then 0 or 1.
    low = np.where(parts > 0, betaincinv(np.where(parts > 0, parts, 1), wholes - parts + 1, tail), 0.0)
    high = np.where(parts < wholes, betaincinv(parts + 1, np.where(parts < wholes, wholes - parts, 1), 1 - tail), 1.0)
    return np.stack([low, high])


@dataclass(frozen=True, kw_only=True)
class Scores:
    """Scores of one cell. Rates lie between 0 and 1; None if a score is undefined."""

    n: int
    """Judgments scored."""
    confusion: Mapping[str, Mapping[str, int]]
    """Gold outcome -> label (allowed, dismissed, invalid) -> judgments."""
    macro_f1: float | None
    """Mean of the two F1; the main score."""
    interval: tuple[float, float] | None
    """Interval of macro-F1 over judgments."""
    interval_note: str | None
    """Reason for a missing interval; else None."""
    interval_method: str
    """BCa, or exact if no resample changes the score; "" without an interval."""
    f1: Mapping[str, float | None]
    """F1 per class; 0 if neither gold nor predicted has the class."""
    precision: Mapping[str, float | None]
    """Precision per class; 0 if no answer is the class."""
    recall: Mapping[str, float | None]
    """Recall per class; 0 if no gold outcome is the class."""
    accuracy: float | None
    """Share of all judgments answered correctly."""
    fpr: float | None
    """Gold dismissed and answered allowed, of all gold dismissed."""
    fnr: float | None
    """Gold allowed and not answered allowed (so also invalid), of all gold allowed."""
    mcc: float | None
    """Matthews correlation with invalid as a third answer (Gorodkin's R_K); 0 if all gold outcomes or all answers are
    the same."""
    mcc_interval: tuple[float, float] | None
    """Interval of MCC over judgments, extended to 0 if the test of skill does not reject; None if all gold outcomes or
    all answers are the same, and with fewer than two judgments."""
    p_skill: float | None
    """Two-sided p of the test of skill (`legalrr.score.permutation`); None if all gold outcomes or all answers are the
    same."""
    clusters: int
    """Units of intervals and tests: judgments, with a cluster of near-duplicates as one."""
    invalid_rate: float | None
    """Share of invalid answers."""
    invalid: Mapping[str, int]
    """Number of invalid answers by reason."""
    cut_off_rate: float | None
    """Share of judgments with a turn that was cut off."""
    yes_rate: float | None
    """Share of all judgments answered allowed."""
    brier: float | None
    """Mean squared error of `p_allowed` over the cases that have it; None if none has."""
    tokens: Mapping[str, int] | None
    """Tokens of the prompts (prompt), of these cached, and generated (new); None for cases without counts."""

    @classmethod
    def from_json(cls, values: Mapping[str, Any], *, where: str) -> "Scores":
        """Parse the content of scores.json; raises UserError at `where` if a score is missing."""
        missing = [f.name for f in fields(cls) if f.name not in values]
        if missing:
            raise UserError(f"{', '.join(missing)} missing", where=where, cure="run the cell again")
        try:
            return parse(cls, values)
        except JsonError as fault:
            raise UserError(str(fault), where=where, cure="run the cell again") from fault


@dataclass(frozen=True, kw_only=True)
class PredictionScorer:
    """Scorer of predicted outcomes (protocol `Scorer`)."""

    VERSION: ClassVar[int] = 3

    confidence: float = 0.95
    """Coverage of intervals."""
    resamples: int = at_least(1, 20_000)
    """Bootstrap resamples per interval; all distinct ones if they are few (`legalrr.score.intervals.EXACT_FACTOR`)."""
    permutations: int = at_least(1, 10_000)
    """Permutations per test (`legalrr.score.permutation`); all of them if there are no more."""
    seed: int = at_least(0, 0)
    """Seed of resampling and permuting."""

    def __post_init__(self) -> None:
        if not 0 < self.confidence < 1:
            raise UserError(
                f"confidence {self.confidence} is not between 0 and 1", where="score.confidence", cure="0.95 is usual"
            )
        check_fields(self, "score")

    def settings(self) -> dict[str, Any]:
        """Return the settings of intervals and tests as JSON values."""
        return asdict(self)

    def score(self, cases: Sequence[Scored]) -> dict[str, Any]:
        """Compute scores as JSON values, with version, settings and a digest of the cases."""
        return {**self.stamp(cases), **asdict(self.scores(cases))}

    def stamp(self, cases: Sequence[Scored]) -> dict[str, Any]:
        """Return version, settings and a digest of the cases: equal stamps mean equal scores."""
        return {
            "version": self.VERSION,
            "settings": self.settings(),
            # `_values`, as copying plain values by `asdict` would dominate the run time.
            "cases": digest_of_items(map(_values, _sorted_by_id(cases))),
        }

    def fits(self, scores: Scores, cases: Sequence[Scored]) -> bool:
        """Return whether stored scores are those of the cases; of intervals and tests only the range is checked."""
        bounds = [(-1.0, 1.0), *(one for one in (scores.interval, scores.mcc_interval) if one is not None)]
        if any(not -1 <= low <= high <= 1 for low, high in bounds) or not 0 <= (scores.p_skill or 0.0) <= 1:
            return False
        if not cases:
            return scores == _empty_scores()
        stored = asdict(scores)
        return all(_is_close(stored[name], value) for name, value in _point_scores(_sorted_by_id(cases)).items())

    def scores(self, cases: Sequence[Scored]) -> Scores:
        """Compute the scores of cases in any order; raises UserError for a duplicate id."""
        cases = _sorted_by_id(cases)
        if not cases:
            return _empty_scores()
        answers = codes(cases)
        groups = clusters(cases)
        interval, mcc_interval = arm_intervals(
            Sample.of(answers, groups), _scores, confidence=self.confidence, resamples=self.resamples, seed=self.seed
        )
        p_skill = skill_p(answers, groups, permutations=self.permutations, seed=self.seed)
        return Scores(
            interval=interval.bounds,
            interval_note=interval.note,
            interval_method=interval.method if interval.bounds else "",
            mcc_interval=None
            if p_skill is None
            else reconcile_with_test(mcc_interval, p_skill, self.confidence).bounds,
            p_skill=p_skill,
            **_point_scores(cases),
        )


def _point_scores(cases: Sequence[Scored]) -> dict[str, Any]:
    """Compute all scores except intervals and tests, which take longer; cases are sorted by id, at least one."""
    n = len(cases)
    gold: list[str] = [case.gold for case in cases]
    labels: list[str] = [case.label for case in cases]
    answers = codes(cases)
    pairs = Counter(zip(gold, labels, strict=True))
    support, said = Counter(gold), Counter(labels)
    known = [(case.p_allowed, case.gold == "allowed") for case in cases if case.p_allowed is not None]
    counted = [case for case in cases if isinstance(case, AnsweredCase)]
    return {
        "n": n,
        "confusion": {outcome: {label: pairs[outcome, label] for label in LABELS} for outcome in OUTCOMES},
        "macro_f1": float(macro_f1_of_codes(answers)),
        "f1": {one: _ratio(2 * pairs[one, one], support[one] + said[one]) for one in OUTCOMES},
        "precision": {one: _ratio(pairs[one, one], said[one]) for one in OUTCOMES},
        "recall": {one: _ratio(pairs[one, one], support[one]) for one in OUTCOMES},
        "accuracy": (pairs["allowed", "allowed"] + pairs["dismissed", "dismissed"]) / n,
        "fpr": pairs["dismissed", "allowed"] / support["dismissed"] if support["dismissed"] else None,
        "fnr": (support["allowed"] - pairs["allowed", "allowed"]) / support["allowed"] if support["allowed"] else None,
        "mcc": float(mcc_of_counts(count_codes(answers))),
        "clusters": Sample.of(answers, clusters(cases)).n,
        "invalid_rate": labels.count("invalid") / n,
        "invalid": dict(sorted(Counter(_reason(case) for case in cases if case.label == "invalid").items())),
        "cut_off_rate": sum(case.cut_off for case in cases) / n,
        "yes_rate": labels.count("allowed") / n,
        "brier": sum((p - allowed) ** 2 for p, allowed in known) / len(known) if known else None,
        "tokens": _tokens(counted) if len(counted) == n else None,
    }


def _is_close(stored: Any, computed: Any) -> bool:
    """Return whether two scores are equal, up to the rounding of another machine."""
    if isinstance(computed, dict):
        return (
            isinstance(stored, dict)
            and stored.keys() == computed.keys()
            and all(_is_close(stored[name], value) for name, value in computed.items())
        )
    if isinstance(computed, float) and isinstance(stored, int | float):
        return math.isclose(stored, computed, rel_tol=1e-9, abs_tol=1e-9)
    return bool(stored == computed)


def clusters(cases: Sequence[Scored]) -> npt.NDArray[np.int64] | None:
    """Number the cluster of each case, shape (n,); None if every case is a cluster of its own."""
    names = [case.cluster or case.id for case in cases]
    if len(set(names)) == len(names):
        return None
    numbers = {name: number for number, name in enumerate(dict.fromkeys(names))}
    return np.array([numbers[name] for name in names], dtype=np.int64)


def _scores(counts: Counts) -> Floats:
    """Compute macro-F1 and MCC from counts of shape (6, r, 1); shape (r, 2)."""
    return np.concatenate([macro_f1_of_counts(counts), mcc_of_counts(counts)], axis=-1)


def _sorted_by_id(cases: Sequence[Scored]) -> list[Scored]:
    ordered = sorted(cases, key=lambda case: case.id)
    for one, other in pairwise(ordered):
        if one.id == other.id:
            raise UserError(f"duplicate id {one.id!r}", where="predictions", cure="give each judgment once")
    return ordered


def _empty_scores() -> Scores:
    per_class: dict[str, float | None] = dict.fromkeys(OUTCOMES)
    return Scores(
        n=0,
        confusion={outcome: dict.fromkeys(LABELS, 0) for outcome in OUTCOMES},
        macro_f1=None,
        interval=None,
        interval_note=UNDEFINED,
        interval_method="",
        f1=per_class,
        precision=per_class,
        recall=per_class,
        accuracy=None,
        fpr=None,
        fnr=None,
        mcc=None,
        mcc_interval=None,
        p_skill=None,
        clusters=0,
        invalid_rate=None,
        invalid={},
        cut_off_rate=None,
        yes_rate=None,
        brier=None,
        tokens=None,
    )


def _values(case: Scored) -> dict[str, Any]:
    return {one.name: getattr(case, one.name) for one in fields(case)}


def _ratio(part: int, whole: int) -> float:
    return part / whole if whole else 0.0


def _reason(case: Scored) -> str:
    return case.reason if isinstance(case, AnsweredCase) else "unstated"


def _tokens(cases: Sequence[AnsweredCase]) -> dict[str, int]:
    return {
        "prompt": sum(case.prompt_tokens for case in cases),
        "cached": sum(case.cached_tokens for case in cases),
        "new": sum(case.new_tokens for case in cases),
    }


def score(gold: Mapping[str, str] | Sequence[str], answers: Mapping[str, str] | Sequence[str]) -> Scores:
    """Score answers against true outcomes.

    An answer without a verdict is invalid: a miss in the class of its true outcome, and never one of the two classes.

    Args:
        gold: true outcomes, "allowed" or "dismissed": by id, or in the order of `answers`.
        answers: labels ("allowed", "dismissed", "invalid") or texts of a model, from which YES or NO is extracted as by
            `verdict=strict` (`legalrr.verdict`): by id, or in the order of `gold`.

    Raises:
        UserError: an unknown outcome, different ids, or different lengths.

    >>> found = score(["allowed", "dismissed", "dismissed"], ["YES", "The answer is NO.", "I cannot say."])
    >>> found.confusion["dismissed"]
    {'allowed': 0, 'dismissed': 1, 'invalid': 1}
    >>> found.accuracy == 2 / 3
    True
    """
    keyed = _by_key(gold), _by_key(answers)
    if isinstance(gold, Mapping) != isinstance(answers, Mapping):
        raise UserError("one is a mapping, the other a sequence", where="gold, answers", cure="give both by id")
    if keyed[0].keys() != keyed[1].keys():
        lone = sorted(keyed[0].keys() ^ keyed[1].keys())
        raise UserError(
            f"{len(keyed[0])} outcomes and {len(keyed[1])} answers: only one of the two has {lone[0]!r}",
            where="gold, answers",
            cure="give both for each judgment",
        )
    return PredictionScorer().scores([_case(key, keyed[0][key], text) for key, text in keyed[1].items()])


def _by_key(values: Mapping[str, str] | Sequence[str]) -> dict[str, str]:
    return dict(values) if isinstance(values, Mapping) else {str(number): one for number, one in enumerate(values)}


def _case(key: str, outcome: str, answer: str) -> AnsweredCase:
    gold = next((one for one in OUTCOMES if one == outcome), None)
    if gold is None:
        raise UserError(f"unknown outcome {outcome!r}", where=f"gold, {key}", cure=f"use {' or '.join(OUTCOMES)}")
    if answer in LABELS:
        label = next((one for one in OUTCOMES if one == answer), None)
        return AnsweredCase(id=key, gold=gold, label=label or "invalid", reason="matched" if label else "unparsed")
    turn = CompletedTurn(name=ANSWER, text=answer, finish_reason="stop")
    verdict = PatternVerdictReader().read_turn(Completion(id=key, turns=(turn,)), ANSWER)
    return AnsweredCase(id=key, gold=gold, label=verdict.label, reason=verdict.reason)
