"""Read YES or NO from the last answer of a completion.

`strict` (ours): the reasoning is removed, then markup (`legalrr.answer_patterns`); the verdict is the word that the
answer begins with or names as its answer (`legalrr.answer_word`), also if the text is cut off after it. An everyday
"no" ("no order as to costs", "No. 5"), a repeated question, a refusal, both words side by side, unfinished reasoning
and an overflow are `invalid`, with their reason. `study`: any YES means allowed and everything else dismissed, as in
the study's code; only an engine's error stays invalid.

Reasoning is found by tags, channel tokens and their remains:

    <think> ... </think>                          and thinking, thought, reasoning, seed:think, scratchpad, ...
    [THINK] ... [/THINK], ◁think▷ ... ◁/think▷    other brackets
    <|START_THINKING|> ... <|END_THINKING|>       tokens; also <|begin_of_thought|>, <unused94>, <|im_start|>think
    <|channel|>analysis<|message|> ... <|channel|>final<|message|>    channels, also where the tokens were dropped

A closing tag without an opening one ends reasoning that began in the prompt. Reasoning without a closing tag extends to
the end of the text.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar

from legalrr.answer_patterns import plain_text
from legalrr.answer_word import answer_word
from legalrr.records import CompletedTurn, Completion, Prompt, Verdict
from legalrr.stage import check_fields, choice

READINGS = ("strict", "study")
BLANK = "blank"
"""Name of the turn about an empty judgment."""
ANSWER = "answer"
"""Name of the turn that asks for YES or NO."""

# The study's reading must not change, so it has its own patterns.
_STUDY_YES = re.compile(r"\byes\b", re.IGNORECASE)
_STUDY_REASONING = re.compile(r"\A.*</think>", re.DOTALL)

# Names of tags for reasoning alone, and of tags that may also mark an explanation.
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
    # These end reasoning only if one is open: `<|end|>` alone also ends an answer.
    ending = (rf"<{_BAR}end{_BAR}>", r"(?-i:assistantfinal)")
    return re.compile(
        f"(?P<open>{'|'.join(opening)})|(?P<close>{'|'.join(closing)})|(?P<end>{'|'.join(ending)})", re.IGNORECASE
    )


_PATTERN = _pattern(_NAMES)
_WIDE = _pattern(f"(?:{_NAMES}|{_SECTIONS})")
_MARKS = ("<", "&", "[", "\u25c1", "\u3010", "\u27e8", "analysis", "assistantfinal")
"""Strings, of which every match of the patterns has one."""


@dataclass(frozen=True, kw_only=True)
class Reasoning:
    """Reasoning passages of a text."""

    closed: tuple[tuple[int, int], ...]
    """Offsets of closed passages with their tags; ordered and disjoint."""
    unfinished: int | None
    """Offset of a passage that is never closed; None without one."""

    def kept(self, text: str) -> list[tuple[int, int]]:
        """Return the offsets of the text outside reasoning."""
        ends = [0, *(end for _, end in self.closed)]
        starts = [*(start for start, _ in self.closed), len(text) if self.unfinished is None else self.unfinished]
        return [(end, start) for end, start in zip(ends, starts, strict=True) if end < start]


def find_reasoning(text: str, *, sections: bool = False) -> Reasoning:
    """Find the reasoning passages of a text.

    Args:
        text: an answer of a model.
        sections: whether `<analysis>`, `<rationale>` and `<explanation>` mark reasoning, as in an answer of one word.
    """
    closed: list[tuple[int, int]] = []
    opened: int | None = None
    if not any(mark in text for mark in _MARKS):
        return Reasoning(closed=(), unfinished=None)
    for tag in (_WIDE if sections else _PATTERN).finditer(text):
        if tag["open"]:
            opened = tag.start() if opened is None else opened
        elif opened is not None:
            closed.append((opened, tag.end()))
            opened = None
        elif tag["close"]:
            # It began in the prompt, so the text before it is not an answer.
            closed = [(0, tag.end())]
    return Reasoning(closed=tuple(closed), unfinished=opened)


def reasoning_end(text: str) -> int:
    """Return the offset of the answer of a reasoning model: after its last closed reasoning, 0 without any."""
    found = find_reasoning(text).closed
    return found[-1][1] if found else 0


@dataclass(frozen=True, kw_only=True)
class PatternVerdictReader:
    """Stage between completion and score."""

    reading: str = choice("strict", *READINGS)
    """`strict` or `study`."""

    VERSION: ClassVar[int] = 3
    """1: `strict` took the last line with a YES or NO. 2: it took "NO wait, yes" for a YES."""
    SINCE: ClassVar[Mapping[str, int]] = {"strict": 3, "study": 1}
    """Reading -> `VERSION` of its last change."""

    def __post_init__(self) -> None:
        """Check the options."""
        check_fields(self, "verdict")

    def read(self, completion: Completion, prompt: Prompt) -> Verdict:
        """See `legalrr.protocols.VerdictReader`."""
        return self.read_turn(completion, prompt.turns[-1].name)

    def read_turn(self, completion: Completion, last: str) -> Verdict:
        """Read the verdict from the turn `last`, the last one of the prompt; needs no prompt, for reading again."""
        if completion.error is not None:
            return Verdict(id=completion.id, label="invalid", reason="error")
        turns = [turn for turn in completion.turns if turn.name != BLANK]
        if self.reading == "study":
            return _read_as_study(completion.id, turns[-1].text if turns and turns[-1].name == last else "")
        if not turns or turns[-1].finish_reason == "overflow" or turns[-1].name != last:
            return Verdict(id=completion.id, label="invalid", reason="overflow")
        if turns[-1].logprobs is not None:
            return _read_logprobs(
                completion.id, turns[-1], next((t for t in completion.turns if t.name == BLANK), None)
            )
        return _read_text(completion.id, turns[-1])


def _read_text(id: str, turn: CompletedTurn) -> Verdict:
    cut = turn.finish_reason == "length"
    answer = plain_text(turn.text, find_reasoning(turn.text, sections=True).kept(turn.text))
    word = answer_word(answer.text, cut=cut)
    if word is None:
        return Verdict(id=id, label="invalid", reason="budget" if cut else "unparsed")
    return Verdict(id=id, label=word.label, reason="matched", span=answer.span(word.start, word.end))


def _read_as_study(id: str, text: str) -> Verdict:
    reasoning = _STUDY_REASONING.match(text)
    match = _STUDY_YES.search(text, reasoning.end() if reasoning else 0)
    span = match.span() if match else None
    return Verdict(id=id, label="allowed" if match else "dismissed", reason="matched", span=span)


def _read_logprobs(id: str, turn: CompletedTurn, blank: CompletedTurn | None) -> Verdict:
    """Return the more probable answer, relative to the empty judgment if calibrated."""
    odds = _log_odds(turn) - (_log_odds(blank) if blank is not None else 0.0)
    if math.isnan(odds):
        return Verdict(id=id, label="invalid", reason="error")
    p_allowed = 1.0 / (1.0 + math.exp(-odds)) if odds > -700 else 0.0
    return Verdict(id=id, label="allowed" if odds > 0 else "dismissed", reason="matched", p_allowed=p_allowed)


def _log_odds(turn: CompletedTurn) -> float:
    if turn.logprobs is None:
        raise ValueError(f"turn {turn.name!r} has no log-probabilities")
    return turn.logprobs["YES"] - turn.logprobs["NO"]
