"""Prefetch: the calls of the cells of a sweep are made before them, judgment by judgment."""

import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir

from legalrr.backbones.echo import EchoBackbone
from legalrr.cli import main
from legalrr.conversations import CallList
from legalrr.paths import root
from legalrr.progress import progress
from legalrr.protocols import Abilities, Call, CallQueue, Engine, Reply
from legalrr.run import prefetch as prefetching
from legalrr.run.cell import run_cell
from legalrr.run.pipeline import Pipeline, PreparationCache, build_pipeline
from legalrr.run.prefetch import prefetch
from legalrr.score.cases import read_answers
from legalrr.stage import identity

SETTINGS = ("backbone=echo", "limit=5", "score.resamples=99", "score.permutations=99")


@dataclass
class Recorder:
    """Engine that forwards to another one, holds `holds` tokens, and records the calls in order."""

    engine: Engine
    holds: int | None = None
    calls: list[Call] = field(default_factory=list)

    @property
    def can(self) -> Abilities:
        return self.engine.can

    @property
    def context(self) -> int:
        return self.engine.context

    def token_ends(self, text: str) -> list[int]:
        return self.engine.token_ends(text)

    def answer(self, queue: CallQueue) -> Iterator[list[tuple[str, Reply]]]:
        while calls := queue.take():
            self.calls += calls
            yield from self.engine.answer(CallList(calls))


@dataclass(frozen=True, kw_only=True)
class Recorded(EchoBackbone):
    """The echo backbone with a given recorder as engine."""

    recorder: Any = field(metadata={"runtime": True})

    def load(self) -> Any:
        return self.recorder


def cells(runs: Path, *arms: str, recorder: Recorder | None = None, more: Sequence[str] = ()) -> list[Pipeline]:
    made = []
    with initialize_config_dir(str(root() / "conf"), version_base="1.3"):
        for arm in arms:
            config = compose("config", [*SETTINGS, f"arm={arm}", f"runs={runs}", *more])
            pipeline = build_pipeline(config)
            if recorder is not None:
                pipeline = replace(pipeline, backbone=Recorded(recorder=recorder))
            made.append(pipeline)
    return made


def test_cells_find_every_call_and_count_each_once(tmp_path: Path) -> None:
    pipelines = cells(tmp_path, "plain", "c", "direct_compare", "majority")
    fresh: dict[str, set[str]] = {}
    prefetch(pipelines, fresh)
    ((backbone, keys),) = fresh.items()
    assert backbone == identity(pipelines[0].backbone)
    # The first turn of plain and c is the same call.
    assert len(keys) == 5 * (2 + 3 + 1)
    counts = [run_cell(p, tmp_path / p.settings.arm.id, keys)["calls"] for p in pipelines]
    assert counts == [
        {"made": 10, "stored": 0},
        {"made": 15, "stored": 5},
        {"made": 5, "stored": 0},
        {"made": 0, "stored": 0},
    ]
    assert not keys


def test_each_repetition_counts_its_own_calls(tmp_path: Path) -> None:
    fresh: dict[str, set[str]] = {}
    runs = [p for number in (1, 2) for p in cells(tmp_path, "plain", "c", more=(f"repetition={number}",))]
    prefetch(runs, fresh)
    made = [run_cell(p, tmp_path / str(n), fresh[identity(p.backbone)])["calls"]["made"] for n, p in enumerate(runs)]
    assert made == [10, 15, 10, 15]
    assert runs[0].described()["backbone"]["identity"] != runs[2].described()["backbone"]["identity"]


def test_predictions_equal_those_without_prefetch(tmp_path: Path) -> None:
    arms = "plain", "c", "d", "direct_compare"
    prefetch(cells(tmp_path / "together", *arms), {})
    for name in ("together", "alone"):
        for pipeline in cells(tmp_path / name, *arms):
            run_cell(pipeline, tmp_path / name / pipeline.settings.arm.id)
    for arm in arms:
        one, other = ((tmp_path / name / arm / "predictions.jsonl").read_bytes() for name in ("together", "alone"))
        assert one == other


