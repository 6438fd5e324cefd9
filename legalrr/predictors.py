"""Predict outcomes: by a language model, turn by turn, or by a baseline without one.

A conversation is a generator: it yields a call, receives the reply, and returns its completion. Many are under way at
once (`legalrr.conversations`). Answers are stored per call, not per run: two arms with the same call share it, and a
killed run resumes.

Baselines answer YES or NO like a model, so that their answers are read and scored in the same way.
"""

import logging
import math
import random
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from legalrr.conversations import Conversation, ConversationGroup, run_conversations
from legalrr.elastic import ElasticEngine
from legalrr.errors import UserError
from legalrr.progress import progress
from legalrr.protocols import Call, Engine, PageTokens, PredictContext
from legalrr.records import OUTCOMES, Case, CompletedTurn, Completion, Document, Judgment, Outcome, PromptTurn
from legalrr.stage import at_least, check_fields, choice, digest
from legalrr.verdict import ANSWER, BLANK, reasoning_end

if TYPE_CHECKING:
    import numpy as np


LOG = logging.getLogger(__name__)
SCORINGS = ("generate", "choose", "compare", "calibrated")
COMPARED = ("compare", "calibrated")
"""Scorings whose last turn has log-probabilities and no text."""
ANSWERS = ("YES", "NO")
OUTCOME_ANSWERS: Mapping[str, str] = {"allowed": "YES", "dismissed": "NO"}
TAIL_WORDS = 300
"""Words that the readings `tail` and `hidden_tail` of `TfidfPredictor` use."""


@dataclass(frozen=True, kw_only=True)
class ModelPredictor:
    """Predictor that prompts a language model."""

    scoring: str = choice("generate", *SCORINGS)
    """How the last turn is answered: `generate` text; `choose`: YES or NO by constrained decoding; `compare` the
    probabilities of YES and NO; `calibrated`: compare, relative to the prior given an empty judgment (single-turn
    prompts only)."""
    group: int = at_least(1, 24, runtime=True)
    """Maximum number of judgments under way in an engine that chooses its batches from all of their calls: more are
    faster per token, fewer keep their prefixes in its prefix cache. Requests to a server are limited by its
    `concurrency` alone."""

    VERSION: ClassVar[int] = 1
    needs_backbone: ClassVar[bool] = True

    def __post_init__(self) -> None:
        """Check the options."""
        check_fields(self, "predict")

    def check(self, engine: Engine) -> None:
        """Raise UserError if the engine lacks a feature that `scoring` needs."""
        for need, can, fault in (
            (COMPARED, engine.can.logprobs, "this backbone does not return log-probabilities"),
            (("choose",), engine.can.structured, "this backbone does not support constrained decoding"),
        ):
            if self.scoring in need and not can:
                raise UserError(fault, where="predict.scoring", cure="use predict.scoring=generate")

    def predict(self, cases: Sequence[Case], context: PredictContext) -> Iterator[Completion]:
        """See `legalrr.protocols.Predictor`; raises UserError as `check` does."""
        engine = context.engine
        if engine is None:
            raise UserError(
                "predict=model without a backbone", where="backbone", cure="choose one, e.g. backbone=smollm2"
            )
        self.check(engine)
        calls: dict[str, int] = {}

        def groups() -> Iterator[ConversationGroup[str, Completion]]:
            for case in cases:
                id = case.document.id
                calls[id] = self.count_calls(case)
                yield ConversationGroup(
                    conversations={id: self.conversation(case)}, tokens=partial(count_tokens, [case], engine)
                )

        # All judgments take the same turns, except those that are skipped.
        most = max((len(case.prompt.turns) for case in cases[:1]), default=0) + (self.scoring == "calibrated")
        detail = engine.state if isinstance(engine, ElasticEngine) else None
        with progress("predict", len(cases) * most, "calls", detail=detail) as advance:
            led = run_conversations(
                groups(),
                context.calls,
                engine,
                fresh=context.call_counter.fresh,
                used=context.call_counter.count,
                advance=advance,
                retried=context.call_counter.retried,
                most=self.group,
            )
            for id, completion in led:
                # Turns after an overflow are not sent, nor those of a skipped judgment.
                count = calls.pop(id)
                advance(max(0, count - len(completion.turns)) if count else most)
                yield completion

    def count_calls(self, case: Case) -> int:
        """Return the number of calls of a conversation without overflow."""
        return 0 if case.document.skipped else len(case.prompt.turns) + (self.scoring == "calibrated")

    def conversation(self, case: Case) -> Conversation:
        """Run all turns about one judgment; end early if one exceeds the context or is refused."""
        id, turns = case.document.id, case.prompt.turns
        if case.document.skipped:
            return Completion(id=id, turns=(CompletedTurn(name=turns[-1].name, text="", finish_reason="overflow"),))
        if self.scoring == "calibrated":
            turns = (_blank_turn(case.prompt.blank), *turns)
        done: list[CompletedTurn] = []
        answers: dict[str, str] = {}
        for turn in turns:
            reply = yield replace(self._call(turn, answers), final=turn is turns[-1], about=id)
            if reply.error is not None:
                LOG.warning("%s: %s (retry_errors=true asks again)", id, reply.error)
                return Completion(id=id, turns=tuple(done), error=reply.error)
            done.append(reply.as_turn(turn.name))
            if reply.finish_reason == "overflow":
                break
            # Reasoning is not part of the answer, so later turns do not quote it.
            answers[turn.name] = reply.text[reasoning_end(reply.text) :]
        return Completion(id=id, turns=tuple(done))

    def _call(self, turn: PromptTurn, answers: dict[str, str]) -> Call:
        messages = tuple(message.fill(answers) for message in turn.messages)
        last = turn.name in (ANSWER, BLANK)
        if self.scoring in COMPARED and last:
            key = digest({"compare": list(ANSWERS), "messages": list(messages)})
            return Call(key=key, messages=messages, answers=ANSWERS, pages=turn.pages)
        request: dict[str, Any] = {"generate": turn.max_new_tokens, "messages": list(messages)}
        choices = ANSWERS if self.scoring == "choose" and last else ()
        key = digest(request | ({"choose": list(choices)} if choices else {}))
        return Call(key=key, messages=messages, max_new_tokens=turn.max_new_tokens, choices=choices, pages=turn.pages)


