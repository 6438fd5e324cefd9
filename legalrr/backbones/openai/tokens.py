"""Counting the tokens of a model that runs elsewhere: by its tokenizer, or by a number of characters that is named."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from legalrr.backbones.local.weights import COMMIT, HUB_ID
from legalrr.errors import UserError
from legalrr.paths import resolve

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

CHARACTERS = "characters:"
NUMBER = re.compile(r"[1-9]\d*")


class CharacterTokens:
    """Counts a token for every so many characters, a last shorter piece included.

    Args:
        size: characters per token. Too low a number wastes context, too high a number lets a prompt outgrow it, which
            the server then refuses.
    """

    def __init__(self, size: int) -> None:
        self.size = size

    def token_ends(self, text: str) -> list[int]:
        """See `legalrr.protocols.Tokens`."""
        return [min(end, len(text)) for end in range(self.size, len(text) + self.size, self.size)]


class TokenizerTokens:
    """Counts as a tokenizer does, and turns conversations into the tokens that a model reads.

    Args:
        tokenizer: a fast tokenizer.
        option: config path of the backbone, for messages.
    """

    def __init__(self, tokenizer: PreTrainedTokenizerBase, *, option: str) -> None:
        self.tokenizer = tokenizer
        self.option = option

    def token_ends(self, text: str) -> list[int]:
        """See `legalrr.protocols.Tokens`."""
        encoded = self.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
        return [end for _, end in encoded["offset_mapping"]]

    def answer(self, text: str) -> list[int]:
        """Token ids of an answer that follows a conversation."""
        return list(self.tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])

    def conversation(self, messages: Sequence[Mapping[str, str]]) -> list[int]:
        """Token ids of a conversation under the chat template, up to where the answer starts.

        Raises:
            UserError: the tokenizer has no chat template, or its template refuses the conversation.
        """
        from jinja2 import TemplateError

        if self.tokenizer.chat_template is None:
            raise UserError(
                "the tokenizer has no chat template, which comparing answers needs",
                where=f"{self.option}.tokenizer",
                cure=f"name the tokenizer of the model that is served, or use {self.option}.logprobs=none",
            )
        try:
            return self.tokenizer.apply_chat_template(
                [dict(message) for message in messages],
                tokenize=True,
                add_generation_prompt=True,
                return_dict=False,
                tokenizer_kwargs={"verbose": False},
            )
        except TemplateError as error:
            raise UserError(
                f"the chat template refuses this conversation: {error}",
                where=f"{self.option}.tokenizer",
                cure="name the tokenizer of the model that is served",
            ) from error


def characters_per_token(tokenizer: str, *, option: str) -> int | None:
    """N of `characters:N`; None where a tokenizer is named. Raises UserError where N is no positive number."""
    if not tokenizer.startswith(CHARACTERS):
        return None
    number = tokenizer.removeprefix(CHARACTERS)
    if not NUMBER.fullmatch(number):
        raise UserError(
            f"{tokenizer!r} names no number of characters", where=f"{option}.tokenizer", cure="e.g. characters:3"
        )
    return int(number)


def tokenizer_folder(tokenizer: str, revision: str | None, *, option: str) -> Path | None:
    """The local folder that `tokenizer` names; None for `characters:N` and for the Hugging Face hub.

    Raises:
        UserError: neither, or `revision` is missing, bad or idle.
    """
    counted = characters_per_token(tokenizer, option=option) is not None
    path = resolve(tokenizer)
    if counted or path.is_dir():
        if revision is not None:
            raise UserError(
                f"revision {revision} says nothing about {tokenizer}",
                where=f"{option}.tokenizer_revision",
                cure="leave it null: it is for tokenizers of the hub",
            )
        return None if counted else path
    if not HUB_ID.fullmatch(tokenizer):
        raise UserError(
            f"no such tokenizer: {tokenizer}",
            where=f"{option}.tokenizer",
            cure="name a folder, <owner>/<model> of the hub, or characters:3",
        )
    if revision is None or not COMMIT.fullmatch(revision):
        raise UserError(
            f"{tokenizer} is no local folder, and a tokenizer of the hub needs the commit that it is read at",
            where=f"{option}.tokenizer_revision",
            cure="give the 40 hexadecimal digits of a commit, from the model page under Files, History",
        )
    return None


def open_tokens(tokenizer: str, revision: str | None, *, option: str) -> CharacterTokens | TokenizerTokens:
    """What counts the tokens; raises UserError where a tokenizer cannot be read."""
    size = characters_per_token(tokenizer, option=option)
    if size is not None:
        return CharacterTokens(size)
    from transformers import AutoTokenizer

    folder = tokenizer_folder(tokenizer, revision, option=option)
    place = tokenizer if folder is None else str(folder)
    try:
        opened = AutoTokenizer.from_pretrained(place, revision=revision, local_files_only=folder is not None)
    except (OSError, ValueError) as error:
        raise UserError(
            f"cannot read the tokenizer {tokenizer}: {error}",
            where=f"{option}.tokenizer",
            cure="name a folder with tokenizer.json, or characters:3",
        ) from error
    if not opened.is_fast:
        raise UserError(
            f"the tokenizer {tokenizer} does not tell offsets",
            where=f"{option}.tokenizer",
            cure="save it with a tokenizer.json",
        )
    return TokenizerTokens(opened, option=option)
