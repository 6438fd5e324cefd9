"""The cells of an experiment, built and prepared up to their conversations, without a model."""

import copy
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from legalrr.errors import UserError, file_errors
from legalrr.plan.opened import CONTEXT, CharacterEngine, OpenedBackbone, missing_model, open_backbone, stated_facts
from legalrr.plan.result import Problem
from legalrr.predictors import ModelPredictor
from legalrr.progress import working
from legalrr.protocols import AskingSegmenter, PromptTokens
from legalrr.records import Case, Segments
from legalrr.run.cell import PreparedCell
from legalrr.run.measurement import StageTimer
from legalrr.run.pipeline import Pipeline, PreparationCache, build_pipeline
from legalrr.run.spooled import SelectedJudgments
from legalrr.stage import identity


class Problems:
    """Reasons why cells cannot be planned as they would run."""

    def __init__(self) -> None:
        self._cells: dict[tuple[str, bool], list[int]] = {}

    def add(self, cells: Sequence[int], error: object, *, planned: bool = False) -> None:
        """Add a reason.

        Args:
            cells: numbers of the cells.
            error: the reason, with its cure.
            planned: whether their calls are counted nevertheless.
        """
        self._cells.setdefault((str(error), planned), []).extend(cells)

    def all(self) -> tuple[Problem, ...]:
        """Return each reason once, with all its cells."""
        return tuple(
            Problem(cells=tuple(sorted(set(numbers))), message=message, planned=planned)
            for (message, planned), numbers in self._cells.items()
        )


@dataclass(frozen=True, kw_only=True)
class PlannedCell:
    """A cell whose stages are built."""

    number: int
    """Its number in the run."""
    config: DictConfig
    """Its configuration."""
    pipeline: Pipeline
    """Its stages; with a stand-in for a model that is not here."""
    missing: str | None
    """Hub id of a model that is not here."""

    def prepared(self, cache: PreparationCache) -> PreparedCell:
        """Return its preparation, in this process: a plan starts no workers."""
        return PreparedCell(pipeline=replace(self.pipeline, workers=None), timer=StageTimer(), prepared=cache)


@dataclass(kw_only=True)
class BackboneCells:
    """The cells with one backbone, prepared up to their conversations."""

    cells: list[PlannedCell]
    """The cells."""
    opened: OpenedBackbone | None
    """The backbone; None: a stand-in for one that is not here."""
    engine: PromptTokens
    """Counts tokens."""
    prepared: PreparationCache
    """What was prepared in this process."""
    problems: Problems
    """Receives why cells cannot be planned."""
    judgments: dict[int, SelectedJudgments] = field(default_factory=dict)
    """Cell -> its judgments."""
    _cells: dict[int, PreparedCell] = field(default_factory=dict)
    _segments: dict[int, Mapping[str, Segments]] = field(default_factory=dict)

    def prepare(self) -> None:
        """Read and segment the judgments of all cells; one that fails is noted."""
        for cell in self.cells:
            one = cell.prepared(self.prepared)
            predict = cell.pipeline.predict
            try:
                with file_errors():
                    if isinstance(cell.pipeline.segment, AskingSegmenter):
                        raise UserError(
                            "the model itself writes the roles, so the prompts are not known before the run",
                            where=f"segment {cell.pipeline.segment.name}",
                            cure="plan with segment=crf for an estimate",
                        )
                    if not isinstance(predict, ModelPredictor):
                        raise UserError(
                            f"{type(predict).__name__} is unknown to the plan",
                            where="predict",
                            cure="use predict=model",
                        )
                    predict.check(self.engine)
                    judgments, _ = one.judgments(self.engine)
                    self._segments[cell.number] = one.segment(judgments)
                    self.judgments[cell.number] = judgments
                    self._cells[cell.number] = one
                    if cell.pipeline.measures is not None:
                        note = "measure: what it asks of the model is not counted (measure=null leaves it out)"
                        self.problems.add((cell.number,), note, planned=True)
            except UserError as error:
                self.problems.add((cell.number,), error)

    def case(self, cell: PlannedCell, id: str) -> Case | None:
        """Build document and prompt of a judgment; None if the cell cannot, which is noted."""
        one = self._cells.get(cell.number)
        if one is None or (judgment := self.judgments[cell.number].find(id)) is None:
            return None
        try:
            return one.case(judgment, self._segments[cell.number][id], self.engine)
        except UserError as error:
            self.problems.add((cell.number,), error)
            del self._cells[cell.number], self.judgments[cell.number]
            return None

    def ids(self) -> list[tuple[str, str]]:
        """Return (identity of the corpus, id) of each judgment, in the order of the run."""
        found: dict[tuple[str, str], None] = {}
        for cell in self.cells:
            corpus = identity(cell.pipeline.corpus)
            if cell.number in self.judgments:
                found |= {(corpus, id): None for id in self.judgments[cell.number].ids}
        return list(found)

    def of_corpus(self, corpus: str) -> list[PlannedCell]:
        """Return the cells with a corpus, given by its identity."""
        return [cell for cell in self.cells if identity(cell.pipeline.corpus) == corpus]

    def conversations(self, corpus: str, id: str) -> dict[Any, Any]:
        """Return cell -> conversation about one judgment, not started."""
        found = {}
        for cell in self.of_corpus(corpus):
            if (case := self.case(cell, id)) is not None:
                predict = cell.pipeline.predict
                assert isinstance(predict, ModelPredictor)
                found[cell.number] = predict.conversation(case)
        return found


