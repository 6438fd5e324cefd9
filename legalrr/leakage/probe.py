"""Probe what a backbone reads from parts of a judgment, and find the sentence that decides its answer.

Parts of what is shown of a judgment: views of a document, its sentences, and the document without some of them.

Finds the sentence of a document without which an answer loses most.

Leaving out one sentence at a time takes a call per sentence. Where there are more sentences than calls, halves of the
stretch under suspicion are left out first, all else staying in place, and the half whose loss costs most is searched
further, until what remains can be gone through one by one. Two sentences that tell the same hide each other: without
one, the other still tells, and neither is found.

Asks a backbone about documents, each by the question of the experiment, with the answers kept in the store.

What a backbone reads from parts of a judgment, and the sentence that decides its answer, judgment by judgment.
"""

import logging
import math
import re
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import ClassVar

from legalrr.annotate.annotate import Annotate
from legalrr.annotate.party import find_party
from legalrr.errors import UserError
from legalrr.predictors import TAIL_WORDS, ModelPredictor, run_conversations
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
"""question: no text at all, the question alone; preamble: the blocks of role PREAMBLE; tail: the last words; whole: all
that is shown."""

_WORD = re.compile(r"\S+")


def view(document: Document, name: str, *, words: int) -> Document | None:
    """The part of a document that a view shows.

    Args:
        document: what is shown.
        name: one of `VIEWS`.
        words: length of the tail, more than 0.

    Returns:
        The document with fewer blocks; None where it has no PREAMBLE.
    """
    if name == PREAMBLE:
        blocks = tuple(block for block in document.blocks if block.role == "PREAMBLE")
        return replace(document, blocks=blocks) if blocks else None
    if name == TAIL:
        return replace(document, blocks=_last(document.blocks, words))
    return document if name == WHOLE else replace(document, blocks=())


def sentences(document: Document) -> list[Unit]:
    """The sentences of all blocks, in order."""
    return [
        Unit(block=number, start=start, end=end)
        for number, block in enumerate(document.blocks)
        for start, end in split(block.text)
    ]


def keep(document: Document, kept: Sequence[Unit]) -> Document:
    """The document with these of its sentences alone, given in order."""
    return replace(document, blocks=rebuild_blocks(document.blocks, kept))


def words_of(document: Document) -> int:
    """How many words are shown."""
    return sum(len(block.text.split()) for block in document.blocks)


def _last(blocks: Sequence[Block], words: int) -> tuple[Block, ...]:
    """The last words of all blocks together."""
    kept: list[Block] = []
    left = words
    for block in reversed(blocks):
        starts = [match.start() for match in _WORD.finditer(block.text)]
        at = starts[-left] if left < len(starts) else 0
        kept.append(replace(block, start=block.start + at, text=block.text[at:]))
        left -= len(starts)
        if left <= 0:
            break
    return tuple(reversed(kept))


@dataclass(frozen=True, kw_only=True)
class Found:
    """The sentence without which the right answer loses most."""

    start: int
    """Offset of its first character in the judgment."""
    end: int
    """Offset one past its last."""
    text: str
    """Its words."""
    alone: float
    """Log-odds of the true outcome where it is all that is shown."""
    without: float
    """Log-odds of the true outcome where all of the view but this is shown."""


Search = Generator[list[Document], list[float], Found]
"""Yields documents, is sent the log-odds of the true outcome for each, and returns what it found."""


def search(document: Document, *, calls: int) -> Search:
    """Search one view of a judgment.

    Args:
        document: the view; it has a word at least.
        calls: how many documents are yielded at most, unless halving alone takes more: 2 log2(sentences) + 2.
    """
    units = sentences(document)
    suspects = range(len(units))
    # One call is kept for the sentence alone.
    left = calls - 1
    while len(suspects) > max(1, left):
        middle = len(suspects) // 2
        halves = suspects[:middle], suspects[middle:]
        odds = yield [_without(document, units, half) for half in halves]
        suspects = halves[_least(odds)]
        left -= 2
    odds = yield [_without(document, units, suspects[at : at + 1]) for at in range(len(suspects))]
    place = _least(odds)
    unit = units[suspects[place]]
    (alone,) = yield [keep(document, [unit])]
    block = document.blocks[unit.block]
    return Found(
        start=block.start + unit.start,
        end=block.start + unit.end,
        text=block.text[unit.start : unit.end],
        alone=alone,
        without=odds[place],
    )


