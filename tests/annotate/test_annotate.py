"""Prompts of every arm: turns, layouts, definitions, questions, lengths and page images."""

import re
from dataclasses import replace
from itertools import pairwise, product
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from legalrr.annotate.annotate import LAYOUTS, QUESTIONS, WORDS_PER_TOKEN, Annotate, TurnTokens
from legalrr.errors import UserError
from legalrr.page_images import PAGE_LABEL_TOKENS
from legalrr.records import PARTIES, Block, Document, Judgment, Message, Page, Party, Prompt, PromptTurn, Quote
from legalrr.roles import BUILD, SEVEN, Scheme

SCHEMES = (BUILD, SEVEN)
TEXT = "Zebras grazed beside the quarry."
FIRST = {"build": "analysis", "seven": "statutes"}
arms = pytest.mark.parametrize(
    ("define", "chain", "headings", "layout", "roles"),
    list(product([False, True], [False, True], [False, True], LAYOUTS, SCHEMES)),
    ids=lambda v: v.name if isinstance(v, Scheme) else str(v),
)
layouts = pytest.mark.parametrize("layout", LAYOUTS)
schemes = pytest.mark.parametrize("roles", SCHEMES, ids=lambda s: s.name)


def document(roles: Scheme = BUILD, text: str = TEXT, *, headings: bool = False) -> Document:
    blocks = (Block(role="FAC", start=0, text=text),)
    return Document(id="j", scheme=roles.name, headings=headings, blocks=blocks)


def prompt(roles: Scheme = BUILD, *, text: str = TEXT, headings: bool = False, **fields: Any) -> Prompt:
    judgment = Judgment(id="j", text=text, party="petitioner", petitioner="Meera Bai")
    return Annotate(**fields).annotate(judgment, document(roles, text, headings=headings))


def direct_prompt(text: str = TEXT, **fields: Any) -> str:
    """Return the last message of a direct prompt on a judgment of `text`, all of it facts."""
    stage = {name: fields.pop(name) for name in ("question", "party_named") if name in fields}
    made = Annotate(direct=True, question=stage.get("question", "party"), party=stage.get("party_named", "name"))
    return literal(made.annotate(Judgment(id="j", text=text, **fields), document(text=text)).turns[0].messages[-1])


def literal(message: Message) -> str:
    """Return the text of a message, with quotations marked by their turn."""
    return "".join(f"<<{part.turn}>>" if isinstance(part, Quote) else part for part in message.parts)


def words(turn: PromptTurn) -> str:
    return "\n".join(literal(message) for message in turn.messages)


def speakers(turn: PromptTurn) -> list[str]:
    return [message.role for message in turn.messages]


def quotes(turn: PromptTurn) -> list[str]:
    return [part.turn for message in turn.messages for part in message.parts if isinstance(part, Quote)]