class Cells:
    """All cells of an experiment.

    Args:
        configs: configuration of each cell, with its node `hydra` (`legalrr.configuration.compose_cells`).
    """

    def __init__(self, configs: Sequence[DictConfig]) -> None:
        self.problems = Problems()
        self.prepared = PreparationCache()
        self.cells: list[PlannedCell] = []
        for number, config in enumerate(configs):
            try:
                with file_errors():
                    self.cells.append(_build(number, config))
            except (UserError, OmegaConfBaseException) as error:
                self.problems.add((number,), error)

    def baselines(self) -> list[PlannedCell]:
        """Return the cells that make no calls."""
        return [cell for cell in self.cells if not cell.pipeline.needs_backbone]

    def groups(self) -> Iterator[BackboneCells]:
        """Yield the other cells by backbone, prepared; only one backbone is open at a time."""
        found: dict[tuple[str, ...], list[PlannedCell]] = {}
        for cell in self.cells:
            if cell.pipeline.needs_backbone:
                backbone = cell.pipeline.backbone
                key = identity(backbone), backbone.name, str(cell.missing), cell.pipeline.settings.runs
                found.setdefault(key, []).append(cell)
        for cells in found.values():
            if (group := self._open(cells)) is not None:
                group.prepare()
                yield group

    def _open(self, cells: list[PlannedCell]) -> BackboneCells | None:
        numbers = [cell.number for cell in cells]
        backbone, missing = cells[0].pipeline.backbone, cells[0].missing
        opened = None
        if missing is None:
            try:
                with file_errors(), working(f"open {backbone.name}"):
                    opened = open_backbone(backbone)
            except UserError as error:
                self.problems.add(numbers, error)
                return None
            note: object = opened.note
            engine = opened.engine
        else:
            note = UserError(
                f"{missing} is not here, so its tokens are estimated",
                where=f"backbone {backbone.name}",
                cure=f"hf download {missing}, then plan again",
            )
            engine = CharacterEngine(getattr(backbone, "context", CONTEXT))
        if note is not None:
            self.problems.add(numbers, note, planned=True)
        return BackboneCells(cells=cells, opened=opened, engine=engine, prepared=self.prepared, problems=self.problems)


def _build(number: int, config: DictConfig) -> PlannedCell:
    """Build the stages of a cell; a model that is not here is replaced by a stand-in."""
    own = OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"])
    missing = missing_model(config)
    if missing is not None and (config.predict.get("_target_") or "").endswith("ModelPredictor"):
        facts = stated_facts(config)
        own = copy.deepcopy(own)
        own.backbone = {
            "_target_": "legalrr.backbones.echo.EchoBackbone",
            "name": config.backbone.name,
            "context": config.backbone.get("context") or (facts and facts.context) or CONTEXT,
        }
    return PlannedCell(number=number, config=config, pipeline=build_pipeline(own), missing=missing)
