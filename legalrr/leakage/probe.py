"""Probe what a backbone predicts from parts of a judgment, and find the sentence that decides its answer.

`Probe` makes the views of a document and queries the backbone on each, with the question of the experiment; answers are
kept in the store. In views that are answered correctly, `search` finds the sentence whose removal costs the right
answer most.

Removing one sentence at a time takes one call per sentence. If there are more sentences than calls, the search first
removes halves of the suspected range, keeps the rest in place, and continues in the half whose removal costs most; the
remaining sentences are removed one by one. Two sentences that reveal the same fact mask each other: without one, the
other still reveals it, and neither is found.
"""

import logging
import math
import re
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from legalrr.annotate.annotate import Annotate
from legalrr.annotate.party import find_party
from legalrr.conversations import ConversationGroup, run_conversations
from legalrr.errors import UserError
from legalrr.predictors import TAIL_WORDS, ModelPredictor
from legalrr.progress import progress
from legalrr.protocols import CallCounter, Engine
from legalrr.records import Block, Case, Document, Outcome, Prompt, Verdict
from legalrr.run.pipeline import Pipeline
from legalrr.sentences import split
from legalrr.stage import at_least, check_fields
from legalrr.store import Store
from legalrr.truncate import Unit, rebuild_blocks

QUESTION = "question"
PREAMBLE = "preamble"
TAIL = "tail"
WHOLE = "whole"
VIEWS = (QUESTION, PREAMBLE, TAIL, WHOLE)
"""question: no text, only the question; preamble: the blocks of role PREAMBLE; tail: the last words; whole: everything
that is shown."""

_WORD = re.compile(r"\S+")
log = logging.getLogger(__name__)


def select_view(document: Document, name: str, *, words: int) -> Document | None:
    """Select the part of a document that belongs to a view.

    Args:
        document: the full document.
        name: one of `VIEWS`.
        words: length of the tail in words, positive.

    Returns:
        The document with fewer blocks; None for `preamble` if it has none.
    """
    if name == PREAMBLE:
        blocks = tuple(block for block in document.blocks if block.role == "PREAMBLE")
        return replace(document, blocks=blocks) if blocks else None
    if name == TAIL:
        return replace(document, blocks=_last_words(document.blocks, words))
    return document if name == WHOLE else replace(document, blocks=())


def split_sentences(document: Document) -> list[Unit]:
    """Split all blocks into sentences, in order."""
    return [
        Unit(block=number, start=start, end=end)
        for number, block in enumerate(document.blocks)
        for start, end in split(block.text)
    ]


def keep_sentences(document: Document, kept: Sequence[Unit]) -> Document:
    """Return the document with only these of its sentences, given in order."""
    return replace(document, blocks=rebuild_blocks(document.blocks, kept))


def count_words(document: Document) -> int:
    """Count the words of a document."""
    return sum(len(block.text.split()) for block in document.blocks)


def _last_words(blocks: Sequence[Block], words: int) -> tuple[Block, ...]:
    """Return the last `words` words of the blocks."""
    kept: list[Block] = []
    remaining = words
    for block in reversed(blocks):
        starts = [match.start() for match in _WORD.finditer(block.text)]
        at = starts[-remaining] if remaining < len(starts) else 0
        kept.append(replace(block, start=block.start + at, text=block.text[at:]))
        remaining -= len(starts)
        if remaining <= 0:
            break
    return tuple(reversed(kept))


@dataclass(frozen=True, kw_only=True)
class SearchResult:
    """The sentence whose removal costs the right answer most, in log-odds."""

    start: int
    """Offset of its first character in the judgment."""
    end: int
    """Offset one past its last."""
    text: str
    """The sentence."""
    alone: float
    """Log-odds of the true outcome given only this sentence."""
    without: float
    """Log-odds of the true outcome given the view without this sentence."""


Search = Generator[list[Document], list[float], SearchResult]
"""Generator that yields documents, receives the log-odds of the true outcome for each, and returns the result."""


def search(document: Document, *, calls: int) -> Search:
    """Search a view for the sentence whose removal costs the right answer most.

    Args:
        document: the view, with at least one word.
        calls: maximum number of documents to yield, unless halving alone needs more: 2 log2(sentences) + 2.
    """
    units = split_sentences(document)
    suspects = range(len(units))
    # One call is reserved for the sentence alone.
    remaining = calls - 1
    while len(suspects) > max(1, remaining):
        middle = len(suspects) // 2
        halves = suspects[:middle], suspects[middle:]
        odds = yield [_leave_out(document, units, half) for half in halves]
        suspects = halves[_last_argmin(odds)]
        remaining -= 2
    odds = yield [_leave_out(document, units, suspects[at : at + 1]) for at in range(len(suspects))]
    index = _last_argmin(odds)
    unit = units[suspects[index]]
    (alone,) = yield [keep_sentences(document, [unit])]
    block = document.blocks[unit.block]
    return SearchResult(
        start=block.start + unit.start,
        end=block.start + unit.end,
        text=block.text[unit.start : unit.end],
        alone=alone,
        without=odds[index],
    )


