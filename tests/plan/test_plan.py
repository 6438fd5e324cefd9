"""A plan counts the calls and tokens that the run then makes."""

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from omegaconf import OmegaConf

from legalrr.configuration import compose_cells
from legalrr.plan.cells import Cells
from legalrr.plan.duration import Cluster, Options
from legalrr.plan.plan import make_plan
from legalrr.plan.result import Plan
from legalrr.plan.speed import given_speed
from legalrr.run.cell import run_cell
from legalrr.run.pipeline import build_pipeline
from legalrr.run.prefetch import prefetch
from legalrr.stage import identity

QUICK = ("score.resamples=99", "score.permutations=99")
ECHO = ("backbone=echo", "limit=2", *QUICK)
SHORT = [f"annotate.tokens.{turn}=8" for turn in ("analysis", "ratio", "ruling", "answer")]


@pytest.fixture(scope="module")
def long_tiny(tiny: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of a tiny Llama with the context that prompts need."""
    model = tmp_path_factory.mktemp("long") / "model"
    shutil.copytree(tiny, model)
    config = json.loads((model / "config.json").read_text("ascii"))
    (model / "config.json").write_text(json.dumps(config | {"max_position_embeddings": 8192}), "ascii")
    return model


def plan(*overrides: str, **options: Any) -> Plan:
    cells = Cells([config for _, config in compose_cells(overrides)])
    return make_plan(cells, Options(**({"calibrate": False} | options)))


def run(folder: Path, *overrides: str) -> tuple[dict[int, list[dict[str, Any]]], int]:
    """Run a sweep without its report; return cell -> its turns as in predictions.jsonl, and the calls made."""
    pipelines = [
        build_pipeline(OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"]))
        for _, config in compose_cells(overrides)
    ]
    fresh: dict[str, set[str]] = {}
    prefetch(pipelines, fresh)
    turns, made = {}, 0
    for number, pipeline in enumerate(pipelines):
        record = run_cell(pipeline, folder / str(number), fresh.setdefault(identity(pipeline.backbone), set()))
        made += record["calls"]["made"]
        rows = (folder / str(number) / "predictions.jsonl").read_text(encoding="utf-8").splitlines()
        turns[number] = [turn for row in map(json.loads, rows) for turn in row["turns"]]
    return turns, made


SWEEPS = {
    "experiment": ("experiment=paper", "arm=plain,c,drc", *ECHO),
    "scorings": ("arm=plain,direct,direct_choose,direct_calibrated,last_lines", "backbone.cut_every=2", *ECHO),
    "layouts": ("annotate.layout=study,judgment_first", "arm=c,drc", *ECHO),
}


@pytest.mark.parametrize("overrides", SWEEPS.values(), ids=SWEEPS)
def test_calls_and_tokens_are_those_of_the_run(tmp_path: Path, overrides: Sequence[str]) -> None:
    overrides = (*overrides, f"runs={tmp_path}")
    before = plan(*overrides)
    ran, made = run(tmp_path, *overrides)
    after = plan(*overrides)
    assert before.problems == after.problems == ()
    (one,), (other,) = before.backbones, after.backbones
    assert (one.stored, one.to_make) == (0, made)
    assert (other.stored, other.to_make) == (made, 0)
    for cell in (*before.cells, *after.cells):
        turns = ran[cell.number] if cell.backbone else []
        total = sum(turn["prompt_tokens"] for turn in turns)
        assert cell.use.calls == len(turns)
        # Before the run most answers are not known. A token of echo is a word: none merge around an empty answer.
        assert cell.use.tokens <= total <= cell.use.tokens + cell.use.quoted
        assert sum(turn["new_tokens"] for turn in turns) <= cell.use.limit
    assert [cell.use.quoted for cell in after.cells] == [0] * len(after.cells)
    assert one.prompt_tokens <= other.prompt_tokens <= one.prompt_tokens_most
    assert one.distinct_tokens <= other.distinct_tokens <= one.distinct_tokens_most


def test_a_model_counts_with_its_tokenizer(tmp_path: Path, save_tiny: Any) -> None:
    model = save_tiny(tmp_path / "model")
    config = json.loads((model / "config.json").read_text())
    (model / "config.json").write_text(json.dumps(config | {"max_position_embeddings": 16384}))
    overrides = (
        *("arm=plain,c", "backbone=local", "backbone.name=tiny", f"backbone.model={model}", "limit=2", *QUICK),
        *("restructure.overflow=middle", "restructure.budget=120", *SHORT, f"runs={tmp_path}"),
    )
    before = plan(*overrides)
    ran, made = run(tmp_path, *overrides)
    after = plan(*overrides)
    assert before.backbones[0].to_make == after.backbones[0].stored == made
    for one, other in zip(before.cells, after.cells, strict=True):
        assert one.use.calls == other.use.calls == len(ran[one.number])
        assert other.use.tokens == sum(turn["prompt_tokens"] for turn in ran[one.number])
    memory = before.backbones[0].memory
    assert memory is not None
    assert memory.fits
    assert memory.weights is not None
    # Two layers, a vocabulary of 259 and 64 dimensions, in float32.
    assert 4 * 2 * 259 * 64 < memory.weights < 4 * 200_000


def test_a_cell_that_cannot_run_is_named_and_the_others_are_planned() -> None:
    found = plan("arm=plain,c", "corpus=specimen,ildc", "backbone=echo", "limit=2")
    (problem,) = found.problems
    assert (problem.cells, problem.planned) == ((1, 3), False)
    assert [cell.number for cell in found.cells] == [0, 2]
    assert "(" in problem.message  # the cure


def test_a_model_that_is_not_here_is_estimated_and_not_downloaded(no_network: None, tmp_path: Path) -> None:
    found = plan("arm=plain", "backbone=mistral_7b", "limit=2", f"runs={tmp_path}")
    (problem,), (backbone,) = found.problems, found.backbones
    assert problem.planned
    assert "hf download mistralai/Mistral-7B-Instruct-v0.3" in problem.message
    assert not backbone.exact
    assert backbone.calls == 4
    assert backbone.memory is not None
    assert backbone.memory.weights == 2 * 7_248_023_552


def test_a_server_costs_money_and_needs_no_key(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    found = plan("arm=plain,c", "backbone=o3_mini", "limit=2", f"runs={tmp_path}", calibrate=True)
    (backbone,) = found.backbones
    assert not backbone.exact
    assert backbone.duration is None
    assert backbone.cost_most is not None
    assert backbone.cost_cached is not None
    assert 0 < backbone.cost_cached < backbone.cost_most
    # Thoughts are paid.
    assert backbone.written_most > 25_000 * backbone.to_make


def test_the_time_follows_from_given_speeds(tmp_path: Path) -> None:
    found = plan("arm=direct", "backbone=echo", "limit=2", f"runs={tmp_path}", tokens_per_second=(1000.0, 10.0))
    (backbone,) = found.backbones
    assert backbone.duration is not None
    assert backbone.duration.most == pytest.approx(backbone.distinct_tokens / 1000 + backbone.written_most / 10)


@pytest.mark.parametrize(
    ("options", "cluster", "threads"),
    [
        ((), None, torch.get_num_threads()),
        ((), Cluster(workers=2, threads=3), 3),
        (("workers=ray", "workers.count=2", "workers.cpus=3.5", "workers.lease=1"), None, 3),
        (("workers=ray", "workers.count=2", "workers.cpus=3.5"), Cluster(workers=2, threads=1), 1),
        (("workers=ray", "workers.count=2", "workers.cpus=3.5", "backbone.threads=2"), None, 2),
    ],
)
def test_the_speed_is_measured_with_the_threads_of_a_worker(
    tmp_path: Path,
    long_tiny: Path,
    monkeypatch: pytest.MonkeyPatch,
    options: tuple[str, ...],
    cluster: Cluster | None,
    threads: int,
) -> None:
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    model = ("backbone=local", "backbone.name=tiny", f"backbone.model={long_tiny}")
    cell = ("arm=direct_compare", "limit=1", "restructure.overflow=middle", "restructure.budget=120")
    found = plan(
        *cell, *model, *options, f"runs={tmp_path}", calibrate=True, speed=given_speed(100, 10), cluster=cluster
    )
    duration = found.backbones[0].duration
    assert duration is not None
    assert duration.threads == threads
    assert (duration.cluster is not None) == bool(cluster or options)


def test_a_calibration_stores_nothing(tmp_path: Path) -> None:
    found = plan("arm=plain,direct_compare", "backbone=echo", "limit=2", f"runs={tmp_path}", calibrate=True)
    (backbone,) = found.backbones
    assert backbone.duration is not None
    assert backbone.duration.speed is not None
    assert not list(tmp_path.glob("cache/predict/*/*.jsonl"))


def test_a_model_that_writes_the_roles_cannot_be_planned() -> None:
    (problem,) = plan("arm=plain", "segment=llm", "backbone=echo", "limit=2").problems
    assert "segment=crf" in problem.message
