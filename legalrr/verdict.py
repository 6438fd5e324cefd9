"""Read YES or NO from the last answer of a completion, without the reasoning before it.

Find what a reasoning model thought before it answered: by tags, channel tokens and their debris.

    <think> ... </think>                          and thinking, thought, reasoning, seed:think, scratchpad, ...
    [THINK] ... [/THINK], ◁think▷ ... ◁/think▷    other brackets
    <|START_THINKING|> ... <|END_THINKING|>       tokens; also <|begin_of_thought|>, <unused94>, <|im_start|>think
    <|channel|>analysis<|message|> ... <|channel|>final<|message|>    channels, also where the tokens were dropped

A closing tag without an opening one closes a thought that began in the prompt. A thought that is never closed goes on
to the end of the text.

Read YES or NO from the last answer.

`strict` (ours): thoughts are cut away (`legalrr.verdict`), then markup (`legalrr.answer_patterns`), and the word that
the answer begins with or names as its answer counts (`legalrr.answer_word`), also where the text was cut off after it.
An everyday "no" ("no order as to costs", "No. 5"), the question repeated, a refusal, both words side by side, an
unfinished thought, an overflow: `invalid`, with its reason. `study`: any YES means allowed and everything else
dismissed, as the study's code reads answers; only an engine's error stays invalid.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from legalrr.answer_patterns import plain
from legalrr.answer_word import answer_word
from legalrr.records import CompletedTurn, Completion, Prompt, Verdict
from legalrr.stage import check_fields, choice

# Names of tags that hold nothing but thought, and of those that may also hold an explanation.
_NAMES = r"(?:seed:|antml:)?(?:think|thinking|thoughts?|reasoning|reflection|scratchpad|inner_monologue|cot)"
_SECTIONS = r"(?:analysis|rationale|explanation)"
_TAG = (
    r"(?:\\?<|&lt;|\[|\u25c1|\u3010|\u27e8)\s*{slash}{name}\b[^<>\[\]\n]{{0,40}}?\s*"
    r"(?:\\?>|&gt;|\]|\u25b7|\u3011|\u27e9)"
)
_BAR = r"[|\uff5c]"
_CHANNEL = rf"(?:<{_BAR}start{_BAR}>\s*\w+\s*)?<{_BAR}channel{_BAR}>\s*"


def _pattern(names: str) -> re.Pattern[str]:
    opening = (
        _TAG.format(slash="", name=names),
        rf"<{_BAR}(?:START_THINKING|begin[_\u2581]of[_\u2581](?:thought|thinking|reasoning)){_BAR}>",
        r"<\|im_start\|>think\b",
        rf"{_CHANNEL}(?:analysis|commentary)\b[^<]{{0,40}}(?:<{_BAR}message{_BAR}>)?",
        r"<\|channel>\s*thought\b",
        r"<unused94>(?:\s*thought\b)?",
        r"\A\s*(?-i:analysis(?=[A-Z][a-z]))",
    )
    closing = (
        _TAG.format(slash=r"[/\\]{1,2}\s*", name=names),
        rf"<{_BAR}(?:END_THINKING|end[_\u2581]of[_\u2581](?:thought|thinking|reasoning)){_BAR}>",
        r"<\|im_start\|>answer\b",
        rf"{_CHANNEL}final\b[^<]{{0,40}}(?:<{_BAR}message{_BAR}>)?",
        r"<channel\|>",
        r"<unused95>",
    )
    # These close a thought only where one is open: alone, `<|end|>` ends an answer too.
    ending = (rf"<{_BAR}end{_BAR}>", r"(?-i:assistantfinal)")
    return re.compile(
        f"(?P<open>{'|'.join(opening)})|(?P<close>{'|'.join(closing)})|(?P<end>{'|'.join(ending)})", re.IGNORECASE
    )


_PATTERN = _pattern(_NAMES)
_WIDE = _pattern(f"(?:{_NAMES}|{_SECTIONS})")


@dataclass(frozen=True, kw_only=True)
class Thoughts:
    """What of a text is thought."""

    closed: tuple[tuple[int, int], ...]
    """Offsets of the closed thoughts with their tags; ordered and disjoint."""
    unfinished: int | None
    """Where a thought begins that is never closed; None without one."""

    def kept(self, text: str) -> list[tuple[int, int]]:
        """Offsets of what is no thought."""
        ends = [0, *(end for _, end in self.closed)]
        starts = [*(start for start, _ in self.closed), len(text) if self.unfinished is None else self.unfinished]
        return [(end, start) for end, start in zip(ends, starts, strict=True) if end < start]


def thoughts(text: str, *, sections: bool = False) -> Thoughts:
    """The thoughts of a text.

    Args:
        text: what a model wrote.
        sections: whether `<analysis>`, `<rationale>` and `<explanation>` hold thoughts, as where a word was asked for.
    """
    closed: list[tuple[int, int]] = []
    begun: int | None = None
    for tag in (_WIDE if sections else _PATTERN).finditer(text):
        if tag["open"]:
            begun = tag.start() if begun is None else begun
        elif begun is not None:
            closed.append((begun, tag.end()))
            begun = None
        elif tag["close"]:
            # It began in the prompt, so nothing before is an answer.
            closed = [(0, tag.end())]
    return Thoughts(closed=tuple(closed), unfinished=begun)


def thought_end(text: str) -> int:
    """Where the answer of a reasoning model begins: after its last closed thought, at 0 without one."""
    found = thoughts(text).closed
    return found[-1][1] if found else 0


READINGS = ("strict", "study")
BLANK = "blank"
"""Name of the turn about a judgment without content."""
ANSWER = "answer"
"""Name of the turn that asks for YES or NO."""

# The study's reading stays as it is, so it has patterns of its own.
_STUDY_YES = re.compile(r"\byes\b", re.IGNORECASE)
_STUDY_THOUGHT = re.compile(r"\A.*</think>", re.DOTALL)


@dataclass(frozen=True, kw_only=True)
class PatternVerdictReader:
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
        """See `legalrr.protocols.VerdictReader`."""
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
