"""Define the options and the run folder of `legalrr prime`.

The options of `legalrr prime` that belong neither to the corpus nor to the backbone.

The folder of a run of priming: whose it is, and what was measured so far.
"""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from legalrr.errors import UserError
from legalrr.stage import at_least, check_fields, choice
from legalrr.store import make_folder, write_atomically

PRECISIONS = ("float32", "bf16")
SETTINGS, MEASURED = "settings.json", "measured.json"


@dataclass(frozen=True, kw_only=True)
class HeldOut:
    """Judgments that are never learned from."""

    share: float = 0.05
    """Their share of the judgments; near-duplicates go together."""
    judgments: int = at_least(1, 16)
    """Of how many of them perplexity is measured, on the first `window` tokens of each."""

    def __post_init__(self) -> None:
        """Refuse an impossible value."""
        check_fields(self, "held_out")


@dataclass(frozen=True, kw_only=True)
class AlignSettings:
    """(a): each new layer learns the output of the attention layer in whose place it will be."""

    share: float = 0.4
    """Share of the minutes."""
    steps: int | None = at_least(0, None)
    """How often the weights change at most; None: as often as the minutes allow."""
    rate: float = 3e-3
    """Learning rate of Adam at its peak."""
    fit: int = at_least(0, 8)
    """Batches that the output projections are fitted to in closed form, before the steps and once more after them; 0:
    they begin as the attention's."""

    def __post_init__(self) -> None:
        """Refuse an impossible value."""
        check_fields(self, "align")


@dataclass(frozen=True, kw_only=True)
class DistilSettings:
    """(b): the whole hybrid learns the probabilities that the teacher gives to the next token."""

    steps: int | None = at_least(0, None)
    """How often the weights change at most; None: as often as the minutes allow."""
    rate: float = 1e-3
    """Learning rate of the new layers at its peak."""
    rest_rate: float | None = None
    """Learning rate of all other weights; None: they stay as they are."""
    slice: int = at_least(1, 256)
    """Tokens whose probabilities are held at once: what bounds the memory, whatever the vocabulary."""

    def __post_init__(self) -> None:
        """Refuse an impossible value."""
        check_fields(self, "distil")


@dataclass(frozen=True, kw_only=True)
class CheckpointSettings:
    """How often the state of a run is saved."""

    minutes: float = 5.0
    """Minutes between two savings."""
    steps: int | None = at_least(1, None)
    """Steps between two, beside."""

    def __post_init__(self) -> None:
        """Refuse an impossible value."""
        check_fields(self, "checkpoint")


@dataclass(frozen=True, kw_only=True)
class PrimeSettings:
    """What belongs to no stage."""

    folder: str = "runs/prime"
    """Where everything is written; the same command goes on there."""
    select: bool = False
    """Measure the importance of every layer, instead of priming some."""
    seed: int = 0
    """Of the draw of held-out judgments and of the order in which the others are read."""
    window: int = at_least(2, 2048)
    """Tokens that are read together."""
    batch: int = at_least(1, 1)
    """Windows per step."""
    minutes: float | None = 40.0
    """Minutes that the whole run may take, with what it took before it was interrupted; None: no limit."""
    warmup: int = at_least(0, 5)
    """Steps in which the learning rate rises to its peak, from which it falls to 0."""
    clip: float = 1.0
    """Norm that the gradient of (a) each layer, (b) all weights is cut to."""
    precision: str = choice("float32", *PRECISIONS)
    """float32, or bf16: products in bfloat16, weights and sums as they are (autocast, by accelerate)."""
    held_out: HeldOut = field(default_factory=HeldOut)
    """Judgments that are never learned from."""
    align: AlignSettings = field(default_factory=AlignSettings)
    """(a)."""
    distil: DistilSettings = field(default_factory=DistilSettings)
    """(b)."""
    checkpoint: CheckpointSettings = field(default_factory=CheckpointSettings)
    """How often the state is saved."""
    runs: str = "runs"
    """Folder of results."""

    def __post_init__(self) -> None:
        """Raises UserError for an impossible value."""
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
                raise UserError("nothing says when to end", where=option, cure=f"give minutes or {option}")

    def identity(self) -> dict[str, Any]:
        """What decides the result, as JSON: another command may not go on where this one stopped."""
        return {name: value for name, value in asdict(self).items() if name not in ("folder", "runs", "checkpoint")}


def claim_folder(folder: Path, settings: Mapping[str, Any]) -> None:
    """Make a folder that of a run with these settings, or go on there.

    Args:
        folder: it.
        settings: all that the result depends on, as JSON.

    Raises:
        UserError: it belongs to a run with other settings, or cannot be made.
    """
    path = folder / SETTINGS
    if path.is_file():
        held, wanted = _flatten(json.loads(path.read_bytes())), _flatten(json.loads(json.dumps(settings)))
        other = sorted(key for key in held.keys() | wanted.keys() if held.get(key) != wanted.get(key))
        if other:
            raise UserError(
                f"a run with another {other[0]} is there ({held.get(other[0])}, now {wanted.get(other[0])})",
                where=str(folder),
                cure="name another folder=..., or delete this one",
            )
        return
    make_folder(folder)
    write_atomically(path, json.dumps(settings, indent=2, ensure_ascii=False) + "\n")


class StoredMeasurements:
    """Numbers that were measured at certain points of a run, each of them once.

    Args:
        folder: of the run.
    """

    def __init__(self, folder: Path) -> None:
        self._path = folder / MEASURED

    def all(self) -> dict[str, float]:
        """Everything measured so far, by name."""
        return json.loads(self._path.read_bytes()) if self._path.is_file() else {}

    def once(self, name: str, measure: Callable[[], float]) -> float:
        """What was measured under a name; measured now if it was not."""
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
