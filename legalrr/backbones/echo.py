"""A backbone without a model, whose answers follow from a hash of the conversation: for tests and dry runs.

A token is a word. The answers mean nothing; context, cut-off, overflow and batches are handled as for a real model.
"""

import hashlib
import math
import re
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from legalrr.backbones.piece_ids import piece_ids
from legalrr.protocols import Abilities, Call, CallQueue, Reply
from legalrr.stage import at_least, check_fields, digest, runtime

WORD = re.compile(r"\S+")
YES_OR_NO = ("YES", "NO")
WORDS = (
    "the",
    "court",
    "finds",
    "that",
    "appeal",
    "order",
    "below",
    "was",
    "made",
    "in",
    "law",
    "and",
    "record",
    "shows",
)
"""Vocabulary of longer answers."""


@dataclass(frozen=True, kw_only=True)
class EchoBackbone:
    """The mock model: answers YES or NO if the question contains both words, otherwise some words."""

    name: str = runtime(default="echo")
    """Name in tables."""
    context: int = at_least(1, 8192)
    """Maximum number of words of prompt plus answer."""
    invalid_every: int = at_least(0, 0)
    """One in this many yes/no answers, by hash, is neither; 0: none."""
    cut_every: int = at_least(0, 0)
    """One in this many answers, by hash, is cut off at its maximum length; 0: none."""
    seed: int = 0
    """Seed of the hash."""
    seconds_per_call: float = at_least(0, 0.0, runtime=True)
    """Simulated duration of a call, in seconds."""
    batch: int = at_least(1, 8, runtime=True)
    """Calls per batch."""

    VERSION: ClassVar[int] = 1

    def __post_init__(self) -> None:
        """Validate the fields; raise UserError for a number out of range."""
        check_fields(self, "backbone")

    def provenance(self) -> Mapping[str, Any]:
        """Return nothing: the fields identify the backbone."""
        return {}

    def repeated(self, repetition: int) -> "EchoBackbone":
        """See `legalrr.protocols.RepeatableBackbone`: repetitions differ in their seed."""
        return replace(self, seed=self.seed + repetition - 1)

    def load(self) -> "EchoEngine":
        """Return the engine."""
        return EchoEngine(self)


class EchoEngine:
    """The engine of `EchoBackbone`."""

    can = Abilities(logprobs=True, structured=True, images=False, seed=False)
    holds = None

    def __init__(self, backbone: EchoBackbone) -> None:
        self.context = backbone.context
        self._backbone = backbone

    def token_ends(self, text: str) -> list[int]:
        """See `legalrr.protocols.Tokens`."""
        return [match.end() for match in WORD.finditer(text)]

    def prompt_ids(self, call: Call) -> list[int]:
        """See `legalrr.protocols.PromptTokens`."""
        return piece_ids(call.messages, self)

    def answer(self, queue: CallQueue) -> Iterator[list[tuple[str, Reply]]]:
        """See `legalrr.protocols.Engine`; replies come in the order of the calls.

        The probabilities of compared answers sum to one.
        """
        while batch := queue.take(self._backbone.batch):
            time.sleep(self._backbone.seconds_per_call * len(batch))
            yield [
                (call.key, self._comparison_reply(call) if call.answers else self._generated_reply(call))
                for call in batch
            ]

    def _generated_reply(self, call: Call) -> Reply:
        prompt_tokens = self._count(call)
        if prompt_tokens + call.max_new_tokens > self.context:
            return self._reply(prompt_tokens, "", cut=False, overflow=True)
        words, cut = self._words(call)
        return self._reply(prompt_tokens, " ".join(words), cut=cut)

    def _words(self, call: Call) -> tuple[list[str], bool]:
        """Return the words of an answer, and whether it is cut off."""
        conversation = self._conversation(call)
        if call.choices:
            words = _most_probable(conversation, call.choices).split()
            return words[: call.max_new_tokens], len(words) > call.max_new_tokens
        if self._is_selected(self._backbone.cut_every, conversation, "cut"):
            return self._first_words(conversation, call.max_new_tokens), True
        if set(YES_OR_NO) <= set(re.findall(r"\w+", call.messages[-1]["content"])):
            if self._is_selected(self._backbone.invalid_every, conversation, "invalid"):
                return ["Undecided."][: call.max_new_tokens], False
            return [_most_probable(conversation, YES_OR_NO)], False
        length = 1 + _hash(conversation, "length") % call.max_new_tokens
        return self._first_words(conversation, length), False

    @staticmethod
    def _first_words(conversation: str, count: int) -> list[str]:
        return [WORDS[_hash(conversation, "word", place) % len(WORDS)] for place in range(count)]

    def _comparison_reply(self, call: Call) -> Reply:
        prompt_tokens = self._count(call)
        longest = max(len(self.token_ends(answer)) for answer in call.answers)
        if prompt_tokens + longest > self.context:
            return self._reply(prompt_tokens, "", cut=False, overflow=True)
        conversation = self._conversation(call)
        weights = {answer: _weight(conversation, answer) for answer in call.answers}
        total = sum(weights.values())
        logprobs = {answer: math.log(weight / total) for answer, weight in weights.items()}
        return self._reply(prompt_tokens, "", cut=False, logprobs=logprobs)

    def _conversation(self, call: Call) -> str:
        return digest([self._backbone.seed, *(dict(message) for message in call.messages)])

    def _count(self, call: Call) -> int:
        return sum(len(self.token_ends(message["content"])) for message in call.messages)

    def _is_selected(self, every: int, conversation: str, what: str) -> bool:
        return every > 0 and _hash(conversation, what) % every == 0

    def _reply(
        self,
        prompt_tokens: int,
        text: str,
        *,
        cut: bool,
        overflow: bool = False,
        logprobs: Mapping[str, float] | None = None,
    ) -> Reply:
        return Reply(
            text=text,
            finish_reason="overflow" if overflow else "length" if cut else "stop",
            prompt_tokens=prompt_tokens,
            cached_tokens=0,
            new_tokens=len(self.token_ends(text)),
            seconds=self._backbone.seconds_per_call,
            logprobs=logprobs,
        )


def _most_probable(conversation: str, answers: Sequence[str]) -> str:
    return max(answers, key=lambda answer: _weight(conversation, answer))


def _weight(conversation: str, answer: str) -> float:
    """Return a number above 0 and at most 1."""
    return (1 + _hash(conversation, "answer", answer)) / 2**64


def _hash(*parts: object) -> int:
    """Hash `parts` to a number below 2**64."""
    return int.from_bytes(hashlib.sha256(repr(parts).encode("utf-8", "surrogatepass")).digest()[:8], "big")
