"""Walk the conversations about judgments without the model: their calls, and the tokens of each prompt.

An answer in the store is used as it is. Another answer is not known before the run: a mark stands for it, made from the
key of its call, so that prompts are equal here if they are equal in the run. The tokens of such a prompt are counted
with the answer empty, and the answer counts as at most its limit.

Two calls whose prompts differ in nothing but unknown answers are different here. In the run they are one if the model
writes the same text for both, as may happen in a sweep over `annotate.tokens`.
"""

import re
from collections.abc import Generator, Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from legalrr.backbones.local.prefix_cache import depth_first_order
from legalrr.conversations import refusal_key
from legalrr.plan.prefix_tree import PrefixTree
from legalrr.protocols import Call, PromptTokens, Reply
from legalrr.records import Completion
from legalrr.stage import digest
from legalrr.store import Store

MARK = "\uf8ff{key}\uf8fe"
"""Stands for the unknown answer to a call; the characters are private ones."""
MARKED = re.compile(MARK.format(key="([0-9a-f]{64})"))
SAMPLES = 400
"""Number of calls that are kept for the calibration."""


@dataclass(frozen=True, kw_only=True)
class PlannedCall:
    """A call, with what is known of it before the run."""

    key: str
    """Key of the call."""
    after: str | None
    """Key of the call before it in its conversation; None: it is the first. Of a call that conversations share, that of
    one of them."""
    tokens: int
    """Tokens of the prompt, with unknown answers empty."""
    quoted: int
    """Most tokens of the unknown answers in it."""
    fresh: int
    """Of `tokens`, those that no earlier prompt begins with; of a stored call 0."""
    fresh_quoted: int
    """Most tokens of unknown answers that the model has to read again: those outside its own messages."""
    limit: int
    """Most tokens of the answer, without thoughts; 0 if answers are compared."""
    stored: bool
    """Whether the answer is in the store."""
    written: int | None
    """Tokens of a stored answer; None: not stored."""
    too_long: bool
    """Whether it exceeds the context, so that its conversation ends."""
    maybe_too_long: bool
    """Whether it would with the longest answers."""
    error: bool
    """Whether the store has a refusal of this call."""


@dataclass
class CellUse:
    """What one cell asks, over all its conversations. Calls that it shares with other cells count here too."""

    calls: int = 0
    """Calls that are answered."""
    tokens: int = 0
    """Tokens of their prompts, with unknown answers empty."""
    quoted: int = 0
    """Most tokens of the unknown answers in them."""
    limit: int = 0
    """Most tokens of their answers, without thoughts."""
    too_long: int = 0
    """Conversations that end because a prompt exceeds the context."""
    maybe_too_long: int = 0
    """Prompts that would exceed it with the longest answers."""


@dataclass(frozen=True, kw_only=True)
class Walked:
    """The calls about one judgment that are to be made, in the order of the run."""

    steps: tuple[tuple[PlannedCall, ...], ...]
    """Calls of the first turns, of the second, and so on: in each, compared answers first, in depth-first order."""


