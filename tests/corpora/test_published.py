"""The published corpora, where available."""

from collections import Counter

import pytest

from legalrr.corpora.catalogue import card

pytestmark = pytest.mark.data


@pytest.fixture
def judgments(real, request):
    name = request.param
    reader = card(name).reader()
    if not all(path.exists() for path in reader.paths(reader.split)):
        pytest.skip(f"{name} is not under LEGALRR_DATA")
    return list(reader.read(reader.split))


@pytest.mark.parametrize("judgments", ["lawai50", "marro", "build"], indirect=True)
def test_every_gold_span_is_in_range_and_disjoint(judgments):
    for judgment in judgments:
        last = 0
        for span in judgment.spans or ():
            assert last <= span.start < span.end <= len(judgment.text)
            last = span.end


@pytest.mark.parametrize("judgments", ["lawai50"], indirect=True)
def test_lawai50_is_read(judgments):
    # 35 of the 50 have an outcome; the other 15 may be absent.
    assert len(judgments) in {35, 50}
    assert Counter(j.outcome for j in judgments if j.outcome) == {"dismissed": 19, "allowed": 16}
    assert all(j.spans for j in judgments)


@pytest.mark.parametrize("judgments", ["marro"], indirect=True)
def test_marro_is_read(judgments):
    assert len(judgments) in {10, 20}
    assert sum(j.outcome is not None for j in judgments) == 10
    assert judgments[0].id == "d1_2020"


@pytest.mark.parametrize("judgments", ["build"], indirect=True)
def test_build_is_read_without_its_duplicates(judgments):
    assert len(judgments) == 247 - 3
    assert Counter(j.outcome for j in judgments) == {"allowed": 110, "dismissed": 90, None: 44}
    assert sum(j.spans is None for j in judgments) == 2
    assert len({j.text for j in judgments}) == len(judgments)
    assert all(j.outcome is None for j in judgments if "trial" in j.kind)


@pytest.mark.parametrize("judgments", ["inabs"], indirect=True)
def test_inabs_is_read(judgments):
    assert Counter(j.outcome for j in judgments) == {"dismissed": 957, "allowed": 543}
    assert sum(j.year is None for j in judgments) == 14
    assert all(j.kind and j.spans is None for j in judgments)
