"""Build the stages of a cell from its config, and cache what the cells of a process prepare alike.

All stages are built, and their options checked, before the first one runs. `PreparationCache` keeps judgments, roles
and prompts, so that the cells of a sweep, and the prefetch before them (`legalrr.run.prefetch`), prepare each once.
`reference_spans` finds the court's own text of the roles that a model writes, which explanations are scored against.
"""

from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import (
    InterpolationToMissingValueError,
    MissingMandatoryValue,
    OmegaConfBaseException,
    ValidationError,
)

from legalrr.annotate.annotate import TURN_ROLES
from legalrr.backbones.engine_choice import build_backbone
from legalrr.elastic import Workers
from legalrr.errors import UserError
from legalrr.judgment_files import JudgmentFiles
from legalrr.predictors import COMPARED
from legalrr.protocols import (
    Annotator,
    AskingSegmenter,
    Backbone,
    Corpus,
    Engine,
    HubStage,
    KeyedBackbone,
    Meter,
    Predictor,
    RepeatableBackbone,
    Restructurer,
    Scorer,
    Segmenter,
    VerdictReader,
)
from legalrr.records import Case, Judgment, PromptTurn, Segments, Span
from legalrr.run.documents import Documents
from legalrr.run.shard import Shard, read_shard
from legalrr.run.spooled import CorpusJudgments, SelectedJudgments, SpooledSegments
from legalrr.stage import build, check_fields, choice, description, digest, from_values, identity, missing_value
from legalrr.store import Store

MAX_CHARACTERS = 100_000_000
"""Characters of documents and prompts in the cache: one byte each, or two in a text beyond Latin-1."""
T = TypeVar("T")
MEASURE = "measure"
"""The only stage that can be left out."""
WORKERS = "workers"
"""Where the backbone runs, if not in this process; it affects no result."""
STAGE_TYPES: Mapping[str, type[Any]] = {
    "corpus": Corpus,
    "segment": Segmenter,
    "restructure": Restructurer,
    "annotate": Annotator,
    "backbone": Backbone,
    "predict": Predictor,
    "verdict": VerdictReader,
    "score": Scorer,
}


def reference_spans(
    judgment: Judgment, segments: Segments, turns: Sequence[PromptTurn], *, segmenter: str
) -> dict[str, Any]:
    """Build a line of references.jsonl: the court's text of each role that the model is prompted to write.

    The roles are the gold ones of the judgment if they follow the segmenter's scheme, else the segmenter's.

    Args:
        judgment: the judgment, with its gold roles.
        segments: the roles found by the segmenter.
        turns: the turns of the prompt; those that write no role are skipped.
        segmenter: name of the segmenter.

    Returns:
        id, scheme, source (`gold` or the segmenter's name), and name, role and spans of each turn: start and end of the
        sentences of the role, without white space around them. The court's text is these, joined by line breaks.
    """
    spans, source = segments.spans, segmenter
    if judgment.spans is not None and judgment.scheme == segments.scheme:
        spans, source = judgment.spans, "gold"
    written = [(turn.name, TURN_ROLES[turn.name]) for turn in turns if turn.name in TURN_ROLES]
    return {
        "id": judgment.id,
        "scheme": segments.scheme,
        "source": source,
        "turns": [
            {"name": name, "role": role, "spans": [_stripped(judgment.text, one) for one in spans if one.role == role]}
            for name, role in written
        ],
    }


def _stripped(text: str, span: Span) -> list[int]:
    """Return start and end of a span without the white space around it."""
    whole = text[span.start : span.end]
    start = span.start + len(whole) - len(whole.lstrip())
    return [start, start + len(whole.strip())]


@dataclass(frozen=True, kw_only=True)
class Arm:
    """An arm: one row of the tables."""

    id: str
    """Name of its file in conf/arm."""
    label: str
    """Name in tables, as in the study: D/R/C, none, ..."""
    family: str = choice("arm", "arm", "baseline", "probe")
    """`arm`: an arm of the experiment; `baseline`: a predictor to compare with; `probe`: a leakage probe."""

    def __post_init__(self) -> None:
        """Check the family and that there is a label."""
        check_fields(self, "arm")
        if not self.label.strip():
            raise UserError("no label", where=f"arm {self.id}", cure="set arm.label to the name in tables")


@dataclass(frozen=True, kw_only=True)
class ExperimentSettings:
    """The options that belong to no stage."""

    arm: Arm
    """The arm."""
    limit: int | None = None
    """Maximum number of judgments; None: all."""
    seed: int = 0
    """Seed of sample, folds, bootstrap and permutations."""
    reference: str = "plain"
    """Reference arm, with which the others are compared."""
    repetition: int = 1
    """Number of this run among repeated runs with sampled answers, from 1; the tables join them."""
    retry_errors: bool = False
    """Whether calls that the backbone refused in an earlier run are made again."""
    shard: str | None = None
    """Share of the judgments whose calls this process makes, without scores; see `legalrr.run.shard`."""
    runs: str = "runs"
    """Folder of results and cache."""


