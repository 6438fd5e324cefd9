"""Show the prompts of one judgment in all arms side by side, in a terminal or as a static page."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from legalrr.errors import UserError, printable, printable_lines
from legalrr.html import environment, source_hash, template_source
from legalrr.plan.cells import BackboneCells, Cells, PlannedCell
from legalrr.protocols import Call, PromptTokens
from legalrr.records import Message, Page, Part, PromptTurn, Quote
from legalrr.tables import standard_output

if TYPE_CHECKING:
    from rich.text import Text

COLUMN_WIDTH = 56
"""Least width of an arm in a terminal, in characters."""
PIPE_WIDTH = 160
STYLES = {"system": "magenta", "user": "cyan", "assistant": "green"}
"""Role of a message -> its colour in a terminal."""
PAGE_START = "<!DOCTYPE html>\n<!-- legalrr plan -->"
"""How a page begins, by which it is known when it is written again."""


@dataclass(frozen=True, kw_only=True)
class Piece:
    """A piece of a message."""

    text: str
    """The exact text; for an answer or a page, a note in its place."""
    note: bool = False
    """Whether it stands for something that is not a text of the prompt."""


@dataclass(frozen=True, kw_only=True)
class ShownMessage:
    """A message of a conversation."""

    role: str
    """system, user or assistant."""
    pieces: tuple[Piece, ...]
    """Its pieces, in order."""


@dataclass(frozen=True, kw_only=True)
class ShownTurn:
    """A call: what it adds to the conversation, or the whole of it if it begins anew."""

    name: str
    """Name of the turn."""
    tokens: int
    """Tokens of the whole prompt, with unknown answers empty."""
    limit: int
    """Most tokens of the answer."""
    anew: bool
    """Whether the messages replace those of the turn before."""
    messages: tuple[ShownMessage, ...]
    """The messages that are shown."""


@dataclass(frozen=True, kw_only=True)
class ShownArm:
    """The prompts of one cell."""

    title: str
    """Label of the arm."""
    about: str
    """The overrides in which it differs from the other cells."""
    turns: tuple[ShownTurn, ...]
    """Its turns; empty for a judgment that is skipped."""


@dataclass(frozen=True, kw_only=True)
class ShownPrompts:
    """The prompts of one judgment in all arms."""

    id: str
    """The judgment's id."""
    corpus: str
    """Name of its corpus."""
    backbone: str
    """Name of the backbone that reads them."""
    arms: tuple[ShownArm, ...]
    """The arms, in the order of the run."""


def read_prompts(cells: Cells, overrides: Sequence[Sequence[str]], id: str | None) -> ShownPrompts:
    """Build the prompts of a judgment in all arms, for the first backbone that can be opened.

    Args:
        cells: the cells of the experiment.
        overrides: those of each cell.
        id: the judgment's id; None: the first judgment of the experiment.

    Raises:
        UserError: no cell prompts a model, none can be prepared, or no judgment has this id.
    """
    known: list[str] = []
    for group in cells.groups():
        ids = group.ids()
        known += [one for _, one in ids]
        found = next((place for place in ids if id in (None, place[1])), None)
        if found is None:
            continue
        shown = list(_arms(group, *found))
        if shown:
            titles = _differences([overrides[cell.number] for cell, _ in shown])
            return ShownPrompts(
                id=found[1],
                corpus=shown[0][0].pipeline.corpus.name,
                backbone=group.cells[0].pipeline.backbone.name,
                arms=tuple(
                    ShownArm(title=cell.pipeline.settings.arm.label, about=about, turns=turns)
                    for (cell, turns), about in zip(shown, titles, strict=True)
                ),
            )
    problems = cells.problems.all()
    if problems:
        raise UserError(problems[0].message)
    if not known:
        raise UserError("no cell prompts a model", where="--prompts", cure="add an arm such as arm=plain")
    listed = ", ".join(known[:5]) + (", ..." if len(known) > 5 else "")
    raise UserError(f"no judgment {id!r}", where="--prompts", cure=f"the judgments of this experiment are {listed}")


def _arms(group: BackboneCells, corpus: str, id: str) -> Iterator[tuple[PlannedCell, tuple[ShownTurn, ...]]]:
    for cell in group.of_corpus(corpus):
        case = group.case(cell, id)
        if case is not None:
            yield cell, () if case.document.skipped else tuple(_turns(case.prompt.turns, group.engine))


