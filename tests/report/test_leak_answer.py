import io

import pytest
from rich.console import Console

from legalrr.report.compare import read_report
from legalrr.report.html.results import groups_json
from legalrr.report.leak_answer import leak_answer
from legalrr.report.sweep import results_md, show_report

GOLD = "AD" * 20
RIGHT, COIN = GOLD, "AADD" * 10


@pytest.fixture
def probes(sweep):
    """Return a function that writes probes with these answers, and gives the report."""

    def write(**answers):
        for job, (arm, said) in enumerate(answers.items()):
            sweep.cell(job, arm, said, gold=GOLD, backbone="-", family="probe", reference="probe_shown")
        return read_report([sweep.folder])

    return write


def said(report):
    (group,) = report.groups
    return leak_answer(group)


def test_no_leak_is_found_where_only_hidden_text_tells_the_outcome(probes):
    text = said(probes(probe_shown=COIN, probe_tail=COIN, probe_hidden=RIGHT))
    assert text.startswith("Leakage, 40 judgments: no leak is found: the outcome can be predicted from the words of wh")
    assert "which allow up to 0.6" in text
    assert "Macro-F1 of a bag of words: what is shown 0.500 [0.3" in text
    assert "; what is hidden 1.000 [" in text
    assert text.endswith(", p skill < 0.0001.")


def test_a_shown_text_that_tells_the_outcome_is_named(probes):
    text = said(probes(probe_shown=COIN, probe_tail=RIGHT, probe_hidden=RIGHT))
    assert "40 judgments: the outcome can be predicted from the words of its last 300 words. Facts alone may" in text


def test_hidden_text_that_tells_nothing_leaves_the_question_open(probes):
    text = said(probes(probe_shown=COIN, probe_hidden=COIN))
    assert ": too few to answer: not even the words of what is hidden" in text


def test_without_a_probe_of_hidden_text_the_sample_may_be_too_small(probes):
    assert ": no leak is found, but without a probe of what is hidden" in said(probes(probe_shown=COIN))


def test_answers_worse_than_chance_are_no_skill(probes):
    wrong = RIGHT.translate(str.maketrans("AD", "DA"))
    assert ": too few to answer" in said(probes(probe_shown=wrong, probe_hidden=wrong))


@pytest.mark.parametrize("answers", [{"probe_hidden": RIGHT}, {"majority": "A" * 40}])
def test_without_a_probe_of_shown_text_there_is_no_answer(probes, answers):
    assert said(probes(**answers)) == ""


def test_the_answer_is_in_the_tables_the_terminal_and_the_page(probes):
    report = probes(probe_shown=COIN, probe_hidden=RIGHT)
    text = said(report)
    console = Console(file=io.StringIO(), width=999)
    show_report(report, console)
    assert console.file.getvalue().endswith(f"\n{text}\n")
    assert f"\n\n{text}\n" in results_md(report)
    assert [group["leakage"] for group in groups_json(report)] == [text]
