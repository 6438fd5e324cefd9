"""Writing answers to a batch of prompts, by the `generate` of transformers."""

from collections.abc import Sequence

from transformers import DynamicCache, LogitsProcessorList, PreTrainedModel

from legalrr.backbones.asked import Asked
from legalrr.backbones.choosing import Chooser
from legalrr.backbones.inputs import padded
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
    given = padded(model, [one.ids for one in batch], [one.pictures for one in batch], pixels=cache is None)
    processors: list[Chooser | Sampler] = []
    if any(one.choices for one in batch):
        processors.append(Chooser([one.choices for one in batch], generation.eos_token_id, width))
    if card is not None:
        processors.append(Sampler(card, [seed_of(seed, one.call.key) for one in batch], width))
    written = model.generate(
        given.pop("input_ids"),
        max_new_tokens=max(one.new for one in batch),
        past_key_values=cache,
        logits_processor=LogitsProcessorList(processors),
        disable_compile=True,
        **given,
    )
    answers = []
    for one, row in zip(batch, written.tolist(), strict=True):
        answer = row[width:][: one.new]
        ends = (place for place, token in enumerate(answer, start=1) if token in generation.eos_token_id)
        answers.append(answer[: next(ends, None)])
    return answers
