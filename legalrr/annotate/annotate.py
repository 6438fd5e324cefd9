"""Write prompts: the arms of the study as one jinja2 template with switches.

| switch | what it adds |
| --- | --- |
| `define` (D) | the definition of every content role, including the hidden ones, because the model has to write them |
| `chain` (C) | ratio and ruling between the first text and the answer |
| `direct` | a single turn, YES or NO, without any text before it (not an arm of the study) |

R is not a switch here; it is the order of the document (`legalrr.restructure`). The message of a judgment shown as
images has several parts: its pages replace its text, each under its number.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import TYPE_CHECKING, ClassVar

from legalrr.annotate.party import MATTERS, MAX_COURT_LENGTH, MAX_NAME_LENGTH, MovingParty, find_court, find_party
from legalrr.errors import UserError
from legalrr.protocols import Tokens
from legalrr.records import Document, Judgment, Message, Part, Prompt, PromptTurn, Quote
from legalrr.roles import Scheme, scheme
from legalrr.stage import check_fields, choice, later
from legalrr.truncate import render_text

if TYPE_CHECKING:
    import jinja2

LAYOUTS = ("conversation", "study", "judgment_first")
QUESTIONS = ("party", "relief")
SYSTEMS = ("own", "first_user")
FIRST_TURN = {"ANALYSIS": "analysis", "STA": "statutes"}
"""Role that the model writes first -> name of the turn."""
TURN_ROLES = {"analysis": "ANALYSIS", "statutes": "STA", "ratio": "RATIO", "ruling": "RPC"}
"""Name of a turn -> role that the model writes."""
FIXED = frozenset({"instruction", "definitions", "quoted", *TURN_ROLES})
"""Pieces of the prompt that do not depend on the judgment but on its role scheme, and are rendered once."""
WORDS_PER_TOKEN = 0.7
"""Words per token of an answer, for requesting a length that fits the token limit."""
MAX_WORDS = {"ratio": 200, "ruling": 150}
"""Lengths requested by the study; shorter if the token limit requires it."""
TEMPLATE_TOKENS = 16
"""Tokens reserved per message for the chat template."""


@lru_cache
def template(name: str) -> "jinja2.Template":
    """Load the template in the file `name`; undefined variables raise an error."""
    return _environment().get_template(name)


def template_source(name: str) -> str:
    """Return the source of the template in the file `name`."""
    environment = _environment()
    assert environment.loader is not None
    return environment.loader.get_source(environment, name)[0]


@lru_cache(maxsize=1)
def _environment() -> "jinja2.Environment":
    import jinja2

    return jinja2.Environment(
        loader=jinja2.PackageLoader("legalrr", "annotate"), undefined=jinja2.StrictUndefined, autoescape=False
    )


@dataclass(frozen=True, kw_only=True)
class TurnTokens:
    """Token limits of the answers."""

    analysis: int = 512
    """Limit of the first text: analysis, or statutes for the seven-role scheme."""
    ratio: int = 320
    """Limit of the ratio; the prompt requests at most 200 words, fewer if they do not fit."""
    ruling: int = 240
    """Limit of the ruling; the prompt requests at most 150 words, fewer if they do not fit."""
    answer: int = 64
    """Limit of the answer, YES or NO."""

    def of(self, turn: str) -> int:
        """Return the token limit of a turn."""
        return {"ratio": self.ratio, "ruling": self.ruling, "answer": self.answer}.get(turn, self.analysis)

    def words(self, turn: str) -> int:
        """Return the maximum number of words that a turn requests: a multiple of ten from 10 on, and at least 1."""
        fit = max(int(self.of(turn) * WORDS_PER_TOKEN), 1)
        return min(fit - fit % 10 or fit, MAX_WORDS.get(turn, fit))


@dataclass(frozen=True, kw_only=True)
class Annotate:
    """The stage that writes prompts."""

    define: bool = False
    """D: define the rhetorical roles before the judgment."""
    chain: bool = False
    """C: request analysis, ratio, ruling and then the answer."""
    direct: bool = False
    """Request the answer in a single turn."""
    layout: str = choice("conversation", *LAYOUTS)
    """`conversation`: append turns; `study`: send the full prompt again at each turn, quoting earlier answers;
    `judgment_first`: a conversation in which the judgment precedes instruction and definitions."""
    question: str = choice("party", *QUESTIONS)
    """The question: `party`, whether the case is decided in favour of the party that brought it; `relief`, whether the
    appeal, petition or suit is allowed, which needs no party."""
    party: str = choice("name", "name", "role")
    """How the question names the party: by `name` (if the judgment gives one) or by `role` only."""
    tokens: TurnTokens = field(default_factory=TurnTokens)
    """Token limits of the answers."""
    system: str = later(default="own")
    """The system message: a message of its `own`, or for models without a system role the start of the `first_user`
    message, before a blank line."""

    VERSION: ClassVar[int] = 1

    def __post_init__(self) -> None:
        """Raise UserError for invalid options."""
        check_fields(self, "annotate")
        if self.system not in SYSTEMS:
            raise UserError(
                f"unknown system {self.system!r}", where="annotate.system", cure=f"use {' or '.join(SYSTEMS)}"
            )
        if self.direct and self.chain:
            raise UserError("direct and chain exclude each other", where="annotate", cure="use one of the two")
        for turn in ("analysis", "ratio", "ruling", "answer"):
            if self.tokens.of(turn) < 1:
                raise UserError(
                    "an answer needs at least one token", where=f"annotate.tokens.{turn}", cure="use 1 or more"
                )

    def annotate(self, judgment: Judgment, document: Document) -> Prompt:
        """See `legalrr.protocols.Annotator`."""
        roles = scheme(document.scheme, where=document.id)
        side = find_party(judgment, document, named=self.party == "name")
        court = find_court(judgment, document)
        turns = self._turns(roles, document, side, court)
        blank = self._turns(roles, document, side, court, blank=True)[0] if self.direct else None
        return Prompt(id=document.id, turns=turns, blank=blank, party=side.role)

    def reserve(self, scheme: Scheme, tokens: Tokens) -> int:
        """See `legalrr.protocols.Annotator`; the arm with D and C is the longest."""
        longest = replace(self, define=True, chain=True, direct=False)
        # One token per letter and space, the maximum for a name of that length.
        name = "N " * (MAX_NAME_LENGTH // 2) if self.party == "name" else None
        court = "N " * (MAX_COURT_LENGTH // 2)
        empty = Document(id="", scheme=scheme.name, headings=True, blocks=())
        lengths = []
        for role in MATTERS:
            last = longest._turns(scheme, empty, MovingParty(role=role, name=name), court)[-1].messages
            words = "\n".join(part for message in last for part in message.parts if isinstance(part, str))
            lengths.append(len(tokens.token_ends(words)) + TEMPLATE_TOKENS * len(last))
        return max(lengths) + sum(self.tokens.of(turn) for turn in longest.names(scheme))

    def names(self, roles: Scheme) -> tuple[str, ...]:
        """Return the names of the turns of this arm, in order."""
        if self.direct:
            return ("answer",)
        first = FIRST_TURN[roles.written]
        return (first, "ratio", "ruling", "answer") if self.chain else (first, "answer")

    def _turns(
        self, roles: Scheme, document: Document, side: MovingParty, court: str, *, blank: bool = False
    ) -> tuple[PromptTurn, ...]:
        text, pages = ("(no text)", ()) if blank else (render_text(document), document.pages)

        def render(piece: str, heading: str = "", number: int = 0) -> str:
            if piece in FIXED:
                words = self.tokens.words(piece)
                return _render_fixed(
                    piece,
                    roles=roles.name,
                    words=words,
                    pictured=document.pictured,
                    headings=document.headings,
                    heading=heading,
                )
            return template("prompt.j2").render(
                piece=piece,
                scheme=roles,
                text=text,
                pictured=document.pictured,
                pages=pages,
                court=court,
                question=self.question,
                party=side,
                words=self.tokens.words(piece),
                headings=document.headings,
                heading=heading,
                number=number,
            )

        shown: list[Part] = [render("judgment")]
        for page in pages:
            shown += ["\n" + render("page", number=page.number) + "\n", page]
        head: list[tuple[Part, ...]] = [(render("instruction"),), tuple(shown)]
        if self.define:
            head.insert(1, (render("definitions"),))
        if self.layout == "judgment_first":
            head = [head[-1], *head[:-1]]
        opening = _join_paragraphs(head)
        system = Message(role="system", parts=(render("system"),))
        turns: list[PromptTurn] = []
        messages: list[Message] = [system]
        for name in self.names(roles):
            if self.layout == "study":
                messages = [
                    system,
                    _restate(
                        opening, turns, render(name), lambda n: render("quoted", roles.role(TURN_ROLES[n]).heading)
                    ),
                ]
            elif not turns:
                messages = [system, Message(role="user", parts=_join_paragraphs([opening, (render(name),)]))]
            else:
                messages = [
                    *messages,
                    Message(role="assistant", parts=(Quote(turn=turns[-1].name),)),
                    Message(role="user", parts=(render(name),)),
                ]
            turns.append(PromptTurn(name=name, messages=tuple(messages), max_new_tokens=self.tokens.of(name)))
        return tuple(turns) if self.system == "own" else tuple(_without_system(turn) for turn in turns)


@lru_cache(maxsize=256)
def _render_fixed(piece: str, *, roles: str, words: int, pictured: bool, headings: bool, heading: str) -> str:
    """Render a piece of `FIXED`, which names no other variable."""
    return template("prompt.j2").render(
        piece=piece, scheme=scheme(roles), words=words, pictured=pictured, headings=headings, heading=heading
    )


def _without_system(turn: PromptTurn) -> PromptTurn:
    """Return the turn with its system message at the start of the first user message."""
    system, first, *others = turn.messages
    merged = replace(first, parts=(*system.parts, "\n\n", *first.parts))
    return replace(turn, messages=(merged, *others))


def _join_paragraphs(paragraphs: Sequence[tuple[Part, ...]]) -> tuple[Part, ...]:
    """Join paragraphs by blank lines, and merge adjacent text parts."""
    parts: list[Part] = []
    for part in [part for paragraph in paragraphs for part in ("\n\n", *paragraph)][1:]:
        if parts and isinstance(parts[-1], str) and isinstance(part, str):
            parts[-1] += part
        else:
            parts.append(part)
    return tuple(parts)


def _restate(
    opening: tuple[Part, ...], turns: list[PromptTurn], question: str, quoted: Callable[[str], str]
) -> Message:
    """Return the full prompt again, with the earlier answers quoted before the question."""
    parts: list[Part] = [*opening]
    for turn in turns:
        parts += [f"\n\n{quoted(turn.name)}\n", Quote(turn=turn.name)]
    return Message(role="user", parts=(*parts, f"\n\n{question}"))
