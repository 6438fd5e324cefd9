"""Judgments shown as page images: the pages that stay visible, their text, and what is recorded about them."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from legalrr.errors import UserError
from legalrr.page_images import clip_blocks, image_pages, overlapping_pages, page_status, require_text, select_pages
from legalrr.records import Block, Document, Hidden, Judgment, Page


def made(*lengths: int, dpi: int | None = 150) -> tuple[Page, ...]:
    """Return pages with these numbers of characters."""
    starts = [sum(lengths[:n]) for n in range(len(lengths))]
    return tuple(
        Page(path="j.pdf", number=n, sha256="0", start=start, end=start + length, dpi=dpi)
        for n, (start, length) in enumerate(zip(starts, lengths, strict=True), start=1)
    )


def span(start: int, end: int) -> Hidden:
    return Hidden(start=start, end=end, role="RPC", reason="role")


def selected(pages: Sequence[Page], hidden: Sequence[Hidden], **options: Any) -> Document:
    document = Document(id="j", scheme="build", headings=False, blocks=(), hidden=tuple(hidden))
    return select_pages(document, pages, **options)


def visible_pages(pages: Sequence[Page], hidden: Sequence[Hidden], **options: Any) -> tuple[Page, ...]:
    return selected(pages, hidden, **options).pages


def numbers(pages: tuple[Page, ...]) -> list[int]:
    return [page.number for page in pages]


def test_a_span_is_mapped_to_its_pages():
    pages = made(10, 0, 10, 10)
    assert [numbers(overlapping_pages(pages, *place)) for place in [(0, 10), (9, 11), (10, 20), (5, 30), (30, 31)]] == [
        [1],
        [1, 3],
        [3],
        [1, 3, 4],
        [],
    ]


def test_pages_that_overlap_hidden_text_are_dropped():
    assert numbers(visible_pages(made(10, 10, 10, 10), [span(9, 11), span(35, 36)])) == [3]


def test_pages_without_text_are_dropped_if_others_have_text():
    assert numbers(visible_pages(made(10, 0, 10), [span(15, 16)], last_pages_hidden=2)) == [1]


@given(st.lists(st.integers(0, 9), min_size=1, max_size=6), st.lists(st.tuples(st.integers(0, 50), st.integers(1, 9))))
def test_no_hidden_character_is_on_a_visible_page(lengths, places):
    pages = (*made(*lengths), Page(path="j.pdf", number=99, sha256="0", start=900, end=901, dpi=1))
    hidden = [span(start, start + length) for start, length in places]
    shown = visible_pages(pages, hidden)
    seen = {offset for page in shown for offset in range(page.start, page.end)}
    assert seen.isdisjoint(offset for h in hidden for offset in range(h.start, h.end))
    kept = {p.number for p in pages if not any(h.start < p.end and p.start < h.end for h in hidden) and p.end > p.start}
    assert {page.number for page in shown} == kept


def test_last_pages_of_a_scanned_judgment_are_dropped():
    assert [numbers(visible_pages(made(0, 0, 0), [], last_pages_hidden=n)) for n in (0, 2)] == [[1, 2, 3], [1]]


def test_a_scan_requires_last_pages_hidden():
    with pytest.raises(UserError, match=r"\Aj\.pdf: .*set restructure\.last_pages_hidden.*\Z"):
        visible_pages(made(0, 0), [])


@pytest.mark.parametrize(("lengths", "hidden", "last"), [((0, 0), [], 2), ((0,), [], 5), ((4, 4), [span(0, 8)], None)])
def test_hiding_every_page_is_an_error_unless_allowed(lengths, hidden, last):
    with pytest.raises(UserError, match=rf"\Aj\.pdf: all {len(lengths)} pages would be hidden.*\Z"):
        visible_pages(made(*lengths), hidden, last_pages_hidden=last)
    assert visible_pages(made(*lengths), hidden, last_pages_hidden=last, allow_none=True) == ()


def test_a_judgment_read_as_text_has_no_visible_page():
    assert image_pages(made(10, 10, dpi=None)) == ()
    assert visible_pages(made(10, 10, dpi=None), []) == ()
    assert visible_pages((), []) == ()


def test_every_page_is_recorded_as_shown_hidden_or_dropped():
    pages = made(10, 10, 10)
    document = selected(pages, [span(9, 10)])
    short = replace(document, pages=document.pages[:1])
    status = page_status(Judgment(id="j", text="", pages=pages), short)
    assert {name: [page["number"] for page in some] for name, some in status.items()} == {
        "shown": [2],
        "hidden": [1],
        "dropped": [3],
    }
    assert status["shown"] == [{"sha256": "0", "number": 2, "dpi": 150}]
    text = made(10, 10, dpi=None)
    assert page_status(Judgment(id="j", text="", pages=text), selected(text, [])) == {}


def test_a_stage_that_needs_text_names_the_judgment_without_it():
    text, pictured = selected(made(10, dpi=None), []), selected(made(10), [])
    require_text([text], "the probe splits text")
    with pytest.raises(UserError, match=r"\Aj: the probe splits text, but this judgment is shown as page images"):
        require_text([text, pictured], "the probe splits text")


def test_a_block_is_clipped_to_visible_pages_and_joined_across_adjacent_ones():
    text = "abcde fghi klmno pqrs"
    one, two, three, four = made(5, 5, 6, 5)
    block = Block(role="FAC", start=0, text=text)

    def starts(*pages):
        return [(b.start, b.text) for b in clip_blocks([block], pages)]

    assert starts(one, two, three, four) == [(0, text)]
    assert starts(one, two) == [(0, "abcde fghi")]
    assert starts(one, three) == [(0, "abcde"), (11, "klmno")]
    assert starts() == []


@given(st.text("ab \n", min_size=1, max_size=30), st.lists(st.booleans(), min_size=3, max_size=3), st.integers(0, 9))
def test_clipped_blocks_contain_exactly_the_text_of_visible_pages(text, chosen, start):
    pages = made(7, 0, 9)
    shown = [page for page, taken in zip(pages, chosen, strict=True) if taken]
    kept = clip_blocks([Block(role="FAC", start=start, text=text)], shown)
    whole = " " * start + text
    for block in kept:
        assert whole[block.start : block.start + len(block.text)] == block.text
    seen = {at for b in kept for at in range(b.start, b.start + len(b.text)) if not whole[at].isspace()}
    wanted = {at for p in shown for at in range(p.start, min(p.end, len(whole))) if not whole[at].isspace()}
    assert seen == wanted
