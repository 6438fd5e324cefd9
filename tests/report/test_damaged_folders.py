"""Damaged run folders: `legalrr report` ends in tables or in one error that names the file, whatever its bytes are."""

import gzip
import hashlib
import json
import random
from pathlib import Path

import pytest

from legalrr.errors import UserError
from legalrr.predictions import read_predictions
from legalrr.report.cli import main
from legalrr.report.html.judgments import read_judgments
from legalrr.report.load import read_results
from legalrr.report.run_record import read_job_number, read_overrides
from legalrr.report.table_view import attention_variant
from legalrr.score.explanation_texts import read_explanations
from tests.mutations import MUTATIONS, ends_well, mutate_bytes, mutations
from tests.report.html.conftest import enrich


@pytest.fixture
def cell(sweep) -> Path:
    """A finished cell with everything that a run writes."""
    folder = sweep.cell(0, "drc", "AAADDDDDDAA-")
    enrich(folder, layout="study")
    turns = [{"name": "analysis", "role": "ANALYSIS", "text": "It was lame."}]
    references = [{"id": f"case-{number}", "source": "gold", "turns": turns} for number in range(12)]
    (folder / "references.jsonl").write_text("".join(json.dumps(one) + "\n" for one in references))
    return folder


@pytest.mark.parametrize("name", ["predictions.jsonl", "scores.json", "run.json", "references.jsonl"])
def test_a_reader_ends_in_a_value_or_in_one_line(cell, name) -> None:
    file = cell / name
    data, lines = file.read_bytes(), name.endswith("l")
    readers = {
        "predictions.jsonl": lambda: list(read_predictions(file)),
        "references.jsonl": lambda: read_explanations(cell),
    }
    read = readers.get(name, lambda: read_results([cell]))
    accepted = 0
    for damaged in mutations(data, MUTATIONS, lines=lines):
        file.write_bytes(damaged)
        accepted += ends_well(file, read)
    assert 0 < accepted < MUTATIONS


def test_damaged_judgments_are_refused_or_equal_to_those_of_the_run(cell) -> None:
    file = cell / "judgments.jsonl.gz"
    whole, results = file.read_bytes(), read_results([cell])
    expected = read_judgments(results)[0]
    chance = random.Random(1)
    for number, damaged in enumerate(mutations(gzip.decompress(whole), MUTATIONS, lines=True)):
        file.write_bytes(mutate_bytes(whole, chance) if number % 2 else gzip.compress(damaged, compresslevel=1))
        if ends_well(file, lambda: read_judgments(results)):
            assert read_judgments(results)[0] == expected


def test_judgments_of_any_shape_are_read_or_refused_even_with_their_digest(cell) -> None:
    file, (result,) = cell / "judgments.jsonl.gz", read_results([cell])
    for damaged in mutations(gzip.decompress(file.read_bytes()), MUTATIONS, lines=True):
        file.write_bytes(gzip.compress(damaged, compresslevel=1))
        result.run["judgments"]["sha256"] = hashlib.sha256(damaged).hexdigest()
        ends_well(file, lambda: read_judgments([result]))


def test_a_reader_of_overrides_ends_in_a_list_or_in_one_line(tmp_path) -> None:
    file, chance = tmp_path / "overrides.yaml", random.Random(2)
    odd = (b"- !!python/object/apply:os.system [ls]\n", b"- 2001-99-99\n", b"a: b\n", b"- [a]\n", b"- &a x\n- *a\n")
    for _ in range(MUTATIONS):
        data = b"- arm=drc\n- limit=4\n- runs=elsewhere\n" + chance.choice((b"", *odd))
        file.write_bytes(mutate_bytes(data, chance))
        if ends_well(file, lambda: read_overrides(file)):
            assert all(isinstance(one, str) for one in read_overrides(file))


def test_hydras_record_of_any_bytes_gives_a_number_or_names_the_file(tmp_path) -> None:
    chance, file = random.Random(9), tmp_path / "hydra.yaml"
    odd = (b"a: &a [1]\nb: *a\n", b"\xff\xfe", b"[" * 3000)
    for _ in range(MUTATIONS):
        file.write_bytes(mutate_bytes(b"hydra:\n  job:\n    num: 3\n" + chance.choice((b"", *odd)), chance))
        if ends_well(file, lambda: read_job_number(file)):
            assert isinstance(read_job_number(file), int | None)
    file.write_bytes(b"hydra:\n  job:\n    num: 3\n")
    assert read_job_number(file) == 3
    file.write_bytes(b"hydra:\n  job:\n    num: 3" + b"9" * 5000)
    assert read_job_number(file) is None
    for data in (*odd, b"x: " + b"y" * 1_000_001):
        file.write_bytes(data)
        assert not ends_well(file, lambda: read_job_number(file))


def test_judgments_other_than_those_of_the_run_are_refused(cell) -> None:
    file = cell / "judgments.jsonl.gz"
    file.write_bytes(gzip.compress(gzip.decompress(file.read_bytes()).replace(b"horse", b"house")))
    with pytest.raises(UserError, match=r"judgments\.jsonl\.gz: not the judgments of this run"):
        read_judgments(read_results([cell]))


def test_judgments_that_inflate_without_bound_are_refused(cell) -> None:
    (cell / "judgments.jsonl.gz").write_bytes(gzip.compress(b" " * 50_000_000))
    with pytest.raises(UserError, match=r"judgments\.jsonl\.gz: inflates to more than"):
        read_judgments(read_results([cell]))


@pytest.mark.parametrize("change", [{"macro_f1": 1.0}, {"n": 99}, {"invalid": {}}, {"interval": [0.9, 0.1]}])
def test_scores_that_the_predictions_deny_are_computed_again(cell, change) -> None:
    (before,) = read_results([cell])
    stored = json.loads((cell / "scores.json").read_bytes())
    (cell / "scores.json").write_text(json.dumps({**stored, "cases": before.digest, **change}))
    (after,) = read_results([cell])
    assert after.scores == before.scores


@pytest.mark.parametrize("name", ["predictions.jsonl", "scores.json", "run.json", "references.jsonl"])
def test_the_command_ends_in_tables_or_in_one_line(cell, tmp_path, name) -> None:
    file = cell / name
    for damaged in mutations(file.read_bytes(), max(3, MUTATIONS // 300), lines=name.endswith("l")):
        file.write_bytes(damaged)
        if ends_well(file, lambda: main([str(cell), "--out", str(tmp_path / "out"), "--quiet"])):
            assert (tmp_path / "out" / "report.html").is_file()


def test_layers_of_an_unexpected_type_are_shown_as_they_are(sweep) -> None:
    sweep.cell(0, stages={"backbone": {"class": "x", "fields": {"gka": {"fields": {"layers": 0.5}}}}})
    (result,) = read_results([sweep.folder])
    assert attention_variant(result.setup) == "GKA 0.5"