@dataclass
class Walk:
    """Conversations with one backbone."""

    engine: PromptTokens
    """Counts tokens."""
    store: Store | None
    """Stored answers; None: none can be found, as the model is not here."""
    retry_errors: bool
    """Whether refused calls are made again."""
    calls: dict[str, PlannedCall] = field(default_factory=dict)
    """Key -> call, each once."""
    samples: list[tuple[int, Call]] = field(default_factory=list)
    """Tokens and call of first turns that are to be made."""
    quoted_once: int = 0
    """Most tokens of unknown answers in distinct prompts, each answer once where it stands after the same text."""
    _tree: PrefixTree = field(default_factory=PrefixTree)
    _made: PrefixTree = field(default_factory=PrefixTree)
    _places: set[str] = field(default_factory=set)
    _limits: dict[str, int] = field(default_factory=dict)

    @property
    def distinct_tokens(self) -> int:
        """Distinct tokens of all prompts, with unknown answers empty."""
        return self._tree.tokens

    @property
    def fresh_tokens(self) -> int:
        """Distinct tokens of the prompts that are to be made."""
        return self._made.tokens

    def judgment(
        self, conversations: Mapping[Hashable, Generator[Call, Reply, Completion]], uses: Mapping[Any, CellUse]
    ) -> Walked:
        """Walk the conversations about one judgment turn by turn, to their end.

        Args:
            conversations: cell -> its conversation, not started.
            uses: cell -> its counts, which are increased.

        Raises:
            UserError: the chat template rejects a conversation.
        """
        steps: list[tuple[PlannedCall, ...]] = []
        replies: dict[Hashable, Reply | None] = dict.fromkeys(conversations)
        before: dict[Hashable, str] = {}
        while replies:
            asked: dict[Hashable, Call] = {}
            for cell, reply in replies.items():
                try:
                    asked[cell] = next(conversations[cell]) if reply is None else conversations[cell].send(reply)
                except StopIteration:
                    continue
            after = {call.key: before.get(cell) for cell, call in asked.items()}
            steps.append(self._step({call.key: call for call in asked.values()}, after))
            before = {cell: call.key for cell, call in asked.items()}
            replies = {}
            for cell, call in asked.items():
                planned, use = self.calls[call.key], uses[cell]
                replies[cell] = self._reply(call, planned)
                use.too_long += planned.too_long
                use.maybe_too_long += planned.maybe_too_long
                if not planned.too_long and not planned.error:
                    use.calls += 1
                    use.tokens += planned.tokens
                    use.quoted += planned.quoted
                    use.limit += planned.limit
        return Walked(steps=tuple(step for step in steps if step))

    def _step(self, calls: Mapping[str, Call], after: Mapping[str, str | None]) -> tuple[PlannedCall, ...]:
        """Plan the calls of one turn that were not planned before; return those that are to be made."""
        new = {key: call for key, call in calls.items() if key not in self.calls}
        emptied = {key: _without_marks(call) for key, call in new.items()}
        ids = {key: self.engine.prompt_ids(call) for key, call in emptied.items()}
        # As in the run, compared answers come first.
        kinds = [[key for key in new if bool(new[key].answers) == compared] for compared in (True, False)]
        ordered = [
            keys[place]
            for keys in kinds
            for place in depth_first_order([ids[key] for key in keys], [len(ids[key]) for key in keys])
        ]
        made = []
        for key in ordered:
            planned = self.calls[key] = self._plan(new[key], ids[key], after[key])
            if not planned.stored and not planned.too_long and not planned.error:
                made.append(planned)
                if after[key] is None and len(self.samples) < SAMPLES:
                    self.samples.append((planned.tokens, new[key]))
        return tuple(made)

    def _plan(self, call: Call, ids: Sequence[int], after: str | None) -> PlannedCall:
        self._limits[call.key] = call.max_new_tokens
        stored = self._stored(call)
        refused = stored is None and not self.retry_errors and self._is_refused(call)
        quoted = again = 0
        for key, own, place in _marks(call):
            quoted += self._limits[key]
            if place not in self._places:
                self._places.add(place)
                self.quoted_once += self._limits[key]
                again += 0 if own else self._limits[key]
        longest = max((len(self.engine.token_ends(answer)) for answer in call.answers), default=call.max_new_tokens)
        room = self.engine.context - longest
        too_long = stored.finish_reason == "overflow" if stored is not None else len(ids) > room
        make = stored is None and not too_long and not refused
        if not too_long and not refused:
            self._tree.add(ids)
        return PlannedCall(
            key=call.key,
            after=after,
            # A server may count otherwise than its tokenizer here.
            tokens=len(ids) if stored is None else stored.prompt_tokens,
            quoted=quoted,
            fresh=self._made.add(ids) if make else 0,
            fresh_quoted=again if make else 0,
            limit=call.max_new_tokens,
            stored=stored is not None,
            written=None if stored is None else stored.new_tokens,
            too_long=too_long,
            maybe_too_long=make and len(ids) + quoted > room,
            error=refused,
        )

    def _stored(self, call: Call) -> Reply | None:
        return Reply(**self.store[call.key]) if self.store is not None and call.key in self.store else None

    def _is_refused(self, call: Call) -> bool:
        return self.store is not None and refusal_key(call.key) in self.store

    def _reply(self, call: Call, planned: PlannedCall) -> Reply:
        if planned.error:
            assert self.store is not None
            return Reply(**self.store[refusal_key(call.key)])
        stored = self._stored(call)
        if stored is not None:
            return stored
        return Reply(
            text="" if planned.too_long else MARK.format(key=call.key),
            finish_reason="overflow" if planned.too_long else "stop",
            prompt_tokens=planned.tokens,
            cached_tokens=0,
            new_tokens=0,
            seconds=0.0,
        )


def _texts(content: str | Sequence[Mapping[str, Any]]) -> list[str]:
    return [content] if isinstance(content, str) else [part["text"] for part in content if part["type"] == "text"]


def _marks(call: Call) -> list[tuple[str, bool, str]]:
    """Return the marks of a call: key of the answer, whether it is a message of the model, digest of what precedes."""
    found, before = [], ""
    for message in call.messages:
        before += f"\n{message['role']}\n"
        for text in _texts(message["content"]):
            for mark in MARKED.finditer(text):
                place = digest([before + text[: mark.start()], mark[1]])
                found.append((mark[1], message["role"] == "assistant", place))
            before += text
    return found


def _without_marks(call: Call) -> Call:
    """Return the call with unknown answers empty."""
    messages = []
    for message in call.messages:
        content = message["content"]
        if isinstance(content, str):
            emptied: Any = MARKED.sub("", content)
        else:
            emptied = [part | {"text": MARKED.sub("", part["text"])} if "text" in part else part for part in content]
        messages.append({**message, "content": emptied})
    return replace(call, messages=tuple(messages))
