"""A cell that ran before is copied if nothing has changed that its files depend on, and computed otherwise."""

import json
from collections.abc import Callable, Hashable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir

from legalrr.paths import root
from legalrr.records import Case
from legalrr.run import finished
from legalrr.run.cell import run_cell
from legalrr.run.pipeline import Pipeline, PreparationCache, build_pipeline
from legalrr.run.prefetch import make_share, prefetch
from legalrr.verdict import PatternVerdictReader

RESULTS = ("predictions.jsonl", "references.jsonl", "scores.json")


def pipeline(folder: Path, *overrides: str) -> Pipeline:
    options = ["backbone=echo", "arm=c", "limit=4", "score.resamples=99", "score.permutations=99", f"runs={folder}"]
    with initialize_config_dir(str(root() / "conf"), version_base="1.3"):
        return build_pipeline(compose("config", [*options, *overrides]))


def repeats(folder: Path) -> bool:
    """Whether the results of a run are copies."""
    return "repeats" in json.loads((folder / "run.json").read_text("utf-8"))


@pytest.fixture
def first(tmp_path: Path) -> Path:
    """The folder of a run of the cell."""
    run_cell(pipeline(tmp_path), tmp_path / "first")
    return tmp_path / "first"


def test_a_second_run_has_the_same_files_and_counts_all_calls_as_stored(first: Path, tmp_path: Path) -> None:
    run_cell(pipeline(tmp_path), tmp_path / "second")
    assert all((tmp_path / "second" / name).read_bytes() == (first / name).read_bytes() for name in RESULTS)
    before, after = (json.loads((path / "run.json").read_text("utf-8")) for path in (first, tmp_path / "second"))
    assert after.pop("repeats") == "../first"
    made, stored = before.pop("calls"), after.pop("calls")
    assert (made["made"], stored) == (16, {"made": 0, "stored": 16})
    assert {**before, "seconds": {}} == {**after, "seconds": {}}


@pytest.mark.parametrize(
    "option",
    [
        "limit=3",
        "seed=1",
        "arm=d",
        "reference=c",
        "segment=crf",
        "restructure.also_hide=[RLC]",
        "annotate.tokens.answer=9",
        "verdict=study",
        "score.resamples=100",
        "retry_errors=true",
    ],
)
def test_another_option_makes_the_cell_run(first: Path, tmp_path: Path, option: str) -> None:
    assert first.is_dir()
    run_cell(pipeline(tmp_path, option), tmp_path / "second")
    assert not repeats(tmp_path / "second")


def test_another_backbone_has_notes_of_its_own(first: Path, tmp_path: Path) -> None:
    assert first.is_dir()
    run_cell(pipeline(tmp_path, "backbone.invalid_every=2"), tmp_path / "second")
    assert not repeats(tmp_path / "second")


def change_code(monkeypatch: pytest.MonkeyPatch, _: Path) -> None:
    monkeypatch.setattr(finished, "package_digest", lambda: "other code")


def change_package(monkeypatch: pytest.MonkeyPatch, _: Path) -> None:
    monkeypatch.setattr(finished, "package_versions", lambda: {"scikit-learn": "0"})


def edit_rows(_: pytest.MonkeyPatch, folder: Path) -> None:
    path = folder / "predictions.jsonl"
    path.write_text(path.read_text("utf-8").replace('"dismissed"', '"allowed"'), encoding="utf-8")


def edit_scores(_: pytest.MonkeyPatch, folder: Path) -> None:
    (folder / "scores.json").write_text("{}", encoding="utf-8")


def remove_references(_: pytest.MonkeyPatch, folder: Path) -> None:
    (folder / "references.jsonl").unlink()


def damage_note(_: pytest.MonkeyPatch, folder: Path) -> None:
    (note,) = folder.parent.glob("cache/predict/*/cells/*.json")
    note.write_text("[]", encoding="utf-8")


@pytest.mark.parametrize(
    "change", [change_code, change_package, edit_rows, edit_scores, remove_references, damage_note]
)
def test_a_change_makes_the_cell_run(
    first: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: Callable[[pytest.MonkeyPatch, Path], None]
) -> None:
    change(monkeypatch, first)
    run_cell(pipeline(tmp_path), tmp_path / "second")
    assert not repeats(tmp_path / "second")
    # And that run is noted in turn.
    run_cell(pipeline(tmp_path), tmp_path / "third")
    assert json.loads((tmp_path / "third" / "run.json").read_text("utf-8"))["repeats"] == "../second"


def test_another_judgment_or_role_makes_the_cell_run(tmp_path: Path) -> None:
    rows = [{"id": f"j{n}", "text": f"The appellant sold horse {n}. It was lame.", "label": n % 2} for n in range(4)]
    for number, key in enumerate(("text", "label")):
        changed: list[dict[str, Any]] = [dict(row) for row in rows]
        changed[1][key] = {"text": "The appellant sold a field.", "label": 0}[key]
        for name, some in (("before", rows), ("after", changed)):
            file = tmp_path / "mine.jsonl"
            file.write_text("".join(json.dumps(row) + "\n" for row in some), encoding="utf-8")
            mine = pipeline(tmp_path, "corpus=own_table", f"corpus.file={file}", "segment=crf")
            run_cell(mine, tmp_path / f"{name}-{number}")
        assert not repeats(tmp_path / f"after-{number}")
    assert repeats(tmp_path / "before-1")


@dataclass(frozen=True, kw_only=True)
class MyVerdict(PatternVerdictReader):
    """A stage of another package."""


def test_a_stage_of_another_package_is_run_each_time(tmp_path: Path) -> None:
    mine = replace(pipeline(tmp_path), verdict=MyVerdict(**vars(pipeline(tmp_path).verdict)))
    for name in ("first", "second"):
        run_cell(mine, tmp_path / name)
        assert not repeats(tmp_path / name)


def test_prefetch_makes_no_calls_about_cells_that_are_copied(
    first: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert first.is_dir()
    same, other = pipeline(tmp_path), pipeline(tmp_path, "arm=dc")
    prepared: list[Hashable] = []
    original = PreparationCache.add

    def add(self: PreparationCache, key: Hashable, case: Case) -> None:
        prepared.append(key)
        original(self, key, case)

    monkeypatch.setattr(PreparationCache, "add", add)
    fresh: dict[str, Any] = {}
    prefetch([same, same], fresh)
    assert (sum(map(len, fresh.values())), prepared) == (0, [])
    prefetch([same, other], fresh)
    assert sum(map(len, fresh.values())) == 16
    prepared.clear()
    make_share([same], {}, PreparationCache(), {}, lambda pipeline, error: None)
    assert len(prepared) == 4, "a shard looks for every call"
    # A cell counts the calls that this process has made about it.
    run_cell(same, tmp_path / "second", {"a call"})
    assert not repeats(tmp_path / "second")


def test_the_digest_covers_the_whole_code_of_the_package(tmp_path: Path) -> None:
    digests = set()
    for prompt in ("Is the appeal allowed?", "Is the appeal dismissed?"):
        package = tmp_path / str(len(digests)) / "legalrr"
        (package / "annotate").mkdir(parents=True)
        (package / "__init__.py").write_text("")
        (package / "annotate" / "prompt.j2").write_text(prompt)
        digests.add(finished.package_digest(package))
    assert len(digests) == 2
    assert finished.package_digest() not in digests
