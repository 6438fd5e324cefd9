import ast
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from legalrr.errors import UserError
from legalrr.page_images import PAGE_LABEL_TOKENS
from legalrr.records import Block, Document, Judgment, Page, Segments, Span
from legalrr.restructure import CODE, Restructure, code_digest

PARTS = (
    ("PREAMBLE", "Court of Sandpur, bench of two."),
    ("FAC", "The well lies north of the field."),
    ("NONE", "Matters stand as follows."),
    ("RLC", "The munsif fixed a boundary by the tree."),
    ("ANALYSIS", "We think that the tree is older than the deed."),
    ("FAC", "The field was sold twice."),
    ("PRE_NOT_RELIED", "Another bench looked at hedges."),
    ("ARG_RESPONDENT", "Counsel spoke of the deed."),
    ("ARG_PETITIONER", "Counsel spoke of the tree."),
    ("PRE_RELIED", "An older bench looked at trees."),
    ("ISSUE", "Where does the boundary run?"),
    ("RPC", "The tree marks it."),
)


@dataclass
class Words:
    """A token per word."""

    context: int = 60

    def token_ends(self, text: str) -> list[int]:
        return [m.end() for m in re.finditer(r"\S+", text)]


def made(parts: Sequence[tuple[str, str]] = PARTS, *, scheme: str = "build") -> tuple[Judgment, Segments]:
    text, spans = "", []
    for role, words in parts:
        text += "\n" if text else ""
        if role:
            spans.append(Span(start=len(text), end=len(text) + len(words), role=role))
        text += words
    return Judgment(id="j", text=text), Segments(id="j", scheme=scheme, spans=tuple(spans))


def shown(parts: Sequence[tuple[str, str]] = PARTS, *, scheme: str = "build", **fields: Any) -> Document:
    return Restructure(**fields).restructure(*made(parts, scheme=scheme), None, 0)


def roles(document: Document) -> list[str]:
    return [block.role for block in document.blocks]


def test_plain_arm_shows_all_but_the_decisive_roles_in_the_order_of_the_document() -> None:
    document = shown()
    hidden = ("ANALYSIS", "RPC", "PRE_NOT_RELIED")
    assert [(b.role, b.text) for b in document.blocks] == [p for p in PARTS if p[0] not in hidden]
    assert not document.headings
    assert (document.id, document.scheme) == ("j", "build")
    assert [h.role for h in document.hidden] == ["ANALYSIS", "PRE_NOT_RELIED", "RPC"]


def test_a_precedent_not_relied_upon_is_shown_without_r_alone_as_in_the_study() -> None:
    assert "PRE_NOT_RELIED" in roles(shown(hide_verdicts=False))
    assert "PRE_NOT_RELIED" not in roles(shown(hide_verdicts=False, order="role", content="main"))


def test_r_regroups_in_the_study_s_order_and_drops_none_and_unrelied_precedents() -> None:
    document = shown(order="role", content="main")
    assert roles(document) == [
        "PREAMBLE",
        "FAC",
        "FAC",
        "RLC",
        "ISSUE",
        "PRE_RELIED",
        "ARG_PETITIONER",
        "ARG_RESPONDENT",
    ]
    assert document.headings


def test_r_keeps_the_order_of_the_document_within_a_role() -> None:
    assert [b.text for b in shown(order="role").blocks if b.role == "FAC"] == [PARTS[1][1], PARTS[5][1]]


def test_r_on_seven_roles_is_facts_lower_court_precedent_argument() -> None:
    parts = [(role, f"Words under {role} here.") for role in ("ARG", "PRE", "STA", "RLC", "RATIO", "FAC", "RPC")]
    assert roles(shown(parts, scheme="seven", order="role", content="main")) == ["FAC", "RLC", "PRE", "ARG"]


def test_text_without_a_role_comes_last_under_r_and_is_dropped_with_main_roles_only() -> None:
    parts = [("FAC", "One fact here."), ("", "Nobody labelled this."), ("RLC", "One ruling here.")]
    assert roles(shown(parts, order="role")) == ["FAC", "RLC", ""]
    assert roles(shown(parts, order="role", content="main")) == ["FAC", "RLC"]


