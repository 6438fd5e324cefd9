"""Results stored by earlier commits (tests/stored/README.md) are still found and read by the current code."""

import csv
import json
import tarfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from legalrr.cli import main
from legalrr.sent_messages import read_restored
from legalrr.tables import csv_cell

Run = Callable[..., tuple[int, str, str]]
Row = Mapping[str, Any]

FAST = (
    "backbone=echo",
    "limit=4",
    "score.resamples=99",
    "score.permutations=99",
    # The default when the sweeps ran.
    "annotate.tokens.answer=16",
)


@dataclass(frozen=True, kw_only=True)
class Stored:
    """Folder `runs` of a sweep by an earlier commit."""

    commit: str
    """Commit, and name of the archive."""
    sweep: tuple[str, ...]
    """Overrides of the sweep."""
    revised: frozenset[str] = frozenset()
    """Stages changed on purpose since, so that their identities differ; their class paths are kept."""
    untested: frozenset[str] = frozenset()
    """Arms whose difference was tested then, and is not tested any more."""

    def unpack(self, folder: Path) -> Path:
        """Extract the archive into `folder`; return the folder of the sweep."""
        with tarfile.open(Path(__file__).with_name("stored") / f"{self.commit}.tar.xz") as archive:
            archive.extractall(folder, filter="data")
        return folder / "runs" / "sweep" / "then"


BEFORE_VALIDITY = Stored(
    commit="cfc10bd",
    sweep=("arm=direct,direct_compare,direct_choose,majority", "segment=crf", "seed=44", "reference=direct", *FAST),
    revised=frozenset({"restructure", "annotate", "verdict", "score"}),
    untested=frozenset({"majority"}),
)
BEFORE_RESTRUCTURING = Stored(
    commit="9e499bf",
    sweep=("arm=plain,drc,direct_compare,majority", "segment=gold,crf,llm", *FAST),
    revised=frozenset({"verdict"}),
)
UNTESTED = {"p_permutation", "p_holm", "p_mcnemar", "note"}
"""Columns of pairs.csv that are empty or explained for an untested difference."""

each = pytest.mark.parametrize("stored", [BEFORE_VALIDITY, BEFORE_RESTRUCTURING], ids=lambda stored: stored.commit)


def cells(sweep: Path) -> dict[tuple[str, str], tuple[Row, dict[str, Row]]]:
    """Return arm and segmenter -> run.json, and the predictions by id, with messages in full."""
    found = {}
    for file in sweep.glob("*/run.json"):
        record = json.loads(file.read_text(encoding="utf-8"))
        lines = (file.parent / "predictions.jsonl").read_text(encoding="utf-8").splitlines()
        full = {row.id: row.to_json() for row in read_restored(file.parent)}
        rows = {row["id"]: {name: full[row["id"]][name] for name in row} for row in map(json.loads, lines)}
        found[record["cell"]["arm"], record["cell"]["segment"]] = record, rows
    return found


def files(folder: Path) -> dict[Path, bytes]:
    """Return the content of every file in a folder, but for notes of finished cells."""
    paths = [path for path in folder.rglob("*") if path.is_file() and path.parent.name != "cells"]
    return {path.relative_to(folder): path.read_bytes() for path in paths}


def class_paths(described: Any) -> Iterator[tuple[str, str]]:
    """Yield field name and class path of a stage and its nested stages."""
    if isinstance(described, Mapping):
        for name, value in described.items():
            yield from [(name, value)] if name == "class" else ((f"{name}.{at}", c) for at, c in class_paths(value))


def table(file: Path) -> list[dict[str, str]]:
    with file.open(encoding="utf-8", newline="") as lines:
        return list(csv.DictReader(lines))


@each
def test_a_sweep_over_an_old_store_makes_no_call(stored: Stored, run_hydra: Run, tmp_path: Path) -> None:
    """Every answer, role and cluster comes from the store, to which nothing is added; so predictions are the same.

    Compared are the fields of predictions.jsonl that the old rows have: `cluster` and `prompt` came after cfc10bd.
    """
    then = cells(stored.unpack(tmp_path))
    cache = tmp_path / "runs" / "cache"
    kinds = {kind: files(kind) for kind in cache.iterdir()}
    status, out, _ = run_hydra(main, "legalrr", "-m", *stored.sweep, "hydra.sweep.dir=runs/sweep/now")
    now = cells(tmp_path / "runs" / "sweep" / "now")
    assert status == 0
    assert "model calls: 0 made" in out
    assert now.keys() == then.keys()
    assert {kind: files(kind) for kind in kinds} == kinds
    for cell, (old, rows) in then.items():
        new, answers = now[cell]
        assert new["calls"] == {"made": 0, "stored": sum(old["calls"].values())}
        assert {id: {name: answers[id][name] for name in row} for id, row in rows.items()} == rows
        assert {name: list(class_paths(new["stages"][name])) for name in old["stages"]} == {
            name: list(class_paths(stage)) for name, stage in old["stages"].items()
        }
        assert {name for name, stage in old["stages"].items() if new["stages"][name] != stage} == stored.revised


@each
def test_an_old_sweep_gives_the_same_tables(stored: Stored, run_hydra: Run, tmp_path: Path) -> None:
    """Compared are the columns of the old tables.

    Since cfc10bd bounds, clusters and skill have got columns, and arms that answer everything in the same way are not
    tested any more. Since 9e499bf the former label None of the reference arm is marked as text.
    """
    then, now = stored.unpack(tmp_path), tmp_path / "tables"
    status, _, _ = run_hydra(main, "legalrr", "report", str(then), "--out", str(now), "--quiet", "--texts", "0")
    assert status == 0
    for file in sorted(then.glob("*.csv")):
        old, new = table(file), table(now / file.name)
        assert len(old) == len(new) > 0
        for before, after in zip(old, new, strict=True):
            outdated = UNTESTED if file.name == "pairs.csv" and before["arm"] in stored.untested else set()
            kept = before.keys() - outdated
            assert {name: after.get(name) for name in kept} == {name: csv_cell(before[name]) for name in kept}


def test_old_scores_of_explanations_are_not_computed_again(run_hydra: Run, tmp_path: Path) -> None:
    """With other versions of the packages they are, beside the old ones, for the same metric."""
    sweep = BEFORE_RESTRUCTURING.unpack(tmp_path)

    def metrics() -> set[str]:
        keys = sweep.glob("*/explanation/*/key.json")
        return {json.dumps(json.loads(key.read_text(encoding="utf-8"))["metric"], sort_keys=True) for key in keys}

    then = metrics()
    status, _, _ = run_hydra(main, "legalrr", "explain", str(sweep))
    assert status == 0
    assert len(then) == 2
    assert metrics() == then
