from legalrr.report.groups import read_report
from legalrr.report.page.health import health_json

from .conftest import enrich


def test_hidden_stretches_are_counted_by_reason(sweep) -> None:
    folder = sweep.cell(0)
    enrich(folder)
    (found,) = health_json(read_report([sweep.folder]))
    assert found["hidden"] == {"role": 12}
    assert 0 < found["hidden_share"] < 1
    assert found["made"] == 12
    assert found["prompt_tokens"] == 12 * 2 * 50


def test_trouble_is_counted_in_judgments(sweep) -> None:
    sweep.cell(0, answers="AAAAAADDDD--", row={"dropped_tokens": 7})
    found = health_json(read_report([sweep.folder]))[0]
    assert found["invalid"] == {"unparsed": 2}
    assert (found["shortened"], found["dropped_tokens"], found["skipped"]) == (12, 84, 0)


def test_a_skipped_judgment_is_not_a_shortened_one(sweep) -> None:
    sweep.cell(0, row={"skipped": True, "dropped_tokens": 900})
    found = health_json(read_report([sweep.folder]))[0]
    assert (found["shortened"], found["skipped"]) == (0, 12)


def test_a_cell_without_answers_has_none(sweep) -> None:
    sweep.failed(0)
    sweep.cell(1, gold="?" * 12)
    assert health_json(read_report([sweep.folder])) == [None, None]
