import math
from collections.abc import Mapping
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from legalrr.errors import UserError
from legalrr.records import CompletedTurn, Completion, Message, Prompt, PromptTurn, Verdict
from legalrr.verdict import BLANK, READINGS, VerdictReader, thought_end

ASK = (Message(role="user", parts=("YES or NO?",)),)
PROMPT = Prompt(
    id="j",
    turns=(
        PromptTurn(name="analysis", messages=ASK, max_new_tokens=9),
        PromptTurn(name="answer", messages=ASK, max_new_tokens=9),
    ),
)


def turn(text: str = "", finish_reason: Any = "stop", *, name: str = "answer", **fields: Any) -> CompletedTurn:
    return CompletedTurn(name=name, text=text, finish_reason=finish_reason, **fields)


def read(*turns: CompletedTurn, reading: str = "strict", error: str | None = None) -> Verdict:
    return VerdictReader(reading=reading).read(Completion(id="j", turns=turns, error=error), PROMPT)


def answered(text: str, reading: str = "strict") -> Verdict:
    return read(turn("YES and NO in an analysis.", name="analysis"), turn(text), reading=reading)


class TestStrict:
    @pytest.mark.parametrize("text", ["YES", "yes", "Yes.", "**YES**", "Answer: yes!", "'Yes'", "\n\nYES\n", "(yes)"])
    def test_yes_is_allowed(self, text: str) -> None:
        assert (answered(text).label, answered(text).reason) == ("allowed", "matched")

    @pytest.mark.parametrize("text", ["NO", "no", "No.", "**NO**", "Answer: no", "NO, it is not.", "# No"])
    def test_no_is_dismissed(self, text: str) -> None:
        assert (answered(text).label, answered(text).reason) == ("dismissed", "matched")

    @pytest.mark.parametrize("text", ["", "Perhaps.", "Yesterday", "nothing known", "Noble", "eyes", "YESNO", "हाँ"])
    def test_text_without_either_word_is_unparsed(self, text: str) -> None:
        verdict = answered(text)
        assert (verdict.label, verdict.reason, verdict.span) == ("invalid", "unparsed", None)

    @pytest.mark.parametrize("text", ["YES or NO", "No, I mean yes.", "YES NO YES"])
    def test_both_answers_in_the_line_are_unparsed(self, text: str) -> None:
        assert answered(text).label == "invalid"

    def test_last_line_with_an_answer_counts(self) -> None:
        assert answered("NO, one might think.\nYES\nThat is my view.").label == "allowed"

    def test_both_answers_in_an_earlier_line_do_no_harm(self) -> None:
        assert answered("YES or NO? Let me think.\nNO").label == "dismissed"

    def test_both_answers_in_the_last_line_are_not_overruled_by_an_earlier_one(self) -> None:
        assert answered("YES\nor rather yes and no").label == "invalid"

    def test_span_is_the_last_match_of_that_line_in_the_whole_text(self) -> None:
        text = "<think>no</think>First: no.\nSo yes, and again: YES!\nThe end."
        verdict = answered(text)
        assert verdict.span is not None
        assert text[slice(*verdict.span)] == "YES"
        assert verdict.span[0] == text.index("YES")

    def test_number_is_no_answer(self) -> None:
        assert answered("See appeal No. 5 of 1999, no.7").label == "invalid"
        assert answered("In petition No.  12 I say yes").label == "allowed"

    def test_answer_before_a_numbered_list_is_one(self) -> None:
        assert answered("NO.\n1. The deed is void.").label == "dismissed"
        assert answered("Yes. 302 is made out.").label == "allowed"

    def test_thoughts_are_not_read(self) -> None:
        assert answered("<think>YES\nYES</think>\nNO").label == "dismissed"
        assert answered("YES </think> perhaps").label == "invalid"
        assert answered("</think>yes</think>no").label == "dismissed"

    def test_earlier_turns_are_not_read(self) -> None:
        assert read(turn("YES", name="analysis"), turn("")).label == "invalid"

    def test_cut_off_answer_is_invalid_for_its_budget(self) -> None:
        verdict = read(turn("x", name="analysis"), turn("YES, as", "length"))
        assert (verdict.label, verdict.reason) == ("invalid", "budget")

    def test_cut_off_analysis_does_no_harm(self) -> None:
        assert read(turn("x", "length", name="analysis"), turn("YES")).label == "allowed"

    def test_overflow_of_any_turn_is_named(self) -> None:
        for turns in (
            [turn("", "overflow", name="analysis")],
            [turn("YES", name="analysis"), turn("", "overflow")],
            [],
        ):
            verdict = read(*turns)
            assert (verdict.label, verdict.reason) == ("invalid", "overflow")

    def test_turn_before_the_last_one_is_never_taken_for_the_answer(self) -> None:
        assert read(turn("YES", name="analysis")).label == "invalid"


@pytest.mark.parametrize("reading", READINGS)
def test_engine_error_is_invalid_in_every_reading(reading: str) -> None:
    verdict = read(turn("YES"), reading=reading, error="out of memory")
    assert (verdict.id, verdict.label, verdict.reason) == ("j", "invalid", "error")


