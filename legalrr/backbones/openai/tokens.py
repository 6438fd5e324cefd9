"""Count the tokens of a model behind a server: with its tokenizer, or as a fixed number of characters per token."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from legalrr.backbones.chat_template import DEFAULT_SECONDS, ChatTemplate
from legalrr.backbones.local.weights import REMOTE_CODE, remote_code_error
from legalrr.backbones.piece_ids import piece_ids
from legalrr.backbones.thinking import set_thinking
from legalrr.errors import UserError
from legalrr.hub import HUB_ID, MAIN, TOKENIZER_FILES, download, resolve_commit
from legalrr.paths import resolve

CHARACTERS = "characters:"
NUMBER = re.compile(r"[1-9]\d*")


class CharacterTokens:
    """Token counter with a fixed number of characters per token; a shorter remainder counts as one.

    Args:
        size: characters per token. Too low a number wastes context; with too high a number a prompt may exceed the
            context and be refused by the server.
    """

    def __init__(self, size: int) -> None:
        self.size = size

    def token_ends(self, text: str) -> list[int]:
        """See `legalrr.protocols.Tokens`."""
        return [min(end, len(text)) for end in range(self.size, len(text) + self.size, self.size)]

    def prompt_ids(self, messages: Sequence[Mapping[str, str]]) -> list[int]:
        """Give ids to the pieces of a conversation, without roles (`legalrr.backbones.piece_ids`)."""
        return piece_ids(messages, self)


class TokenizerTokens:
    """Token counter based on a tokenizer, which also tokenizes conversations.

    Args:
        template: the chat template of a fast tokenizer.
    """

    def __init__(self, template: ChatTemplate) -> None:
        self.template = template
        self.tokenizer = template.tokenizer

    def token_ends(self, text: str) -> list[int]:
        """See `legalrr.protocols.Tokens`."""
        encoded = self.tokenizer(text, add_special_tokens=False, return_offsets_mapping=True, verbose=False)
        return [end for _, end in encoded["offset_mapping"]]

    def answer(self, text: str) -> list[int]:
        """Tokenize an answer without special tokens."""
        return list(self.tokenizer(text, add_special_tokens=False, verbose=False)["input_ids"])

    def prompt_ids(self, messages: Sequence[Mapping[str, str]]) -> list[int]:
        """Tokenize a conversation; without a chat template, its texts alone. Raises UserError as `conversation`."""
        if self.tokenizer.chat_template is None:
            return [token for message in messages for token in self.answer(message["content"])]
        return self.conversation(messages)

    def conversation(self, messages: Sequence[Mapping[str, str]]) -> list[int]:
        """Tokenize a conversation with the chat template, up to the start of the answer.

        Raises:
            UserError: there is no chat template, or it has other arguments, or rejects the conversation.
        """
        option = self.template.option
        if self.tokenizer.chat_template is None:
            raise UserError(
                "the tokenizer has no chat template, which comparing answers needs",
                where=f"{option}.tokenizer",
                cure=f"give the tokenizer of the served model, or use {option}.logprobs=none",
            )
        self.template.check()
        return self.template.tokenize(messages)

    def with_thinking(self, thinking: str, thinking_tokens: int) -> TokenizerTokens:
        """Return the counter with the switch of its chat template set; raises UserError as `set_thinking` does."""
        if self.tokenizer.chat_template is None:
            raise UserError(
                "the tokenizer has no chat template, which thinking sets a switch of",
                where=f"{self.template.option}.tokenizer",
                cure=f"give the tokenizer of the served model, or use {self.template.option}.thinking=null",
            )
        return TokenizerTokens(set_thinking(self.template, thinking, thinking_tokens).template)


def characters_per_token(tokenizer: str, *, option: str) -> int | None:
    """Parse N of `characters:N`; return None for a tokenizer. Raises UserError if N is not a positive number."""
    if not tokenizer.startswith(CHARACTERS):
        return None
    number = tokenizer.removeprefix(CHARACTERS)
    if not NUMBER.fullmatch(number):
        raise UserError(
            f"{tokenizer!r} does not give a number of characters", where=f"{option}.tokenizer", cure="e.g. characters:3"
        )
    return int(number)


def tokenizer_folder(tokenizer: str, revision: str | None, *, option: str) -> Path | None:
    """Return the local folder of a tokenizer; None for `characters:N` and for the Hugging Face hub.

    Raises:
        UserError: not found, or `revision` does not apply.
    """
    counted = characters_per_token(tokenizer, option=option) is not None
    path = resolve(tokenizer)
    if counted or path.is_dir():
        if revision not in (None, MAIN):
            raise UserError(
                f"revision {revision} does not apply to {tokenizer}",
                where=f"{option}.tokenizer_revision",
                cure="set it to null: it applies to hub tokenizers only",
            )
        return None if counted else path
    if not HUB_ID.fullmatch(tokenizer):
        raise UserError(
            f"no such tokenizer: {tokenizer}",
            where=f"{option}.tokenizer",
            cure="give a folder, <owner>/<model> of the hub, or characters:3",
        )
    return None


def resolve_tokenizer(tokenizer: str, revision: str | None, *, pinned: bool = False, option: str) -> str | None:
    """Return the commit of a tokenizer on the hub; None for others; raises as `legalrr.hub.resolve_commit`."""
    local = tokenizer_folder(tokenizer, revision, option=option) is not None
    if local or characters_per_token(tokenizer, option=option) is not None:
        return None
    return resolve_commit(tokenizer, revision, pinned=pinned, where=f"{option}.tokenizer_revision")


def open_tokens(
    tokenizer: str,
    revision: str | None,
    *,
    option: str,
    arguments: Mapping[str, Any] | None = None,
    seconds: float = DEFAULT_SECONDS,
) -> CharacterTokens | TokenizerTokens:
    """Open a token counter.

    Args:
        tokenizer: a folder, a hub id or `characters:N`.
        revision: branch, tag or commit of a hub id.
        option: config path of the backbone, for messages.
        arguments: arguments of the chat template.
        seconds: time limit of the chat template for one conversation.

    Raises:
        UserError: the tokenizer cannot be read.
    """
    size = characters_per_token(tokenizer, option=option)
    if size is not None:
        return CharacterTokens(size)
    from transformers import AutoTokenizer

    folder = tokenizer_folder(tokenizer, revision, option=option)
    if folder is None:
        commit = resolve_commit(tokenizer, revision, where=f"{option}.tokenizer_revision")
        folder = download(tokenizer, commit, files=TOKENIZER_FILES, where=f"{option}.tokenizer")
    try:
        opened = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except (OSError, ValueError) as error:
        if REMOTE_CODE in str(error):
            raise remote_code_error(tokenizer, where=f"{option}.tokenizer") from error
        raise UserError(
            f"cannot read the tokenizer {tokenizer}: {error}",
            where=f"{option}.tokenizer",
            cure="give a folder with tokenizer.json, or characters:3",
        ) from error
    if not opened.is_fast:
        raise UserError(
            f"the tokenizer {tokenizer} has no character offsets",
            where=f"{option}.tokenizer",
            cure="save it with a tokenizer.json",
        )
    return TokenizerTokens(
        ChatTemplate(tokenizer=opened, arguments=arguments or {}, seconds=seconds, option=option, holder="tokenizer")
    )
