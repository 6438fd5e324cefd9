import re
from dataclasses import dataclass

import pytest
from hypothesis import given, reject, settings
from hypothesis import strategies as st

from legalrr.errors import UserError
from legalrr.records import Block, Document
from legalrr.roles import BUILD
from legalrr.truncate import MAX_UNIT_TOKENS, OVERFLOWS, count_tokens, truncate

HEADINGS = {role.code: role.heading for role in BUILD.roles}


@dataclass
class Words:
    """A token per word."""

    context: int = 10_000

    def token_ends(self, text: str) -> list[int]:
        return [m.end() for m in re.finditer(r"\S+", text)]


@dataclass
class Joins:
    """A token per word and one per space or line break, so that joining two sentences costs more than both."""

    context: int = 10_000

    def token_ends(self, text: str) -> list[int]:
        return [m.end() for m in re.finditer(r"\S+|\s", text)]


def document(*parts: tuple[str, str], headings: bool = False) -> Document:
    """A document of (role, text) blocks, one line apart in the judgment."""
    blocks, at = [], 0
    for role, text in parts:
        blocks.append(Block(role=role, start=at, text=text))
        at += len(text) + 1
    return Document(id="j7", scheme="build", headings=headings, blocks=tuple(blocks))


def numbered(first: int, last: int) -> str:
    """Sentences of four words: "Fact number 1 stands." and so on."""
    return " ".join(f"Fact number {i} stands." for i in range(first, last))


def size(shown: Document, tokens: Words | Joins) -> int:
    return len(tokens.token_ends(shown.render(HEADINGS)))


LONG = document(("FAC", numbered(0, 10)), ("RLC", numbered(10, 20)), ("ISSUE", numbered(20, 22)))


@pytest.mark.parametrize("policy", OVERFLOWS)
def test_document_within_the_budget_is_unchanged(policy: str) -> None:
    assert truncate(LONG, Words(), 88, policy) is LONG
    assert truncate(LONG, Words(), 10_000, policy) is LONG


def test_error_names_judgment_length_budget_and_cure() -> None:
    with pytest.raises(
        UserError, match=r"^j7: judgment of 88 visible tokens.* budget of 87 .*overflow=middle, by_role"
    ):
        truncate(LONG, Words(), 87, "error")


def test_skip_drops_and_counts_everything() -> None:
    left = truncate(LONG, Words(), 87, "skip")
    assert left.skipped
    assert left.blocks == ()
    assert left.dropped_tokens == 88


def test_middle_keeps_both_ends() -> None:
    left = truncate(LONG, Words(), 24, "middle")
    assert left.render(HEADINGS) == f"{numbered(0, 3)}\n{numbered(19, 20)}\n{numbered(20, 22)}"
    assert left.dropped_tokens == 88 - 24
    assert not left.skipped


def test_by_role_keeps_the_start_of_every_role_and_redistributes_unused_tokens() -> None:
    left = truncate(LONG, Words(), 48, "by_role")
    assert [(b.role, b.text) for b in left.blocks] == [
        ("FAC", numbered(0, 5)),
        ("RLC", numbered(10, 15)),
        ("ISSUE", numbered(20, 22)),
    ]


def test_by_role_counts_a_role_with_several_blocks_once() -> None:
    parts = document(("FAC", numbered(0, 4)), ("RLC", numbered(4, 12)), ("FAC", numbered(12, 16)))
    left = truncate(parts, Words(), 32, "by_role")
    assert [(b.role, b.text) for b in left.blocks] == [("FAC", numbered(0, 4)), ("RLC", numbered(4, 8))]


def test_by_role_skips_no_sentence_to_reach_a_shorter_one() -> None:
    parts = document(("FAC", "One two three. " + "Many words " * 5 + "end. Last one."))
    assert truncate(parts, Words(), 6, "by_role").render(HEADINGS) == "One two three."


@pytest.mark.parametrize("policy", ["middle", "by_role"])
def test_headings_count(policy: str) -> None:
    shown = document(("FAC", numbered(0, 5)), ("RLC", numbered(5, 10)), headings=True)
    for budget in range(12, 46):
        assert size(truncate(shown, Words(), budget, policy), Words()) <= budget