def test_r_order_has_exactly_the_blocks_of_the_plain_arm() -> None:
    plain, r_order = shown(), shown(order="role")
    assert Counter(plain.blocks) == Counter(r_order.blocks)
    assert roles(plain) != roles(r_order)
    assert roles(r_order)[-1] == "NONE"


def test_main_content_can_be_shown_in_the_order_of_the_document() -> None:
    document = shown(content="main")
    assert roles(document) == [r for r, _ in PARTS if r not in ("ANALYSIS", "RPC", "NONE", "PRE_NOT_RELIED")]
    assert not document.headings


@pytest.mark.parametrize("order", ["document", "role"])
def test_preamble_can_be_left_out(order: str) -> None:
    assert roles(shown(order=order, preamble=False)) == roles(shown(order=order))[1:]


def test_every_arm_hides_the_same_passages() -> None:
    plain = shown().hidden
    for order in ("document", "role"):
        for content in ("all", "main"):
            assert shown(order=order, content=content, preamble=False).hidden == plain


def test_further_roles_are_hidden_on_request() -> None:
    document = shown(also_hide=["RLC", "PRE_RELIED"])
    assert not {"RLC", "PRE_RELIED"} & set(roles(document))
    assert [h.role for h in document.hidden] == ["RLC", "ANALYSIS", "PRE_NOT_RELIED", "PRE_RELIED", "RPC"]


def test_further_roles_may_be_spelt_as_in_published_files() -> None:
    parts = [("FAC", "One fact here."), ("RLC", "One ruling here.")]
    assert roles(shown(parts, scheme="seven", also_hide=["Ruling by Lower Court"])) == ["FAC"]


def test_unknown_role_to_hide_raises() -> None:
    with pytest.raises(UserError, match=r"^restructure\.also_hide: unknown role 'FACTS'"):
        shown(also_hide=["FACTS"])


def test_verdicts_under_other_roles_can_be_shown_as_in_the_study() -> None:
    parts = [("FAC", "One fact here."), ("NONE", "The appeal is dismissed with costs.")]
    assert roles(shown(parts)) == ["FAC"]
    assert roles(shown(parts, hide_verdicts=False)) == ["FAC", "NONE"]


def test_neighbouring_spans_of_a_role_are_one_block_with_the_whitespace_between() -> None:
    text = "One fact.\n\n  Two facts. Three."
    spans = (Span(start=0, end=10, role="FAC"), Span(start=11, end=23, role="FAC"), Span(start=24, end=30, role="RLC"))
    segments = Segments(id="j", scheme="build", spans=spans)
    document = Restructure().restructure(Judgment(id="j", text=text), segments, None, 0)
    assert document.blocks == (
        Block(role="FAC", start=0, text="One fact.\n\n  Two facts."),
        Block(role="RLC", start=24, text="Three."),
    )


def test_block_is_broken_where_something_in_it_is_hidden() -> None:
    parts = [("FAC", "The field was sold. The appeal is dismissed with costs. The well is dry."), ("FAC", "It rains.")]
    assert [b.text for b in shown(parts).blocks] == ["The field was sold.", "The well is dry.\nIt rains."]


