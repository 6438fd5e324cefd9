"""The options of Ray workers, without Ray."""

from importlib import util
from typing import Any

import pytest

from legalrr.backbones.echo import EchoBackbone
from legalrr.backbones.local.backbone import TransformersBackbone
from legalrr.backbones.openai.backbone import OpenAIBackbone
from legalrr.backbones.vllm import VLLMBackbone
from legalrr.errors import UserError
from legalrr.workers import ray_workers
from legalrr.workers.ray_workers import RayWorkers, require_reachable


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
    monkeypatch.setattr(ray_workers, "find_spec", lambda name: None if name == "ray" else find(name))
    with pytest.raises(UserError, match=r"pip install 'legalrr\[ray\]'"):
        RayWorkers().open(EchoBackbone())


def test_a_cluster_that_is_not_there_is_named() -> None:
    with pytest.raises(UserError, match=r"workers\.address: no connection to the Ray cluster .*127\.0\.0\.1:1"):
        require_reachable("127.0.0.1:1", option="workers.address")
