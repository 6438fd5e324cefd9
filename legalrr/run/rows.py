"""Rows of a cell: written as each answer comes; what scores and run.json need is kept."""

from collections.abc import Mapping
from dataclasses import replace

from legalrr.errors import UserError
from legalrr.protocols import PricedBackbone
from legalrr.records import Case, CompletedTurn, Completion, Segments
from legalrr.run.folder import RunWriter, build_prediction
from legalrr.run.pipeline import Pipeline, reference_spans
from legalrr.run.spooled import SelectedJudgments
from legalrr.score.cases import AnsweredCase, answered_case


class CellRows:
    """Rows of the judgments of a cell.

    Args:
        pipeline: its stages.
        judgments: its judgments.
        segments: their roles by id.
        clusters: id -> cluster of near-duplicates.
        writer: writes the rows.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        judgments: SelectedJudgments,
        segments: Mapping[str, Segments],
        clusters: Mapping[str, str],
        writer: RunWriter,
    ) -> None:
        self._pipeline = pipeline
        self._judgments = judgments
        self._segments = segments
        self._clusters = clusters
        self._writer = writer
        self._left = dict.fromkeys(judgments.ids)
        self._scored: dict[str, AnsweredCase] = {}
        self._priced = pipeline.predict.needs_backbone and isinstance(pipeline.backbone, PricedBackbone)
        self._paid: list[CompletedTurn] = []
        self.turns: dict[str, int] = {}
        """Name and limit in tokens of each turn of the prompts."""
        self.pictured = False
        """Whether any judgment is shown as page images."""
        self.party_unknown = 0
        """Judgments whose shown text does not name the party that the question is about."""

    def add(self, completion: Completion, case: Case) -> None:
        """Read the verdict of a judgment, and write its row.

        Raises:
            UserError: a second answer about the same judgment, or the row cannot be written.
        """
        id, p = completion.id, self._pipeline
        if id not in self._left:
            raise UserError(f"duplicate id {id!r}", where="predict", cure="a predictor answers each judgment once")
        del self._left[id]
        judgment = self._judgments.corpus[id]
        verdict = p.verdict.read(completion, case.prompt)
        row = build_prediction(
            judgment, case, completion, verdict, cluster=self._clusters[id], encoder=self._writer.encoder
        )
        self._writer.add(row)
        if row.gold is not None:
            self._scored[id] = answered_case(row, where=id)
        if p.predict.needs_backbone:
            reference = reference_spans(judgment, self._segments[id], case.prompt.turns, segmenter=p.segment.name)
            self._writer.add_reference(reference)
        if self._priced:
            self._paid += (replace(turn, text="") for turn in completion.turns)
        self.turns |= {turn.name: turn.max_new_tokens for turn in case.prompt.turns}
        self.pictured |= case.document.pictured
        self.party_unknown += case.prompt.party is None

    def require_all(self) -> None:
        """Raise UserError if an answer is missing."""
        if self._left:
            raise UserError(
                f"no answer about {len(self._left)} of {len(self._judgments)} judgments",
                where=next(iter(self._left)),
                cure="a predictor answers each judgment once",
            )

    def scored(self) -> list[AnsweredCase]:
        """Return the judgments with a gold outcome, in order."""
        return [self._scored[id] for id in self._judgments.ids if id in self._scored]

    def cost(self) -> dict[str, float | None]:
        """Compute the cost of all answers, including stored ones; empty for a backbone without prices."""
        backbone = self._pipeline.backbone
        if not (self._priced and isinstance(backbone, PricedBackbone)):
            return {}
        return {"cost": backbone.cost(self._paid)}
