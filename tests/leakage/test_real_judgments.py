"""No sentence of a hidden span occurs in any prompt of any arm, in all available corpora."""

import os
from collections.abc import Iterator
from functools import cache
from itertools import islice

import pytest
from hydra import compose, initialize_config_dir

from legalrr.hiding.headnote import find_headnote
from legalrr.hiding.hide import collapse_whitespace, protected_sentences
from legalrr.paths import root
from legalrr.records import Judgment
from legalrr.run.pipeline import Pipeline, build_pipeline

ARMS = ("plain", "c", "d", "dc", "r", "rc", "dr", "drc", "r_order", "direct")
# Tagging text is slower than reading gold roles, so 40 of the 1,500 judgments represent all.
REAL = (("lawai50", "gold", None), ("marro", "gold", None), ("build", "gold", None), ("inabs", "crf", 40))


def arms(corpus: str, segment: str) -> list[Pipeline]:
    with initialize_config_dir(str(root() / "conf"), version_base="1.3"):
        return [build_pipeline(compose("config", [f"corpus={corpus}", f"segment={segment}", f"arm={a}"])) for a in ARMS]


def leaks(judgment: Judgment, pipelines: list[Pipeline]) -> Iterator[tuple[str, str]]:
    segments = pipelines[0].segment.segment(judgment)
    sentences = cache(lambda start, end: protected_sentences(judgment.text[start:end]))
    for pipeline in pipelines:
        document = pipeline.restructure.restructure(judgment, segments, None, 0)
        prompt = pipeline.annotate.annotate(judgment, document)
        secret = {s for h in document.hidden for s in sentences(h.start, h.end)}
        for turn in prompt.turns:
            words = collapse_whitespace("\n".join(p for m in turn.messages for p in m.parts if isinstance(p, str)))
            yield from ((pipeline.settings.arm.id, s) for s in secret if s in words)


def shows_headnote(judgment: Judgment, pipelines: list[Pipeline]) -> bool:
    """Return whether any arm shows a character of the reporter's headnote."""
    stretch = find_headnote(judgment.text)
    if stretch is None:
        return False
    segments = pipelines[0].segment.segment(judgment)
    documents = [p.restructure.restructure(judgment, segments, None, 0) for p in pipelines]
    return any(
        block.start < stretch[1] and block.start + len(block.text) > stretch[0]
        for document in documents
        for block in document.blocks
    )


def check(corpus: str, segment: str, limit: int | None) -> int:
    pipelines = arms(corpus, segment)
    read = 0
    for judgment in islice(pipelines[0].corpus.read(pipelines[0].corpus.split), limit):
        if segment == "gold" and judgment.spans is None:
            continue
        assert list(leaks(judgment, pipelines)) == [], judgment.id
        read += 1
    return read


def test_no_hidden_sentence_is_in_any_prompt_of_the_specimen() -> None:
    assert check("specimen", "gold", None) == 24


@pytest.mark.data
@pytest.mark.parametrize(("corpus", "segment", "limit"), REAL)
def test_no_hidden_sentence_is_in_any_prompt_of_real_judgments(corpus: str, segment: str, limit: int | None) -> None:
    if not os.environ.get("LEGALRR_DATA"):
        pytest.skip("LEGALRR_DATA names no folder of real judgments")
    assert check(corpus, segment, limit) > 0


@pytest.mark.data
def test_no_character_of_a_headnote_is_in_any_prompt_of_build() -> None:
    if not os.environ.get("LEGALRR_DATA"):
        pytest.skip("LEGALRR_DATA names no folder of real judgments")
    pipelines = arms("build", "gold")
    judgments = [j for j in pipelines[0].corpus.read("train") if j.spans is not None]
    assert sum("HEADNOTE" in j.text for j in judgments) > 70
    assert [j.id for j in judgments if shows_headnote(j, pipelines)] == []
