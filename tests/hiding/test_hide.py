from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from legalrr.hiding.hide import MIN_REPEATED_WORDS, collapse_whitespace, hide, pieces, protected_sentences
from legalrr.records import Hidden, Judgment, Segments, Span
from legalrr.restructure import Restructure
from legalrr.roles import scheme

RAIN = "The monsoon had flooded the lower road for a week."
BRIDGE = "A ferry carried the villagers across until the bridge was built."
LEDGER = "The ledger was kept by a clerk named Dinanath."


def made(*parts: tuple[str, str], scheme: str = "build", between: str = "\n") -> tuple[Judgment, Segments]:
    """Return a judgment of (role, text) parts; no span covers a part with role ""."""
    text, spans = "", []
    for role, words in parts:
        text += between if text else ""
        if role:
            spans.append(Span(start=len(text), end=len(text) + len(words), role=role))
        text += words
    return Judgment(id="j", text=text), Segments(id="j", scheme=scheme, spans=tuple(spans))


def hidden(
    *parts: tuple[str, str],
    also: frozenset[str] = frozenset(),
    verdicts: bool = True,
    scheme: str = "build",
    between: str = "\n",
) -> list[tuple[str, str, str]]:
    """Return (text, role, reason) of each hidden span."""
    judgment, segments = made(*parts, scheme=scheme, between=between)
    found = hide(judgment, segments, also=also, verdicts=verdicts)
    return [(judgment.text[h.start : h.end], h.role, h.reason) for h in found]


def leaked(judgment: Judgment, segments: Segments, stage: Restructure) -> set[str]:
    """Return hidden sentences that occur in the rendered document."""
    document = stage.restructure(judgment, segments, None, 0)
    shown = collapse_whitespace(document.render({r.code: r.heading for r in scheme(segments.scheme).roles}))
    secret = {s for h in document.hidden for s in protected_sentences(judgment.text[h.start : h.end])}
    return {sentence for sentence in secret if sentence in shown}


class TestRoles:
    @pytest.mark.parametrize("role", ["ANALYSIS", "STA", "RPC", "RATIO"])
    def test_decisive_roles_are_hidden(self, role: str) -> None:
        assert hidden(("FAC", RAIN), (role, LEDGER)) == [(LEDGER, role, "role")]

    @pytest.mark.parametrize("role", ["PREAMBLE", "FAC", "RLC", "ISSUE", "PRE_RELIED", "NONE"])
    def test_other_roles_are_shown(self, role: str) -> None:
        assert hidden(("FAC", RAIN), (role, LEDGER)) == []

    def test_rejected_precedent_is_hidden_except_in_the_study(self) -> None:
        parts = (("FAC", RAIN), ("PRE_NOT_RELIED", LEDGER))
        assert hidden(*parts) == [(LEDGER, "PRE_NOT_RELIED", "role")]
        assert hidden(*parts, verdicts=False) == []

    def test_decisive_roles_depend_on_the_scheme(self) -> None:
        parts = (("FAC", RAIN), ("PRE", LEDGER), ("STA", BRIDGE))
        assert hidden(*parts, scheme="seven") == [(BRIDGE, "STA", "role")]

    def test_additional_roles_are_hidden_on_request(self) -> None:
        assert hidden(("FAC", RAIN), ("RLC", LEDGER), also=frozenset({"RLC"})) == [(LEDGER, "RLC", "role")]

    def test_without_verdicts_only_roles_are_hidden(self) -> None:
        parts = (
            ("FAC", RAIN),
            ("ANALYSIS", LEDGER),
            ("FAC", LEDGER),
            ("FAC", "The appeal is dismissed with costs."),
            ("", "This end is covered by no span at all."),
            ("", "Appeal dismissed."),
        )
        assert hidden(*parts, verdicts=False) == [(LEDGER, "ANALYSIS", "role")]


class TestVerdicts:
    @pytest.mark.parametrize("role", ["FAC", "NONE", "ISSUE", "PREAMBLE"])
    def test_verdict_under_another_role_is_hidden(self, role: str) -> None:
        verdict = "For these reasons this appeal is dismissed with costs."
        assert hidden(("FAC", RAIN), (role, f"{BRIDGE} {verdict}"), ("FAC", LEDGER)) == [(verdict, role, "verdict")]

    @pytest.mark.parametrize(
        "line", ["Appeal dismissed.", "V.K.R. Appeal allowed.", "Appeals allowed.", "Petition dismissed."]
    )
    def test_closing_line_is_hidden(self, line: str) -> None:
        assert hidden(("FAC", RAIN), ("NONE", line)) == [(line, "NONE", "closing")]

    def test_closing_line_without_a_role_has_reason_closing(self) -> None:
        assert hidden(("FAC", RAIN), ("", "Appeal dismissed.")) == [("Appeal dismissed.", "", "closing")]

    def test_end_that_no_span_covers_is_hidden_sentence_by_sentence(self) -> None:
        found = hidden(("FAC", RAIN), ("", f"{BRIDGE} {LEDGER}"))
        assert found == [(BRIDGE, "", "uncovered"), (LEDGER, "", "uncovered")]

    def test_gap_between_spans_is_shown(self) -> None:
        assert hidden(("FAC", RAIN), ("", BRIDGE), ("FAC", LEDGER)) == []

    def test_judgment_without_any_span_is_not_hidden_as_uncovered(self) -> None:
        assert hidden(("", RAIN)) == []


