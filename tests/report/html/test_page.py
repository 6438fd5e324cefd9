"""Tests of the page as a file: complete, safe from its contents, reproducible."""

import base64
import json
import re
import zlib
from pathlib import Path

import pytest

from legalrr.errors import UserError
from legalrr.html import source_hash
from legalrr.report.compare import read_report
from legalrr.report.html.page import SCRIPTS, STYLES, provenance_json, report_page, script_json
from legalrr.report.html.sample import TextSample
from legalrr.report.sweep import write_page

from .conftest import HOSTILE, enrich

SCRIPT = re.compile(r"<script[^>]*>(.*?)</script>", re.DOTALL)


def parts(page: str) -> dict[str, str]:
    """Return the data elements of a page by id."""
    return dict(re.findall(r'<script type="[^"]+" id="([^"]+)">(.*?)</script>', page, re.DOTALL))


def unpacked(block: str):
    return json.loads(zlib.decompress(base64.b64decode(block)))


@pytest.fixture
def page(report, sweep) -> str:
    return report_page(report, [sweep.folder])


def test_texts_of_corpora_and_models_cannot_inject_elements(page) -> None:
    assert "window.planted" in page
    assert "<script>window" not in page
    assert "<img" not in page
    # The data, the shared strings, a block per judgment, and the script itself: nothing else is a script.
    assert len(SCRIPT.findall(page)) == page.count("<script") == 3 + 12
    page.encode("utf-8")


def test_the_policy_allows_only_the_script_and_style_of_the_page(page) -> None:
    (policy,) = re.findall(r'http-equiv="Content-Security-Policy" content="([^"]+)"', page)
    (style,) = re.findall(r"<style>(.*?)</style>", page, re.DOTALL)
    script = SCRIPT.findall(page)[-1]
    rules = dict(rule.split(" ", 1) for rule in policy.split("; "))
    assert rules.pop("script-src") == f"'{source_hash(script)}'"
    assert rules.pop("style-src") == f"'{source_hash(style)}'"
    assert set(rules.values()) == {"'none'"}
    assert set(rules) == {"default-src", "base-uri", "form-action"}


def test_the_page_loads_no_resources_and_parses_no_text_as_markup(page) -> None:
    script, style = SCRIPT.findall(page)[-1], re.findall(r"<style>(.*?)</style>", page, re.DOTALL)[0]
    assert not re.search(
        r"innerHTML|outerHTML|insertAdjacentHTML|document\.write|eval\(|fetch\(|XMLHttpRequest", script
    )
    assert set(re.findall(r"https?://[^\s\"']+", script)) == {"http://www.w3.org/2000/svg"}
    assert "url(" not in style
    assert "@import" not in style
    assert not re.search(r"<(link|img|iframe|object|embed)\b| (src|href)=\"(?!#)", page)


def test_figures_have_captions_and_unique_ids(page) -> None:
    found = re.findall(
        r'<figure id="figure-([\w-]+)"><figcaption><bdi>([^<]+)</bdi></figcaption>.*?(<svg.*?</svg>)', page
    )
    assert [name for name, _, _ in found] == ["macro-f1", "differences"]
    for _, caption, svg in found:
        assert f'role="img" aria-label="{caption}"' in svg
    ids = re.findall(r' id="([^"]+)"', page)
    assert len(ids) == len(set(ids))
    assert " style=" not in page[: page.index("<script")]


def test_figures_are_small(page) -> None:
    assert all(len(svg) < 20_000 for svg in re.findall(r"<svg.*?</svg>", page))


def test_every_script_and_style_of_the_folder_is_in_the_page() -> None:
    folder = Path(__file__).parents[3] / "legalrr" / "report" / "html"
    assert {f"report/html/{path.name}" for path in folder.glob("*.js")} == set(SCRIPTS)
    assert {f"report/html/{path.name}" for path in folder.glob("*.css")} < set(STYLES)


def test_the_same_folders_give_the_same_bytes(report, sweep) -> None:
    again = read_report([sweep.folder])
    assert report_page(report, [sweep.folder]) == report_page(again, [sweep.folder])


def test_a_block_has_prompts_and_answers_of_every_cell(page) -> None:
    data = json.loads(parts(page)["data"])
    (collection,) = data["collections"]
    place = collection["ids"].index("case-4")
    record = unpacked(parts(page)[f"t0-{place}"])
    assert set(record["answers"]) == {"0", "1", "2", "3"}
    assert HOSTILE in record["text"]
    answer = record["answers"]["1"]
    assert [turn["name"] for turn in answer["turns"]] == ["analysis", "answer"]
    assert [turn for turn, _ in answer["earlier"]] == ["analysis"]
    assert record["answers"]["2"]["p"] == 0.75
    assert record["answers"]["3"]["sent"] == []


def test_answers_are_in_the_order_of_the_ids(page) -> None:
    data = json.loads(parts(page)["data"])
    (collection,) = data["collections"]
    said = {"allowed": "A", "dismissed": "D", "invalid": "-"}
    for place, id in enumerate(collection["ids"]):
        record = unpacked(parts(page)[f"t0-{place}"])
        for cell, answer in record["answers"].items():
            assert collection["answers"][cell][place] == said[answer["verdict"]], (id, cell)


def held(page: str) -> list[str]:
    """Return the names of the blocks of a page, in its order."""
    return [name for name in parts(page) if re.fullmatch(r"t\d+-\d+", name)]


