"""Encode the messages of a row without the texts that other files hold, and restore them.

A message in predictions.jsonl is `{"role", "parts"}`; joining its parts gives its content. A part is one of

    "words"                   literal text
    {"lines": [2, 5]}         lines 2 to 4 of `prompt_lines` in run.json, joined by line breaks
    {"shown": [0, 9]}         the first nine passages of `shown`, joined by line breaks
    {"judgment": [120, 180]}  these characters of the judgment
    {"turn": "ratio"}         the answer of that turn
    {"page": 0}               the image of the first page of `pages.shown`
    {"image": {...}}          the image of another page, with the values of `Page.seen`

`prompt_lines` are the lines of the prompt about the first judgment of the cell: its words recur in those about the
others. Rows of format 1 have `{"role", "content"}`, and earlier conversations as differences to the last one.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from itertools import takewhile
from pathlib import Path
from typing import Any

from legalrr.errors import UserError, file_errors
from legalrr.judgment_files import JudgmentTexts
from legalrr.predictions import PREDICTIONS, Prediction, damaged_line, read_predictions
from legalrr.records import Block, Case, Completion, Message, Page, Part, PromptTurn, Quote
from legalrr.truncate import render_text
from legalrr.typed_json import load_json
from legalrr.verdict import BLANK

MIN_SHARED = 32
"""Minimum length of a text that is replaced by a reference, in characters."""
RECENT = 64
"""Number of literal texts whose parts are kept: those before and after the judgment are the same in many prompts."""
EncodedPart = str | dict[str, Any]


class MessageEncoder:
    """Encodes the messages of a cell.

    Args:
        first: the case of its first judgment; None: literal texts stay in the rows.
    """

    def __init__(self, first: Case | None = None) -> None:
        self.lines: list[str] = []
        """Lines that rows refer to, for `restore`."""
        self._places: dict[str, list[int]] = {}
        """Line -> its places in `lines`."""
        self._literal = lru_cache(maxsize=RECENT)(self._literal_parts)
        if first is not None:
            self._learn(first)

    def encode(
        self, case: Case, completion: Completion, pages: Sequence[Mapping[str, Any]] = ()
    ) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        """Encode what was sent about a judgment.

        Args:
            case: its prompt and document.
            completion: the answers.
            pages: pages shown as images, as listed under `pages.shown` in the row.

        Returns:
            The conversation of the last turn, empty for a baseline; and the earlier ones that are not a prefix of it
            (layout `study`, the prior of `calibrated`), by turn.
        """
        answers = {turn.name: turn.text for turn in completion.turns if turn.name != BLANK}
        turns = list(takewhile(lambda turn: turn.name in answers, case.prompt.turns))
        last = turns.pop().messages if turns else ()
        if case.prompt.blank is not None and any(turn.name == BLANK for turn in completion.turns):
            turns.insert(0, replace(case.prompt.blank, name=BLANK))
        shown = _DocumentParts(case)
        return (
            [self._message(one, shown, pages) for one in last],
            [
                {"turn": turn.name, "messages": [self._message(one, shown, pages) for one in turn.messages]}
                for turn in turns
                if not _is_prefix(turn.messages, last, answers)
            ],
        )

    def _learn(self, case: Case) -> None:
        """Add the lines of the prompt about a judgment that are not known yet, without its text."""
        shown = _DocumentParts(case)
        for part in _texts(case):
            for piece in shown.split(part):
                new = [one for one in self._literal_parts(piece) if isinstance(one, str)]
                for line in [line for text in new for line in text.split("\n")]:
                    self._places.setdefault(line, []).append(len(self.lines))
                    self.lines.append(line)

    def _message(self, message: Message, shown: "_DocumentParts", pages: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        parts: list[EncodedPart] = []
        for part in message.parts:
            if isinstance(part, Quote):
                parts.append({"turn": part.turn})
            elif isinstance(part, Page):
                seen = part.seen()
                parts.append({"page": pages.index(seen)} if seen in pages else {"image": seen})
            else:
                before, *after = shown.split(part)
                parts += self._literal(before)
                for piece in after:
                    parts += [*shown.parts, *self._literal(piece)]
        return {"role": message.role, "parts": parts}

    def _literal_parts(self, text: str) -> tuple[EncodedPart, ...]:
        """Return a text as known lines and what is between them."""
        lines = text.split("\n")
        parts: list[EncodedPart] = []
        number = at = kept = 0
        while number < len(lines):
            place, count = self._longest_run(lines, number)
            length = sum(map(len, lines[number : number + count])) + count - 1
            if length < MIN_SHARED:
                at += len(lines[number]) + 1
                number += 1
                continue
            parts += [*([text[kept:at]] if kept < at else ()), {"lines": [place, place + count]}]
            kept = at + length
            at = kept + 1
            number += count
        return (*parts, text[kept:]) if kept < len(text) else tuple(parts)

    def _longest_run(self, lines: Sequence[str], start: int) -> tuple[int, int]:
        """Return place and number of the most known lines that equal those from `start` on."""
        best = (0, 0)
        for place in self._places.get(lines[start], ()):
            pairs = zip(lines[start:], self.lines[place:], strict=False)
            count = sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
            if count > best[1]:
                best = (place, count)
        return best


class _DocumentParts:
    """The judgment as shown in a prompt, as references to its passages."""

    def __init__(self, case: Case) -> None:
        self._text = "" if case.document.pictured else render_text(case.document)
        self.parts = _passages(case.judgment.text, case.document.blocks, self._text)

    def split(self, text: str) -> list[str]:
        """Return what is before, between and after the occurrences of the judgment in a text."""
        return text.split(self._text) if len(self._text) >= MIN_SHARED else [text]


def _passages(judgment: str, blocks: Sequence[Block], shown: str) -> list[EncodedPart]:
    """Return the rendered document `shown` as references to its blocks; as it is if they do not occur in order."""
    parts: list[EncodedPart] = []
    at = run = 0
    for number, block in enumerate(blocks):
        if not judgment.startswith(block.text, block.start):
            return [shown]
        if number == run and number and shown.startswith("\n", at) and shown.startswith(block.text, at + 1):
            assert isinstance(parts[-1], dict)
            parts[-1] = {"shown": [parts[-1]["shown"][0], number + 1]}
            at += 1 + len(block.text)
            run = number + 1
            continue
        found, text, part = shown.find(block.text, at), block.text, {"shown": [number, number + 1]}
        if found < 0:
            # The ends of the document are without white space.
            text = block.text.strip()
            start = block.start + len(block.text) - len(block.text.lstrip())
            found, part = shown.find(text, at), {"judgment": [start, start + len(text)]}
            if found < 0:
                return [shown]
        else:
            run = number + 1
        parts += [*([shown[at:found]] if at < found else ()), part]
        at = found + len(text)
    return [*parts, shown[at:]] if at < len(shown) else parts


def _texts(case: Case) -> dict[str, None]:
    """Return the texts of all turns of a prompt, each once, in order."""
    blank = case.prompt.blank
    turns: tuple[PromptTurn, ...] = case.prompt.turns if blank is None else (*case.prompt.turns, blank)
    return {
        part: None for turn in turns for message in turn.messages for part in message.parts if isinstance(part, str)
    }


def _is_prefix(sent: Sequence[Message], last: Sequence[Message], answers: Mapping[str, str]) -> bool:
    """Whether a conversation is how the last one starts."""
    start = last[: len(sent)]
    # Most share their messages, which need not be filled in.
    return tuple(sent) == tuple(start) or [one.fill(answers) for one in sent] == [one.fill(answers) for one in start]


def restore(row: Prediction, *, text: str | None, lines: Sequence[str], where: str) -> Prediction:
    """Return a row with all that was sent in full.

    Args:
        row: the row, also of format 1.
        text: text of its judgment; None: no file has it, as with runs of earlier versions.
        lines: `prompt_lines` of its run.json.
        where: file and line, for messages.

    Returns:
        The row with `messages` as `{"role", "content"}` (`legalrr.records.Message.fill`), and `earlier` as `{"turn",
        "messages"}` with the same.

    Raises:
        UserError: the messages refer to a text that is not there.
    """
    parts = _Parts(row, text, lines, where)
    messages = [parts.message(one) for one in row.messages]
    return replace(
        row,
        messages=messages,
        earlier=[
            {
                "turn": one["turn"],
                "messages": [
                    parts.message(sent) if isinstance(sent, Mapping) else parts.difference(sent, at, messages)
                    for at, sent in enumerate(one["messages"])
                ],
            }
            for one in row.earlier
        ],
    )


def read_restored(folder: Path) -> Iterator[Prediction]:
    """Yield the rows of a run folder as `restore` returns them.

    Raises:
        UserError: a file is missing or damaged.
    """
    record, texts = folder / "run.json", JudgmentTexts(folder)
    with file_errors(record):
        try:
            lines = load_json(record.read_bytes()).get("prompt_lines") or ()
        except (ValueError, AttributeError) as error:
            raise UserError("not a JSON object", where=str(record), cure="run the cell again") from error
    for where, _, row in read_predictions(folder / PREDICTIONS):
        # Messages of format 1 are in full, and those of baselines are empty.
        refers = any(message.get("parts") is not None for message in row.messages)
        yield restore(row, text=texts.of(row.id) if refers else None, lines=lines, where=where)


class _Parts:
    """What the parts of the messages of a row stand for."""

    def __init__(self, row: Prediction, text: str | None, lines: Sequence[str], where: str) -> None:
        self._row = row
        self._text = text
        self._lines = lines
        self._where = where
        self._answers = {turn["name"]: turn["text"] for turn in row.turns} if row.messages else {}

    def message(self, message: Mapping[str, Any]) -> dict[str, Any]:
        """Return a message in full."""
        if message.get("parts") is None:
            return {"role": message["role"], "content": message["content"]}
        parts = tuple(self._part(one) for one in message["parts"])
        try:
            return Message(role=message["role"], parts=parts).fill(self._answers)
        except KeyError as error:
            raise damaged_line(self._where, f"no answer of turn {error}") from error

    def difference(self, message: Sequence[Any], at: int, last: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
        """Return message `at` of an earlier conversation of format 1: role, number of shared characters, rest."""
        role, same, rest = message
        if not same:
            return {"role": role, "content": rest}
        try:
            return {"role": role, "content": last[at]["content"][:same] + rest}
        except (IndexError, TypeError) as error:
            raise damaged_line(self._where, "an earlier conversation does not fit the last one") from error

    def _part(self, part: str | Mapping[str, Any]) -> Part:
        if isinstance(part, str):
            return part
        ((kind, value),) = part.items()
        if kind == "turn":
            return Quote(turn=value)
        if kind == "lines":
            return "\n".join(self._slice(self._lines, value, "prompt_lines"))
        if kind == "shown":
            return "\n".join(self._judgment(a, b) for _, a, b in self._slice(self._row.shown or (), value, "shown"))
        if kind == "judgment":
            return self._judgment(*value)
        if kind == "page":
            pages = (self._row.pages or {}).get("shown")
            (value,) = self._slice(pages if isinstance(pages, list) else (), (value, value + 1), "pages.shown")
        try:
            return Page(path="", sha256=value["sha256"], number=value["number"], dpi=value["dpi"], start=0, end=0)
        except (KeyError, TypeError) as error:
            raise damaged_line(self._where, "a page of a message is damaged") from error

    def _judgment(self, start: int, end: int) -> str:
        if self._text is None:
            raise UserError(
                "the messages refer to the text of the judgment, which is missing",
                where=self._where,
                cure="copy the file of the judgments that run.json names",
            )
        return "".join(self._slice(self._text, (start, end), "the judgment"))

    def _slice(self, whole: Sequence[Any], place: Sequence[int], name: str) -> Sequence[Any]:
        start, end = place
        if not start <= end <= len(whole):
            raise damaged_line(self._where, f"a message refers to {start} to {end} of {name}")
        return whole[start:end]