class TestStructure:
    @arms
    def test_turns_depend_on_the_arm_and_end_with_the_answer(
        self, define: bool, chain: bool, headings: bool, layout: str, roles: Scheme
    ) -> None:
        made = prompt(roles, headings=headings, define=define, chain=chain, layout=layout)
        names = [FIRST[roles.name], *(["ratio", "ruling"] if chain else []), "answer"]
        assert [turn.name for turn in made.turns] == names
        assert (made.id, made.blank) == ("j", None)

    @arms
    def test_every_turn_starts_with_the_judge_and_ends_with_a_question(
        self, define: bool, chain: bool, headings: bool, layout: str, roles: Scheme
    ) -> None:
        made = prompt(roles, headings=headings, define=define, chain=chain, layout=layout)
        for number, turn in enumerate(made.turns):
            grown = 0 if layout == "study" else number
            assert speakers(turn) == ["system", "user", *["assistant", "user"] * grown]
            assert literal(turn.messages[0]).startswith("You are a judge of an Indian court. You decide")

    @arms
    def test_every_turn_quotes_all_earlier_ones_in_order(
        self, define: bool, chain: bool, headings: bool, layout: str, roles: Scheme
    ) -> None:
        made = prompt(roles, headings=headings, define=define, chain=chain, layout=layout)
        names = [turn.name for turn in made.turns]
        for number, turn in enumerate(made.turns):
            assert quotes(turn) == names[:number]

    @arms
    def test_instruction_definitions_and_judgment_occur_once_in_layout_order(
        self, define: bool, chain: bool, headings: bool, layout: str, roles: Scheme
    ) -> None:
        made = prompt(roles, headings=headings, define=define, chain=chain, layout=layout)
        for turn in made.turns:
            opening = literal(turn.messages[1])
            marks = ["You are given the record", "play these rhetorical roles", f'"""\n{heading(headings)}{TEXT}\n"""']
            assert [words(turn).count(mark) for mark in marks] == [1, int(define), 1]
            places = [opening.index(mark) for mark in marks if mark in opening]
            expected = [places[-1], *places[:-1]] if layout == "judgment_first" else places
            assert expected == sorted(expected)

    @arms
    def test_instruction_mentions_headings_only_if_there_are_some(
        self, define: bool, chain: bool, headings: bool, layout: str, roles: Scheme
    ) -> None:
        made = prompt(roles, headings=headings, define=define, chain=chain, layout=layout)
        assert ("grouped by the part" in words(made.turns[0])) == headings
        assert ("Facts:\n" + TEXT in words(made.turns[0])) == headings

    @schemes
    @layouts
    def test_direct_is_a_single_turn(self, roles: Scheme, layout: str) -> None:
        made = prompt(roles, direct=True, define=True, layout=layout)
        (turn,) = made.turns
        assert (turn.name, speakers(turn), quotes(turn)) == ("answer", ["system", "user"], [])
        assert TEXT in words(turn)
        assert literal(turn.messages[1]).endswith(
            "Is the case decided in favour of the petitioner, Meera Bai?\nAnswer:"
        )

    @schemes
    def test_token_limits_follow_the_configuration(self, roles: Scheme) -> None:
        made = prompt(roles, chain=True, tokens=TurnTokens(analysis=5, ratio=6, ruling=7, answer=8))
        assert [turn.max_new_tokens for turn in made.turns] == [5, 6, 7, 8]

    def test_seven_role_scheme_starts_with_statutes_and_build_with_analysis(self) -> None:
        assert "Write the Statute part" in words(prompt(SEVEN).turns[0])
        assert "Write the Analysis" in words(prompt(BUILD).turns[0])

    def test_prompts_have_no_extra_blank_lines_or_template_marks(self) -> None:
        for define, chain, layout, roles in product([False, True], [False, True], LAYOUTS, SCHEMES):
            for turn in prompt(roles, define=define, chain=chain, layout=layout).turns:
                for message in turn.messages:
                    assert not re.search(r"\n{3}|\{[{%#]|[#%}]\}|\A\s|\s\Z", literal(message))


def heading(headings: bool) -> str:
    return "Facts:\n" if headings else ""