def test_the_size_limit_keeps_the_first_texts_of_the_sample(report, sweep) -> None:
    whole = report_page(report, [sweep.folder])
    names = held(whole)
    assert len(names) == 12
    room = sum(len(parts(whole)[name]) for name in names[:5])
    some = report_page(report, [sweep.folder], sample=TextSample(megabytes=(room + 10) / 1e6))
    assert held(some) == names[:5]
    none = report_page(report, [sweep.folder], sample=TextSample(megabytes=0))
    assert json.loads(parts(none)["data"])["texts"] == [0]
    assert not held(none)


def test_a_sample_leaves_all_numbers_and_says_what_it_holds(report, sweep) -> None:
    whole = report_page(report, [sweep.folder])
    some = report_page(report, [sweep.folder], sample=TextSample(judgments=4, ids=("case-7",)))
    data = json.loads(parts(some)["data"])
    places = [int(name.removeprefix("t0-")) for name in held(some)]
    assert data["collections"][0]["ids"][places[0]] == "case-7"
    assert data["texts"] == [len(places)] == [5]
    made = data.pop("sample")
    assert (made["judgments"], made["megabytes"], made["ids"]) == (4, 12.0, ["case-7"])
    assert sum(one["texts"] for one in made["kinds"]) == 5
    assert sum(one["all"] for one in made["kinds"]) == 12
    every = json.loads(parts(whole)["data"])
    del data["texts"], every["texts"], every["sample"]
    assert data == every


def test_corpora_share_the_size_limit_in_turn(sweep, another) -> None:
    enrich(sweep.cell(0))
    enrich(another.cell(0, corpus="other"))
    page = report_page(read_report([sweep.folder, another.folder]), [sweep.folder, another.folder])
    assert [name.partition("-")[0] for name in held(page)] == ["t0", "t1"] * 12


def test_folders_of_earlier_versions_are_read(sweep) -> None:
    sweep.cell(0)
    page = report_page(read_report([sweep.folder]), [sweep.folder])
    data = json.loads(parts(page)["data"])
    assert data["collections"][0]["length"] == [None] * 12
    assert data["health"][0]["hidden_share"] is None
    assert unpacked(parts(page)["t0-0"])["text"] is None


def test_a_sweep_without_scores_has_a_page(sweep) -> None:
    sweep.failed(0, what=HOSTILE.replace("\ud800", ""))
    page = report_page(read_report([sweep.folder]), [sweep.folder])
    data = json.loads(parts(page)["data"])
    assert data["groups"] == data["collections"] == []
    assert "No arm was compared" in page
    assert data["cells"][0]["status"] == "failed"


def test_the_page_is_written_into_the_folder(report, sweep) -> None:
    path = write_page(report, [sweep.folder], sweep.folder)
    assert path == sweep.folder / "report.html"
    assert path.read_text(encoding="utf-8").startswith("<!DOCTYPE html>")


def test_a_changed_predictions_file_is_an_error(report, sweep) -> None:
    (sweep.folder / "0" / "predictions.jsonl").write_text("gone\n")
    with pytest.raises(UserError, match="changed while it was read"):
        write_page(report, [sweep.folder], sweep.folder)


def test_json_in_a_script_element_cannot_end_it() -> None:
    text = script_json({"</script>": "<!-- \u2028 \ud800"})
    assert "<" not in text
    assert text.isascii()
    assert json.loads(text) == {"</script>": "<!-- \u2028 \ud800"}


STAGES = {"corpus": {"identity": "c" * 64, "class": "x", "fields": {}}}


def test_corpora_come_with_licence_and_citation(sweep, another) -> None:
    sweep.cell(0, corpus="lawai50")
    another.cell(0, corpus="mine")
    found = provenance_json(read_report([sweep.folder, another.folder]), [sweep.folder, another.folder])
    known, own = found["corpora"]
    assert known["licence"].startswith("MIT")
    assert "JURIX 2019" in known["citation"]
    assert own["licence"].startswith("not stated")


def test_the_command_omits_the_output_folder(sweep) -> None:
    sweep.cell(0)
    noted = "hydra:\n  overrides:\n    task:\n    - experiment=paper\n    - limit=8\n    - runs=/home/me/runs\n"
    (sweep.folder / "multirun.yaml").write_text(noted)
    (folder,) = provenance_json(read_report([sweep.folder]), [sweep.folder])["folders"]
    assert folder == {"name": "sweep", "command": "legalrr experiment=paper limit=8"}


def test_a_single_run_has_a_command_and_a_copied_folder_none(sweep, another) -> None:
    folder = sweep.cell(None)
    (folder / ".hydra").mkdir()
    (folder / ".hydra" / "hydra.yaml").write_text("hydra:\n  overrides:\n    task:\n    - arm=dr\n")
    another.cell(0)
    found = provenance_json(read_report([folder, another.folder]), [folder, another.folder])
    assert [one["command"] for one in found["folders"]] == ["legalrr arm=dr", None]


def test_a_damaged_record_of_the_command_is_named(sweep) -> None:
    sweep.cell(0)
    (sweep.folder / "multirun.yaml").write_text("a: [")
    with pytest.raises(UserError, match=r"multirun.yaml: not valid YAML"):
        provenance_json(read_report([sweep.folder]), [sweep.folder])


def test_cells_with_equal_versions_share_a_column(sweep) -> None:
    for number in range(3):
        enrich(sweep.cell(number, stages=STAGES))
    sweep.cell(3)
    found = provenance_json(read_report([sweep.folder]), [sweep.folder])
    assert [one["cells"] for one in found["versions"]] == [[0, 1, 2]]
    assert found["cells"][0]["identities"] == {"corpus": "c" * 64}
    assert len(found["cells"][0]["judgments"]) == 64
    assert found["cells"][3]["judgments"] is None
