"""Readers of the JSON and YAML files of a cell other than predictions.jsonl, each by the types of its fields.

run.json states the settings that the predictions belong to; error.json why a cell failed; overrides.yaml what Hydra was
given. Every fault of a file raises UserError with its path.
"""

import reprlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Annotated, Any, TypeVar

from legalrr.errors import UserError
from legalrr.plain_yaml import YamlBoundError, load_yaml
from legalrr.score.scorer import PredictionScorer
from legalrr.typed_json import Bounds, JsonError, Shape, load_json, parse

T = TypeVar("T")
RERUN = "run the cell again"
Count = Annotated[int, Bounds(0)]
Seconds = Annotated[float, Bounds(0)]


@dataclass(frozen=True, kw_only=True)
class CellRecord:
    """Description of the cell in run.json."""

    arm: str
    """Name of the arm in conf/arm."""
    label: str
    """Name of the arm in tables."""
    family: str
    """arm, baseline or probe."""
    corpus: str
    """Name of the corpus."""
    split: str | None
    """Split of the corpus; None: all of it."""
    segment: str
    """Name of the segmenter."""
    backbone: str
    """Name of the language model; "-" without one."""
    layout: str | None
    """Layout of the conversation."""
    order: str | None
    """Order of the document: document or role."""
    reading: str | None
    """Verdict reader: strict or study."""
    scoring: str | None = None
    """How the answer is produced: generate, choose, compare or calibrated."""
    overflow: str | None
    """Treatment of judgments longer than the token budget."""
    limit: int | None
    """Maximum number of judgments; None: all."""
    tokens: Mapping[str, int]
    """Turn -> its maximum length in tokens."""
    repetition: int = 1
    """Number of the run among repeated runs of one experiment, from 1."""


@dataclass(frozen=True, kw_only=True)
class StageRecord:
    """Description of a stage (`legalrr.stage.description`)."""

    class_path: str | None = field(default=None, metadata={"json": "class"})
    version: int | None = None
    identity: str = ""
    fields: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class _Settings:
    """Settings of scores; the bounds keep an edited file from computing for hours."""

    confidence: Annotated[float, Bounds(0, 1)] = 0.95
    resamples: Annotated[int, Bounds(1, 1_000_000)] = 1
    permutations: Annotated[int, Bounds(1, 1_000_000)] = 1
    seed: Annotated[int, Bounds(0, 2**32 - 1)] = 0


@dataclass(frozen=True, kw_only=True)
class JudgmentsRecord:
    """File of the judgments (`legalrr.judgment_files`)."""

    file: str = ""
    """Its name from the folder of the cell."""
    sha256: str
    """Digest of its lines, before compression."""


@dataclass(frozen=True, kw_only=True)
class _Cost:
    """Cost of a text of some length (`legalrr.backbones.meter`)."""

    tokens: Annotated[int, Bounds(1)]
    prefill: Seconds
    decode: Seconds
    state: Annotated[float, Bounds(0)]


@dataclass(frozen=True, kw_only=True)
class _Measured:
    """Measurements of a backbone (`legalrr.backbones.meter`)."""

    perplexity: Annotated[float, Bounds(0, 1e30)]
    recall: Mapping[str, Annotated[float, Bounds(0, 1)]]
    cost: Sequence[_Cost]


@dataclass(frozen=True, kw_only=True)
class _Calls:
    """Calls of a model."""

    made: Count | None = None
    stored: Count | None = None


@dataclass(frozen=True, kw_only=True)
class RunRecord:
    """Content of run.json; fields that older runs lack have a default."""

    cell: CellRecord
    seed: int
    reference: str
    settings: Annotated[Mapping[str, Any], Shape(_Settings)] = field(default_factory=dict)
    stages: Mapping[str, StageRecord] = field(default_factory=dict)
    seconds: Mapping[str, Seconds] = field(default_factory=dict)
    judgments: JudgmentsRecord | None = None
    prompt_lines: Sequence[str] = ()
    measured: Annotated[Mapping[str, Any], Shape(_Measured)] | None = None
    calls: Annotated[Mapping[str, Any], Shape(_Calls)] = field(default_factory=dict)
    counts: Mapping[str, Count] = field(default_factory=dict)
    versions: Mapping[str, str] = field(default_factory=dict)
    provenance: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    cost: Any = None
    repeats: str = ""
    """The earlier run whose files were copied, from the folder of this one (`legalrr.run.finished`)."""


