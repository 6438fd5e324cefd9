import pytest

from legalrr.report.groups import read_report
from legalrr.report.page.repeats import repeats_json
from legalrr.report.page.results import groups_json
from legalrr.report.repeats import repeats


def drawn(seed):
    return {"backbone": {"class": "x", "fields": {"seed": seed}}}


def test_a_row_per_arm_has_every_run_and_both_spreads(thrice) -> None:
    report = read_report([thrice.folder])
    (found,), (told,) = repeats(report), repeats_json(report)
    assert told["groups"] == [0, 1, 2]
    assert [row["cells"] for row in told["rows"]] == [[0, 2, 4], [1, 3, 5], [6]]
    plain, dr, majority = told["rows"]
    assert [row["reference"] for row in told["rows"]] == [True, False, False]
    for name in ("runs", "mean", "sd", "interval"):
        assert dr["scores"][name] == pytest.approx(getattr(found.rows[1].scores, name), abs=1e-6), name
    assert dr["pair"]["difference"] == pytest.approx(found.rows[1].comparison.difference, abs=1e-6)
    assert dr["pair"]["p_holm"] == pytest.approx(found.rows[1].p_holm, abs=1e-6)
    assert plain["pair"] is None
    assert (len(majority["scores"]["runs"]), majority["scores"]["sd"]) == (1, None)


def test_groups_know_which_run_they_are(thrice, another) -> None:
    assert [group["run"] for group in groups_json(read_report([thrice.folder]))] == [1, 2, 3]
    another.cell(0)
    assert [group["run"] for group in groups_json(read_report([another.folder]))] == [None]


def test_what_ran_once_is_no_repetition(sweep) -> None:
    sweep.cell(0)
    assert repeats_json(read_report([sweep.folder])) == []


def test_runs_that_cannot_be_joined_or_compared_say_why(sweep) -> None:
    for number in (0, 1):
        sweep.cell(number, "plain", stages=drawn(number))
    sweep.cell(2, "dr", stages=drawn(0))
    sweep.cell(3, "dr", "AAA", gold="AAD", stages=drawn(1))
    sweep.cell(4, "d", stages=drawn(0))
    (told,) = repeats_json(read_report([sweep.folder]))
    d, dr = told["rows"][1:]
    assert d["pair"] == {"note": "1 runs against 2 of the reference"}
    assert dr["scores"] is None
    assert "not all of the 2 arms have" in dr["pair"]["note"]
