"""Tagging by workers: the roles of one process, whoever ends, in whatever order they come."""

import json
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hydra import compose, initialize_config_dir

from legalrr.conversations import CallList
from legalrr.errors import UserError
from legalrr.paths import root
from legalrr.protocols import Backbone, Call, Engine, Segmenter
from legalrr.records import Judgment, Segments, Span
from legalrr.run.cell import PreparedCell
from legalrr.run.measurement import StageTimer
from legalrr.run.pipeline import build_pipeline
from legalrr.segment import cli
from legalrr.workers.engine import Answered, Ended, Event, Joined, SharedEngine
from legalrr.workers.tagging import TaggerBackbone, tag_judgments

LEASE = 2


@dataclass(frozen=True, kw_only=True)
class LengthTagger:
    """A tagger whose score is the length of the text, as a share of 30; it refuses judgment 3."""

    name: str = "length"
    stored: ClassVar[bool] = True
    needs_gold: ClassVar[bool] = False

    def provenance(self) -> dict[str, Any]:
        return {}

    def segment(self, judgment: Judgment) -> Segments:
        if judgment.id == "3":
            raise UserError("too short", where="judgment 3", cure="leave it out")
        n = len(judgment.text)
        return Segments(id=judgment.id, scheme="build", spans=(Span(start=0, end=n, role="FAC", score=n / 30),))


@dataclass
class BackwardPool:
    """Two workers in this process, which answer the latest call first; the second ends with each call of `ends`."""

    engine: Engine
    ends: Sequence[str] = ()
    waiting: dict[str, list[Call]] = field(default_factory=dict)
    joining: bool = False
    wished: int = 2

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
        for worker in ("one", "two"):
            if worker not in self.waiting and self.joining:
                self.waiting[worker] = []
                return [Joined(worker=worker)]
        worker, calls = max(self.waiting.items(), key=lambda one: (len(one[1]), one[0]))
        if calls[-1].key in self.ends:
            del self.waiting[worker]
            return [Ended(worker=worker, cause="killed")]
        (batch,) = self.engine.answer(CallList([calls.pop()]))
        return [Answered(worker=worker, replies=batch)]


@dataclass(frozen=True, kw_only=True)
class BackwardWorkers:
    """Workers of such a pool."""

    ends: tuple[str, ...] = ()
    count: int = 2
    lease: int = LEASE
    threads: int | None = None
    tags: bool = True

    def require(self, backbone: Backbone) -> None:
        """Any backbone."""

    def open(self, backbone: Backbone) -> Engine:
        raise AssertionError

    @contextmanager
    def open_tagger(self, tagger: Segmenter) -> Iterator[SharedEngine]:
        engine = TaggerBackbone(tagger=tagger).load()
        yield SharedEngine(engine, BackwardPool(engine, ends=self.ends), lease=LEASE)


JUDGMENTS = [Judgment(id=str(number), text="x" * (number + 1)) for number in range(9)]


def tag(workers: BackwardWorkers | None, judgments: Iterable[Judgment] = JUDGMENTS) -> dict[int, tuple[Judgment, str]]:
    """Return judgment and result by index, in the order of arrival."""
    tagged = tag_judgments(LengthTagger(), judgments, workers, total=9, label="tag")
    return {number: (judgment, repr(found)) for number, judgment, found in tagged}


def test_workers_find_the_roles_and_errors_of_one_process_in_another_order() -> None:
    alone, shared = tag(None), tag(BackwardWorkers())
    assert shared == alone
    assert "too short" in alone[3][1]
    assert list(alone) == sorted(alone) != list(shared)


def test_workers_that_do_not_tag_leave_it_to_the_process() -> None:
    assert list(tag(BackwardWorkers(tags=False))) == list(range(9))


def test_a_judgment_that_ends_every_worker_has_an_error_and_the_others_have_roles() -> None:
    alone, shared = tag(None), tag(BackwardWorkers(ends=("5",)))
    assert "not tagged: every worker that was asked has ended: killed" in shared.pop(5)[1]
    del alone[5]
    assert shared == alone


def test_judgments_are_read_when_workers_have_room() -> None:
    read: list[str] = []

    def reading() -> Iterator[Judgment]:
        for one in JUDGMENTS:
            read.append(one.id)
            yield one

    tagged = tag_judgments(LengthTagger(), reading(), BackwardWorkers(), total=9, label="tag")
    for done, _ in enumerate(tagged):
        assert len(read) <= done + 1 + 2 * LEASE


def test_the_command_prints_in_the_order_of_its_inputs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    names = [str(tmp_path / f"{number}.txt") for number in range(5)]
    for number, name in enumerate(names):
        Path(name).write_text(f"The appeal was heard on day {number}. It is dismissed.\n", "utf-8")
    cli.main(["tag", *names])
    alone = capsys.readouterr().out
    built: list[Sequence[str]] = []

    def build(overrides: Sequence[str]) -> BackwardWorkers:
        built.append(overrides)
        return BackwardWorkers()

    monkeypatch.setattr(cli, "_workers", build)
    cli.main(["tag", "workers=ray", *names, "workers.count=2"])
    assert capsys.readouterr().out == alone
    assert [json.loads(line)["id"] for line in alone.splitlines()] == list("01234")
    assert built == [["workers=ray", "workers.count=2"]]


def test_options_of_workers_without_workers_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="workers"):
        cli.main(["tag", "workers.count=2", str(tmp_path)])


def test_a_cell_stores_the_roles_of_one_process(tmp_path: Path) -> None:
    stored = []
    for name, workers in (("alone", None), ("workers", BackwardWorkers())):
        with initialize_config_dir(str(root() / "conf"), version_base="1.3"):
            config = compose("config", ["arm=majority", "limit=5", "segment=crf", f"runs={tmp_path / name}"])
        cell = PreparedCell(pipeline=replace(build_pipeline(config), workers=workers), timer=StageTimer())
        judgments, _ = cell.judgments(None)
        roles = {id: repr(found) for id, found in cell.segment(judgments).items()}
        lines = [line for file in (tmp_path / name).glob("cache/segment/*/*.jsonl") for line in file.open()]
        stored.append((roles, sorted(lines)))
    assert stored[0] == stored[1]
    assert len(stored[0][1]) == 5