@dataclass(frozen=True, kw_only=True)
class ErrorRecord:
    """Content of error.json."""

    type: str = ""
    what: str = ""


def read_record(path: Path, kind: type[T]) -> T:
    """Read a file that holds one JSON object; raises UserError with its path."""
    return build(read_object(path), kind, where=str(path))


def build(values: Mapping[str, Any], kind: type[T], *, where: str) -> T:
    """Build a record from a JSON object; raises UserError at `where`."""
    try:
        return parse(kind, values)
    except JsonError as fault:
        raise UserError(str(fault), where=where, cure=RERUN) from fault


def read_object(path: Path) -> dict[str, Any]:
    """Read a JSON object; raises UserError with its path."""
    try:
        value = load_json(path.read_bytes())
    except OSError as error:
        raise UserError(f"cannot be read: {error.strerror}", where=str(path), cure="allow reading it") from error
    except ValueError as error:
        raise UserError("not valid JSON", where=str(path), cure=RERUN) from error
    if not isinstance(value, dict):
        raise UserError("not a JSON object", where=str(path), cure=RERUN)
    return value


def scorer_of(record: RunRecord, *, where: str) -> PredictionScorer:
    """Build the scorer with the settings of a run; raises UserError at `where` for unknown or invalid ones."""
    unknown = sorted(record.settings.keys() - {one.name for one in fields(PredictionScorer)})
    if unknown:
        raise UserError(f"unknown settings of scores: {reprlib.repr(unknown)}", where=where, cure=RERUN)
    try:
        return PredictionScorer(**{name: value for name, value in record.settings.items() if value is not None})
    except UserError as error:
        raise UserError(error.what, where=where, cure=RERUN) from error


MAX_OVERRIDES, MAX_HYDRA = 100_000, 1_000_000
"""Largest size of overrides.yaml and of hydra.yaml, in bytes."""
MAX_DIGITS = 9
"""Largest number of digits of a job."""


def read_overrides(path: Path) -> list[str]:
    """Read the overrides of a cell as recorded by Hydra, without the output folder; empty without a record.

    Raises:
        UserError: The file is not a list of texts.
    """
    recorded = _read_yaml(path, "a list of overrides", size=MAX_OVERRIDES, depth=1) or []
    if not isinstance(recorded, list) or not all(isinstance(one, str) for one in recorded):
        raise UserError("not a list of overrides", where=str(path), cure="delete the file")
    return [one for one in recorded if not one.startswith("runs=")]


def read_job_number(path: Path) -> int | None:
    """Read the job number from Hydra's own record; None without a record or a number in it.

    Raises:
        UserError: The file is not YAML.
    """
    found = _read_yaml(path, "Hydra's record", size=MAX_HYDRA, depth=20)
    for key in ("hydra", "job", "num"):
        found = found.get(key) if isinstance(found, Mapping) else None
    is_number = isinstance(found, str) and found.isascii() and found.isdecimal() and len(found) <= MAX_DIGITS
    return int(found) if is_number else None


def _read_yaml(path: Path, what: str, *, size: int, depth: int) -> Any:
    """Read a YAML file with scalars as texts; None without a file; raises UserError for a damaged one."""
    if not path.is_file():
        return None
    try:
        with path.open("rb") as file:
            data = file.read(size + 1)
        if len(data) > size:
            raise UserError(f"more than {size} bytes", where=str(path), cure="delete the file")
        return load_yaml(data.decode("utf-8"), depth=depth)
    except YamlBoundError as error:
        raise UserError(f"not {what}: {error}", where=str(path), cure="delete the file") from error
    except ValueError as error:
        raise UserError("not valid YAML", where=str(path), cure="delete the file") from error
    except OSError as error:
        raise UserError(f"cannot be read: {error.strerror}", where=str(path), cure="allow reading it") from error