def count_tokens(cases: Sequence[Case], engine: Engine) -> int:
    """Count the tokens of the conversations about a judgment; of those with the same first turn, the longest counts."""
    longest: dict[str, int] = {}
    for case in cases:
        turns = case.prompt.turns
        opening = "\n".join(str(message.fill({})["content"]) for message in turns[0].messages)
        length = _count_turn_tokens(turns[-1], engine) + sum(turn.max_new_tokens for turn in turns)
        longest[opening] = max(longest.get(opening, 0), length)
    return sum(longest.values())


def _count_turn_tokens(turn: PromptTurn, engine: Engine) -> int:
    """Count the tokens of a conversation, without quotations."""
    words = "\n".join("".join(part for part in message.parts if isinstance(part, str)) for message in turn.messages)
    length = len(engine.token_ends(words))
    if isinstance(engine, PageTokens):
        length += sum(engine.page_tokens(page) for page in turn.pages)
    return length


def _blank_turn(turn: PromptTurn | None) -> PromptTurn:
    if turn is None:
        raise UserError(
            "calibration needs a single-turn prompt",
            where="predict.scoring",
            cure="set annotate.direct=true",
        )
    return PromptTurn(name=BLANK, messages=turn.messages, max_new_tokens=turn.max_new_tokens)


@dataclass(frozen=True, kw_only=True)
class MajorityPredictor:
    """Baseline that answers with the most frequent outcome of the train split, or of the evaluated set without one."""

    VERSION: ClassVar[int] = 1
    needs_backbone: ClassVar[bool] = False

    def predict(self, cases: Sequence[Case], context: PredictContext) -> Iterator[Completion]:
        """See `legalrr.protocols.Predictor`."""
        shares = _outcome_counts(context)
        majority = max(OUTCOMES, key=lambda o: shares[o])
        for case in cases:
            yield _completion(case.document.id, OUTCOME_ANSWERS[majority])


