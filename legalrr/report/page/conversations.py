"""What was said about one judgment in all cells, in few words: the judgment once, each way of showing it once, each
answer once, and every prompt as parts that point to them.

A part of a message is one of

    "words"                  as they stand
    17, -3                   a string that prompts share: of the whole page (0 and up), of this judgment (-1 down)
    {"document": 0}          the judgment as it was shown: blocks of the text, with what stands between them
    {"turn": "ratio"}        the answer of an earlier turn

Putting the parts together gives the message back, character by character.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from legalrr.predictions import Prediction
from legalrr.report.page.sources import Record

Part = str | int | dict[str, Any]
MIN_SHARED = 24
"""Characters from which a string is worth a place of its own."""
MIN_QUOTED = 24
"""Characters from which an answer is looked for inside of a longer message."""


@dataclass
class Phrases:
    """Strings that prompts about several judgments share; found while judgments go by.

    The first judgment that holds a string keeps it for itself; from the second one on it is shared.
    """

    shared: dict[str, int] = field(default_factory=dict)
    """String -> its number."""
    seen: dict[str, str] = field(default_factory=dict)
    """String -> the judgment that holds it."""

    def part(self, text: str, judgment: str, own: dict[str, int]) -> Part:
        """The string as a part; `own` are the strings that the judgment keeps, and grows."""
        if len(text) < MIN_SHARED:
            return text
        if text not in self.shared and self.seen.setdefault(text, judgment) != judgment:
            self.shared[text] = len(self.shared)
        if text in self.shared:
            return self.shared[text]
        return -1 - own.setdefault(text, len(own))


@dataclass
class Conversations:
    """The record of one judgment, row by row."""

    judgment: str
    """Its id, with its corpus: unique in the report."""
    record: Record | None
    """The judgment; None where no run folder holds it."""
    phrases: Phrases
    """Shared by all judgments of the page."""
    own: dict[str, int] = field(default_factory=dict)
    """Strings that this judgment alone holds -> number."""
    documents: dict[str, int] = field(default_factory=dict)
    """Document as JSON -> number."""
    answers: dict[str, Any] = field(default_factory=dict)
    """Cell -> what it said."""

    def add(self, cell: int, row: Prediction) -> None:
        """Take in the row of one cell."""
        messages = _spoken(row.messages)
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
                [earlier["turn"], self._conversation(_spoken(_restored(earlier, row.messages)), number, whole, turns)]
                for earlier in row.earlier
            ],
        }

    def as_json(self) -> dict[str, Any]:
        """The record, as the page reads it."""
        return {
            "text": None if self.record is None else self.record["text"],
            "strings": list(self.own),
            "documents": [json.loads(document) for document in self.documents],
            "answers": self.answers,
        }

    def _document(self, row: Prediction, messages: Sequence[Mapping[str, str]]) -> tuple[int, str | None]:
        """Number of the document that a row shows, and the document as it stands in the prompt; None if it does not."""
        shown = row.shown or []
        blocks = [] if self.record is None else [self.record["text"][start:end] for _, start, end in shown]
        between = next((found for m in messages if (found := _between(m["content"], blocks)) is not None), None)
        document = {
            "shown": shown,
            "hidden": row.hidden,
            "dropped": row.dropped_tokens,
            "skipped": row.skipped,
            "between": between,
        }
        number = self.documents.setdefault(json.dumps(document), len(self.documents))
        return number, None if between is None else _joined(between, blocks)

    def _conversation(
        self, messages: Sequence[Mapping[str, str]], number: int, whole: str | None, turns: Sequence[Mapping[str, Any]]
    ) -> list[Any]:
        return [[m["role"], *self._parts(m["content"], number, whole, turns)] for m in messages]

    def _parts(self, content: str, number: int, whole: str | None, turns: Sequence[Mapping[str, Any]]) -> list[Part]:
        parts: list[Part] = [content]
        if whole and whole in content:
            parts = _cut(parts, whole, {"document": number})
        for turn in turns:
            text = turn["text"]
            if text == content:
                return [{"turn": turn["name"]}]
            if len(text) >= MIN_QUOTED and text in content:
                parts = _cut(parts, text, {"turn": turn["name"]})
        return [self.phrases.part(part, self.judgment, self.own) if isinstance(part, str) else part for part in parts]


def _between(content: str, blocks: Sequence[str]) -> list[str] | None:
    """What stands in a message before every block but the first; None where the blocks do not follow one another."""
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


def _joined(between: Sequence[str], blocks: Sequence[str]) -> str:
    return blocks[0] + "".join(gap + block for gap, block in zip(between, blocks[1:], strict=True))


def _cut(parts: Sequence[Part], needle: str, mark: dict[str, Any]) -> list[Part]:
    """The parts with a mark in the place of the first occurrence of a string."""
    for number, part in enumerate(parts):
        if isinstance(part, str) and (at := part.find(needle)) >= 0:
            around: list[Part] = [part[:at], mark, part[at + len(needle) :]]
            return [*parts[:number], *(piece for piece in around if piece != ""), *parts[number + 1 :]]
    return list(parts)


def _spoken(messages: Sequence[Mapping[str, Any]]) -> list[dict[str, str]]:
    """Messages in words alone: an image stands as the page that it is of."""
    return [{"role": m["role"], "content": _words(m["content"])} for m in messages]


def _words(content: str | Sequence[Mapping[str, Any]]) -> str:
    if isinstance(content, str):
        return content
    return "".join(
        part["text"] if part["type"] == "text" else f"[image of page {part['number']} at {part['dpi']} dots per inch]"
        for part in content
    )


def _restored(earlier: Mapping[str, Any], last: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """An earlier conversation from its difference to the last one (`legalrr.run_folder`)."""
    return [
        {"role": role, "content": last[at]["content"][:same] + rest if same else rest}
        for at, (role, same, rest) in enumerate(earlier["messages"])
    ]
