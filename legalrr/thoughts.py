"""Find what a reasoning model thought before it answered: by tags, channel tokens and their debris.

    <think> ... </think>                          and thinking, thought, reasoning, seed:think, scratchpad, ...
    [THINK] ... [/THINK], ◁think▷ ... ◁/think▷    other brackets
    <|START_THINKING|> ... <|END_THINKING|>       tokens; also <|begin_of_thought|>, <unused94>, <|im_start|>think
    <|channel|>analysis<|message|> ... <|channel|>final<|message|>    channels, also where the tokens were dropped

A closing tag without an opening one closes a thought that began in the prompt. A thought that is never closed goes on
to the end of the text.
"""

import re
from dataclasses import dataclass

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
