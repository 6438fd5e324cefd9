"""What detection hides in vain and what it leaves, on invented sentences, and on real ones that were read.

views.csv holds ids, offsets and decisions, no text: sentences drawn at random (seeds 77 and 99) from what detection hid
and from what was shown with an evaluative phrase in it; of the texts without gold roles, from a third of the judgments,
on which the patterns were not corrected but for the last time. Each was read with its neighbours.
"""

import os
from collections import Counter
from pathlib import Path

import pytest

from legalrr.errors import UserError
from legalrr.hiding.hide import hide
from legalrr.leakage import evaluation
from legalrr.leakage.evaluation import Decision, Rates, cases, main, rates, rates_of, read_drawn
from legalrr.records import Judgment, Segments, Span

VIEWS = Path(__file__).parent / "views.csv"
PARTS = (
    ("FAC", "The tenant took the shop on lease. The High Court was clearly wrong. The deed was old."),
    ("ARG_PETITIONER", "Counsel urged delay. We think that the rent was due."),
    ("RPC", "The appeal is dismissed."),
)
NAMED = {
    "lawai50": (
        ("2008_C_166", "clearly wrong in holding"),
        ("1994_S_246", "committed a mistake in law"),
        ("2000_V_80", "leave no room for doubt"),
        ("2006_A_36", "of the opinion that the view taken"),
        ("2005_S_388", "This plea cannot be entertained in this Court"),
    ),
    "build": (("train-52-1747", "do not find that Section 35-G"),),
}
"""Sentences that reviewers found shown, each by a few of its words."""
OVER_HIDDEN = {
    "specimen": (("commercial-1", "a refusal to set aside an award"),),
    "build": (("train-13-4149", "her husband should be punished"), ("train-23-4079", "Two contentions advanced")),
}
"""Plain facts and arguments that reviewers found hidden."""


def judgment(parts=PARTS) -> tuple[Judgment, Segments]:
    text, spans = "", []
    for role, words in parts:
        spans.append(Span(start=len(text), end=len(text) + len(words), role=role))
        text += words + "\n"
    return Judgment(id="j", text=text), Segments(id="j", scheme="build", spans=tuple(spans))


def decided(words: str, decision: str) -> Decision:
    start = judgment()[0].text.index(words)
    return Decision(corpus="c", id="j", start=start, end=start + len(words), decision=decision)


def test_both_rates_count_what_is_hidden_and_shown_now():
    drawn = {
        decided("The High Court was clearly wrong.", "verdict"): "hidden",
        decided("We think that the rent was due.", "other"): "hidden",
        decided("The deed was old.", "verdict"): "shown",
        decided("The tenant took the shop on lease.", "other"): "shown",
    }
    assert rates(iter([judgment()]), drawn) == Rates(hidden=2, in_vain=1, shown=2, left=1)


def test_what_was_drawn_as_hidden_and_is_shown_now_counts_in_neither_rate():
    drawn = {decided("The deed was old.", "verdict"): "hidden", decided("The appeal is dismissed.", "verdict"): "shown"}
    assert rates(iter([judgment()]), drawn) == Rates()


def test_a_judgment_that_is_not_there_is_an_error():
    with pytest.raises(UserError, match="k: no such judgment"):
        rates(iter([judgment()]), {Decision(corpus="c", id="k", start=0, end=1, decision="other"): "shown"})


def test_a_line_that_does_not_say_how_it_was_drawn_is_named(tmp_path):
    path = tmp_path / "views.csv"
    path.write_text("corpus,id,start,end,decision,drawn\nc,j,0,5,other,seen\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"views\.csv:2: drawn 'seen'"):
        read_drawn(path)


def test_the_command_prints_both_rates_and_says_what_is_wrong(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(evaluation, "cases", lambda corpus, ids: iter([judgment()]))
    path = tmp_path / "views.csv"
    d = decided("The High Court was clearly wrong.", "verdict")
    path.write_text(f"corpus,id,start,end,decision,drawn\nc,j,{d.start},{d.end},verdict,hidden\n", encoding="utf-8")
    main(["rates", str(path)])
    assert "0/1 = 0.000" in capsys.readouterr().out.splitlines()[-1]
    with pytest.raises(SystemExit) as stopped:
        main(["rates", str(tmp_path / "none.csv")])
    assert stopped.value.code == 2
    assert "none.csv" in capsys.readouterr().err


def test_hundreds_of_sentences_were_read_of_both_kinds():
    drawn = read_drawn(VIEWS)
    kinds = Counter(drawn.values())
    assert kinds["hidden"] >= 200
    assert kinds["shown"] >= 200
    assert {d.decision for d in drawn} == {"verdict", "view", "other"}


@pytest.fixture(scope="module")
def data() -> None:
    if not os.environ.get("LEGALRR_DATA"):
        pytest.skip("LEGALRR_DATA names no folder of real judgments")


@pytest.mark.data
def test_at_most_one_in_four_is_hidden_in_vain_and_one_in_twenty_left(data):
    found = rates_of(read_drawn(VIEWS))
    total = sum(found.values(), Rates())
    assert total.hidden >= 200
    assert total.shown >= 200
    assert total.in_vain / total.hidden <= 0.25
    assert total.left / total.shown <= 0.05


def hidden_of(corpus: str, named: tuple[tuple[str, str], ...]) -> list[str]:
    """Of these sentences, each the id of its judgment and a few of its words, those that are hidden."""
    ids = frozenset(key for key, _ in named)
    found = {}
    for judged, segments in cases(corpus, ids):
        found[judged.id] = judged.text, hide(judged, segments, also=frozenset(), verdicts=True)
    assert found.keys() == ids
    starts = [(key, words, found[key][0].index(words)) for key, words in named]
    return [words for key, words, at in starts if any(h.start <= at < h.end for h in found[key][1])]


@pytest.mark.data
@pytest.mark.parametrize("corpus", NAMED)
def test_sentences_that_reviewers_found_shown_are_hidden(data, corpus):
    assert hidden_of(corpus, NAMED[corpus]) == [words for _, words in NAMED[corpus]]


@pytest.mark.data
@pytest.mark.parametrize("corpus", OVER_HIDDEN)
def test_plain_sentences_that_reviewers_found_hidden_are_shown(data, corpus):
    assert hidden_of(corpus, OVER_HIDDEN[corpus]) == []
