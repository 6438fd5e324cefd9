"""Judgments and roles come back equal from temporary files, and cases are built once while needed."""

from dataclasses import replace

import pytest

from legalrr.corpora.catalogue import card
from legalrr.errors import UserError
from legalrr.records import Case, Document, Judgment, Page, Prompt, Segments, Span
from legalrr.run.spooled import (
    Cases,
    CorpusJudgments,
    SelectedJudgments,
    segments_from_json,
    segments_to_json,
)

PAGE = Page(path="a.pdf", number=2, sha256="0", start=0, end=3, dpi=72)


@pytest.fixture(scope="module")
def judgments() -> list[Judgment]:
    reader = card("specimen").reader()
    assert reader is not None
    return list(reader.read(None))


def test_judgments_come_back_equal_with_their_facts(judgments: list[Judgment]) -> None:
    scan = Judgment(id="scan", text="", pages=(PAGE,), year=1990, group="g", spans=())
    corpus = CorpusJudgments([*judgments, scan])
    assert list(corpus.values()) == [*judgments, scan]
    assert [one.outcome for one in corpus.facts] == [*(one.outcome for one in judgments), None]
    assert [one.pictured for one in corpus.facts] == [*(False for _ in judgments), True]
    assert corpus.facts[-1].has_roles


def test_a_duplicate_id_is_named_with_its_file(judgments: list[Judgment]) -> None:
    with pytest.raises(UserError, match=r"^b\.csv:2: duplicate id 'tax-2'"):
        CorpusJudgments([*judgments, replace(judgments[0], id="tax-2", source="b.csv:2")])


def test_a_selection_reads_its_own_judgments_only(judgments: list[Judgment]) -> None:
    corpus = CorpusJudgments(judgments)
    some = SelectedJudgments(corpus, corpus.facts[2:6]).where(lambda one: one.id != judgments[3].id)
    assert list(some) == [judgments[2], *judgments[4:6]]
    assert (some[1], list(some[1:])) == (judgments[4], judgments[4:6])
    assert (some.find(judgments[2].id), some.find(judgments[3].id)) == (judgments[2], None)


def test_roles_come_back_equal() -> None:
    segments = Segments(id="a", scheme="seven", spans=(Span(start=0, end=2, role="FAC", score=0.25),))
    assert segments_from_json("a", segments_to_json(segments)) == segments


def test_a_case_is_built_when_asked_for_and_kept_until_it_is_removed() -> None:
    built: list[str] = []

    def build(id: str) -> Case:
        built.append(id)
        document = Document(id=id, scheme="seven", headings=False, blocks=())
        return Case(judgment=Judgment(id=id, text="text"), document=document, prompt=Prompt(id=id, turns=()))

    cases = Cases(["a", "b", "c"], build)
    assert (len(cases), built) == (3, [])
    assert cases[:1] == [cases[0]]
    for case in cases:
        assert cases.pop(case.document.id) is case
    assert built == ["a", "b", "c"]
    assert cases[1].document.id == "b"
    assert built == ["a", "b", "c", "b"]
