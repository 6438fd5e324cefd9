"""Read what models wrote before their answers, and the court's own text of the same roles, from a run folder.

The turns are in predictions.jsonl, the places of the court's text in references.jsonl (its words in those of format 1).
Both are read row by row, so that the texts of one judgment are in memory at a time.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, Literal

from legalrr.errors import UserError
from legalrr.judgment_files import JudgmentTexts
from legalrr.predictions import PREDICTIONS, Count, damaged_line, read_predictions, read_rows
from legalrr.records import replace_surrogates
from legalrr.score.metrics import Pair
from legalrr.stage import digest
from legalrr.typed_json import JsonError, load_json, parse
from legalrr.verdict import reasoning_end

REFERENCES = "references.jsonl"
Lacking = Literal["no turn", "no text"]
"""Text that a judgment lacks: the model's turn, which was not asked for after an overflow, or the court's."""


@dataclass(frozen=True, kw_only=True)
class Explanation:
    """Generated turn about one judgment, and the court's text of the same role."""

    id: str
    """Id of the judgment."""
    turn: str
    """analysis, statutes, ratio or ruling."""
    role: str
    """Role of the court's text."""
    source: str
    """Source of the court's text: `gold`, or the name of the segmenter."""
    generated: str
    """Generated text without thoughts, normalised by `legalrr.records.replace_surrogates`."""
    court: str
    """The court's text."""
    cut_off: bool
    """Whether the turn was cut off."""

    @property
    def pair(self) -> Pair:
        """The two texts as input of a metric."""
        return self.generated, self.court

    @property
    def key(self) -> str:
        """Key of the scores in a store."""
        return digest(self.pair)


@dataclass(frozen=True, kw_only=True)
class Explanations:
    """Explanations of a cell, and the judgments that lack one of the two texts."""

    found: tuple[Explanation, ...]
    """Generated turns with a court's text of the same role, in the order of the file."""
    no_turn: Mapping[str, tuple[str, ...]]
    """Turn -> ids of judgments with a court's text but without the turn, because of an overflow."""
    no_text: Mapping[str, tuple[str, ...]]
    """Turn -> ids of judgments without a court's text of that role."""

    @property
    def turns(self) -> tuple[str, ...]:
        """Names of the turns, in the order of the conversation."""
        return tuple(self.no_turn)


@dataclass(frozen=True, kw_only=True)
class _Reference:
    """The court's text of the role of a turn: spans of the judgment, or in files of format 1 the text."""

    name: str
    role: str
    spans: Sequence[tuple[Count, Count]] | None = None
    text: str | None = None


@dataclass(frozen=True, kw_only=True)
class _ReferenceLine:
    """A line of references.jsonl."""

    id: str
    source: str
    turns: Sequence[_Reference]


def read_explanations(folder: Path) -> Explanations | None:
    """Read the explanations of a run folder; None for arms that answer directly.

    Raises:
        UserError: a damaged line.
    """
    if not (folder / REFERENCES).is_file():
        return None
    found: list[Explanation] = []
    lacking: dict[str, dict[str, list[str]]] = {"no turn": {}, "no text": {}}
    for id, turn, one in iterate_explanations(folder):
        for ids in lacking.values():
            ids.setdefault(turn, [])
        if isinstance(one, Explanation):
            found.append(one)
        else:
            lacking[one][turn].append(id)
    no_turn, no_text = ({turn: tuple(ids) for turn, ids in one.items()} for one in lacking.values())
    return Explanations(found=tuple(found), no_turn=no_turn, no_text=no_text)


def iterate_explanations(folder: Path) -> Iterator[tuple[str, str, Explanation | Lacking]]:
    """Yield the id, the turn and the explanation of every turn in references.jsonl, in its order.

    Raises:
        UserError: a damaged line.
    """
    path = folder / PREDICTIONS
    texts = JudgmentTexts(folder)
    places: dict[str, tuple[int, int]] = {}
    for where, place, one in read_predictions(path):
        for turn in one.turns:
            _text_field(turn, "name", where, "prediction")
        places[one.id] = place
    with path.open("rb") as file:
        for where, row in read_rows(folder / REFERENCES, "reference"):
            try:
                line = parse(_ReferenceLine, row)
            except JsonError as fault:
                raise damaged_line(where, str(fault), "reference") from fault
            answers = _turns(file, places[line.id], path) if line.id in places else {}
            for reference in line.turns:
                court = _court_text(line, reference, texts, where)
                yield line.id, reference.name, _explanation(line, reference, court, answers, f"{path}, {line.id}")


def _court_text(line: _ReferenceLine, reference: _Reference, texts: JudgmentTexts, where: str) -> str:
    """Return the court's text of a role; the judgments are read only if the file refers to them."""
    if reference.spans is None:
        if reference.text is None:
            raise damaged_line(where, f"turn {reference.name!r} has neither spans nor text", "reference")
        return reference.text
    text = texts.of(line.id) if reference.spans else ""
    return "\n".join(text[start:end] for start, end in reference.spans)


def _turns(file: IO[bytes], place: tuple[int, int], path: Path) -> dict[str, Mapping[str, Any]]:
    """Return the turns of a row of predictions.jsonl by name."""
    file.seek(place[0])
    try:
        row = load_json(file.read(place[1]))
    except ValueError as error:
        raise UserError("changed while it was read", where=str(path), cure="try again") from error
    return {turn["name"]: turn for turn in row["turns"]}


def _explanation(
    line: _ReferenceLine,
    reference: _Reference,
    court: str,
    answers: Mapping[str, Mapping[str, Any]],
    where: str,
) -> Explanation | Lacking:
    answer = answers.get(reference.name)
    if not court.strip():
        return "no text"
    if answer is None or answer.get("finish_reason") == "overflow":
        return "no turn"
    text = _text_field(answer, "text", where, "prediction")
    return Explanation(
        id=line.id,
        turn=reference.name,
        role=reference.role,
        source=line.source,
        generated=replace_surrogates(text[reasoning_end(text) :].strip()),
        court=court,
        cut_off=answer.get("finish_reason") == "length",
    )


def _text_field(row: Mapping[str, Any], name: str, where: str, what: str) -> str:
    value = row.get(name)
    if not isinstance(value, str):
        raise damaged_line(where, f"no text under {name!r}", what)
    return value
