"""Read YES or NO from the last answer.

`strict` (ours): thoughts are cut away (`legalrr.thoughts`), then markup (`legalrr.answer_text`), and the word that the
answer begins with or names as its answer counts (`legalrr.answer_word`), also where the text was cut off after it. An
everyday "no" ("no order as to costs", "No. 5"), the question repeated, a refusal, both words side by side, an
unfinished thought, an overflow: `invalid`, with its reason. `study`: any YES means allowed and everything else
dismissed, as the study's code reads answers; only an engine's error stays invalid.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from legalrr.answer_text import plain
from legalrr.answer_word import answer_word
from legalrr.records import CompletedTurn, Completion, Prompt, Verdict
from legalrr.stage import check_fields, choice
from legalrr.thoughts import thoughts

READINGS = ("strict", "study")
BLANK = "blank"
"""Name of the turn about a judgment without content."""
ANSWER = "answer"
"""Name of the turn that asks for YES or NO."""

# The study's reading stays as it is, so it has patterns of its own.
_STUDY_YES = re.compile(r"\byes\b", re.IGNORECASE)
_STUDY_THOUGHT = re.compile(r"\A.*</think>", re.DOTALL)


@dataclass(frozen=True, kw_only=True)
class VerdictReader:
    """The stage between completion and score."""

    reading: str = choice("strict", *READINGS)
    """`strict` or `study`."""

    VERSION: ClassVar[int] = 2
    """1: `strict` took the last line with a YES or NO."""
    SINCE: ClassVar[Mapping[str, int]] = {"strict": 2, "study": 1}
    """Reading -> version since which it reads as it does."""

    def __post_init__(self) -> None:
        """Refuse a reading that does not exist."""
        check_fields(self, "verdict")

    def read(self, completion: Completion, prompt: Prompt) -> Verdict:
        """See `legalrr.protocols.Reader`."""
        return self.read_turn(completion, prompt.turns[-1].name)

    def read_turn(self, completion: Completion, last: str) -> Verdict:
        """What a completion says, from the turn called `last`, the last one asked for; all that reading anew needs."""
        if completion.error is not None:
            return Verdict(id=completion.id, label="invalid", reason="error")
        asked = [turn for turn in completion.turns if turn.name != BLANK]
        if self.reading == "study":
            return _studied(completion.id, asked[-1].text if asked and asked[-1].name == last else "")
        if not asked or asked[-1].finish_reason == "overflow" or asked[-1].name != last:
            return Verdict(id=completion.id, label="invalid", reason="overflow")
        if asked[-1].logprobs is not None:
            return _compared(completion.id, asked[-1], next((t for t in completion.turns if t.name == BLANK), None))
        return _parsed(completion.id, asked[-1])


def _parsed(id: str, turn: CompletedTurn) -> Verdict:
    cut = turn.finish_reason == "length"
    said = plain(turn.text, thoughts(turn.text, sections=True).kept(turn.text))
    word = answer_word(said.text, cut=cut)
    if word is None:
        return Verdict(id=id, label="invalid", reason="budget" if cut else "unparsed")
    return Verdict(id=id, label=word.label, reason="matched", span=said.span(word.start, word.end))


def _studied(id: str, text: str) -> Verdict:
    thought = _STUDY_THOUGHT.match(text)
    match = _STUDY_YES.search(text, thought.end() if thought else 0)
    span = match.span() if match else None
    return Verdict(id=id, label="allowed" if match else "dismissed", reason="matched", span=span)


def _compared(id: str, turn: CompletedTurn, blank: CompletedTurn | None) -> Verdict:
    """The answer of the greater probability, less that on the content-free prompt where it was asked for."""
    odds = _log_odds(turn) - (_log_odds(blank) if blank is not None else 0.0)
    if math.isnan(odds):
        return Verdict(id=id, label="invalid", reason="error")
    p_allowed = 1.0 / (1.0 + math.exp(-odds)) if odds > -700 else 0.0
    return Verdict(id=id, label="allowed" if odds > 0 else "dismissed", reason="matched", p_allowed=p_allowed)


def _log_odds(turn: CompletedTurn) -> float:
    if turn.logprobs is None:
        raise ValueError(f"turn {turn.name!r} has no log-probabilities")
    return turn.logprobs["YES"] - turn.logprobs["NO"]
