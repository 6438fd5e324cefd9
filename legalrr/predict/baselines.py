"""Baselines without a language model. They answer YES or NO like a model, so that one road leads from answer to
score."""

import math
import random
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

from legalrr.errors import UserError
from legalrr.protocols import Bench
from legalrr.records import OUTCOMES, Case, CompletedTurn, Completion, Document, Judgment, Outcome
from legalrr.stage import at_least, check_fields, choice, digest

if TYPE_CHECKING:
    import numpy as np

TAIL_WORDS = 300
ANSWER: Mapping[str, str] = {"allowed": "YES", "dismissed": "NO"}


@dataclass(frozen=True, kw_only=True)
class MajorityPredictor:
    """Says of every judgment what is most frequent: in the train split, or where there is none in the judged set
    itself."""

    VERSION: ClassVar[int] = 1
    needs_backbone: ClassVar[bool] = False

    def predict(self, cases: Sequence[Case], bench: Bench) -> Iterator[Completion]:
        """See `legalrr.protocols.Predictor`."""
        shares = _shares(bench)
        majority = max(OUTCOMES, key=lambda o: shares[o])
        for case in cases:
            yield _said(case.document.id, ANSWER[majority])


@dataclass(frozen=True, kw_only=True)
class StratifiedPredictor:
    """Draws every answer at random with the shares of the classes; the draw depends on seed and id alone."""

    VERSION: ClassVar[int] = 1
    needs_backbone: ClassVar[bool] = False

    def predict(self, cases: Sequence[Case], bench: Bench) -> Iterator[Completion]:
        """See `legalrr.protocols.Predictor`."""
        shares = _shares(bench)
        allowed = shares["allowed"] / sum(shares.values())
        for case in cases:
            drawn = random.Random(digest([bench.seed, case.document.id])).random()
            yield _said(case.document.id, "YES" if drawn < allowed else "NO")


@dataclass(frozen=True, kw_only=True)
class LastLinesPredictor:
    """Reads the end of what is shown, as a cheat would: the last word for or against the party among the last words."""

    words: int = at_least(1, 60)
    """How many of the last shown words are read."""

    VERSION: ClassVar[int] = 1
    needs_backbone: ClassVar[bool] = False

    def __post_init__(self) -> None:
        """Refuse to read nothing."""
        check_fields(self, "predict")

    _CUE: ClassVar[re.Pattern[str]] = re.compile(
        r"\b(?P<yes>allow(?:ed|ing)?|succeeds?|quash(?:ed)?|set\s+aside|acquitted|granted)\b"
        r"|\b(?P<no>dismiss(?:ed|ing)?|fails?|reject(?:ed|ing)?|uph(?:e|o)ld|affirmed|confirmed)\b",
        re.IGNORECASE,
    )

    def predict(self, cases: Sequence[Case], bench: Bench) -> Iterator[Completion]:
        """See `legalrr.protocols.Predictor`; where no cue stands there is no answer, and the verdict is invalid."""
        for case in cases:
            cues = list(self._CUE.finditer(" ".join(shown(case.document).split()[-self.words :])))
            yield _said(case.document.id, "" if not cues else "YES" if cues[-1]["yes"] else "NO")


