"""Scores of predicted outcomes.

The labels are fixed to the two classes. An invalid answer is a miss in the class of its gold outcome: it lowers that
class's recall and F1 and the accuracy, and raises the false negative rate where the gold outcome is `allowed`, but it
is never a false positive and enters no precision. The positive class is `allowed`.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, fields
from itertools import pairwise
from typing import Any, ClassVar

import numpy as np
import numpy.typing as npt

from legalrr.errors import UserError
from legalrr.predictions import LABELS
from legalrr.records import OUTCOMES, Scored
from legalrr.score.answered import Answered
from legalrr.score.arm_interval import arm_intervals
from legalrr.score.confusion import Counts, Floats, codes, macro_f1_of_codes, macro_f1_of_counts
from legalrr.score.interval import Sample, ruled
from legalrr.score.skill import mcc_of_counts, skill_p
from legalrr.stage import at_least, check_fields, digest

UNDEFINED = "no labelled judgment"


@dataclass(frozen=True, kw_only=True)
class Scores:
    """Scores of one cell. Rates lie between 0 and 1; None where a score is undefined."""

    n: int
    """Judgments scored."""
    confusion: Mapping[str, Mapping[str, int]]
    """Gold outcome -> label (allowed, dismissed, invalid) -> judgments."""
    macro_f1: float | None
    """Mean of the two F1; the headline."""
    interval: tuple[float, float] | None
    """Interval of macro-F1 over judgments (`legalrr.score.arm_interval`)."""
    interval_note: str | None
    """Why there is no interval; None where there is one."""
    interval_method: str
    """BCa, or exact where no resample changes the score; "" without an interval."""
    f1: Mapping[str, float | None]
    """F1 per class; 0 where neither gold nor predicted has the class."""
    precision: Mapping[str, float | None]
    """Per class; 0 where nothing was predicted as the class."""
    recall: Mapping[str, float | None]
    """Per class; 0 where no gold outcome has the class."""
    accuracy: float | None
    """Share answered right, of all."""
    fpr: float | None
    """Gold dismissed, answered allowed, of all gold dismissed."""
    fnr: float | None
    """Gold allowed, not answered allowed (so also invalid), of all gold allowed."""
    mcc: float | None
    """Matthews correlation, with invalid as a third answer (Gorodkin's R_K); 0 where all gold outcomes, or all answers,
    are the same."""
    mcc_interval: tuple[float, float] | None
    """Its interval over judgments, extended to 0 where the test of skill does not reject; None where all gold outcomes,
    or all answers, are the same, and with fewer than two judgments."""
    p_skill: float | None
    """Two-sided p of the test that answers do not go with outcomes (`legalrr.score.skill`); None where all gold
    outcomes, or all answers, are the same."""
    clusters: int
    """Units of intervals and tests: judgments, those of a cluster of near-duplicates as one."""
    invalid_rate: float | None
    """Share of invalid answers."""
    invalid: Mapping[str, int]
    """Invalid answers by reason."""
    cut_off_rate: float | None
    """Share of judgments with a turn that was cut off."""
    yes_rate: float | None
    """Share answered allowed, of all."""
    brier: float | None
    """Mean squared error of `p_allowed` where it is known; None where it never is."""
    tokens: Mapping[str, int] | None
    """Tokens sent (prompt), of these cached, and written (new); None where the cases do not tell."""

    @classmethod
    def from_json(cls, values: Mapping[str, Any], *, where: str) -> "Scores":
        """The scores that a scores.json holds; raises UserError naming `where` if one is missing."""
        missing = [f.name for f in fields(cls) if f.name not in values]
        if missing:
            raise UserError(f"{', '.join(missing)} missing", where=where, cure="run the cell again")
        kept = {f.name: values[f.name] for f in fields(cls)}
        bounds = {
            name: kept[name] if kept[name] is None else tuple(kept[name]) for name in ("interval", "mcc_interval")
        }
        return cls(**{**kept, **bounds})


@dataclass(frozen=True, kw_only=True)
class PredictionScorer:
    """Computes `Scores` (protocol `Scorer`)."""

    VERSION: ClassVar[int] = 3

    confidence: float = 0.95
    """Coverage of intervals."""
    resamples: int = at_least(1, 20_000)
    """Bootstrap resamples per interval; all different ones where they are few (`legalrr.score.interval.EXACT`)."""
    permutations: int = at_least(1, 10_000)
    """Permutations per test (`legalrr.score.swap`); all of them where they are no more."""
    seed: int = at_least(0, 0)
    """Seed of resampling and permuting."""

    def __post_init__(self) -> None:
        if not 0 < self.confidence < 1:
            raise UserError(f"confidence {self.confidence} is no share", where="score.confidence", cure="0.95 is usual")
        check_fields(self, "score")

    def settings(self) -> dict[str, Any]:
        """What intervals and tests depend on, as plain JSON values."""
        return asdict(self)

    def score(self, cases: Sequence[Scored]) -> dict[str, Any]:
        """Scores as plain JSON values, with version, settings and a digest of the cases that they belong to."""
        return {**self.stamp(cases), **asdict(self.scores(cases))}

    def stamp(self, cases: Sequence[Scored]) -> dict[str, Any]:
        """What scores were computed by and from: two equal stamps mean equal scores."""
        return {
            "version": self.VERSION,
            "settings": self.settings(),
            # Their fields are plain values, which `asdict` would copy one by one, for longer than all else here takes.
            "cases": digest([vars(case) for case in _ordered(cases)]),
        }

    def scores(self, cases: Sequence[Scored]) -> Scores:
        """Scores of the cases; their order does not matter. Ids must differ."""
        from sklearn.metrics import matthews_corrcoef, precision_recall_fscore_support

        cases = _ordered(cases)
        n = len(cases)
        if n == 0:
            return _nothing()
        gold: list[str] = [case.gold for case in cases]
        labels: list[str] = [case.label for case in cases]
        answers = codes(cases)
        groups = clusters(cases)
        sample = Sample.of(answers, groups)
        interval, spread = arm_intervals(
            sample, _scores, confidence=self.confidence, resamples=self.resamples, seed=self.seed
        )
        p_skill = skill_p(answers, groups, permutations=self.permutations, seed=self.seed)
        precision, recall, f1, _ = precision_recall_fscore_support(gold, labels, labels=OUTCOMES, zero_division=0)
        pairs = Counter(zip(gold, labels, strict=True))
        support = Counter(gold)
        known = [(case.p_allowed, case.gold == "allowed") for case in cases if case.p_allowed is not None]
        told = [case for case in cases if isinstance(case, Answered)]
        return Scores(
            n=n,
            confusion={outcome: {label: pairs[outcome, label] for label in LABELS} for outcome in OUTCOMES},
            macro_f1=float(macro_f1_of_codes(answers)),
            interval=interval.bounds,
            interval_note=interval.note,
            interval_method=interval.method if interval.bounds else "",
            f1=_per_class(f1),
            precision=_per_class(precision),
            recall=_per_class(recall),
            accuracy=(pairs["allowed", "allowed"] + pairs["dismissed", "dismissed"]) / n,
            fpr=pairs["dismissed", "allowed"] / support["dismissed"] if support["dismissed"] else None,
            fnr=(support["allowed"] - pairs["allowed", "allowed"]) / support["allowed"] if support["allowed"] else None,
            mcc=float(matthews_corrcoef(gold, labels)) if len(set(gold)) > 1 and len(set(labels)) > 1 else 0.0,
            mcc_interval=None if p_skill is None else ruled(spread, p_skill, self.confidence).bounds,
            p_skill=p_skill,
            clusters=sample.n,
            invalid_rate=labels.count("invalid") / n,
            invalid=dict(sorted(Counter(_reason(case) for case in cases if case.label == "invalid").items())),
            cut_off_rate=sum(case.cut_off for case in cases) / n,
            yes_rate=labels.count("allowed") / n,
            brier=sum((p - allowed) ** 2 for p, allowed in known) / len(known) if known else None,
            tokens=_tokens(told) if len(told) == n else None,
        )


def clusters(cases: Sequence[Scored]) -> npt.NDArray[np.int64] | None:
    """Number of the cluster of each case, shape (n,); None where every one stands alone."""
    names = [case.cluster or case.id for case in cases]
    if len(set(names)) == len(names):
        return None
    numbers = {name: number for number, name in enumerate(dict.fromkeys(names))}
    return np.array([numbers[name] for name in names], dtype=np.int64)


def _scores(counts: Counts) -> Floats:
    """Macro-F1 and MCC from counts of shape (6, r, 1); shape (r, 2)."""
    return np.concatenate([macro_f1_of_counts(counts), mcc_of_counts(counts)], axis=-1)


def _ordered(cases: Sequence[Scored]) -> list[Scored]:
    ordered = sorted(cases, key=lambda case: case.id)
    for one, other in pairwise(ordered):
        if one.id == other.id:
            raise UserError(f"duplicate id {one.id!r}", where="predictions", cure="every judgment is scored once")
    return ordered


def _nothing() -> Scores:
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


def _per_class(values: Iterable[float]) -> dict[str, float | None]:
    return {outcome: float(value) for outcome, value in zip(OUTCOMES, values, strict=True)}


def _reason(case: Scored) -> str:
    return case.reason if isinstance(case, Answered) else "unstated"


def _tokens(cases: Sequence[Answered]) -> dict[str, int]:
    return {
        "prompt": sum(case.prompt_tokens for case in cases),
        "cached": sum(case.cached_tokens for case in cases),
        "new": sum(case.new_tokens for case in cases),
    }
