"""The options of `legalrr prime` beyond corpus and backbone, and the folder of a run: its settings and measurements."""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from legalrr.errors import UserError
from legalrr.files import make_folder, write_atomically
from legalrr.stage import at_least, check_fields, choice

PRECISIONS = ("float32", "bf16")
SETTINGS, MEASURED = "settings.json", "measured.json"


@dataclass(frozen=True, kw_only=True)
class HeldOut:
    """Judgments never trained on."""

    share: float = 0.05
    """Share of the judgments to hold out; near-duplicates stay together."""
    judgments: int = at_least(1, 16)
    """Number of them that perplexity is measured on, with the first `window` tokens of each."""

    def __post_init__(self) -> None:
        """Check the values."""
        check_fields(self, "held_out")


@dataclass(frozen=True, kw_only=True)
class AlignSettings:
    """Options of stage (a), alignment: each new layer learns the output of the attention layer that it replaces."""

    share: float = 0.4
    """Share of `minutes`."""
    steps: int | None = at_least(0, None)
    """Maximum number of steps; None: as many as `minutes` allow."""
    rate: float = 3e-3
    """Peak learning rate of Adam."""
    fit: int = at_least(0, 8)
    """Batches to fit the output projections to in closed form, before and after the steps; 0: no fit, they start as the
    attention's."""

    def __post_init__(self) -> None:
        """Check the values."""
        check_fields(self, "align")


@dataclass(frozen=True, kw_only=True)
class DistilSettings:
    """Options of stage (b), distillation: the hybrid learns the teacher's next-token probabilities."""

    steps: int | None = at_least(0, None)
    """Maximum number of steps; None: as many as `minutes` allow."""
    rate: float = 1e-3
    """Peak learning rate of the new layers."""
    rest_rate: float | None = None
    """Peak learning rate of all other weights; None: frozen."""
    slice: int = at_least(1, 256)
    """Tokens whose logits are in memory at once, which bounds memory for a large vocabulary."""

    def __post_init__(self) -> None:
        """Check the values."""
        check_fields(self, "distil")


@dataclass(frozen=True, kw_only=True)
class CheckpointSettings:
    """How often a checkpoint is saved."""

    minutes: float = 5.0
    """Minutes between two checkpoints."""
    steps: int | None = at_least(1, None)
    """Steps between two checkpoints, in addition; None: by time alone."""

    def __post_init__(self) -> None:
        """Check the values."""
        check_fields(self, "checkpoint")


@dataclass(frozen=True, kw_only=True)
class PrimeSettings:
    """All options of `legalrr prime` but corpus and backbone."""

    folder: str = "runs/prime"
    """Output folder; the same command resumes there."""
    select: bool = False
    """Measure the importance of each layer instead of priming."""
    seed: int = 0
    """Seed of the held-out draw and of the order of training."""
    window: int = at_least(2, 2048)
    """Tokens per window."""
    batch: int = at_least(1, 1)
    """Windows per step."""
    minutes: float | None = 40.0
    """Time limit of the whole run, including time before an interruption; None: no limit."""
    warmup: int = at_least(0, 5)
    """Steps in which the learning rate rises to its peak; then it falls to 0."""
    clip: float = 1.0
    """Norm that gradients are clipped to: per layer in (a), of all weights in (b)."""
    precision: str = choice("float32", *PRECISIONS)
    """float32, or bf16: matrix products in bfloat16, weights and sums in float32 (autocast, by accelerate)."""
    held_out: HeldOut = field(default_factory=HeldOut)
    """Judgments never trained on."""
    align: AlignSettings = field(default_factory=AlignSettings)
    """Stage (a)."""
    distil: DistilSettings = field(default_factory=DistilSettings)
    """Stage (b)."""
    checkpoint: CheckpointSettings = field(default_factory=CheckpointSettings)
    """How often the state is saved."""
    runs: str = "runs"
    """Folder of results."""

    def __post_init__(self) -> None:
        """Check the values; raises UserError."""
        check_fields(self, "")
        for option, number in (
            ("minutes", self.minutes),
            ("clip", self.clip),
            ("align.rate", self.align.rate),
            ("distil.rate", self.distil.rate),
            ("distil.rest_rate", self.distil.rest_rate),
            ("checkpoint.minutes", self.checkpoint.minutes),
        ):
            if number is not None and not number > 0:
                raise UserError(f"{option} is {number}", where=option, cure="give more than 0")
        for option, share in (("held_out.share", self.held_out.share), ("align.share", self.align.share)):
            if not 0 < share < 1:
                raise UserError(f"{option} is {share}", where=option, cure="give a share between 0 and 1")
        for option, steps in (("align.steps", self.align.steps), ("distil.steps", self.distil.steps)):
            if steps is None and self.minutes is None and not (self.select and option == "distil.steps"):
                raise UserError("no time or step limit", where=option, cure=f"give minutes or {option}")

    def identity(self) -> dict[str, Any]:
        """Return the options that the result depends on, as JSON; a run is resumed only with the same ones."""
        return {name: value for name, value in asdict(self).items() if name not in ("folder", "runs", "checkpoint")}


def claim_folder(folder: Path, settings: Mapping[str, Any]) -> None:
    """Create the folder of a run, or check that an existing one has the same settings.

    Args:
        folder: the folder.
        settings: everything that the result depends on, as JSON.

    Raises:
        UserError: the folder belongs to a run with other settings, or cannot be created.
    """
    path = folder / SETTINGS
    if path.is_file():
        stored, wanted = _flatten(json.loads(path.read_bytes())), _flatten(json.loads(json.dumps(settings)))
        other = sorted(key for key in stored.keys() | wanted.keys() if stored.get(key) != wanted.get(key))
        if other:
            raise UserError(
                f"the folder has a run with another {other[0]} ({stored.get(other[0])}, now {wanted.get(other[0])})",
                where=str(folder),
                cure="set another folder=..., or delete this one",
            )
        return
    make_folder(folder)
    write_atomically(path, json.dumps(settings, indent=2, ensure_ascii=False) + "\n")


class StoredMeasurements:
    """Numbers measured once each during a run, stored in its folder.

    Args:
        folder: the folder of the run.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / MEASURED

    def all(self) -> dict[str, float]:
        """Return all measurements so far, by name."""
        return json.loads(self._path.read_bytes()) if self._path.is_file() else {}

    def once(self, name: str, measure: Callable[[], float]) -> float:
        """Return the measurement of a name; measure and store it the first time."""
        found = self.all()
        if name not in found:
            found[name] = measure()
            write_atomically(self._path, json.dumps(found, indent=2) + "\n")
        return found[name]


def _flatten(value: Any, name: str = "") -> dict[str, Any]:
    if isinstance(value, Mapping):
        return {
            k: v for key, inner in value.items() for k, v in _flatten(inner, f"{name}.{key}" if name else key).items()
        }
    return {name: value}