@pytest.mark.parametrize("policy", ["middle", "by_role"])
@pytest.mark.parametrize("tokens", [Words(), Joins()], ids=["words", "joins"])
def test_sentence_of_five_thousand_tokens_is_cut_between_tokens(policy: str, tokens: Words | Joins) -> None:
    monster = document(("FAC", " ".join(f"w{i}" for i in range(5000))))
    left = truncate(monster, tokens, 1000, policy)
    assert 1000 - MAX_UNIT_TOKENS <= size(left, tokens) <= 1000
    for block in left.blocks:
        assert all(re.fullmatch(r"w\d+", word) for word in block.text.split())
        assert monster.blocks[0].text[block.start : block.start + len(block.text)] == block.text
    assert left.blocks[0].text.startswith("w0 ")
    assert left.blocks[-1].text.endswith("w4999") == (policy == "middle")


def test_unit_of_a_long_sentence_has_at_most_the_maximum_tokens() -> None:
    left = truncate(document(("FAC", "w " * (2 * MAX_UNIT_TOKENS) + "end")), Words(), MAX_UNIT_TOKENS, "middle")
    assert size(left, Words()) == MAX_UNIT_TOKENS


@pytest.mark.parametrize("policy", ["middle", "by_role"])
def test_budget_too_small_for_any_sentence_raises(policy: str) -> None:
    with pytest.raises(UserError, match=r"restructure\.budget"):
        truncate(LONG, Words(), 3, policy)


def test_text_of_fewer_bytes_than_the_budget_needs_no_tokenizer() -> None:
    class Refusing(Words):
        def token_ends(self, text: str) -> list[int]:
            raise AssertionError(text)

    shown = document(("FAC", "एक दो."))
    bytes_ = len("एक दो.".encode())
    assert count_tokens(shown, Refusing(), bytes_) == bytes_
    with pytest.raises(AssertionError):
        count_tokens(shown, Refusing(), bytes_ - 1)


sentences = st.lists(st.sampled_from(["a", "bb", "ccc", "dddd"]), min_size=1, max_size=9).map(
    lambda w: " ".join(w).capitalize() + "."
)
blocks = st.lists(
    st.tuples(
        st.sampled_from(["FAC", "RLC", "ISSUE", ""]),
        st.lists(sentences, min_size=1, max_size=6).map(" ".join),
    ),
    min_size=1,
    max_size=6,
)


@settings(deadline=None)
@given(
    blocks,
    st.integers(1, 120),
    st.sampled_from(["middle", "by_role"]),
    st.sampled_from([Words(), Joins()]),
    st.booleans(),
)
def test_kept_text_is_within_budget_verbatim_and_in_order_and_the_rest_is_counted(
    parts: list[tuple[str, str]], budget: int, policy: str, tokens: Words | Joins, headings: bool
) -> None:
    whole = document(*parts, headings=headings)
    text = "\n".join(part for _, part in parts)
    try:
        left = truncate(whole, tokens, budget, policy)
    except UserError:
        reject()  # no sentence fits
    assert size(left, tokens) <= budget
    assert left.dropped_tokens == size(whole, tokens) - size(left, tokens)
    at = 0
    for block in left.blocks:
        assert block.start >= at
        assert text[block.start : block.start + len(block.text)] == block.text != ""
        at = block.start + len(block.text)
        within = [b for b in whole.blocks if b.start <= block.start and at <= b.start + len(b.text)]
        assert [b.role for b in within] == [block.role]


@settings(deadline=None)
@given(blocks, st.integers(1, 120), st.sampled_from(["middle", "by_role"]))
def test_greater_budget_never_leaves_fewer_tokens(parts: list[tuple[str, str]], budget: int, policy: str) -> None:
    whole = document(*parts)
    try:
        smaller = truncate(whole, Words(), budget, policy)
    except UserError:
        reject()  # no sentence fits
    assert size(smaller, Words()) <= size(truncate(whole, Words(), budget + 1, policy), Words())
