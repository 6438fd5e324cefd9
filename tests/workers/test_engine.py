"""The engine of workers: the answers and tables of one process, whoever joins and ends."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from hydra import compose, initialize_config_dir

from legalrr.backbones.echo import EchoBackbone
from legalrr.conversations import CallList
from legalrr.elastic import ElasticEngine
from legalrr.errors import UserError
from legalrr.paths import root
from legalrr.protocols import Backbone, Call, Engine, Reply, Segmenter
from legalrr.run.cell import run_cell
from legalrr.run.pipeline import Pipeline, build_pipeline
from legalrr.run.prefetch import prefetch
from legalrr.workers.engine import Answered, Ended, Event, Joined, SharedEngine
from legalrr.workers.tagging import TaggerBackbone


def call(judgment: str, number: int = 0) -> Call:
    text = f"{judgment} {number}: YES or NO?"
    return Call(
        key=f"{judgment}{number}", messages=({"role": "user", "content": text},), max_new_tokens=4, about=judgment
    )


@dataclass
class FakePool:
    """Workers in this process, which answer a call each at a time."""

    engine: Engine = field(default_factory=lambda: EchoBackbone(seconds_per_call=0.0).load())
    names: Sequence[str] = ("one", "two")
    ends: dict[str, int] = field(default_factory=dict)
    """Key of a call -> number of workers that end when they come to it."""
    fails: str | None = None
    """Key of a call that is an error of the engine."""
    late: Sequence[str] = ()
    """Workers that join when another one has answered."""
    answered: dict[str, list[str]] = field(default_factory=dict)
    """Worker -> keys of the calls that it has answered."""
    waiting: dict[str, list[Call]] = field(default_factory=dict)
    joining: bool = False

    @property
    def wished(self) -> int:
        return len(self.names) + len(self.late)

    @property
    def ready(self) -> int:
        return len(self.waiting)

    def open(self) -> None:
        self.joining, self.waiting = True, {}

    def ask(self, worker: str, calls: Sequence[Call]) -> None:
        self.waiting[worker] += calls

    def finish(self) -> None:
        self.joining = False

    def wait(self) -> list[Event]:
        events: list[Event] = []
        for worker in (*self.names, *(self.late if self.answered else ())):
            if worker not in self.waiting:
                if self.joining:
                    self.waiting[worker] = []
                    events.append(Joined(worker=worker))
                continue
            if not self.joining:
                del self.waiting[worker]
                events.append(Ended(worker=worker))
            elif self.waiting[worker]:
                events += self._answer(worker)
        return events

    def _answer(self, worker: str) -> Iterator[Event]:
        one = self.waiting[worker].pop(0)
        if self.ends.get(one.key, 0):
            self.ends[one.key] -= 1
            del self.waiting[worker]
            yield Ended(worker=worker, cause="killed")
        elif one.key == self.fails:
            del self.waiting[worker]
            yield Ended(worker=worker, error=UserError("bad", where=one.key))
        else:
            self.answered.setdefault(worker, []).append(one.key)
            for batch in self.engine.answer(CallList([one])):
                yield Answered(worker=worker, replies=batch)


def answers(pool: FakePool, calls: Sequence[Call], lease: int = 2) -> dict[str, Reply]:
    engine = SharedEngine(pool.engine, pool, lease=lease)
    found = [one for batch in engine.answer(CallList(calls)) for one in batch]
    assert len(found) == len(dict(found))
    return dict(found)


CALLS = [call(judgment, number) for judgment in "abcde" for number in range(3)]


def expected(calls: Sequence[Call] = CALLS) -> dict[str, Reply]:
    return dict(one for batch in EchoBackbone().load().answer(CallList(calls)) for one in batch)


def test_each_judgment_is_answered_by_one_worker() -> None:
    pool = FakePool()
    assert answers(pool, CALLS) == expected()
    judgments = {worker: {key[0] for key in keys} for worker, keys in pool.answered.items()}
    assert set(judgments) == {"one", "two"}
    assert not judgments["one"] & judgments["two"]


def test_a_worker_that_ends_loses_no_answer(caplog: pytest.LogCaptureFixture) -> None:
    pool = FakePool(ends={"a1": 1})
    assert answers(pool, CALLS) == expected()
    assert sorted(key for keys in pool.answered.values() for key in keys) == sorted(one.key for one in CALLS)
    assert "one has ended, and others get its calls: killed" in caplog.text


def test_a_call_that_ends_every_worker_is_refused_and_the_others_are_answered() -> None:
    pool = FakePool(ends={"a1": 99})
    found = answers(pool, CALLS)
    assert found.pop("a1").error == "every worker that was asked has ended: killed"
    assert found == {key: reply for key, reply in expected().items() if key != "a1"}
    assert pool.ends["a1"] == 99 - 3


def test_an_error_of_an_engine_ends_the_run_after_the_other_replies() -> None:
    pool = FakePool(fails="b0")
    found: dict[str, Reply] = {}
    run = SharedEngine(pool.engine, pool, lease=2).answer(CallList(CALLS))
    with pytest.raises(UserError, match="b0: bad"):
        found.update(one for batch in run for one in batch)
    assert "a0" in found
    assert not pool.joining


def test_a_worker_that_joins_later_gets_judgments() -> None:
    pool = FakePool(names=("one",), late=("two",))
    assert answers(pool, CALLS, lease=1) == expected()
    assert pool.answered["two"]


def test_the_number_of_judgments_and_the_memory_grow_with_the_workers() -> None:
    pool = FakePool()
    engine = SharedEngine(pool.engine, pool, lease=3)
    assert isinstance(engine, ElasticEngine)
    assert (engine.judgments, engine.holds) == (3, None)
    pool.waiting = {"one": [], "two": []}
    assert engine.judgments == 6
    assert engine.state() == "2 of 2 workers"
    assert list(engine.answer(CallList(CALLS)))
    assert "2 of 2 workers, " in engine.state()
    assert "(0% from caches)" in engine.state()


def test_a_consumer_that_stops_ends_the_run_of_the_workers() -> None:
    pool = FakePool()
    run = SharedEngine(pool.engine, pool, lease=3).answer(CallList(CALLS))
    next(run)
    run.close()
    assert not pool.joining


@dataclass(frozen=True, kw_only=True)
class FakeWorkers:
    """Workers of a fake pool."""

    pool: FakePool
    count: int = 2
    lease: int = 2
    threads: int | None = None
    tags: bool = True

    @contextmanager
    def open_tagger(self, tagger: Segmenter) -> Iterator[SharedEngine]:
        engine = TaggerBackbone(tagger=tagger).load()
        yield SharedEngine(engine, replace(self.pool, engine=engine), lease=self.lease)

    def require(self, backbone: Backbone) -> None:
        """Any backbone."""

    def open(self, backbone: Backbone) -> Engine:
        return SharedEngine(backbone.load(), self.pool, lease=self.lease)


def cells(runs: Path, *arms: str) -> list[Pipeline]:
    settings = ("backbone=echo", "limit=5", "score.resamples=99", "score.permutations=99", f"runs={runs}")
    with initialize_config_dir(str(root() / "conf"), version_base="1.3"):
        return [build_pipeline(compose("config", [*settings, f"arm={arm}"])) for arm in arms]


def test_a_sweep_by_workers_writes_the_predictions_of_one_process(tmp_path: Path) -> None:
    arms = ("plain", "c", "direct_compare")
    written = {}
    for name, pool in (("alone", None), ("workers", FakePool(names=("one", "two", "three")))):
        pipelines = cells(tmp_path / name, *arms)
        if pool is not None:
            pipelines = [replace(one, workers=FakeWorkers(pool=pool)) for one in pipelines]
        prefetch(pipelines, {})
        for arm, one in zip(arms, pipelines, strict=True):
            folder = tmp_path / name / arm
            run_cell(one, folder)
            files = [(folder / file).read_bytes() for file in ("predictions.jsonl", "scores.json")]
            written.setdefault(name, []).append(files)
    assert written["workers"] == written["alone"]


def test_the_segmenter_that_prompts_uses_the_workers_too(tmp_path: Path) -> None:
    with initialize_config_dir(str(root() / "conf"), version_base="1.3"):
        settings = ["backbone=echo", "segment=llm", "limit=2", "arm=majority", f"runs={tmp_path}"]
        pipeline = build_pipeline(compose("config", [*settings, "score.resamples=99", "score.permutations=99"]))
    pool = FakePool()
    run_cell(replace(pipeline, workers=FakeWorkers(pool=pool)), tmp_path / "run")
    assert set(pool.answered) == {"one", "two"}