def test_prefetched_judgments_are_not_prepared_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pipelines = cells(tmp_path, "plain", "c", "r", "direct_compare")
    prepared = PreparationCache()
    prefetch(pipelines, {}, prepared)

    def again(*_: object) -> None:
        pytest.fail("prepared again")

    first = pipelines[0]
    monkeypatch.setattr(type(first.corpus), "read", again)
    monkeypatch.setattr(type(first.segment), "segment", again)
    monkeypatch.setattr(type(first.restructure), "restructure", again)
    monkeypatch.setattr(type(first.annotate), "annotate", again)
    for pipeline in pipelines:
        assert run_cell(pipeline, tmp_path / pipeline.settings.arm.id, set(), prepared)["counts"]["taken"] == 5


def test_different_cells_of_a_process_get_their_own_prompts(tmp_path: Path) -> None:
    different = (
        cells(tmp_path / "runs", "plain", "r", "majority", "tfidf_lr", more=("limit=6",))
        + cells(tmp_path / "runs", "plain", "tfidf_lr", more=("limit=7", "segment=crf"))
        + cells(tmp_path / "runs", "plain", more=("backbone.context=3000", "restructure.overflow=middle"))
        + cells(tmp_path / "runs", "plain", more=("annotate.question=relief", "restructure.hide_verdicts=false"))
    )
    prepared = PreparationCache()
    for number, pipeline in enumerate(different):
        run_cell(pipeline, tmp_path / "shared" / str(number), set(), prepared)
        run_cell(pipeline, tmp_path / "alone" / str(number))
        one, other = (tmp_path / name / str(number) / "predictions.jsonl" for name in ("shared", "alone"))
        assert one.read_text() == other.read_text()


def test_a_full_cache_does_not_change_predictions(tmp_path: Path) -> None:
    for name, room in (("much", 10**9), ("some", 40_000), ("none", 0)):
        prepared = PreparationCache(capacity=room)
        pipelines = cells(tmp_path / name, "plain", "c")
        prefetch(pipelines, {}, prepared)
        kept = sum(map(len, prepared.cases.values()))
        assert (kept == 10, kept == 0) == (name == "much", name == "none")
        for pipeline in pipelines:
            run_cell(pipeline, tmp_path / name / pipeline.settings.arm.id, set(), prepared)
    for arm in ("plain", "c"):
        one, *others = ((tmp_path / n / arm / "predictions.jsonl").read_bytes() for n in ("much", "some", "none"))
        assert others == [one, one]


@pytest.mark.parametrize(("holds", "turns"), [(1, 5), (10**9, 1)])
def test_judgments_are_grouped_by_what_the_engine_can_hold(tmp_path: Path, holds: int, turns: int) -> None:
    recorder = Recorder(EchoBackbone().load(), holds=holds)
    prefetch(cells(tmp_path, "plain", "c", "d", recorder=recorder), {})
    first = [at for at, call in enumerate(recorder.calls) if len(call.messages) == 2]
    # A group is a run of calls that open conversations, and the calls that continue them.
    groups = sum(b != a + 1 for a, b in zip([-2, *first], first, strict=False))
    assert groups == turns
    assert len({call.key for call in recorder.calls}) == len(recorder.calls)


def test_a_cell_that_cannot_be_prepared_is_skipped(tmp_path: Path) -> None:
    good = cells(tmp_path, "plain", "c")
    bad = cells(tmp_path, "d", more=("restructure.budget=1", "restructure.overflow=error"))
    fresh: dict[str, set[str]] = {}
    prefetch([*bad, *good], fresh)
    assert sum(map(len, fresh.values())) == 5 * (2 + 3)


def test_a_single_cell_is_not_prefetched(tmp_path: Path) -> None:
    fresh: dict[str, set[str]] = {}
    prefetch(cells(tmp_path, "plain", "majority"), fresh)
    assert not fresh


