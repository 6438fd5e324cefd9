"""Recall of a fact that is planted in a text: whether a model gives its code more probability than other codes.

The code is compared as a continuation of the same words under which it was planted, so that a model too small to answer
a question can be measured.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from legalrr.backbones.reading import follow, read

if TYPE_CHECKING:
    from transformers import PreTrainedModel

PLANTED = "\nThe record of this matter is kept in the registry under the number {code}.\n"
ASKED = "\nThe record of this matter is kept in the registry under the number"
CHOICES = 4
"""Codes that are compared: recall by chance is one of so many."""
LEAD = 32
"""Tokens of text before the planted sentence."""


@dataclass(frozen=True, kw_only=True)
class Fact:
    """A planted fact and what is asked of it."""

    prompt: list[int]
    """Tokens up to where the code is asked for."""
    codes: list[list[int]]
    """Tokens of each code as a continuation; the first is right."""


def plant(text: Sequence[int], tokenise: Callable[[str], list[int]], *, distance: int, draw: random.Random) -> Fact:
    """A fact so many tokens before the place where it is asked for.

    Args:
        text: tokens of running text to hide it in, at least `LEAD` + `distance` of them.
        tokenise: text -> token ids.
        distance: tokens between the planted sentence and the question.
        draw: draws the stretch of the text, and codes of four digits.

    Raises:
        ValueError: the text is too short.
    """
    needed = LEAD + distance
    if len(text) < needed:
        raise ValueError(f"{len(text)} tokens of text, and {needed} are needed")
    start = draw.randrange(len(text) - needed + 1)
    codes = [str(code) for code in draw.sample(range(1000, 10000), CHOICES)]
    prompt = [
        *text[start : start + LEAD],
        *tokenise(PLANTED.format(code=codes[0])),
        *text[start + LEAD : start + needed],
        *tokenise(ASKED),
    ]
    return Fact(prompt=prompt, codes=[tokenise(f" {code}") for code in codes])


def room(tokenise: Callable[[str], list[int]]) -> int:
    """Tokens that a planted fact, the question and a code take beside the distance."""
    return LEAD + len(tokenise(PLANTED.format(code=1000))) + len(tokenise(ASKED)) + len(tokenise(" 1000"))


def recalled(model: PreTrainedModel, fact: Fact, *, chunk: int) -> bool:
    """Whether the right code has the greatest log-probability of all; tokens are read `chunk` at once."""
    reading = read(model, fact.prompt, chunk=chunk)
    logprobs = follow(model, reading, fact.codes)
    return logprobs[0] > max(logprobs[1:])
