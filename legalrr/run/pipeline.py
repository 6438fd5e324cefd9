"""Build all stages of a cell from its config before the first one runs, and prepare its judgments.

What cells of one process prepare alike: judgments, their roles, and what is shown and asked of each.

The calls that the cells of a sweep share are made before the cells run (`legalrr.run.prefetch`), which prepares every
judgment of every cell. A `Prepared` that both are given hands this over, so that nothing is prepared twice.

The court's own text of the roles that a model is asked to write: what explanations are compared with.

One cell of a sweep: all stages built from the config before the first one runs.
"""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from legalrr.annotate.annotate import TURN_ROLES
from legalrr.errors import UserError
from legalrr.predictors import COMPARED
from legalrr.protocols import (
    Annotator,
    AskingSegmenter,
    Backbone,
    Corpus,
    Meter,
    Predictor,
    RepeatableBackbone,
    Restructurer,
    Scorer,
    Segmenter,
    VerdictReader,
)
from legalrr.records import Case, Judgment, PromptTurn, Segments, Span
from legalrr.stage import build, check_fields, choice, description, from_values, identity

ROOM = 200_000_000
"""Characters of shown text and prompts that are kept: one byte each, or two where a text is not Latin-1."""


@dataclass
class Prepared:
    """Kept as long as the sweep lasts; what finds no room is prepared again by the cell that needs it."""

    room: int = ROOM
    """Characters of cases that can still be kept."""
    judgments: dict[Hashable, Mapping[str, Judgment]] = field(default_factory=dict)
    """Identity of a corpus, and split -> its judgments by id."""
    segments: dict[Hashable, dict[str, Segments]] = field(default_factory=dict)
    """What decides the roles -> the roles of judgments by id, of as many as were asked for."""
    cases: dict[Hashable, dict[str, Case]] = field(default_factory=dict)
    """What decides documents and prompts -> cases by id, as far as there was room."""

    def keep(self, key: Hashable, case: Case) -> None:
        """Keep a case, if there is room."""
        size = _characters(case)
        if size <= self.room:
            self.room -= size
            self.cases.setdefault(key, {})[case.judgment.id] = case


def _characters(case: Case) -> int:
    """Characters that a case holds beside the judgment; a string that several turns share counts once."""
    turns = case.prompt.turns if case.prompt.blank is None else (*case.prompt.turns, case.prompt.blank)
    parts = {id(part): len(part) for turn in turns for m in turn.messages for part in m.parts if isinstance(part, str)}
    return sum(parts.values()) + sum(len(block.text) for block in case.document.blocks)


def reference_texts(
    judgment: Judgment, segments: Segments, turns: Sequence[PromptTurn], *, segmenter: str
) -> dict[str, Any]:
    """A line of references.jsonl: for every turn that writes a role, the court's text of that role.

    The roles are the corpus's own where it has any in the scheme that the turns are of, else the segmenter's.

    Args:
        judgment: with its gold roles.
        segments: the roles that the segmenter found.
        turns: what the model is asked; those that write no role are passed over.
        segmenter: name of the segmenter.

    Returns:
        id, scheme, source (`gold` or the segmenter's name), and name, role and text of each turn; the text is "" where
        the judgment has none of the role.
    """
    spans, source = segments.spans, segmenter
    if judgment.spans is not None and judgment.scheme == segments.scheme:
        spans, source = judgment.spans, "gold"
    written = [(turn.name, TURN_ROLES[turn.name]) for turn in turns if turn.name in TURN_ROLES]
    return {
        "id": judgment.id,
        "scheme": segments.scheme,
        "source": source,
        "turns": [{"name": name, "role": role, "text": _text(judgment.text, spans, role)} for name, role in written],
    }


def _text(text: str, spans: Sequence[Span], role: str) -> str:
    return "\n".join(text[span.start : span.end].strip() for span in spans if span.role == role)


T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Arm:
    """What a row of the table stands for."""

    id: str
    """Name of the choice in conf/arm."""
    label: str
    """Name in tables, as in the study: D/R/C, None, ..."""
    family: str = choice("arm", "arm", "baseline", "probe")
    """`arm`: an arm of the experiment; `baseline`: something to measure it against; `probe`: a leakage probe."""

    def __post_init__(self) -> None:
        """Refuse a family that does not exist."""
        check_fields(self, "arm")


@dataclass(frozen=True, kw_only=True)
class ExperimentSettings:
    """The options that belong to no stage."""

    arm: Arm
    """The arm."""
    limit: int | None = None
    """How many judgments to take; None: all."""
    seed: int = 0
    """Seed of sample, folds, bootstrap and permutations."""
    reference: str = "plain"
    """Arm that the others are compared with."""
    repetition: int = 1
    """Which of several runs of the same experiment this is, where answers are drawn; the tables join them."""
    runs: str = "runs"
    """Folder of results and cache."""


