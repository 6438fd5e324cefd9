"""Types of the JSON layout of Label Studio exports, of any release, and of OpenNyAI's tagger.

    tasks = load_tasks(path)                                  # a list of JSON values
    task = validate(Task, tasks[0], where=f"{path} item 0")   # UserError with the place in the item

Lists of annotations and predictions are validated when they are read: an export may give the predictions as numbers,
for example. Keys that are not declared here are ignored.
"""

from pathlib import Path
from typing import Annotated, Any, NoReturn, TypeVar

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, ValidationError, model_validator
from pydantic_core import ErrorDetails, PydanticCustomError

from legalrr.corpora.bounded_files import parse_json, read_text
from legalrr.errors import UserError

M = TypeVar("M", bound=BaseModel)
CURE = "export as JSON, not JSON-MIN, from Label Studio"
TEXT_LABELS = "labels"
"""Type of the results of a <Labels> tag: spans of a text."""
_TYPES = {
    "bool_type": "true or false",
    "dict_type": "an object",
    "list_type": "a list",
    "model_type": "an object",
    "string_type": "a string",
}


def _reject(value: object, wanted: str) -> NoReturn:
    raise PydanticCustomError("wrong", "{found} is not {wanted}", {"found": repr(value)[:40], "wanted": wanted})


def _check_id(value: object) -> object:
    if type(value) not in (int, str):
        _reject(value, "a number or a string")
    return value


def _check_score(value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        _reject(value, "a number from 0 to 1")
    return float(value)


def _parse_annotator(value: object) -> tuple[str, ...]:
    """Return the names of an annotator: an id, or an object with an id, an e-mail address and a user name."""
    if isinstance(value, dict):
        parts = [value.get(key) for key in ("id", "email", "username")]
    else:
        # `created_username` is "name, id".
        parts = [part.strip() for part in value.split(",")] if isinstance(value, str) else [value]
    return tuple(str(_check_id(part)) for part in parts if part not in (None, ""))


Id = Annotated[Any, AfterValidator(_check_id)]
Score = Annotated[Any, AfterValidator(_check_score)]
Annotator = Annotated[tuple[str, ...], BeforeValidator(_parse_annotator)]


class _Model(BaseModel):
    # Nothing is converted: "7" is not a number, 1 is not true.
    model_config = ConfigDict(strict=True, frozen=True)


class Meta(_Model):
    """Metadata of a task."""

    group: str | None = None
    """Kind of matter; BUILD has it."""


class Task(_Model):
    """A judgment and what was annotated in it."""

    id: Id
    """Id of the task: a number or a string."""
    data: dict[str, Any]
    """The imported fields, the text among them."""
    meta: Meta | None = None
    """Metadata, if any."""
    annotations: list[Any] | None = None
    """Annotations, one per annotator; for OpenNyAI, the regions themselves."""
    completions: list[Any] | None = None
    """Annotations, in releases before 1.0."""
    predictions: list[Any] | None = None
    """Roles of taggers, each `Annotation`, or its number."""


class Result(_Model):
    """One result of an annotation: a region with a label, a choice, a relation, ..."""

    type: str | None = None
    """Tag of the labelling interface; missing in some published files, whose results are all labels."""
    value: Any = None
    """Content, which differs by type; missing in relations."""
    score: Score | None = None
    """Probability according to a tagger."""


class Annotation(_Model):
    """The work of one annotator, or of one tagger, on a task."""

    result: list[Any]
    """Results, each a `Result`."""
    was_cancelled: bool | None = None
    """Whether the annotator skipped the task."""
    skipped: bool | None = None
    """Former name of `was_cancelled`."""
    ground_truth: bool | None = None
    """Whether a reviewer chose this annotation."""
    honeypot: bool | None = None
    """Former name of `ground_truth`."""
    completed_by: Annotator = ()
    """Names of the annotator: id, e-mail address, user name, as far as they are given."""
    created_username: Annotator = ()
    """Former place of the same."""
    model_version: str | None = None
    """Name of the tagger."""

    @property
    def is_cancelled(self) -> bool:
        """Whether the annotation counts as not made."""
        return bool(self.was_cancelled or self.skipped)

    @property
    def is_ground_truth(self) -> bool:
        """Whether a reviewer chose this annotation."""
        return bool(self.ground_truth or self.honeypot)

    @property
    def names(self) -> tuple[str, ...]:
        """Names by which a configuration may choose it."""
        tagger = (self.model_version,) if self.model_version else ()
        return tuple(dict.fromkeys((*self.completed_by, *self.created_username, *tagger)))


class Region(_Model):
    """A labelled span of the text."""

    start: int
    """Offset of the first character."""
    end: int
    """Offset one past the last character."""
    text: str | None = None
    """The text of the span, for a check of the offsets."""
    labels: list[str]
    """Its roles; exactly one is valid."""

    @model_validator(mode="before")
    @classmethod
    def _check_offsets(cls, value: object) -> object:
        if isinstance(value, dict) and "start" in value and "end" in value:
            start, end = value["start"], value["end"]
            if type(start) is not int or type(end) is not int:
                raise PydanticCustomError("offsets", "offsets {found}", {"found": f"{start!r} and {end!r}"[:80]})
        return value


def validate(model: type[M], value: object, *, where: str) -> M:
    """Convert a JSON value to a model; raise UserError at `where` with the first place that does not fit."""
    try:
        return model.model_validate(value)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        raise UserError(_describe(first), where=where, cure=CURE) from error


def _describe(error: ErrorDetails) -> str:
    *parents, last = error["loc"] or ("the value",)
    if error["type"] == "missing":
        inside = f" in {'.'.join(map(str, parents))}" if parents else ""
        return f"missing key {str(last)!r}{inside}"
    name = ".".join(map(str, error["loc"])) or "the value"
    if error["type"] == "wrong":
        return f"{name} {error['msg']}"
    if error["type"] == "offsets":
        return error["msg"]
    wanted = _TYPES.get(error["type"])
    return f"{name} is not {wanted}" if wanted else f"{name}: {error['msg']}"


def is_region(value: object) -> bool:
    """Whether an annotation is a region itself, as OpenNyAI's tagger writes it."""
    return isinstance(value, dict) and "result" not in value and "labels" in value


def load_tasks(path: Path) -> list[Any]:
    """Read the tasks of a file: a list, or a single task.

    Raises:
        UserError: not UTF-8, not JSON, or neither a list nor a task.
    """
    tasks = parse_json(read_text(path), where=str(path), cure=CURE)
    if isinstance(tasks, dict) and "data" in tasks:
        return [tasks]
    if not isinstance(tasks, list):
        raise UserError("not a list of judgments", where=str(path), cure=CURE)
    return tasks
