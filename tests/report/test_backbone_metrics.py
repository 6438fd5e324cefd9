"""Tests of the table and figure of backbone measurements."""

import csv
import io
from xml.etree import ElementTree

import pytest
from rich.console import Console

from legalrr.report.backbone_metrics import measured_rows, measured_view
from legalrr.report.compare import read_report
from legalrr.report.sweep import rebuild, show_report
from legalrr.report.table_view import attention_variant, group_title


def numbers(perplexity, scale=1.0):
    return {
        "perplexity": perplexity,
        "recall": {"64": 1.0, "1024": 0.25},
        "cost": [
            {"tokens": tokens, "prefill": scale * tokens / 1000, "decode": 0.05, "state": 4000 * tokens}
            for tokens in (512, 1024, 2048)
        ],
        "device": "cpu",
        "threads": 2,
    }


def gka(**options):
    fields = {"layers": options.pop("layers", []), "num_iter": options.pop("num_iter", None)}
    return {"backbone": {"class": "B", "version": 1, "fields": {"gka": {"class": "G", "version": 1, "fields": fields}}}}


@pytest.fixture
def measured(sweep):
    """Attention and two hybrids under two arms, and a baseline."""
    sweep.cell(0, "direct", measured=numbers(9.5), reference="direct")
    sweep.cell(1, "plain", "AAAAAADDDDDA", measured=numbers(9.5), reference="direct")
    for job, steps in ((2, 1), (3, 30)):
        stages = gka(layers="every:4", num_iter=steps)
        sweep.cell(job, "direct", stages=stages, measured=numbers(1e4 / steps, 0.5), reference="direct")
    sweep.cell(4, "majority", backbone="-", reference="direct")
    return sweep


def test_each_backbone_has_one_row_for_all_its_arms(measured):
    view = measured_view(measured_rows(read_report([measured.folder])))
    assert view.header == (
        *("Backbone", "Macro-F1 direct", "Macro-F1 none", "Perplexity", "Recall 64", "Recall 1024"),
        *("Prefill 512, s", "Prefill 2048, s", "Decode 512, s", "Decode 2048, s", "State 512, MB", "State 2048, MB"),
    )
    first, one, thirty = view.rows
    assert first == (
        *("tiny, attention", "1.000", "0.916", "9.500", "1.00", "0.25"),
        *("0.51", "2.05", "0.050", "0.050", "2.0", "8.2"),
    )
    assert one[:4] == ("tiny, GKA every:4, r = 1", "1.000", "", "1e+04")
    assert thirty[0] == "tiny, GKA every:4, r = 30"


def test_files_have_all_numbers_and_are_rebuilt_byte_for_byte(measured):
    names = {path.name for path in rebuild(measured.folder)}
    assert {"measured.csv", "measured.svg"} <= names
    before = {name: (measured.folder / name).read_bytes() for name in names}
    rebuild(measured.folder)
    assert {name: (measured.folder / name).read_bytes() for name in names} == before
    rows = list(csv.DictReader(io.StringIO(before["measured.csv"].decode())))
    assert [row["layers"] for row in rows] == ["attention", "GKA every:4, r = 1", "GKA every:4, r = 30"]
    assert rows[0]["prefill_1024"] == "1.0240"
    assert rows[0]["macro_f1_none"] == "0.916084"
    assert rows[2]["macro_f1_none"] == ""
    assert b"## Backbones" in before["results.md"]
    assert ElementTree.fromstring(before["measured.svg"]).tag.endswith("svg")


def test_the_table_is_printed(measured):
    console = Console(file=io.StringIO(), width=250)
    show_report(read_report([measured.folder]), console)
    printed = console.file.getvalue()
    assert "Recall: a code of four digits" in printed
    assert "tiny, GKA every:4, r = 30" in printed


def test_without_measurements_there_is_no_table(sweep):
    sweep.cell(0)
    assert measured_rows(read_report([sweep.folder])) == []
    assert not any(path.name.startswith("measured") for path in rebuild(sweep.folder))


def test_the_title_of_a_group_names_replaced_layers(measured, sweep):
    sweep.cell(5, "direct", stages=gka(layers=[1, 3]), reference="direct")
    sweep.cell(6, "direct", stages=gka(num_iter=5), reference="direct")
    groups = read_report([measured.folder]).groups
    assert [attention_variant(group.setup) for group in groups] == [
        *("attention", "GKA every:4, r = 1", "GKA every:4, r = 30", "GKA 1 3", "r = 5")
    ]
    assert group_title(groups[0]) == "specimen, roles: gold, tiny"
    assert group_title(groups[1]) == "specimen, roles: gold, tiny, GKA every:4, r = 1"
