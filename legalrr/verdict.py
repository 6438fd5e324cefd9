"""Read YES or NO from the last answer.

`strict` (ours): only the last line that holds an answer counts, so that a model may think aloud before it; in that line
the last match counts, and its span is kept. A line with both answers, no match at all, a cut-off or an overflow is
`invalid` with its reason. `study`: any YES means allowed and everything else dismissed, as the study's code reads
answers; only an engine's error stays invalid.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from legalrr.errors import UserError
from legalrr.records import CompletedTurn, Completion, Outcome, Prompt, Verdict

READINGS = ("strict", "study")
BLANK = "blank"
"""Name of the turn about a judgment without content."""
ANSWER = "answer"
"""Name of the turn that asks for YES or NO."""

# "No. 5" is a number, "NO.", a new line and "1." an answer.
_ANSWER = re.compile(r"\b(yes|no(?!\.[^\S\n]*\d))\b", re.IGNORECASE)
_THOUGHT = re.compile(r"\A.*</think>", re.DOTALL)
_LABEL: Mapping[str, Outcome] = {"yes": "allowed", "no": "dismissed"}


@dataclass(frozen=True, kw_only=True)
class VerdictReader:
    """The stage between completion and score."""

    reading: str = "strict"
    """`strict` or `study`."""

    VERSION: ClassVar[int] = 1

    def __post_init__(self) -> None:
        """Refuse a reading that does not exist."""
        if self.reading not in READINGS:
            raise UserError(
                f"unknown reading {self.reading!r}", where="verdict.reading", cure=f"use {' or '.join(READINGS)}"
            )

    def read(self, completion: Completion, prompt: Prompt) -> Verdict:
        """See `legalrr.protocols.Reader`."""
        return self.read_turn(completion, prompt.turns[-1].name)

    def read_turn(self, completion: Completion, last: str) -> Verdict:
        """What a completion says, from the turn called `last`, the last one asked for; all that reading anew needs."""
        if completion.error is not None:
            return Verdict(id=completion.id, label="invalid", reason="error")
        asked = [turn for turn in completion.turns if turn.name != BLANK]
        if self.reading == "study":
            text = asked[-1].text if asked and asked[-1].name == last else ""
            match = next((m for m in _ANSWER.finditer(text, thought_end(text)) if m[1].lower() == "yes"), None)
            span = match.span() if match else None
            return Verdict(id=completion.id, label="allowed" if match else "dismissed", reason="matched", span=span)
        if not asked or asked[-1].finish_reason == "overflow" or asked[-1].name != last:
            return Verdict(id=completion.id, label="invalid", reason="overflow")
        if asked[-1].logprobs is not None:
            return _compared(completion.id, asked[-1], next((t for t in completion.turns if t.name == BLANK), None))
        return _parsed(completion.id, asked[-1])


def thought_end(text: str) -> int:
    """Where the answer of a reasoning model begins: after its `</think>`, at 0 without one."""
    thought = _THOUGHT.match(text)
    return thought.end() if thought else 0


def _parsed(id: str, turn: CompletedTurn) -> Verdict:
    if turn.finish_reason == "length":
        return Verdict(id=id, label="invalid", reason="budget")
    at = thought_end(turn.text)
    found: list[re.Match[str]] = []
    for line in re.finditer(r"[^\n]+", turn.text[at:]):
        matches = list(_ANSWER.finditer(turn.text, at + line.start(), at + line.end()))
        found = matches or found
    labels = {_LABEL[m[1].lower()] for m in found}
    if len(labels) != 1:
        return Verdict(id=id, label="invalid", reason="unparsed")
    return Verdict(id=id, label=labels.pop(), reason="matched", span=found[-1].span())


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
