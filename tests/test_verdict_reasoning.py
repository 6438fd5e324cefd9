"""Reasoning is separated from the answer in every format of tags."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from legalrr import verdict
from legalrr.verdict import find_reasoning, reasoning_end


@pytest.mark.parametrize(
    ("text", "end"),
    [
        ("", 0),
        ("YES", 0),
        ("<think>", 0),
        ("a</think>b", 9),
        ("</think></think>", 16),
        ("<thought>a</thought> b", 20),
        ("[THINK]a[/THINK]b", 16),
        ("<seed:think>a</seed:think>b", 26),
        ("<|channel|>final<|message|>b", 27),
        ("<|channel|>analysis<|message|>a<|end|>b", 38),
        ("b<|end|>", 0),
        ("analysisThe rent.assistantfinalb", 31),
        ("analysis of the rent", 0),
    ],
)
def test_answer_starts_after_the_last_closed_reasoning(text: str, end: int) -> None:
    assert reasoning_end(text) == end


def test_sections_are_reasoning_only_in_answers_of_one_word() -> None:
    text = "<analysis>The rent was paid.</analysis>"
    assert reasoning_end(text) == 0
    assert find_reasoning(text, sections=True).kept(text) == []


def test_reasoning_without_a_closing_tag_extends_to_the_end() -> None:
    text = "a<think>b</think>c<think>d"
    found = find_reasoning(text)
    assert found.unfinished == 18
    assert [text[start:end] for start, end in found.kept(text)] == ["a", "c"]


pieces = st.lists(st.sampled_from(["<think>", "</think>", "[THINK]", "<|end|>", "x", "\n", "<|channel|>final"]))


@given(pieces.map("".join))
def test_reasoning_and_the_rest_are_ordered_and_disjoint(text: str) -> None:
    found = find_reasoning(text)
    ends = [0, *(at for piece in sorted([*found.closed, *found.kept(text)]) for at in piece), len(text)]
    assert ends == sorted(ends)


@given(st.from_regex(verdict._PATTERN) | st.from_regex(verdict._WIDE))
def test_every_match_has_a_mark_so_that_texts_without_one_need_no_search(text: str) -> None:
    matches = [found.group() for pattern in (verdict._PATTERN, verdict._WIDE) for found in pattern.finditer(text)]
    assert matches
    assert all(any(mark in match for mark in verdict._MARKS) for match in matches)