def _leave_out(document: Document, units: Sequence[Unit], removed: range) -> Document:
    return keep_sentences(document, [unit for number, unit in enumerate(units) if number not in removed])


def _last_argmin(odds: Sequence[float]) -> int:
    """Return the index of the minimum; the last of ties, because outcomes are stated at the end."""
    return min(range(len(odds)), key=lambda index: (odds[index], -index))


class ViewPredictor:
    """A predictor of outcomes from parts of judgments, with the question of the experiment.

    Args:
        pipeline: the pipeline whose annotator, predictor and verdict reader are used.
        engine: its loaded backbone.
        calls: the store of answers; the keys are those of the arms `direct` and `direct_compare`.

    Attributes:
        scoring: how the backbone answers; `generate` replaces `compare` if it has no probabilities.
        call_counter: counts the answers used.

    Raises:
        UserError: stages that are not a single-turn prompt to a backbone.
    """

    def __init__(self, pipeline: Pipeline, engine: Engine, calls: Store) -> None:
        annotate, predict = pipeline.annotate, pipeline.predict
        if not isinstance(predict, ModelPredictor):
            raise UserError("the probe needs a backbone", where="predict", cure="use predict=model")
        if not isinstance(annotate, Annotate) or not annotate.direct:
            raise UserError("the probe needs a single-turn prompt", where="annotate", cure="use annotate.direct=true")
        if predict.scoring == "compare" and not engine.can.logprobs:
            log.info("backbone %s has no log-probabilities: it generates YES or NO", pipeline.backbone.name)
            predict = replace(predict, scoring="generate")
        predict.check(engine)
        self.scoring = predict.scoring
        self.call_counter = CallCounter(retried=set() if pipeline.settings.retry_errors else None)
        self._annotate = annotate
        self._predict = predict
        self._verdict = pipeline.verdict
        self._engine = engine
        self._calls = calls

    def predict(self, case: Case, documents: Sequence[Document]) -> list[Verdict]:
        """Predict the outcome from parts of one judgment.

        Args:
            case: the judgment with its full document, which determines the party in the question, so that the question
                is the same for every part.
            documents: the parts; a part without blocks uses `Prompt.blank`.
        """
        side = find_party(case.judgment, case.document, named=True)
        judgment = replace(case.judgment, party=side.role, petitioner=side.name)
        # Part of a preamble may look like a name that the full preamble does not have.
        annotate = self._annotate if side.name else replace(self._annotate, party="role")
        cases = [
            Case(judgment=judgment, document=document, prompt=_prompt(annotate.annotate(judgment, document), document))
            for document in documents
        ]
        talks = {number: self._predict.conversation(one) for number, one in enumerate(cases)}
        led = run_conversations(
            [ConversationGroup(conversations=talks)],
            self._calls,
            self._engine,
            fresh=self.call_counter.fresh,
            used=self.call_counter.count,
            advance=lambda count: None,
            retried=self.call_counter.retried,
        )
        completions = dict(led)
        return [self._verdict.read(completions[number], one.prompt) for number, one in enumerate(cases)]


def _prompt(prompt: Prompt, document: Document) -> Prompt:
    if document.blocks or prompt.blank is None:
        return prompt
    return replace(prompt, turns=(prompt.blank,))


@dataclass(frozen=True, kw_only=True)
class DecidingSentence:
    """The sentence of a view whose removal costs the right answer most, in probabilities."""

    start: int
    """Offset of its first character in the judgment."""
    end: int
    """Offset one past its last."""
    text: str
    """The sentence."""
    alone: float
    """Probability of the true outcome given only this sentence."""
    without: float
    """Probability of the true outcome given the view without this sentence."""
    decides: bool
    """Whether `alone` and `without` pass the thresholds of the probe."""


@dataclass(frozen=True, kw_only=True)
class ViewResult:
    """The prediction of a backbone from one view of a judgment."""

    verdict: Verdict
    """The answer."""
    words: int
    """Number of words in the view."""
    sentences: int
    """Number of sentences in the view."""
    deciding: DecidingSentence | None = None
    """The most influential sentence; None if the answer is wrong, the view is empty, or the search is off."""


