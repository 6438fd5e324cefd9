"""What a backbone reads from parts of a judgment, and the sentence that decides its answer, judgment by judgment."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

from legalrr.errors import UserError
from legalrr.leakage.asker import Asker
from legalrr.leakage.search import Found, Search, search
from legalrr.leakage.views import QUESTION, VIEWS, sentences, view, words_of
from legalrr.predict.baselines import TAIL_WORDS
from legalrr.progress import progress
from legalrr.records import Case, Document, Outcome, Verdict
from legalrr.stage import at_least, check_fields


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
