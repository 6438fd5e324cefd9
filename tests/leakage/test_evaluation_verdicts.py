"""Recall of verdicts and other sentences hidden, on invented judgments and on annotated real ones.

verdicts.csv and verdict_checks.csv have offsets and decisions, no text. The checks are a stratified sample (seed 20240)
of the detector's decisions: hidden under shown roles, hidden in reasoning, a cue rejected by its context, an operative
word without a cue, and any other sentence.
"""

import os
from collections import Counter
from itertools import pairwise
from pathlib import Path

import pytest

from legalrr.errors import UserError
from legalrr.leakage.evaluation import (
    ALL_ROLES,
    SHOWN_ROLES,
    Decision,
    VerdictCounts,
    evaluate,
    format_share,
    main,
    read_decisions,
)
from legalrr.records import Judgment, Span
from legalrr.score.intervals import wilson

HERE = Path(__file__).parent
VERDICTS = HERE / "verdicts.csv"
CHECKS = HERE / "verdict_checks.csv"
PARTS = (
    ("FAC", "The tenant took the shop on lease. He paid no rent."),
    ("ARG_PETITIONER", "Counsel urged delay."),
    ("FAC", "The appeal must be dismissed."),
    ("RATIO", "The notice was bad. The decree is therefore set aside."),
    ("RPC", "The appeal is dismissed."),
)


def judgment(parts=PARTS) -> Judgment:
    text, spans = "", []
    for role, words in parts:
        spans.append(Span(start=len(text), end=len(text) + len(words), role=role))
        text += words + "\n"
    return Judgment(id="j", text=text, scheme="build", spans=tuple(spans))


def decided(words: str, decision: str = "verdict") -> Decision:
    start = judgment().text.index(words)
    return Decision(corpus="c", id="j", start=start, end=start + len(words), decision=decision)


class TestEvaluate:
    def test_verdicts_found_and_others_hidden_are_counted_outside_the_ruling(self):
        of = evaluate([judgment()], [decided("The appeal must be dismissed."), decided("The decree is therefore set")])
        assert of[SHOWN_ROLES] == VerdictCounts(verdicts=1, found=1, others=3, hidden=0)
        assert of[ALL_ROLES] == VerdictCounts(verdicts=2, found=2, others=4, hidden=0)

    def test_a_hidden_sentence_without_a_decision_counts_as_other(self):
        of = evaluate([judgment()], [])
        assert of[SHOWN_ROLES] == VerdictCounts(others=4, hidden=1)
        assert of[ALL_ROLES] == VerdictCounts(others=6, hidden=2)

    def test_a_view_is_not_counted(self):
        of = evaluate([judgment()], [decided("The appeal must be dismissed.", "view")])
        assert of[SHOWN_ROLES] == VerdictCounts(others=3, hidden=0)

    def test_a_visible_verdict_is_missed(self):
        assert evaluate([judgment()], [decided("He paid no rent.")])[SHOWN_ROLES].found == 0

    def test_a_half_visible_verdict_is_missed(self):
        of = evaluate([judgment()], [decided("The notice was bad. The decree is therefore set aside.")])
        assert (of[ALL_ROLES].verdicts, of[ALL_ROLES].found) == (1, 0)

    def test_judgments_without_roles_are_skipped(self):
        assert evaluate([Judgment(id="i", text="The appeal is dismissed.")], [])[ALL_ROLES] == VerdictCounts()

    def test_a_decision_on_an_unknown_judgment_or_offset_is_an_error(self):
        with pytest.raises(UserError, match="k: unknown judgment"):
            evaluate([judgment()], [Decision(corpus="c", id="k", start=0, end=1, decision="verdict")])
        with pytest.raises(UserError, match="j: offset 9000 is beyond the text"):
            evaluate([judgment()], [Decision(corpus="c", id="j", start=0, end=9000, decision="verdict")])


class TestFile:
    @pytest.mark.parametrize(
        ("line", "where"),
        [
            ("c,j,one,5,verdict", "2: an offset is not a number"),
            ("c,j,5,5,verdict", "2: invalid span"),
            ("c,j,-1,5,view", "2: invalid span"),
            ("c,j,0,5,ruling", "2: invalid span or decision"),
            ("c,j,0", "2: an offset is not a number"),
        ],
    )
    def test_a_bad_row_is_reported_with_its_line(self, tmp_path, line, where):
        path = tmp_path / "decisions.csv"
        path.write_text(f"corpus,id,start,end,decision\n{line}\n", encoding="utf-8")
        with pytest.raises(UserError, match=rf"decisions\.csv:{where}"):
            read_decisions(path)

    def test_a_missing_column_and_a_missing_file_are_reported(self, tmp_path):
        path = tmp_path / "decisions.csv"
        path.write_text("corpus,id\n", encoding="utf-8")
        with pytest.raises(UserError, match="missing column"):
            read_decisions(path)
        with pytest.raises(UserError, match="cannot read"):
            read_decisions(tmp_path / "none.csv")

    def test_annotated_spans_do_not_overlap(self):
        read = sorted(read_decisions(VERDICTS), key=lambda d: (d.corpus, d.id, d.start))
        assert {d.decision for d in read} == {"verdict", "view"}
        for one, following in pairwise(read):
            assert (one.corpus, one.id) != (following.corpus, following.id) or one.end <= following.start

    def test_a_hundred_decisions_were_checked_half_of_them_hidden(self):
        lines = CHECKS.read_text(encoding="utf-8").splitlines()[1:]
        kinds = Counter(line.rpartition(",")[2] for line in lines)
        assert len(set(lines)) == 100
        assert kinds["hidden"] + kinds["hidden where the court reasons"] == 50
        assert {d.decision for d in read_decisions(CHECKS)} == {"verdict", "view", "other"}