def _without(document: Document, units: Sequence[Unit], gone: range) -> Document:
    return keep(document, [unit for number, unit in enumerate(units) if number not in gone])


def _least(odds: Sequence[float]) -> int:
    """Place of the least; of equals the last, as outcomes stand at the end."""
    return min(range(len(odds)), key=lambda place: (odds[place], -place))


log = logging.getLogger(__name__)


class Asker:
    """A backbone with the question, ready to be asked about parts of judgments.

    Args:
        pipeline: its annotator, predictor and reader are used.
        engine: its backbone, loaded.
        calls: where answers are kept; the keys are those of the arms `direct` and `direct_compare`.

    Attributes:
        scoring: how the answer is given; `generate` in place of `compare` where the backbone has no probabilities.
        tally: counts the answers that are used.

    Raises:
        UserError: stages that do not ask a backbone at once.
    """

    def __init__(self, pipeline: Pipeline, engine: Engine, calls: Store) -> None:
        annotate, predict = pipeline.annotate, pipeline.predict
        if not isinstance(predict, ModelPredictor):
            raise UserError("the probe asks a backbone", where="predict", cure="use predict=model")
        if not isinstance(annotate, Annotate) or not annotate.direct:
            raise UserError("the probe asks for the answer at once", where="annotate", cure="use annotate.direct=true")
        if predict.scoring == "compare" and not engine.can.logprobs:
            log.info("backbone %s gives no log-probabilities: it writes YES or NO", pipeline.backbone.name)
            predict = replace(predict, scoring="generate")
        predict.check(engine)
        self.scoring = predict.scoring
        self.tally = CallCounter()
        self._annotate = annotate
        self._predict = predict
        self._verdict = pipeline.verdict
        self._engine = engine
        self._calls = calls

    def ask(self, case: Case, documents: Sequence[Document]) -> list[Verdict]:
        """What the backbone says of parts of one judgment.

        Args:
            case: the judgment with the whole of what is shown, from which the party in the question is taken, so that
                every part is asked the same question.
            documents: the parts; one without blocks is asked as `Prompt.blank` has it.
        """
        side = find_party(case.judgment, case.document, named=True)
        judgment = replace(case.judgment, party=side.role, petitioner=side.name)
        # A part of a preamble could seem to hold a name where the whole of it holds none.
        annotate = self._annotate if side.name else replace(self._annotate, party="role")
        cases = [
            Case(judgment=judgment, document=document, prompt=_prompt(annotate.annotate(judgment, document), document))
            for document in documents
        ]
        talks = {number: self._predict.conversation(one) for number, one in enumerate(cases)}
        fresh, used = self.tally.fresh, self.tally.count
        led = run_conversations(talks, self._calls, self._engine, fresh=fresh, used=used, advance=lambda count: None)
        completions = dict(led)
        return [self._verdict.read(completions[number], one.prompt) for number, one in enumerate(cases)]


def _prompt(prompt: Prompt, document: Document) -> Prompt:
    if document.blocks or prompt.blank is None:
        return prompt
    return replace(prompt, turns=(prompt.blank,))


@dataclass(frozen=True, kw_only=True)
class Deciding:
    """The sentence of a view without which the right answer loses most."""

    start: int
    """Offset of its first character in the judgment."""
    end: int
    """Offset one past its last."""
    text: str
    """Its words."""
    alone: float
    """Probability of the true outcome where the sentence is all that is shown."""
    without: float
    """Probability of the true outcome where all of the view but the sentence is shown."""
    decides: bool
    """Whether `alone` and `without` pass the thresholds of the probe."""


@dataclass(frozen=True, kw_only=True)
class Read:
    """What a backbone reads from one view of a judgment."""

    verdict: Verdict
    """Its answer."""
    words: int
    """Words that it was shown."""
    sentences: int
    """Sentences that it was shown."""
    deciding: Deciding | None = None
    """The sentence that weighs most; None where the answer is not right, nothing is shown, or none is looked for."""


@dataclass(frozen=True, kw_only=True)
class Probed:
    """One judgment."""

    id: str
    """The judgment's id."""
    gold: Outcome
    """Its outcome."""
    views: Mapping[str, Read]
    """View -> what was read from it; without `preamble` where it has none."""