NAMES = "PETITIONER:\nMOHAN LAL\n\n\tVs.\n\nRESPONDENT:\nSTATE OF SANDPUR\n"
REPORTER = f"ACT:\nWells--Right of way--Whether lost.\n\nHEADNOTE:\n{LEDGER}\nHeld, that the right was lost. [12A-B]\n"
COURT = f"JUDGMENT:\nCIVIL APPELLATE JURISDICTION: Civil Appeal No. 7.\n{BRIDGE}"


class TestHeadnotes:
    def test_headnote_is_hidden_and_party_names_stay(self) -> None:
        found = hidden(("PREAMBLE", NAMES + REPORTER), ("FAC", COURT), between="")
        assert found == [(REPORTER, "PREAMBLE", "headnote")]

    def test_headnote_is_hidden_with_and_without_roles(self) -> None:
        text = NAMES + REPORTER + COURT
        assert hidden(("", text)) == [(REPORTER, "", "headnote")]
        assert hidden(("NONE", text)) == [(REPORTER, "NONE", "headnote")]

    def test_headnote_across_spans_is_hidden_piece_by_piece(self) -> None:
        half = REPORTER.index("HEADNOTE")
        found = hidden(("PREAMBLE", NAMES + REPORTER[:half]), ("FAC", REPORTER[half:] + COURT), between="")
        assert [(text.strip(), role) for text, role, _ in found] == [
            (REPORTER[:half].strip(), "PREAMBLE"),
            (REPORTER[half:].strip(), "FAC"),
        ]

    def test_repeat_of_a_headnote_sentence_is_hidden(self) -> None:
        found = hidden(("PREAMBLE", NAMES + REPORTER), ("FAC", f"{COURT} {LEDGER}"), between="")
        assert [h[1:] for h in found] == [("PREAMBLE", "headnote"), ("FAC", "repeat")]

    def test_the_study_did_not_hide_headnotes(self) -> None:
        assert hidden(("PREAMBLE", NAMES + REPORTER), ("FAC", COURT), between="", verdicts=False) == []


class TestRepeats:
    def test_repeat_of_a_hidden_sentence_is_hidden(self) -> None:
        found = hidden(("FAC", f"{RAIN} {LEDGER} {BRIDGE}"), ("ANALYSIS", LEDGER))
        assert found == [(LEDGER, "FAC", "repeat"), (LEDGER, "ANALYSIS", "role")]

    def test_whitespace_makes_no_difference(self) -> None:
        spaced = LEDGER.replace("kept by", "kept\nby").replace("clerk named", "clerk \t named")
        assert (spaced, "FAC", "repeat") in hidden(("FAC", f"{RAIN} {spaced}"), ("ANALYSIS", LEDGER))

    def test_sentence_that_contains_a_hidden_one_is_hidden_completely(self) -> None:
        longer = f"On the record it is noted: {LEDGER[:-1]}."
        short = LEDGER[LEDGER.index("was") :]
        assert (longer, "FAC", "repeat") in hidden(("FAC", f"{RAIN} {longer}"), ("ANALYSIS", short))

    def test_repeats_of_repeats_are_hidden(self) -> None:
        inner = "the clerk had kept the ledger."
        middle = f"It was said that {inner}"
        outer = f"It was recorded where {middle}"
        parts = (("ANALYSIS", inner), ("FAC", BRIDGE), ("RLC", middle), ("ISSUE", outer), ("NONE", RAIN))
        assert [h[1:] for h in hidden(*parts)] == [("ANALYSIS", "role"), ("RLC", "repeat"), ("ISSUE", "repeat")]

    def test_text_added_by_a_repeat_is_searched_for_too(self) -> None:
        both = f"On that day {LEDGER[:-1]}, and {BRIDGE}"
        # `both` is hidden because it contains the ledger; it occurs again, word for word, under another role.
        found = hidden(("ANALYSIS", LEDGER[:-1]), ("FAC", both), ("RLC", f"{RAIN} {both}"))
        assert [h[1:] for h in found] == [("ANALYSIS", "role"), ("FAC", "repeat"), ("RLC", "repeat")]

    def test_sentence_joined_by_the_removal_of_a_repeat_is_hidden(self) -> None:
        split = ("The ledger was", LEDGER, "kept by Mohan.")
        parts = [("ANALYSIS", f"{LEDGER} The ledger was kept by Mohan."), *(("FAC", words) for words in split)]
        assert not leaked(*made(*parts), Restructure())

    def test_sentence_split_by_adjacent_spans_is_found(self) -> None:
        text = f"{RAIN} {LEDGER} {BRIDGE} {LEDGER}"
        cut = text.index(LEDGER) + len(LEDGER) - 1
        spans = [(0, cut, "FAC"), (cut, cut + 1, "FAC"), (cut + 2, len(text) - len(LEDGER) - 1, "FAC")]
        spans.append((len(text) - len(LEDGER), len(text), "ANALYSIS"))
        segments = Segments(id="j", scheme="build", spans=tuple(Span(start=a, end=b, role=r) for a, b, r in spans))
        judgment = Judgment(id="j", text=text)
        assert not leaked(judgment, segments, Restructure())
        found = hide(judgment, segments, also=frozenset(), verdicts=True)
        assert [text[h.start : h.end] for h in found] == [LEDGER[:-1], ".", LEDGER]

    def test_sentence_joined_by_reordering_is_hidden(self) -> None:
        parts = (("ANALYSIS", "Old Dinanath kept the ledger."), ("FAC", "Old Dinanath"), ("RLC", RAIN))
        judgment, segments = made(*parts, ("FAC", "kept the ledger."))
        assert not leaked(judgment, segments, Restructure(order="role"))

    def test_repeat_of_a_short_sentence_stays_visible(self) -> None:
        assert MIN_REPEATED_WORDS == 4
        assert hidden(("FAC", "We have heard. " + RAIN), ("ANALYSIS", "We have heard.")) == [
            ("We have heard.", "ANALYSIS", "role")
        ]

    def test_repeat_of_a_verdict_and_of_the_uncovered_end_is_hidden(self) -> None:
        assert hidden(("FAC", f"{RAIN} {LEDGER}"), ("", LEDGER)) == [
            (LEDGER, "FAC", "repeat"),
            (LEDGER, "", "uncovered"),
        ]


