"""Prompts and answers of the judgments of a report, stored without duplicates.

The record of a judgment holds its text, each document shown to a model and each answer once; a prompt is a list of
parts that refer to them. A part of a message is one of

    "words"                  literal text
    17, -3                   a shared string: of the page (0 and up), of this judgment (-1 and down)
    {"document": 0}          the judgment as shown: blocks of its text with the separators between them
    {"turn": "ratio"}        the answer of an earlier turn

Joining the parts returns the message, character by character.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from legalrr.predictions import Prediction

Record = Mapping[str, Any]
"""A judgment as a line of judgments.jsonl.gz."""
Part = str | int | dict[str, Any]
MIN_SHARED = 24
"""Minimum length of a shared string, in characters."""
MIN_QUOTED = 24
"""Minimum length of an answer that is searched for inside a longer message, in characters."""


@dataclass
class Phrases:
    """Strings that occur in prompts on several judgments.

    The first judgment that uses a string stores it; from the second one on the string is shared.
    """

    shared: dict[str, int] = field(default_factory=dict)
    """String -> its number."""
    seen: dict[str, str] = field(default_factory=dict)
    """String -> the first judgment that uses it."""

    def part(self, text: str, judgment: str, own: dict[str, int]) -> Part:
        """Return the string as a part; may add it to `own`, the strings stored with the judgment."""
        if len(text) < MIN_SHARED:
            return text
        if text not in self.shared and self.seen.setdefault(text, judgment) != judgment:
            self.shared[text] = len(self.shared)
        if text in self.shared:
            return self.shared[text]
        return -1 - own.setdefault(text, len(own))


@dataclass
class Conversations:
    """Record of one judgment, built row by row."""

    judgment: str
    """Number of the collection and id: unique in the report."""
    record: Record | None
    """The judgment; None if no run folder holds it."""
    phrases: Phrases
    """Shared by all judgments of the page."""
    own: dict[str, int] = field(default_factory=dict)
    """String stored with this judgment -> its number."""
    documents: dict[str, int] = field(default_factory=dict)
    """Document as JSON -> number."""
    answers: dict[str, Any] = field(default_factory=dict)
    """Cell -> answer and prompts."""

    def add(self, cell: int, row: Prediction) -> None:
        """Add the row of one cell, with its messages in full (`legalrr.sent_messages.restore`)."""
        messages = _text_messages(row.messages)
        number, whole = self._document(row, messages)
        turns = [{key: value for key, value in turn.items() if value is not None} for turn in row.turns]
        self.answers[str(cell)] = {
            "document": number,
            "verdict": row.verdict,
            "reason": row.reason,
            "span": row.span,
            "p": row.p_allowed,
            "error": row.error,
            "turns": turns,
            "sent": self._conversation(messages, number, whole, turns),
            "earlier": [
                [
                    earlier["turn"],
                    self._conversation(_text_messages(earlier["messages"]), number, whole, turns),
                ]
                for earlier in row.earlier
            ],
        }

    def as_json(self) -> dict[str, Any]:
        """Return the record as the page reads it."""
        return {
            "text": None if self.record is None else self.record["text"],
            "strings": list(self.own),
            "documents": [json.loads(document) for document in self.documents],
            "answers": self.answers,
        }

    def _document(self, row: Prediction, messages: Sequence[Mapping[str, str]]) -> tuple[int, str | None]:
        """Return the number of the document of a row, and its text in the prompt; None if the text is not found."""
        shown = row.shown or []
        blocks = [] if self.record is None else [self.record["text"][start:end] for _, start, end in shown]
        between = next((found for m in messages if (found := _separators(m["content"], blocks)) is not None), None)
        document = {
            "shown": shown,
            "hidden": row.hidden,
            "dropped": row.dropped_tokens,
            "skipped": row.skipped,
            "between": between,
        }
        number = self.documents.setdefault(json.dumps(document), len(self.documents))
        return number, None if between is None else _join_blocks(between, blocks)

    def _conversation(
        self, messages: Sequence[Mapping[str, str]], number: int, whole: str | None, turns: Sequence[Mapping[str, Any]]
    ) -> list[Any]:
        return [[m["role"], *self._parts(m["content"], number, whole, turns)] for m in messages]

    def _parts(self, content: str, number: int, whole: str | None, turns: Sequence[Mapping[str, Any]]) -> list[Part]:
        parts: list[Part] = [content]
        if whole and whole in content:
            parts = _replace_first(parts, whole, {"document": number})
        for turn in turns:
            text = turn["text"]
            if text == content:
                return [{"turn": turn["name"]}]
            if len(text) >= MIN_QUOTED and text in content:
                parts = _replace_first(parts, text, {"turn": turn["name"]})
        return [self.phrases.part(part, self.judgment, self.own) if isinstance(part, str) else part for part in parts]


def _separators(content: str, blocks: Sequence[str]) -> list[str] | None:
    """Return the separators between blocks in a message; None unless the blocks occur in this order."""
    if not blocks:
        return None
    at = content.find(blocks[0])
    if at < 0:
        return None
    at += len(blocks[0])
    found = []
    for block in blocks[1:]:
        start = content.find(block, at)
        if start < 0:
            return None
        found.append(content[at:start])
        at = start + len(block)
    return found


def _join_blocks(between: Sequence[str], blocks: Sequence[str]) -> str:
    return blocks[0] + "".join(gap + block for gap, block in zip(between, blocks[1:], strict=True))


def _replace_first(parts: Sequence[Part], needle: str, mark: dict[str, Any]) -> list[Part]:
    """Return the parts with a mark in place of the first occurrence of a string."""
    for number, part in enumerate(parts):
        if isinstance(part, str) and (at := part.find(needle)) >= 0:
            around: list[Part] = [part[:at], mark, part[at + len(needle) :]]
            return [*parts[:number], *(piece for piece in around if piece != ""), *parts[number + 1 :]]
    return list(parts)


def _text_messages(messages: Sequence[Mapping[str, Any]]) -> list[dict[str, str]]:
    """Return messages as text, with a note in place of each page image."""
    return [{"role": m["role"], "content": _content_text(m["content"])} for m in messages]


def _content_text(content: str | Sequence[Mapping[str, Any]]) -> str:
    if isinstance(content, str):
        return content
    return "".join(
        part["text"] if part["type"] == "text" else f"[image of page {part['number']} at {part['dpi']} dots per inch]"
        for part in content
    )