class TestLayouts:
    @schemes
    def test_first_turn_has_the_same_words_in_conversation_and_study(self, roles: Scheme) -> None:
        for define, chain in product([False, True], repeat=2):
            one = prompt(roles, define=define, chain=chain, layout="conversation").turns[0]
            assert one.messages[0] == prompt(roles, define=define, chain=chain, layout="study").turns[0].messages[0]
            assert words(one) == words(prompt(roles, define=define, chain=chain, layout="study").turns[0])

    @schemes
    def test_judgment_first_has_the_same_words_in_another_order(self, roles: Scheme) -> None:
        one = prompt(roles, define=True, chain=True).turns[-1]
        other = prompt(roles, define=True, chain=True, layout="judgment_first").turns[-1]
        assert sorted(words(one).split()) == sorted(words(other).split())
        assert one.messages[2:] == other.messages[2:]

    @schemes
    def test_every_question_has_the_same_words_in_all_layouts(self, roles: Scheme) -> None:
        chains = [prompt(roles, chain=True, layout=layout) for layout in LAYOUTS]
        for turns in zip(*(made.turns for made in chains), strict=True):
            last = [literal(turn.messages[-1]).rpartition("\n\n")[2] for turn in turns]
            assert len(set(last)) == 1

    @schemes
    def test_study_repeats_the_full_prompt_with_the_question_replaced(self, roles: Scheme) -> None:
        turns = prompt(roles, define=True, chain=True, layout="study").turns
        opening = words(turns[0]).rpartition("\n\n")[0]
        assert all(words(turn).startswith(opening) for turn in turns)
        assert "Now write the Ratio" not in words(turns[-1])
        assert "You have written as the Ratio of the Decision of this case:\n<<ratio>>" in words(turns[-1])

    def test_conversation_appends_the_answer_and_the_next_question(self) -> None:
        turns = prompt(chain=True).turns
        for earlier, later in pairwise(turns):
            assert later.messages[: len(earlier.messages)] == earlier.messages

    @layouts
    def test_arms_with_and_without_chain_share_their_first_turn(self, layout: str) -> None:
        assert prompt(layout=layout).turns[0] == prompt(layout=layout, chain=True).turns[0]

    def test_judgment_first_arms_share_the_prefix_up_to_the_judgment(self) -> None:
        openings = {
            words(prompt(layout="judgment_first", define=define, direct=direct).turns[0]).partition(TEXT)[0]
            for define, direct in product([False, True], repeat=2)
        }
        assert len(openings) == 1


class TestDefinitions:
    def test_all_content_roles_are_defined_including_hidden_ones_but_not_none(self) -> None:
        opening = literal(prompt(define=True).turns[0].messages[1])
        for role in BUILD.roles:
            line = f"- {role.heading}: {role.definition}."
            assert opening.count(line) == (role.code != "NONE")
        assert len(re.findall(r"^- ", opening, re.MULTILINE)) == 12

    def test_all_seven_roles_are_defined(self) -> None:
        opening = literal(prompt(SEVEN, define=True).turns[0].messages[1])
        assert [f"- {role.heading}: {role.definition}." in opening for role in SEVEN.roles] == [True] * 7


class TestQuestion:
    @layouts
    @schemes
    def test_only_the_last_turn_requests_yes_or_no(self, layout: str, roles: Scheme) -> None:
        *others, last = prompt(roles, chain=True, layout=layout).turns
        question = literal(last.messages[-1]).rpartition("\n\n")[2]
        assert {"YES", "NO"} <= set(re.findall(r"\b[A-Z]+\b", question))
        assert not any(re.search(r"\b(?:YES|NO)\b", words(turn)) for turn in others)

    def test_party_is_named_only_in_the_question(self) -> None:
        *others, last = prompt(chain=True).turns
        assert "in favour of the petitioner, Meera Bai?" in words(last)
        assert not any("Meera" in words(turn) for turn in others)

    def test_party_can_be_named_by_role_only(self) -> None:
        assert "in favour of the petitioner?" in words(prompt(party="role").turns[-1])

    def test_unknown_party_is_named_as_the_one_that_brought_the_case(self) -> None:
        case = Judgment(id="j", text=TEXT)
        made = Annotate(direct=True).annotate(case, document())
        assert made.party is None
        assert words(made.turns[0]).endswith("in favour of the party that brought the case to this court?\nAnswer:")
        assert prompt().party == "petitioner"

    @pytest.mark.parametrize(
        ("party", "matter", "article"),
        [("appellant", "appeal", "An"), ("petitioner", "petition", "A"), (None, "appeal or petition", "An")],
    )
    def test_relief_asks_about_the_matter_and_names_no_party(
        self, party: Party | None, matter: str, article: str
    ) -> None:
        question = direct_prompt(question="relief", party=party, petitioner="Meera Bai").rpartition("\n\n")[2]
        assert question.endswith(f"Question: Is the {matter} allowed, even in part?\nAnswer:")
        assert question.startswith(f"{article} {matter} that is allowed even in part counts as allowed. Answer with")
        assert not re.search(r"Meera|favour|part(?:y|ies)\b|appellant|petitioner", question)

    def test_relief_in_a_suit_is_a_decree(self) -> None:
        question = direct_prompt(question="relief", party="plaintiff")
        assert "A suit that is decreed even in part counts as allowed." in question
        assert question.endswith("Is the suit allowed, even in part?\nAnswer:")

    @given(st.sampled_from(QUESTIONS), st.sampled_from([*PARTIES, None]), st.booleans())
    def test_every_question_requests_yes_or_no_once(self, question: str, party: Party | None, named: bool) -> None:
        wording = direct_prompt(question=question, party=party, party_named="name" if named else "role").rpartition(
            "\n\n"
        )[2]
        assert wording.count("YES or NO") == wording.count("Question:") == wording.count("?") == 1
        assert "  " not in wording
        assert "None" not in wording

    def test_direct_has_a_blank_prompt_with_the_party_only(self) -> None:
        made = prompt(direct=True, define=True)
        assert made.blank is not None
        assert made.blank.max_new_tokens == made.turns[0].max_new_tokens
        blank, full = words(made.blank), words(made.turns[0])
        assert not set(re.findall(r"\w+", TEXT)) - {"the"} & set(re.findall(r"\w+", blank))
        assert blank == full.replace(TEXT, "(no text)")
        assert "the petitioner, Meera Bai" in blank

    def test_only_direct_has_a_blank_prompt(self) -> None:
        assert prompt(chain=True).blank is None


