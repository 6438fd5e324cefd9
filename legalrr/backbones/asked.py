"""A call as a model reads it: as tokens, under the chat template of its tokenizer, with room for its images."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from legalrr.backbones.vision import Picture, Vision
from legalrr.errors import UserError
from legalrr.protocols import Call

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A call as the model reads it."""

    call: Call
    """What was asked."""
    ids: list[int]
    """Tokens of the conversation under the chat template, up to where the answer starts; negative numbers in the places
    of images."""
    answers: Mapping[str, list[int]]
    """Tokens of each answer to compare."""
    choices: tuple[list[int], ...] = ()
    """Tokens of each choice, one of which is to be written; empty: any text."""
    new: int
    """Tokens that may follow: `max_new_tokens` and those of the thought before, or the longest answer."""
    branches: tuple[int, ...] = ()
    """Lengths at which calls that are read later part from this one."""
    pictures: tuple[Picture, ...] = ()
    """The images, in order."""


def as_asked(
    call: Call,
    tokenizer: "PreTrainedTokenizerBase",
    *,
    thinking_tokens: int,
    option: str,
    vision: Vision | None = None,
) -> Asked:
    """Apply the chat template once.

    Args:
        call: what is asked.
        tokenizer: of the model.
        thinking_tokens: tokens that may be written before the answer.
        option: config path of the backbone, for messages.
        vision: how the model sees pages; None: it does not.

    Raises:
        UserError: the chat template refuses the conversation or its images, or a page cannot be drawn.
    """
    from jinja2 import TemplateError

    if call.pages and vision is None:
        raise UserError("this model reads no images", where=f"{option}.model", cure="set corpus.input=text")
    try:
        ids = tokenizer.apply_chat_template(
            [dict(message) for message in call.messages],
            tokenize=True,
            add_generation_prompt=True,
            return_dict=False,
            tokenizer_kwargs={"verbose": False},
        )
    except (TemplateError, TypeError) as error:
        # A template that knows no parts of a message adds a list to a text.
        roles = ", ".join(message["role"] for message in call.messages)
        raise UserError(
            f"the chat template refuses this conversation ({roles}): {error}",
            where=f"{option}.model",
            cure="choose prompts without what it refuses, or another model",
        ) from error
    ids, pictures = (ids, ()) if vision is None or not call.pages else vision.placed(ids, call.pages)
    answers = {answer: tokenizer(answer, add_special_tokens=False)["input_ids"] for answer in call.answers}
    new = max(map(len, answers.values())) if answers else call.max_new_tokens + thinking_tokens
    choices = tuple(tokenizer(choice, add_special_tokens=False)["input_ids"] for choice in call.choices)
    return Asked(call=call, ids=ids, answers=answers, choices=choices, new=new, pictures=pictures)