def test_unknown_scheme_names_the_judgment() -> None:
    with pytest.raises(UserError, match=r"^j: unknown role scheme 'eight'"):
        shown(scheme="eight")


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"order": "random"}, r"^restructure\.order: unknown order 'random' \(use document or role\)"),
        ({"content": "most"}, r"^restructure\.content: unknown content 'most' \(use all or main\)"),
        ({"overflow": "cut"}, r"^restructure\.overflow: unknown overflow 'cut'.*middle"),
        ({"budget": 0}, r"^restructure\.budget: budget is 0"),
        ({"budget": -4}, r"^restructure\.budget"),
    ],
)
def test_invalid_choice_names_its_option(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        Restructure(**fields)


class TestBudget:
    def test_budget_is_the_rest_of_the_context(self) -> None:
        judgment, segments = made()
        full = len(Words().token_ends(Restructure().restructure(judgment, segments, None, 0).render({})))
        stage = Restructure()
        assert stage.restructure(judgment, segments, Words(context=full + 5), 5).dropped_tokens == 0
        with pytest.raises(
            UserError, match=rf"^j: judgment of {full} visible tokens, more than the budget of {full - 1}"
        ):
            stage.restructure(judgment, segments, Words(context=full + 4), 5)

    def test_smaller_budget_of_the_config_counts(self) -> None:
        document = Restructure(budget=20, overflow="middle").restructure(*made(), Words(), 5)
        assert 0 < len(Words().token_ends(document.render({}))) <= 20
        assert document.dropped_tokens > 0

    def test_greater_budget_of_the_config_does_not_exceed_the_context(self) -> None:
        document = Restructure(budget=500, overflow="middle").restructure(*made(), Words(context=30), 10)
        assert len(Words().token_ends(document.render({}))) <= 20

    def test_reserve_of_the_whole_context_raises(self) -> None:
        with pytest.raises(
            UserError, match=r"^backbone\.context: prompt and answers take 60 tokens, and the context has 60"
        ):
            Restructure().restructure(*made(), Words(context=60), 60)

    def test_without_a_tokenizer_nothing_is_dropped(self) -> None:
        assert shown(budget=1).dropped_tokens == 0

    def test_skipped_judgment_keeps_its_hidden_spans(self) -> None:
        document = Restructure(budget=5, overflow="skip").restructure(*made(), Words(), 0)
        assert document.skipped
        assert [h.role for h in document.hidden] == ["ANALYSIS", "PRE_NOT_RELIED", "RPC"]


any_role = st.sampled_from(["PREAMBLE", "FAC", "RLC", "NONE", "PRE_NOT_RELIED", "ANALYSIS", "RPC", ""])


@settings(deadline=None)
@given(
    st.lists(st.tuples(any_role, st.text("ab. \n\t", min_size=1, max_size=30)), min_size=1, max_size=8),
    st.sampled_from(["document", "role"]),
    st.sampled_from(["all", "main"]),
)
def test_blocks_are_spans_of_the_judgment_and_r_order_changes_no_character(
    parts: list[tuple[str, str]], order: str, content: str
) -> None:
    judgment, segments = made(parts)
    document = Restructure(order=order, content=content).restructure(judgment, segments, None, 0)
    for block in document.blocks:
        assert judgment.text[block.start : block.start + len(block.text)] == block.text == block.text.strip() != ""
        assert not any(h.start < block.start + len(block.text) and h.end > block.start for h in document.hidden)
    plain = Restructure(content=content).restructure(judgment, segments, None, 0)
    assert Counter(plain.blocks) == Counter(document.blocks)


@dataclass
class Pictures(Words):
    """A token per word, and ten per page."""

    def page_tokens(self, page: Page) -> int:
        return 10


def paged() -> tuple[Judgment, Segments]:
    """The judgment of `PARTS` on four pages of three parts each."""
    judgment, segments = made()
    starts = [0, *(segments.spans[n].start for n in (3, 6, 9)), len(judgment.text)]
    pages = tuple(
        Page(path="j.pdf", number=number, sha256="ab", start=start, end=end, dpi=72)
        for number, (start, end) in enumerate(pairwise(starts), start=1)
    )
    return replace(judgment, pages=pages), segments


def numbers(pages: Sequence[Page]) -> list[int]:
    return [page.number for page in pages]


def test_pages_with_a_hidden_passage_are_not_shown() -> None:
    document = Restructure(hide_verdicts=False).restructure(*paged(), None, 0)
    assert (numbers(document.pages), numbers(document.hidden_pages)) == ([1, 3], [2, 4])
    assert document.pictured
    assert roles(document) == ["PREAMBLE", "FAC", "NONE", "PRE_NOT_RELIED", "ARG_RESPONDENT", "ARG_PETITIONER"]
    more = Restructure(hide_verdicts=False, also_hide=["PREAMBLE"]).restructure(*paged(), None, 0)
    assert numbers(more.pages) == [3]
    assert not shown().pictured


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        (
            {"order": "role"},
            r"restructure\.order: order=role needs the text .* j is shown as page images .*corpus\.input=text",
        ),
        ({"content": "main"}, r"restructure\.content: content=main needs the text .*an arm without R"),
        ({"preamble": False}, r"restructure\.preamble: preamble=false needs the text .*also_hide=\[PREAMBLE\]"),
    ],
)
def test_options_that_move_or_drop_sentences_raise_for_page_images(fields: dict[str, Any], words: str) -> None:
    with pytest.raises(UserError, match=words):
        Restructure(**fields).restructure(*paged(), None, 0)


