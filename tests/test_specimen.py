"""Included judgments: balanced, as described, and not predictable from a single visible word."""

import statistics
from collections import Counter
from functools import cache

import pytest
from omegaconf import OmegaConf

from legalrr.corpora.marked import Marked
from legalrr.paths import root
from legalrr.predictors import TfidfPredictor
from legalrr.protocols import PredictContext
from legalrr.records import Case, Document, Judgment, Prompt
from legalrr.restructure import Restructure
from legalrr.roles import BUILD
from legalrr.segment.tagger import GoldSegmenter
from legalrr.store import Store

CORPUS = OmegaConf.load(root() / "conf" / "corpus" / "specimen.yaml")


@cache
def judgments() -> tuple[Judgment, ...]:
    fields = {str(k): v for k, v in CORPUS.items() if k not in ("_target_", "meta")}
    return tuple(Marked(**fields).read(None))


def document(judgment: Judgment) -> Document:
    return Restructure().restructure(judgment, GoldSegmenter(name="gold").segment(judgment), None, 0)


def macro_f1_of_probe(reads: str, seed: int, tmp_path_factory: pytest.TempPathFactory) -> float:
    from sklearn.metrics import f1_score

    gold = {j.id: j.outcome for j in judgments() if j.outcome}
    cases = [Case(judgment=j, document=document(j), prompt=Prompt(id=j.id, turns=())) for j in judgments()]
    store = Store(tmp_path_factory.mktemp("calls"), {})
    bench = PredictContext(engine=None, calls=store, train=(), gold=gold, seed=seed)
    said = {c.id: c.turns[-1].text for c in TfidfPredictor(reads=reads).predict(cases, bench)}
    return f1_score([gold[i] == "allowed" for i in gold], [said[i] == "YES" for i in gold], average="macro")


def test_there_are_24_judgments_12_of_each_outcome_in_six_kinds() -> None:
    assert Counter(j.outcome for j in judgments()) == {"allowed": 12, "dismissed": 12}
    assert Counter((j.kind, j.outcome) for j in judgments()) == {
        (kind, outcome): 2
        for kind in ("criminal", "tax", "service", "land", "constitutional", "commercial")
        for outcome in ("allowed", "dismissed")
    }


def test_they_have_500_to_1200_words() -> None:
    words = [len(j.text.split()) for j in judgments()]
    assert min(words) >= 500
    assert max(words) <= 1200


def test_every_group_is_a_pair_with_opposite_outcomes() -> None:
    groups = {j.group for j in judgments()}
    assert len(groups) == 12
    for group in groups:
        assert sorted(str(j.outcome) for j in judgments() if j.group == group) == ["allowed", "dismissed"]


def test_every_role_of_the_scheme_occurs_and_nothing_is_uncovered() -> None:
    roles = {span.role for j in judgments() for span in j.spans or ()}
    assert roles == {role.code for role in BUILD.roles}
    for judgment in judgments():
        covered = set()
        for span in judgment.spans or ():
            covered.update(range(span.start, span.end))
        assert all(c.isspace() for i, c in enumerate(judgment.text) if i not in covered)


def test_hiding_finds_passages_under_other_roles() -> None:
    reasons = Counter(h.reason for j in judgments() for h in document(j).hidden)
    assert reasons["closing"] >= 8
    assert reasons["verdict"] >= 8


def test_no_single_word_reveals_the_outcome(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Run the leakage probe: near chance on visible text, and below its score on hidden text."""
    shown = [macro_f1_of_probe("shown", seed, tmp_path_factory) for seed in range(5)]
    hidden = [macro_f1_of_probe("hidden", seed, tmp_path_factory) for seed in range(5)]
    # 95 % of random guesses on 24 judgments score between 0.29 and 0.71.
    assert 0.3 < statistics.mean(shown) < 0.6
    assert statistics.mean(hidden) > statistics.mean(shown) + 0.05
