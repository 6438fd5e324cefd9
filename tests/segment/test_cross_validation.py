"""Cross-validation: folds by document, reproducible, without leakage from held-out documents."""

from dataclasses import dataclass, replace
from pathlib import Path
from statistics import mean
from typing import Any, ClassVar

import numpy as np
import pytest

from legalrr.errors import UserError
from legalrr.roles import scheme
from legalrr.segment.card import LabelledJudgment, build_dataset
from legalrr.segment.crf import CrfRecipe
from legalrr.segment.cross_validation import evaluate
from legalrr.segment.tagger import RoleProbabilities

ROLES = tuple(role.code for role in scheme("seven").roles)
CRF = CrfRecipe(c1=0.1, c2=0.1)


def silent(line: str) -> None:
    pass


def test_folds_in_parallel_processes_give_the_same_scores(judgments):
    documents = build_dataset(judgments)
    one, two = (evaluate(documents, CRF, folds=3, seed=1, jobs=jobs, report=silent) for jobs in (1, 2))
    assert one == two


@dataclass
class Memory:
    """Recipe that memorizes its training sentences and records the ids of its training documents."""

    seen: list[frozenset[str]]
    suffix: ClassVar[str] = ".txt"

    def as_json(self) -> dict[str, Any]:
        return {}

    def fit(self, documents, path: Path):
        self.seen.append(frozenset(d.id for d in documents))
        return Recalled({s: r for d in documents for s, r in zip(d.sentences, d.roles, strict=True)})


@dataclass
class Recalled:
    known: dict[str, str]

    def as_json(self) -> dict[str, Any]:
        return {}

    def predict_probabilities(self, sentences):
        rows = [[float(self.known.get(s, "RPC") == role) * 0.9 + 0.1 / len(ROLES) for role in ROLES] for s in sentences]
        return RoleProbabilities(roles=ROLES, values=np.array(rows))


def test_folds_are_by_document_and_reproducible(judgments):
    documents = build_dataset(judgments)
    lines: list[str] = []
    one, two = (evaluate(documents, CRF, folds=3, seed=1, report=lines.append) for _ in range(2))
    assert one == two
    assert len(lines) == 6
    assert one.scores["macro"]["mean"] > 0.8
    assert one.scores["roles"]["FAC"]["sentences"] == sum(r == "FAC" for d in documents for r in d.roles)
    assert len(one.gold) == len(one.predicted) == sum(len(d.roles) for d in documents)


def test_no_document_is_scored_by_a_tagger_trained_on_it(judgments):
    recipe = Memory([])
    documents = build_dataset(judgments)
    evaluate(documents, recipe, folds=4, seed=0, report=silent)
    assert len(recipe.seen) == 4
    for document in documents:
        assert sum(document.id not in seen for seen in recipe.seen) == 1


def test_a_share_is_drawn_by_seed_and_is_a_subset_of_a_larger_one(judgments):
    documents = build_dataset(judgments)
    seen = {}
    for share in (0.25, 0.5, 1.0):
        recipe = Memory([])
        found = evaluate(documents, recipe, folds=3, seed=0, share=share, report=silent)
        seen[share] = recipe.seen
        assert found.trained_on == pytest.approx(mean(len(ids) for ids in recipe.seen))
    for few, more, every in zip(*seen.values(), strict=True):
        assert few < more < every
    again = Memory([])
    evaluate(documents, again, folds=3, seed=0, share=0.25, report=silent)
    assert again.seen == seen[0.25]


@pytest.mark.parametrize("share", [0.0, 0.01, 1.2])
def test_a_share_without_judgments_is_rejected(judgments, share):
    with pytest.raises(UserError, match="give above 0 and at most 1"):
        evaluate(build_dataset(judgments), Memory([]), folds=3, seed=0, share=share, report=silent)


def test_further_documents_are_omitted_from_folds_with_a_near_duplicate(judgments):
    documents = build_dataset(judgments)
    stranger = LabelledJudgment(
        id="other",
        scheme="seven",
        sentences=("A wholly different matter about ships and harbours, it seems.",),
        roles=("FAC",),
    )
    long = "The very same long sentence stands in both of these judgments number {}."
    twin, original = (
        LabelledJudgment(id=id, scheme="seven", sentences=tuple(long.format(i) for i in range(6)), roles=("FAC",) * 6)
        for id in ("twin", "original")
    )
    recipe = Memory([])
    evaluate([*documents, original], recipe, folds=3, seed=0, also=[stranger, twin], report=silent)
    for seen in recipe.seen:
        assert "other" in seen
        assert ("twin" in seen) == ("original" in seen)


def test_a_role_absent_from_the_training_judgments_has_recall_0(judgments):
    documents = build_dataset(judgments)
    odd = replace(documents[0], id="odd", roles=("STA",) * len(documents[0].roles))
    others = [replace(d, roles=tuple("FAC" for _ in d.roles)) for d in documents[1:5]]
    found = evaluate([odd, *others], Memory([]), folds=5, seed=0, report=silent)
    assert found.scores["roles"]["STA"]["recall"] == 0


@pytest.mark.parametrize("folds", [1, 13])
def test_an_invalid_number_of_folds_is_rejected(judgments, folds):
    with pytest.raises(UserError, match="--folds"):
        evaluate(build_dataset(judgments), CRF, folds=folds, seed=0)