class TestLength:
    @pytest.mark.parametrize(
        ("tokens", "analysis", "ratio", "ruling"),
        [
            (TurnTokens(), 350, 200, 150),
            (TurnTokens(analysis=40, ratio=24, ruling=24), 20, 10, 10),
            (TurnTokens(analysis=1, ratio=8, ruling=1), 1, 5, 1),
            (TurnTokens(analysis=2000, ratio=2000, ruling=2000), 1400, 200, 150),
        ],
    )
    @schemes
    def test_requested_words_fit_the_token_limits(
        self, roles: Scheme, tokens: TurnTokens, analysis: int, ratio: int, ruling: int
    ) -> None:
        turns = prompt(roles, chain=True, layout="study", tokens=tokens).turns
        requested = [re.findall(r"in at most (\d+) words", words(turn)) for turn in turns]
        assert requested == [[str(analysis)], [str(ratio)], [str(ruling)], []]

    @given(st.integers(1, 4000))
    def test_requested_words_never_exceed_the_token_limit(self, tokens: int) -> None:
        limits = TurnTokens(analysis=tokens, ratio=tokens, ruling=tokens)
        for turn in ("analysis", "statutes", "ratio", "ruling"):
            assert 1 <= limits.words(turn) <= max(1, tokens * WORDS_PER_TOKEN)


@pytest.mark.parametrize(
    "odd",
    [
        "{{ x }} and {{ text }}",
        "{% raw %} {% endraw %} {% for %}",
        "{# gone? #}",
        "{analysis} {0} %(x)s $x ${y}",
        '"""',
        "<b>A & B</b>",
        "<<ratio>> Quote(turn='ratio')",
        "अपील \U0001f9d1\u200d⚖",
    ],
)
def test_judgment_text_is_inserted_literally(odd: str) -> None:
    for layout in LAYOUTS:
        made = prompt(text=f"Before. {odd} After.", layout=layout, chain=True)
        answers = dict.fromkeys(("analysis", "ratio", "ruling"), "{{ answer }}")
        filled = [message.fill(answers)["content"] for message in made.turns[-1].messages]
        assert sum(f"Before. {odd} After." in content for content in filled) == 1
        assert "".join(filled).count("{{ answer }}") == 3


