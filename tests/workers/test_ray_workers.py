"""The options of Ray workers, without Ray."""

import importlib
from importlib import util
from typing import Any

import pytest

from legalrr.backbones.echo import EchoBackbone
from legalrr.backbones.local.backbone import TransformersBackbone
from legalrr.backbones.openai.backbone import OpenAIBackbone
from legalrr.backbones.vllm import VLLMBackbone
from legalrr.errors import UserError
from legalrr.workers import ray_connection
from legalrr.workers.ray_connection import require_packages, require_reachable
from legalrr.workers.ray_workers import RayWorkers


@pytest.mark.parametrize(
    ("backbone", "gpus", "message"),
    [
        (
            OpenAIBackbone(name="m", model="m", context=99),
            0,
            r"workers=ray: a server answers calls .*backbone\.base_url=\[",
        ),
        (TransformersBackbone(name="m", model="m", device="cuda"), 0, r"workers\.gpus: .*set workers\.gpus=1"),
        (VLLMBackbone(name="m", model="m", tensor_parallel=2), 1, r"workers\.gpus: .*set workers\.gpus=2"),
    ],
)
def test_a_backbone_that_workers_cannot_run_is_refused(backbone: Any, gpus: float, message: str) -> None:
    with pytest.raises(UserError, match=message):
        RayWorkers(gpus=gpus).require(backbone)


def test_backbones_that_workers_can_run_are_accepted() -> None:
    RayWorkers().require(EchoBackbone())
    RayWorkers(gpus=1).require(TransformersBackbone(name="m", model="m", device="cuda"))
    RayWorkers(gpus=2).require(VLLMBackbone(name="m", model="m", tensor_parallel=2))


def test_without_ray_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    find = util.find_spec
    monkeypatch.setattr(ray_connection, "find_spec", lambda name: None if name == "ray" else find(name))
    with pytest.raises(UserError, match=r"pip install 'legalrr\[ray\]'"):
        RayWorkers().open(EchoBackbone())


def test_a_cluster_that_is_not_there_is_named() -> None:
    with pytest.raises(UserError, match=r"workers\.address: no connection to the Ray cluster .*127\.0\.0\.1:1"):
        require_reachable("127.0.0.1:1", option="workers.address")


def test_a_package_that_the_dashboard_lacks_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def lacks(name: str) -> None:
        raise ModuleNotFoundError("No module named 'aiohttp_cors'", name="aiohttp_cors")

    monkeypatch.setattr(ray_connection, "find_spec", lambda name: name)
    monkeypatch.setattr(importlib, "import_module", lacks)
    with pytest.raises(UserError, match=r"workers\.dashboard: Ray's dashboard needs the package aiohttp_cors.*\[ray\]"):
        require_packages(dashboard=True)
    require_packages(dashboard=False)


@pytest.mark.parametrize(
    ("cpus", "address", "inherited", "threads"),
    [(0.5, None, None, 1), (3.5, None, None, 3), (2, None, "1", None), (2, "head:6379", "1", 2)],
)
def test_a_worker_has_as_many_threads_as_cpus(
    monkeypatch: pytest.MonkeyPatch, cpus: float, address: str | None, inherited: str | None, threads: int | None
) -> None:
    """Unless it runs on this machine, and inherits OMP_NUM_THREADS from the command."""
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    if inherited is not None:
        monkeypatch.setenv("OMP_NUM_THREADS", inherited)
    assert RayWorkers(cpus=cpus, address=address).threads == threads
