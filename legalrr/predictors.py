"""Predict outcomes: by a backbone, turn by turn, or by a baseline without a language model.

Conversations with a model about judgments, many of them led at once.

A talk is a generator: it yields a call, is sent the reply, and returns what came of the whole conversation. Talks are
led in step, so that what several of them ask at once is asked once, and answers are written together.

Ask a backbone about judgments, turn by turn (`legalrr.predictors`).

Calls are stored per call, not per run: two arms that ask the same thing ask it once, and a run that was killed goes on
where it stopped.

Baselines without a language model. They answer YES or NO like a model, so that one road leads from answer to
score.
"""

import math
import random
import re
from collections import Counter
from collections.abc import Callable, Generator, Hashable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from legalrr.errors import UserError
from legalrr.progress import progress
from legalrr.protocols import Call, Engine, PredictContext, Reply
from legalrr.records import OUTCOMES, Case, CompletedTurn, Completion, Document, Judgment, Outcome, PromptTurn
from legalrr.stage import at_least, check_fields, choice, digest
from legalrr.store import Store
from legalrr.verdict import BLANK, thought_end

if TYPE_CHECKING:
    import numpy as np


Talk = Generator[Call, Reply, Completion]
K = TypeVar("K", bound=Hashable)


def lead(
    talks: Mapping[K, Talk],
    store: Store,
    engine: Engine,
    *,
    fresh: set[str],
    used: Callable[[str], None],
    advance: Callable[[int], None],
) -> Iterator[tuple[K, Completion]]:
    """Lead talks to their end, turn by turn.

    Args:
        talks: conversations not yet begun, by any key.
        store: where answers are kept, each as soon as its batch is back; what is there is not asked again.
        engine: who answers.
        fresh: the keys of the calls that the engine answers are added to it.
        used: told the key of every answer that a talk was given; what did not fit the context is no answer.
        advance: told how many calls are done, for a progress bar.

    Yields:
        key and outcome of each talk, as they end.
    """
    waiting: dict[K, Call] = {}
    replies: dict[K, Reply | None] = dict.fromkeys(talks)
    while replies:
        for key, reply in replies.items():
            try:
                waiting[key] = next(talks[key]) if reply is None else talks[key].send(reply)
            except StopIteration as end:
                waiting.pop(key, None)
                yield key, end.value
        missing: dict[str, Call] = {}
        for call in waiting.values():
            # What ends one conversation may go on in another.
            if call.key not in store and (call.key not in missing or missing[call.key].final):
                missing[call.key] = call
        advance(len(waiting) - len(missing))
        for batch in _answered(list(missing.values()), engine):
            store.add((key, asdict(reply)) for key, reply in batch)
            fresh.update(key for key, _ in batch)
            advance(len(batch))
        replies = {key: Reply(**store[call.key]) for key, call in waiting.items()}
        for call in waiting.values():
            if store[call.key]["finish_reason"] != "overflow":
                used(call.key)


def _answered(calls: Sequence[Call], engine: Engine) -> Iterator[list[tuple[str, Reply]]]:
    compared = [call for call in calls if call.answers]
    written = [call for call in calls if not call.answers]
    if compared:
        yield from engine.compare(compared)
    if written:
        yield from engine.generate(written)


SCORINGS = ("generate", "choose", "compare", "calibrated")
COMPARED = ("compare", "calibrated")
"""Scorings whose last turn has log-probabilities and no text."""
ANSWERS = ("YES", "NO")


