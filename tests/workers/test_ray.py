"""Workers on a Ray cluster of processes: the answers of one process, while nodes and workers come and go.

`make test-ray` makes the environment that this needs.
"""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_dir
from kill_test import read_tables

from legalrr.backbones.echo import EchoBackbone
from legalrr.cli import main
from legalrr.conversations import CallList
from legalrr.corpora.catalogue import card
from legalrr.errors import UserError
from legalrr.paths import root
from legalrr.protocols import Call, CallQueue, Engine, Reply
from legalrr.records import Judgment, Segments
from legalrr.run.cell import run_cell
from legalrr.run.pipeline import build_pipeline
from legalrr.run.prefetch import prefetch
from legalrr.segment.cli import main as segment_command
from legalrr.segment.crf import CrfSegmenter
from legalrr.workers.engine import Answered, Event
from legalrr.workers.ray_workers import RayPool, RayWorkers, forget_engine
from legalrr.workers.tagging import TaggerBackbone, tag_judgments

pytestmark = [
    pytest.mark.ray,
    pytest.mark.skipif(find_spec("ray") is None, reason="ray is not installed (make test-ray)"),
]
ARMS = ("plain", "c", "direct_compare")


@pytest.fixture(scope="module")
def cluster() -> Iterator[Any]:
    """Three nodes with a CPU each, without a dashboard."""
    import ray
    from ray import cloudpickle
    from ray.cluster_utils import Cluster

    # Workers cannot import this file.
    cloudpickle.register_pickle_by_value(sys.modules[__name__])
    made = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    for _ in range(2):
        made.add_node(num_cpus=1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("RAY_ADDRESS", made.address)
        yield made
    ray.shutdown()
    made.shutdown()


@pytest.fixture(autouse=True)
def _end_workers() -> Iterator[None]:
    """Give the CPUs of a test back to the next one."""
    yield
    forget_engine()


def call(judgment: str, number: int = 0) -> Call:
    text = f"{judgment} {number}: YES or NO?"
    return Call(
        key=f"{judgment}{number}", messages=({"role": "user", "content": text},), max_new_tokens=4, about=judgment
    )


CALLS = [call(judgment, number) for judgment in "abcdefgh" for number in range(3)]


def expected() -> dict[str, Reply]:
    return dict(one for batch in EchoBackbone().load().answer(CallList(CALLS)) for one in batch)


def sweep(runs: Path, *overrides: str) -> dict[str, list[Any]]:
    """Return scores and predictions of each arm, without what depends on time or on the prefix cache of a process.

    That is the number of cached tokens, the digest of the cases, which has it, and the last digits of a probability.
    """
    settings = ("score.resamples=99", "score.permutations=99", f"runs={runs}", *overrides)
    with initialize_config_dir(str(root() / "conf"), version_base="1.3"):
        cells = [build_pipeline(compose("config", [*settings, f"arm={arm}"])) for arm in ARMS]
    prefetch(cells, {})
    found = {}
    for arm, cell in zip(ARMS, cells, strict=True):
        run_cell(cell, runs / arm)
        rows = [json.loads(line) for line in (runs / arm / "predictions.jsonl").read_text("utf-8").splitlines()]
        for row in rows:
            row["p_allowed"] = row["p_allowed"] and round(row["p_allowed"], 4)
            for turn in row["turns"]:
                del turn["seconds"], turn["cached_tokens"]
                turn["logprobs"] = turn["logprobs"] and {key: round(one, 3) for key, one in turn["logprobs"].items()}
        scores = json.loads((runs / arm / "scores.json").read_text("utf-8"))
        del scores["tokens"]["cached"], scores["cases"]
        scores["brier"] = scores["brier"] and round(scores["brier"], 4)
        found[arm] = [rows, json.dumps(scores)]
    return found


@pytest.mark.parametrize("count", [1, 4])
def test_a_sweep_with_the_mock_model_is_that_of_one_process(cluster: Any, tmp_path: Path, count: int) -> None:
    chosen = ("backbone=echo", "limit=8")
    workers = ("workers=ray", f"workers.count={count}", "workers.cpus=0.5", "workers.lease=1")
    assert sweep(tmp_path / "workers", *chosen, *workers) == sweep(tmp_path / "alone", *chosen)


def test_a_sweep_with_a_model_is_that_of_one_process(cluster: Any, tmp_path: Path, tiny: Path) -> None:
    model = tmp_path / "model"
    shutil.copytree(tiny, model)
    config = json.loads((model / "config.json").read_text("ascii"))
    (model / "config.json").write_text(json.dumps(config | {"max_position_embeddings": 8192}), "ascii")
    chosen = (
        *("backbone=local", "backbone.name=tiny", f"backbone.model={model}", "backbone.threads=1", "limit=4"),
        *("restructure.overflow=middle", "restructure.budget=120"),
        *(f"annotate.tokens.{turn}=8" for turn in ("analysis", "ratio", "ruling", "answer")),
    )
    alone = sweep(tmp_path / "alone", *chosen)
    for count in (1, 4):
        workers = ("workers=ray", f"workers.count={count}", "workers.cpus=0.5", "workers.lease=1")
        assert sweep(tmp_path / str(count), *chosen, *workers) == alone


@dataclass(frozen=True, kw_only=True)
class Fragile(EchoBackbone):
    """A mock model whose process is killed at a call, the first time or always; the calls are logged."""

    folder: str
    """Folder of the log, and of the mark of the first time."""
    kills: str = ""
    always: bool = False
    refuses: str = ""

    def load(self) -> Any:
        return FragileEngine(self)


class FragileEngine:
    """The engine of `Fragile`."""

    def __init__(self, backbone: Fragile) -> None:
        self.inner = EchoBackbone().load()
        self.can, self.context, self.holds = self.inner.can, self.inner.context, None
        self.backbone = backbone
        self.given: set[str] = set()

    def token_ends(self, text: str) -> list[int]:
        return self.inner.token_ends(text)

    def answer(self, queue: CallQueue) -> Iterator[list[tuple[str, Reply]]]:
        folder = Path(self.backbone.folder)
        while calls := queue.take(1):
            key, mark = calls[0].key, folder / "killed"
            if key == self.backbone.kills and (self.backbone.always or not mark.exists()):
                with mark.open("a") as file:
                    file.write("x")
                # Replies on their way are lost with their worker, so that it waits until they have come.
                while not self.given <= set((folder / "come").read_text().split()):
                    time.sleep(0.01)
                os.kill(os.getpid(), signal.SIGKILL)
            if key == self.backbone.refuses:
                raise UserError("bad", where=key)
            with (folder / "log").open("a") as file:
                file.write(f"{key}\n")
            self.given.add(key)
            yield [one for batch in self.inner.answer(CallList(calls)) for one in batch]


def answers(engine: Engine, folder: Path) -> Iterator[tuple[str, Reply]]:
    """Yield the replies to all calls, and note their keys in a file."""
    with (folder / "come").open("a") as file:
        for batch in engine.answer(CallList(CALLS)):
            for one in batch:
                print(one[0], file=file, flush=True)
                yield one


def test_a_killed_worker_loses_no_answer_and_none_is_made_again(cluster: Any, tmp_path: Path) -> None:
    engine = RayWorkers(count=2, lease=2).open(Fragile(folder=str(tmp_path), kills="b1"))
    found = list(answers(engine, tmp_path))
    assert dict(found) == expected()
    assert len(found) == len(CALLS)
    logged = (tmp_path / "log").read_text().split()
    assert len(logged) == len(set(logged))


def test_a_judgment_that_kills_every_worker_is_an_error_of_its_own(cluster: Any, tmp_path: Path) -> None:
    engine = RayWorkers(count=2, lease=2).open(Fragile(folder=str(tmp_path), kills="b1", always=True))
    found = dict(answers(engine, tmp_path))
    assert str(found.pop("b1").error).startswith("every worker that was asked has ended: ")
    assert found == {key: reply for key, reply in expected().items() if key != "b1"}
    assert (tmp_path / "killed").read_text() == "xxx"


def test_an_error_of_an_engine_is_that_of_one_process_and_the_workers_go_on(cluster: Any, tmp_path: Path) -> None:
    engine = RayWorkers(count=2, lease=2).open(Fragile(folder=str(tmp_path), refuses="b1"))
    with pytest.raises(UserError, match=r"b1: bad"):
        list(engine.answer(CallList(CALLS)))
    others = [one for one in CALLS if one.key != "b1"]
    found = dict(one for batch in engine.answer(CallList(others)) for one in batch)
    assert found == {key: reply for key, reply in expected().items() if key != "b1"}


class Endless:
    """A queue with another call after every answer, until it is closed."""

    folder = None

    def __init__(self) -> None:
        self.made = 0
        self.open = True
        self.left = 0

    def take(self, room: int | None = None) -> Sequence[Call]:
        taken = [call(f"j{self.made + n}") for n in range(8 - self.left)] if self.open else []
        self.made += len(taken)
        self.left += len(taken)
        return taken


def test_workers_join_with_a_node_and_its_end_loses_no_answer(cluster: Any) -> None:
    import ray

    if not ray.is_initialized():
        ray.init(cluster.address)
    engine = RayWorkers(count=4, lease=2).open(EchoBackbone(seconds_per_call=0.01, batch=1))
    queue, found, node, since = Endless(), set(), None, 0
    for batch in engine.answer(queue):
        assert not found & {key for key, _ in batch}
        found |= {key for key, _ in batch}
        queue.left -= len(batch)
        ready = int(engine.state().partition(" ")[0])
        if node is None and ready == 3:
            # The fourth waits for a CPU.
            node = cluster.add_node(num_cpus=1)
        elif ready == 4 and not since:
            since = queue.made
            cluster.remove_node(node, allow_graceful=False)
        elif since and ready == 3:
            queue.open = False
    assert len(found) == queue.made > since


class NodeComesAndGoes:
    """Replaces `RayPool.wait`: during the calls of a sweep a node joins, its worker answers, and the node is lost."""

    def __init__(self, cluster: Any) -> None:
        self.wait = RayPool.wait
        self.cluster = cluster
        self.node: Any = None
        self.lost = False
        self.answers = 0
        self.heard: set[str] = set()

    def events(self, pool: RayPool) -> list[Event]:
        """Return the events of a pool, after the change of the nodes that is due."""
        events = self.wait(pool)
        if isinstance(pool._backbone, TaggerBackbone) or self.lost:
            return events
        self.answers += sum(len(event.replies) for event in events if isinstance(event, Answered))
        if self.node is None and self.answers > 8:
            self.node = self.cluster.add_node(num_cpus=1)
            while pool.ready < 4:
                events += self.wait(pool)
        elif self.node is not None:
            self.heard |= {event.worker for event in events if isinstance(event, Answered) and event.replies}
            if len(self.heard) == 4:
                self.cluster.remove_node(self.node, allow_graceful=False)
                while pool.ready > 3:
                    events += self.wait(pool)
                self.lost = True
        return events


@pytest.mark.parametrize("count", [1, 4])
def test_tables_by_workers_are_those_of_one_process_whatever_nodes_do(
    cluster: Any, run_hydra: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    """Those of shards and of jobs: tests/run/test_shard.py and tests/run/test_submitit_launcher.py."""
    sweep = ("-m", "arm=plain,c,dc,direct_compare,majority,tfidf_lr", "backbone=echo", "limit=12")
    quick = ("score.resamples=99", "score.permutations=99")
    workers = ("workers=ray", f"workers.count={count}", "workers.lease=1")
    nodes = NodeComesAndGoes(cluster)

    def wait(pool: RayPool) -> list[Event]:
        return nodes.events(pool)

    if count == 4:
        monkeypatch.setattr(RayPool, "wait", wait)
    for name, more in (("workers", workers), ("alone", ())):
        options = (*sweep, *quick, *more, f"runs={name}", f"hydra.sweep.dir={name}/sweep/0")
        status, _, err = run_hydra(main, "legalrr", *options)
        assert status == 0, err
    assert nodes.lost == (count == 4)
    found = read_tables(tmp_path / "workers")
    assert found == read_tables(tmp_path / "alone")
    assert {name.rpartition(".")[2] for name in found} == {"csv", "md", "tex", "svg"}


@dataclass(frozen=True, kw_only=True)
class FragileTagger:
    """The CRF, whose process is killed at the judgment `kills`, the first time."""

    folder: str
    kills: str
    name: str = "fragile"

    def provenance(self) -> dict[str, Any]:
        return {}

    def segment(self, judgment: Judgment) -> Segments:
        mark = Path(self.folder) / "killed"
        if judgment.id == self.kills and not mark.exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return CrfSegmenter().segment(judgment)


def test_the_judgments_of_a_killed_worker_are_tagged_by_others(cluster: Any, tmp_path: Path) -> None:
    judgments = list(card("specimen").require_reader().read(None))[:6]
    tagger: Any = FragileTagger(folder=str(tmp_path), kills=judgments[2].id)
    workers = RayWorkers(count=2, lease=2)
    tagged = {one.id: found for _, one, found in tag_judgments(tagger, judgments, workers, total=6, label="tag")}
    assert (tmp_path / "killed").exists()
    assert tagged == {one.id: CrfSegmenter().segment(one) for one in judgments}


def test_the_command_tags_by_workers_what_it_tags_alone(
    cluster: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for one in card("specimen").require_reader().read(None):
        (tmp_path / f"{one.id}.txt").write_text(one.text, encoding="utf-8")
    said = []
    for workers in ((), ("workers=ray", "workers.count=2")):
        segment_command(["tag", str(tmp_path), *workers])
        said.append(capsys.readouterr().out)
    assert said[0] == said[1]
    assert len(said[0].splitlines()) == len(list(tmp_path.glob("*.txt")))


def test_the_dashboard_starts_on_this_machine() -> None:
    """In a process of its own: one process has one cluster."""
    program = (
        "import logging; logging.basicConfig(level=logging.INFO); from legalrr.workers.ray_connection import connect, "
        "require_packages; require_packages(dashboard=True); connect(None, dashboard=True)"
    )
    environment = {key: value for key, value in os.environ.items() if key != "RAY_ADDRESS"}
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    assert "Ray's dashboard: http://127.0.0.1:" in done.stderr


def test_a_killed_driver_goes_on_by_the_same_command(cluster: Any, tmp_path: Path) -> None:
    command = [
        *(sys.executable, "-m", "legalrr", "arm=c", "backbone=echo", "backbone.seconds_per_call=0.2", "limit=12"),
        *("backbone.batch=1", "workers=ray", "workers.count=3", "workers.lease=1", f"runs={tmp_path}"),
        *("score.resamples=99", "score.permutations=99"),
    ]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as driver:
        stored = 0
        while stored < 3 and driver.poll() is None:
            stored = sum(len(shard.read_bytes().splitlines()) for shard in tmp_path.glob("cache/predict/*/*.jsonl"))
        os.kill(driver.pid, signal.SIGKILL)
    before = sum(shard.read_bytes().count(b"\n") for shard in tmp_path.glob("cache/predict/*/*.jsonl"))
    # Its workers have ended: otherwise there is no CPU for these.
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (record,) = [json.loads(path.read_text("utf-8")) for path in tmp_path.glob("single/*/run.json")]
    assert record["calls"] == {"made": 36 + 12 - before, "stored": before}
