"""Processes that work while the speed of one is measured."""

import multiprocessing

import pytest

from legalrr.backbones.echo import EchoBackbone, EchoEngine
from legalrr.configuration import compose_cells
from legalrr.errors import UserError
from legalrr.plan.cells import Cells
from legalrr.plan.duration import Cluster, Options, duration
from legalrr.plan.neighbours import neighbours
from legalrr.plan.plan import walk_group
from legalrr.protocols import Call


class Unloadable(EchoBackbone):
    """A backbone whose files are lost."""

    def load(self) -> EchoEngine:
        """Fail."""
        raise UserError("no weights", where="backbone", cure="download them")


CALL = Call(key="one", messages=({"role": "user", "content": "Is the appeal allowed?"},), max_new_tokens=4)


def test_a_worker_beside_others_is_measured_while_they_run_and_they_end_with_it() -> None:
    (group,) = Cells([config for _, config in compose_cells(["backbone=echo", "limit=1", "arm=plain,d"])]).groups()
    walk, walked, _ = walk_group(group)
    options = Options(cluster=Cluster(workers=3, machine=2))
    found = duration(group, walk, walked, options, thoughts=0)
    assert found is not None
    assert found.cluster is not None
    assert found.speed is not None
    assert found.cluster.speed is not None
    assert found.cluster.speed is not found.speed
    assert found.cluster.speed.load == found.speed.load
    assert multiprocessing.active_children() == []


def test_without_others_on_the_machine_there_is_one_measurement() -> None:
    (group,) = Cells([config for _, config in compose_cells(["backbone=echo", "limit=1", "arm=plain,d"])]).groups()
    walk, walked, _ = walk_group(group)
    found = duration(group, walk, walked, Options(cluster=Cluster(workers=3)), thoughts=0)
    assert found is not None
    assert found.cluster is not None
    assert found.cluster.speed is found.speed


def test_a_process_that_cannot_load_the_model_is_an_error() -> None:
    with pytest.raises(UserError, match="did not load echo"), neighbours(Unloadable(), [(6, CALL)], 1):
        pytest.fail("the block must not run")
    assert multiprocessing.active_children() == []
