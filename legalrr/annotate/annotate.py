"""Write prompts from the templates beside this file.

The words of the prompts: the templates (jinja2) beside this file.

The stage that writes prompts: the arms of the study as one template with switches.

| switch | what it adds |
| --- | --- |
| `define` (D) | the definition of every content role, the hidden ones too, as the model has to write them |
| `chain` (C) | ratio and ruling between the first writing and the answer |
| `direct` | nothing is written first: one turn, YES or NO (an arm that the study lacked) |

R is not here: it is the document's order (`legalrr.restructure`). A judgment that is shown as images has a message of
several parts: its pages in the place of its text, each under its number.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from typing import TYPE_CHECKING, ClassVar

from legalrr.annotate.party import LONGEST_COURT, LONGEST_NAME, MATTERS, MovingParty, find_court, find_party
from legalrr.errors import UserError
from legalrr.protocols import Tokens
from legalrr.records import Document, Judgment, Message, Page, Prompt, PromptTurn, Quote
from legalrr.roles import Scheme, scheme
from legalrr.stage import check_fields, choice

if TYPE_CHECKING:
    import jinja2


@lru_cache
def template(name: str) -> "jinja2.Template":
    """The template in the file `name`, which refuses names that it is not given."""
    return _environment().get_template(name)


def source(name: str) -> str:
    """The text of the file `name`."""
    environment = _environment()
    assert environment.loader is not None
    return environment.loader.get_source(environment, name)[0]


@lru_cache(maxsize=1)
def _environment() -> "jinja2.Environment":
    import jinja2

    return jinja2.Environment(
        loader=jinja2.PackageLoader("legalrr", "annotate"), undefined=jinja2.StrictUndefined, autoescape=False
    )


LAYOUTS = ("conversation", "study", "judgment_first")
QUESTIONS = ("party", "relief")
FIRST = {"ANALYSIS": "analysis", "STA": "statutes"}
HEADING_OF = {"analysis": "ANALYSIS", "statutes": "STA", "ratio": "RATIO", "ruling": "RPC"}
WORDS_PER_TOKEN = 0.7
"""Words that a token of an answer allows for: a length that is asked for must fit where the answer is cut off."""
MOST_WORDS = {"ratio": 200, "ruling": 150}
"""The lengths that the study asked for; fewer where the tokens allow no more."""
TEMPLATE_TOKENS = 16
"""Tokens allowed per message for what a chat template puts around it."""


@dataclass(frozen=True, kw_only=True)
class TurnTokens:
    """Where each answer is cut off, in tokens."""

    analysis: int = 512
    """The first writing: analysis, or statutes on the seven-role sets."""
    ratio: int = 320
    """At most 200 words are asked for, fewer where these tokens allow no more."""
    ruling: int = 240
    """At most 150 words are asked for, fewer where these tokens allow no more."""
    answer: int = 16
    """YES or NO."""

    def of(self, turn: str) -> int:
        """Tokens of the turn called `turn`."""
        return {"ratio": self.ratio, "ruling": self.ruling, "answer": self.answer}.get(turn, self.analysis)

    def words(self, turn: str) -> int:
        """Words that the turn called `turn` asks for at most: in tens, where that leaves any, and at least one."""
        fit = max(int(self.of(turn) * WORDS_PER_TOKEN), 1)
        return min(fit - fit % 10 or fit, MOST_WORDS.get(turn, fit))


@dataclass(frozen=True, kw_only=True)
class Annotate:
    """The stage between document and model."""

    define: bool = False
    """D: explain the rhetorical roles before the judgment is given."""
    chain: bool = False
    """C: analysis, then ratio, then ruling, then the answer."""
    direct: bool = False
    """Ask for the answer at once."""
    layout: str = choice("conversation", *LAYOUTS)
    """`conversation`: turns are appended; `study`: the whole prompt anew at each turn, earlier answers quoted in it;
    `judgment_first`: a conversation in which the judgment precedes instruction and definitions."""
    question: str = choice("party", *QUESTIONS)
    """What is asked: `party`, whether the case is decided in favour of the party that brought it; `relief`, whether the
    appeal, petition or suit is allowed, which needs no party."""
    party: str = choice("name", "name", "role")
    """How the question names the party: by `name` (where the judgment gives one) or by `role` alone."""
    tokens: TurnTokens = field(default_factory=TurnTokens)
    """Where each answer is cut off."""

    VERSION: ClassVar[int] = 1

    def __post_init__(self) -> None:
        """Refuse choices that do not exist."""
        check_fields(self, "annotate")
        if self.direct and self.chain:
            raise UserError("direct and chain exclude each other", where="annotate", cure="choose one of the two")
        for turn in ("analysis", "ratio", "ruling", "answer"):
            if self.tokens.of(turn) < 1:
                raise UserError(
                    "an answer needs a token at least", where=f"annotate.tokens.{turn}", cure="give 1 or more"
                )

    def annotate(self, judgment: Judgment, document: Document) -> Prompt:
        """See `legalrr.protocols.Annotator`."""
        roles = scheme(document.scheme, where=document.id)
        side = find_party(judgment, document, named=self.party == "name")
        shown: str | tuple[Page, ...] = document.pages
        if not document.pictured:
            shown = document.render({r.code: r.heading for r in roles.roles})
        court = find_court(judgment, document)
        turns = self._turns(roles, shown, side, court, headings=document.headings)
        nothing = () if document.pictured else "(no text)"
        blank = self._turns(roles, nothing, side, court, headings=document.headings)[0] if self.direct else None
        return Prompt(id=document.id, turns=turns, blank=blank, party=side.role)

    def reserve(self, scheme: Scheme, tokens: Tokens) -> int:
        """See `legalrr.protocols.Annotator`; the longest arm is the one with D and C."""
        longest = replace(self, define=True, chain=True, direct=False)
        # A token per letter and space: no name of that length takes more.
        name = "N " * (LONGEST_NAME // 2) if self.party == "name" else None
        court = "N " * (LONGEST_COURT // 2)
        beside = []
        for role in MATTERS:
            last = longest._turns(scheme, "", MovingParty(role=role, name=name), court, headings=True)[-1].messages
            words = "\n".join(part for message in last for part in message.parts if isinstance(part, str))
            beside.append(len(tokens.token_ends(words)) + TEMPLATE_TOKENS * len(last))
        return max(beside) + sum(self.tokens.of(turn) for turn in longest.names(scheme))

    def names(self, roles: Scheme) -> tuple[str, ...]:
        """Names of the turns of this arm, in order."""
        if self.direct:
            return ("answer",)
        first = FIRST[roles.written]
        return (first, "ratio", "ruling", "answer") if self.chain else (first, "answer")

    def _turns(
        self, roles: Scheme, shown: str | tuple[Page, ...], side: MovingParty, court: str, *, headings: bool
    ) -> tuple[PromptTurn, ...]:
        text = shown if isinstance(shown, str) else None

        def say(piece: str, heading: str = "", number: int = 0) -> str:
            return template("prompt.j2").render(
                piece=piece,
                scheme=roles,
                text=text,
                pictured=text is None,
                court=court,
                question=self.question,
                party=side,
                words=self.tokens.words(piece),
                headings=headings,
                heading=heading,
                number=number,
            )

        head = [(say("instruction"),), (say("judgment"),) if isinstance(shown, str) else _pages(shown, say)]
        if self.define:
            head.insert(1, (say("definitions"),))
        if self.layout == "judgment_first":
            head = [head[-1], *head[:-1]]
        opening = _paragraphs(head)
        system = Message(role="system", parts=(say("system"),))
        turns: list[PromptTurn] = []
        talk: list[Message] = [system]
        for name in self.names(roles):
            if self.layout == "study":
                talk = [
                    system,
                    _anew(opening, turns, say(name), lambda n: say("quoted", roles.role(HEADING_OF[n]).heading)),
                ]
            elif not turns:
                talk = [system, Message(role="user", parts=_paragraphs([opening, (say(name),)]))]
            else:
                talk = [
                    *talk,
                    Message(role="assistant", parts=(Quote(turn=turns[-1].name),)),
                    Message(role="user", parts=(say(name),)),
                ]
            turns.append(PromptTurn(name=name, messages=tuple(talk), max_new_tokens=self.tokens.of(name)))
        return tuple(turns)


def _pages(pages: tuple[Page, ...], say: Callable[..., str]) -> tuple[str | Page, ...]:
    parts: list[str | Page] = [say("pages"), *(() if pages else ("\n(no pages)",))]
    for page in pages:
        parts += ["\n" + say("page", number=page.number) + "\n", page]
    return tuple(parts)


def _paragraphs(paragraphs: Sequence[tuple[str | Page, ...]]) -> tuple[str | Page, ...]:
    """Paragraphs under one another, in as few parts as there can be."""
    parts: list[str | Page] = []
    for part in [part for paragraph in paragraphs for part in ("\n\n", *paragraph)][1:]:
        if parts and isinstance(parts[-1], str) and isinstance(part, str):
            parts[-1] += part
        else:
            parts.append(part)
    return tuple(parts)


def _anew(
    opening: tuple[str | Page, ...], turns: list[PromptTurn], question: str, quoted: Callable[[str], str]
) -> Message:
    parts: list[str | Quote | Page] = [*opening]
    for turn in turns:
        parts += [f"\n\n{quoted(turn.name)}\n", Quote(turn=turn.name)]
    return Message(role="user", parts=(*parts, f"\n\n{question}"))
