"""Manually annotated positions in real judgments: does a sentence start there?

boundaries.csv holds offsets and decisions, no text: corpus, id, offset of the character at which a sentence may begin
(in inabs with line breaks read as spaces), is_boundary; drawn: random among stops and line breaks, or disputed among
splitters; seen: whether the rules were corrected on it.
"""

import csv
import os
from collections import Counter
from pathlib import Path

import pytest

from legalrr.sentences import split

ROWS = list(csv.DictReader((Path(__file__).parent / "boundaries.csv").open(encoding="utf-8")))


def test_every_place_is_decided_once_and_every_kind_of_place_occurs():
    places = Counter((row["corpus"], row["id"], int(row["offset"])) for row in ROWS)
    assert max(places.values()) == 1
    assert len(places) >= 200
    assert {row["corpus"] for row in ROWS} == {"build", "inabs"}
    assert {(row["is_boundary"], row["drawn"], row["seen"]) for row in ROWS} == {
        (is_boundary, drawn, seen)
        for is_boundary in ("0", "1")
        for drawn in ("random", "disputed")
        for seen in ("yes", "no")
    }


@pytest.fixture(scope="module")
def right() -> dict[int, bool]:
    """Return, by row number, whether the splitter agrees with the annotator."""
    if not os.environ.get("LEGALRR_DATA"):
        pytest.skip("LEGALRR_DATA names no folder of real judgments")
    from legalrr.corpora.catalogue import card

    texts = {}
    for name in ("build", "inabs"):
        reader = card(name).reader()
        for judgment in reader.read(reader.split):
            texts[name, judgment.id] = judgment.text.replace("\n", " ") if name == "inabs" else judgment.text
    starts = {key: {start for start, _ in split(texts[key])} for key in {(row["corpus"], row["id"]) for row in ROWS}}
    return {
        number: (int(row["offset"]) in starts[row["corpus"], row["id"]]) == (row["is_boundary"] == "1")
        for number, row in enumerate(ROWS)
    }


# At most two more errors than measured by `benchmarks/sentences.py`.
@pytest.mark.data
@pytest.mark.parametrize(
    ("column", "value", "mistakes"),
    [("drawn", "random", 5), ("drawn", "disputed", 11), ("seen", "no", 2)],
)
def test_the_splitter_agrees_with_the_annotator(right, column, value, mistakes):
    wrong = [row for number, row in enumerate(ROWS) if row[column] == value and not right[number]]
    assert len(wrong) <= mistakes, wrong