@dataclass(frozen=True, kw_only=True)
class Pipeline:
    """The stages of one cell."""

    settings: ExperimentSettings
    """What belongs to no stage."""
    corpus: Corpus
    """Where judgments come from."""
    segment: Segmenter
    """Finds their roles."""
    restructure: Restructurer
    """Makes the visible document."""
    annotate: Annotator
    """Makes the prompt."""
    backbone: Backbone
    """The language model; unused by baselines after a segmenter that asks none."""
    predict: Predictor
    """Answers."""
    verdict: VerdictReader
    """Reads the answer."""
    score: Scorer
    """Computes scores."""
    measure: Meter | None = None
    """Measures the backbone by itself; None: nobody asks for that."""

    def stages(self) -> dict[str, Any]:
        """Every stage by name, in the order of the flow."""
        names = ("corpus", "segment", "restructure", "annotate", "backbone", "predict", "verdict", "score")
        return {name: getattr(self, name) for name in names}

    @property
    def needs_backbone(self) -> bool:
        """Whether any stage of this cell asks the backbone."""
        return self.predict.needs_backbone or isinstance(self.segment, AskingSegmenter)

    @property
    def measures(self) -> Meter | None:
        """What measures the backbone of this cell, if the predictor asks it."""
        return self.measure if self.predict.needs_backbone else None

    def described(self) -> dict[str, Mapping[str, Any]]:
        """Identity and description of every stage that this cell uses, for the run's record."""
        used = {k: v for k, v in self.stages().items() if k != "backbone" or self.needs_backbone}
        if self.measures is not None:
            used["measure"] = self.measures
        return {name: {"identity": identity(stage), **description(stage)} for name, stage in used.items()}


MEASURE = "measure"
"""The one stage that may be left out."""
KINDS: Mapping[str, type[Any]] = {
    "corpus": Corpus,
    "segment": Segmenter,
    "restructure": Restructurer,
    "annotate": Annotator,
    "backbone": Backbone,
    "predict": Predictor,
    "verdict": VerdictReader,
    "score": Scorer,
}


def build_pipeline(config: DictConfig) -> Pipeline:
    """All stages of a composed config.

    Raises:
        UserError: an option that does not exist, a wrong type, or choices that exclude each other; names the option.
    """
    try:
        whole = OmegaConf.to_container(config, resolve=True)
        assert isinstance(whole, dict)
        rest = {key: value for key, value in whole.items() if key not in KINDS and key != MEASURE}
        settings = from_values(ExperimentSettings, rest)
    except OmegaConfBaseException as error:
        known = ", ".join([*KINDS, MEASURE, *ExperimentSettings.__dataclass_fields__])
        raise UserError(str(error).splitlines()[0], where="config", cure=f"the options are {known}") from error
    if settings.limit is not None and settings.limit < 1:
        raise UserError(f"limit={settings.limit}", where="limit", cure="give a positive number, or null for all")
    stages = {name: build(config[name], kind, option=name) for name, kind in KINDS.items()}
    if settings.repetition < 1:
        raise UserError(f"repetition={settings.repetition}", where="repetition", cure="count from 1")
    compared = getattr(stages["predict"], "scoring", "generate") in COMPARED
    if compared and getattr(stages["verdict"], "reading", "strict") == "study":
        raise UserError(
            "the study's reading reads text, and compared answers have none",
            where="verdict.reading",
            cure="use verdict.reading=strict or predict.scoring=generate",
        )
    meter = build(config[MEASURE], Meter, option=MEASURE) if config.get(MEASURE) else None  # type: ignore[type-abstract]
    pipeline = Pipeline(settings=settings, **stages, measure=meter)
    if settings.repetition > 1 and pipeline.needs_backbone:
        return replace(pipeline, backbone=_repeated(pipeline.backbone, settings.repetition, compared=compared))
    return pipeline


def _repeated(backbone: Backbone, repetition: int, *, compared: bool) -> Backbone:
    if compared:
        raise UserError(
            "compared answers are not drawn, and the same in every run",
            where=f"repetition={repetition}",
            cure="use predict.scoring=generate, or repetition=1",
        )
    if not isinstance(backbone, RepeatableBackbone):
        raise UserError(
            f"backbone {backbone.name} cannot be run again with other draws",
            where=f"repetition={repetition}",
            cure="use repetition=1",
        )
    return backbone.repeated(repetition)


def cache_folder(pipeline: Pipeline) -> Path:
    """Where expensive results are kept."""
    return Path(pipeline.settings.runs) / "cache"