class TestPieces:
    def test_pieces_cover_the_text_except_whitespace_gaps(self) -> None:
        judgment, segments = made(("", "Before."), ("FAC", "One."), ("RLC", "Two."), ("", "After."))
        assert [(judgment.text[a:b].strip(), role) for a, b, role in pieces(judgment.text, segments)] == [
            ("Before.", ""),
            ("One.", "FAC"),
            ("Two.", "RLC"),
            ("After.", ""),
        ]

    def test_text_without_spans_is_one_piece(self) -> None:
        assert list(pieces("One.", Segments(id="j", scheme="build", spans=()))) == [(0, 4, "")]


words = st.sampled_from(["amber", "birch", "cedar", "dune", "elder", "fjord"])
sentences = st.lists(words, min_size=2, max_size=6).map(lambda w: " ".join(w).capitalize() + ".")
roles = st.sampled_from(["FAC", "RLC", "ISSUE", "NONE", "ANALYSIS", "RATIO", ""])
orders = st.sampled_from([Restructure(), Restructure(order="role")])


def sound(judgment: Judgment, found: tuple[Hidden, ...]) -> bool:
    """Return whether hidden spans are non-empty, ordered, disjoint and within the text."""
    offsets = [offset for h in found for offset in (h.start, h.end)]
    return (
        offsets == sorted(offsets)
        and all(h.start < h.end for h in found)
        and all(0 <= offset <= len(judgment.text) for offset in offsets)
    )


@settings(deadline=None)
@given(st.lists(st.tuples(roles, sentences), min_size=1, max_size=12), st.sampled_from([" ", "\n", "\n\n", ""]), orders)
def test_no_hidden_sentence_is_visible_for_any_labels(
    parts: list[tuple[str, str]], between: str, stage: Restructure
) -> None:
    judgment, segments = made(*parts, between=between)
    assert sound(judgment, hide(judgment, segments, also=frozenset(), verdicts=True))
    assert not leaked(judgment, segments, stage)


@st.composite
def cut_anywhere(draw: st.DrawFn) -> tuple[Judgment, Segments]:
    """Draw a judgment with spans that start and end at any character."""
    text = draw(st.lists(st.one_of(sentences, words, st.sampled_from(["\n", ".", "\u00a0"])), min_size=1, max_size=20))
    joined = draw(st.sampled_from([" ", "\n", ""])).join(text)
    cuts = sorted(draw(st.sets(st.integers(0, len(joined)), max_size=12)))
    spans = [Span(start=a, end=b, role=role) for a, b in pairwise(cuts) if (role := draw(roles))]
    return Judgment(id="j", text=joined), Segments(id="j", scheme="build", spans=tuple(spans))


@settings(deadline=None)
@given(cut_anywhere(), orders)
def test_no_hidden_sentence_is_visible_for_any_span_boundaries(
    case: tuple[Judgment, Segments], stage: Restructure
) -> None:
    assert sound(case[0], hide(*case, also=frozenset(), verdicts=True))
    assert not leaked(*case, stage)


@settings(deadline=None)
@given(cut_anywhere())
def test_every_character_is_either_hidden_or_visible(case: tuple[Judgment, Segments]) -> None:
    judgment, segments = case
    document = Restructure().restructure(judgment, segments, None, 0)
    hidden_texts = [judgment.text[h.start : h.end] for h in document.hidden]
    visible = [b.text for b in document.blocks]
    assert sorted("".join("".join(hidden_texts + visible).split())) == sorted("".join(judgment.text.split()))
