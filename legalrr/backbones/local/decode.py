"""Decode answers in batches with the `generate` of transformers, free or constrained to given choices.

`generate` is interrupted whenever an answer of the batch ends, so that it can be stored, and continues from its cache.
"""

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from transformers import DynamicCache, LogitsProcessorList, PreTrainedModel, StoppingCriteriaList

from legalrr.backbones.local.page_images import left_pad
from legalrr.backbones.local.prefill import TokenizedPrompt
from legalrr.backbones.sampling import CardSampling, Sampler, call_seed
from legalrr.backbones.thinking import ThoughtBudget, ThoughtCloser

if TYPE_CHECKING:
    from torch import Tensor


class ConstrainedDecoder:
    """Logits processor of transformers that restricts each row to its choices, and ends it after a complete one.

    A choice is generated in the tokens of its text alone, the same tokens as in a comparison.

    Args:
        choices: token ids of each choice of each row; a row without choices is not restricted.
        ends: tokens that end an answer.
        width: length of the padded prompts, in tokens.
    """

    def __init__(self, choices: Sequence[Sequence[Sequence[int]]], ends: Sequence[int], width: int) -> None:
        self._choices = choices
        self._ends = ends
        self._width = width

    def __call__(self, input_ids: "Tensor", scores: "Tensor") -> "Tensor":
        """Return scores (rows, vocabulary) with minus infinity for tokens that may not follow (rows, tokens)."""
        import torch

        kept = torch.full_like(scores, -torch.inf)
        for row, choices in enumerate(self._choices):
            allowed = self._next(choices, input_ids[row, self._width :].tolist())
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
    """Stopping criterion of transformers that interrupts a batch whenever an answer ends.

    Args:
        lengths: maximum number of tokens of each answer.
        ends: tokens that end an answer.
        width: length of the padded prompts, in tokens.
    """

    def __init__(self, lengths: Sequence[int], ends: Sequence[int], width: int) -> None:
        self.waiting = set(range(len(lengths)))
        """Rows without a complete answer."""
        self._lengths = lengths
        self._ends = ends
        self._width = width

    def __call__(self, input_ids: "Tensor", scores: "Tensor", **_: object) -> "Tensor":
        """Return ones of shape (rows,) if an answer ended with the last token of (rows, tokens), else zeros."""
        import torch

        rows, tokens = input_ids.shape
        last = input_ids[:, -1].tolist()
        ended = {row for row in self.waiting if last[row] in self._ends or tokens - self._width >= self._lengths[row]}
        self.waiting -= ended
        return torch.full((rows,), bool(ended), device=input_ids.device)


def decode(
    model: PreTrainedModel,
    batch: Sequence[TokenizedPrompt],
    cache: DynamicCache | None,
    *,
    card: CardSampling | None,
    seed: int,
    budget: ThoughtBudget | None = None,
) -> Iterator[dict[int, list[int]]]:
    """Generate the tokens of each answer, including the end token.

    Args:
        model: in evaluation mode; its generation configuration gives end and padding tokens, and is greedy.
        batch: the prompts.
        cache: left-padded cache of all but the last token of each prompt; None: prefill the prompts here.
        card: sampling settings; None: greedy decoding.
        seed: seed of sampling, combined with the key of each call.
        budget: limit of a thought; None: none.

    Yields:
        row -> tokens of the answers that ended together; without a cache, of all answers.
    """
    generation = model.generation_config
    width = max(len(prompt.ids) for prompt in batch)
    given = left_pad(
        model, [prompt.ids for prompt in batch], [prompt.pictures for prompt in batch], pixels=cache is None
    )
    processors: list[ConstrainedDecoder | ThoughtCloser | Sampler] = []
    if any(prompt.choices for prompt in batch):
        processors.append(ConstrainedDecoder([prompt.choices for prompt in batch], generation.eos_token_id, width))
    if budget is not None:
        processors.append(ThoughtCloser(budget, generation.eos_token_id, width))
    if card is not None:
        processors.append(Sampler(card, [call_seed(seed, prompt.call.key) for prompt in batch], width))
    longest = width + max(prompt.new for prompt in batch)
    stop = AnswerEnds([prompt.new for prompt in batch], generation.eos_token_id, width)
    missing = set(stop.waiting)
    while missing:
        tokens = given.pop("input_ids")
        generated = model.generate(
            tokens,
            max_new_tokens=longest - tokens.shape[1],
            past_key_values=cache,
            logits_processor=LogitsProcessorList(processors),
            stopping_criteria=None if cache is None else StoppingCriteriaList([stop]),
            disable_compile=True,
            **given,
        )
        ended = missing if cache is None else missing - stop.waiting
        missing = missing - ended
        rows = generated.tolist()
        yield {row: _answer(rows[row][width:][: batch[row].new], generation.eos_token_id) for row in sorted(ended)}
        if missing:
            # Rows that have ended go on, which does not affect the others.
            given = {name: _extend(name, tensor, generated.shape[1]) for name, tensor in given.items()}
            given["input_ids"] = generated


def _answer(tokens: list[int], ends: Sequence[int]) -> list[int]:
    """Return the tokens up to the first end token."""
    return tokens[: next((place for place, token in enumerate(tokens, start=1) if token in ends), None)]


def _extend(name: str, tensor: "Tensor", length: int) -> "Tensor":
    """Extend the argument `name` of `generate`, shape (..., tokens), to a length."""
    import torch

    more = torch.arange(1, 1 + length - tensor.shape[-1], device=tensor.device).expand(*tensor.shape[:-1], -1)
    following = torch.ones_like(more) if name == "attention_mask" else tensor[..., -1:] + more
    return torch.cat([tensor, following.to(tensor.dtype)], dim=-1)