@dataclass(frozen=True, kw_only=True)
class StratifiedPredictor:
    """Baseline that samples answers in proportion to the outcomes; the sample depends only on seed and id."""

    VERSION: ClassVar[int] = 1
    needs_backbone: ClassVar[bool] = False

    def predict(self, cases: Sequence[Case], context: PredictContext) -> Iterator[Completion]:
        """See `legalrr.protocols.Predictor`."""
        shares = _outcome_counts(context)
        allowed = shares["allowed"] / sum(shares.values())
        for case in cases:
            drawn = random.Random(digest([context.seed, case.document.id])).random()
            yield _completion(case.document.id, "YES" if drawn < allowed else "NO")


@dataclass(frozen=True, kw_only=True)
class LastLinesPredictor:
    """Baseline that looks for leaked verdicts: the last cue for or against the party at the end of the visible text."""

    words: int = at_least(1, 60)
    """Number of words read at the end of the visible text."""

    VERSION: ClassVar[int] = 1
    needs_backbone: ClassVar[bool] = False

    def __post_init__(self) -> None:
        """Check the options."""
        check_fields(self, "predict")

    _CUE: ClassVar[re.Pattern[str]] = re.compile(
        r"\b(?P<yes>allow(?:ed|ing)?|succeeds?|quash(?:ed)?|set\s+aside|acquitted|granted)\b"
        r"|\b(?P<no>dismiss(?:ed|ing)?|fails?|reject(?:ed|ing)?|uph(?:e|o)ld|affirmed|confirmed)\b",
        re.IGNORECASE,
    )

    def predict(self, cases: Sequence[Case], context: PredictContext) -> Iterator[Completion]:
        """See `legalrr.protocols.Predictor`; without a cue the answer is empty and the verdict invalid."""
        for case in cases:
            cues = list(self._CUE.finditer(" ".join(visible_text(case.document).split()[-self.words :])))
            yield _completion(case.document.id, "" if not cues else "YES" if cues[-1]["yes"] else "NO")


