"""What may be seen of a judgment that is shown as images of its pages."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from legalrr.hiding.hide import clipped, images, pages_with, shown_pages
from legalrr.records import Block, Hidden, Page


def made(*lengths: int, dpi: int | None = 150) -> tuple[Page, ...]:
    """Pages with so many characters each."""
    starts = [sum(lengths[:n]) for n in range(len(lengths))]
    return tuple(
        Page(path="j.pdf", number=n, sha256="0", start=start, end=start + length, dpi=dpi)
        for n, (start, length) in enumerate(zip(starts, lengths, strict=True), start=1)
    )


def span(start: int, end: int) -> Hidden:
    return Hidden(start=start, end=end, role="RPC", reason="role")


def numbers(pages: tuple[Page, ...]) -> list[int]:
    return [page.number for page in pages]


def test_a_stretch_is_traced_to_its_pages():
    pages = made(10, 0, 10, 10)
    assert [numbers(pages_with(pages, *place)) for place in [(0, 10), (9, 11), (10, 20), (5, 30), (30, 31)]] == [
        [1],
        [1, 3],
        [3],
        [1, 3, 4],
        [],
    ]


def test_pages_that_hold_anything_hidden_are_not_shown():
    assert numbers(shown_pages(made(10, 10, 10, 10), [span(9, 11), span(35, 36)])) == [3]


def test_among_pages_with_text_those_without_are_not_shown():
    assert numbers(shown_pages(made(10, 0, 10), [span(15, 16)], last_pages_hidden=2)) == [1]


@given(st.lists(st.integers(0, 9), min_size=1, max_size=6), st.lists(st.tuples(st.integers(0, 50), st.integers(1, 9))))
def test_no_hidden_character_is_on_a_shown_page(lengths, places):
    pages = (*made(*lengths), Page(path="j.pdf", number=99, sha256="0", start=900, end=901, dpi=1))
    hidden = [span(start, start + length) for start, length in places]
    shown = shown_pages(pages, hidden)
    seen = {offset for page in shown for offset in range(page.start, page.end)}
    assert seen.isdisjoint(offset for h in hidden for offset in range(h.start, h.end))
    kept = {p.number for p in pages if not any(h.start < p.end and p.start < h.end for h in hidden) and p.end > p.start}
    assert {page.number for page in shown} == kept


def test_of_a_scanned_judgment_the_last_pages_are_not_shown():
    assert [numbers(shown_pages(made(0, 0, 0), [], last_pages_hidden=n)) for n in (0, 2)] == [[1, 2, 3], [1]]


def test_how_many_pages_of_a_scan_are_hidden_must_be_said(refuses):
    with refuses("j.pdf", "set restructure.last_pages_hidden"):
        shown_pages(made(0, 0), [])


@pytest.mark.parametrize(("lengths", "hidden", "last"), [((0, 0), [], 2), ((0,), [], 5), ((4, 4), [span(0, 8)], None)])
def test_hiding_every_page_is_refused_unless_the_caller_leaves_such_judgments_out(lengths, hidden, last, refuses):
    with refuses("j.pdf", f"all {len(lengths)} pages would be hidden"):
        shown_pages(made(*lengths), hidden, last_pages_hidden=last)
    assert shown_pages(made(*lengths), hidden, last_pages_hidden=last, allow_none=True) == ()


def test_a_judgment_read_as_text_shows_no_page():
    assert images(made(10, 10, dpi=None)) == ()
    assert shown_pages(made(10, 10, dpi=None), []) == ()
    assert shown_pages((), []) == ()


def test_a_block_over_pages_is_cut_to_shown_ones_and_stays_whole_between_neighbours():
    text = "abcde fghi klmno pqrs"
    one, two, three, four = made(5, 5, 6, 5)
    block = Block(role="FAC", start=0, text=text)

    def starts(*pages):
        return [(b.start, b.text) for b in clipped([block], pages)]

    assert starts(one, two, three, four) == [(0, text)]
    assert starts(one, two) == [(0, "abcde fghi")]
    assert starts(one, three) == [(0, "abcde"), (11, "klmno")]
    assert starts() == []


@given(st.text("ab \n", min_size=1, max_size=30), st.lists(st.booleans(), min_size=3, max_size=3), st.integers(0, 9))
def test_what_is_left_of_a_block_is_what_stands_on_the_shown_pages(text, chosen, start):
    pages = made(7, 0, 9)
    shown = [page for page, taken in zip(pages, chosen, strict=True) if taken]
    kept = clipped([Block(role="FAC", start=start, text=text)], shown)
    whole = " " * start + text
    for block in kept:
        assert whole[block.start : block.start + len(block.text)] == block.text
    seen = {at for b in kept for at in range(b.start, b.start + len(b.text)) if not whole[at].isspace()}
    wanted = {at for p in shown for at in range(p.start, min(p.end, len(whole))) if not whole[at].isspace()}
    assert seen == wanted
