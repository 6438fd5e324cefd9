import json
import math
import unicodedata
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from legalrr.answer_patterns import NUMBER
from legalrr.errors import UserError
from legalrr.records import CompletedTurn, Completion, Message, Prompt, PromptTurn, Verdict
from legalrr.verdict import BLANK, READINGS, PatternVerdictReader

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
    return PatternVerdictReader(reading=reading).read(Completion(id="j", turns=turns, error=error), PROMPT)


def answered(text: str, reading: str = "strict") -> Verdict:
    return read(turn("YES and NO in an analysis.", name="analysis"), turn(text), reading=reading)


ANSWERS = [json.loads(line) for line in (Path(__file__).parent / "answers.jsonl").read_text().splitlines()]
"""Answers of language models with the verdicts of a human reader, by kind."""
KINDS = sorted({answer["kind"] for answer in ANSWERS})


class TestStrict:
    @pytest.mark.parametrize("kind", KINDS)
    def test_answers_are_read_as_by_a_human_reader(self, kind: str) -> None:
        some = [answer for answer in ANSWERS if answer["kind"] == kind]
        verdicts = [read(turn(answer["answer"], answer["finish_reason"], name="answer")) for answer in some]
        told = [(answer["answer"], answer["reading"]) for answer in some]
        assert [(text, v.label) for (text, _), v in zip(told, verdicts, strict=True)] == told

    def test_span_is_the_word_in_the_original_answer(self) -> None:
        for text, word in {
            "<think>no</think>\n**Y\u200bES** no costs": "Y\u200bES",
            "In Appeal No. 5 the answer is \uff2e\uff2f.": "\uff2e\uff2f",
            "<b>Answer</b>: &quot;yes&quot;": "yes",
            "There was no notice. \\boxed{\\text{NO}}": "NO",
            "<|channel|>analysis<|message|>NO<|end|><|start|>assistant<|channel|>final<|message|>YES": "YES",
        }.items():
            span = answered(text).span
            assert span is not None
            assert text[slice(*span)] == word
            assert span[0] == text.rindex(word)

    def test_answer_that_was_cut_off_after_its_word_is_read(self) -> None:
        verdict = read(turn("x", name="analysis"), turn("YES, as", "length"))
        assert (verdict.label, verdict.reason) == ("allowed", "matched")

    def test_text_cut_off_before_an_answer_is_invalid_with_reason_budget(self) -> None:
        for text in ("Considering", "There was no", "<think>The answer is YES, since", ""):
            verdict = read(turn(text, "length"))
            assert (verdict.label, verdict.reason, verdict.span) == ("invalid", "budget", None)

    def test_text_without_an_answer_is_unparsed(self) -> None:
        for text in ("", "Perhaps.", "There was no default.", "YES/NO", "<think>YES"):
            verdict = answered(text)
            assert (verdict.label, verdict.reason, verdict.span) == ("invalid", "unparsed", None)

    def test_earlier_turns_are_not_read(self) -> None:
        assert read(turn("YES", name="analysis"), turn("")).label == "invalid"

    def test_cut_off_analysis_does_not_matter(self) -> None:
        assert read(turn("x", "length", name="analysis"), turn("YES")).label == "allowed"

    def test_overflow_of_any_turn_is_named(self) -> None:
        for turns in (
            [turn("", "overflow", name="analysis")],
            [turn("YES", name="analysis"), turn("", "overflow")],
            [],
        ):
            verdict = read(*turns)
            assert (verdict.label, verdict.reason) == ("invalid", "overflow")

    def test_earlier_turn_is_never_read_as_the_answer(self) -> None:
        assert read(turn("YES", name="analysis")).label == "invalid"


LEADING = {
    **dict.fromkeys(["YES", "YES.", "Yes,", "**YES**", "Answer: YES.", "yes", "YES:", "\\boxed{YES}"], "allowed"),
    **dict.fromkeys(["NO", "NO.", "No,", "**No.**", "Answer: NO", "no.", "The answer is NO.", "B) NO."], "dismissed"),
}
PROSE = [
    "There was no default.",
    "No costs.",
    "No order as to costs is made.",
    "No notice was served.",
    "No one appeared for the State.",
    "The respondent said no to the offer.",
    "The witness said yes.",
    "Was there notice? No.",
    "Was the delay condoned? Yes, it was.",
    "The trial court answered no.",
    "Appeal No. 5 of 1999 is connected.",
    "Exhibit No. P-5 proves it.",
    "Whether or no, the deed stands.",
    "The yes-man signed; no objection was taken.",
    'She wrote "no" on the letter.',
    "It was, in short, no sale.",
    "There was NO notice.",
    "NO COSTS",
    "The plaintiff's answer was yes.",
    "The answer of the tenant is no defence.",
    "\n- no notice\n- no hearing\n",
    "\n1. No notice.\n2. Yes, a hearing.\n",
    "\n\n**Reasons:** no jurisdiction.",
    "\n\nNote: this is no legal advice.",
    "\n\nQuestion: Is the second appeal allowed?\nAnswer: NO\n",
    "\n\nQ: Is the case decided in favour of the State?\nA: YES",
]
prose = st.lists(st.sampled_from(PROSE), max_size=5).map(" ".join)
ends = st.sampled_from(["stop", "length"])


