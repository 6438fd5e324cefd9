"""The tokens that `Annotate.reserve` reserves cover everything in a prompt except the judgment."""

import re
from dataclasses import dataclass
from itertools import product

import pytest

from legalrr.annotate.annotate import LAYOUTS, QUESTIONS, TEMPLATE_TOKENS, Annotate, TurnTokens
from legalrr.annotate.party import MAX_COURT_LENGTH, MAX_NAME_LENGTH
from legalrr.records import PARTIES, Block, Document, Judgment, PromptTurn, Segments, Span
from legalrr.restructure import Restructure
from legalrr.roles import BUILD, SEVEN, Scheme

SCHEMES = (BUILD, SEVEN)
TEXT = "Zebras grazed beside the quarry."
layouts = pytest.mark.parametrize("layout", LAYOUTS)
schemes = pytest.mark.parametrize("roles", SCHEMES, ids=lambda s: s.name)


@dataclass
class WordTokens:
    """A tokenizer with one token per word."""

    context: int = 8192

    def token_ends(self, text: str) -> list[int]:
        return [m.end() for m in re.finditer(r"\S+", text)]


def document(roles: Scheme, *, headings: bool) -> Document:
    blocks = (Block(role="FAC", start=0, text=TEXT),)
    return Document(id="j", scheme=roles.name, headings=headings, blocks=blocks)


def words(turn: PromptTurn) -> str:
    return "\n".join(part for message in turn.messages for part in message.parts if isinstance(part, str))


def segments_of(case: Judgment, roles: Scheme) -> Segments:
    return Segments(id=case.id, scheme=roles.name, spans=(Span(start=0, end=len(case.text), role="FAC"),))


@pytest.mark.parametrize(
    ("define", "chain", "headings", "layout", "roles"),
    list(product([False, True], [False, True], [False, True], LAYOUTS, SCHEMES)),
    ids=lambda v: v.name if isinstance(v, Scheme) else str(v),
)
def test_reserve_covers_the_longest_turn_of_any_arm_without_the_judgment(
    define: bool, chain: bool, headings: bool, layout: str, roles: Scheme
) -> None:
    tokens = WordTokens()
    name = " ".join("n" for _ in range(MAX_NAME_LENGTH // 2))
    court = "Court " + " ".join("n" for _ in range(MAX_COURT_LENGTH // 2 - 3))
    shown = len(tokens.token_ends(("Facts:\n" if headings else "") + TEXT))
    for question, party, answers in product(QUESTIONS, (*PARTIES, None), ({"chain": chain}, {"direct": True})):
        case = Judgment(id="j", text=TEXT, party=party, petitioner=name, court=court)
        arm = Annotate(define=define, layout=layout, question=question, **answers)
        reserve = Annotate(layout=layout, question=question).reserve(roles, tokens)
        made = arm.annotate(case, document(roles, headings=headings))
        assert (name in words(made.turns[-1])) == (question == "party")
        assert court in words(made.turns[-1])
        written = 0
        for turn in made.turns:
            literals = sum(len(tokens.token_ends(p)) for m in turn.messages for p in m.parts if isinstance(p, str))
            template = TEMPLATE_TOKENS * len(turn.messages)
            written += turn.max_new_tokens
            assert literals - shown + template + written <= reserve


@schemes
@layouts
def test_reserve_is_the_same_for_all_arms(roles: Scheme, layout: str) -> None:
    reserves = {
        Annotate(define=define, chain=chain, layout=layout).reserve(roles, WordTokens())
        for define, chain in product([False, True], repeat=2)
    }
    reserves.add(Annotate(direct=True, layout=layout).reserve(roles, WordTokens()))
    assert len(reserves) == 1


def test_reserve_grows_with_the_answers() -> None:
    more = Annotate(tokens=TurnTokens(ratio=TurnTokens().ratio + 7))
    assert more.reserve(BUILD, WordTokens()) == Annotate().reserve(BUILD, WordTokens()) + 7


def test_truncated_document_reserve_and_answers_fit_the_context() -> None:
    tokens = WordTokens(context=2000)
    case = Judgment(id="j", text=" ".join(f"Fact number {i} stands." for i in range(900)))
    for roles, layout in product(SCHEMES, LAYOUTS):
        stage = Annotate(define=True, chain=True, layout=layout)
        segments = segments_of(case, roles)
        shown = Restructure(overflow="middle").restructure(case, segments, tokens, stage.reserve(roles, tokens))
        answers: dict[str, str] = {}
        for turn in stage.annotate(case, shown).turns:
            sent = "\n".join(message.fill(answers)["content"] for message in turn.messages)
            assert len(tokens.token_ends(sent)) + turn.max_new_tokens <= tokens.context
            answers[turn.name] = "word " * turn.max_new_tokens
