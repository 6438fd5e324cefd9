"""Reference texts: the court's text of the roles that a model writes."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir

from legalrr.paths import root
from legalrr.records import Judgment, PromptTurn, Segments, Span
from legalrr.run.cell import run_cell
from legalrr.run.pipeline import build_pipeline, reference_spans

TEXT = "A horse was sold. It was lame. A seller answers for it. The appeal is allowed. It was known."
SPANS = (("FAC", 0, 17), ("ANALYSIS", 18, 30), ("RATIO", 31, 55), ("RPC", 56, 78), ("ANALYSIS", 79, 92))
FOUND = Segments(id="a", scheme="build", spans=(Span(start=0, end=30, role="ANALYSIS"),))


def turns(*names: str) -> list[PromptTurn]:
    return [PromptTurn(name=name, messages=(), max_new_tokens=1) for name in names]


def text(turn: Mapping[str, Any]) -> str:
    return "\n".join(TEXT[start:end] for start, end in turn["spans"])


def judgment(**changes: object) -> Judgment:
    gold = tuple(Span(start=start, end=end, role=role) for role, start, end in SPANS)
    return Judgment(**{"id": "a", "text": TEXT, "scheme": "build", "spans": gold, **changes})  # type: ignore[arg-type]


def test_each_turn_has_the_text_of_its_role() -> None:
    found = reference_spans(judgment(), FOUND, turns("analysis", "ratio", "ruling", "answer"), segmenter="crf")
    assert (found["id"], found["scheme"], found["source"]) == ("a", "build", "gold")
    assert [(turn["name"], turn["role"], text(turn)) for turn in found["turns"]] == [
        ("analysis", "ANALYSIS", "It was lame.\nIt was known."),
        ("ratio", "RATIO", "A seller answers for it."),
        ("ruling", "RPC", "The appeal is allowed."),
    ]


@pytest.mark.parametrize("changes", [{"spans": None, "scheme": None}, {"scheme": "seven"}])
def test_without_gold_roles_of_the_scheme_the_segmenter_roles_count(changes: dict[str, object]) -> None:
    found = reference_spans(judgment(**changes), FOUND, turns("analysis", "ratio"), segmenter="crf")
    assert found["source"] == "crf"
    assert [text(turn) for turn in found["turns"]] == ["A horse was sold. It was lame.", ""]


def test_the_scheme_of_seven_roles_has_statutes() -> None:
    spans = Segments(id="a", scheme="seven", spans=(Span(start=0, end=17, role="STA"),))
    (turn,) = reference_spans(judgment(), spans, turns("statutes", "answer"), segmenter="crf_seven")["turns"]
    assert (turn["name"], turn["role"], text(turn)) == ("statutes", "STA", "A horse was sold.")


def test_references_cover_exactly_the_roles_that_the_arm_writes(tmp_path: Path) -> None:
    kept = {}
    for arm in ("plain", "c", "direct", "majority"):
        with initialize_config_dir(str(root() / "conf"), version_base="1.3"):
            config = compose("config", ["backbone=echo", f"runs={tmp_path}", "limit=4", f"arm={arm}"])
        run_cell(build_pipeline(config), tmp_path / arm)
        path = tmp_path / arm / "references.jsonl"
        lines = path.read_text().splitlines() if path.exists() else []
        kept[arm] = [[turn["name"] for turn in json.loads(line)["turns"]] for line in lines]
    assert kept == {
        "plain": [["analysis"]] * 4,
        "c": [["analysis", "ratio", "ruling"]] * 4,
        "direct": [],
        "majority": [],
    }