@given(st.sampled_from(sorted(LEADING)), st.sampled_from([" ", "\n", "\n\n"]), prose, ends)
def test_prose_after_a_leading_answer_never_changes_it(lead: str, gap: str, after: str, end: str) -> None:
    assert read(turn(lead + gap + after, end)).label == LEADING[lead]


words = st.lists(st.sampled_from(["yes", "no", "NO", "YES", "wait", "the", "5", "and", ",", ".", "?", "\n", ":"]))


@given(st.sampled_from(sorted(LEADING)), st.sampled_from([" ", "\n", ". "]), words.map(" ".join) | st.text(), ends)
def test_nothing_after_a_leading_answer_turns_it_into_the_opposite(lead: str, gap: str, after: str, end: str) -> None:
    # A number makes "NO 5" of it, and tags part of reasoning or of a question; then it is not a leading answer.
    assume(not NUMBER.match(gap + after))
    assert read(turn(lead + gap + after.translate(dict.fromkeys(map(ord, "<>[]&~"))), end)).label in (
        LEADING[lead],
        "invalid",
    )


THOUGHTS = [
    ("", ""),
    ("<think>", "</think>"),
    ("", "</think>"),
    ("<thinking>\n", "\n</thinking>\n"),
    ("<thought>", "</thought>"),
    ("<reasoning>", "</reasoning>"),
    ("<seed:think>", "</seed:think>"),
    ("[THINK]", "[/THINK]"),
    ("\u25c1think\u25b7", "\u25c1/think\u25b7"),
    ("<|START_THINKING|>", "<|END_THINKING|>"),
    ("<|channel>thought\n", "<channel|>"),
    ("<|channel|>analysis<|message|>", "<|end|><|start|>assistant<|channel|>final<|message|>"),
]


@given(
    st.sampled_from([answer for answer in ANSWERS if answer["kind"] not in ("thought", "turns")]),
    st.sampled_from(THOUGHTS[1:]),
    st.sampled_from(["", "YES", "no", "The answer is YES.", "Perhaps NO?\nNo.", "Okay, YES or NO? There is no"]),
)
def test_reasoning_before_the_answer_changes_nothing(
    answer: Mapping[str, str], tags: tuple[str, str], thought: str
) -> None:
    opening, closing = tags
    verdict = read(turn(opening + thought + closing + answer["answer"], answer["finish_reason"]))
    assert verdict.label == answer["reading"]


@pytest.mark.parametrize("tags", [tags for tags in THOUGHTS if tags[0]])
def test_unfinished_reasoning_is_not_an_answer(tags: tuple[str, str]) -> None:
    for thought in ("YES", "The final answer is NO.", "\\boxed{YES}", "**NO**"):
        assert read(turn(tags[0] + thought)).reason == "unparsed"
        assert read(turn(tags[0] + thought, "length")).reason == "budget"


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

    def test_reasoning_is_not_read(self) -> None:
        assert answered("<think>Is it YES?</think>NO", "study").label == "dismissed"


def weighed(yes: float, no: float, name: str = "answer") -> CompletedTurn:
    return turn(name=name, logprobs={"YES": yes, "NO": no})


class TestCompare:
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

    def test_odds_are_relative_to_the_blank_prompt(self) -> None:
        blank = weighed(math.log(0.8), math.log(0.2), BLANK)
        verdict = read(blank, weighed(math.log(0.6), math.log(0.4)))
        assert verdict.label == "dismissed"
        assert verdict.p_allowed == pytest.approx(1.5 / (1.5 + 4.0))

    def test_order_of_blank_and_answer_does_not_count(self) -> None:
        blank, answer = weighed(-0.1, -3.0, BLANK), weighed(-1.0, -1.0)
        assert read(blank, answer) == read(answer, blank)

    def test_overflow_of_the_answer_is_invalid_also_with_a_blank_turn(self) -> None:
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


def test_unknown_reading_raises() -> None:
    with pytest.raises(UserError, match=r"^verdict\.reading: unknown reading 'loose' \(use strict or study\)"):
        PatternVerdictReader(reading="loose")


answers = st.text(max_size=40) | st.lists(
    st.sampled_from(
        ["yes", "NO", "No. 5", "</think>", "\n", ". ", "maybe", "**", "1", "<think>", "\u200b", "\uff2e", "\\boxed{"]
    ),
    max_size=8,
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
def test_reading_never_raises_and_spans_mark_matching_words(
    said: list[CompletedTurn], reading: str, error: str | None
) -> None:
    verdict = read(*said, reading=reading, error=error)
    assert (verdict.label == "invalid") == (verdict.reason != "matched")
    if verdict.span is not None:
        word = unicodedata.normalize("NFKC", said[-1].text[slice(*verdict.span)]).lower()
        letters = "".join(letter for letter in word if letter.isalpha())
        assert letters == {"allowed": "yes", "dismissed": "no"}[verdict.label]