class TestPages:
    PAGES = tuple(Page(path="j.pdf", number=n, sha256="ab", start=0, end=0, dpi=72) for n in (1, 2, 12))

    def made(self, roles: Scheme = BUILD, **fields: Any) -> Prompt:
        blank = Document(id="j", scheme=roles.name, headings=False, blocks=())
        judgment = Judgment(id="j", text="", party="petitioner", petitioner="Meera Bai")
        return Annotate(**fields).annotate(judgment, replace(blank, pages=self.PAGES))

    @layouts
    @schemes
    @pytest.mark.parametrize("switches", [{}, {"define": True}, {"chain": True}, {"define": True, "chain": True}])
    def test_every_turn_has_each_page_once_under_its_number_instead_of_text(
        self, roles: Scheme, layout: str, switches: dict[str, bool]
    ) -> None:
        made = self.made(roles, layout=layout, **switches)
        plain = prompt(roles, layout=layout, **switches)
        shown = "The pages of the judgment:" + "".join(f"\nPage {page.number}:\n<page>" for page in self.PAGES)
        for turn, same in zip(made.turns, plain.turns, strict=True):
            assert turn.pages == tuple(page for message in turn.messages for page in message.pages) == self.PAGES
            drawn = [
                replace(m, parts=tuple("<page>" if isinstance(part, Page) else part for part in m.parts))
                for m in turn.messages
            ]
            expected = (
                words(same).replace(f'The judgment:\n"""\n{TEXT}\n"""', shown).replace("are passages", "are pages")
            )
            assert "\n".join(literal(message) for message in drawn) == expected

    def test_the_blank_prompt_has_no_page(self) -> None:
        made = self.made(direct=True)
        assert made.blank is not None
        assert "The pages of the judgment:\n(no pages)\n\n" in words(made.blank)
        assert [message.pages for message in made.blank.messages] == [(), ()]

    @schemes
    def test_text_around_pages_fits_the_reserve_and_page_label_tokens(self, roles: Scheme) -> None:
        tokens = LetterTokens()
        for layout in LAYOUTS:
            stage = Annotate(define=True, chain=True, layout=layout)
            last = self.made(roles, define=True, chain=True, layout=layout).turns[-1]
            sent = sum(len(part) for message in last.messages for part in message.parts if isinstance(part, str))
            new = sum(turn.max_new_tokens for turn in self.made(roles, chain=True).turns)
            assert sent + new <= stage.reserve(roles, tokens) + len(self.PAGES) * PAGE_LABEL_TOKENS


class LetterTokens:
    """A tokenizer with one token per letter, the maximum for any tokenizer in plain English."""

    context = 100_000

    def token_ends(self, text: str) -> list[int]:
        return list(range(1, len(text) + 1))


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"layout": "chat"}, r"^annotate\.layout: unknown layout 'chat' \(use conversation, study, judgment_first\)"),
        ({"party": "both"}, r"^annotate\.party: unknown party 'both'"),
        ({"question": "who"}, r"^annotate\.question: unknown question 'who' \(use party or relief\)"),
        ({"direct": True, "chain": True}, r"^annotate: direct and chain exclude each other"),
        ({"tokens": TurnTokens(analysis=0)}, r"^annotate\.tokens\.analysis: an answer needs at least one token"),
        ({"tokens": TurnTokens(ratio=0)}, r"^annotate\.tokens\.ratio"),
        ({"tokens": TurnTokens(ruling=-1)}, r"^annotate\.tokens\.ruling"),
        ({"tokens": TurnTokens(answer=0)}, r"^annotate\.tokens\.answer"),
    ],
)
def test_invalid_option_is_an_error_that_names_it(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        Annotate(**fields)


def test_unknown_scheme_is_an_error_that_names_the_judgment() -> None:
    case = Judgment(id="j", text=TEXT)
    with pytest.raises(UserError, match=r"^j: unknown role scheme 'eight'"):
        Annotate().annotate(case, Document(id="j", scheme="eight", headings=False, blocks=()))
