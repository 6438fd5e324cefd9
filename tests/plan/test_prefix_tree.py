"""The prefix tree counts what a set of all prefixes counts."""

from hypothesis import given
from hypothesis import strategies as st

from legalrr.plan.prefix_tree import PrefixTree


@given(st.lists(st.lists(st.integers(0, 2), max_size=8), max_size=12))
def test_the_tokens_are_the_distinct_prefixes(prompts: list[list[int]]) -> None:
    tree, prefixes = PrefixTree(), set[tuple[int, ...]]()
    for prompt in prompts:
        new = {tuple(prompt[: at + 1]) for at in range(len(prompt))} - prefixes
        assert tree.add(prompt) == len(new)
        prefixes |= new
        assert tree.tokens == len(prefixes)
