"""Judgments about which the cells of a sweep have held all their conversations, stored beside the answers.

A later sweep of the same cells need not build the prompts about them before its cells run. It may err: if answers were
deleted since, the cells make these calls themselves.
"""

from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from pathlib import Path

from legalrr.records import Completion
from legalrr.store import Store

BATCH = 256
"""Judgments that are written at once."""


@dataclass
class _Group:
    """Conversations about a judgment under way."""

    key: str
    left: int
    """Number of those that have not ended."""
    whole: bool = True
    """Whether no call was refused."""


class HeldConversations:
    """The store of these judgments.

    Args:
        answers: folder of the answers.
    """

    def __init__(self, answers: Path) -> None:
        self._store = Store(answers / "held", {"held": "judgments with all conversations of some cells"})
        self._open: dict[Hashable, _Group] = {}
        self._unwritten: list[tuple[str, None]] = []

    def __contains__(self, key: str) -> bool:
        """Whether all conversations of a group have been held."""
        return key in self._store

    def start(self, key: str, conversations: Iterable[Hashable]) -> None:
        """Note the conversations of a group."""
        keys = list(conversations)
        group = _Group(key, len(keys))
        self._open |= dict.fromkeys(keys, group)

    def end(self, conversation: Hashable, completion: Completion) -> None:
        """Note that a conversation has ended; raises UserError if that cannot be written."""
        group = self._open.pop(conversation, None)
        if group is None:
            return
        group.left -= 1
        group.whole &= completion.error is None
        if group.whole and not group.left:
            self._unwritten.append((group.key, None))
            if len(self._unwritten) >= BATCH:
                self._write()

    def close(self) -> None:
        """Write what has ended; raises UserError if that fails."""
        self._write()
        self._store.close()

    def _write(self) -> None:
        self._store.add(self._unwritten)
        self._unwritten = []