@dataclass(frozen=True, kw_only=True)
class Pipeline:
    """The stages of one cell."""

    settings: ExperimentSettings
    """Options of no stage."""
    corpus: Corpus
    """Reads judgments."""
    segment: Segmenter
    """Tags their sentences with roles."""
    restructure: Restructurer
    """Builds the visible document."""
    annotate: Annotator
    """Builds the prompt."""
    backbone: Backbone
    """Language model; unused if neither predictor nor segmenter prompts it."""
    predict: Predictor
    """Produces completions."""
    verdict: VerdictReader
    """Reads the verdict from a completion."""
    score: Scorer
    """Computes scores."""
    measure: Meter | None = None
    """Measures the backbone by itself; None: no measurement."""
    shard: Shard | None = None
    """Share of the judgments that this process prepares; None: all."""
    workers: Workers | None = None
    """Answer the calls of the backbone; None: this process."""

    def load_engine(self) -> Engine:
        """Return the engine of the backbone, in this process or of the workers; raises UserError as their methods."""
        return self.backbone.load() if self.workers is None else self.workers.open(self.backbone)

    def stages(self) -> dict[str, Any]:
        """Return every stage by name, in the order of the data flow."""
        names = ("corpus", "segment", "restructure", "annotate", "backbone", "predict", "verdict", "score")
        return {name: getattr(self, name) for name in names}

    @property
    def needs_backbone(self) -> bool:
        """Whether any stage of this cell prompts the backbone."""
        return self.predict.needs_backbone or isinstance(self.segment, AskingSegmenter)

    @property
    def measures(self) -> Meter | None:
        """The meter, if the predictor prompts the backbone; else None."""
        return self.measure if self.predict.needs_backbone else None

    def described(self) -> dict[str, Mapping[str, Any]]:
        """Return identity and description of every stage that this cell uses, for run.json."""
        used = {k: v for k, v in self.stages().items() if k != "backbone" or self.needs_backbone}
        if self.measures is not None:
            used["measure"] = self.measures
        return {name: {"identity": identity(stage), **description(stage)} for name, stage in used.items()}


def build_pipeline(config: DictConfig) -> Pipeline:
    """Build all stages of a composed config.

    Raises:
        UserError: an unknown option, a wrong type, or options that exclude each other; names the option.
    """
    try:
        whole = OmegaConf.to_container(config, resolve=True)
        assert isinstance(whole, dict)
        rest = {key: value for key, value in whole.items() if key not in {*STAGE_TYPES, MEASURE, WORKERS}}
        settings = from_values(ExperimentSettings, rest)
    except (MissingMandatoryValue, InterpolationToMissingValueError) as error:
        raise missing_value(error, "") from error
    except ValidationError as error:
        first = str(error).splitlines()[0]
        cure = "give a whole number" if "Integer" in first else f"correct {error.full_key}"
        raise UserError(first, where=error.full_key or "config", cure=cure) from error
    except OmegaConfBaseException as error:
        known = ", ".join([*STAGE_TYPES, MEASURE, WORKERS, *ExperimentSettings.__dataclass_fields__])
        raise UserError(str(error).splitlines()[0], where="config", cure=f"the options are {known}") from error
    if settings.limit is not None and settings.limit < 1:
        raise UserError(f"limit={settings.limit}", where="limit", cure="give a positive number, or null for all")
    stages = {
        name: build_backbone(config[name], kind) if kind is Backbone else build(config[name], kind, option=name)
        for name, kind in STAGE_TYPES.items()
    }
    if settings.repetition < 1:
        raise UserError(f"repetition={settings.repetition}", where="repetition", cure="count from 1")
    compared = getattr(stages["predict"], "scoring", "generate") in COMPARED
    if compared and getattr(stages["verdict"], "reading", "strict") == "study":
        raise UserError(
            "verdict.reading=study needs the text of an answer, and compared answers have none",
            where="verdict.reading",
            cure="use verdict.reading=strict or predict.scoring=generate",
        )
    meter = build(config[MEASURE], Meter, option=MEASURE) if config.get(MEASURE) else None  # type: ignore[type-abstract]
    shard = None if settings.shard is None else read_shard(settings.shard)
    workers = build(config[WORKERS], Workers, option=WORKERS) if config.get(WORKERS) else None  # type: ignore[type-abstract]
    pipeline = Pipeline(settings=settings, **stages, measure=meter, shard=shard, workers=workers)
    if workers is not None and pipeline.needs_backbone:
        workers.require(pipeline.backbone)
    pipeline = replace(
        pipeline,
        corpus=_resolved(pipeline.corpus),
        backbone=_resolved(pipeline.backbone) if pipeline.needs_backbone else pipeline.backbone,
    )
    if settings.repetition > 1 and pipeline.needs_backbone:
        return replace(pipeline, backbone=_with_repetition(pipeline.backbone, settings.repetition, compared=compared))
    return pipeline


