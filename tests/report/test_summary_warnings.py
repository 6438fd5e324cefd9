import io

import pytest
from rich.console import Console

from legalrr.report.compare import read_report
from legalrr.report.html.page import report_page
from legalrr.report.paper_table import markdown
from legalrr.report.study import prediction
from legalrr.report.summary import arm_warnings
from legalrr.report.sweep import results_md, results_tex, show_report

TURN = {"text": "YES", "prompt_tokens": 100, "cached_tokens": 0, "new_tokens": 3, "seconds": 0.1}
CUT = (
    "Most answers are cut off at their limit of tokens: D/R 100.0 % (12 of 12); specimen, roles: gold, tiny. The "
    "scores of these arms mean little: raise annotate.tokens.analysis (now 48)."
)


def turns(**ends):
    """Return the row of a prediction with turns that end for these reasons."""
    return {"turns": [{"name": name, "finish_reason": end, **TURN} for name, end in ends.items()]}


@pytest.fixture
def cut(sweep):
    """A sweep with an arm of which all analyses are cut off."""
    sweep.cell(0, "plain", row=turns(analysis="stop", answer="stop"))
    sweep.cell(1, "dr", row=turns(analysis="length", answer="stop"))
    return sweep


def printed(report):
    console = Console(file=io.StringIO(), width=400)
    show_report(report, console)
    return console.file.getvalue()


def test_an_arm_with_most_answers_cut_off_is_named_with_its_share_and_the_option(cut):
    (one,) = arm_warnings(read_report([cut.folder]))
    assert one.arms == (("D/R", 12, 12),)
    assert one.text == CUT


def test_the_warning_is_in_every_output(cut):
    report = read_report([cut.folder])
    assert printed(report).endswith(f"\n{CUT}\n")
    assert results_md(report).startswith(f"# Results\n\n> **{CUT}**\n\n")
    assert CUT.replace("%", r"\%") in results_tex(report)
    assert f'<p class="warning"><bdi>{CUT}</bdi></p>' in report_page(report, [cut.folder])
    assert f"- {CUT}\n" in markdown(prediction(report))


def test_without_cause_there_is_no_warning(sweep):
    sweep.cell(0, "plain")
    sweep.cell(1, "majority", "A" * 12, backbone="-")
    report = read_report([sweep.folder])
    assert arm_warnings(report) == []
    for text in (printed(report), results_md(report), results_tex(report)):
        assert "Most answers" not in text
    assert '<p class="warning">' not in report_page(report, [sweep.folder])


def test_an_answer_that_is_cut_off_after_its_yes_or_no_does_not_count(sweep):
    sweep.cell(0, "plain", row=turns(analysis="stop", answer="length"))
    assert arm_warnings(read_report([sweep.folder])) == []


def test_an_answer_that_is_cut_off_before_its_yes_or_no_counts(sweep):
    row = turns(analysis="stop", answer="length")
    sweep.cell(0, "plain", "-" * 12, row={**row, "reason": "budget"}, tokens={"answer": 1, "analysis": 48})
    (one,) = arm_warnings(read_report([sweep.folder]))
    assert one.text.endswith("raise annotate.tokens.answer (now 1).")


def test_half_of_the_answers_is_not_most(sweep):
    folder = sweep.cell(0, "plain")
    path = folder / "predictions.jsonl"
    lines = path.read_text().splitlines()
    cut = [line.replace('"stop"', '"length"') for line in lines[:7]]
    path.write_text("\n".join([*cut[:6], *lines[6:], ""]))
    assert arm_warnings(read_report([sweep.folder])) == []
    path.write_text("\n".join([*cut, *lines[7:], ""]))
    (one,) = arm_warnings(read_report([sweep.folder]))
    assert one.arms == (("none", 7, 12),)
    assert one.cure == "raise annotate.tokens"


@pytest.mark.parametrize(
    ("reason", "cause", "cure"),
    [
        ("overflow", "missing, as the judgment is longer than the context", "restructure.overflow=middle or by_role"),
        ("error", "missing, as the request was refused or failed", "the field error in predictions.jsonl"),
    ],
)
def test_overflows_and_refusals_are_named_too(sweep, reason, cause, cure):
    sweep.cell(0, "plain", "-" * 12, row={"reason": reason})
    sweep.cell(1, "dr", "AAADDDAAADDD")
    (one,) = arm_warnings(read_report([sweep.folder]))
    assert f"Most answers are {cause}: none 100.0 % (12 of 12)" in one.text
    assert cure in one.text


@pytest.mark.parametrize("policy", ["independent", "common"])
def test_the_warning_does_not_depend_on_the_policy_for_invalid_answers(sweep, policy):
    sweep.cell(0, "plain", "-" * 12, row={"reason": "overflow"})
    sweep.cell(1, "dr", "AAADDDAAADDD")
    (one,) = arm_warnings(read_report([sweep.folder], invalid=policy))
    assert one.arms == (("none", 12, 12),)


def test_arms_of_one_backbone_share_a_warning_and_a_second_reading_adds_none(cut):
    cut.cell(2, "rc", row=turns(analysis="length", answer="length"), tokens={"analysis": 40, "ratio": 9})
    cut.cell(3, "rc", row=turns(ratio="length"), tokens={"ratio": 9}, backbone="other")
    first, second = arm_warnings(read_report([cut.folder], reading="study"))
    assert [label for label, *_ in first.arms] == ["D/R", "rc"]
    assert first.cure == "raise annotate.tokens.analysis (now 40 or 48)"
    assert (second.title, second.cure) == ("specimen, roles: gold, other", "raise annotate.tokens.ratio (now 9)")


def test_the_limit_of_thinking_is_named_where_there_is_one(sweep):
    stages = {"backbone": {"class": "x", "fields": {"thinking_tokens": 100}}}
    sweep.cell(0, "plain", row=turns(analysis="length"), stages=stages)
    (one,) = arm_warnings(read_report([sweep.folder]))
    assert one.cure == "raise annotate.tokens.analysis (now 48) and backbone.thinking_tokens (now 100)"
