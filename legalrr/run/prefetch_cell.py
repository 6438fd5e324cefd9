"""Cells whose calls are made together: their prompts and conversations, judgment by judgment."""

import logging
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain

from legalrr.conversations import ConversationGroup
from legalrr.errors import UserError
from legalrr.predictors import ModelPredictor, count_tokens
from legalrr.protocols import Engine
from legalrr.records import Case, Completion, Segments
from legalrr.run.cell import PreparedCell
from legalrr.run.measurement import StageTimer
from legalrr.run.pipeline import Pipeline, PreparationCache
from legalrr.run.spooled import SelectedJudgments

log = logging.getLogger("legalrr")

Left = Callable[[Pipeline, UserError], None]
"""Called with a cell whose calls are not made, and the reason."""


def leave_to_cell(_: Pipeline, error: UserError) -> None:
    """Leave it to the cell to report the error when it runs."""
    log.debug("prefetch left to the cell: %s", error)


@dataclass(frozen=True, kw_only=True)
class PrefetchCell:
    """A cell whose calls can be made."""

    number: int
    """Index of the cell."""
    cell: PreparedCell
    """Prepares its judgments and prompts."""
    predict: ModelPredictor
    """Its predictor."""
    judgments: SelectedJudgments
    """Its judgments."""
    segments: Mapping[str, Segments]
    """Roles by id."""
    calls: int
    """Number of its calls about a judgment; all judgments of a cell take the same turns."""

    def case(self, id: str, engine: Engine) -> Case:
        """Build document and prompt of the judgment with this id."""
        return self.cell.case(self.judgments.corpus[id], self.segments[id], engine)


def prepare_cells(
    pipelines: Iterable[Pipeline], engine: Engine, prepared: PreparationCache, left: Left, *, thorough: bool
) -> Iterator[PrefetchCell]:
    """Yield the cells that can be prepared; see `legalrr.run.prefetch.prefetch_cells`."""
    for number, pipeline in enumerate(pipelines):
        cell = PreparedCell(pipeline=pipeline, timer=StageTimer(), prepared=prepared, stores=True)
        predict = pipeline.predict
        assert isinstance(predict, ModelPredictor)
        try:
            predict.check(engine)
            judgments, _ = cell.judgments(engine)
            segments = cell.segment(judgments)
            finished = None if thorough else cell.finished(judgments, segments)
            if finished is not None and finished.find() is not None:
                continue
            calls = predict.count_calls(cell.case(judgments[0], segments[judgments[0].id], engine)) if judgments else 0
        except UserError as error:
            left(pipeline, error)
            continue
        yield PrefetchCell(
            number=number,
            cell=cell,
            predict=predict,
            judgments=judgments,
            segments=segments,
            calls=calls,
        )


def conversation_groups(
    corpora: Iterable[Sequence[PrefetchCell]],
    engine: Engine,
    left: Left,
) -> Iterator[ConversationGroup[tuple[int, str], Completion]]:
    """Yield the conversations about each judgment, when they are asked for.

    Args:
        corpora: cells of each corpus.
        engine: the backbone.
        left: see `legalrr.run.prefetch.make_share`.
    """
    failed: set[int] = set()
    for every, id in ((some, id) for some in corpora for id in dict.fromkeys(_ids(some))):
        cells = [one for one in every if id in one.judgments.ids]
        cases = []
        for one in cells:
            try:
                if one.number not in failed:
                    cases.append((one, one.case(id, engine)))
            except UserError as error:
                left(one.cell.pipeline, error)
                failed.add(one.number)
        yield ConversationGroup(
            conversations={(one.number, case.document.id): one.predict.conversation(case) for one, case in cases},
            tokens=partial(count_tokens, [case for _, case in cases], engine),
        )


def _ids(cells: Iterable[PrefetchCell]) -> Iterator[str]:
    """Yield the ids of the judgments of several cells, once if they have the same judgments."""
    return chain.from_iterable({id(one.judgments): one.judgments.ids for one in cells}.values())