@dataclass(frozen=True, kw_only=True)
class TfidfPredictor:
    """Linear classifier on a bag of words (TF-IDF of unigrams and bigrams).

    Trained on the train split, or without one by stratified cross-validation on the evaluated set, in which judgments
    of one group stay in one fold. With `reads: tail` or `hidden` it probes for leakage: in a sound run hidden text
    scores far above shown text.
    """

    classifier: str = choice("logistic_regression", "logistic_regression", "linear_svm")
    """`logistic_regression` or `linear_svm`, both with balanced class weights."""
    reads: str = choice("shown", "shown", "tail", "hidden", "hidden_tail")
    """`shown`: the visible text; `tail`: its last 300 words; `hidden`: the hidden text; `hidden_tail`: its last 300
    words, which state the verdict."""
    folds: int = at_least(2, 5)
    """Folds of the cross-validation, at most the size of the smaller class."""

    VERSION: ClassVar[int] = 1
    needs_backbone: ClassVar[bool] = False

    def __post_init__(self) -> None:
        """Check the options."""
        check_fields(self, "predict")

    def predict(self, cases: Sequence[Case], context: PredictContext) -> Iterator[Completion]:
        """See `legalrr.protocols.Predictor`; raises UserError if a class has fewer than two training examples."""
        import numpy as np

        # Sorted by id, so that folds and fit do not depend on the order of the corpus.
        ordered = sorted(cases, key=lambda c: c.document.id)
        texts = [self._text(c.judgment, c.document) for c in ordered]
        if context.train:
            train = sorted(context.train, key=lambda e: e.document.id)
            gold = np.array([e.judgment.outcome == "allowed" for e in train])
            _check_classes(gold, "train split")
            model = self._model(context.seed).fit([self._text(e.judgment, e.document) for e in train], gold)
            odds = model.decision_function(texts)
        else:
            odds = self._cross_validated(ordered, texts, context)
        for case, value in zip(ordered, odds, strict=True):
            yield _completion(case.document.id, "YES" if value > 0 else "NO", self._logprobs(float(value)))

    def _cross_validated(
        self, cases: Sequence[Case], texts: list[str], context: PredictContext
    ) -> "np.ndarray[Any, Any]":
        import numpy as np
        from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

        unknown = [c.document.id for c in cases if c.document.id not in context.gold]
        if unknown:
            raise UserError("no outcome for cross-validation", where=unknown[0], cure="give the corpus a train_split")
        gold = np.array([context.gold[c.document.id] == "allowed" for c in cases])
        folds = min(self.folds, _check_classes(gold, "judged set"))
        if any(c.judgment.group for c in cases):
            # A judgment of the same group in the training folds would leak: pairs are alike with opposite outcomes.
            groups = [c.judgment.group or f"id:{c.document.id}" for c in cases]
            folds = min(folds, len(set(groups)))
            if folds < 2:
                raise UserError("all judgments are in one group", where=f"group {groups[0]}", cure="raise limit")
            parts = StratifiedGroupKFold(folds, shuffle=True, random_state=context.seed).split(texts, gold, groups)
        else:
            parts = StratifiedKFold(folds, shuffle=True, random_state=context.seed).split(texts, gold)
        odds = np.zeros(len(texts))
        for train, test in parts:
            if not len(test):
                continue
            _check_classes(gold[train], "training folds", least=1)
            model = self._model(context.seed).fit([texts[i] for i in train], gold[train])
            odds[test] = model.decision_function([texts[i] for i in test])
        return odds

    def _model(self, seed: int) -> Any:
        from sklearn.feature_extraction.text import TfidfVectorizer
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import make_pipeline
        from sklearn.svm import LinearSVC

        # A judgment without text still has a vector: the token pattern accepts the placeholder of _text.
        words = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, max_features=200_000)
        if self.classifier == "logistic_regression":
            return make_pipeline(words, LogisticRegression(max_iter=1000, class_weight="balanced", random_state=seed))
        return make_pipeline(words, LinearSVC(class_weight="balanced", random_state=seed))

    def _text(self, judgment: Judgment, document: Document) -> str:
        if self.reads.startswith("hidden"):
            text = "\n".join(judgment.text[h.start : h.end] for h in document.hidden) or "nothing hidden"
        else:
            text = visible_text(document) or "nothing shown"
        return " ".join(text.split()[-TAIL_WORDS:]) if self.reads.endswith("tail") else text

    def _logprobs(self, odds: float) -> dict[str, float] | None:
        if self.classifier != "logistic_regression":
            return None
        return {"YES": _log_sigmoid(odds), "NO": _log_sigmoid(-odds)}


def _log_sigmoid(odds: float) -> float:
    return min(odds, 0.0) - math.log1p(math.exp(-abs(odds)))


def visible_text(document: Document) -> str:
    """Return the visible text without headings."""
    return "\n".join(block.text for block in document.blocks)


def _outcome_counts(context: PredictContext) -> dict[Outcome, int]:
    outcomes = [e.judgment.outcome for e in context.train if e.judgment.outcome] or list(context.gold.values())
    counts = Counter(outcomes)
    if not counts:
        raise UserError("no outcome to learn from", where="corpus", cure="baselines need judgments with outcomes")
    return {outcome: counts[outcome] for outcome in OUTCOMES}


def _check_classes(gold: "np.ndarray[Any, Any]", where: str, least: int = 2) -> int:
    smaller = int(min(gold.sum(), len(gold) - gold.sum()))
    if smaller < least:
        raise UserError(
            f"the smaller class has {smaller} of {len(gold)} judgments",
            where=where,
            cure="raise limit: a classifier needs two judgments of each outcome",
        )
    return smaller


def _completion(id: str, text: str, logprobs: Mapping[str, float] | None = None) -> Completion:
    return Completion(id=id, turns=(CompletedTurn(name=ANSWER, text=text, finish_reason="stop", logprobs=logprobs),))