@dataclass(frozen=True, kw_only=True)
class ProbedJudgment:
    """The results of one judgment."""

    id: str
    """The judgment's id."""
    gold: Outcome
    """Its true outcome."""
    views: Mapping[str, ViewResult]
    """View -> result; no `preamble` if the judgment has none."""


@dataclass(frozen=True, kw_only=True)
class Probe:
    """Options of the views and of the sentence search."""

    words: int = at_least(1, TAIL_WORDS)
    """Length of the tail in words."""
    calls: int = at_least(0, 40)
    """Maximum number of calls of the sentence search per judgment and view, unless halving alone needs more:
    2 log2(sentences) + 2; 0: no search."""
    alone: float = 0.9
    """Minimum probability of the true outcome given a deciding sentence alone."""
    without: float = 0.5
    """Maximum probability of the true outcome without that sentence."""

    VERSION: ClassVar[int] = 1

    def __post_init__(self) -> None:
        """Raise UserError for numbers out of range."""
        check_fields(self, "probe")
        for name in ("alone", "without"):
            if not 0 <= getattr(self, name) <= 1:
                raise UserError(
                    f"{getattr(self, name)} is not a probability", where=f"probe.{name}", cure="use a value from 0 to 1"
                )

    def run(self, cases: Sequence[tuple[Case, Outcome]], predictor: ViewPredictor) -> list[ProbedJudgment]:
        """Predict the outcome from every view of every judgment, and search the views answered correctly.

        Judgments are processed one after another, so that the backbone can reuse the prefix that their calls share.

        Args:
            cases: judgments with their full documents, and their outcomes.
            predictor: the backbone with its question.
        """
        results = []
        with progress("leakage", len(cases), "judgments") as advance:
            for case, gold in cases:
                results.append(self._probe(case, gold, predictor))
                advance(1)
        return results

    def _probe(self, case: Case, gold: Outcome, predictor: ViewPredictor) -> ProbedJudgment:
        parts = {name: select_view(case.document, name, words=self.words) for name in VIEWS}
        shown = {name: part for name, part in parts.items() if part is not None}
        verdicts = dict(zip(shown, predictor.predict(case, list(shown.values())), strict=True))
        searches = {
            name: search(part, calls=self.calls)
            for name, part in shown.items()
            if self.calls and name != QUESTION and part.blocks and verdicts[name].label == gold
        }
        deciding = {
            name: self._deciding(found) for name, found in _run_searches(searches, case, gold, predictor).items()
        }
        return ProbedJudgment(
            id=case.document.id,
            gold=gold,
            views={
                name: ViewResult(
                    verdict=verdicts[name],
                    words=count_words(part),
                    sentences=len(split_sentences(part)),
                    deciding=deciding.get(name),
                )
                for name, part in shown.items()
            },
        )

    def _deciding(self, found: SearchResult) -> DecidingSentence:
        alone, without = probability(found.alone), probability(found.without)
        return DecidingSentence(
            start=found.start,
            end=found.end,
            text=found.text,
            alone=alone,
            without=without,
            decides=alone >= self.alone and without <= self.without,
        )


def _run_searches(
    searches: Mapping[str, Search], case: Case, gold: Outcome, predictor: ViewPredictor
) -> dict[str, SearchResult]:
    """Run the searches in lockstep, so that their documents are predicted in one batch; return their results."""
    found: dict[str, SearchResult] = {}
    answers: dict[str, list[float] | None] = dict.fromkeys(searches)
    while answers:
        batch: dict[str, list[Document]] = {}
        for name, odds in answers.items():
            try:
                batch[name] = next(searches[name]) if odds is None else searches[name].send(odds)
            except StopIteration as end:
                found[name] = end.value
        verdicts = iter(predictor.predict(case, [document for documents in batch.values() for document in documents]))
        answers = {name: [log_odds(next(verdicts), gold) for _ in documents] for name, documents in batch.items()}
    return found


def log_odds(verdict: Verdict, outcome: Outcome) -> float:
    """Return the log-odds of an outcome; plus or minus infinity for a generated answer, 0 for an invalid one."""
    if verdict.p_allowed is None:
        sign = {"allowed": 1.0, "dismissed": -1.0, "invalid": 0.0}[verdict.label]
        odds = sign * math.inf if sign else 0.0
    elif verdict.p_allowed in (0.0, 1.0):
        odds = math.inf if verdict.p_allowed else -math.inf
    else:
        odds = math.log(verdict.p_allowed) - math.log1p(-verdict.p_allowed)
    return odds if outcome == "allowed" else -odds


def probability(odds: float) -> float:
    """Convert log-odds to a probability."""
    small = math.exp(-abs(odds))
    return 1 / (1 + small) if odds > 0 else small / (1 + small)