@pytest.mark.parametrize(("part", "whole"), [(0, 10), (5, 10), (10, 10), (136, 141)])
def test_the_interval_contains_the_proportion_and_solves_wilsons_equation(part, whole):
    low, high = wilson(part, whole, confidence=0.95)
    assert format_share(part, whole) == f"{part}/{whole} = {part / whole:.3f} [{low:.3f}, {high:.3f}]"
    share, z = part / whole, 1.959964
    assert 0 <= low <= share <= high <= 1
    for bound in (low, high):
        # (p - bound)^2 = z^2 bound (1 - bound) / n; z is given to 6 places.
        assert (share - bound) ** 2 == pytest.approx(z**2 * bound * (1 - bound) / whole, abs=1e-5)


def test_an_empty_sample_has_no_interval():
    assert format_share(0, 0) == "0/0"


@pytest.fixture(scope="module")
def real() -> dict[str, Judgment]:
    if not os.environ.get("LEGALRR_DATA"):
        pytest.skip("LEGALRR_DATA names no folder of real judgments")
    from legalrr.corpora.catalogue import card

    readers = {name: card(name).reader() for name in ("lawai50", "marro", "build")}
    return {f"{name}:{j.id}": j for name, reader in readers.items() for j in reader.read(reader.split)}


@pytest.mark.data
def test_95_percent_of_verdicts_and_at_most_2_percent_of_others_are_hidden(real):
    decisions = read_decisions(VERDICTS)
    total = {SHOWN_ROLES: VerdictCounts(), ALL_ROLES: VerdictCounts()}
    for corpus in ("lawai50", "marro", "build"):
        judgments = [j for key, j in real.items() if key.startswith(f"{corpus}:")]
        found = evaluate(judgments, [d for d in decisions if d.corpus == corpus])
        total = {group: total[group] + found[group] for group in total}
    for group, count in total.items():
        assert count.found / count.verdicts >= 0.95, group
        assert count.hidden / count.others <= 0.02, group


@pytest.mark.data
def test_the_detector_agrees_with_checked_decisions(real):
    from legalrr.hiding.verdict_cues import is_verdict

    wrong = Counter()
    for check in read_decisions(CHECKS):
        judgment = real[f"{check.corpus}:{check.id}"]
        role = next(s.role for s in judgment.spans if s.start < check.end and s.end > check.start)
        words = judgment.text[check.start : check.end]
        hidden = is_verdict(words, role=role, position=check.start / len(judgment.text))
        if check.decision != "view" and hidden != (check.decision == "verdict"):
            wrong["hidden" if hidden else "missed"] += 1
    # Half of the sample is hidden sentences, so false positives are far more frequent here than in a judgment.
    assert wrong["missed"] == 0
    assert wrong["hidden"] <= 20


def test_the_command_prints_a_row_per_corpus_and_group(capsys, monkeypatch, tmp_path):
    class Invented:
        split = None

        def reader(self):
            return self

        def read(self, split):
            return iter([judgment()])

    monkeypatch.setattr("legalrr.leakage.evaluation.card", lambda name: Invented())
    path = tmp_path / "decisions.csv"
    d = decided("The appeal must be dismissed.")
    path.write_text(f"corpus,id,start,end,decision\nc,j,{d.start},{d.end},verdict\n", encoding="utf-8")
    main(["verdicts", str(path)])
    rows = capsys.readouterr().out.splitlines()[1:]
    assert [row.split()[0] for row in rows] == ["c", "c", "all", "all"]
    assert "1/1 = 1.000 [0.207, 1.000]" in rows[0]
    assert "0/3 = 0.000" in rows[0]
    assert "1/5 = 0.200" in rows[1]


def test_the_command_reports_errors(capsys, tmp_path):
    with pytest.raises(SystemExit) as stopped:
        main(["verdicts", str(tmp_path / "none.csv")])
    assert stopped.value.code == 2
    assert "none.csv" in capsys.readouterr().err
