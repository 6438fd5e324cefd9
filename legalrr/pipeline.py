"""One cell of a sweep: all stages built from the config before the first one runs."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from legalrr.errors import UserError
from legalrr.predict.model import COMPARED
from legalrr.protocols import (
    Annotator,
    AskingSegmenter,
    Backbone,
    Corpus,
    Meter,
    Predictor,
    Reader,
    RepeatableBackbone,
    Restructurer,
    Scorer,
    Segmenter,
)
from legalrr.stage import build, check_fields, choice, description, from_values, identity

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
class Settings:
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

    settings: Settings
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
    verdict: Reader
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
    "verdict": Reader,
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
        settings = from_values(Settings, rest)
    except OmegaConfBaseException as error:
        known = ", ".join([*KINDS, MEASURE, *Settings.__dataclass_fields__])
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
