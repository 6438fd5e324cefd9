"""Decode answers in batches with the `generate` of transformers, free or constrained to given choices."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from transformers import DynamicCache, LogitsProcessorList, PreTrainedModel

from legalrr.backbones.local.page_images import left_pad
from legalrr.backbones.local.prefill import TokenizedPrompt
from legalrr.backbones.sampling import CardSampling, Sampler, call_seed

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


def decode(
    model: PreTrainedModel,
    batch: Sequence[TokenizedPrompt],
    cache: DynamicCache | None,
    *,
    card: CardSampling | None,
    seed: int,
) -> list[list[int]]:
    """Generate the tokens of each answer, including the end token.

    Args:
        model: in evaluation mode; its generation configuration gives end and padding tokens, and is greedy.
        batch: the prompts.
        cache: left-padded cache of all but the last token of each prompt; None: prefill the prompts here.
        card: sampling settings; None: greedy decoding.
        seed: seed of sampling, combined with the key of each call.
    """
    generation = model.generation_config
    width = max(len(prompt.ids) for prompt in batch)
    given = left_pad(
        model, [prompt.ids for prompt in batch], [prompt.pictures for prompt in batch], pixels=cache is None
    )
    processors: list[ConstrainedDecoder | Sampler] = []
    if any(prompt.choices for prompt in batch):
        processors.append(ConstrainedDecoder([prompt.choices for prompt in batch], generation.eos_token_id, width))
    if card is not None:
        processors.append(Sampler(card, [call_seed(seed, prompt.call.key) for prompt in batch], width))
    generated = model.generate(
        given.pop("input_ids"),
        max_new_tokens=max(prompt.new for prompt in batch),
        past_key_values=cache,
        logits_processor=LogitsProcessorList(processors),
        disable_compile=True,
        **given,
    )
    answers = []
    for prompt, row in zip(batch, generated.tolist(), strict=True):
        answer = row[width:][: prompt.new]
        ends = (place for place, token in enumerate(answer, start=1) if token in generation.eos_token_id)
        answers.append(answer[: next(ends, None)])
    return answers
