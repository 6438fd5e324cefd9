"""Writing answers to a batch of prompts, by the `generate` of transformers."""

from collections.abc import Sequence
from inspect import signature

import torch
from transformers import DynamicCache, LogitsProcessorList, PreTrainedModel

from legalrr.backbones.asked import Asked
from legalrr.backbones.sampling import Card, Sampler, seed_of


def write(
    model: PreTrainedModel, batch: Sequence[Asked], cache: DynamicCache | None, *, card: Card | None, seed: int
) -> list[list[int]]:
    """Tokens of each answer, with the one that ends it.

    Args:
        model: in evaluation mode, whose generation configuration tells ends and padding and is greedy.
        batch: what is asked.
        cache: holds all but the last token of each prompt, padded on the left; None: the prompts are read here.
        card: how tokens are drawn; None: the most probable one each time.
        seed: of what is drawn, with the key of each call.
    """
    generation = model.generation_config
    width = max(len(one.ids) for one in batch)
    gaps = [width - len(one.ids) for one in batch]
    ids = [[generation.pad_token_id] * gap + one.ids for gap, one in zip(gaps, batch, strict=True)]
    mask = torch.tensor([[0] * gap + [1] * len(one.ids) for gap, one in zip(gaps, batch, strict=True)])
    places = {}
    if "position_ids" in signature(model.forward).parameters:
        # Qwen3-VL would otherwise go by what the last call left in it.
        places["position_ids"] = (mask.cumsum(-1) - 1).clamp(min=0).to(model.device)
    drawn = [] if card is None else [Sampler(card, [seed_of(seed, one.call.key) for one in batch], width)]
    written = model.generate(
        torch.tensor(ids, device=model.device),
        attention_mask=mask.to(model.device),
        max_new_tokens=max(one.new for one in batch),
        past_key_values=cache,
        logits_processor=LogitsProcessorList(drawn),
        disable_compile=True,
        **places,
    )
    answers = []
    for one, row in zip(batch, written.tolist(), strict=True):
        answer = row[width:][: one.new]
        ends = (place for place, token in enumerate(answer, start=1) if token in generation.eos_token_id)
        answers.append(answer[: next(ends, None)])
    return answers