def test_scanned_judgment_hides_its_last_pages_and_needs_their_number() -> None:
    pages = tuple(Page(path="s.pdf", number=n, sha256="ab", start=0, end=0, dpi=72) for n in (1, 2, 3))
    scan = Judgment(id="s", text="", pages=pages), Segments(id="s", scheme="build", spans=())
    document = Restructure(last_pages_hidden=1).restructure(*scan, None, 0)
    assert (document.blocks, numbers(document.pages), numbers(document.hidden_pages)) == ((), [1, 2], [3])
    with pytest.raises(UserError, match=r"s\.pdf: scanned.*restructure\.last_pages_hidden"):
        Restructure().restructure(*scan, None, 0)
    with pytest.raises(UserError, match=r"restructure\.last_pages_hidden: last_pages_hidden is -1"):
        Restructure(last_pages_hidden=-1)


def test_pages_beyond_the_budget_follow_the_overflow_policy() -> None:
    judgment, segments = paged()
    clean = Segments(id="j", scheme="build", spans=tuple(replace(span, role="FAC") for span in segments.spans))

    def fitted(budget: int, overflow: str) -> Document:
        stage = Restructure(hide_verdicts=False, budget=budget, overflow=overflow)
        return stage.restructure(judgment, clean, Pictures(context=1000), 0)

    page = 10 + PAGE_LABEL_TOKENS
    assert numbers(fitted(4 * page, "error").pages) == [1, 2, 3, 4]
    for overflow in ("error", "by_role"):
        with pytest.raises(UserError, match=rf"j: 4 pages of {4 * page} tokens as images, .*budget of {4 * page - 1} "):
            fitted(4 * page - 1, overflow)
    short = fitted(3 * page, "middle")
    assert (numbers(short.pages), short.hidden_pages, short.dropped_tokens) == ([1, 2, 4], (), page)
    dropped = judgment.pages[2]
    assert all(b.start >= dropped.end or b.start + len(b.text) <= dropped.start for b in short.blocks)
    with pytest.raises(UserError, match=r"j: no page fits into a budget of 9 tokens"):
        fitted(9, "middle")
    left_out = fitted(page, "skip")
    assert (left_out.skipped, left_out.pages, left_out.blocks, left_out.dropped_tokens) == (True, (), (), 4 * page)


def test_pages_for_a_model_without_image_input_raise() -> None:
    with pytest.raises(UserError, match=r"j: this backbone does not accept images .*corpus\.input=text"):
        Restructure(hide_verdicts=False).restructure(*paged(), Words(context=1000), 0)


def test_judgment_with_all_pages_hidden_raises_unless_skipped() -> None:
    fields: dict[str, Any] = {"hide_verdicts": False, "also_hide": ["PREAMBLE", "ARG_RESPONDENT"]}
    with pytest.raises(UserError, match=r"j\.pdf: all 4 pages would be hidden .*restructure\.overflow=skip"):
        Restructure(**fields).restructure(*paged(), Pictures(), 0)
    document = Restructure(**fields, overflow="skip").restructure(*paged(), Pictures(), 0)
    assert (document.skipped, document.pages, document.blocks) == (True, (), ())
    assert numbers(document.hidden_pages) == [1, 2, 3, 4]


def test_the_code_that_decides_what_is_hidden_is_part_of_the_provenance() -> None:
    assert Restructure().provenance() == Restructure(order="role").provenance()
    named, without_effect = set(CODE), {"legalrr.errors", "legalrr.protocols", "legalrr.stage"}
    for name in CODE:
        spec = find_spec(name)
        assert spec is not None
        assert spec.origin is not None
        tree = ast.parse(Path(spec.origin).read_text("utf-8"))
        imported = {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module}
        imported |= {one.name for node in ast.walk(tree) if isinstance(node, ast.Import) for one in node.names}
        assert {one for one in imported if one.startswith("legalrr")} <= named | without_effect, name


def test_a_change_of_the_code_changes_its_digest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    file = tmp_path / "hides_something.py"
    file.write_text("A = 1\n")
    before = code_digest.__wrapped__(("hides_something",))
    file.write_text("A = 2\n")
    assert code_digest.__wrapped__(("hides_something",)) != before