class TestStudy:
    @pytest.mark.parametrize(
        "text", ["YES", "no, or yes?", "yes\nNO", "YES.\n1. First", "The answer is: Yes. 302 applies"]
    )
    def test_any_yes_is_allowed(self, text: str) -> None:
        assert answered(text, "study").label == "allowed"

    @pytest.mark.parametrize("text", ["NO", "", "Perhaps", "yesterday"])
    def test_everything_else_is_dismissed(self, text: str) -> None:
        verdict = answered(text, "study")
        assert (verdict.label, verdict.reason, verdict.span) == ("dismissed", "matched", None)

    def test_span_is_the_first_yes(self) -> None:
        text = "no, Yes, yes"
        verdict = answered(text, "study")
        assert verdict.span == (4, 7)

    def test_cut_off_answer_counts(self) -> None:
        assert read(turn("x", name="analysis"), turn("YES, as", "length"), reading="study").label == "allowed"

    def test_overflow_is_dismissed(self) -> None:
        for turns in ([turn("", "overflow")], [], [turn("YES", "stop", name="analysis")]):
            assert read(*turns, reading="study").label == "dismissed"

    def test_thoughts_are_not_read(self) -> None:
        assert answered("<think>Is it YES?</think>NO", "study").label == "dismissed"


def weighed(yes: float, no: float, name: str = "answer") -> CompletedTurn:
    return turn(name=name, logprobs={"YES": yes, "NO": no})


class TestCompared:
    @pytest.mark.parametrize(("yes", "no", "label"), [(-1.0, -2.0, "allowed"), (-2.0, -1.0, "dismissed")])
    def test_more_probable_answer_counts(self, yes: float, no: float, label: str) -> None:
        verdict = read(weighed(yes, no))
        assert (verdict.label, verdict.reason, verdict.span) == (label, "matched", None)

    def test_probability_is_that_of_yes_among_the_two(self) -> None:
        assert read(weighed(math.log(0.6), math.log(0.2))).p_allowed == pytest.approx(0.75)

    def test_tie_is_dismissed_with_one_half(self) -> None:
        verdict = read(weighed(-1.5, -1.5))
        assert (verdict.label, verdict.p_allowed) == ("dismissed", 0.5)

    @pytest.mark.parametrize(("odds", "p"), [(1e6, 1.0), (-1e6, 0.0), (-701.0, 0.0), (math.inf, 1.0), (-math.inf, 0.0)])
    def test_huge_odds_are_certainty(self, odds: float, p: float) -> None:
        assert read(weighed(odds, 0.0)).p_allowed == p

    def test_prior_of_the_blank_prompt_is_taken_off(self) -> None:
        blank = weighed(math.log(0.8), math.log(0.2), BLANK)
        verdict = read(blank, weighed(math.log(0.6), math.log(0.4)))
        assert verdict.label == "dismissed"
        assert verdict.p_allowed == pytest.approx(1.5 / (1.5 + 4.0))

    def test_order_of_blank_and_answer_does_not_count(self) -> None:
        blank, answer = weighed(-0.1, -3.0, BLANK), weighed(-1.0, -1.0)
        assert read(blank, answer) == read(answer, blank)

    def test_overflow_of_the_answer_is_invalid_with_a_blank_one_too(self) -> None:
        assert read(weighed(-1.0, -2.0, BLANK), turn("", "overflow")).reason == "overflow"

    @pytest.mark.parametrize("yes", [math.nan, -math.inf])
    def test_undefined_odds_are_an_engine_s_error(self, yes: float) -> None:
        verdict = read(weighed(yes, -math.inf))
        assert (verdict.label, verdict.reason, verdict.p_allowed) == ("invalid", "error", None)

    def test_blank_turn_without_probabilities_is_a_broken_completion(self) -> None:
        with pytest.raises(ValueError, match="blank"):
            read(turn("", name=BLANK), weighed(-1.0, -2.0))

    @given(st.floats(-1e9, 0), st.floats(-1e9, 0), st.floats(-1e9, 0), st.floats(-1e9, 0))
    def test_probability_and_label_agree(self, yes: float, no: float, blank_yes: float, blank_no: float) -> None:
        verdict = read(weighed(blank_yes, blank_no, BLANK), weighed(yes, no))
        assert verdict.p_allowed is not None
        assert 0.0 <= verdict.p_allowed <= 1.0
        assert verdict.p_allowed >= 0.5 if verdict.label == "allowed" else verdict.p_allowed <= 0.5


def test_unknown_reading_is_refused() -> None:
    with pytest.raises(UserError, match=r"^verdict\.reading: unknown reading 'loose' \(use strict or study\)"):
        VerdictReader(reading="loose")


@pytest.mark.parametrize(
    ("text", "end"), [("", 0), ("YES", 0), ("<think>", 0), ("a</think>b", 9), ("</think></think>", 16)]
)
def test_answer_begins_after_the_last_closed_thought(text: str, end: int) -> None:
    assert thought_end(text) == end


answers = st.text(max_size=40) | st.lists(
    st.sampled_from(["yes", "NO", "No. 5", "</think>", "\n", ". ", "maybe", "**", "1"]), max_size=8
).map("".join)
weights: st.SearchStrategy[Mapping[str, float] | None] = st.none() | st.fixed_dictionaries(
    {"YES": st.floats(), "NO": st.floats()}
)
turns = st.lists(
    st.builds(
        CompletedTurn,
        name=st.sampled_from(["analysis", "answer"]),
        text=answers,
        finish_reason=st.sampled_from(["stop", "length", "overflow"]),
        logprobs=weights,
    ),
    max_size=3,
)


@given(turns, st.sampled_from(READINGS), st.none() | st.text())
def test_reading_never_raises_and_a_span_is_there_only_for_words_that_say_so(
    said: list[CompletedTurn], reading: str, error: str | None
) -> None:
    verdict = read(*said, reading=reading, error=error)
    assert (verdict.label == "invalid") == (verdict.reason != "matched")
    if verdict.span is not None:
        word = said[-1].text[slice(*verdict.span)].lower()
        assert word == {"allowed": "yes", "dismissed": "no"}[verdict.label]