def _turns(turns: Sequence[PromptTurn], engine: PromptTokens) -> Iterator[ShownTurn]:
    before: tuple[Message, ...] = ()
    for turn in turns:
        answers = {one.name: "" for one in turns}
        call = Call(key="", messages=tuple(message.fill(answers) for message in turn.messages), pages=turn.pages)
        goes_on = bool(before) and turn.messages[: len(before)] == before
        yield ShownTurn(
            name=turn.name,
            tokens=len(engine.prompt_ids(call)),
            limit=turn.max_new_tokens,
            anew=bool(before) and not goes_on,
            messages=tuple(_message(message) for message in turn.messages[len(before) if goes_on else 0 :]),
        )
        before = turn.messages


def _message(message: Message) -> ShownMessage:
    return ShownMessage(role=message.role, pieces=tuple(map(_piece, message.parts)))


def _piece(part: Part) -> Piece:
    if isinstance(part, Quote):
        return Piece(text=f"«answer of turn {part.turn}»", note=True)
    if isinstance(part, Page):
        return Piece(text=f"«image of page {part.number}»", note=True)
    return Piece(text=part)


def _differences(overrides: Sequence[Sequence[str]]) -> list[str]:
    """Return the overrides of each cell that not all cells have, without that of the arm."""
    common = set(overrides[0]).intersection(*overrides)
    return [" ".join(one for one in cell if one not in common and not one.startswith("arm=")) for cell in overrides]


def show_prompts(shown: ShownPrompts) -> None:
    """Print the prompts, as many arms beside each other as the terminal is wide."""
    from rich.panel import Panel
    from rich.table import Table
    from rich.text import Text

    console = standard_output(PIPE_WIDTH)
    console.print(f"{shown.id} of {shown.corpus}, as {shown.backbone} reads it. «...» stands for what is not a text.\n")
    columns = max(1, console.width // COLUMN_WIDTH)
    for start in range(0, len(shown.arms), columns):
        arms = shown.arms[start : start + columns]
        grid = Table.grid(expand=True)
        for _ in range(columns):
            grid.add_column(ratio=1)
        grid.add_row(
            *(
                Panel(_arm_text(arm), title=Text(printable_lines(f"{arm.title} {arm.about}".strip())), padding=(0, 1))
                for arm in arms
            ),
            *([""] * (columns - len(arms))),
        )
        console.print(grid)


def _arm_text(arm: ShownArm) -> "Text":
    from rich.text import Text

    text = Text()
    if not arm.turns:
        text.append("skipped: too long for the context", style="dim")
    for turn in arm.turns:
        text.append(f"turn {turn.name}{' (whole prompt anew)' if turn.anew else ''}", style="bold")
        text.append(f", {turn.tokens:,} tokens, answer at most {turn.limit:,}\n", style="dim")
        for message in turn.messages:
            text.append(f"{message.role}: ", style=f"bold {STYLES[message.role]}")
            for piece in message.pieces:
                style = "bold yellow" if piece.note else STYLES[message.role]
                text.append(printable_lines(piece.text), style=style)
            text.append("\n\n")
    text.rstrip()
    return text


def prompts_page(shown: ShownPrompts) -> str:
    """Render the prompts as an HTML document with a column per arm."""
    templates = environment()
    style = template_source(templates, "plan/prompts.css")
    return templates.get_template("plan/prompts.j2").render(
        start=PAGE_START,
        id=printable(shown.id),
        corpus=printable(shown.corpus),
        backbone=printable(shown.backbone),
        arms=[_arm_json(arm) for arm in shown.arms],
        style=style,
        style_hash=source_hash(style),
    )


def _arm_json(arm: ShownArm) -> Mapping[str, object]:
    """Return an arm for the template, with control characters replaced."""
    return {
        "title": printable(arm.title),
        "about": printable(arm.about),
        "turns": [
            {
                "name": turn.name,
                "tokens": f"{turn.tokens:,}",
                "limit": f"{turn.limit:,}",
                "anew": turn.anew,
                "messages": [
                    {
                        "role": message.role,
                        "pieces": [{"text": printable(piece.text), "note": piece.note} for piece in message.pieces],
                    }
                    for message in turn.messages
                ],
            }
            for turn in arm.turns
        ],
    }
