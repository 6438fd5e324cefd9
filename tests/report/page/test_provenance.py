import pytest

from legalrr.errors import UserError
from legalrr.report.groups import read_report
from legalrr.report.page.provenance import provenance_json

from .conftest import enrich

STAGES = {"corpus": {"identity": "c" * 64, "class": "x", "fields": {}}}


def test_corpora_come_with_licence_and_citation(sweep, another) -> None:
    sweep.cell(0, corpus="lawai50")
    another.cell(0, corpus="mine")
    found = provenance_json(read_report([sweep.folder, another.folder]), [sweep.folder, another.folder])
    known, own = found["corpora"]
    assert known["licence"].startswith("MIT")
    assert "JURIX 2019" in known["citation"]
    assert own["licence"].startswith("not stated")


def test_the_command_stands_without_the_place_of_results(sweep) -> None:
    sweep.cell(0)
    noted = "hydra:\n  overrides:\n    task:\n    - experiment=paper\n    - limit=8\n    - runs=/home/me/runs\n"
    (sweep.folder / "multirun.yaml").write_text(noted)
    (folder,) = provenance_json(read_report([sweep.folder]), [sweep.folder])["folders"]
    assert folder == {"name": "sweep", "command": "legalrr experiment=paper limit=8"}


def test_a_single_run_has_its_command_too_and_a_copied_folder_none(sweep, another) -> None:
    folder = sweep.cell(None)
    (folder / ".hydra").mkdir()
    (folder / ".hydra" / "hydra.yaml").write_text("hydra:\n  overrides:\n    task:\n    - arm=dr\n")
    another.cell(0)
    found = provenance_json(read_report([folder, another.folder]), [folder, another.folder])
    assert [one["command"] for one in found["folders"]] == ["legalrr arm=dr", None]


def test_a_damaged_note_of_the_command_is_named(sweep) -> None:
    sweep.cell(0)
    (sweep.folder / "multirun.yaml").write_text("a: [")
    with pytest.raises(UserError, match=r"multirun.yaml: no YAML"):
        provenance_json(read_report([sweep.folder]), [sweep.folder])


def test_cells_of_the_same_versions_are_one_column(sweep) -> None:
    for number in range(3):
        enrich(sweep.cell(number, stages=STAGES))
    sweep.cell(3)
    found = provenance_json(read_report([sweep.folder]), [sweep.folder])
    assert [one["cells"] for one in found["versions"]] == [[0, 1, 2]]
    assert found["cells"][0]["identities"] == {"corpus": "c" * 64}
    assert len(found["cells"][0]["judgments"]) == 64
    assert found["cells"][3]["judgments"] is None
