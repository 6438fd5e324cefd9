"""Apply the chat template of a tokenizer to conversations, within a time limit.

A chat template is a program by the author of the checkpoint. transformers runs it without access to files or modules,
but it may loop for any time or raise any error.
"""

from __future__ import annotations

import math
import re
import signal
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from inspect import signature
from itertools import takewhile
from typing import TYPE_CHECKING, Any

from legalrr.errors import UserError

if TYPE_CHECKING:
    from types import FrameType

    from transformers import PreTrainedTokenizerBase

DEFAULT_SECONDS = 30.0
"""Default of `backbone.chat_template_seconds`."""
DATA = ("tools", "documents")
"""Parameters of transformers that are passed to the template."""


class _ExpiredError(BaseException):
    """The time is over; not an Exception, which jinja2 would catch."""


@dataclass(frozen=True, kw_only=True)
class ChatTemplate:
    """The chat template of a tokenizer, with its arguments."""

    tokenizer: PreTrainedTokenizerBase
    """The tokenizer."""
    arguments: Mapping[str, Any]
    """Arguments of the template, such as enable_thinking."""
    seconds: float
    """Time limit for one conversation."""
    option: str
    """Config path of the backbone, for messages."""
    holder: str
    """Field of the backbone that names the tokenizer, for messages: model or tokenizer."""

    def check(self) -> None:
        """Raise UserError for an argument that the template does not use, or that is a setting of transformers."""
        where = f"{self.option}.chat_template_kwargs"
        settings = set(signature(self.tokenizer.apply_chat_template).parameters) - {*DATA, "kwargs"}
        for name in self.arguments:
            if name in settings:
                raise UserError(f"{name} is set by legalrr", where=where, cure="leave it out")
            if not self.mentions(name):
                raise UserError(
                    f"the chat template has no argument {name}",
                    where=where,
                    cure="correct the name, or set chat_template_kwargs to null for this model",
                )

    def mentions(self, name: str) -> bool:
        """Whether the name of an argument occurs in the template."""
        return re.search(rf"\b{re.escape(name)}\b", str(self.tokenizer.chat_template)) is not None

    def repeated_length(self, messages: Sequence[Mapping[str, Any]]) -> int:
        """Return how many tokens of a conversation its next turn repeats, all if the template takes no next turn.

        A template may start an answer in another way, such as with an empty thought, than it quotes it later.

        Raises:
            UserError: as `tokenize`.
        """
        whole = self.tokenize(messages)
        later = ({"role": "assistant", "content": "x"}, {"role": "user", "content": "x"})
        try:
            pairs = zip(whole, self.tokenize([*messages, *later]), strict=False)
        except UserError:
            return len(whole)
        return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))

    def tokenize(self, messages: Sequence[Mapping[str, Any]]) -> list[int]:
        """Return the token ids of a conversation, up to the start of the answer.

        Raises:
            UserError: the template rejects the conversation, fails, or takes too long.
        """
        try:
            with _time_limit(self.seconds):
                ids: list[int] = self.tokenizer.apply_chat_template(
                    [dict(message) for message in messages],
                    tokenize=True,
                    add_generation_prompt=True,
                    return_dict=False,
                    tokenizer_kwargs={"verbose": False},
                    **self.arguments,
                )
                return ids
        except _ExpiredError:
            raise UserError(
                f"the chat template takes more than {self.seconds:g} s for one conversation",
                where=f"{self.option}.{self.holder}",
                cure=f"raise {self.option}.chat_template_seconds, or choose another {self.holder}",
            ) from None
        # A program by others may raise anything.
        except Exception as error:
            roles = ", ".join(message["role"] for message in messages)
            raise UserError(
                f"the chat template rejects this conversation ({roles}): {error or type(error).__name__}",
                where=f"{self.option}.{self.holder}",
                cure=f"annotate.system=first_user for a model without a system role, or another {self.holder}",
            ) from error


def check_template_seconds(seconds: float, *, option: str) -> None:
    """Raise UserError unless the time limit is a positive number."""
    if not 0 < seconds < math.inf:
        raise UserError(
            f"chat_template_seconds is {seconds}",
            where=f"{option}.chat_template_seconds",
            cure="give a number of seconds above 0",
        )


def model_template(
    tokenizer: PreTrainedTokenizerBase, arguments: Mapping[str, Any] | None, *, seconds: float, option: str
) -> ChatTemplate:
    """Return the chat template of a model in this process, with checked arguments; raises UserError as `check` does."""
    template = ChatTemplate(
        tokenizer=tokenizer, arguments=arguments or {}, seconds=seconds, option=option, holder="model"
    )
    template.check()
    return template


@contextmanager
def _time_limit(seconds: float) -> Iterator[None]:
    """Raise _ExpiredError in the block after this time.

    Python interrupts only its main thread, and only on systems with SIGALRM: on Windows and in other threads there is
    no limit.
    """
    if not hasattr(signal, "setitimer") or threading.current_thread() is not threading.main_thread():
        yield
        return

    def expire(_: int, __: FrameType | None) -> None:
        raise _ExpiredError

    before = signal.signal(signal.SIGALRM, expire)
    others = signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, *others)
        signal.signal(signal.SIGALRM, before)