def _resolved(stage: T) -> T:
    """Return the stage with the commit of its revision, if it reads files of the hub."""
    return stage.resolved() if isinstance(stage, HubStage) else stage


def _with_repetition(backbone: Backbone, repetition: int, *, compared: bool) -> Backbone:
    """Return the backbone with the seed of a repetition."""
    if compared:
        raise UserError(
            "compared answers are not sampled, so every run gives the same",
            where=f"repetition={repetition}",
            cure="use predict.scoring=generate, or repetition=1",
        )
    if not isinstance(backbone, RepeatableBackbone):
        raise UserError(
            f"backbone {backbone.name} cannot sample other answers in a repeated run",
            where=f"repetition={repetition}",
            cure="use repetition=1",
        )
    return backbone.repeated(repetition)


def require_keys(pipelines: Iterable[Pipeline]) -> None:
    """Raise UserError if a backbone that a cell of a sweep prompts needs a key that is not set."""
    for pipeline in pipelines:
        if pipeline.needs_backbone and isinstance(pipeline.backbone, KeyedBackbone):
            pipeline.backbone.key()


def cache_folder(pipeline: Pipeline) -> Path:
    """Return the folder of stored results."""
    return Path(pipeline.settings.runs) / "cache"


def stage_description(stage: Segmenter | Backbone) -> dict[str, Any]:
    """Describe everything that the results of a stage depend on."""
    return {"stage": description(stage), "provenance": dict(stage.provenance())}


def call_store(pipeline: Pipeline) -> Store:
    """Open the store of the backbone's answers."""
    key = stage_description(pipeline.backbone)
    return Store(cache_folder(pipeline) / "predict" / digest(key)[:16], key)


@dataclass
class PreparationCache:
    """Judgments, roles, documents and cases prepared in this process.

    All but cases are in temporary files; prompts beyond the capacity are made again.
    """

    capacity: int = MAX_CHARACTERS
    """Remaining capacity for cases, in characters."""
    judgments: dict[Hashable, CorpusJudgments] = field(default_factory=dict)
    """Identity of a corpus, and split -> judgments by id."""
    segments: dict[Hashable, SpooledSegments] = field(default_factory=dict)
    """Key of all that roles depend on -> roles by id, of the judgments segmented so far."""
    documents: dict[Hashable, Documents] = field(default_factory=dict)
    """Key of all that documents depend on -> documents of the judgments."""
    selected: dict[Hashable, tuple[SelectedJudgments, dict[str, int]]] = field(default_factory=dict)
    """Key of all that a selection depends on -> the judgments, and counts."""
    clusters: dict[Hashable, dict[str, str]] = field(default_factory=dict)
    """Key of a selection -> clusters of near-duplicates."""
    calls: dict[Hashable, Store] = field(default_factory=dict)
    """Identity of a backbone, and folder -> stored answers."""
    contents: dict[Hashable, str] = field(default_factory=dict)
    """Key of a selection, and of all that roles depend on -> digest of both (`legalrr.run.finished`)."""
    files: JudgmentFiles = field(default_factory=JudgmentFiles)
    """Files of judgments."""
    cases: dict[Hashable, dict[str, Case]] = field(default_factory=dict)
    """Key of all that documents and prompts depend on -> cases by id."""

    def add(self, key: Hashable, case: Case) -> None:
        """Add a case if the capacity allows."""
        size = _count_characters(case)
        if size <= self.capacity:
            self.capacity -= size
            self.cases.setdefault(key, {})[case.judgment.id] = case

    def answers(self, pipeline: Pipeline) -> Store:
        """Return the store of the backbone's answers, with those that other processes have added meanwhile."""
        backbone = identity(pipeline.backbone), cache_folder(pipeline)
        if backbone in self.calls:
            self.calls[backbone].refresh()
        else:
            self.calls[backbone] = call_store(pipeline)
        return self.calls[backbone]

    def write(self) -> None:
        """Write the documents built so far to their stores; raises UserError if that fails."""
        for documents in self.documents.values():
            documents.write()


def _count_characters(case: Case) -> int:
    """Count the characters of a case without its judgment; a string shared by several turns counts once."""
    turns = case.prompt.turns if case.prompt.blank is None else (*case.prompt.turns, case.prompt.blank)
    parts = {id(part): len(part) for turn in turns for m in turn.messages for part in m.parts if isinstance(part, str)}
    return sum(parts.values()) + sum(len(block.text) for block in case.document.blocks)