@dataclass(frozen=True, kw_only=True)
class Probe:
    """How views are made and sentences are found."""

    words: int = at_least(1, TAIL_WORDS)
    """Words of the tail."""
    calls: int = at_least(0, 40)
    """Calls that the search for a sentence takes at most, per judgment and view, unless halving alone takes more:
    2 log2(sentences) + 2; 0: no search."""
    alone: float = 0.9
    """Probability that the true outcome has at least from a sentence alone that decides it."""
    without: float = 0.5
    """Probability that the true outcome has at most without that sentence."""

    VERSION: ClassVar[int] = 1

    def __post_init__(self) -> None:
        """Refuse numbers out of range."""
        check_fields(self, "probe")
        for name in ("alone", "without"):
            if not 0 <= getattr(self, name) <= 1:
                raise UserError(f"{getattr(self, name)} is no probability", where=f"probe.{name}", cure="give 0 to 1")

    def read(self, cases: Sequence[tuple[Case, Outcome]], asker: Asker) -> list[Probed]:
        """Ask about every view of every judgment, and search those that are answered right.

        One judgment after another, so that what its calls share is held by the backbone.

        Args:
            cases: judgments with the whole of what is shown, and their outcomes.
            asker: the backbone.
        """
        found = []
        with progress("leakage", len(cases), "judgments") as advance:
            for case, gold in cases:
                found.append(self._judgment(case, gold, asker))
                advance(1)
        return found

    def _judgment(self, case: Case, gold: Outcome, asker: Asker) -> Probed:
        parts = {name: view(case.document, name, words=self.words) for name in VIEWS}
        shown = {name: part for name, part in parts.items() if part is not None}
        verdicts = dict(zip(shown, asker.ask(case, list(shown.values())), strict=True))
        searches = {
            name: search(part, calls=self.calls)
            for name, part in shown.items()
            if self.calls and name != QUESTION and part.blocks and verdicts[name].label == gold
        }
        deciding = {name: self._deciding(one) for name, one in _searched(searches, case, gold, asker).items()}
        return Probed(
            id=case.document.id,
            gold=gold,
            views={
                name: Read(
                    verdict=verdicts[name],
                    words=words_of(part),
                    sentences=len(sentences(part)),
                    deciding=deciding.get(name),
                )
                for name, part in shown.items()
            },
        )

    def _deciding(self, found: Found) -> Deciding:
        alone, without = probability(found.alone), probability(found.without)
        return Deciding(
            start=found.start,
            end=found.end,
            text=found.text,
            alone=alone,
            without=without,
            decides=alone >= self.alone and without <= self.without,
        )


def _searched(searches: Mapping[str, Search], case: Case, gold: Outcome, asker: Asker) -> dict[str, Found]:
    """What searches return, led in step, so that all that they ask at a time is asked together."""
    found: dict[str, Found] = {}
    answers: dict[str, list[float] | None] = dict.fromkeys(searches)
    while answers:
        wanted: dict[str, list[Document]] = {}
        for name, odds in answers.items():
            try:
                wanted[name] = next(searches[name]) if odds is None else searches[name].send(odds)
            except StopIteration as end:
                found[name] = end.value
        verdicts = iter(asker.ask(case, [document for some in wanted.values() for document in some]))
        answers = {name: [log_odds(next(verdicts), gold) for _ in some] for name, some in wanted.items()}
    return found


def log_odds(verdict: Verdict, outcome: Outcome) -> float:
    """Log-odds that a verdict gives to an outcome; of a written answer plus or minus infinity, of none 0."""
    if verdict.p_allowed is None:
        sign = {"allowed": 1.0, "dismissed": -1.0, "invalid": 0.0}[verdict.label]
        odds = sign * math.inf if sign else 0.0
    elif verdict.p_allowed in (0.0, 1.0):
        odds = math.inf if verdict.p_allowed else -math.inf
    else:
        odds = math.log(verdict.p_allowed) - math.log1p(-verdict.p_allowed)
    return odds if outcome == "allowed" else -odds


def probability(odds: float) -> float:
    """The probability with these log-odds."""
    small = math.exp(-abs(odds))
    return 1 / (1 + small) if odds > 0 else small / (1 + small)
