"""Stored documents are those that would be built anew: any change of what they depend on builds them again."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from legalrr import restructure
from legalrr.backbones.echo import EchoBackbone
from legalrr.corpora.catalogue import card
from legalrr.records import Block, Document, Hidden, Judgment, Page, Segments, Span
from legalrr.restructure import Restructure
from legalrr.run.documents import Documents, document_key, document_store
from legalrr.run.pipeline import stage_description
from legalrr.segment.tagger import GoldSegmenter

PAGE = Page(path="a.pdf", number=2, sha256="0", start=0, end=3, dpi=72)


@pytest.fixture(scope="module")
def judgments() -> list[Judgment]:
    reader = card("specimen").reader()
    assert reader is not None
    return list(reader.read(None))


def test_documents_come_back_equal_also_with_other_texts_than_the_judgment(judgments: list[Judgment]) -> None:
    tagger, shown = GoldSegmenter(), Restructure(order="role", content="main")
    made = {one.id: shown.restructure(one, tagger.segment(one), None, 0) for one in judgments}
    odd = Document(
        id=judgments[0].id,
        scheme="seven",
        headings=False,
        blocks=(Block(role="FAC", start=5, text="not a text of the judgment"),),
        hidden=(Hidden(start=0, end=3, role="", reason="closing"),),
        dropped_tokens=3,
        skipped=True,
        pages=(PAGE,),
        hidden_pages=(PAGE, PAGE),
    )
    for documents in (made, {odd.id: odd}):
        spooled = Documents()
        for judgment in judgments:
            if judgment.id in documents:
                spooled.add(judgment, tagger.segment(judgment), 0, documents[judgment.id])
        found = {one.id: spooled.get(one) for one in judgments if one.id in spooled}
        assert found == documents


def test_a_later_process_finds_the_documents(judgments: list[Judgment], tmp_path: Path) -> None:
    stage, tagger = Restructure(), GoldSegmenter()
    made = {one.id: stage.restructure(one, tagger.segment(one), None, 7) for one in judgments}
    first = Documents(store=document_store(tmp_path, stage, None))
    for one in judgments:
        first.add(one, tagger.segment(one), 7, made[one.id])
    first.write()
    later = Documents(store=document_store(tmp_path, stage, None))
    assert {one.id: later.find(one, tagger.segment(one), 7) for one in judgments} == made
    assert later.find(judgments[0], tagger.segment(judgments[0]), 8) is None
    assert later.get(judgments[0]) == made[judgments[0].id]


def test_documents_of_page_images_are_not_stored(judgments: list[Judgment], tmp_path: Path) -> None:
    scan = replace(judgments[0], pages=(PAGE,))
    segments = GoldSegmenter().segment(scan)
    documents = Documents(store=document_store(tmp_path, Restructure(), None))
    documents.add(scan, segments, 0, Restructure().restructure(judgments[0], segments, None, 0))
    documents.write()
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "change",
    [
        {"id": "b"},
        {"text": "Other text."},
        {"outcome": "dismissed"},
        {"party": "petitioner"},
        {"petitioner": "Kishan"},
        {"court": "Court"},
        {"group": "g"},
        {"scheme": "build"},
        {"spans": (Span(start=0, end=4, role="FAC"),)},
    ],
)
def test_the_key_depends_on_the_judgment(change: dict[str, Any]) -> None:
    judgment = Judgment(id="a", text="Some text.", outcome="allowed", party="appellant", source="a.csv:1")
    segments = Segments(id="a", scheme="seven", spans=(Span(start=0, end=4, role="FAC"),))
    key = document_key(judgment, segments, 0)
    assert document_key(replace(judgment, **change), segments, 0) != key
    assert document_key(replace(judgment, source="b.csv:9"), segments, 0) == key


@pytest.mark.parametrize(
    "changed",
    [
        Segments(id="a", scheme="build", spans=(Span(start=0, end=4, role="FAC"),)),
        Segments(id="a", scheme="seven", spans=(Span(start=0, end=4, role="RPC"),)),
        Segments(id="a", scheme="seven", spans=(Span(start=0, end=5, role="FAC"),)),
        Segments(id="a", scheme="seven", spans=()),
    ],
)
def test_the_key_depends_on_roles_and_reserve(changed: Segments) -> None:
    judgment = Judgment(id="a", text="Some text.")
    segments = Segments(id="a", scheme="seven", spans=(Span(start=0, end=4, role="FAC"),))
    keys = {
        document_key(judgment, segments, 0),
        document_key(judgment, segments, 1),
        document_key(judgment, changed, 0),
    }
    assert len(keys) == 3


def test_options_version_code_and_backbone_have_stores_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def folder(stage: Restructure, backbone: EchoBackbone | None = None) -> Path:
        store = document_store(tmp_path, stage, None if backbone is None else stage_description(backbone))
        assert store is not None
        return store.folder

    plain = Restructure()
    others = {
        folder(Restructure(order="role")),
        folder(Restructure(also_hide=["RLC"])),
        folder(Restructure(hide_verdicts=False)),
        folder(Restructure(budget=100, overflow="middle")),
        folder(plain, EchoBackbone()),
        folder(plain, EchoBackbone(context=77)),
    }
    before = folder(plain)
    with monkeypatch.context() as patch:
        patch.setattr(Restructure, "VERSION", 99)
        others.add(folder(plain))
    monkeypatch.setattr(restructure, "code_digest", lambda modules: "other code")
    others.add(folder(plain))
    assert len(others - {before}) == 8


class OfUser:
    """A stage without provenance."""

    def restructure(self, judgment: Judgment, segments: Segments, tokens: None, reserve: int) -> Document:
        raise NotImplementedError


def test_a_stage_that_does_not_say_what_its_documents_depend_on_has_none_stored(tmp_path: Path) -> None:
    assert document_store(tmp_path, OfUser(), None) is None  # type: ignore[arg-type]
