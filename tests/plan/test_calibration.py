"""What a calibration asks, with an engine that answers at once."""

from collections.abc import Iterator
from dataclasses import dataclass, field

from legalrr.backbones.echo import EchoBackbone, EchoEngine
from legalrr.configuration import compose_cells
from legalrr.conversations import CallList
from legalrr.plan.calibration import BATCHES, STEPS, Calibration
from legalrr.plan.cells import BackboneCells, Cells
from legalrr.plan.plan import walk_group
from legalrr.plan.speed import AnswerLengths
from legalrr.plan.walk import Walk
from legalrr.protocols import Call, CallQueue, Reply


class Recorder(EchoEngine):
    """Records the batches that it answers."""

    def __init__(self) -> None:
        super().__init__(EchoBackbone())
        self.batches: list[list[Call]] = []

    def answer(self, queue: CallQueue) -> Iterator[list[tuple[str, Reply]]]:
        calls = queue.take()
        self.batches.append(list(calls))
        yield from super().answer(CallList(calls))


@dataclass
class Measured:
    """An engine that was calibrated on an experiment."""

    group: BackboneCells
    walk: Walk
    engine: Recorder = field(default_factory=Recorder)

    def calibration(self, seconds: float = 30.0) -> Calibration:
        return Calibration(engine=self.engine, samples=self.walk.samples, seconds=seconds)


def measured(*overrides: str) -> Measured:
    cells = Cells([config for _, config in compose_cells(["backbone=echo", "limit=2", *overrides])])
    (group,) = cells.groups()
    return Measured(group=group, walk=walk_group(group)[0])


def test_prompts_of_growing_length_are_read_and_continued() -> None:
    one = measured("arm=plain,d")
    speed = one.calibration().speed()
    assert speed.measured > 4
    # After two calls that load and warm up: a length is read, continued alone, and if it is short in a batch.
    batches = one.engine.batches[2:]
    few, many = BATCHES
    shapes = [(len(batch), batch[0].max_new_tokens) for batch in batches[:5]]
    assert shapes == [(1, 1), (1, STEPS), (1, 1), (few, STEPS), (many, STEPS)]
    lengths = [[len(one.engine.prompt_ids(call)) for call in batch] for batch in batches]
    assert lengths[:6] == [[256], [256], [240], [256, 240] * (few // 2), [256, 240] * (many // 2), [768]]
    assert max(map(max, lengths)) > 1000
    # Repetitions read other prompts, which no cache holds.
    texts = [batch[0].messages[-1]["content"] for batch in batches if batch[0].max_new_tokens == 1]
    assert len(set(texts)) == len(texts)


def test_nothing_has_the_key_of_a_call_of_the_run() -> None:
    one = measured("arm=plain")
    one.calibration().speed()
    keys = [call.key for batch in one.engine.batches for call in batch]
    assert len(set(keys)) == len(keys)
    assert not set(keys) & set(one.walk.calls)


def test_answers_of_one_judgment_are_sampled_to_their_end() -> None:
    one = measured("arm=plain,rc")
    calibration, lengths = one.calibration(), AnswerLengths()
    speed = calibration.speed()
    count = calibration.sample(one.group.conversations(*one.group.ids()[0]), speed, lengths)
    # Two first turns, of the eight calls of both conversations.
    assert count == lengths.count == 6
    assert set(lengths.known) == {512, 320, 240, 64}
    assert all(1 <= length <= limit for limit, found in lengths.known.items() for length in found)


def test_without_time_no_answer_is_sampled() -> None:
    one = measured("arm=plain")
    speed = one.calibration().speed()
    slow = AnswerLengths()
    speed = type(speed)(numbers=(1.0,) * 6, load=0.0, measured=6, error=0.0, seconds=30.0)
    assert one.calibration().sample(one.group.conversations(*one.group.ids()[0]), speed, slow) == 0
    assert not slow.known