def test_cells_of_different_run_folders_are_not_prefetched_together(tmp_path: Path) -> None:
    fresh: dict[str, set[str]] = {}
    prefetch([*cells(tmp_path / "a", "plain"), *cells(tmp_path / "b", "plain")], fresh)
    assert not fresh


@dataclass
class Refusing(Recorder):
    """Recorder that refuses the first call of the first judgment."""

    def answer(self, queue: CallQueue) -> Iterator[list[tuple[str, Reply]]]:
        for batch in super().answer(queue):
            refused = self.calls[0].key
            yield [(key, replace(reply, error="filtered" if key == refused else None)) for key, reply in batch]


@pytest.mark.parametrize(("overrides", "more"), [((), 0), (("retry_errors=true",), 1)])
def test_a_refused_call_is_made_once_for_all_cells(tmp_path: Path, overrides: tuple[str, ...], more: int) -> None:
    """In the first sweep; in a second one not at all, or once with `retry_errors`."""

    def sweep(name: str, *overrides: str) -> list[Call]:
        recorder = Refusing(EchoBackbone().load())
        recorder.calls += asked[:1]
        pipelines = cells(tmp_path, "plain", "c", recorder=recorder, more=overrides)
        fresh: dict[str, set[str]] = {}
        retried: dict[str, set[str]] = {}
        prefetch(pipelines, fresh, None, retried)
        for one in pipelines:
            backbone, folder = identity(one.backbone), tmp_path / name / one.settings.arm.id
            run_cell(one, folder, fresh.setdefault(backbone, set()), None, retried.setdefault(backbone, set()))
            rows = [json.loads(line) for line in (folder / "predictions.jsonl").read_text("utf-8").splitlines()]
            assert [row["reason"] for row in rows].count("error") == 1
        return recorder.calls[len(asked[:1]) :]

    asked: list[Call] = []
    asked = sweep("first")
    assert len({call.key for call in asked}) == len(asked) == 1 + 4 * (2 + 3)
    assert [call.key for call in sweep("second", *overrides)] == [asked[0].key] * more


def test_the_time_of_prefetched_answers_is_that_of_each_arm_that_uses_them(tmp_path: Path) -> None:
    """Plain and c share their first call: it counts in both."""
    pipelines = cells(tmp_path, "plain", "c", "majority", more=("backbone.seconds_per_call=0.001",))
    prefetch(pipelines, {})
    found = {}
    for pipeline in pipelines:
        folder = tmp_path / "sweep" / pipeline.settings.arm.id
        assert run_cell(pipeline, folder)["calls"]["made"] == 0
        cases = read_answers(folder / "predictions.jsonl").cases
        seconds = round(sum(case.seconds for case in cases), 6)
        found[pipeline.settings.arm.id] = seconds, sum(case.new_tokens for case in cases)
    (plain, some), (chain, more), none = (found[arm] for arm in ("plain", "c", "majority"))
    assert (plain, chain) == (5 * 2 * 0.001, 5 * 4 * 0.001)
    assert 0 < some < more
    assert none == (0, 0)


def test_the_prefetch_of_a_sweep_prints_its_progress(
    run_hydra: Callable[..., tuple[int, str, str]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prefetching, "progress", partial(progress, first=0, interval=0.01))
    options = (*SETTINGS, "backbone.seconds_per_call=0.01", "backbone.batch=3")
    status, out, err = run_hydra(main, "legalrr", "-m", "arm=plain,c", *options)
    assert status == 0
    shown = re.findall(r"^prefetch: (\d+)/30 calls", err, re.MULTILINE)
    assert shown == sorted(shown, key=int)
    assert len(set(shown)) > 2
    assert re.search(r"^prefetch: 30 calls in .*\n\[0\] arm=plain", err, re.MULTILINE)
    assert "prefetch" not in out