@dataclass(frozen=True, kw_only=True)
class ModelPredictor:
    """The predictor that asks a language model."""

    scoring: str = choice("generate", *SCORINGS)
    """How the last turn is answered: `generate` text; `choose`: write YES or NO, as nothing else may be written;
    `compare` the probabilities of YES and NO; `calibrated`: compare, less the prior that the model gives the answers
    about a judgment without content (one-turn prompts only)."""

    group: int = at_least(1, 24, runtime=True)
    """Judgments that go through all their turns together: more are written faster, fewer leave a turn's states in the
    backbone's prefix cache until the next one asks for them."""

    VERSION: ClassVar[int] = 1
    needs_backbone: ClassVar[bool] = True

    def __post_init__(self) -> None:
        """Refuse choices that do not exist."""
        check_fields(self, "predict")

    def check(self, engine: Engine) -> None:
        """Raises UserError where the engine cannot do what `scoring` needs."""
        for need, can, fault in (
            (COMPARED, engine.can.logprobs, "this backbone gives no log-probabilities"),
            (("choose",), engine.can.structured, "this backbone cannot be held to given answers"),
        ):
            if self.scoring in need and not can:
                raise UserError(fault, where="predict.scoring", cure="use predict.scoring=generate")

    def predict(self, cases: Sequence[Case], bench: PredictContext) -> Iterator[Completion]:
        """See `legalrr.protocols.Predictor`; raises UserError as `check` does."""
        engine = bench.engine
        if engine is None:
            raise UserError(
                "predict=model without a backbone", where="backbone", cure="choose one, e.g. backbone=smollm2"
            )
        self.check(engine)
        calls = {case.document.id: self.calls(case) for case in cases}
        with progress("predict", sum(calls.values()), "calls") as advance:
            for start in range(0, len(cases), self.group):
                talks = {case.document.id: self.talk(case) for case in cases[start : start + self.group]}
                led = lead(talks, bench.calls, engine, fresh=bench.tally.fresh, used=bench.tally.count, advance=advance)
                for id, completion in led:
                    # After an overflow the later turns are not asked.
                    advance(max(0, calls[id] - len(completion.turns)))
                    yield completion

    def calls(self, case: Case) -> int:
        """Calls that a talk takes, unless one does not fit."""
        return 0 if case.document.skipped else len(case.prompt.turns) + (self.scoring == "calibrated")

    def talk(self, case: Case) -> Talk:
        """All turns of the conversation about one judgment; it ends early where one does not fit the context."""
        id, turns = case.document.id, case.prompt.turns
        if case.document.skipped:
            return Completion(id=id, turns=(CompletedTurn(name=turns[-1].name, text="", finish_reason="overflow"),))
        if self.scoring == "calibrated":
            turns = (_blank(case.prompt.blank), *turns)
        done: list[CompletedTurn] = []
        said: dict[str, str] = {}
        for turn in turns:
            reply = yield replace(self._call(turn, said), final=turn is turns[-1])
            done.append(reply.as_turn(turn.name))
            if reply.finish_reason == "overflow":
                break
            # What a reasoning model thinks is no part of its answer, so a later turn does not quote it.
            said[turn.name] = reply.text[thought_end(reply.text) :]
        return Completion(id=id, turns=tuple(done))

    def _call(self, turn: PromptTurn, said: dict[str, str]) -> Call:
        messages = tuple(message.fill(said) for message in turn.messages)
        pages = tuple(page for message in turn.messages for page in message.pages)
        last = turn.name in ("answer", BLANK)
        if self.scoring in COMPARED and last:
            key = digest({"compare": list(ANSWERS), "messages": list(messages)})
            return Call(key=key, messages=messages, answers=ANSWERS, pages=pages)
        asked: dict[str, Any] = {"generate": turn.max_new_tokens, "messages": list(messages)}
        choices = ANSWERS if self.scoring == "choose" and last else ()
        key = digest(asked | ({"choose": list(choices)} if choices else {}))
        return Call(key=key, messages=messages, max_new_tokens=turn.max_new_tokens, choices=choices, pages=pages)


def _blank(turn: PromptTurn | None) -> PromptTurn:
    if turn is None:
        raise UserError(
            "the prior can only be taken off where the answer is asked at once",
            where="predict.scoring",
            cure="use calibrated with annotate.direct=true",
        )
    return PromptTurn(name=BLANK, messages=turn.messages, max_new_tokens=turn.max_new_tokens)


TAIL_WORDS = 300
ANSWER: Mapping[str, str] = {"allowed": "YES", "dismissed": "NO"}


@dataclass(frozen=True, kw_only=True)
class MajorityPredictor:
    """Says of every judgment what is most frequent: in the train split, or where there is none in the judged set
    itself."""

    VERSION: ClassVar[int] = 1
    needs_backbone: ClassVar[bool] = False

    def predict(self, cases: Sequence[Case], bench: PredictContext) -> Iterator[Completion]:
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

    def predict(self, cases: Sequence[Case], bench: PredictContext) -> Iterator[Completion]:
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

    def predict(self, cases: Sequence[Case], bench: PredictContext) -> Iterator[Completion]:
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

    def predict(self, cases: Sequence[Case], bench: PredictContext) -> Iterator[Completion]:
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

    def _cross_validated(
        self, cases: Sequence[Case], texts: list[str], bench: PredictContext
    ) -> "np.ndarray[Any, Any]":
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


def _shares(bench: PredictContext) -> dict[Outcome, int]:
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
