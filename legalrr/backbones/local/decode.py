"""Decode answers in batches with the `generate` of transformers, free or constrained to given choices.

`generate` is interrupted when an answer of the batch ends, so that it can be stored and another can take its place.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from transformers import DynamicCache, LogitsProcessorList, PreTrainedModel, StoppingCriteriaList

from legalrr.backbones.local.page_images import left_pad
from legalrr.backbones.local.prefill import TokenizedPrompt
from legalrr.backbones.sampling import CardSampling, Generated, Sampler
from legalrr.backbones.thinking import ThoughtBudget, ThoughtCloser

if TYPE_CHECKING:
    from torch import Generator, Tensor


@dataclass(eq=False, kw_only=True)
class OpenAnswer:
    """An answer under way."""

    prompt: TokenizedPrompt
    """Its prompt."""
    generator: "Generator | None" = None
    """Draws its samples; None: greedy decoding."""
    tokens: list[int] = field(default_factory=list)
    """The tokens generated so far."""
    ended: bool = False
    """Whether it has its last token: an end token, or the last one that fits its limit."""

    @property
    def ids(self) -> list[int]:
        """Tokens of the prompt and of the answer so far."""
        return self.prompt.ids + self.tokens

    @property
    def left(self) -> int:
        """Number of tokens that may follow."""
        return self.prompt.new - len(self.tokens)


class ConstrainedDecoder:
    """Logits processor of transformers that restricts each row to its choices, and ends it after a complete one.

    A choice is generated in the tokens of its text alone, the same tokens as in a comparison.

    Args:
        choices: token ids of each choice of each row; a row without choices is not restricted.
        ends: tokens that end an answer.
        generated: finds the tokens generated so far.
    """

    def __init__(self, choices: Sequence[Sequence[Sequence[int]]], ends: Sequence[int], generated: Generated) -> None:
        self._choices = choices
        self._ends = ends
        self._generated = generated

    def __call__(self, input_ids: "Tensor", scores: "Tensor") -> "Tensor":
        """Return scores (rows, vocabulary) with minus infinity for tokens that may not follow (rows, tokens)."""
        import torch

        kept = torch.full_like(scores, -torch.inf)
        for row, (choices, tokens) in enumerate(zip(self._choices, self._generated.rows(input_ids), strict=True)):
            allowed = self._next(choices, tokens)
            kept[row, allowed] = scores[row, allowed]
        return kept

    def _next(self, choices: Sequence[Sequence[int]], generated: list[int]) -> list[int] | slice:
        """Return the allowed next tokens; all of them for an unrestricted row, or one that has ended."""
        if not choices or not set(self._ends).isdisjoint(generated):
            return slice(None)
        matching = [choice for choice in choices if list(choice[: len(generated)]) == generated]
        following = {choice[len(generated)] for choice in matching if len(choice) > len(generated)}
        return sorted(following.union(self._ends if any(len(choice) == len(generated) for choice in matching) else ()))


class AnswerEnds:
    """Stopping criterion of transformers that interrupts a batch when an answer has ended.

    Args:
        lengths: maximum number of tokens of each answer.
        ends: tokens that end an answer.
        width: length of the padded prompts, in tokens.
        least: least number of tokens before an interruption, unless all answers have ended.
    """

    def __init__(self, lengths: Sequence[int], ends: Sequence[int], width: int, least: int = 1) -> None:
        self.waiting = set(range(len(lengths)))
        """Rows without a complete answer."""
        self._lengths = lengths
        self._ends = ends
        self._width = width
        self._least = least

    def __call__(self, input_ids: "Tensor", scores: "Tensor", **_: object) -> "Tensor":
        """Return ones of shape (rows,) to stop after the last token of (rows, tokens), else zeros."""
        import torch

        rows, tokens = input_ids.shape
        last, new = input_ids[:, -1].tolist(), tokens - self._width
        self.waiting -= {row for row in self.waiting if last[row] in self._ends or new >= self._lengths[row]}
        stop = len(self.waiting) < rows and (new >= self._least or not self.waiting)
        return torch.full((rows,), stop, device=input_ids.device)


def decode(
    model: PreTrainedModel,
    answers: Sequence[OpenAnswer],
    cache: DynamicCache | None,
    *,
    card: CardSampling | None,
    budget: ThoughtBudget | None = None,
    least: int = 1,
) -> int:
    """Generate the next tokens of answers until one ends, and append them.

    Args:
        model: in evaluation mode; its generation configuration gives end and padding tokens, and is greedy.
        answers: the answers; none has ended.
        cache: left-padded cache of all but the last token of each; None: prefill here, and generate all answers to
            their ends.
        card: sampling settings; None: greedy decoding.
        budget: limit of a thought; None: none.
        least: least number of tokens of each, unless all end before.

    Returns:
        The number of steps: tokens that were computed in every row of the cache, also in those that ended before.
    """
    ends = model.generation_config.eos_token_id
    width = max(len(answer.ids) for answer in answers)
    given = left_pad(
        model,
        [answer.ids for answer in answers],
        [answer.prompt.pictures for answer in answers],
        pixels=cache is None,
    )
    generated = Generated(before=[list(answer.tokens) for answer in answers], width=width)
    processors: list[ConstrainedDecoder | ThoughtCloser | Sampler] = []
    if any(answer.prompt.choices for answer in answers):
        processors.append(ConstrainedDecoder([answer.prompt.choices for answer in answers], ends, generated))
    if budget is not None:
        processors.append(ThoughtCloser(budget, ends, generated))
    if card is not None:
        processors.append(Sampler(card, [answer.generator for answer in answers], generated))
    stop = AnswerEnds([answer.left for answer in answers], ends, width, least)
    written = model.generate(
        given.pop("input_ids"),
        max_new_tokens=max(answer.left for answer in answers),
        past_key_values=cache,
        logits_processor=LogitsProcessorList(processors),
        stopping_criteria=None if cache is None else StoppingCriteriaList([stop]),
        disable_compile=True,
        **given,
    )
    steps = written.shape[1] - width
    for answer, row in zip(answers, written[:, width:].tolist(), strict=True):
        new = row[: answer.left]
        last = next((place for place, token in enumerate(new, start=1) if token in ends), None)
        answer.tokens += new[:last]
        answer.ended = last is not None or not answer.left
    return steps
