"""False discovery rate and miss rate of detection, on invented sentences and on annotated real ones.

views.csv has ids, offsets and decisions, no text: random samples (seeds 77 and 99) of hidden sentences and of visible
sentences with an evaluative phrase. For texts without gold roles, the samples are from a third of the judgments, which
was used for the last correction of the patterns only. Each sentence was read in context.
"""

import os
from collections import Counter
from pathlib import Path

import pytest

from legalrr.errors import UserError
from legalrr.hiding.hide import hide
from legalrr.leakage import evaluation
from legalrr.leakage.evaluation import (
    Decision,
    DetectionRates,
    count_rates,
    load_cases,
    main,
    rates_by_corpus,
    read_sample,
)
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
"""Sentences that reviewers found visible, each by a few of its words."""
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


def test_both_rates_count_the_current_hiding():
    drawn = {
        decided("The High Court was clearly wrong.", "verdict"): "hidden",
        decided("We think that the rent was due.", "other"): "hidden",
        decided("The deed was old.", "verdict"): "shown",
        decided("The tenant took the shop on lease.", "other"): "shown",
    }
    assert count_rates(iter([judgment()]), drawn) == DetectionRates(hidden=2, false_positives=1, shown=2, missed=1)


def test_a_sentence_sampled_as_hidden_but_visible_now_is_not_counted():
    drawn = {decided("The deed was old.", "verdict"): "hidden", decided("The appeal is dismissed.", "verdict"): "shown"}
    assert count_rates(iter([judgment()]), drawn) == DetectionRates()


def test_an_unknown_judgment_is_an_error():
    with pytest.raises(UserError, match="k: unknown judgment"):
        count_rates(iter([judgment()]), {Decision(corpus="c", id="k", start=0, end=1, decision="other"): "shown"})


def test_an_unknown_sample_is_reported_with_its_line(tmp_path):
    path = tmp_path / "views.csv"
    path.write_text("corpus,id,start,end,decision,drawn\nc,j,0,5,other,seen\n", encoding="utf-8")
    with pytest.raises(UserError, match=r"views\.csv:2: unknown value of drawn: 'seen'"):
        read_sample(path)


def test_the_command_prints_both_rates_and_reports_errors(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(evaluation, "load_cases", lambda corpus, ids: iter([judgment()]))
    path = tmp_path / "views.csv"
    d = decided("The High Court was clearly wrong.", "verdict")
    path.write_text(f"corpus,id,start,end,decision,drawn\nc,j,{d.start},{d.end},verdict,hidden\n", encoding="utf-8")
    main(["rates", str(path)])
    assert "0/1 = 0.000" in capsys.readouterr().out.splitlines()[-1]
    with pytest.raises(SystemExit) as stopped:
        main(["rates", str(tmp_path / "none.csv")])
    assert stopped.value.code == 2
    assert "none.csv" in capsys.readouterr().err


def test_both_samples_have_at_least_200_sentences():
    drawn = read_sample(VIEWS)
    kinds = Counter(drawn.values())
    assert kinds["hidden"] >= 200
    assert kinds["shown"] >= 200
    assert {d.decision for d in drawn} == {"verdict", "view", "other"}


@pytest.fixture(scope="module")
def data() -> None:
    if not os.environ.get("LEGALRR_DATA"):
        pytest.skip("LEGALRR_DATA names no folder of real judgments")


@pytest.mark.data
def test_false_discovery_rate_is_at_most_a_quarter_and_miss_rate_a_twentieth(data):
    found = rates_by_corpus(read_sample(VIEWS))
    total = sum(found.values(), DetectionRates())
    assert total.hidden >= 200
    assert total.shown >= 200
    assert total.false_positives / total.hidden <= 0.25
    assert total.missed / total.shown <= 0.05


def hidden_of(corpus: str, named: tuple[tuple[str, str], ...]) -> list[str]:
    """Return those of the sentences, given by judgment id and a few words, that are hidden."""
    ids = frozenset(key for key, _ in named)
    found = {}
    for judged, segments in load_cases(corpus, ids):
        found[judged.id] = judged.text, hide(judged, segments, also=frozenset(), verdicts=True)
    assert found.keys() == ids
    starts = [(key, words, found[key][0].index(words)) for key, words in named]
    return [words for key, words, at in starts if any(h.start <= at < h.end for h in found[key][1])]


@pytest.mark.data
@pytest.mark.parametrize("corpus", NAMED)
def test_sentences_that_reviewers_found_visible_are_hidden(data, corpus):
    assert hidden_of(corpus, NAMED[corpus]) == [words for _, words in NAMED[corpus]]


@pytest.mark.data
@pytest.mark.parametrize("corpus", OVER_HIDDEN)
def test_plain_sentences_that_reviewers_found_hidden_are_visible(data, corpus):
    assert hidden_of(corpus, OVER_HIDDEN[corpus]) == []