@dataclass(frozen=True, kw_only=True)
class TfidfPredictor:
    """Bag of words (TF-IDF of uni- and bigrams) under a linear classifier.

    Trained on the train split, or where there is none by stratified cross-validation on the judged set, in which
    judgments of one group stay in one fold. With `reads: tail` or `hidden` it is the leakage probe: hidden far above
    shown is what a sound run looks like.
    """

    classifier: str = choice("logistic_regression", "logistic_regression", "linear_svm")
    """`logistic_regression` or `linear_svm`, both with balanced class weights."""
    reads: str = choice("shown", "shown", "tail", "hidden", "hidden_tail")
    """`shown`: what a model sees; `tail`: its last 300 words; `hidden`: what was hidden from it;
    `hidden_tail`: the last 300 words of that, where the verdict stands."""
    folds: int = at_least(2, 5)
    """Folds of the cross-validation; no more than the smaller class has members."""

    VERSION: ClassVar[int] = 1
    needs_backbone: ClassVar[bool] = False

    def __post_init__(self) -> None:
        """Refuse choices that do not exist."""
        check_fields(self, "predict")

    def predict(self, cases: Sequence[Case], bench: Bench) -> Iterator[Completion]:
        """See `legalrr.protocols.Predictor`; raises UserError where a class has fewer than two members to learn
        from."""
        import numpy as np

        # By id, so that neither folds nor fit depend on the order in which the corpus is read.
        ordered = sorted(cases, key=lambda c: c.document.id)
        texts = [self._text(c.judgment, c.document) for c in ordered]
        if bench.train:
            train = sorted(bench.train, key=lambda e: e.document.id)
            gold = np.array([e.judgment.outcome == "allowed" for e in train])
            _check(gold, "train split")
            model = self._model(bench.seed).fit([self._text(e.judgment, e.document) for e in train], gold)
            odds = model.decision_function(texts)
        else:
            odds = self._cross_validated(ordered, texts, bench)
        for case, value in zip(ordered, odds, strict=True):
            yield _said(case.document.id, "YES" if value > 0 else "NO", self._logprobs(float(value)))

    def _cross_validated(self, cases: Sequence[Case], texts: list[str], bench: Bench) -> "np.ndarray[Any, Any]":
        import numpy as np
        from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

        unknown = [c.document.id for c in cases if c.document.id not in bench.gold]
        if unknown:
            raise UserError("no outcome to cross-validate with", where=unknown[0], cure="give the corpus a train_split")
        gold = np.array([bench.gold[c.document.id] == "allowed" for c in cases])
        folds = min(self.folds, _check(gold, "judged set"))
        if any(c.judgment.group for c in cases):
            # A judgment's group-mate in the training folds would tell: pairs are written alike with opposite outcomes.
            groups = [c.judgment.group or f"id:{c.document.id}" for c in cases]
            folds = min(folds, len(set(groups)))
            if folds < 2:
                raise UserError("all judgments are of one group", where=f"group {groups[0]}", cure="raise limit")
            parts = StratifiedGroupKFold(folds, shuffle=True, random_state=bench.seed).split(texts, gold, groups)
        else:
            parts = StratifiedKFold(folds, shuffle=True, random_state=bench.seed).split(texts, gold)
        odds = np.zeros(len(texts))
        for train, test in parts:
            if not len(test):
                continue
            _check(gold[train], "training folds", least=1)
            model = self._model(bench.seed).fit([texts[i] for i in train], gold[train])
            odds[test] = model.decision_function([texts[i] for i in test])
        return odds

    def _model(self, seed: int) -> Any:
        from sklearn.feature_extraction.text import TfidfVectorizer
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import make_pipeline
        from sklearn.svm import LinearSVC

        # A judgment of which nothing is left still has a vector: the token pattern takes the place-holder of _text.
        words = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, max_features=200_000)
        if self.classifier == "logistic_regression":
            return make_pipeline(words, LogisticRegression(max_iter=1000, class_weight="balanced", random_state=seed))
        return make_pipeline(words, LinearSVC(class_weight="balanced", random_state=seed))

    def _text(self, judgment: Judgment, document: Document) -> str:
        if self.reads.startswith("hidden"):
            text = "\n".join(judgment.text[h.start : h.end] for h in document.hidden) or "nothing hidden"
        else:
            text = shown(document) or "nothing shown"
        return " ".join(text.split()[-TAIL_WORDS:]) if self.reads.endswith("tail") else text

    def _logprobs(self, odds: float) -> dict[str, float] | None:
        if self.classifier != "logistic_regression":
            return None
        return {"YES": _log_sigmoid(odds), "NO": _log_sigmoid(-odds)}


def _log_sigmoid(odds: float) -> float:
    return min(odds, 0.0) - math.log1p(math.exp(-abs(odds)))


def shown(document: Document) -> str:
    """The visible text without headings."""
    return "\n".join(block.text for block in document.blocks)


def _shares(bench: Bench) -> dict[Outcome, int]:
    outcomes = [e.judgment.outcome for e in bench.train if e.judgment.outcome] or list(bench.gold.values())
    counts = Counter(outcomes)
    if not counts:
        raise UserError("no outcome to learn from", where="corpus", cure="baselines need judgments with outcomes")
    return {outcome: counts[outcome] for outcome in OUTCOMES}


def _check(gold: "np.ndarray[Any, Any]", where: str, least: int = 2) -> int:
    smaller = int(min(gold.sum(), len(gold) - gold.sum()))
    if smaller < least:
        raise UserError(
            f"the smaller class has {smaller} of {len(gold)} judgments",
            where=where,
            cure="raise limit: a classifier needs two of each outcome",
        )
    return smaller


def _said(id: str, text: str, logprobs: Mapping[str, float] | None = None) -> Completion:
    return Completion(id=id, turns=(CompletedTurn(name="answer", text=text, finish_reason="stop", logprobs=logprobs),))
